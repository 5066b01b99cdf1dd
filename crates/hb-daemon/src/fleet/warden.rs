//! Shows this node's session, looks at the others', and takes, gives and keeps claims by the plan.
//!
//! **Invariants.** A claim is taken by compare-and-set on what was just read. Claims of a session are good for others until it has stood
//! still for a TTL on their own clocks, counted from when they first saw it so; this node counts its own as good for less, from before it
//! asked. Whatever goes wrong here, the journal fences (H1).
//!
//! Bounds (B1): two requests for each round, [`ROUNDS_PER_TTL`] rounds in a TTL ([`ROUNDS_PER_TTL_MOVING`] while operators let watches
//! move), and one for each cell of claims that changes; at most
//! [`MOVES_MAX`] watches of a node are on the move at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hb_core::ids::{NodeName, WatchName};
use hb_core::lease::placement::{Mood, Plan, Scene, Seat, plan};
use hb_core::time::Moment;
use hb_store::port::Switchover;
use hb_store::register::{Cell, CellVersion, Register, Swapped};

use super::claims::{
    Claim, PREFIX, SESSIONS_MAX, SHARDS, Session, Shard, WISHES, Wishes, bytes, claim_cell, read, session_cell,
};
use super::hall::{Hall, Held};
use crate::clock::{self, ns};

/// Most watches of a node that are on the move at a time.
const MOVES_MAX: usize = 64;
/// Rounds in a TTL.
const ROUNDS_PER_TTL: u32 = 3;
/// The same while watches are on the move.
const ROUNDS_PER_TTL_MOVING: u32 = 20;
/// Rounds for the sake of a session that is about to run out are at least so far apart.
const DEATH_MIN: Duration = Duration::from_millis(10);
/// How long a watch whose loop hung or ended with an error is not claimed again by the same node.
const SICK_FOR: Duration = Duration::from_secs(30);

/// What a warden needs to know.
pub(super) struct Warden {
    register: Box<dyn Register>,
    hall: Arc<Hall>,
    watches: BTreeSet<WatchName>,
    me: Session,
    ttl: Duration,
    /// Every session's cell as it was first seen so.
    sights: BTreeMap<String, (CellVersion, Moment)>,
    /// Nothing is claimed before: nodes that start together share out.
    claim_after: Instant,
    sick: BTreeMap<WatchName, Instant>,
    moves: u64,
    /// Operators let watches move.
    moving: bool,
}

/// What a round has read.
struct Seen {
    sessions: BTreeMap<NodeName, Session>,
    /// Those that show life.
    living: BTreeSet<NodeName>,
    cells: BTreeMap<String, Cell>,
    shards: BTreeMap<String, Shard>,
    wishes: Wishes,
}

impl Seen {
    fn claims(&self) -> impl Iterator<Item = (&WatchName, &Claim)> {
        self.shards.values().flat_map(|shard| &shard.claims)
    }

    /// Whether all watches of that node are to move.
    fn leaves(&self, node: &NodeName) -> bool {
        self.wishes.leave.as_ref().is_some_and(|leave| leave.from == *node)
    }

    fn good(&self, claim: &Claim) -> bool {
        let session = self.sessions.get(&claim.node).is_some_and(|session| session.session == claim.session);
        session && self.living.contains(&claim.node)
    }
}

/// A change of one claim.
type Changes = BTreeMap<String, Vec<(WatchName, Option<Claim>)>>;

impl Warden {
    pub(super) fn new(
        register: Box<dyn Register>,
        hall: &Arc<Hall>,
        watches: BTreeSet<WatchName>,
        me: Session,
        ttl: Duration,
    ) -> Self {
        Self {
            register,
            hall: Arc::clone(hall),
            watches,
            me,
            ttl,
            sights: BTreeMap::new(),
            claim_after: Instant::now() + ttl,
            sick: BTreeMap::new(),
            moves: 0,
            moving: false,
        }
    }

