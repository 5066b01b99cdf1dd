//! Whether `runs.db` can be used: looked at from outside, by really reading it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{self, Version};
use crate::views::ViewError;

const MAGIC: &[u8] = b"SQLite format 3\0";
/// How long a check waits for somebody who holds the database.
const PATIENCE: Duration = Duration::from_millis(250);
const LOOKS: u32 = 5;
/// Most pages that are looked for in a log.
const LOG_PAGES_MAX: usize = 1 << 20;

fn fault(path: &Path, what: &str, advice: &str) -> ViewError {
    ViewError::new("view.db", format!("{} {what}; {advice}", path.display()))
}

const ASIDE: &str = "move the file (and its -wal and -shm) aside and start hb: it is rebuilt from the journal";

/// What SQLite said, in words with the file and advice.
pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> ViewError {
    let code = error.sqlite_error_code();
    let (what, advice) = match code {
        Some(ErrorCode::NotADatabase) => ("is not an SQLite database".to_owned(), ASIDE),
        Some(ErrorCode::DatabaseCorrupt) => (format!("is damaged: {error}"), ASIDE),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            "is locked by another process".to_owned(),
            "find it (fuser or lsof on the file) and let it finish; hb goes on by itself",
        ),
        Some(ErrorCode::ReadOnly) => (
            "cannot be written".to_owned(),
            "remount its file system or give hb permission to write the file and its folder",
        ),
        Some(ErrorCode::DiskFull) => {
            ("could not grow".to_owned(), "free space on its file system; hb goes on by itself")
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            (format!("cannot be opened: {error}"), "check that its folder exists and that hb may read and write it")
        }
        Some(_) | None => (format!("failed: {error}"), "see the message for what to do"),
    };
    fault(path, &what, advice)
}

/// Looks at the file: that it is there, whole, writable and a database of ours that answers. Not for a file that this process
/// has open as a database: see [`look_beside`].
pub(super) fn look(path: &Path) -> Result<(), ViewError> {
    look_at_bytes(path)?;
    answers(path)
}

/// The same for a file that this process has open as a database, and `open` besides, for as long: closing any descriptor of a
/// file drops all locks that the process holds on it (POSIX), SQLite's own among them.
pub(super) fn look_beside(path: &Path, open: &File) -> Result<(), ViewError> {
    look_often(path, || look_once(path, open))?;
    answers(path)
}

fn answers(path: &Path) -> Result<(), ViewError> {
    look_at_permissions(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| explain(path, &error))?;
    connection.busy_timeout(PATIENCE).map_err(|error| explain(path, &error))?;
    accept(path, &connection)?;
    let read =
        connection.query_row("SELECT count(*), coalesce(max(seq), 0) FROM applied", [], |row| row.get::<_, i64>(0));
    read.map_err(|error| explain(path, &error))?;
    // That it can be read says nothing of a lock that keeps writers out.
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(|error| explain(path, &error))
}

/// Refuses what is not ours or is newer.
pub(super) fn accept(path: &Path, connection: &Connection) -> Result<(), ViewError> {
    match schema::version(connection).map_err(|error| explain(path, &error))? {
        Version::Empty => Err(fault(path, "has no tables", ASIDE)),
        Version::Foreign => Err(fault(path, "is a database of another program", "choose another db_path")),
        Version::Ours(found) if found > schema::newest() => {
            let what = format!("has schema version {found}, this program knows up to {}", schema::newest());
            Err(fault(path, &what, "use a newer hb, or choose another db_path"))
        }
        Version::Ours(_) => Ok(()),
    }
}

/// The header against the file's length: SQLite itself would see a cut only when it reaches it.
pub(super) fn look_at_bytes(path: &Path) -> Result<(), ViewError> {
    look_often(path, || look_once(path, &open(path)?))
}

