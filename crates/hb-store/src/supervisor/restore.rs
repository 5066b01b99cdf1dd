//! Reading back: from the newest snapshot on, every record checked, every link checked (J4).

use std::path::Path;

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{ChainCheck, Damage, Hash, Head, Record, sound_hash};
use hb_core::supervise::state::{Body, Sealed};
use serde::Deserialize;

use super::{SupervisorDb, applied, stream_of, tables::Tables};
use crate::journal::sqlite::{IsSnapshot, Rows};
use crate::port::{Appended, JournalError};
use crate::reader::{FOLLOW_MOST, PAGE_BYTES};
use crate::sqlite::{Halt, as_error, int, unread};

const COPY: &str = "restore the file from a copy, or see docs/ops/repair.md";

/// What restoring came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// The stream; none when there is no record yet.
    pub stream: Option<StreamName>,
    /// The newest record.
    pub head: Option<Head>,
    /// The record that it was begun from; none when that was the first of the stream.
    pub snapshot: Option<Seq>,
    /// Records read.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How the tables were found.
    pub tables: TablesWere,
}

/// How the tables stood to the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TablesWere {
    /// At the newest record.
    #[default]
    InStep,
    /// So many records behind, and brought up to them.
    Behind(u64),
    /// At no record of this stream, and made again.
    Rebuilt,
}

/// What following came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Followed {
    /// Records told.
    pub records: u64,
    /// The newest of them, or where it was followed from.
    pub head: Option<Head>,
    /// There are more: ask again at once.
    pub more: bool,
    /// Records that were trimmed away before they were told; then the first one told was a snapshot.
    pub skipped: u64,
}

impl SupervisorDb {
    /// Gives the newest snapshot and everything after it to `each`, in order; from the first record when there is no snapshot. Then the
    /// tables stand at the same record.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] names the file and the record that is damaged, missing or does not follow; `each` has been given what
    /// lies before it, which is not the last acknowledged state.
    pub fn restore(&mut self, each: &mut dyn FnMut(Sealed)) -> Result<Restored, JournalError> {
        self.handle.readable()?;
        let Some(stream) = self.find_stream()? else { return Ok(Restored::default()) };
        self.since_snapshot = super::SinceSnapshot::default();
        self.seen = None;
        let mut counted = Vec::new();
        let mut restored = {
            let tx = self.handle.connection.unchecked_transaction().map_err(|error| self.handle.unread(&error))?;
            read_back(self.path(), Rows(&tx, &stream), &mut |sealed| {
                counted.push((snapshot_of(&sealed), u64::try_from(sealed.bytes.len()).unwrap_or(u64::MAX)));
                each(sealed);
            })?
        };
        for (snapshot, bytes) in counted {
            self.count(snapshot, bytes);
        }
        self.head = restored.head;
        restored.tables = self.step_tables(&stream, restored.head)?;
        Ok(restored)
    }

    /// Gives records after `after` to `each`, in order, at most [`FOLLOW_MOST`] at a time: for a standby. Asking when nothing is new
    /// is one look at a number in memory that is shared with the writer.
    ///
    /// # Errors
    /// As [`Self::restore`].
    pub fn follow(&mut self, after: Option<Head>, each: &mut dyn FnMut(Sealed)) -> Result<Followed, JournalError> {
        self.handle.readable()?;
        let version = self.data_version()?;
        let at = after.map(|head| head.seq);
        let nothing = Followed { head: after, ..Followed::default() };
        if self.seen == Some((version, at)) {
            return Ok(nothing);
        }
        let Some(stream) = self.find_stream()? else {
            self.seen = Some((version, at));
            return Ok(nothing);
        };
        let followed = self.follow_on(&stream, after, each)?;
        self.seen = (!followed.more).then_some((version, followed.head.map(|head| head.seq)));
        Ok(followed)
    }

