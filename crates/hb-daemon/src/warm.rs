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
        if self.batches.front()?.start.position > mark.position {
            return None;
        }
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

#[cfg(test)]
mod tests {
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
