//! `runs.db`: runs, metrics, drivers, baselines, approvals, for SQL.
//!
//! **Invariants.** How far each stream has been applied stands in the same transaction as the rows, so applying again adds
//! nothing and a crash loses nothing. A database that cannot be used is never deleted or emptied: the error says what to
//! do. One process writes at a time; the others wait for it, up to a bound.

mod check;
mod rows;
mod schema;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hb_core::ids::{Seq, StreamName};
use hb_core::node::fact::Sealed;
use nix::sys::statfs::{FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, statfs};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

use super::ViewError;
use crate::atomic::Disk;
use crate::port::Journal;
use crate::reader::{Follower, read_sound};
use rows::{int, natural};

/// How long a write waits for another process that holds the database.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long is waited before a lock that SQLite does not wait for is tried again.
const RETRY: Duration = Duration::from_millis(5);
/// CIFS and SMB2, which the standard names do not cover.
const CIFS_MAGIC: i64 = 0xFF53_4D42;
const SMB2_MAGIC: i64 = 0xFE53_4D42;

/// Bounds of the tables (B1); the oldest runs go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DbSettings {
    /// Runs kept.
    pub max_runs: u64,
    /// Rows of `metrics` kept, over all runs; the newest run always stays.
    pub max_metric_rows: u64,
}

impl Default for DbSettings {
    fn default() -> Self {
        Self { max_runs: 100_000, max_metric_rows: 2_000_000 }
    }
}

/// What catching up came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaughtUp {
    /// Records applied.
    pub applied: u64,
    /// Records that had been trimmed before they were applied.
    pub lost: u64,
}

/// The database.
#[derive(Debug)]
pub struct RunsDb {
    path: PathBuf,
    connection: Connection,
    settings: DbSettings,
    runs: u64,
    metric_rows: u64,
    /// Device and inode as opened: a file put in its place is noticed.
    identity: Option<(u64, u64)>,
    /// For looking at the file's bytes. Dropped after the connection: closing it drops the connection's locks.
    file: Option<File>,
}

impl RunsDb {
    /// Opens the database, making it when it is missing and bringing older ones up to date.
    ///
    /// # Errors
    /// When the file cannot be used; names it and says what to do.
    pub fn open(path: &Path, settings: DbSettings) -> Result<Self, ViewError> {
        let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Disk::new().create_dirs(folder).map_err(|fault| ViewError::new("view.db", fault))?;
        // An empty file is what a crash leaves between creating and filling it.
        if std::fs::metadata(path).is_ok_and(|meta| meta.len() > 0) {
            check::look_at_bytes(path)?;
        }
        let explained = |error: rusqlite::Error| check::explain(path, &error);
        let mut connection = Connection::open(path).map_err(explained)?;
        prepare(&mut connection, path, folder)?;
        let runs = connection.query_row("SELECT count(*) FROM runs", [], |row| natural(row, 0)).map_err(explained)?;
        let metric_rows =
            connection.query_row("SELECT count(*) FROM metrics", [], |row| natural(row, 0)).map_err(explained)?;
        let file = File::open(path).ok();
        Ok(Self { path: path.to_path_buf(), connection, settings, runs, metric_rows, identity: identity(path), file })
    }

