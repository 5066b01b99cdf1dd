//! One open database, and how an append to it ends (J5).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::fault::{OpenError, Trouble};
use super::mover::Mover;
use super::{Identity, LOG_PAGES, LOG_PAGES_MAX, Schema, identity, keep_log};
use crate::port::{Appended, JournalError};

/// Why a transaction was not to be.
#[derive(Debug)]
pub(crate) enum Halt {
    /// That is how it ends; nothing was changed.
    Ended(Appended),
    /// SQLite would not.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Halt {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// A database that is written.
#[derive(Debug)]
pub(crate) struct Handle {
    path: PathBuf,
    pub(crate) connection: Connection,
    identity: Option<Identity>,
    /// Set for good by a failed fsync, a broken table or a file that was replaced: what it said.
    stopped: Option<String>,
    /// Pages in the log after the newest commit.
    log_pages: Arc<AtomicI64>,
    /// Pages at which it is moved into the file again, beside the commits.
    ask_at: i64,
    /// Pages at which a commit waits for that.
    move_at: i64,
    mover: Mover,
}

impl Handle {
    pub(crate) fn open(path: &Path, schema: &Schema) -> Result<Self, OpenError> {
        let mut connection = super::open(path, schema)?;
        let log_pages = Arc::new(AtomicI64::new(0));
        let told = Arc::clone(&log_pages);
        let hooked = connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            told.store(i64::from(pages), Ordering::Relaxed);
            Ok(())
        }));
        hooked.map_err(|error| OpenError::of(path, &error))?;
        let identity = identity(path);
        let (path, mover) = (path.to_path_buf(), Mover::new(path, identity));
        let (ask_at, move_at) = (LOG_PAGES, LOG_PAGES_MAX);
        Ok(Self { path, connection, identity, stopped: None, log_pages, ask_at, move_at, mover })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref().or_else(|| self.mover.failed())
    }

    /// How often the log was moved into the file.
    pub(crate) fn moved(&self) -> u64 {
        self.mover.moved()
    }

    /// What keeps an append from being tried.
    fn unready(&mut self) -> Option<Appended> {
        if let Some(stopped) = self.stopped().map(ToOwned::to_owned) {
            return Some(self.stop(stopped));
        }
        if identity(&self.path) != self.identity {
            let what = format!(
                "{} was removed or replaced while hb had it open, so nothing is written any more; put it back and restart hb",
                self.path.display()
            );
            return Some(self.stop(what));
        }
        None
    }

    /// Does something in one transaction that holds the write lock from its beginning; all of it is durable, or nothing was done.
    pub(crate) fn transact<T>(&mut self, act: impl FnOnce(&Transaction<'_>) -> Result<T, Halt>) -> Result<T, Appended> {
        if let Some(unready) = self.unready() {
            return Err(unready);
        }
        let done = match self.connection.transaction_with_behavior(TransactionBehavior::Immediate) {
            // Dropped, it is rolled back.
            Ok(tx) => act(&tx).map(|value| tx.commit().map(|()| value)),
            Err(error) => Err(Halt::Sql(error)),
        };
        match done {
            Ok(Ok(value)) => {
                self.tidy();
                Ok(value)
            }
            Ok(Err(error)) => Err(self.not_committed(&error)),
            Err(Halt::Sql(error)) => Err(self.not_begun(&error)),
            Err(Halt::Ended(ended)) => Err(ended),
        }
    }

    /// Lets this handle write no more.
    fn stop(&mut self, what: String) -> Appended {
        keep_log(&self.connection);
        self.stopped = Some(what.clone());
        Appended::Stopped(what)
    }

    /// The end of an append whose transaction failed before its commit was tried: nothing was changed.
    fn not_begun(&mut self, error: &rusqlite::Error) -> Appended {
        let told = OpenError::of(&self.path, error);
        if told.trouble.is_damage() { self.stop(told.to_string()) } else { Appended::Failed(told.to_string()) }
    }

    /// The end of an append whose commit failed.
    fn not_committed(&mut self, error: &rusqlite::Error) -> Appended {
        let told = OpenError::of(&self.path, error);
        if told.trouble == Trouble::Io {
            let what = "an fsync that failed is not believed when it succeeds later, so this node stops writing";
            return self.stop(format!("{told}; {what}"));
        }
        if told.trouble.is_damage() {
            return self.stop(told.to_string());
        }
        // Without room the commit's own frame was not written wholly: its checksum keeps it from being read.
        let certain = matches!(told.trouble, Trouble::Full | Trouble::Locked | Trouble::ReadOnly);
        if certain { Appended::Failed(told.to_string()) } else { Appended::Unknown(told.to_string()) }
    }

    /// After a commit: has the log moved into the file when it has grown, and waits for that when it has grown past its bound. The commit stands,
    /// whatever comes of it.
    fn tidy(&mut self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < LOG_PAGES {
            (self.ask_at, self.move_at) = (LOG_PAGES, LOG_PAGES_MAX);
        } else if pages >= self.move_at {
            // Readers may keep the log from beginning anew: then it is not tried with each commit.
            self.move_at = pages.saturating_add(LOG_PAGES_MAX);
            self.mover.move_now(&self.connection);
            if let Some(failed) = self.mover.failed().map(ToOwned::to_owned) {
                self.stop(failed);
            }
        } else if pages >= self.ask_at {
            self.ask_at = pages.saturating_add(LOG_PAGES);
            self.mover.ask();
        }
    }

    /// Why something could not be read.
    pub(crate) fn unread(&self, error: &rusqlite::Error) -> JournalError {
        unread(&self.path, error)
    }

    /// Refuses to read from a handle that has stopped: it does not know what stands.
    pub(crate) fn readable(&self) -> Result<(), JournalError> {
        match self.stopped() {
            Some(stopped) => Err(JournalError::Stopped(stopped.to_owned())),
            None => Ok(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Whatever is still being moved may fail: only then is it known whether the end of the connection may move the rest.
        self.mover.end();
        if self.stopped().is_some() {
            keep_log(&self.connection);
        }
    }
}

/// Why something of that file could not be read.
pub(crate) fn unread(path: &Path, error: &rusqlite::Error) -> JournalError {
    let told = OpenError::of(path, error);
    if told.trouble.is_damage() {
        JournalError::Corrupt(told.to_string())
    } else {
        JournalError::Unavailable(told.to_string())
    }
}

/// How something that is no append failed.
pub(crate) fn as_error(ended: Appended) -> JournalError {
    match ended {
        Appended::Stopped(what) => JournalError::Stopped(what),
        Appended::Failed(what) | Appended::Unknown(what) => JournalError::Unavailable(what),
        Appended::Committed | Appended::Refused(_) => JournalError::Unavailable("another holder is at work".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    const SCHEMA: Schema = Schema { application: 7, name: "a test", migrations: &["CREATE TABLE a (b)"] };

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    fn one(handle: &mut Handle) -> Result<(), Appended> {
        handle.transact(|tx| Ok(tx.execute("INSERT INTO a VALUES (1)", []).map(drop)?))
    }

    #[test]
    fn j5_a_failed_fsync_stops_the_handle_for_good_and_room_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut handle = Handle::open(&dir.path().join("a.db"), &SCHEMA).unwrap();
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY, ffi::SQLITE_READONLY] {
            assert!(matches!(handle.not_committed(&failure(code)), Appended::Failed(_)), "{code}");
            assert!(matches!(handle.not_begun(&failure(code)), Appended::Failed(_)), "{code}");
            one(&mut handle).unwrap();
        }
        assert!(matches!(handle.not_committed(&failure(ffi::SQLITE_NOMEM)), Appended::Unknown(_)));
        one(&mut handle).unwrap();
        assert!(matches!(handle.not_committed(&failure(ffi::SQLITE_IOERR_FSYNC)), Appended::Stopped(_)));
        let Err(Appended::Stopped(why)) = one(&mut handle) else { panic!("it goes on") };
        assert!(why.contains("a.db") && why.contains("fsync") && why.contains("kernel log"), "{why}");
        assert!(matches!(handle.readable(), Err(JournalError::Stopped(_))));
    }

    fn fill(handle: &mut Handle, bytes: u32) {
        let some = |tx: &Transaction<'_>| Ok(tx.execute("INSERT INTO a VALUES (zeroblob(?1))", [bytes]).map(drop)?);
        handle.transact(some).unwrap();
    }

    #[test]
    fn b1_the_log_is_moved_into_the_file_when_it_has_grown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let mut handle = Handle::open(&path, &SCHEMA).unwrap();
        for _ in 0..40 {
            fill(&mut handle, 2_000_000);
        }
        assert!(handle.moved() >= 3, "{}", handle.moved());
        let length = std::fs::metadata(super::super::log_of(&path)).unwrap().len();
        assert!(length < 24_000_000, "the log begins anew: {length}");
        // Somebody who reads keeps it from beginning anew, and no commit waits for that.
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM a").unwrap();
        let waited = |handle: &Handle| handle.move_at;
        for _ in 0..20 {
            fill(&mut handle, 2_000_000);
        }
        assert!(waited(&handle) >= 10_000, "it is not tried with each commit: {}", waited(&handle));
    }

    #[test]
    fn b1_the_log_is_moved_beside_the_commits_and_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let mut handle = Handle::open(&path, &SCHEMA).unwrap();
        // Far from the bound at which a commit waits.
        while handle.log_pages.load(Ordering::Relaxed) < LOG_PAGES {
            fill(&mut handle, 200_000);
        }
        let mut commits = 0;
        while handle.log_pages.load(Ordering::Relaxed) >= LOG_PAGES {
            std::thread::sleep(std::time::Duration::from_millis(20));
            fill(&mut handle, 10);
            commits += 1;
            assert!(commits < 1_500, "it was never moved whole: {}", handle.moved());
        }
        assert!(handle.moved() >= 1 && handle.stopped().is_none());
        drop(handle);
        let again = Connection::open(&path).unwrap();
        let sound: String = again.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }

    #[test]
    fn j5_a_move_that_fails_beside_the_commits_stops_the_handle() {
        let dir = tempfile::tempdir().unwrap();
        let mut handle = Handle::open(&dir.path().join("a.db"), &SCHEMA).unwrap();
        one(&mut handle).unwrap();
        handle.mover.fail("the disk fails");
        let Err(Appended::Stopped(why)) = one(&mut handle) else { panic!("it goes on") };
        assert!(why.contains("the disk fails"), "{why}");
        assert!(matches!(handle.readable(), Err(JournalError::Stopped(_))));
    }

    #[test]
    fn j5_a_file_in_its_place_is_not_moved_into() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let mut handle = Handle::open(&path, &SCHEMA).unwrap();
        drop(Handle::open(&other, &SCHEMA).unwrap());
        std::fs::rename(&other, &path).unwrap();
        handle.mover.ask();
        handle.mover.end();
        assert_eq!(handle.moved(), 0);
    }
}
