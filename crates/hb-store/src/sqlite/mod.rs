//! SQLite as hb uses it where it is the truth: how a file is opened, refused, and brought up to date.
//!
//! **Invariants.** A file that is not ours, is newer, or cannot be used is left exactly as it is. Every commit is fsynced before it is
//! acknowledged (`synchronous=FULL`), and the log is moved into the file by us alone ([`handle`]), because SQLite forgets
//! what went wrong when it does so by itself. A file that this process has open as a database is never opened besides it: closing
//! any descriptor of it would drop SQLite's locks (POSIX).

pub(crate) mod fault;
pub(crate) mod handle;
mod log;
pub(crate) mod migrate;
mod mover;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use hb_core::time::Stamp;
use nix::sys::statfs::statfs;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

pub use fault::{OpenError, Trouble};
pub(crate) use handle::{Halt, Handle, as_error, unread};
pub(crate) use migrate::Schema;

/// How long a write waits for another process that holds the database.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How long opening pauses before it tries a file again that others are making.
const OPEN_AGAIN: Duration = Duration::from_millis(5);
/// Pages of the log after which it is moved into the file beside the commits: about 4 MB. A start after a crash reads all of it.
pub(crate) const LOG_PAGES: i64 = 1_000;
/// Pages of the log at which a commit waits until it has been moved: about 16 MB (B1).
pub(crate) const LOG_PAGES_MAX: i64 = 4_000;
/// Prepared statements that are kept.
const STATEMENTS: usize = 128;

/// File systems whose users do not share memory, by the numbers of `statfs(2)`.
const NETWORKS: [(i64, &str); 14] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0BD0_0BD0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x4750_4653, "GPFS"),
];

/// The name of a file system on which WAL does not work.
fn network(kind: i64) -> Option<&'static str> {
    // Some systems give the number with its sign extended.
    NETWORKS.iter().find(|(magic, _)| *magic == kind & 0xFFFF_FFFF).map(|(_, name)| *name)
}

/// A file as it was opened: one that is put in its place later is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

/// Who a file is; nothing when there is none.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|meta| Identity(meta.dev(), meta.ino()))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Its write-ahead log.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Opens a database for writing, making it when it is missing, and brings it up to date.
pub(crate) fn open(path: &Path, schema: &Schema) -> Result<Connection, OpenError> {
    let begun = Instant::now();
    loop {
        match try_open(path, schema) {
            // Where several make or recover the file at once, SQLite answers some of them at once instead of letting them wait.
            Err(error) if error.trouble == Trouble::Locked && begun.elapsed() < PATIENCE => thread::sleep(OPEN_AGAIN),
            opened => return opened,
        }
    }
}

fn try_open(path: &Path, schema: &Schema) -> Result<Connection, OpenError> {
    look_at_folder(path)?;
    log::look(path)?;
    let explained = |error: rusqlite::Error| OpenError::of(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(explained)?;
    prepare(&connection).map_err(explained)?;
    // Read before anything is set: setting writes, and what is not ours is left alone.
    schema.accept(path, &connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(explained)?;
    if !mode.eq_ignore_ascii_case("wal") {
        let what = format!("cannot have a write-ahead log (its mode stays {mode})");
        return Err(OpenError::new(Trouble::Other, path, what));
    }
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0").map_err(explained)?;
    schema.migrate(path, &mut connection)?;
    Ok(connection)
}

/// Opens a database for reading alone; another process may be writing it.
pub(crate) fn open_to_read(path: &Path, schema: &Schema) -> Result<Connection, OpenError> {
    let explained = |error: rusqlite::Error| OpenError::of(path, &error);
    if !path.try_exists().unwrap_or(true) {
        return Err(OpenError::new(Trouble::MissingFile, path, "is not there"));
    }
    refuse_network(path)?;
    log::look(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if may_write(folder(path)) {
        Connection::open_with_flags(path, flags)
    } else {
        Connection::open_with_flags(unchanging(path)?, flags | OpenFlags::SQLITE_OPEN_URI)
    };
    let connection = connection.map_err(explained)?;
    prepare(&connection).map_err(explained)?;
    schema.accept_whole(path, &connection)?;
    Ok(connection)
}

fn may_write(folder: &Path) -> bool {
    let read_only = statvfs(folder).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY));
    !read_only && access(folder, AccessFlags::W_OK).is_ok()
}

/// A file in a folder that cannot be written: SQLite reads it when it is told that nobody changes it, but without its log.
fn unchanging(path: &Path) -> Result<String, OpenError> {
    if std::fs::metadata(log_of(path)).is_ok_and(|meta| meta.len() > 0) {
        let what = "has a log beside it that cannot be read in a folder that cannot be written: copy both elsewhere";
        return Err(OpenError::new(Trouble::ReadOnly, path, what));
    }
    let text =
        path.to_str().ok_or_else(|| OpenError::new(Trouble::Unreadable, path, "has a name that is not UTF-8"))?;
    let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Ok(format!("file:{escaped}?immutable=1"))
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8000",
    )
}

