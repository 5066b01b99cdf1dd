//! Negative controls: registers that bend one law each. A suite that passes one of them is worth nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use super::all;
use crate::register::memory::MemoryRegister;
use crate::register::{Cell, CellVersion, NAME_MAX, Register, RegisterError, Swapped, Woken};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Not at all: the suite must pass it.
    Straight,
    /// Reads and then writes, with a moment between.
    ChecksThenActs,
    /// Does not compare at all.
    IgnoresVersions,
    /// Says that it lost, but not to what.
    SaysNothing,
    /// Equal bytes have equal versions.
    VersionsByBytes,
    /// A removal is acknowledged and not done.
    KeepsRemoved,
    /// A swap is acknowledged and not done, now and then.
    Forgets,
    /// A list is longer than asked for.
    ListsAll,
    /// Names may be of any length.
    TakesAnyName,
    /// A waiter is not told of what happened just before.
    LosesWakes,
    /// Takes every cell's change for that of the one that is waited for.
    WakesForOthers,
}

struct Bent {
    inner: MemoryRegister,
    how: How,
    count: u64,
}

impl Bent {
    fn bend(&self, cell: Cell) -> Cell {
        if self.how == How::VersionsByBytes {
            return Cell { version: CellVersion(format!("{:?}", cell.bytes)), ..cell };
        }
        cell
    }

    /// The true version of what stands, if `seen` is what a bent handle would have shown of it.
    fn true_version(&mut self, name: &str, seen: Option<&CellVersion>) -> Option<CellVersion> {
        let there = self.inner.read(name).ok().flatten();
        match (self.how, there) {
            (How::VersionsByBytes, Some(cell)) if seen == Some(&self.bend(cell.clone()).version) => Some(cell.version),
            (How::IgnoresVersions, there) => there.map(|cell| cell.version),
            (How::ChecksThenActs, there) if there.as_ref().map(|cell| &cell.version) == seen => {
                std::thread::sleep(Duration::from_millis(1));
                self.inner.read(name).ok().flatten().map(|cell| cell.version)
            }
            (_, _) => seen.cloned(),
        }
    }

    fn tell(&self, swapped: Swapped, bytes: &[u8]) -> Swapped {
        match (self.how, swapped) {
            (How::SaysNothing, Swapped::Lost(Some(cell))) => Swapped::Lost(Some(Cell { bytes: Vec::new(), ..cell })),
            (How::VersionsByBytes, Swapped::Done(_)) => Swapped::Done(CellVersion(format!("{bytes:?}"))),
            (_, Swapped::Lost(Some(cell))) => Swapped::Lost(Some(self.bend(cell))),
            (_, swapped) => swapped,
        }
    }
}

impl Register for Bent {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        if self.how == How::TakesAnyName && name.len() > NAME_MAX {
            return Ok(None);
        }
        let read = self.inner.read(name)?;
        Ok(read.map(|cell| self.bend(cell)))
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        self.count += 1;
        if self.how == How::TakesAnyName && name.len() > NAME_MAX {
            return Swapped::Done(CellVersion("1".into()));
        }
        if self.how == How::Forgets && self.count.is_multiple_of(7) {
            return Swapped::Done(CellVersion("lost".into()));
        }
        let seen = self.true_version(name, seen);
        let swapped = self.inner.swap(name, seen.as_ref(), bytes);
        self.tell(swapped, bytes)
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        if self.how == How::KeepsRemoved {
            return Swapped::Done(seen.clone());
        }
        let Some(version) = self.true_version(name, Some(seen)) else { return Swapped::Lost(None) };
        match self.inner.remove(name, &version) {
            Swapped::Done(_) => Swapped::Done(seen.clone()),
            other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => self.tell(other, &[]),
        }
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        let most = if self.how == How::ListsAll { usize::MAX } else { most };
        let listed = self.inner.list(prefix, most)?;
        Ok(listed.into_iter().map(|(name, cell)| (name, self.bend(cell))).collect())
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        let there = self.inner.read(name)?;
        match self.how {
            How::LosesWakes if patience.is_zero() => Ok(Woken::Patience),
            How::WakesForOthers if !self.inner.list("b", 1)?.is_empty() => Ok(Woken::Changed),
            How::VersionsByBytes if there.clone().map(|cell| self.bend(cell).version).as_ref() == seen => {
                self.inner.wait(name, there.map(|cell| cell.version).as_ref(), patience)
            }
            How::Straight
            | How::ChecksThenActs
            | How::IgnoresVersions
            | How::SaysNothing
            | How::VersionsByBytes
            | How::KeepsRemoved
            | How::Forgets
            | How::ListsAll
            | How::TakesAnyName
            | How::LosesWakes
            | How::WakesForOthers => self.inner.wait(name, seen, patience),
        }
    }
}

#[test]
fn negative_control_every_bent_law_is_caught() {
    let caught = |how: How| {
        let suite = || {
            all(|| {
                let inner = Mutex::new(MemoryRegister::new());
                move || {
                    let inner = inner.lock().unwrap().clone();
                    Box::new(Bent { inner, how, count: 0 }) as Box<dyn Register>
                }
            });
        };
        catch_unwind(AssertUnwindSafe(suite)).is_err()
    };
    assert!(!caught(How::Straight));
    for how in [
        How::ChecksThenActs,
        How::IgnoresVersions,
        How::SaysNothing,
        How::VersionsByBytes,
        How::KeepsRemoved,
        How::Forgets,
        How::ListsAll,
        How::TakesAnyName,
        How::LosesWakes,
        How::WakesForOthers,
    ] {
        assert!(caught(how), "{how:?} passes the suite");
    }
}
