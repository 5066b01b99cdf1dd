//! The steps on a file system that [`super::Disk`] is made of: the system's own, and the place where another can stand.
//!
//! Whatever stands here has to keep POSIX: a name is given or taken as a whole, `link` replaces nothing, `rename` leaves the old or the
//! new. What of it is still there after power loss is told by `sync` alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use hb_core::journal::room;
use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC,
    statfs,
};

/// Block of a file system, in bytes.
pub(super) const BLOCK: u64 = 4096;

/// File systems of one host, on which the kernel tells of every change.
const LOCAL: [FsType; 7] = [
    EXT4_SUPER_MAGIC,
    XFS_SUPER_MAGIC,
    BTRFS_SUPER_MAGIC,
    F2FS_SUPER_MAGIC,
    TMPFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
    // ZFS, which has no name in the library.
    FsType(0x2FC1_2FC1),
];

/// A file that was just created, open for writing.
pub trait Opened: Write {
    /// Fsyncs it: bytes and length.
    ///
    /// # Errors
    /// The system's.
    fn sync(&mut self) -> io::Result<()>;
}

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Whether it is a folder.
    pub folder: bool,
    /// How long ago it was changed.
    pub age: Duration,
}

/// Who sees what changes on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One host: the kernel tells of every change.
    Local,
    /// Perhaps several hosts: what is remembered of a folder may be old.
    Shared,
}

/// A file system. Every error is the system's, with its number.
#[expect(clippy::missing_errors_doc, reason = "said once, for all of them")]
pub trait Files: Send + Sync {
    /// Makes a file that was not there, open for writing.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Opened>>;
    /// Gives a file a further name that was not there.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file or folder another name, in place of what stands there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file's name.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder that was not there, in one that is.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Fsyncs a folder: the names in it.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// A file's bytes; an error when there are more than `most`.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>>;
    /// The names in a folder, in no order; what is not UTF-8 with replacement characters.
    fn names(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// What stands under a name.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// Bytes that it takes up on disk, by whole blocks.
    fn footprint(&self, path: &Path) -> io::Result<u64>;
    /// Who else may change it.
    fn reach(&self, dir: &Path) -> io::Result<Reach>;
    /// Writes `bytes` over a file of the same length, in its place, where what stands there may be written over; says whether it did. A reader may
    /// see some bytes of the old and some of the new. Whoever has put another file in its place meanwhile is not disturbed. A file system that
    /// cannot, or need not, never does.
    fn amend(&self, _path: &Path, _bytes: &[u8], _may: &dyn Fn(&[u8]) -> bool) -> io::Result<bool> {
        Ok(false)
    }
}

/// The system's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct System;

impl Opened for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Files for System {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Opened>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        if length > most {
            return Err(io::Error::other(format!("{length} bytes are more than the {most} that are read")));
        }
        let mut bytes = Vec::with_capacity(room(usize::try_from(length).unwrap_or(0)));
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let found = fs::metadata(path)?;
        // A time ahead of the clock is no age.
        let age = found.modified().map(|at| at.elapsed().unwrap_or_default())?;
        Ok(Stat { folder: found.is_dir(), age })
    }

    fn footprint(&self, path: &Path) -> io::Result<u64> {
        let found = fs::symlink_metadata(path)?;
        // A file just written may not have been given its blocks yet.
        Ok(found.blocks().saturating_mul(512).max(found.len().next_multiple_of(BLOCK)))
    }

    fn reach(&self, dir: &Path) -> io::Result<Reach> {
        let found = statfs(dir)?.filesystem_type();
        Ok(if LOCAL.contains(&found) { Reach::Local } else { Reach::Shared })
    }

    fn amend(&self, path: &Path, bytes: &[u8], may: &dyn Fn(&[u8]) -> bool) -> io::Result<bool> {
        // Looked at and written by one descriptor: both are of one file, whatever its name stands for by then.
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // One byte more than expected, so that a longer file is seen.
        let mut there = vec![0; bytes.len().saturating_add(1)];
        let read = file.read_at(&mut there, 0)?;
        let fits = read == bytes.len() && there.get(..read).is_some_and(may);
        if fits {
            file.write_all_at(bytes, 0)?;
        }
        Ok(fits)
    }
}