    /// Rounds until the end; then everything is handed on, and the session is taken down.
    pub(super) fn run(mut self) {
        loop {
            let begun = Instant::now();
            let done = self.round();
            if let Err(why) = &done {
                tracing::warn!("the register of claims cannot be used: {why}");
            }
            self.hall.change(|state| {
                state.trouble = done.err();
                state.rounds = state.rounds.saturating_add(1);
                state.round_at = clock::moment();
            });
            let rounds = if self.moving { ROUNDS_PER_TTL_MOVING } else { ROUNDS_PER_TTL };
            let left = (self.ttl / rounds).saturating_sub(begun.elapsed()).min(self.next_death());
            let state =
                self.hall.wait_while(left, |state| state.released.is_empty() && state.asked.is_empty() && !state.quit);
            if state.quit {
                break;
            }
        }
        let left = self.round().and_then(|()| self.leave());
        if let Err(why) = left {
            tracing::warn!("this node's session could not be taken down: {why}; others take over once it has run out");
        }
    }

    /// When the next session will have stood still for a TTL, if it is not shown before: its watches are claimed then, not a round later.
    fn next_death(&self) -> Duration {
        let now = clock::moment();
        let left = |still: u64| Duration::from_nanos(ns(self.ttl).saturating_sub(still));
        let ages = self.sights.values().map(|(_, since)| now.since_ns(*since)).filter(|still| *still < ns(self.ttl));
        ages.map(left).min().map_or(self.ttl, |least| least.max(DEATH_MIN))
    }

    fn leave(&mut self) -> Result<(), String> {
        let name = session_cell(&self.me.node);
        let Some(cell) = self.register.read(&name).map_err(|error| error.0)? else { return Ok(()) };
        match self.register.remove(&name, &cell.version) {
            Swapped::Done(_) | Swapped::Lost(_) => Ok(()),
            Swapped::Unknown(why) | Swapped::Failed(why) => Err(why),
        }
    }

    fn round(&mut self) -> Result<(), String> {
        let mut seen = self.look()?;
        self.show(&mut seen)?;
        self.take_wishes(&mut seen)?;
        self.know(&seen);
        self.hand_on(&mut seen)?;
        let plan = self.plan(&seen);
        self.claim(&mut seen, &plan)?;
        self.know(&seen);
        self.move_away(&seen, &plan);
        self.hall.change(|state| (state.next, state.unplaced) = (plan.next, plan.unplaced));
        self.moving = seen.wishes.moves();
        self.settle_leave(&seen)?;
        self.settle_rebalance(&seen)
    }

    // ------------------------------------------------------------------ looking

    fn look(&mut self) -> Result<Seen, String> {
        let most = SESSIONS_MAX.saturating_add(usize::try_from(SHARDS).unwrap_or(usize::MAX)).saturating_add(1);
        let cells: BTreeMap<String, Cell> =
            self.register.list(PREFIX, most).map_err(|error| error.0)?.into_iter().collect();
        let now = clock::moment();
        self.sights.retain(|name, _| cells.contains_key(name));
        let mut seen = Seen {
            sessions: BTreeMap::new(),
            living: BTreeSet::new(),
            shards: BTreeMap::new(),
            wishes: cells.get(WISHES).and_then(|cell| read(&cell.bytes)).unwrap_or_default(),
            cells: BTreeMap::new(),
        };
        for (name, cell) in &cells {
            if let Some(session) = read::<Session>(&cell.bytes).filter(|session| session_cell(&session.node) == *name) {
                let sight = self.sights.entry(name.clone()).or_insert_with(|| (cell.version.clone(), now));
                if sight.0 != cell.version {
                    *sight = (cell.version.clone(), now);
                }
                if now.since_ns(sight.1) < ns(self.ttl) {
                    seen.living.insert(session.node.clone());
                }
                seen.sessions.insert(session.node.clone(), session);
            } else if let Some(shard) = read::<Shard>(&cell.bytes) {
                seen.shards.insert(name.clone(), shard);
            }
        }
        seen.cells = cells;
        Ok(seen)
    }