fn look_often(path: &Path, look: impl Fn() -> Result<Option<String>, ViewError>) -> Result<(), ViewError> {
    let mut cut = None;
    for time in 0..LOOKS {
        if time > 0 {
            std::thread::sleep(PATIENCE / LOOKS);
        }
        cut = look()?;
        if cut.is_none() {
            return Ok(());
        }
    }
    cut.map_or(Ok(()), |what| Err(fault(path, &what, ASIDE)))
}

/// Whether the log beside the file holds every page from `first` to `last`. Whoever was killed while it moved its log into the file leaves
/// the length of the whole in the head, and the rest in the log.
///
/// Source: "The Database File Format", sections 4.1 and 4.2, of SQLite.
fn in_log(path: &Path, first: u64, last: u64) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let Ok(file) = File::open(&log) else { return false };
    let mut head = [0_u8; 32];
    if file.read_exact_at(&mut head, 0).is_err() {
        return false;
    }
    let (page, salts) = (u64::from(be(&head, 8, 4)), head.get(16..24));
    let mut missing: BTreeSet<u64> = (first..=last).take(LOG_PAGES_MAX).collect();
    let (mut at, mut frame, mut seen) = (32_u64, [0_u8; 24], Vec::new());
    while file.read_exact_at(&mut frame, at).is_ok() && frame.get(8..16) == salts {
        seen.push(u64::from(be(&frame, 0, 4)));
        // Only what a commit stands behind counts.
        if be(&frame, 4, 4) != 0 {
            for number in seen.drain(..) {
                missing.remove(&number);
            }
        }
        at = at.saturating_add(24).saturating_add(page);
    }
    missing.is_empty() && last.saturating_sub(first) < LOG_PAGES_MAX as u64
}

fn open(path: &Path) -> Result<File, ViewError> {
    File::open(path).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            return fault(path, "is missing", "restart hb: it is made anew from the journal");
        }
        fault(path, &format!("cannot be opened: {error}"), "check that hb may read and write it")
    })
}

/// One look; tells when the file is shorter than its header says. While another process moves its log into the file,
/// that is so for a moment.
fn look_once(path: &Path, file: &File) -> Result<Option<String>, ViewError> {
    let meta = file.metadata().map_err(|error| fault(path, &format!("cannot be read: {error}"), "check the disk"))?;
    if !meta.is_file() {
        return Err(fault(path, "is not a file", "choose another db_path"));
    }
    let mut head = [0_u8; 100];
    if let Err(error) = file.read_exact_at(&mut head, 0) {
        return match meta.len() {
            0 => Err(fault(path, "is empty (0 bytes)", ASIDE)),
            length if error.kind() == ErrorKind::UnexpectedEof => {
                Err(fault(path, &format!("is cut short ({length} bytes)"), ASIDE))
            }
            _ => Err(fault(path, &format!("cannot be read: {error}"), "check the disk")),
        };
    }
    if !head.starts_with(MAGIC) {
        return Err(fault(path, "is not an SQLite database", ASIDE));
    }
    let page = match u64::from(be(&head, 16, 2)) {
        1 => 65_536,
        size => size,
    };
    let wanted = page.saturating_mul(u64::from(be(&head, 28, 4)));
    let short = meta.len() < wanted && !in_log(path, meta.len() / page + 1, wanted / page);
    Ok(short.then(|| format!("is cut short: {} of {wanted} bytes", meta.len())))
}

fn be(head: &[u8], at: usize, len: usize) -> u32 {
    head.iter().skip(at).take(len).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn look_at_permissions(path: &Path) -> Result<(), ViewError> {
    let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let readonly = statvfs(folder).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY));
    if readonly {
        return Err(fault(path, "is on a read-only file system", "remount it, after looking into the kernel log"));
    }
    for place in [path, folder] {
        if let Err(errno) = access(place, AccessFlags::R_OK | AccessFlags::W_OK) {
            let what = format!("cannot be written ({}: {errno})", place.display());
            return Err(fault(path, &what, "give hb permission to write the file and its folder"));
        }
    }
    Ok(())
}
