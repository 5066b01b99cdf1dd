//! The journal as a table: a record is inserted under a primary key, so that a number is given exactly once.
//!
//! **Invariants.** A record is there wholly or not at all, and is never changed (J1, J3): each append is one transaction with
//! `synchronous=FULL`. The floor is raised in the transaction that removes the first records below it, and looked at in the one
//! that appends (J6). After a failed fsync this handle never writes again and does not claim to know what stands.

use std::path::Path;

use hb_core::ids::{Seq, StreamName};
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use crate::port::{Appended, Begun, Entry, Journal, JournalError, Standing, new_floor};
use crate::sqlite::{Halt, Handle, OpenError, Schema, as_error, int, natural};

/// Records that one transaction removes at most, so that nobody waits long for it.
pub const TRIM_STEP: u64 = 256;

/// Records and floors. `snapshot` marks records that everything older can be forgotten for.
pub(crate) const JOURNAL_TABLES: &str = "
CREATE TABLE journal (
  stream TEXT NOT NULL, seq INTEGER NOT NULL, snapshot INTEGER NOT NULL DEFAULT 0, bytes BLOB NOT NULL,
  PRIMARY KEY (stream, seq));
CREATE INDEX journal_snapshots ON journal (stream, seq) WHERE snapshot = 1;
CREATE TABLE floors (stream TEXT PRIMARY KEY, floor INTEGER NOT NULL) WITHOUT ROWID;
";

/// `hbjn` in ASCII stands in the file's head.
const SCHEMA: Schema = Schema { application: 0x6862_6A6E, name: "a journal of hb", migrations: &[JOURNAL_TABLES] };

/// A journal in an SQLite file.
#[derive(Debug)]
pub struct SqliteJournal {
    handle: Handle,
}

impl SqliteJournal {
    /// Opens the journal, making it when it is missing.
    ///
    /// # Errors
    /// When the file cannot be used: see [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { handle: Handle::open(path, &SCHEMA)? })
    }

    /// Why this handle has stopped writing for good, if it has.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.handle.stopped()
    }

    fn reading<T>(&self, read: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        self.handle.readable()?;
        let transaction = self.handle.connection.unchecked_transaction().map_err(|error| self.handle.unread(&error))?;
        read(&transaction).map_err(|error| self.handle.unread(&error))
    }
}

impl Journal for SqliteJournal {
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
        self.reading(|tx| Rows(tx, stream).head())
    }

    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        match self.handle.transact(|tx| append(tx, stream, seq, bytes)) {
            Ok(()) => Appended::Committed,
            Err(ended) => ended,
        }
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        let (records, head) = self.reading(|tx| {
            let rows = Rows(tx, stream);
            let from = from.max(rows.floor()?);
            Ok((rows.read(from, most)?, (from, rows.head()?)))
        })?;
        let (mut expected, head) = head;
        for (seq, _) in &records {
            if *seq != expected {
                return Err(self.missing(stream, expected));
            }
            expected = expected.next();
        }
        if records.len() < most && head.is_some_and(|head| head >= expected) {
            return Err(self.missing(stream, expected));
        }
        Ok(records)
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        let mut removed = 0_u64;
        loop {
            let step = self.trim_step(stream, floor)?;
            removed = removed.saturating_add(step);
            if step < TRIM_STEP {
                return Ok(removed);
            }
        }
    }

    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError> {
        self.reading(|tx| Rows(tx, stream).floor())
    }

    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, first: &[Entry]) -> Result<Begun, JournalError> {
        let floor = new_floor(stream, seen, first)?;
        self.handle.readable()?;
        let done = self.handle.transact(|tx| {
            let rows = Rows(tx, stream);
            let head = rows.head()?;
            if head != seen || rows.floor()? > floor {
                return Ok(Begun::Moved(head));
            }
            rows.trim(floor, i64::MAX.unsigned_abs())?;
            first.iter().try_for_each(|(seq, bytes)| rows.insert(*seq, bytes, IsSnapshot::No))?;
            Ok(Begun::Done)
        });
        done.map_err(as_error)
    }
}

impl SqliteJournal {
    fn missing(&self, stream: &StreamName, seq: Seq) -> JournalError {
        let path = self.handle.path().display();
        JournalError::Corrupt(format!(
            "{path}, stream {stream}, record {seq} is missing; restore it from a copy, or see docs/ops/repair.md"
        ))
    }

    fn trim_step(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        self.handle.readable()?;
        let done = self.handle.transact(|tx| {
            let rows = Rows(tx, stream);
            if floor > rows.floor()? && rows.head()?.is_none_or(|head| floor > head) {
                let what = format!("floor {floor} is above the newest record of {stream}: nothing was trimmed");
                return Err(Halt::Ended(Appended::Failed(what)));
            }
            Ok(rows.trim(floor, TRIM_STEP)?)
        });
        done.map_err(as_error)
    }
}

/// Puts the record in.
fn append(tx: &Transaction<'_>, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Result<(), Halt> {
    let rows = Rows(tx, stream);
    let floor = rows.floor()?;
    if seq < floor {
        return Err(Halt::Ended(Appended::Refused(Standing::BelowFloor(floor))));
    }
    if let Some(there) = rows.record(seq)? {
        let ours = there == bytes;
        return Err(Halt::Ended(if ours { Appended::Committed } else { Appended::Refused(Standing::Taken(there)) }));
    }
    if seq != rows.head()?.map_or(floor, Seq::next) {
        return Err(Halt::Ended(Appended::Failed(format!("record {seq} would leave a gap in {stream}"))));
    }
    Ok(rows.insert(seq, bytes, IsSnapshot::No)?)
}