    /// Shows this node's session, unless another living process goes by its name.
    fn show(&mut self, seen: &mut Seen) -> Result<(), String> {
        let name = session_cell(&self.me.node);
        if let Some(other) = seen.sessions.get(&self.me.node).filter(|other| other.session != self.me.session)
            && seen.living.contains(&self.me.node)
        {
            return Err(format!("another process goes by the name {}: give this node a name of its own", other.node));
        }
        let version = seen.cells.get(&name).map(|cell| cell.version.clone());
        self.me.progress = self.me.progress.saturating_add(1);
        if self.hall.look().stopping {
            self.me.priority = 0;
        }
        let asked = clock::moment();
        match self.register.swap(&name, version.as_ref(), &bytes(&self.me)) {
            Swapped::Done(version) => {
                self.sights.insert(name, (version, asked));
                seen.sessions.insert(self.me.node.clone(), self.me.clone());
                seen.living.insert(self.me.node.clone());
                let good_until = asked.plus_ns(ns(self.ttl - self.ttl / 8));
                self.hall.change(|state| state.good_until = good_until);
                Ok(())
            }
            Swapped::Lost(_) => Err("this node's session was changed by somebody else".into()),
            Swapped::Unknown(why) | Swapped::Failed(why) => Err(why),
        }
    }

    /// Tells the hall what is this node's by now.
    fn know(&mut self, seen: &Seen) {
        let mine: BTreeMap<&WatchName, &Claim> = seen
            .claims()
            .filter(|(watch, claim)| {
                claim.node == self.me.node && claim.session == self.me.session && self.watches.contains(*watch)
            })
            .collect();
        self.hall.change(|state| {
            state.held.retain(|watch, _| mine.contains_key(watch));
            state.released.retain(|watch, _| mine.contains_key(watch));
            for (watch, claim) in &mine {
                if !state.held.contains_key(*watch) {
                    let why = claim
                        .from
                        .as_ref()
                        .map_or_else(|| "it was nobody's".to_owned(), |from| format!("{from} handed it over"));
                    let held = Held { why, progress: Instant::now(), moving: None };
                    state.held.insert((*watch).clone(), held);
                }
            }
            let good = seen.claims().filter(|(_, claim)| seen.good(claim));
            state.holders = good.map(|(watch, claim)| (watch.clone(), claim.node.clone())).collect();
            state.pause.clone_from(&seen.wishes.pause);
            state.leave.clone_from(&seen.wishes.leave);
        });
    }

    // ------------------------------------------------------------------ claims

    fn plan_of(&self, node: &NodeName, seen: &Seen, mood: Mood) -> Plan {
        let living = seen.sessions.values().filter(|session| seen.living.contains(&session.node));
        let seats: Vec<Seat> = living
            .map(|session| Seat {
                node: session.node.clone(),
                watches_max: session.watches_max,
                priority: if seen.leaves(&session.node) { 0 } else { session.priority },
            })
            .collect();
        let good = seen.claims().filter(|(_, claim)| seen.good(claim));
        let claims = good.map(|(watch, claim)| (watch.clone(), claim.node.clone())).collect();
        plan(node, &Scene { seats: &seats, watches: &self.watches, claims: &claims, mood })
    }

    fn plan(&self, seen: &Seen) -> Plan {
        let on_the_move = self.hall.look().held.values().filter(|held| held.moving.is_some()).count();
        let moves_max = MOVES_MAX.saturating_sub(on_the_move);
        let mood = if seen.wishes.rebalance.is_some() { Mood::Spread { moves_max } } else { Mood::Keep };
        let mut plan = self.plan_of(&self.me.node, seen, mood);
        if let Some(to) =
            seen.wishes.leave.as_ref().filter(|leave| leave.from == self.me.node).and_then(|leave| leave.to.as_ref())
        {
            let room = seen.sessions.get(to).filter(|to| seen.living.contains(&to.node) && to.priority > 0);
            let has = seen.claims().filter(|(_, claim)| claim.node == *to).count();
            let room = room.map_or(0, |to| usize::try_from(to.watches_max).unwrap_or(usize::MAX)).saturating_sub(has);
            plan.give_up.iter_mut().take(room).for_each(|(_, next)| next.clone_from(to));
        }
        {
            let state = self.hall.look();
            plan.give_up.retain(|(watch, _)| state.held.get(watch).is_some_and(|held| held.moving.is_none()));
        }
        plan.give_up.truncate(moves_max);
        plan
    }

