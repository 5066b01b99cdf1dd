//! What stands in the lease's store: cells with versions, and who attends to them.

use std::collections::BTreeMap;

use hb_store::lease::register::LEASE_CELL;
use hb_store::register::{Cell, CellVersion, Swapped};

use super::line::Line;
use crate::planted::Planted;
use crate::stage::{Stage, Store};

/// The cells.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    cells: BTreeMap<String, Cell>,
    given: u64,
    /// Which process attends to a cell.
    attended: BTreeMap<String, (usize, u64)>,
    /// Cells whose attender has gone, as the store has noticed.
    abandoned: BTreeMap<String, ()>,
}

impl Cells {
    pub(crate) fn get(&self, name: &str) -> Option<Cell> {
        self.cells.get(name).cloned()
    }

    pub(crate) fn list(&self, prefix: &str, most: usize) -> Vec<(String, Cell)> {
        let found = self.cells.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        found.take(most).map(|(name, cell)| (name.clone(), cell.clone())).collect()
    }

    pub(crate) fn is_abandoned(&self, name: &str) -> bool {
        self.abandoned.contains_key(name)
    }

    pub(crate) fn attend(&mut self, name: &str, by: Line) -> Result<(), String> {
        let me = (by.machine, by.life);
        match self.attended.get(name) {
            Some(other) if *other != me && !self.is_abandoned(name) => Err("another process attends to it".into()),
            Some(_) | None => {
                self.attended.insert(name.to_owned(), me);
                self.abandoned.remove(name);
                Ok(())
            }
        }
    }

    pub(crate) fn leave(&mut self, name: &str, by: Line) {
        if self.attended.get(name) == Some(&(by.machine, by.life)) {
            self.attended.remove(name);
        }
    }

    /// The store notices that a process has gone.
    pub(crate) fn gone(&mut self, machine: usize, life: u64) {
        let gone: Vec<String> =
            self.attended.iter().filter(|(_, by)| **by == (machine, life)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            self.attended.remove(&name);
            self.abandoned.insert(name, ());
        }
    }

    /// Changes a cell under the version that was seen; `bytes` none: removes it.
    pub(crate) fn change(
        stage: &Stage,
        by: Line,
        name: &str,
        seen: Option<&CellVersion>,
        bytes: Option<&[u8]>,
    ) -> Swapped {
        let mut cells = stage.cells.borrow_mut();
        let there = cells.cells.get(name).cloned();
        let blind = stage.planted(Planted::BlindSwap) && there.is_some();
        if there.as_ref().map(|cell| &cell.version) != seen {
            if !blind {
                return Swapped::Lost(there);
            }
            stage.reached("planted");
        }
        cells.given += 1;
        let version = CellVersion(cells.given.to_string());
        cells.abandoned.remove(name);
        match bytes {
            Some(bytes) => {
                cells.cells.insert(name.to_owned(), Cell { bytes: bytes.to_vec(), version: version.clone() });
            }
            None => drop(cells.cells.remove(name)),
        }
        drop(cells);
        stage.kernel.trace.note_bytes(7, bytes.unwrap_or_default());
        if name == LEASE_CELL {
            let found = stage.ledger.borrow_mut().lease.swapped(stage, by, (there.as_ref(), seen), bytes);
            stage.judge(found);
        }
        stage.kernel.wake_all(stage.lease_changed);
        Swapped::Done(version)
    }
}

/// Whether a process can reach the lease's store at all.
pub(crate) fn reaches(stage: &Stage, line: Line) -> bool {
    let path = stage.path(line.machine, Store::Lease);
    !path.cut && !path.mute && !stage.is_away(Store::Lease)
}
