//! `supervisor.db`: the journal of a tree of supervisors, and tables that say the same for SQL, in one file.
//!
//! A commit inserts the records and writes the tables in one transaction (S1): there is no moment at which one is without the other.
//! Records are the truth. Tables are for people, for the API and for history; what they lose is made again from the records.
//!
//! **Invariants.** A record's number is given once (J1), a record follows the one before it by number, hash and epoch or is refused (J2, H1),
//! and nothing is acknowledged before it is fsynced (J3). The file belongs to one stream. `applied` names the record that the tables
//! stand at, in the same transaction. What is read back is checked record by record and link by link (J4).

mod aside;
mod commit;
mod history;
pub mod read;
mod rebuild;
pub(crate) mod restore;
pub(crate) mod schema;
pub(crate) mod tables;
mod trim;

use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Head;
use rusqlite::{Connection, OptionalExtension as _};

pub use crate::sqlite::{OpenError, Trouble};
pub use aside::{Damaged, Extent, LOST_TOLD_MAX, SetAside};
pub use history::{EVALUATIONS_KEPT, EVENTS_KEPT, GROUPS_KEPT, HISTORY_STEP, INTERVENTIONS_KEPT, Kept};
pub use rebuild::Rebuilt;
pub use restore::{Followed, Restored, TablesWere};
pub use trim::{RECORDS_KEPT, Trimmed};

use crate::journal::sqlite::Rows;
use crate::port::JournalError;
use crate::sqlite::{self, Handle, natural};
use schema::SCHEMA;
use tables::Tables;

/// Kilobytes of pages that a handle keeps (B1). The system keeps them too, and reading one again from there costs little.
const PAGE_CACHE_KB: i64 = 2_000;

/// Name of the file below the output folder.
pub const FILE: &str = "supervisor.db";

/// The database of a tree of supervisors, open for writing. A standby holds one too, and only reads from it.
#[derive(Debug)]
pub struct SupervisorDb {
    handle: Handle,
    /// The stream that the file belongs to, once it has a record.
    stream: Option<StreamName>,
    /// The newest record as this handle knows it; another process may have appended since.
    head: Option<Head>,
    tables: Tables,
    /// Records and their bytes since the newest snapshot, as far as this handle has seen them.
    since_snapshot: SinceSnapshot,
    /// What [`SupervisorDb::follow`] saw last: SQLite's own counter of foreign changes, and the record up to which all was told.
    seen: Option<(i64, Option<Seq>)>,
    kept: Kept,
}

/// How much has to be read after the newest snapshot: when to make the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SinceSnapshot {
    /// Records after it.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the snapshot itself.
    pub snapshot_bytes: u64,
}

/// How large everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of it that are free for reuse.
    pub free_bytes: u64,
    /// Bytes of the write-ahead log beside it.
    pub log_bytes: u64,
    /// How often this handle moved the log into the file.
    pub log_moved: u64,
    /// Records that stand.
    pub records: u64,
    /// The smallest number that may stand.
    pub floor: Seq,
    /// The newest record.
    pub head: Option<Seq>,
    /// The newest snapshot.
    pub snapshot: Option<Seq>,
    /// Rows that were removed from the tables of history for room, since the file was made.
    pub history_trimmed: u64,
}

impl SupervisorDb {
    /// Opens the database, making it when it is missing and bringing older ones up to date.
    ///
    /// # Errors
    /// When it cannot be used: what kind of trouble, in words, and what to do. The file is left as it is.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Kept::default())
    }

    /// The same with other bounds for the tables of history.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, kept: Kept) -> Result<Self, OpenError> {
        let handle = Handle::open(path, &SCHEMA)?;
        let bounded = handle.connection.pragma_update(None, "cache_size", -PAGE_CACHE_KB);
        bounded.map_err(|error| OpenError::of(path, &error))?;
        let stream = stream_of(&handle.connection).map_err(|error| OpenError::of(path, &error))?;
        let tables = Tables::default();
        Ok(Self { handle, stream, head: None, tables, since_snapshot: SinceSnapshot::default(), seen: None, kept })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.handle.path()
    }

    /// The stream that the file belongs to; none before its first record.
    #[must_use]
    pub fn stream(&self) -> Option<&StreamName> {
        self.stream.as_ref()
    }

    /// Why this handle has stopped writing for good, if it has.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.handle.stopped()
    }

    /// How much has to be read after the newest snapshot.
    #[must_use]
    pub fn since_snapshot(&self) -> SinceSnapshot {
        self.since_snapshot
    }

    /// How large everything is. A few look-ups.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sizes(&self) -> Result<Sizes, JournalError> {
        self.handle.readable()?;
        self.sizes_now().map_err(|error| self.handle.unread(&error))
    }

    fn sizes_now(&self) -> rusqlite::Result<Sizes> {
        let connection = self.handle.connection.unchecked_transaction()?;
        let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| natural(row, 0));
        let (page, pages, free) = (pragma("page_size")?, pragma("page_count")?, pragma("freelist_count")?);
        let (mut head, mut floor, mut snapshot) = (None, Seq(0), None);
        if let Some(stream) = &self.stream {
            let rows = Rows(&connection, stream);
            (head, floor, snapshot) = (rows.head()?, rows.floor()?, rows.snapshot()?);
        }
        let trimmed = "SELECT coalesce(sum(rows), 0) FROM history_trimmed";
        Ok(Sizes {
            file_bytes: pages.saturating_mul(page),
            free_bytes: free.saturating_mul(page),
            log_bytes: std::fs::metadata(log(self.path())).map_or(0, |meta| meta.len()),
            log_moved: self.handle.moved(),
            records: head.map_or(0, |head| head.0.saturating_add(1).saturating_sub(floor.0)),
            floor,
            head,
            snapshot,
            history_trimmed: connection.query_row(trimmed, [], |row| natural(row, 0))?,
        })
    }
}

fn log(path: &Path) -> PathBuf {
    sqlite::log_of(path)
}

/// The stream that a file belongs to.
pub(crate) fn stream_of(connection: &Connection) -> rusqlite::Result<Option<StreamName>> {
    let found: Option<String> =
        connection.query_row("SELECT stream FROM journal LIMIT 1", [], |row| row.get(0)).optional()?;
    match found {
        Some(stream) => Ok(Some(stream.into())),
        None => connection
            .query_row("SELECT stream FROM applied", [], |row| row.get::<_, String>(0))
            .optional()
            .map(|found| found.map(Into::into)),
    }
}

/// What stands in `applied`: the record that the tables stand at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) seq: Seq,
    pub(crate) hash: String,
    pub(crate) epoch: u64,
}

/// Reads which record the tables stand at.
pub(crate) fn applied(connection: &Connection, stream: &StreamName) -> rusqlite::Result<Option<Applied>> {
    let mut query = connection.prepare_cached("SELECT seq, hash, epoch FROM applied WHERE stream = ?1")?;
    query
        .query_row([stream.as_str()], |row| {
            Ok(Applied { seq: Seq(natural(row, 0)?), hash: row.get(1)?, epoch: natural(row, 2)? })
        })
        .optional()
}
