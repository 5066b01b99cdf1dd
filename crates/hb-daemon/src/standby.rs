//! Reading along: what a node does until the lease is its own, and once more just before it opens its epochs.

use std::collections::BTreeMap;

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::journal::Sealed;
use hb_core::node::fact;
use hb_core::watch::decision::Status;
use hb_store::port::{Journal, JournalError};
use hb_store::reader::{Follower, Look, look_back};
use serde::Deserialize;

/// Where each watch's stream has been read to.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    followers: BTreeMap<WatchName, Follower>,
}

impl Reading {
    /// New records of a watch's stream, in order; called until it gives none. The first call begins far enough back that
    /// the records add up to the whole state.
    pub(crate) fn poll(
        &mut self,
        watch: &WatchName,
        journal: &mut dyn Journal,
    ) -> Result<Vec<fact::Sealed>, JournalError> {
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

/// What is looked at in a record to find the place from which to read: of many series all the rest is large.
#[derive(Debug, Deserialize)]
struct Glance {
    kind: String,
    decision: Option<Decided>,
    learning: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Decided {
    status: Status,
}

/// The record from which on a stream adds up to its state: far enough back for the newest decided cycle, and for all the
/// cycles that its learner has seen.
fn begin(stream: &StreamName, journal: &mut dyn Journal) -> Result<Seq, JournalError> {
    let mut from = journal.floor(stream)?;
    if from > Seq(0) && journal.head(stream)?.is_none() {
        // A copy that was begun anew and broke off before its first record: there is nothing to go on from, and nobody knows epochs
        // or cycles any more. It may be gone on with at any moment, so nothing ends for it.
        return Err(JournalError::Unavailable(format!(
            "stream {stream} begins with record {from}, and holds none: a copying that broke off; run `hb checkpoint sync` again from \
             where it came, or move the journal's folder of this stream away to begin with nothing"
        )));
    }
    let mut wanted: Option<u64> = None;
    let mut found = 0_u64;
    look_back(journal, stream, |sealed: &Sealed<Glance>| {
        let Glance { kind, decision: Some(decided), learning } = &sealed.record.body else { return Look::Further };
        if kind != "cycle_decided" {
            return Look::Further;
        }
        let wanted = *wanted.get_or_insert_with(|| learning.unwrap_or(0));
        // Silent cycles teach nothing and are not counted by the learner.
        found = found.saturating_add(u64::from(decided.status != Status::NoData));
        if found < wanted {
            return Look::Further;
        }
        from = sealed.record.seq;
        Look::Enough
    })?;
    Ok(from)
}

#[cfg(test)]
mod tests {
    use hb_store::journal::memory::MemoryJournal;
    use hb_store::port::Appended;

    use super::*;

    /// What a copying into a bucket may leave that broke off between the floor and the first page.
    struct BrokenOff(MemoryJournal);

    impl Journal for BrokenOff {
        fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
            self.0.head(stream)
        }

        fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
            self.0.append(stream, seq, bytes)
        }

        fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
            self.0.read(stream, from, most)
        }

        fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
            self.0.trim(stream, floor)
        }

        fn floor(&mut self, _stream: &StreamName) -> Result<Seq, JournalError> {
            Ok(Seq(50))
        }
    }

    #[test]
    fn a_copy_that_broke_off_before_its_first_record_is_named_and_not_worked_with() {
        let (mut journal, watch) = (MemoryJournal::new(), WatchName::from("w"));
        assert!(Reading::default().poll(&watch, &mut journal).unwrap().is_empty());
        let told = Reading::default().poll(&watch, &mut BrokenOff(journal)).unwrap_err();
        assert!(matches!(&told, JournalError::Unavailable(what) if what.contains("broke off")), "{told:?}");
    }
}