    /// Takes orphans: those of a dead node at once, those that were nobody's once others have had the time to come up.
    fn claim(&mut self, seen: &mut Seen, plan: &Plan) -> Result<(), String> {
        self.sick.retain(|_, until| *until > Instant::now());
        let was = |watch: &WatchName| seen.shards.get(&claim_cell(watch)).and_then(|shard| shard.claims.get(watch));
        let early = Instant::now() < self.claim_after;
        let mut changes = Changes::new();
        let mut whys = Vec::new();
        for watch in plan.claim.iter().filter(|watch| !self.sick.contains_key(*watch)) {
            let before = was(watch);
            let paused = seen.wishes.pause.is_some() && before.is_some_and(|claim| claim.node != self.me.node);
            if paused || (early && before.is_none()) {
                continue;
            }
            let why = before.map_or_else(|| "it was nobody's".to_owned(), |claim| self.why_free(claim, seen));
            whys.push((watch.clone(), why));
            let claim = Claim { node: self.me.node.clone(), session: self.me.session.clone(), from: None };
            changes.entry(claim_cell(watch)).or_default().push((watch.clone(), Some(claim)));
        }
        self.swap(seen, changes)?;
        self.know(seen);
        self.hall.change(|state| {
            for (watch, why) in whys {
                if let Some(held) = state.held.get_mut(&watch) {
                    held.why = why;
                }
            }
        });
        Ok(())
    }

    fn why_free(&self, claim: &Claim, seen: &Seen) -> String {
        let Claim { node, session, .. } = claim;
        match seen.sessions.get(node) {
            Some(now) if now.session != *session => format!("{node} was started anew"),
            Some(_) => format!("{node} showed no progress for {:.1} s", self.ttl.as_secs_f64()),
            None => format!("{node} has left"),
        }
    }

    /// Hands on what loops have let go, and takes from loops that hang what they hold.
    fn hand_on(&mut self, seen: &mut Seen) -> Result<(), String> {
        let (released, hung) = {
            let state = self.hall.look();
            let hangs = |held: &Held| held.progress.elapsed() > self.ttl * 3;
            let hung: Vec<WatchName> =
                state.held.iter().filter(|(_, held)| hangs(held)).map(|(watch, _)| watch.clone()).collect();
            (state.released.clone(), hung)
        };
        let mut leaving = released;
        for watch in hung {
            tracing::warn!("watch {watch} makes no progress here: its claim is handed on");
            self.sick.insert(watch.clone(), Instant::now() + SICK_FOR);
            leaving.entry(watch).or_insert(None);
        }
        if leaving.is_empty() {
            return Ok(());
        }
        let lines = self.lines(seen);
        let mut changes = Changes::new();
        for (watch, to) in leaving {
            let to = to.or_else(|| lines.iter().find(|(_, next)| next.contains(&watch)).map(|(node, _)| node.clone()));
            let next = to.and_then(|to| seen.sessions.get(&to).filter(|_| seen.living.contains(&to)));
            let claim = next.map(|next| Claim {
                node: next.node.clone(),
                session: next.session.clone(),
                from: Some(self.me.node.clone()),
            });
            changes.entry(claim_cell(&watch)).or_default().push((watch, claim));
        }
        self.swap(seen, changes)?;
        self.know(seen);
        Ok(())
    }

    /// For which watches each of the others is next in line.
    fn lines(&self, seen: &Seen) -> Vec<(NodeName, BTreeSet<WatchName>)> {
        let others = seen.living.iter().filter(|node| **node != self.me.node);
        others.map(|node| (node.clone(), self.plan_of(node, seen, Mood::Keep).next)).collect()
    }