/// The name of the network file system that a folder lies on; none where it is this machine's own, or cannot be told.
#[must_use]
pub fn network_of(dir: &Path) -> Option<&'static str> {
    statfs(dir).ok().and_then(|found| network(found.filesystem_type().0))
}

fn refuse_network(path: &Path) -> Result<(), OpenError> {
    let found = statfs(folder(path)).map_err(|errno| {
        OpenError::new(Trouble::Unreadable, path, format!("has a file system that cannot be looked at: {errno}"))
    })?;
    match network(found.filesystem_type().0) {
        Some(name) => Err(OpenError::new(Trouble::Network, path, format!("lies on a network file system ({name})"))),
        None => Ok(()),
    }
}

fn look_at_folder(path: &Path) -> Result<(), OpenError> {
    let folder = folder(path);
    match std::fs::metadata(folder) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => {
            let what = format!("cannot be made: {} is not a folder", folder.display());
            return Err(OpenError::new(Trouble::MissingFolder, path, what));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let what = format!("cannot be made: there is no folder {}", folder.display());
            return Err(OpenError::new(Trouble::MissingFolder, path, what));
        }
        Err(error) => return Err(OpenError::new(Trouble::Unreadable, path, format!("cannot be looked at: {error}"))),
    }
    refuse_network(path)?;
    if statvfs(folder).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY)) {
        return Err(OpenError::new(Trouble::ReadOnly, path, "is on a read-only file system"));
    }
    for place in [folder, path] {
        match access(place, AccessFlags::R_OK | AccessFlags::W_OK) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => {}
            Err(errno) => {
                let what = format!("cannot be written ({}: {errno})", place.display());
                return Err(OpenError::new(Trouble::ReadOnly, path, what));
            }
        }
    }
    Ok(())
}

/// Lets the end of this connection leave the log alone: what a failing disk says of moving it is not believed.
pub(crate) fn keep_log(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::warn!(%error, "the log may be moved into the file when it is closed");
    }
}

/// A number as SQLite holds it; numbers and counts stay far below 2^63.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count as SQLite holds it.
pub(crate) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number out of a row.
pub(crate) fn natural(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, number))
}

/// A time with nine digits after the point, so that text sorts as time does.
pub(crate) fn utc(stamp: Stamp) -> String {
    let mut text = stamp.to_string();
    if text.pop() != Some('Z') {
        return stamp.to_string();
    }
    let digits = match text.split_once('.') {
        Some((_, fraction)) => fraction.len(),
        None => {
            text.push('.');
            0
        }
    };
    text.extend(std::iter::repeat_n('0', 9_usize.saturating_sub(digits)));
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_number() {
        assert_eq!(network(0x6969), Some("NFS"));
        assert_eq!(network(i64::from(0xFF53_4D42_u32.cast_signed())), Some("CIFS"));
        assert_eq!(network(0xEF53), None, "ext4");
        assert_eq!(network(0x0102_1994), None, "tmpfs");
        assert_eq!(network(0x5846_5342), None, "xfs");
    }

    #[test]
    fn times_sort_as_text() {
        let stamps = [0, 1, 500_000_000, 1_000_000_000, 1_700_000_000_000_000_000, 1_700_000_000_100_000_000];
        let texts: Vec<String> = stamps.iter().map(|ns| utc(Stamp(*ns))).collect();
        assert!(texts.is_sorted(), "{texts:?}");
        for (text, ns) in texts.iter().zip(stamps) {
            assert_eq!(text.len(), 30, "{text}");
            assert_eq!(Stamp::parse(text), Ok(Stamp(ns)));
        }
    }
}