    /// Gives the bytes of one record as they stand.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(&mut self, seq: Seq) -> Result<Option<Vec<u8>>, JournalError> {
        self.handle.readable()?;
        let Some(stream) = self.find_stream()? else { return Ok(None) };
        Rows(&self.handle.connection, &stream).record(seq).map_err(|error| self.handle.unread(&error))
    }

    fn data_version(&self) -> Result<i64, JournalError> {
        let query = self.handle.connection.prepare_cached("PRAGMA data_version");
        let found = query.and_then(|mut query| query.query_row([], |row| row.get(0)));
        found.map_err(|error| self.handle.unread(&error))
    }

    pub(super) fn find_stream(&mut self) -> Result<Option<StreamName>, JournalError> {
        if self.stream.is_none() {
            self.stream = stream_of(&self.handle.connection).map_err(|error| self.handle.unread(&error))?;
        }
        Ok(self.stream.clone())
    }

    fn follow_on(
        &self,
        stream: &StreamName,
        after: Option<Head>,
        each: &mut dyn FnMut(Sealed),
    ) -> Result<Followed, JournalError> {
        let unread = |error: rusqlite::Error| self.handle.unread(&error);
        // In one transaction, so that nothing is trimmed from under it.
        let tx = self.handle.connection.unchecked_transaction().map_err(unread)?;
        let (path, rows) = (self.path(), Rows(&tx, stream));
        let next = after.map_or(Seq(0), |head| head.seq.next());
        let behind = rows.floor().map_err(unread)? > next;
        let (mut walk, skipped) = match after.filter(|_| !behind) {
            Some(head) => (Walk::after(head), 0),
            None => {
                let from = start(rows).map_err(unread)?;
                let skipped = if after.is_some() { from.seq.0.saturating_sub(next.0) } else { 0 };
                (Walk::begin(path, rows, &from)?, skipped)
            }
        };
        let more = walk.run(path, rows, (FOLLOW_MOST, PAGE_BYTES), each)?;
        if !more {
            reaches_applied(path, rows, walk.check.head())?;
        }
        Ok(Followed { records: walk.records, head: walk.check.head().or(after), more, skipped })
    }

    /// Brings tables that are behind up to the newest record.
    fn step_tables(&mut self, stream: &StreamName, head: Option<Head>) -> Result<TablesWere, JournalError> {
        let at = applied(&self.handle.connection, stream).map_err(|error| self.handle.unread(&error))?;
        let Some(head) = head else { return Ok(TablesWere::InStep) };
        let behind = match &at {
            Some(at) if at.seq == head.seq => return Ok(TablesWere::InStep),
            Some(at) => Some(at.seq),
            None => None,
        };
        let whole = match behind {
            Some(seq) => self.record(seq)?.and_then(|bytes| sound_hash(&bytes).ok()).map(|hash| hash.to_string()),
            None => None,
        };
        let known = behind.filter(|_| whole.is_some() && whole == at.map(|at| at.hash));
        let Some(known) = known else {
            self.rebuild_tables()?;
            return Ok(TablesWere::Rebuilt);
        };
        self.apply_after(stream, known)?;
        Ok(TablesWere::Behind(head.seq.0.saturating_sub(known.0)))
    }

    fn apply_after(&mut self, stream: &StreamName, known: Seq) -> Result<(), JournalError> {
        let path = self.handle.path().display().to_string();
        let mut damaged = None;
        let done = self.handle.transact(|tx| {
            let mut tables = Tables::default();
            for (seq, bytes) in Rows(tx, stream).read(known.next(), usize::MAX)? {
                match decode(stream, seq, bytes) {
                    Ok(one) => tables.apply(tx, &one.record, one.hash)?,
                    Err(damage) => {
                        damaged = Some(format!("{path}, {damage}"));
                        return Err(Halt::Ended(Appended::Failed(damage)));
                    }
                }
            }
            Ok(())
        });
        match damaged {
            Some(damage) => Err(JournalError::Corrupt(damage)),
            None => done.map_err(as_error),
        }
    }
}

/// Gives the newest snapshot and everything after it, in order, checked.
pub(super) fn read_back(path: &Path, rows: Rows<'_>, each: &mut dyn FnMut(Sealed)) -> Result<Restored, JournalError> {
    let from = start(rows).map_err(|error| unread(path, &error))?;
    let mut walk = Walk::begin(path, rows, &from)?;
    walk.run(path, rows, (usize::MAX, usize::MAX), each)?;
    let head = walk.check.head().filter(|_| walk.records > 0);
    reaches_applied(path, rows, head)?;
    Ok(Restored {
        stream: Some(rows.1.clone()),
        head,
        snapshot: from.snapshot,
        records: walk.records,
        bytes: walk.bytes,
        tables: TablesWere::InStep,
    })
}

/// The tables name a record: it has to stand, as it was.
fn reaches_applied(path: &Path, rows: Rows<'_>, head: Option<Head>) -> Result<(), JournalError> {
    let at = applied(rows.0, rows.1).map_err(|error| unread(path, &error))?;
    let Some(at) = at else { return Ok(()) };
    match head {
        Some(head) if head.seq > at.seq => Ok(()),
        Some(head) if head.seq == at.seq && head.hash.to_string() == at.hash => Ok(()),
        Some(head) if head.seq == at.seq => {
            let what =
                "it is not the one that the tables were written from: one of the two was replaced; run hb verify";
            Err(corrupt(path, rows.1, head.seq, what))
        }
        Some(_) | None => {
            let lost = head.map_or(Seq(0), |head| head.seq.next());
            let what = format!("records {lost} to {} are missing, the tables were written from them; {COPY}", at.seq);
            Err(corrupt(path, rows.1, lost, &what))
        }
    }
}

fn corrupt(path: &Path, stream: &StreamName, seq: Seq, what: &str) -> JournalError {
    JournalError::Corrupt(format!("{}, stream {stream}, record {seq}: {what}", path.display()))
}

/// Where reading begins.
pub(crate) struct Start {
    pub(crate) seq: Seq,
    snapshot: Option<Seq>,
    floor: Seq,
}

/// The newest snapshot, else the first record that stands.
pub(crate) fn start(rows: Rows<'_>) -> rusqlite::Result<Start> {
    let (snapshot, floor) = (rows.snapshot()?, rows.floor()?);
    let snapshot = snapshot.filter(|seq| *seq >= floor);
    Ok(Start { seq: snapshot.unwrap_or(floor), snapshot, floor })
}

