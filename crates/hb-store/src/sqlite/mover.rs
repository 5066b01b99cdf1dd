//! Moves a write-ahead log into its file beside the writer, so that no commit waits for it.
//!
//! One thread with a connection of its own, both made when the log has first grown. SQLite lets it move what stands while the writer appends; the
//! writer begins the log anew with its next commit once all of it has been moved.
//!
//! **Invariants.** After a move that failed for good nothing is moved any more, and the writer is told ([`Mover::failed`]): what a failing disk says
//! later is not believed (J5). What it commits until it looks stands in the log, which is not begun anew before all of it has been moved. A file that
//! was put in the place of the writer's is left alone. The connection never moves anything when it is closed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault::{self, OpenError};
use super::{Identity, identity, keep_log, prepare};

/// How long it waits for a pause of the writer before it moves what was appended meanwhile.
const AGAIN: Duration = Duration::from_millis(50);
/// How often it looks for such a pause each time it is asked.
const TRIES: u32 = 40;

/// What one move came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Moved {
    /// The whole log.
    All,
    /// Not what was appended meanwhile, or what somebody still reads.
    Some,
    /// Nothing, for a reason that may pass.
    Nothing(String),
}

/// What the thread and the writer share.
#[derive(Debug, Default)]
struct Shared {
    /// Held while something is moved.
    moving: Mutex<()>,
    /// Why nothing is moved any more.
    failed: OnceLock<String>,
    moved: AtomicU64,
}

/// The writer's side.
#[derive(Debug)]
pub(super) struct Mover {
    path: PathBuf,
    identity: Option<Identity>,
    shared: Arc<Shared>,
    asking: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// For the file that was opened as this one.
    pub(super) fn new(path: &Path, identity: Option<Identity>) -> Self {
        Self { path: path.to_path_buf(), identity, shared: Arc::default(), asking: None, thread: None }
    }

    /// Why nothing is moved any more.
    pub(super) fn failed(&self) -> Option<&str> {
        self.shared.failed.get().map(String::as_str)
    }

    /// How often it was moved, by either side.
    pub(super) fn moved(&self) -> u64 {
        self.shared.moved.load(Ordering::Relaxed)
    }

    /// Asks the thread to move it. Does not wait.
    pub(super) fn ask(&mut self) {
        if self.asking.is_none() {
            let (asking, asked) = sync_channel(1);
            let (path, identity, shared) = (self.path.clone(), self.identity, Arc::clone(&self.shared));
            let run = move || run(&path, identity, &shared, &asked);
            match std::thread::Builder::new().name("move-log".into()).spawn(run) {
                Ok(thread) => (self.asking, self.thread) = (Some(asking), Some(thread)),
                // The writer moves it when it has grown further.
                Err(error) => tracing::warn!(db = %self.path.display(), %error, "no thread to move the log"),
            }
        }
        if let Some(asking) = &self.asking {
            // Where it was asked already, that is enough.
            asking.try_send(()).ok();
        }
    }

    /// Moves it on the writer's own connection, after what the thread has under way.
    pub(super) fn move_now(&self, connection: &Connection) {
        let moving = self.shared.moving.lock().unwrap_or_else(PoisonError::into_inner);
        if self.failed().is_none()
            && let Moved::Nothing(error) = move_log(&self.path, connection, &self.shared)
        {
            tell(&self.path, &error);
        }
        drop(moving);
    }
}

impl Mover {
    /// Ends the thread, after what it has under way.
    pub(super) fn end(&mut self) {
        self.asking = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that moves a log panicked; please report it");
        }
    }
}

#[cfg(test)]
impl Mover {
    /// As if a move had failed.
    pub(super) fn fail(&self, what: &str) {
        self.shared.failed.get_or_init(|| what.to_owned());
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(path: &Path, expected: Option<Identity>, shared: &Shared, asked: &Receiver<()>) {
    let mut connection = None;
    while asked.recv().is_ok() {
        if connection.is_none() {
            connection = match open(path) {
                // The one that this process writes, or nobody's.
                Ok(opened) if identity(path) == expected => Some(opened),
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(db = %path.display(), %error, "the log cannot be moved beside the writer yet");
                    None
                }
            };
        }
        if connection.as_ref().is_some_and(|connection| !catch_up(path, connection, shared, asked)) {
            return;
        }
    }
}

/// Moves what stands and, in the writer's pauses, what it appends meanwhile. Gives whether to go on.
fn catch_up(path: &Path, connection: &Connection, shared: &Shared, asked: &Receiver<()>) -> bool {
    let mut told = None;
    for _ in 0..TRIES {
        let moved = {
            let _moving = shared.moving.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.failed.get().is_some() {
                return false;
            }
            move_log(path, connection, shared)
        };
        match moved {
            Moved::All => return true,
            Moved::Some => {}
            Moved::Nothing(error) => {
                if told.as_ref() != Some(&error) {
                    tell(path, &error);
                }
                told = Some(error);
            }
        }
        if asked.recv_timeout(AGAIN) == Err(RecvTimeoutError::Disconnected) {
            return false;
        }
    }
    true
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    keep_log(&connection);
    prepare(&connection)?;
    // Log and shared memory are opened by the first look.
    connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

/// Moves what can be moved.
fn move_log(path: &Path, connection: &Connection, shared: &Shared) -> Moved {
    let counts = |row: &rusqlite::Row<'_>| Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], counts) {
        // Another process moves it.
        Ok((true, _, _)) => Moved::Some,
        Ok((false, log, moved)) => {
            shared.moved.fetch_add(1, Ordering::Relaxed);
            if moved >= log { Moved::All } else { Moved::Some }
        }
        Err(error) if fault::classify(&error).may_pass() => Moved::Nothing(error.to_string()),
        Err(error) => {
            let told = OpenError::of(path, &error);
            tracing::error!(%told, "the log could not be moved into the file: nothing is written any more");
            // The first failure is the one that is told.
            shared.failed.get_or_init(|| told.to_string());
            Moved::Some
        }
    }
}

/// A failure that may pass costs room and nothing else.
fn tell(path: &Path, error: &str) {
    tracing::warn!(db = %path.display(), %error, "the log could not be moved into the file yet");
}