    /// Changes cells of claims, each by one compare-and-set; one that somebody else was quicker at waits for the next round.
    fn swap(&mut self, seen: &mut Seen, changes: Changes) -> Result<(), String> {
        for (name, changes) in changes {
            let mut shard = seen.shards.get(&name).cloned().unwrap_or_default();
            for (watch, claim) in changes {
                match claim {
                    Some(claim) => shard.claims.insert(watch, claim),
                    None => shard.claims.remove(&watch),
                };
            }
            let version = seen.cells.get(&name).map(|cell| cell.version.clone());
            let document = bytes(&shard);
            match self.register.swap(&name, version.as_ref(), &document) {
                Swapped::Done(version) => {
                    seen.cells.insert(name.clone(), Cell { bytes: document, version });
                    seen.shards.insert(name, shard);
                }
                Swapped::Lost(_) => {}
                Swapped::Unknown(why) | Swapped::Failed(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// Asks loops to hand over what the plan gives up.
    fn move_away(&mut self, seen: &Seen, plan: &Plan) {
        let leave = seen.wishes.leave.as_ref().filter(|leave| leave.from == self.me.node);
        let rebalance = seen.wishes.rebalance.as_ref().map(|rebalance| (&*rebalance.by, &*rebalance.reason));
        let asked = leave.map(|leave| (&*leave.by, &*leave.reason)).or(rebalance);
        let (by, reason) = asked.unwrap_or(("hb", "more watches than this node may have"));
        for (watch, to) in &plan.give_up {
            self.moves = self.moves.saturating_add(1);
            let moving = Switchover {
                id: format!("{}-{}", self.me.session, self.moves),
                from: self.me.node.clone(),
                to: Some(to.clone()),
                by: by.to_owned(),
                reason: reason.to_owned(),
                at: clock::wall(),
            };
            self.hall.change(|state| {
                if let Some(held) = state.held.get_mut(watch).filter(|held| held.moving.is_none()) {
                    held.moving = Some(moving);
                }
            });
        }
    }

    // ------------------------------------------------------------------ wishes

    /// Puts what operators ask where every node sees it.
    fn take_wishes(&mut self, seen: &mut Seen) -> Result<(), String> {
        let asked = self.hall.look().asked.clone();
        if asked.is_empty() {
            return Ok(());
        }
        let mut wishes = seen.wishes.clone();
        for wish in &asked {
            wish.add_to(&mut wishes);
        }
        if self.wish(seen, wishes)? {
            self.hall.change(|state| drop(state.asked.drain(..asked.len())));
        }
        Ok(())
    }

    fn wish(&mut self, seen: &mut Seen, wishes: Wishes) -> Result<bool, String> {
        let version = seen.cells.get(WISHES).map(|cell| cell.version.clone());
        let document = bytes(&wishes);
        match self.register.swap(WISHES, version.as_ref(), &document) {
            Swapped::Done(version) => {
                seen.cells.insert(WISHES.into(), Cell { bytes: document, version });
                seen.wishes = wishes;
                Ok(true)
            }
            Swapped::Lost(_) => Ok(false),
            Swapped::Unknown(why) | Swapped::Failed(why) => Err(why),
        }
    }

    /// A node has been left when nothing is its own any more; it says so itself, or somebody else once it has gone.
    fn settle_leave(&mut self, seen: &Seen) -> Result<(), String> {
        let Some(leave) = &seen.wishes.leave else { return Ok(()) };
        let left = seen.claims().all(|(_, claim)| claim.node != leave.from || !seen.good(claim));
        if !left || (leave.from != self.me.node && seen.living.contains(&leave.from)) {
            return Ok(());
        }
        tracing::info!("no watch is left to {}, as {} asked", leave.from, leave.by);
        let mut again = self.look()?;
        let wishes = Wishes { leave: None, ..again.wishes.clone() };
        self.wish(&mut again, wishes).map(|_| ())
    }

    /// A rebalance is over when nobody has anything to give.
    fn settle_rebalance(&mut self, seen: &Seen) -> Result<(), String> {
        if seen.wishes.rebalance.is_none() || self.hall.look().held.values().any(|held| held.moving.is_some()) {
            return Ok(());
        }
        let mood = Mood::Spread { moves_max: 1 };
        if seen.living.iter().any(|node| !self.plan_of(node, seen, mood).give_up.is_empty()) {
            return Ok(());
        }
        tracing::info!("the watches are spread evenly");
        let mut again = self.look()?;
        let wishes = Wishes { rebalance: None, ..again.wishes.clone() };
        self.wish(&mut again, wishes).map(|_| ())
    }
}
