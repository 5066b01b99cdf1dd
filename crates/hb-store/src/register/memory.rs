//! A register in memory, shared by the handles of one process: for tests and for the simulation.
//!
//! **Invariants.** Versions are numbers of one counter for all cells that only grows, so none comes again. A handle that is dropped
//! (or [`MemoryRegister::crash`]es) while it attends to a cell leaves it abandoned, until somebody changes or attends to the cell.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Cell, CellVersion, Register, RegisterError, Swapped, Woken, check, check_name};

/// Something that goes wrong with one swap or removal of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// It is done, but the answer is lost.
    DoneButUnknown,
    /// It is not done, and no answer comes.
    NotDoneAndUnknown,
    /// It is refused for the moment.
    Failed,
}

#[derive(Debug, Default)]
struct Cells {
    cells: BTreeMap<String, Cell>,
    given: u64,
    /// Which handle attends to a cell; none: it is gone.
    attended: BTreeMap<String, Option<u64>>,
}

impl Cells {
    fn next(&mut self) -> CellVersion {
        self.given = self.given.saturating_add(1);
        CellVersion(self.given.to_string())
    }

    fn changed(&mut self, name: &str) {
        if self.attended.get(name) == Some(&None) {
            self.attended.remove(name);
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    cells: Mutex<Cells>,
    change: Condvar,
    handles: AtomicU64,
}

/// One handle; a clone is another handle on the same cells.
#[derive(Debug)]
pub struct MemoryRegister {
    shared: Arc<Shared>,
    id: u64,
    mishaps: VecDeque<Mishap>,
    cut: Option<String>,
    /// After so many more swaps or removals it is cut, for that reason.
    cut_after: Option<(usize, String)>,
}

impl Default for MemoryRegister {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MemoryRegister {
    fn clone(&self) -> Self {
        Self::handle(&self.shared)
    }
}

impl Drop for MemoryRegister {
    fn drop(&mut self) {
        self.crash();
    }
}

impl MemoryRegister {
    /// An empty register.
    #[must_use]
    pub fn new() -> Self {
        Self::handle(&Arc::default())
    }

    fn handle(shared: &Arc<Shared>) -> Self {
        let id = shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), id, mishaps: VecDeque::new(), cut: None, cut_after: None }
    }

    /// Lets the next swap or removal of this handle go wrong; several queue up.
    pub fn suffer(&mut self, mishap: Mishap) {
        self.mishaps.push_back(mishap);
    }

    /// From now on this handle reaches nothing, for that reason; `None`: it does again.
    pub fn cut(&mut self, why: Option<&str>) {
        self.cut = why.map(str::to_owned);
    }

    /// After so many more swaps or removals, whatever becomes of them, this handle reaches nothing.
    pub fn cut_after_swaps(&mut self, swaps: usize, why: &str) {
        self.cut_after = Some((swaps, why.to_owned()));
    }

    /// What the engine sees when this handle's process ends.
    pub fn crash(&mut self) {
        let mut cells = self.cells();
        for attender in cells.attended.values_mut().filter(|attender| **attender == Some(self.id)) {
            *attender = None;
        }
        drop(cells);
        self.shared.change.notify_all();
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        // Nothing here panics halfway through a change.
        self.shared.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self) -> Result<(), RegisterError> {
        self.cut.clone().map_or(Ok(()), |why| Err(RegisterError(why)))
    }

    /// A change under the version that was seen; `change` makes it.
    fn change(
        &mut self,
        name: &str,
        seen: Option<&CellVersion>,
        change: impl FnOnce(&mut Cells) -> CellVersion,
    ) -> Swapped {
        if let Err(RegisterError(why)) = self.reach() {
            return Swapped::Unknown(why);
        }
        if let Some((left, why)) = self.cut_after.take() {
            match left.checked_sub(1) {
                Some(0) | None => self.cut = Some(why),
                Some(left) => self.cut_after = Some((left, why)),
            }
        }
        let mishap = self.mishaps.pop_front();
        match mishap {
            Some(Mishap::NotDoneAndUnknown) => return Swapped::Unknown("no answer came".into()),
            Some(Mishap::Failed) => return Swapped::Failed("refused for the moment".into()),
            Some(Mishap::DoneButUnknown) | None => {}
        }
        let mut cells = self.cells();
        let there = cells.cells.get(name);
        if there.map(|cell| &cell.version) != seen {
            return Swapped::Lost(there.cloned());
        }
        let version = change(&mut cells);
        cells.changed(name);
        drop(cells);
        self.shared.change.notify_all();
        if mishap.is_some() { Swapped::Unknown("the answer was lost".into()) } else { Swapped::Done(version) }
    }
}

impl Register for MemoryRegister {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        self.reach()?;
        Ok(self.cells().cells.get(name).cloned())
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        if let Err(why) = check(name, bytes) {
            return Swapped::Failed(why);
        }
        self.change(name, seen, |cells| {
            let version = cells.next();
            cells.cells.insert(name.to_owned(), Cell { bytes: bytes.to_vec(), version: version.clone() });
            version
        })
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        if let Err(why) = check_name(name) {
            return Swapped::Failed(why);
        }
        self.change(name, Some(seen), |cells| {
            cells.cells.remove(name);
            seen.clone()
        })
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        self.reach()?;
        let cells = self.cells();
        let found = cells.cells.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        Ok(found.take(most).map(|(name, cell)| (name.clone(), cell.clone())).collect())
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        self.reach()?;
        let begun = Instant::now();
        let mut cells = self.cells();
        loop {
            if cells.cells.get(name).map(|cell| &cell.version) != seen {
                return Ok(Woken::Changed);
            }
            if cells.attended.get(name) == Some(&None) {
                return Ok(Woken::Abandoned("the handle that attended to it is gone".into()));
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(Woken::Patience);
            }
            let woken = self.shared.change.wait_timeout(cells, left);
            cells = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn attend(&mut self, name: &str) -> Result<(), RegisterError> {
        check_name(name).map_err(RegisterError)?;
        self.reach()?;
        let mut cells = self.cells();
        match cells.attended.get(name) {
            Some(Some(other)) if *other != self.id => {
                Err(RegisterError(format!("another handle attends to {name} already")))
            }
            Some(_) | None => {
                cells.attended.insert(name.to_owned(), Some(self.id));
                Ok(())
            }
        }
    }

    fn leave(&mut self, name: &str) {
        let mut cells = self.cells();
        if cells.attended.get(name) == Some(&Some(self.id)) {
            cells.attended.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::registers;

    fn fresh() -> impl Fn() -> Box<dyn Register> + Sync {
        let first = Mutex::new(MemoryRegister::new());
        move || Box::new(first.lock().unwrap().clone()) as Box<dyn Register>
    }

    #[test]
    fn it_obeys_every_law_of_a_register() {
        registers::all(fresh);
        registers::abandonment_is_told(&fresh());
    }

    #[test]
    fn mishaps_come_in_order_and_say_what_they_are() {
        let mut register = MemoryRegister::new();
        register.suffer(Mishap::NotDoneAndUnknown);
        register.suffer(Mishap::DoneButUnknown);
        register.suffer(Mishap::Failed);
        assert!(matches!(register.swap("a", None, b"1"), Swapped::Unknown(_)));
        assert_eq!(register.read("a"), Ok(None));
        assert!(matches!(register.swap("a", None, b"2"), Swapped::Unknown(_)));
        assert_eq!(register.read("a").unwrap().unwrap().bytes, b"2");
        assert!(matches!(register.swap("a", None, b"3"), Swapped::Failed(_)));
        register.cut(Some("no route to host"));
        assert!(register.read("a").unwrap_err().0.contains("no route"));
    }
}