/// A walk along the records.
struct Walk {
    check: ChainCheck,
    next: Seq,
    records: u64,
    bytes: u64,
    /// The first record has to be a snapshot: what lies before it does not stand.
    snapshot_due: bool,
}

impl Walk {
    fn begin(path: &Path, rows: Rows<'_>, from: &Start) -> Result<Self, JournalError> {
        let before = from.seq.0.checked_sub(1).map(Seq).filter(|before| *before >= from.floor);
        let mut check = ChainCheck::from(from.seq);
        if let Some(before) = before {
            let bytes = rows.record(before).map_err(|error| unread(path, &error))?;
            let bytes =
                bytes.ok_or_else(|| corrupt(path, rows.1, before, "it is missing although later ones stand"))?;
            let hash = sound_hash(&bytes).map_err(|damage| corrupt(path, rows.1, before, &damage.to_string()))?;
            check = ChainCheck::after(Head { seq: before, hash, epoch: Epoch(0) });
        }
        let snapshot_due = from.snapshot.is_some() || from.seq > Seq(0);
        Ok(Self { check, next: from.seq, records: 0, bytes: 0, snapshot_due })
    }

    fn after(head: Head) -> Self {
        let (check, next) = (ChainCheck::after(head), head.seq.next());
        Self { check, next, records: 0, bytes: 0, snapshot_due: false }
    }

    /// Gives records until there are no more, or so many, or about so many bytes of them; whether there may be more.
    fn run(
        &mut self,
        path: &Path,
        rows: Rows<'_>,
        (most, most_bytes): (usize, usize),
        each: &mut dyn FnMut(Sealed),
    ) -> Result<bool, JournalError> {
        let unread = |error: rusqlite::Error| unread(path, &error);
        let sql = "SELECT seq, bytes FROM journal WHERE stream = ?1 AND seq >= ?2 ORDER BY seq";
        let mut query = rows.0.prepare_cached(sql).map_err(unread)?;
        let mut found = query.query((rows.1.as_str(), int(self.next.0))).map_err(unread)?;
        let (mut told, mut taken) = (0_usize, 0_usize);
        while let Some(row) = found.next().map_err(unread)? {
            if told >= most || taken >= most_bytes {
                return Ok(true);
            }
            let seq = Seq(crate::sqlite::natural(row, 0).map_err(unread)?);
            let bytes: Vec<u8> = row.get(1).map_err(unread)?;
            taken = taken.saturating_add(bytes.len());
            told = told.saturating_add(1);
            let sealed = decode(rows.1, seq, bytes)
                .map_err(|what| JournalError::Corrupt(format!("{}, {what}", path.display())))?;
            self.take(path, rows.1, sealed, each)?;
        }
        self.bytes = self.bytes.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
        Ok(false)
    }

    fn take(
        &mut self,
        path: &Path,
        stream: &StreamName,
        sealed: Sealed,
        each: &mut dyn FnMut(Sealed),
    ) -> Result<(), JournalError> {
        let seq = sealed.record.seq;
        self.check.push(&sealed).map_err(|broken| {
            let what = format!("{broken}; {COPY}");
            corrupt(path, stream, seq, &what)
        })?;
        if std::mem::take(&mut self.snapshot_due) && snapshot_of(&sealed) == IsSnapshot::No {
            let what = format!("it should be a snapshot, and is none; {COPY}");
            return Err(corrupt(path, stream, seq, &what));
        }
        self.records = self.records.saturating_add(1);
        self.next = seq.next();
        each(sealed);
        Ok(())
    }
}

/// Whether a record is a snapshot.
pub(crate) fn snapshot_of(sealed: &Sealed) -> IsSnapshot {
    match sealed.record.body {
        Body::Snapshot { .. } => IsSnapshot::Yes,
        Body::EpochOpened { .. } | Body::Changed { .. } | Body::EpochClosed { .. } => IsSnapshot::No,
    }
}

/// Decodes one record and checks that it is what stands at that place; says which one is damaged.
pub(crate) fn decode(stream: &StreamName, seq: Seq, bytes: Vec<u8>) -> Result<Sealed, String> {
    let named = |what: &str| format!("stream {stream}, record {seq}: {what}");
    let sealed = Record::<Body>::decode_owned(bytes).map_err(|damage| named(&damage.to_string()))?;
    if sealed.record.stream != *stream || sealed.record.seq != seq {
        let what =
            format!("record {} of {} stands in its place; run hb verify", sealed.record.seq, sealed.record.stream);
        return Err(named(&what));
    }
    Ok(sealed)
}

/// Epoch and hash of a record, without the rest of it.
pub(super) fn epoch_and_hash(bytes: &[u8]) -> Result<(Epoch, Hash), Damage> {
    #[derive(Deserialize)]
    struct EpochOnly {
        epoch: Epoch,
    }
    let hash = sound_hash(bytes)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let found: EpochOnly = serde_json::from_slice(line).map_err(|error| Damage::Foreign(error.to_string()))?;
    Ok((found.epoch, hash))
}
