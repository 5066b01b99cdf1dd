//! Reading along: what a node does until the lease is its own, and once more just before it opens its epochs.

use std::collections::BTreeMap;

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::node::fact::{Body, Sealed};
use hb_core::watch::decision::Status;
use hb_store::port::{Journal, JournalError};
use hb_store::reader::{Follower, read_sound};

/// Records read at a time while looking back for the newest decided cycle.
const LOOK_BACK: u64 = 64;

/// Where each watch's stream has been read to.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    followers: BTreeMap<WatchName, Follower>,
}

impl Reading {
    /// New records of a watch's stream, in order; called until it gives none. The first call begins far enough back that
    /// the records add up to the whole state.
    pub(crate) fn poll(&mut self, watch: &WatchName, journal: &mut dyn Journal) -> Result<Vec<Sealed>, JournalError> {
        if let Some(follower) = self.followers.get_mut(watch) {
            return follower.poll(journal);
        }
        let stream = StreamName::watch(watch);
        let from = begin(&stream, journal)?;
        let mut follower = Follower::new(stream, from);
        let records = follower.poll(journal)?;
        self.followers.insert(watch.clone(), follower);
        Ok(records)
    }

    /// Begins anew at the next poll: this node has written, or has given way.
    pub(crate) fn forget(&mut self) {
        self.followers.clear();
    }
}

/// The record from which on a stream adds up to its state: far enough back for the newest decided cycle, and for all the
/// cycles that its learner has seen.
fn begin(stream: &StreamName, journal: &mut dyn Journal) -> Result<Seq, JournalError> {
    let Some(head) = journal.head(stream)? else { return Ok(Seq(0)) };
    let floor = journal.floor(stream)?;
    let mut from = head.next();
    let mut wanted: Option<u64> = None;
    let mut found = 0_u64;
    while from > floor {
        let start = Seq(from.0.saturating_sub(LOOK_BACK).max(floor.0));
        let most = usize::try_from(from.0.saturating_sub(start.0)).unwrap_or(usize::MAX);
        for sealed in read_sound(journal, stream, start, most)?.iter().rev() {
            let Body::CycleDecided(decided) = &sealed.record.body else { continue };
            let wanted = *wanted.get_or_insert_with(|| u64::from(decided.learning.unwrap_or(0)));
            // Silent cycles teach nothing and are not counted by the learner.
            found = found.saturating_add(u64::from(decided.decision.status != Status::NoData));
            if found >= wanted {
                return Ok(sealed.record.seq);
            }
        }
        from = start;
    }
    Ok(floor)
}
