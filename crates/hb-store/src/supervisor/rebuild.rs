//! Making the tables again from the records.

use hb_core::ids::StreamName;
use hb_core::journal::ChainCheck;
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

/// Records that are held at once.
const PAGE: usize = 64;

impl SupervisorDb {
    /// Makes the tables again from the records: the state wholly, of history what records still tell. Older history stays as it is.
    ///
    /// # Errors
    /// When a record is damaged, which it names, or the file cannot be written; then nothing was changed.
    pub fn rebuild_tables(&mut self) -> Result<Rebuilt, JournalError> {
        let Some(stream) = self.find_stream()? else { return Ok(Rebuilt::default()) };
        self.repair(|tx| rebuild(tx, &stream)).map(|records| Rebuilt { records })
    }

    /// Does it in one transaction with the tables forgotten; what says that it cannot be changes nothing.
    pub(super) fn repair<T>(
        &mut self,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T, String>>,
    ) -> Result<T, JournalError> {
        self.tables.forget();
        let path = self.handle.path().display().to_string();
        let mut damaged = None;
        let done = self.handle.transact(|tx| {
            act(tx)?.map_err(|damage| {
                let what = format!("{path}, {damage}");
                damaged = Some(what.clone());
                Halt::Ended(Appended::Failed(what))
            })
        });
        match (done, damaged) {
            (Ok(value), _) => Ok(value),
            (Err(_), Some(damage)) => Err(JournalError::Corrupt(damage)),
            (Err(ended), None) => Err(as_error(ended)),
        }
    }
}

/// Makes the tables again inside a transaction; or why they cannot be made.
pub(super) fn rebuild(tx: &Transaction<'_>, stream: &StreamName) -> rusqlite::Result<Result<u64, String>> {
    for (table, _) in STATE_TABLES {
        tx.execute(&format!("DELETE FROM {table}"), [])?;
    }
    tx.execute("DELETE FROM applied", [])?;
    let rows = Rows(tx, stream);
    let from = restore::start(rows)?.seq;
    let mut tables = Tables::default();
    // What was lost of history before the snapshot is told again; a record that is damaged there is not needed.
    let mut next = rows.floor()?;
    let mut check = ChainCheck::from(from);
    let mut records = 0_u64;
    loop {
        let page = rows.read(next, PAGE)?;
        if page.is_empty() {
            return Ok(Ok(records));
        }
        for (seq, bytes) in page {
            next = seq.next();
            records = records.saturating_add(1);
            match restore::decode(stream, seq, bytes) {
                Ok(one) if seq < from => tables.apply_history(tx, &one.record)?,
                Err(_) if seq < from => {}
                Ok(one) => {
                    if let Err(broken) = check.push(&one) {
                        return Ok(Err(format!("stream {stream}, record {seq}: {broken}")));
                    }
                    let whole = if seq == from { Tables::apply_first } else { Tables::apply };
                    whole(&mut tables, tx, &one.record, one.hash)?;
                }
                Err(damage) => return Ok(Err(damage)),
            }
        }
    }
}
