//! What an operator can do when the newest records are damaged: look what would be lost, and go on from the last good one.
//!
//! **Invariants.** What is set aside keeps its bytes, in the table `set_aside`; what stays is a state that hb starts from, or nothing is changed. A
//! rehearsal and the act are the same transaction, but for its end.

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Head;
use hb_core::supervise::state::Fold;
use hb_core::time::Stamp;
use rusqlite::{OptionalExtension as _, Transaction};

use super::{SupervisorDb, applied, restore};
use crate::journal::sqlite::Rows;
use crate::port::JournalError;
use crate::sqlite::{int, natural};

/// Most forgotten events that are named (B1); all of them are counted.
pub const LOST_TOLD_MAX: usize = 200;

/// Where the records stop being readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The first record that is damaged, missing, or does not follow.
    pub from: Seq,
    /// What is wrong with it.
    pub what: String,
    /// The newest sound record before it; none when not even the first that a start needs is sound.
    pub good: Option<Head>,
}

/// What setting records aside comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Records that are set aside.
    pub records: u64,
    /// The newest that stays.
    pub newest: Seq,
    /// When it was written, by the clock of who wrote it.
    pub at: Stamp,
    /// Events that are forgotten.
    pub events: u64,
    /// The first of them, each in words: what the tables still tell of it.
    pub told: Vec<String>,
}

/// How far a repair goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything is tried, and taken back.
    Rehearse,
    /// It is done.
    Do,
}

impl SupervisorDb {
    /// Where the records stop being readable; `None` when all of them from the newest snapshot on are sound.
    ///
    /// # Errors
    /// When the file itself cannot be read.
    pub fn damaged(&mut self) -> Result<Option<Damaged>, JournalError> {
        self.handle.readable()?;
        let Some(stream) = self.find_stream()? else { return Ok(None) };
        let unread = |error: rusqlite::Error| self.handle.unread(&error);
        let tx = self.handle.connection.unchecked_transaction().map_err(unread)?;
        let rows = Rows(&tx, &stream);
        let start = restore::start(rows).map_err(unread)?.seq;
        let mut fold = Fold::default();
        match restore::read_back(self.path(), rows, &mut |sealed| fold.push(sealed)) {
            Ok(_) => Ok(None),
            Err(JournalError::Corrupt(what)) => {
                let from = match fold.head {
                    Some(head) => head.seq.next(),
                    None => first_bad(rows, start).map_err(unread)?,
                };
                Ok(Some(Damaged { from, what, good: fold.head }))
            }
            Err(other) => Err(other),
        }
    }

    /// Takes record `from` and all after it out of the stream, into the table `set_aside`, and makes the tables again from what stays: so that
    /// hb starts from the last good record when the newest ones are damaged. **What they recorded is forgotten, acts among it**: this is for a
    /// person to decide, with no hb running.
    ///
    /// # Errors
    /// When what stays is no state to start from, or the file cannot be written; then nothing was changed.
    pub fn set_aside(&mut self, from: Seq, extent: Extent) -> Result<SetAside, JournalError> {
        let Some(stream) = self.find_stream()? else {
            return Err(JournalError::Unavailable(format!("{} has no record yet", self.path().display())));
        };
        self.head = None;
        self.seen = None;
        let path = self.path().to_path_buf();
        let mut rehearsed = None;
        let done = self.repair(|tx| {
            let place = (stream.as_str(), int(from.0));
            tx.execute("INSERT INTO set_aside (stream, seq, bytes) SELECT stream, seq, bytes FROM journal WHERE stream = ?1 AND seq >= ?2", place)?;
            let gone = tx.execute("DELETE FROM journal WHERE stream = ?1 AND seq >= ?2", place)?;
            if Rows(tx, &stream).head()?.is_none() {
                return Ok(Err(format!("stream {stream}, record {from}: no record would stay; restore a copy")));
            }
            if let Err(damage) = super::rebuild::rebuild(tx, &stream)? {
                return Ok(Err(damage));
            }
            let (events, told) = forget_unsaid(tx, &stream)?;
            // A start has to find what it needs.
            if let Err(error) = restore::read_back(&path, Rows(tx, &stream), &mut |_| ()) {
                return Ok(Err(format!("what would stay is no state to start from: {error}")));
            }
            let Some((newest, at)) = newest(tx, &stream)? else {
                return Ok(Err(format!("stream {stream}: nothing would stay; restore a copy")));
            };
            let aside = SetAside { records: u64::try_from(gone).unwrap_or(u64::MAX), newest, at, events, told };
            match extent {
                Extent::Do => Ok(Ok(aside)),
                Extent::Rehearse => {
                    rehearsed = Some(aside);
                    // Said to be impossible, so that all of it is taken back.
                    Ok(Err("rehearsed".to_owned()))
                }
            }
        });
        match rehearsed {
            Some(aside) => Ok(aside),
            None => done,
        }
    }
}

/// The record at fault where not even the first that was needed could be read: that one, or the one before it that it is chained to.
fn first_bad(rows: Rows<'_>, start: Seq) -> rusqlite::Result<Seq> {
    let Some(before) = start.0.checked_sub(1).map(Seq) else { return Ok(start) };
    let Some(bytes) = rows.record(before)? else { return Ok(start) };
    Ok(if restore::decode(rows.1, before, bytes).is_ok() { start } else { before })
}

fn newest(tx: &Transaction<'_>, stream: &StreamName) -> rusqlite::Result<Option<(Seq, Stamp)>> {
    let Some(at) = applied(tx, stream)? else { return Ok(None) };
    let written: Option<String> =
        tx.query_row("SELECT at FROM applied WHERE stream = ?1", [stream.as_str()], |row| row.get(0)).optional()?;
    Ok(written.and_then(|text| Stamp::parse(&text).ok()).map(|stamp| (at.seq, stamp)))
}

/// Removes what was numbered by records that were set aside: their numbers are given again. Gives how many events were among it, and the first in words.
fn forget_unsaid(tx: &Transaction<'_>, stream: &StreamName) -> rusqlite::Result<(u64, Vec<String>)> {
    let next = |counter: &str| -> rusqlite::Result<i64> {
        let sql = "SELECT counters ->> ?2 FROM applied WHERE stream = ?1";
        tx.query_row(sql, (stream.as_str(), counter), |row| row.get(0))
    };
    let from = next("event")?;
    let events =
        tx.query_row("SELECT count(*) FROM supervisor_events WHERE id >= ?1", [from], |row| natural(row, 0))?;
    let sql = "SELECT timestamp || ' ' || coalesce(process_id || ' ', supervisor_id || ' ', '') || event_type || ': ' || message
               FROM supervisor_events WHERE id >= ?1 ORDER BY id LIMIT ?2";
    let most = crate::sqlite::count(LOST_TOLD_MAX);
    let told =
        tx.prepare(sql)?.query_map((from, most), |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    for (table, number, counter) in [
        ("supervisor_events", "id", "event"),
        ("supervisor_policy_evaluations", "id", "evaluation"),
        ("supervisor_interventions", "number", "intervention"),
        ("supervisor_alert_groups", "number", "group"),
    ] {
        tx.execute(&format!("DELETE FROM {table} WHERE {number} >= ?1"), [next(counter)?])?;
    }
    Ok((events, told))
}