    /// Newest record of a stream that is in the tables.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn applied(&self, stream: &StreamName) -> Result<Option<Seq>, ViewError> {
        Ok(self.position(stream)?.map(|(seq, _)| seq))
    }

    fn position(&self, stream: &StreamName) -> Result<Option<(Seq, String)>, ViewError> {
        let read = |row: &rusqlite::Row<'_>| Ok((Seq(natural(row, 0)?), row.get(1)?));
        let found = self
            .connection
            .prepare_cached("SELECT seq, hash FROM applied WHERE stream = ?1")
            .and_then(|mut query| query.query_row([stream.as_str()], read).optional());
        found.map_err(|error| check::explain(&self.path, &error))
    }

    /// Applies the record that follows; one that is in the tables already changes nothing.
    ///
    /// # Errors
    /// When it cannot be written, or records before it are not in the tables: catch up first.
    pub fn apply(&mut self, sealed: &Sealed) -> Result<(), ViewError> {
        self.apply_all(&[sealed])
    }

    /// The same for records of one stream that follow one another, in one transaction.
    ///
    /// # Errors
    /// As [`Self::apply`]; then none of them is in the tables that was not before.
    pub fn apply_all(&mut self, records: &[&Sealed]) -> Result<(), ViewError> {
        let Some(first) = records.first() else { return Ok(()) };
        let next = self.applied(&first.record.stream)?.map_or(Seq(0), Seq::next);
        let fresh: Vec<&Sealed> = records.iter().copied().filter(|sealed| sealed.record.seq >= next).collect();
        let gap = fresh.iter().zip(next.0..).find(|(sealed, expected)| sealed.record.seq.0 != *expected);
        if let Some((sealed, expected)) = gap {
            let what = format!(
                "{}: record {} of {} cannot be applied before {expected}; it is caught up from the journal",
                self.path.display(),
                sealed.record.seq,
                sealed.record.stream
            );
            return Err(ViewError::new("view.db", what));
        }
        self.write(&fresh)
    }

    /// Applies everything of a stream that is in the journal and not in the tables.
    ///
    /// # Errors
    /// When either cannot be used, or they tell different histories.
    pub fn catch_up(&mut self, journal: &mut dyn Journal, stream: &StreamName) -> Result<CaughtUp, ViewError> {
        let mut done = CaughtUp::default();
        let unread = |error: crate::port::JournalError| ViewError::new("view.db", format!("not caught up: {error}"));
        if let Some((seq, hash)) = self.position(stream)? {
            let stands = read_sound(journal, stream, seq, 1).map_err(unread)?;
            let floor = journal.floor(stream).map_err(unread)?;
            let same = stands.first().is_some_and(|found| found.record.seq == seq && found.hash.to_string() == hash);
            if !same && seq >= floor {
                return Err(self.another_history(stream, seq));
            }
        }
        let mut next = self.applied(stream)?.map_or(Seq(0), Seq::next);
        let mut follower = Follower::new(stream.clone(), next);
        loop {
            let records = follower.poll(journal).map_err(unread)?;
            let Some(first) = records.first() else { return Ok(done) };
            done.lost = done.lost.saturating_add(first.record.seq.0.saturating_sub(next.0));
            next = follower.next_seq();
            self.write(&records.iter().collect::<Vec<_>>())?;
            done.applied = done.applied.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX));
        }
    }

    fn another_history(&self, stream: &StreamName, seq: Seq) -> ViewError {
        let what = format!(
            "{} was filled from another journal: record {seq} of {stream} is not the one in it; move the file aside \
             and start hb: it is rebuilt from this journal",
            self.path.display()
        );
        ViewError::new("view.db", what)
    }

    fn write(&mut self, records: &[&Sealed]) -> Result<(), ViewError> {
        if records.is_empty() {
            return Ok(());
        }
        let counts = self.write_rows(records).map_err(|error| check::explain(&self.path, &error))?;
        (self.runs, self.metric_rows) = counts;
        Ok(())
    }

    fn write_rows(&mut self, records: &[&Sealed]) -> rusqlite::Result<(u64, u64)> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut runs, mut metric_rows) = (self.runs, self.metric_rows);
        for sealed in records {
            // Another process may have applied it between our look and our lock.
            let applied = tx
                .prepare_cached("SELECT seq FROM applied WHERE stream = ?1")?
                .query_row([sealed.record.stream.as_str()], |row| row.get::<_, i64>(0))
                .optional()?;
            if applied.is_some_and(|applied| applied >= int(sealed.record.seq.0)) {
                continue;
            }
            metric_rows = metric_rows.saturating_add(rows::insert(&tx, sealed)?);
            runs = runs.saturating_add(u64::from(sealed.record.body.kind() == "cycle_decided"));
        }
        while runs > 1 && (runs > self.settings.max_runs || metric_rows > self.settings.max_metric_rows) {
            let oldest: Option<i64> = tx.query_row("SELECT min(id) FROM runs", [], |row| row.get(0))?;
            let Some(oldest) = oldest else { break };
            let gone = tx.execute("DELETE FROM metrics WHERE run = ?1", [oldest])?;
            tx.execute("DELETE FROM drivers WHERE run = ?1", [oldest])?;
            tx.execute("DELETE FROM runs WHERE id = ?1", params![oldest])?;
            metric_rows = metric_rows.saturating_sub(u64::try_from(gone).unwrap_or(u64::MAX));
            runs = runs.saturating_sub(1);
        }
        tx.commit()?;
        Ok((runs, metric_rows))
    }

    /// Whether the database can be used, by really reading it and taking its write lock: for readiness.
    ///
    /// # Errors
    /// What is wrong, with the file and what to do.
    pub fn check(&self) -> Result<(), ViewError> {
        let same = identity(&self.path) == self.identity;
        match &self.file {
            Some(file) if same => check::look_beside(&self.path, file)?,
            // Another file beside the log of this one: whoever opened it would bring the one into the other.
            Some(_) | None => check::look_at_bytes(&self.path)?,
        }
        if !same {
            let what = format!("{} was replaced while hb had it open; restart hb", self.path.display());
            return Err(ViewError::new("view.db", what));
        }
        Ok(())
    }
}

