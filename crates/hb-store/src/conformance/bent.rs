//! Negative controls: journals that bend one law each. A suite that passes one of them is worth nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hb_core::ids::{Seq, StreamName};

use crate::journal::memory::MemoryJournal;
use crate::port::{Appended, Journal, JournalError, Standing};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Not at all: the suite must pass it.
    Straight,
    /// J1, J2: other bytes replace what stands.
    Replaces,
    /// J1: a number may be skipped.
    LeavesGaps,
    /// J2: says that the number is taken, but not by what.
    SaysNothing,
    /// J3: the newest record is acknowledged and lost.
    Forgets,
    /// J5: our own bytes, again, are taken for somebody else's.
    DoubtsItself,
    /// J6: what was trimmed may be appended again.
    Reopens,
    /// J6: a late trim lowers the floor.
    LowersFloor,
}

#[derive(Clone)]
struct Bent {
    inner: MemoryJournal,
    how: How,
}

impl Journal for Bent {
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
        self.inner.head(stream)
    }

    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        let appended = self.inner.append(stream, seq, bytes);
        match (self.how, &appended) {
            (How::Replaces, Appended::Refused(Standing::Taken(_)))
            | (How::LeavesGaps, Appended::Failed(_))
            | (How::Reopens, Appended::Refused(Standing::BelowFloor(_))) => {
                self.inner.damage(stream, seq, Some(bytes.to_vec()));
                Appended::Committed
            }
            (How::SaysNothing, Appended::Refused(Standing::Taken(_))) => Appended::Refused(Standing::Taken(Vec::new())),
            (How::Forgets, Appended::Committed) if seq.0 % 5 == 4 => {
                self.inner.damage(stream, seq, None);
                appended
            }
            (How::DoubtsItself, Appended::Committed) => {
                let again = self.inner.append(stream, seq, &[bytes, b"x"].concat());
                if seq == Seq(1) { again } else { appended }
            }
            (_, _) => appended,
        }
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.inner.read(stream, from, most)
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        let removed = self.inner.trim(stream, floor)?;
        if self.how == How::LowersFloor {
            self.inner.set_floor(stream, floor);
        }
        Ok(removed)
    }

    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError> {
        self.inner.floor(stream)
    }
}

#[test]
fn negative_control_every_bent_law_is_caught() {
    let caught = |how: How| {
        let suite = || {
            super::all(|| {
                let inner = MemoryJournal::new();
                move || Box::new(Bent { inner: inner.clone(), how }) as Box<dyn Journal>
            });
        };
        catch_unwind(AssertUnwindSafe(suite)).is_err()
    };
    assert!(!caught(How::Straight));
    for how in [
        How::Replaces,
        How::LeavesGaps,
        How::SaysNothing,
        How::Forgets,
        How::DoubtsItself,
        How::Reopens,
        How::LowersFloor,
    ] {
        assert!(caught(how), "{how:?} passes the suite");
    }
}
