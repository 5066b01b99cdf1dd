//! The register's port of a process, over a line to the store that all share.

use std::time::Duration;

use hb_runtime::clock;
use hb_store::register::{Cell, CellVersion, Hears, Register, RegisterError, Swapped, Woken};

use super::cells::{Cells, reaches};
use super::line::{Answer, Does, Line};
use crate::stage::here;

/// A process's handle on the register.
#[derive(Debug)]
pub(crate) struct Port {
    line: Line,
}

impl Port {
    pub(crate) fn new(line: Line) -> Self {
        Self { line }
    }

    fn change(&self, name: &str, seen: Option<&CellVersion>, bytes: Option<&[u8]>) -> Swapped {
        let (by, of, seen, what) = (self.line, name.to_owned(), seen.cloned(), bytes.map(<[u8]>::to_vec));
        let done = move |stage: &crate::stage::Stage| Cells::change(stage, by, &of, seen.as_ref(), what.as_deref());
        match self.line.ask(Does::Changes, done) {
            Answer::Told(swapped) => swapped,
            Answer::Unknown(why) => Swapped::Unknown(why.into()),
            Answer::Refused(why) => Swapped::Failed(why.into()),
        }
    }
}

fn told<T>(answer: Answer<T>) -> Result<T, RegisterError> {
    match answer {
        Answer::Told(given) => Ok(given),
        Answer::Unknown(why) | Answer::Refused(why) => Err(RegisterError(why.into())),
    }
}

impl Register for Port {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        let of = name.to_owned();
        told(self.line.ask(Does::Reads, move |stage| stage.cells.borrow().get(&of)))
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        self.change(name, seen, Some(bytes))
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        self.change(name, Some(seen), None)
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        let of = prefix.to_owned();
        told(self.line.ask(Does::Reads, move |stage| stage.cells.borrow().list(&of, most)))
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        if !self.line.lives() {
            return Err(RegisterError("the process has ended".into()));
        }
        let stage = here();
        let until = clock::after(patience);
        loop {
            // What happens on the way is not told while there is no way.
            if reaches(&stage, self.line) {
                let cells = stage.cells.borrow();
                if cells.get(name).as_ref().map(|cell| &cell.version) != seen {
                    return Ok(Woken::Changed);
                }
                if cells.is_abandoned(name) {
                    return Ok(Woken::Abandoned("its session has ended".into()));
                }
            }
            let left = clock::until(until);
            if left.is_zero() || !self.line.lives() {
                break;
            }
            let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
            stage.kernel.wait_for(stage.lease_changed, stage.kernel.now().saturating_add(left));
        }
        if reaches(&stage, self.line) {
            return Ok(Woken::Patience);
        }
        Err(RegisterError("the connection is broken".into()))
    }

    fn hears(&self) -> Hears {
        if here().plan.engine.tells { Hears::Told } else { Hears::Asks }
    }

    fn attend(&mut self, name: &str) -> Result<(), RegisterError> {
        let stage = here();
        if !stage.plan.engine.notices {
            return Ok(());
        }
        if !reaches(&stage, self.line) {
            return Err(RegisterError("the connection is broken".into()));
        }
        let attended = stage.cells.borrow_mut().attend(name, self.line);
        attended.map_err(RegisterError)
    }

    fn leave(&mut self, name: &str) {
        if self.line.lives() {
            here().cells.borrow_mut().leave(name, self.line);
        }
    }
}
