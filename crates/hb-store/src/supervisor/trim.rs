//! Removing old records: never the newest snapshot or what follows it, never a number that could be given again (J6).

use hb_core::ids::Seq;

use super::SupervisorDb;
use crate::journal::sqlite::{Rows, TRIM_STEP};
use crate::port::JournalError;
use crate::sqlite::as_error;

/// Records that are kept whatever the floor: so many steps back can be looked at.
pub const RECORDS_KEPT: u64 = 1_000;

/// What trimming came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Records removed.
    pub removed: u64,
    /// The floor as it is now.
    pub floor: Seq,
    /// There is more to remove: call again when there is time.
    pub more: bool,
}

impl SupervisorDb {
    /// Raises the floor to `floor`, but not above the newest snapshot, nor so far that fewer than [`RECORDS_KEPT`] records stay; and removes
    /// records below it. One small transaction at a time: call again while there is more.
    ///
    /// # Errors
    /// [`JournalError`]; nothing was changed.
    pub fn trim(&mut self, floor: Seq) -> Result<Trimmed, JournalError> {
        self.trim_keeping(floor, RECORDS_KEPT)
    }

    /// The same with another number of records that stay.
    ///
    /// # Errors
    /// As [`Self::trim`].
    pub fn trim_keeping(&mut self, floor: Seq, keep: u64) -> Result<Trimmed, JournalError> {
        let Some(stream) = self.find_stream()? else { return Ok(Trimmed::default()) };
        let done = self.handle.transact(|tx| {
            let rows = Rows(tx, &stream);
            let old = rows.floor()?;
            let (Some(head), Some(snapshot)) = (rows.head()?, rows.snapshot()?) else {
                return Ok(Trimmed { floor: old, ..Trimmed::default() });
            };
            let spared = Seq(head.0.saturating_add(1).saturating_sub(keep.max(1)));
            let floor = floor.min(snapshot).min(spared).max(old);
            let removed = rows.trim(floor, TRIM_STEP)?;
            Ok(Trimmed { removed, floor, more: removed == TRIM_STEP })
        });
        done.map_err(as_error)
    }
}