/// Whether everything older can be forgotten for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IsSnapshot {
    /// It can.
    Yes,
    /// It cannot.
    No,
}

/// The records of one stream, within a transaction or beside one.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a>(pub(crate) &'a Connection, pub(crate) &'a StreamName);

impl Rows<'_> {
    /// Number of the newest record.
    pub(crate) fn head(self) -> rusqlite::Result<Option<Seq>> {
        self.number("SELECT max(seq) FROM journal WHERE stream = ?1")
    }

    /// Number of the newest record that is marked as a snapshot.
    pub(crate) fn snapshot(self) -> rusqlite::Result<Option<Seq>> {
        self.number("SELECT max(seq) FROM journal WHERE stream = ?1 AND snapshot = 1")
    }

    fn number(self, sql: &str) -> rusqlite::Result<Option<Seq>> {
        let mut query = self.0.prepare_cached(sql)?;
        let found: Option<i64> = query.query_row([self.1.as_str()], |row| row.get(0))?;
        found
            .map(|seq| u64::try_from(seq).map(Seq).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, seq)))
            .transpose()
    }

    /// The smallest number that may stand.
    pub(crate) fn floor(self) -> rusqlite::Result<Seq> {
        let mut query = self.0.prepare_cached("SELECT floor FROM floors WHERE stream = ?1")?;
        Ok(query.query_row([self.1.as_str()], |row| natural(row, 0)).optional()?.map_or(Seq(0), Seq))
    }

    /// The bytes of one record.
    pub(crate) fn record(self, seq: Seq) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut query = self.0.prepare_cached("SELECT bytes FROM journal WHERE stream = ?1 AND seq = ?2")?;
        query.query_row((self.1.as_str(), int(seq.0)), |row| row.get(0)).optional()
    }

    /// Up to `most` records from `from` on, as they stand.
    pub(crate) fn read(self, from: Seq, most: usize) -> rusqlite::Result<Vec<(Seq, Vec<u8>)>> {
        let mut query = self
            .0
            .prepare_cached("SELECT seq, bytes FROM journal WHERE stream = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3")?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows =
            query.query_map((self.1.as_str(), int(from.0), most), |row| Ok((Seq(natural(row, 0)?), row.get(1)?)))?;
        rows.collect()
    }

    /// Puts a record in; a number that is taken is a broken rule.
    pub(crate) fn insert(self, seq: Seq, bytes: &[u8], snapshot: IsSnapshot) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("INSERT INTO journal (stream, seq, snapshot, bytes) VALUES (?1, ?2, ?3, ?4)")?
            .execute((self.1.as_str(), int(seq.0), snapshot == IsSnapshot::Yes, bytes))
            .map(|_| ())
    }

    /// Raises the floor, and removes up to `most` records below it, oldest first.
    pub(crate) fn trim(self, floor: Seq, most: u64) -> rusqlite::Result<u64> {
        let floor = floor.max(self.floor()?);
        self.0
            .prepare_cached("INSERT OR REPLACE INTO floors (stream, floor) VALUES (?1, ?2)")?
            .execute((self.1.as_str(), int(floor.0)))?;
        let sql = "DELETE FROM journal WHERE rowid IN
            (SELECT rowid FROM journal WHERE stream = ?1 AND seq < ?2 ORDER BY seq LIMIT ?3)";
        let removed = self.0.prepare_cached(sql)?.execute((self.1.as_str(), int(floor.0), int(most)))?;
        Ok(u64::try_from(removed).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn a_table_obeys_every_law() {
        let root = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        conformance::all(|| {
            count.set(count.get() + 1);
            let path = root.path().join(format!("j{}.db", count.get()));
            move || Box::new(SqliteJournal::open(&path).unwrap()) as Box<dyn Journal>
        });
    }

    #[test]
    fn j6_copies_go_on_above_their_newest_record() {
        let root = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        conformance::of_copies(|| {
            count.set(count.get() + 1);
            let path = root.path().join(format!("j{}.db", count.get()));
            move || Box::new(SqliteJournal::open(&path).unwrap()) as Box<dyn Journal>
        });
    }

    #[test]
    fn j4_a_missing_record_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.db");
        let name: StreamName = "watch/a".into();
        let mut journal = SqliteJournal::open(&path).unwrap();
        conformance::fill(&mut journal, &name, 6);
        Connection::open(&path).unwrap().execute("DELETE FROM journal WHERE seq = 3", []).unwrap();
        let error = journal.read(&name, Seq(0), 10).unwrap_err().to_string();
        assert!(error.contains("j.db") && error.contains("record 3"), "{error}");
        assert_eq!(journal.read(&name, Seq(4), 10).unwrap().len(), 2);
        assert!(journal.read(&name, Seq(3), 10).is_err());
    }

    #[test]
    fn a_file_that_is_replaced_while_open_stops_the_handle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.db");
        let name: StreamName = "watch/a".into();
        let mut journal = SqliteJournal::open(&path).unwrap();
        conformance::fill(&mut journal, &name, 2);
        std::fs::remove_file(&path).unwrap();
        let sample = conformance::sample(&name, Seq(2), "a", hb_core::journal::Hash::ZERO);
        assert!(matches!(journal.append(&name, Seq(2), &sample.bytes), Appended::Stopped(_)));
        assert!(matches!(journal.head(&name), Err(JournalError::Stopped(_))));
    }
}
