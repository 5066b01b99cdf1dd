//! What a node sees in the register: the documents as they stand, and who shows life.
//!
//! **Invariants.** A session is judged by how long it has stood still on the onlooker's own clock, counted from when it was first seen so.
//! All look and show [`ROUNDS_PER_TTL`] times in a TTL, so a session is seen at most one such part after it was shown; it is dead after
//! two thirds of a TTL more, which is within five sixths of its last sign of life: the rest is for going on with what it had. A node
//! counts its own session as good for less than those two thirds, from before it asked ([`good_for`]). A document is read again only
//! when it has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::{NodeName, WatchName};
use hb_core::time::Moment;
use hb_store::register::{Cell, CellVersion};

use super::claims::{Claim, Session, Shard, WISHES, Wishes, read, session_cell};
use crate::clock::ns;

/// Rounds in a TTL.
pub(super) const ROUNDS_PER_TTL: u32 = 6;
/// Rounds for the sake of a session that is about to run out are at least so far apart.
const ROUND_MIN: Duration = Duration::from_millis(10);

/// How long a session that stands still is alive for those who see it.
fn alive_for(ttl: Duration) -> Duration {
    ttl / 3 * 2
}

/// After what time of standing still a session is missed: two signs of life were due since.
fn missed_after(ttl: Duration) -> Duration {
    ttl / 3
}

/// How long a node takes its own session for good once it has asked to show it.
pub(super) fn good_for(ttl: Duration) -> Duration {
    ttl / 12 * 7
}

/// What a cell says.
#[derive(Debug, Clone)]
enum Document {
    Session(Session),
    Shard(Arc<Shard>),
    Other,
}

/// What a round has read, and changed since.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) sessions: BTreeMap<NodeName, Session>,
    /// Those that show life.
    pub(super) living: BTreeSet<NodeName>,
    /// Those of them whose next sign of life is overdue.
    pub(super) missed: BTreeSet<NodeName>,
    pub(super) shards: BTreeMap<String, Arc<Shard>>,
    pub(super) wishes: Wishes,
    pub(super) versions: BTreeMap<String, CellVersion>,
}

impl Seen {
    pub(super) fn claims(&self) -> impl Iterator<Item = (&WatchName, &Claim)> {
        self.shards.values().flat_map(|shard| &shard.claims)
    }

    /// Whether all watches of that node are to move.
    pub(super) fn leaves(&self, node: &NodeName) -> bool {
        self.wishes.leave.as_ref().is_some_and(|leave| leave.from == *node)
    }

    /// Whether the claim's session shows life.
    pub(super) fn good(&self, claim: &Claim) -> bool {
        let session = self.sessions.get(&claim.node).is_some_and(|session| session.session == claim.session);
        session && self.living.contains(&claim.node)
    }

    /// Nodes that live and whose watches others may have soon.
    pub(super) fn going(&self) -> BTreeSet<NodeName> {
        let leaves = |session: &&Session| session.priority == 0 || self.leaves(&session.node);
        let leaving = self.sessions.values().filter(leaves).map(|session| session.node.clone());
        leaving.filter(|node| self.living.contains(node)).chain(self.missed.iter().cloned()).collect()
    }

    /// What stands in a cell of claims by now.
    pub(super) fn put(&mut self, name: &str, cell: Option<Cell>) {
        let shard = cell.as_ref().and_then(|cell| read::<Shard>(&cell.bytes)).map(Arc::new);
        match shard {
            Some(shard) => self.shards.insert(name.to_owned(), shard),
            None => self.shards.remove(name),
        };
        match cell {
            Some(cell) => self.versions.insert(name.to_owned(), cell.version),
            None => self.versions.remove(name),
        };
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sight {
    ttl: Duration,
    /// Every session's cell as it was first seen so.
    first_seen: BTreeMap<String, (CellVersion, Moment)>,
    documents: BTreeMap<String, (CellVersion, Document)>,
}

impl Sight {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, first_seen: BTreeMap::new(), documents: BTreeMap::new() }
    }

