//! What went wrong with a file, where, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::libc;

/// One step on the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Creating a folder.
    CreateDir,
    /// Creating a temporary file.
    Create,
    /// Writing it.
    Write,
    /// Fsyncing it.
    SyncFile,
    /// Giving it its name.
    Link,
    /// Giving it its name in place of another.
    Rename,
    /// Removing a name.
    Unlink,
    /// Fsyncing a folder.
    SyncDir,
    /// Reading a file.
    Read,
    /// Reading a folder.
    List,
    /// Asking whether something is there.
    Look,
}

impl Op {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateDir => "create folder",
            Self::Create => "create",
            Self::Write => "write",
            Self::SyncFile => "fsync",
            Self::Link => "link",
            Self::Rename => "rename to",
            Self::Unlink => "remove",
            Self::SyncDir => "fsync folder",
            Self::Read => "read",
            Self::List => "list folder",
            Self::Look => "look for",
        }
    }

    /// Whether it is an fsync: one that failed cannot be believed when it succeeds later.
    #[must_use]
    pub fn is_sync(self) -> bool {
        matches!(self, Self::SyncFile | Self::SyncDir)
    }
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The step.
    pub op: Op,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's error number, where it gave one.
    pub errno: Option<i32>,
    message: String,
}

impl Fault {
    /// Notes what the system said.
    #[must_use]
    pub fn new(op: Op, path: &Path, error: &io::Error) -> Self {
        Self { op, path: path.to_path_buf(), errno: error.raw_os_error(), message: error.to_string() }
    }

    /// No such file or folder.
    #[must_use]
    pub fn not_found(&self) -> bool {
        self.errno == Some(libc::ENOENT)
    }

    /// A file where a folder was expected.
    #[must_use]
    pub fn not_a_folder(&self) -> bool {
        self.errno == Some(libc::ENOTDIR)
    }

    /// It is not ours to do.
    #[must_use]
    pub fn not_permitted(&self) -> bool {
        matches!(self.errno, Some(libc::EACCES | libc::EPERM))
    }

    /// Nothing can be written there.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.errno == Some(libc::EROFS)
    }

    /// The name is taken.
    #[must_use]
    pub fn already_exists(&self) -> bool {
        self.errno == Some(libc::EEXIST)
    }

    /// Whether the system's answer rules out that the step was done. Anything that can be a lost reply does not.
    #[must_use]
    pub fn certainly_not_done(&self) -> bool {
        matches!(
            self.errno,
            Some(
                libc::ENOSPC
                    | libc::EDQUOT
                    | libc::EROFS
                    | libc::EACCES
                    | libc::EPERM
                    | libc::ENOENT
                    | libc::ENOTDIR
                    | libc::EMLINK
                    | libc::EXDEV
                    | libc::ENAMETOOLONG
                    | libc::EMFILE
                    | libc::ENFILE
                    | libc::ENOMEM
                    | libc::EOPNOTSUPP
            )
        )
    }

    fn advice(&self) -> &'static str {
        const NO_LINKS: &str =
            "the file system cannot link files: put output_dir on one that can (ext4, xfs, btrfs, NFS)";
        match self.errno {
            // What vfat and exfat answer.
            Some(libc::EPERM) if self.op == Op::Link => NO_LINKS,
            Some(libc::ENOSPC | libc::EDQUOT) => {
                "free space on that file system (or raise its quota); hb goes on by itself"
            }
            Some(libc::EROFS) => {
                "the file system is read-only: look for disk errors in the kernel log, then remount it"
            }
            Some(libc::EACCES | libc::EPERM) => "give the user that runs hb permission to read and write there",
            Some(libc::EIO) => "the disk or its server fails: look into the kernel log before trusting it again",
            Some(libc::ENOENT | libc::ENOTDIR) => {
                "something removed or replaced its folder: put it back, then restart hb"
            }
            Some(libc::ENAMETOOLONG) => "choose a shorter name for the watch, tag or folder",
            Some(libc::EMFILE | libc::ENFILE) => "raise the limit of open files (LimitNOFILE)",
            Some(libc::EXDEV | libc::EMLINK | libc::EOPNOTSUPP) => NO_LINKS,
            Some(_) | None => "see the error for what to do",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}; {}", self.op.as_str(), self.path.display(), self.message, self.advice())
    }
}

impl std::error::Error for Fault {}
