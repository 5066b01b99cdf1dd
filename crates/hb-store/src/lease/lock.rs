//! A lock on an open file (OFD), and a thread that the kernel wakes when it becomes free.
//!
//! **Invariants.** The file is opened close-on-exec and never unlinked. The lock belongs to the open file, so it ends
//! with the process, whatever killed it, and not with somebody else's close of the same path. A lock granted to nobody
//! (its asker is gone) is dropped at once.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::statfs::{NFS_SUPER_MAGIC, statfs};

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Frees the lock now.
    pub(super) fn free(self) {
        drop(self.file);
    }
}

/// What came of asking for a lock without waiting.
pub(super) enum Asked {
    Got(Lock),
    Held,
    /// The file system knows no such locks, or not waiting for them.
    Unsupported(String),
}

/// How a waiting lock stands.
pub(super) enum Wake {
    Got(Lock),
    Waiting,
    /// The waiting thread ended with an error.
    Broken(String),
}

fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).expect("lock kinds are 0, 1 and 2"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("SEEK_SET is 0"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn open(path: &Path) -> Result<File, String> {
    // Read and write: over NFS an exclusive lock needs a file that is open for writing.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| format!("cannot open {}: {error}; hb needs to read and write its output_dir", path.display()))
}

/// Asks for the lock without waiting.
pub(super) fn ask(path: &Path) -> Result<Asked, String> {
    let file = open(path)?;
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
        Ok(_) => Ok(Asked::Got(Lock { file })),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(Asked::Held),
        Err(errno @ (Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS)) => {
            Ok(Asked::Unsupported(format!("{} cannot be locked: {errno}", path.display())))
        }
        Err(errno) => Err(format!("cannot lock {}: {errno}", path.display())),
    }
}

/// Whether waiting in the kernel is worse than asking again and again: NFS clients back off for up to 30 s.
pub(super) fn must_poll(dir: &Path) -> Result<bool, String> {
    statfs(dir)
        .map(|found| found.filesystem_type() == NFS_SUPER_MAGIC)
        .map_err(|errno| format!("cannot look at the file system of {}: {errno}", dir.display()))
}

/// A thread that waits in the kernel for the lock.
#[derive(Debug)]
pub(super) struct Waiter {
    granted: Receiver<Result<Lock, String>>,
}

impl Waiter {
    /// Starts waiting.
    pub(super) fn start(path: &Path) -> Result<Self, String> {
        let file = open(path)?;
        let (sender, granted) = sync_channel(1);
        let name = path.display().to_string();
        let wait = move || {
            let got = loop {
                match fcntl(&file, FcntlArg::F_OFD_SETLKW(&whole_file(libc::F_WRLCK))) {
                    Ok(_) => break Ok(Lock { file }),
                    Err(Errno::EINTR) => {}
                    Err(errno) => break Err(format!("cannot wait for the lock on {name}: {errno}")),
                }
            };
            // Nobody listens any more: the lock goes with what comes back.
            if sender.send(got).is_err() {
                tracing::debug!(file = name, "a lock was granted to nobody and freed");
            }
        };
        let spawned = std::thread::Builder::new().name("hb-lock".to_owned()).spawn(wait);
        spawned.map_err(|error| format!("cannot start the thread that waits for the lock: {error}"))?;
        Ok(Self { granted })
    }

    /// Waits at most that long.
    pub(super) fn wait(&self, patience: Duration) -> Wake {
        match self.granted.recv_timeout(patience) {
            Ok(Ok(lock)) => Wake::Got(lock),
            Ok(Err(why)) => Wake::Broken(why),
            Err(RecvTimeoutError::Timeout) => Wake::Waiting,
            Err(RecvTimeoutError::Disconnected) => {
                Wake::Broken("the thread that waits for the lock is gone".to_owned())
            }
        }
    }

    /// Looks without waiting.
    pub(super) fn look(&self) -> Wake {
        match self.granted.try_recv() {
            Ok(Ok(lock)) => Wake::Got(lock),
            Ok(Err(why)) => Wake::Broken(why),
            Err(TryRecvError::Empty) => Wake::Waiting,
            Err(TryRecvError::Disconnected) => Wake::Broken("the thread that waits for the lock is gone".to_owned()),
        }
    }
}
