//! What SQLite says went wrong, in a few kinds and with advice.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::ffi;

/// Why a database cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The folder of the file is not there.
    MissingFolder,
    /// The file is not there, and it was not to be made.
    MissingFile,
    /// The file is no SQLite database.
    NotADatabase,
    /// It is a database, but of another program, or of another kind.
    Foreign,
    /// It is damaged or cut short.
    Corrupt,
    /// A newer program made it.
    Newer,
    /// Another process holds it.
    Locked,
    /// There is no room.
    Full,
    /// It, its folder or its file system cannot be written.
    ReadOnly,
    /// It cannot be opened or read: permissions, too many open files.
    Unreadable,
    /// It lies on a network file system, where its log does not work.
    Network,
    /// The disk fails.
    Io,
    /// A rule of its tables was broken: a defect of hb.
    Rule,
    /// Anything else.
    Other,
}

impl Trouble {
    /// Whether what is stored, or the program itself, is at fault: trying again only repeats it.
    #[must_use]
    pub fn is_damage(self) -> bool {
        matches!(self, Self::Corrupt | Self::NotADatabase | Self::Rule)
    }

    /// Whether waiting, or seeing to it, may be enough: nothing is broken.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Locked | Self::Full | Self::ReadOnly | Self::Unreadable)
    }

    fn advice(self) -> &'static str {
        match self {
            Self::MissingFolder => "create the folder, or correct the path",
            Self::MissingFile => "start hb once, or correct the path",
            Self::NotADatabase => "correct the path, or move the file aside and restore it from a copy",
            Self::Foreign => "choose another path: hb does not touch what is not its own",
            Self::Corrupt => {
                "keep the file with its -wal and -shm, run hb verify, and restore it from a copy (docs/ops/repair.md)"
            }
            Self::Newer => "use a newer hb, or restore the copy that was made before the upgrade",
            Self::Locked => "find who holds it (fuser or lsof on the file) and let it finish; hb tries again",
            Self::Full => "free space on its file system or raise its quota; hb goes on by itself",
            Self::ReadOnly => {
                "look for disk errors in the kernel log, remount it, or give hb permission to write the file and its folder"
            }
            Self::Unreadable => "give the user that runs hb permission to read and write the file and its folder",
            Self::Network => "put it on a local disk: SQLite's log needs memory that all its users share",
            Self::Io => {
                "the disk or its server fails: look into the kernel log before trusting it again, then restart hb"
            }
            Self::Rule => "this is a defect of hb: keep the file and report it; hb starts again from the record before",
            Self::Other => "see the message for what to do",
        }
    }
}

/// A database that cannot be used: which, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenError {
    /// What kind of trouble.
    pub trouble: Trouble,
    /// The file.
    pub path: PathBuf,
    /// In words.
    pub what: String,
}

impl OpenError {
    pub(crate) fn new(trouble: Trouble, path: &Path, what: impl Into<String>) -> Self {
        Self { trouble, path: path.to_path_buf(), what: what.into() }
    }

    /// What SQLite said about that file.
    pub(crate) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let trouble = classify(error);
        let what = match trouble {
            Trouble::NotADatabase => "is not an SQLite database".to_owned(),
            Trouble::Corrupt => format!("is damaged ({error})"),
            Trouble::Locked => "is locked by another process".to_owned(),
            Trouble::Full => format!("could not grow: no room ({error})"),
            Trouble::ReadOnly => format!("cannot be written ({error})"),
            Trouble::Unreadable => format!("cannot be opened ({error})"),
            Trouble::MissingFolder
            | Trouble::MissingFile
            | Trouble::Foreign
            | Trouble::Newer
            | Trouble::Network
            | Trouble::Io
            | Trouble::Rule
            | Trouble::Other => format!("failed ({error})"),
        };
        Self::new(trouble, path, what)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; {}", self.path.display(), self.what, self.trouble.advice())
    }
}

impl std::error::Error for OpenError {}

/// The kind of an error.
pub(crate) fn classify(error: &rusqlite::Error) -> Trouble {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return unstored(error) };
    if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE {
        return Trouble::Full;
    }
    match failure.extended_code & 0xFF {
        ffi::SQLITE_NOTADB => Trouble::NotADatabase,
        ffi::SQLITE_CORRUPT => Trouble::Corrupt,
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => Trouble::Locked,
        ffi::SQLITE_FULL => Trouble::Full,
        ffi::SQLITE_READONLY => Trouble::ReadOnly,
        ffi::SQLITE_CANTOPEN | ffi::SQLITE_PERM | ffi::SQLITE_AUTH => Trouble::Unreadable,
        ffi::SQLITE_IOERR => Trouble::Io,
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH | ffi::SQLITE_TOOBIG => Trouble::Rule,
        _ => Trouble::Other,
    }
}

/// What was read is not what its column should hold: nobody but hb writes there, so it is damage.
fn unstored(error: &rusqlite::Error) -> Trouble {
    use rusqlite::Error as E;
    let unfit = matches!(
        error,
        E::FromSqlConversionFailure(..) | E::IntegralValueOutOfRange(..) | E::InvalidColumnType(..) | E::Utf8Error(..)
    );
    if unfit { Trouble::Corrupt } else { Trouble::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_has_its_own_advice() {
        use Trouble as T;
        let all = [
            T::MissingFolder,
            T::MissingFile,
            T::NotADatabase,
            T::Foreign,
            T::Corrupt,
            T::Newer,
            T::Locked,
            T::Full,
            T::ReadOnly,
            T::Unreadable,
            T::Network,
            T::Io,
            T::Rule,
            T::Other,
        ];
        let told: std::collections::BTreeSet<&str> = all.iter().map(|trouble| trouble.advice()).collect();
        assert_eq!(told.len(), all.len());
    }

    #[test]
    fn codes_are_told_apart() {
        let failure = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert_eq!(classify(&failure(ffi::SQLITE_FULL)), Trouble::Full);
        assert_eq!(classify(&failure(ffi::SQLITE_IOERR_FSYNC)), Trouble::Io);
        assert_eq!(classify(&failure(ffi::SQLITE_IOERR_SHMSIZE)), Trouble::Full);
        assert_eq!(classify(&failure(ffi::SQLITE_BUSY_RECOVERY)), Trouble::Locked);
        assert_eq!(classify(&failure(ffi::SQLITE_CORRUPT_INDEX)), Trouble::Corrupt);
        assert_eq!(classify(&failure(ffi::SQLITE_CONSTRAINT_UNIQUE)), Trouble::Rule);
    }
}
