//! Whether records follow one another: numbers without gaps, hashes that link, epochs that never fall.

use super::hash::Hash;
use super::record::{Head, Sealed};
use crate::ids::{Epoch, Seq};

/// How a record fails to follow the one before it (J1, J4, H1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// A number is missing.
    #[error("record {expected} is missing: the next one found is {found}")]
    Gap {
        /// The number that should have come.
        expected: Seq,
        /// The number that came.
        found: Seq,
    },
    /// The record names another predecessor.
    #[error("record {seq} does not follow record {}: it names {named:?} as its predecessor", seq.0.saturating_sub(1))]
    Unlinked {
        /// The record at fault.
        seq: Seq,
        /// The hash that it names.
        named: Hash,
    },
    /// A smaller epoch stands after a larger one.
    #[error("record {seq} has epoch {found} although epoch {before} came before it")]
    EpochFell {
        /// The record at fault.
        seq: Seq,
        /// Its epoch.
        found: Epoch,
        /// The epoch before.
        before: Epoch,
    },
}

/// Checks a stream record by record, from its first or from a floor.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChainCheck {
    last: Option<Head>,
    first: Seq,
}

impl ChainCheck {
    /// Starts at the beginning of a stream, or at its floor; a floor's first record is taken at its word for `prev`.
    #[must_use]
    pub fn from(first: Seq) -> Self {
        Self { last: None, first }
    }

    /// Goes on after a record that is already known to be sound.
    #[must_use]
    pub fn after(head: Head) -> Self {
        Self { last: Some(head), first: head.seq.next() }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// How it fails to follow.
    pub fn push<B>(&mut self, sealed: &Sealed<B>) -> Result<(), Break> {
        let record = &sealed.record;
        let expected = self.last.map_or(self.first, |head| head.seq.next());
        if record.seq != expected {
            return Err(Break::Gap { expected, found: record.seq });
        }
        match self.last {
            Some(head) if record.prev != head.hash => {
                return Err(Break::Unlinked { seq: record.seq, named: record.prev });
            }
            Some(head) if record.epoch < head.epoch => {
                return Err(Break::EpochFell { seq: record.seq, found: record.epoch, before: head.epoch });
            }
            None if record.seq == Seq(0) && record.prev != Hash::ZERO => {
                return Err(Break::Unlinked { seq: record.seq, named: record.prev });
            }
            Some(_) | None => {}
        }
        self.last = Some(sealed.head());
        Ok(())
    }

    /// The newest record taken.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{FORMAT, Record, seal};
    use super::*;

    fn sealed(seq: u64, epoch: u64, prev: Hash) -> Sealed<String> {
        seal(Record {
            format: FORMAT,
            stream: "watch/w".into(),
            seq: Seq(seq),
            epoch: Epoch(epoch),
            at: crate::time::Stamp(0),
            node: "a".into(),
            prev,
            body: String::new(),
        })
    }

    #[test]
    fn j1_j4_h1_each_way_of_not_following_is_told_apart() {
        let stray = Hash::of(b"another");
        let unlinked = |seq| Err(Break::Unlinked { seq: Seq(seq), named: stray });
        assert_eq!(ChainCheck::default().push(&sealed(0, 1, stray)), unlinked(0), "the first follows nothing");
        let floor = ChainCheck::from(Seq(7)).push(&sealed(7, 1, stray));
        assert_eq!(floor, Ok(()), "what stands at a floor is taken at its word");
        let mut chain = ChainCheck::default();
        let first = sealed(0, 2, Hash::ZERO);
        assert_eq!((chain.push(&first), chain.head()), (Ok(()), Some(first.head())));
        assert_eq!(chain.push(&sealed(2, 2, first.hash)), Err(Break::Gap { expected: Seq(1), found: Seq(2) }));
        assert_eq!(chain.push(&sealed(1, 2, stray)), unlinked(1));
        let fell = Break::EpochFell { seq: Seq(1), found: Epoch(1), before: Epoch(2) };
        assert_eq!(chain.push(&sealed(1, 1, first.hash)), Err(fell));
        assert_eq!((chain.push(&sealed(1, 2, first.hash)), chain.head().map(|head| head.seq)), (Ok(()), Some(Seq(1))));
        assert_eq!(ChainCheck::after(first.head()).push(&sealed(1, 3, first.hash)), Ok(()));
    }
}
