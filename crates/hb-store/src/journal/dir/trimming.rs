//! Raising a stream's floor and removing what lies below it (J6).

use hb_core::ids::Seq;

use super::{DirJournal, Stream, unavailable};
use crate::atomic::Publish;
use crate::journal::names::{self, FLOOR_SUFFIX, FLOORS};
use crate::port::JournalError;

/// Most records that one call of `trim` removes (B1); the next call goes on.
pub const TRIM_STEP: usize = 1000;

impl DirJournal {
    pub(super) fn trim_to(&mut self, stream: &mut Stream, floor: Seq) -> Result<u64, JournalError> {
        let standing = self.floor_in(&stream.dir)?;
        if floor > standing {
            self.gallop(stream)?;
            if stream.head.is_none_or(|head| floor > head) {
                return Err(JournalError::Unavailable(format!(
                    "floor {floor} is above the newest record of {}: nothing was trimmed",
                    stream.dir.display()
                )));
            }
            self.prepare(stream).map_err(|fault| JournalError::Unavailable(self.note(&fault)))?;
            self.raise(stream, floor)?;
            stream.settled = floor;
        }
        let floor = floor.max(standing);
        if floor > stream.settled {
            // Whoever raised it may have died before it was durable.
            let floors = stream.dir.join(FLOORS);
            self.disk.sync_dir(&floors).map_err(|fault| JournalError::Unavailable(self.note(&fault)))?;
            stream.settled = floor;
        }
        self.remove_below(stream, floor)
    }

    /// Publishes a floor, then removes the smaller ones.
    pub(super) fn raise(&mut self, stream: &Stream, floor: Seq) -> Result<(), JournalError> {
        let floors = stream.dir.join(FLOORS);
        // Empty, so that a floor can be raised, and room made, on a disk that is full.
        match self.disk.publish_new(&floors, &names::floor_file(floor), b"") {
            Publish::Done | Publish::Taken(_) => {}
            Publish::NotDone(fault) | Publish::Perhaps(fault) => {
                return Err(JournalError::Unavailable(self.note(&fault)));
            }
        }
        for name in self.disk.names(&floors).map_err(unavailable)? {
            if names::number(&name, FLOOR_SUFFIX).is_some_and(|old| old < floor) {
                self.disk.remove(&floors.join(name)).map_err(unavailable)?;
            }
        }
        Ok(())
    }

    fn remove_below(&self, stream: &mut Stream, floor: Seq) -> Result<u64, JournalError> {
        if stream.lowest.is_none() {
            let head = stream.head;
            self.list(stream)?;
            stream.head = stream.head.max(head);
        }
        let mut removed = 0_u64;
        let mut next = stream.lowest.unwrap_or(floor);
        for _ in 0..TRIM_STEP {
            if next >= floor {
                break;
            }
            if self.disk.remove(&stream.dir.join(names::record_file(next))).map_err(unavailable)? {
                removed = removed.saturating_add(1);
            }
            next = next.next();
        }
        stream.lowest = Some(next);
        Ok(removed)
    }
}
