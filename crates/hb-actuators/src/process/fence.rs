//! Who may start programs from this run folder: the newest `Hands` alone.
//!
//! Two things could start a program twice. A child of an `hb` that was just killed may not have become its program yet, so that nobody
//! finds it. And an `hb` that was stopped for a while, and was replaced meanwhile, may go on where it was.
//!
//! **Invariants.** A start holds the file's lock, shared, from before the child exists until it is the program; the child has a copy that
//! the kernel closes when it has become the program, whatever became of us. Whoever takes over waits for the lock alone, so no child is on its way
//! then, and puts another file in place of this one; whoever finds that its file has no name any more starts nothing (S2).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Name of the file in the run folder.
const NAME: &str = "starting.lock";
/// How long a child of another `hb` may take to become its program.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often the lock is tried.
const TRY_EVERY: Duration = Duration::from_millis(2);

/// The right to start programs.
#[derive(Debug)]
pub(super) struct Fence(File);

/// Somebody newer has the right.
#[derive(Debug)]
pub(super) struct Replaced;

impl Fence {
    /// Takes the right over.
    ///
    /// # Errors
    /// `TimedOut` when a child of another `hb` has not become its program yet, or that `hb` was stopped while starting it.
    pub(super) fn take(run_dir: &Path) -> io::Result<Self> {
        let path = run_dir.join(NAME);
        let until = Instant::now() + WAIT_MAX;
        loop {
            let before = open(&path)?;
            match before.try_lock() {
                Ok(()) if before.metadata()?.nlink() > 0 => return Self::replace(run_dir, &path),
                // Somebody else replaced it between our opening and our lock.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(TRY_EVERY),
                Err(TryLockError::WouldBlock) => return Err(stuck(&path)),
                Err(TryLockError::Error(fault)) => return Err(fault),
            }
        }
    }

    /// The lock on the file before is held until the new one is in its place.
    fn replace(run_dir: &Path, path: &Path) -> io::Result<Self> {
        let beside = run_dir.join(format!("{NAME}.{}", std::process::id()));
        match fs::remove_file(&beside) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
            Ok(()) | Err(_) => {}
        }
        let file = open(&beside)?;
        fs::rename(&beside, path)?;
        Ok(Self(file))
    }

    /// Does something that starts a program, unless somebody newer has the right.
    pub(super) fn within<T>(&self, start: impl FnOnce() -> T) -> Result<T, Replaced> {
        // A lock that cannot be had is no right either. Whoever takes over holds it for a moment only.
        self.0.lock_shared().map_err(|_| Replaced)?;
        let done = self.holds().then(start);
        // The child has become the program or is gone: its copy of the lock is closed, so this ends it.
        self.0
            .unlock()
            .map_err(|_| Replaced)
            .inspect_err(|_| tracing::error!("a lock of ours cannot be given back"))?;
        done.ok_or(Replaced)
    }
}

impl Fence {
    /// Whether nobody newer has the right.
    pub(super) fn holds(&self) -> bool {
        self.0.metadata().is_ok_and(|found| found.nlink() > 0)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn stuck(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!(
            "{}: another hb is in the middle of starting a program for more than {} s: it is stopped, or the program's folder does not \
             answer. End that process (fuser shows it), then start hb again",
            path.display(),
            WAIT_MAX.as_secs()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_the_one_before_starts_nothing_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let first = Fence::take(folder.path()).unwrap();
        assert_eq!(first.within(|| 1).unwrap(), 1);
        let second = Fence::take(folder.path()).unwrap();
        assert!(!first.holds() && second.holds());
        assert!(first.within(|| panic!("started by the one before")).is_err());
        assert_eq!(second.within(|| 2).unwrap(), 2);
        assert_eq!(second.within(|| 3).unwrap(), 3);
    }

    #[test]
    fn s2_taking_over_waits_for_a_child_on_its_way() {
        let folder = tempfile::tempdir().unwrap();
        let first = Fence::take(folder.path()).unwrap();
        let taken = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            first
                .within(|| {
                    scope.spawn(|| {
                        Fence::take(folder.path()).unwrap();
                        taken.store(true, std::sync::atomic::Ordering::SeqCst);
                    });
                    std::thread::sleep(TRY_EVERY * 10);
                    assert!(!taken.load(std::sync::atomic::Ordering::SeqCst), "taken while a child is on its way");
                })
                .unwrap();
        });
        assert!(taken.load(std::sync::atomic::Ordering::SeqCst));
    }
}