/// Whether a database can be used, from outside: nothing is made or changed.
///
/// # Errors
/// What is wrong, with the file and what to do.
pub fn check(path: &Path) -> Result<(), ViewError> {
    check::look(path)
}

/// Everything that SQLite itself finds wrong with a database; nothing when it is sound. Reads all of it.
///
/// # Errors
/// When it cannot be read at all.
pub fn integrity(path: &Path) -> Result<Vec<String>, ViewError> {
    check::look(path)?;
    let explained = |error: rusqlite::Error| check::explain(path, &error);
    let connection = Connection::open(path).map_err(explained)?;
    let mut query = connection.prepare("PRAGMA integrity_check(20)").map_err(explained)?;
    let found = query.query_map([], |row| row.get::<_, String>(0)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    Ok(found.map_err(explained)?.into_iter().filter(|line| line != "ok").collect())
}

/// Newest record per stream that is in a database, with its hash.
///
/// # Errors
/// When it cannot be read.
pub fn positions(path: &Path) -> Result<Vec<(StreamName, Seq, String)>, ViewError> {
    let explained = |error: rusqlite::Error| check::explain(path, &error);
    let connection = Connection::open(path).map_err(explained)?;
    let mut query = connection.prepare("SELECT stream, seq, hash FROM applied ORDER BY stream").map_err(explained)?;
    let read =
        |row: &rusqlite::Row<'_>| Ok((StreamName::from(row.get::<_, String>(0)?), Seq(natural(row, 1)?), row.get(2)?));
    query.query_map([], read).and_then(Iterator::collect).map_err(explained)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn prepare(connection: &mut Connection, path: &Path, folder: &Path) -> Result<(), ViewError> {
    let explained = |error: rusqlite::Error| check::explain(path, &error);
    connection.busy_timeout(PATIENCE).map_err(explained)?;
    connection.set_prepared_statement_cache_capacity(32);
    let version = schema::version(connection).map_err(explained)?;
    if !matches!(version, schema::Version::Empty) {
        check::accept(path, connection)?;
    }
    let mode = if on_network(folder)? {
        tracing::info!(db = %path.display(), "on a network file system: WAL is refused there, rollback journal instead");
        "DELETE"
    } else {
        "WAL"
    };
    set_journal_mode(connection, mode).map_err(explained)?;
    // A view: what power loss takes is applied again from the journal.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(explained)?;
    connection.pragma_update(None, "foreign_keys", "OFF").map_err(explained)?;
    schema::migrate(connection).map_err(explained)
}

/// Sets the journal mode. While another process changes it, SQLite gives up at once instead of waiting: both would wait for ever.
fn set_journal_mode(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match connection.pragma_update(None, "journal_mode", mode) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < until => {
                std::thread::sleep(RETRY);
            }
            done => return done,
        }
    }
}

