//! Making the tables again from the records.

use hb_core::ids::StreamName;
use rusqlite::Transaction;

use super::schema::STATE_TABLES;
use super::tables::Tables;
use super::{SupervisorDb, restore};
use crate::journal::sqlite::Rows;
use crate::port::{Appended, JournalError};
use crate::sqlite::{Halt, as_error};

/// What making the tables again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// Records that they were made from.
    pub records: u64,
}

impl SupervisorDb {
    /// Makes the tables again from the records: the state wholly, of history what records still tell. Older history stays as it is.
    ///
    /// # Errors
    /// When a record is damaged, which it names, or the file cannot be written; then nothing was changed.
    pub fn rebuild_tables(&mut self) -> Result<Rebuilt, JournalError> {
        self.tables.forget();
        let Some(stream) = self.find_stream()? else { return Ok(Rebuilt::default()) };
        let path = self.handle.path().display().to_string();
        let mut damaged = None;
        let done = self.handle.transact(|tx| {
            rebuild(tx, &stream)?.map_err(|damage| {
                let what = format!("{path}, {damage}");
                damaged = Some(what.clone());
                Halt::Ended(Appended::Failed(what))
            })
        });
        match (done, damaged) {
            (Ok(records), _) => Ok(Rebuilt { records }),
            (Err(_), Some(damage)) => Err(JournalError::Corrupt(damage)),
            (Err(ended), None) => Err(as_error(ended)),
        }
    }
}

fn rebuild(tx: &Transaction<'_>, stream: &StreamName) -> rusqlite::Result<Result<u64, String>> {
    for (table, _) in STATE_TABLES {
        tx.execute(&format!("DELETE FROM {table}"), [])?;
    }
    tx.execute("DELETE FROM applied", [])?;
    let rows = Rows(tx, stream);
    let from = restore::start(rows)?.seq;
    let mut tables = Tables::default();
    // What was trimmed or damaged in history before the snapshot is told again first; state is not.
    let mut records = 0_u64;
    for (seq, bytes) in rows.read(rows.floor()?, usize::MAX)? {
        let one = match restore::decode(stream, seq, bytes) {
            Ok(one) => one,
            Err(damage) => return Ok(Err(damage)),
        };
        records = records.saturating_add(1);
        if seq < from {
            tables.apply_history(tx, &one.record)?;
        } else if seq == from {
            tables.apply_first(tx, &one.record, one.hash)?;
        } else {
            tables.apply(tx, &one.record, one.hash)?;
        }
    }
    Ok(Ok(records))
}