    /// Takes in what stands in the register at that moment.
    pub(super) fn take_in(&mut self, cells: Vec<(String, Cell)>, now: Moment) -> Seen {
        let cells: BTreeMap<String, Cell> = cells.into_iter().collect();
        self.first_seen.retain(|name, _| cells.contains_key(name));
        self.documents.retain(|name, _| cells.contains_key(name));
        let wishes = cells.get(WISHES).and_then(|cell| read(&cell.bytes)).unwrap_or_default();
        let mut seen = Seen { wishes, ..Seen::default() };
        for (name, cell) in cells {
            match self.document(&name, &cell) {
                Document::Session(session) => self.take_session(&mut seen, &name, session, (&cell.version, now)),
                Document::Shard(shard) => drop(seen.shards.insert(name.clone(), shard)),
                Document::Other => {}
            }
            seen.versions.insert(name, cell.version);
        }
        seen
    }

    fn document(&mut self, name: &str, cell: &Cell) -> Document {
        if let Some((_, known)) = self.documents.get(name).filter(|(version, _)| *version == cell.version) {
            return known.clone();
        }
        let session = read::<Session>(&cell.bytes).filter(|session| session_cell(&session.node) == *name);
        let shard = || read::<Shard>(&cell.bytes).map_or(Document::Other, |shard| Document::Shard(Arc::new(shard)));
        let document = session.map_or_else(shard, Document::Session);
        self.documents.insert(name.to_owned(), (cell.version.clone(), document.clone()));
        document
    }

    fn take_session(&mut self, seen: &mut Seen, name: &str, session: Session, (version, now): (&CellVersion, Moment)) {
        let first = self.first_seen.entry(name.to_owned()).or_insert_with(|| (version.clone(), now));
        if first.0 != *version {
            *first = (version.clone(), now);
        }
        let still = now.since_ns(first.1);
        if still < ns(alive_for(self.ttl)) {
            seen.living.insert(session.node.clone());
            if still >= ns(missed_after(self.ttl)) {
                seen.missed.insert(session.node.clone());
            }
        }
        seen.sessions.insert(session.node.clone(), session);
    }

    /// This node has shown its own session; it had asked for it at that moment.
    pub(super) fn shown(&mut self, name: &str, version: CellVersion, asked: Moment) {
        self.first_seen.insert(name.to_owned(), (version, asked));
    }

    /// When the next session will be missed, or have run out, if it is not shown before: a round is due then, and not later.
    pub(super) fn next_change(&self, now: Moment) -> Duration {
        let left = |since: Moment| {
            let still = now.since_ns(since);
            let steps = [missed_after(self.ttl), alive_for(self.ttl)];
            let next = steps.into_iter().map(ns).find(|step| *step > still)?;
            Some(Duration::from_nanos(next.saturating_sub(still)))
        };
        let nearest = self.first_seen.values().filter_map(|(_, since)| left(*since)).min();
        nearest.map_or(self.ttl, |nearest| nearest.max(ROUND_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::super::claims::bytes;
    use super::*;

    const TTL: Duration = Duration::from_secs(12);

    fn cell(session: &Session, version: u32) -> (String, Cell) {
        let version = CellVersion(version.to_string());
        (session_cell(&session.node), Cell { bytes: bytes(session), version })
    }

    fn at(seconds: u64) -> Moment {
        Moment(0).plus_ns(ns(Duration::from_secs(seconds)))
    }

    #[test]
    fn a_session_is_missed_then_dead_and_alive_again_when_it_is_shown() {
        let (mut sight, session) = (Sight::new(TTL), Session::new(&"a".into(), "1-1", 50, 10));
        let one = BTreeSet::from([NodeName::from("a")]);
        let mut look = |version, seconds| {
            let seen = sight.take_in(vec![cell(&session, version)], at(seconds));
            (seen.living == one, seen.missed == one, sight.next_change(at(seconds)))
        };
        let seconds = Duration::from_secs;
        assert_eq!(look(1, 10), (true, false, seconds(4)));
        assert_eq!(look(1, 12), (true, false, seconds(2)));
        assert_eq!(look(1, 14), (true, true, seconds(4)));
        assert_eq!(look(1, 17), (true, true, seconds(1)));
        assert_eq!(look(1, 18), (false, false, TTL), "two thirds of a TTL since it was first seen so");
        assert_eq!(look(2, 20), (true, false, seconds(4)));
    }

    #[test]
    fn a_dead_session_is_noticed_within_a_ttl_of_its_last_sign_and_never_while_it_counts_itself_as_good() {
        // Seen as late as can be after it was shown.
        let between = TTL / ROUNDS_PER_TTL;
        assert!(between + alive_for(TTL) <= TTL / 6 * 5);
        // Seen at once.
        assert!(good_for(TTL) < alive_for(TTL));
        assert!(missed_after(TTL) > between, "a session that is shown in time is never missed");
    }
}