/// Whether a folder is on a network file system, where WAL (shared memory) does not work.
fn on_network(folder: &Path) -> Result<bool, ViewError> {
    let found = statfs(folder).map_err(|errno| {
        ViewError::new("view.db", format!("cannot look at the file system of {}: {errno}", folder.display()))
    })?;
    let kind = found.filesystem_type();
    let named = [NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, FUSE_SUPER_MAGIC].contains(&kind);
    Ok(named || kind.0 == CIFS_MAGIC || kind.0 == SMB2_MAGIC)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::conformance::{cycles, watch};
    use crate::journal::memory::MemoryJournal;

    fn stream() -> StreamName {
        StreamName::watch(&watch())
    }

    fn journal(records: &[Sealed]) -> MemoryJournal {
        let mut journal = MemoryJournal::new();
        for sealed in records {
            journal.append(&stream(), sealed.record.seq, &sealed.bytes);
        }
        journal
    }

    fn count(path: &Path, sql: &str) -> i64 {
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn dump(path: &Path) -> Vec<(String, String, i64)> {
        let connection = Connection::open(path).unwrap();
        let sql = "SELECT run_id, status, (SELECT count(*) FROM metrics WHERE run = id) FROM runs ORDER BY id";
        let mut query = connection.prepare(sql).unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn w1_rows_are_written_once_however_often_records_are_applied() {
        let dir = tempfile::tempdir().unwrap();
        let (path, caught) = (dir.path().join("runs.db"), dir.path().join("caught.db"));
        let records = cycles(12);
        let mut db = RunsDb::open(&path, DbSettings::default()).unwrap();
        for _ in 0..2 {
            for sealed in &records {
                db.apply(sealed).unwrap();
            }
        }
        assert_eq!(db.applied(&stream()).unwrap(), Some(Seq(11)));
        let again = cycles(20);
        let error = db.apply(&again[15]).unwrap_err().to_string();
        assert!(error.contains("record 15") && error.contains("before 12"), "{error}");
        let mut other = RunsDb::open(&caught, DbSettings::default()).unwrap();
        let done = other.catch_up(&mut journal(&records), &stream()).unwrap();
        assert_eq!(done, CaughtUp { applied: 12, lost: 0 });
        assert_eq!(other.catch_up(&mut journal(&records), &stream()).unwrap(), CaughtUp::default());
        assert_eq!(dump(&path), dump(&caught));
        assert_eq!(dump(&path)[4], ("bench/4".to_owned(), "FAIL".to_owned(), 2));
        assert_eq!(count(&path, "SELECT count(*) FROM drivers"), 2);
        db.check().unwrap();
    }

    #[test]
    fn b1_rows_are_bounded_and_the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.db");
        let settings = DbSettings { max_runs: 7, max_metric_rows: 10 };
        let mut db = RunsDb::open(&path, settings).unwrap();
        db.catch_up(&mut journal(&cycles(30)), &stream()).unwrap();
        assert_eq!(dump(&path).len(), 5, "ten rows of metrics are five runs");
        assert_eq!(count(&path, "SELECT min(cycle) FROM runs"), 25);
        drop(db);
        let mut db = RunsDb::open(&path, settings).unwrap();
        db.catch_up(&mut journal(&cycles(31)), &stream()).unwrap();
        assert_eq!(count(&path, "SELECT min(cycle) FROM runs"), 26);
    }

    #[test]
    fn a_journal_that_tells_another_history_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.db");
        let mut db = RunsDb::open(&path, DbSettings::default()).unwrap();
        let records = cycles(5);
        db.catch_up(&mut journal(&records), &stream()).unwrap();
        let error = db.catch_up(&mut journal(&records[..3]), &stream()).unwrap_err().to_string();
        assert!(error.contains("another journal") && error.contains("record 4"), "{error}");
    }

    #[test]
    fn trimmed_records_are_counted_as_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = RunsDb::open(&dir.path().join("runs.db"), DbSettings::default()).unwrap();
        let mut journal = journal(&cycles(10));
        journal.trim(&stream(), Seq(6)).unwrap();
        assert_eq!(db.catch_up(&mut journal, &stream()).unwrap(), CaughtUp { applied: 4, lost: 6 });
    }

    #[test]
    fn every_unusable_database_is_told_with_file_and_advice_and_left_alone() {
        let good = tempfile::tempdir().unwrap();
        let path = good.path().join("runs.db");
        let mut db = RunsDb::open(&path, DbSettings::default()).unwrap();
        db.catch_up(&mut journal(&cycles(50)), &stream()).unwrap();
        drop(db);
        let bytes = fs::read(&path).unwrap();
        let mut garbled = bytes.clone();
        garbled[100..400].fill(0xA5);
        let newer = {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("n.db");
            fs::write(&path, &bytes).unwrap();
            Connection::open(&path).unwrap().execute("INSERT INTO migrations (version) VALUES (999)", []).unwrap();
            fs::read(&path).unwrap()
        };
        let foreign = {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f.db");
            Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").unwrap();
            fs::read(&path).unwrap()
        };
        let cases: [(&[u8], &str); 7] = [
            (b"this is no database, but long enough to be taken for one: ".repeat(9).leak(), "not an SQLite database"),
            (b"short", "cut short (5 bytes)"),
            (&bytes[..bytes.len() / 2], "is cut short"),
            (&garbled, "damaged"),
            (&newer, "newer hb"),
            (&foreign, "another program"),
            (b"", "0 bytes"),
        ];
        for (content, told) in cases {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("runs.db");
            fs::write(&path, content).unwrap();
            let outside = check(&path).unwrap_err().what;
            assert!(
                outside.contains("runs.db") && outside.contains(told) && outside.contains("; "),
                "{told}: {outside}"
            );
            if !content.is_empty() {
                let opened = RunsDb::open(&path, DbSettings::default()).unwrap_err().what;
                assert!(opened.contains("runs.db") && opened.contains(told), "{told}: {opened}");
            }
            assert_eq!(fs::read(&path).unwrap(), content, "{told}: it is left alone");
        }
        assert!(check(Path::new("/nonexistent/runs.db")).unwrap_err().what.contains("is missing"));
    }

    #[test]
    fn a_database_that_goes_away_or_is_locked_while_open_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.db");
        let mut db = RunsDb::open(&path, DbSettings::default()).unwrap();
        db.catch_up(&mut journal(&cycles(3)), &stream()).unwrap();
        db.check().unwrap();
        fs::rename(&path, dir.path().join("aside.db")).unwrap();
        assert!(db.check().unwrap_err().what.contains("is missing"));
        fs::copy(dir.path().join("aside.db"), &path).unwrap();
        let replaced = db.check().unwrap_err().what;
        assert!(replaced.contains("replaced") || replaced.contains("no tables"), "{replaced}");

        let path = dir.path().join("locked.db");
        drop(RunsDb::open(&path, DbSettings::default()).unwrap());
        let locker = Connection::open(&path).unwrap();
        locker.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE x (a)").unwrap();
        let told = check(&path).unwrap_err().what;
        assert!(told.contains("locked by another process"), "{told}");
    }

    /// Whoever is killed while the log is moved into the file leaves a head that tells of pages which are only in the log.
    #[test]
    fn what_a_kill_amid_moving_the_log_leaves_is_whole() {
        let made = tempfile::tempdir().unwrap();
        let path = made.path().join("runs.db");
        let mut db = RunsDb::open(&path, DbSettings::default()).unwrap();
        db.connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(())).unwrap();
        db.catch_up(&mut journal(&cycles(200)), &stream()).unwrap();
        let log = fs::read(made.path().join("runs.db-wal")).unwrap();
        db.connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        let whole = fs::read(&path).unwrap();
        let runs = db.runs;

        let left = tempfile::tempdir().unwrap();
        let path = left.path().join("runs.db");
        let leave = || {
            fs::write(&path, &whole[..4096]).unwrap();
            fs::write(left.path().join("runs.db-wal"), &log).unwrap();
        };
        leave();
        assert!(whole.len() > 4096 * 8 && fs::metadata(&path).unwrap().len() == 4096);
        check(&path).unwrap();
        leave();
        assert_eq!(RunsDb::open(&path, DbSettings::default()).unwrap().runs, runs);
        // A log in which one of the pages is missing does not make up for them.
        let cut = left.path().join("cut.db");
        fs::write(&cut, &whole[..4096]).unwrap();
        fs::write(left.path().join("cut.db-wal"), &log[..log.len() / 2]).unwrap();
        let told = check(&cut).unwrap_err();
        assert!(told.what.contains("is cut short: 4096 of"), "{told}");
    }

    #[test]
    fn two_processes_may_make_the_same_database_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.db");
        std::thread::scope(|scope| {
            let opening: Vec<_> =
                (0..4).map(|_| scope.spawn(|| RunsDb::open(&path, DbSettings::default()).map(|_| ()))).collect();
            for opened in opening {
                opened.join().unwrap().unwrap();
            }
        });
        check(&path).unwrap();
    }
}
