//! What the journal says, read as any reader of hb reads it: numbers, chain and epochs are checked on the way (J1, J4, H1).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::Hash;
use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_store::journal::dir::DirJournal;
use hb_store::reader::Follower;

/// Reads the stream of the only watch, from its start and on.
pub(crate) struct Reader {
    journal: DirJournal,
    follower: Follower,
    pub(crate) records: Vec<Sealed>,
}

impl Reader {
    pub(crate) fn open(output: &Path) -> Self {
        let journal = DirJournal::open(&output.join("journal")).unwrap();
        Self { journal, follower: Follower::new(StreamName::from("watch/default"), Seq(0)), records: Vec::new() }
    }

    /// Takes what has come since; gives how many.
    pub(crate) fn poll(&mut self) -> usize {
        let before = self.records.len();
        loop {
            let more = self.follower.poll(&mut self.journal).unwrap_or_else(|error| panic!("the journal: {error}"));
            if more.is_empty() {
                return self.records.len() - before;
            }
            self.records.extend(more);
        }
    }

    /// Cycles so far.
    pub(crate) fn cycles(&self) -> usize {
        self.records.iter().filter(|sealed| decided(sealed).is_some()).count()
    }
}

/// Everything that stands there now.
pub(crate) fn read(output: &Path) -> Vec<Sealed> {
    let mut reader = Reader::open(output);
    reader.poll();
    reader.records
}

/// The cycle that a record decides, if it is one of those.
pub(crate) fn decided(sealed: &Sealed) -> Option<&Arc<CycleDecided>> {
    let Body::CycleDecided(cycle) = &sealed.record.body else { return None };
    Some(cycle)
}

/// The decided cycles, in order.
pub(crate) fn cycles(records: &[Sealed]) -> Vec<Arc<CycleDecided>> {
    records.iter().filter_map(decided).cloned().collect()
}

/// The digests of the decisions, by cycle.
pub(crate) fn digests(records: &[Sealed]) -> Vec<Hash> {
    cycles(records).iter().map(|cycle| cycle.digest).collect()
}

/// Every cycle once, in order, without a gap in number or time (W1, W3), and all that was delivered accounted for (W4).
pub(crate) fn assert_whole(records: &[Sealed]) {
    let mut accounted = 0;
    let mut end = None;
    for (number, cycle) in (0_u64..).zip(cycles(records)) {
        let decision = &cycle.decision;
        assert_eq!(decision.cycle.0, number, "cycle {number} is missing, doubled or out of order (W1)");
        assert!(end.is_none_or(|end| end == decision.span.start), "time is missing before cycle {number} (W3)");
        end = Some(decision.span.end);
        let counts = &decision.counts;
        accounted += counts.accounted();
        assert_eq!(
            counts.delivered_total,
            accounted + counts.pending,
            "the counts up to cycle {number} (W4): {counts:?}"
        );
    }
    assert_reigns(records);
}

/// Epochs never fall along the numbers, and each belongs to one node and begins with its opening (H1).
fn assert_reigns(records: &[Sealed]) {
    let mut reigns: BTreeMap<Epoch, String> = BTreeMap::new();
    let mut newest = Epoch(0);
    for sealed in records {
        let record = &sealed.record;
        assert!(record.epoch >= newest, "record {} has epoch {} after {newest} (H1)", record.seq, record.epoch);
        newest = record.epoch;
        let opens = matches!(record.body, Body::EpochOpened { .. });
        let node = reigns.entry(record.epoch).or_insert_with(|| {
            assert!(opens, "record {} is the first of epoch {} and does not open it", record.seq, record.epoch);
            record.node.to_string()
        });
        assert_eq!(*node, record.node.to_string(), "two nodes wrote in epoch {} (H1)", record.epoch);
    }
}

/// Compares two runs' digests, naming the first cycle that differs.
pub(crate) fn assert_same_decisions(records: &[Sealed], undisturbed: &[Sealed]) {
    let (ours, theirs) = (cycles(records), cycles(undisturbed));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        if ours.digest != theirs.digest {
            let (left, right) = (&ours.decision, &theirs.decision);
            assert_eq!(left, right, "cycle {} was decided differently (W2)", left.cycle);
            panic!("cycle {}: equal decisions with different digests", left.cycle);
        }
    }
    assert_eq!(ours.len(), theirs.len(), "as many cycles as an undisturbed run (W1)");
}
