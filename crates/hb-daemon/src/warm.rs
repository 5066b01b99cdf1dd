//! What a standby has read ahead: the open cycles' samples, so that a takeover need not read them again (H4).
//!
//! Bound (B1): [`WARM_SAMPLES_MAX`] samples. At the bound reading ahead stops; a takeover then reads on from what is held.

use std::collections::VecDeque;

use hb_core::mark::Mark;
use hb_core::watch::sample::{Batch, NewName};

/// Most samples held ahead.
pub(crate) const WARM_SAMPLES_MAX: usize = 400_000;

/// Batches in order, with the names announced before them.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    names: Vec<NewName>,
    batches: VecDeque<Batch>,
    samples: usize,
}

impl Warm {
    pub(crate) fn full(&self) -> bool {
        self.samples >= WARM_SAMPLES_MAX
    }

    pub(crate) fn push(&mut self, batch: Batch) {
        self.samples = self.samples.saturating_add(batch.samples.len());
        self.batches.push_back(batch);
    }

    /// Drops what no later cycle needs.
    pub(crate) fn trim(&mut self, position: u64) {
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.end.position <= position) {
            self.samples = self.samples.saturating_sub(batch.samples.len());
            if batch.reset {
                self.names.clear();
            }
            self.names.extend(batch.names);
        }
    }

    /// Everything from `mark` on, if that is held: first the names, then the batches. Without a mark nothing has been decided
    /// yet, and a new watch begins with the first that was read: it may never be seen again.
    pub(crate) fn take(&mut self, mark: Option<&Mark>) -> Option<Vec<Batch>> {
        let first = self.batches.front()?.start.clone();
        let mark = mark.unwrap_or(&first);
        self.trim(mark.position);
        let front = self.batches.front_mut()?;
        if front.start.position > mark.position {
            return None;
        }
        cut(front, mark.position);
        let names = Batch {
            reset: true,
            names: std::mem::take(&mut self.names),
            start: mark.clone(),
            end: mark.clone(),
            ..Batch::default()
        };
        self.samples = 0;
        Some(std::iter::once(names).chain(self.batches.drain(..)).collect())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Leaves out what stands before that place: its fate is in a record.
fn cut(batch: &mut Batch, place: u64) {
    let before = place.saturating_sub(batch.start.position);
    let is_before = |offset: u32| u64::from(offset) < before;
    let samples = batch.samples.partition_point(|sample| is_before(sample.offset));
    batch.samples.drain(..samples);
    let faults = batch.faults.partition_point(|fault| is_before(fault.offset));
    batch.faults.drain(..faults);
}

#[cfg(test)]
mod tests {
    use hb_core::time::Stamp;
    use hb_core::watch::sample::{Fault, FaultCause, Sample};

    use super::*;

    fn batch(from: u64, to: u64, name: &str) -> Batch {
        let mark = |position| Mark { position, token: "t".into() };
        let names = vec![NewName { name: name.into(), unit: None }];
        Batch { names, start: mark(from), end: mark(to), reset: from == 0, ..Batch::default() }
    }

    #[test]
    fn h4_names_survive_the_batches_that_announced_them() {
        let mut warm = Warm::default();
        for (from, name) in [(0, "a"), (10, "b"), (20, "c")] {
            warm.push(batch(from, from + 10, name));
        }
        let mark = Mark { position: 25, token: "t".into() };
        let taken = warm.take(Some(&mark)).unwrap();
        let names: Vec<_> =
            taken.iter().map(|b| (b.reset, b.names.iter().map(|n| &*n.name).collect::<Vec<_>>())).collect();
        assert_eq!(names, [(true, vec!["a", "b"]), (false, vec!["c"])]);
        assert!(warm.take(Some(&mark)).is_none());
    }

    /// Two nodes cut what they read differently: the mark of one lies amid a batch of the other.
    #[test]
    fn w4_what_was_held_from_before_the_mark_is_not_given() {
        let mut warm = Warm::default();
        let sample = |offset| Sample { slot: 0, offset, at: Stamp(0), value: 1.0 };
        let fault = |offset| Fault { offset, cause: FaultCause::Malformed, quote: None };
        let samples = [1, 4, 5, 9].map(sample).to_vec();
        warm.push(Batch { samples, faults: [0, 3, 6].map(fault).to_vec(), ..batch(10, 20, "a") });
        let taken = warm.take(Some(&Mark { position: 15, token: "t".into() })).unwrap();
        let batch = &taken[1];
        assert_eq!(batch.samples.iter().map(|sample| sample.offset).collect::<Vec<_>>(), [5, 9]);
        assert_eq!(batch.faults.iter().map(|fault| fault.offset).collect::<Vec<_>>(), [6]);
        assert_eq!((batch.start.position, batch.end.position, batch.names.len()), (10, 20, 1));
    }

    #[test]
    fn a_mark_before_what_is_held_is_not_served() {
        let mut warm = Warm::default();
        warm.push(batch(10, 20, "a"));
        assert!(warm.take(Some(&Mark { position: 5, token: "t".into() })).is_none());
    }

    #[test]
    fn h4_what_was_read_before_anything_was_decided_is_served_without_a_mark() {
        let mut warm = Warm::default();
        assert!(warm.take(None).is_none());
        warm.push(batch(10, 20, "a"));
        warm.push(batch(20, 30, "b"));
        let taken = warm.take(None).unwrap();
        assert_eq!(taken.iter().map(|batch| batch.end.position).collect::<Vec<_>>(), [10, 20, 30]);
        assert!(warm.take(None).is_none());
    }
}
