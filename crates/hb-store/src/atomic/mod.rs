//! The one place that knows write, fsync, link, rename and fsync of a folder.
//!
//! **Invariants.** A name shows either nothing, or all bytes that were meant for it: bytes are written beside, and only
//! then given their name; but for [`Disk::amend`], whose caller says what may be written over. [`Disk::publish_new`] never
//! replaces anything; [`Disk::replace`] always replaces the whole. A [`Fault`] names the file and the operation, and says what
//! to do. Whether a failed step left anything behind is part of the answer, never a guess.

mod fault;
mod files;
mod steps;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use files::{BLOCK, System};

pub use fault::{Fault, Op};
pub use files::{Files, Opened, Reach, Stat};
pub use steps::{Steps, Verdict};

/// How long written bytes must live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Through power loss: the file and its folder are fsynced.
    Durable,
    /// Through the death of the process; after power loss the name stands for all of it, for what stood there before, or for nothing:
    /// the file is fsynced before it gets its name.
    Whole,
    /// Through the death of the process; after power loss it may be damaged, and is rebuilt.
    View,
}

/// What became of an attempt to give bytes a new name.
#[derive(Debug)]
pub enum Publish {
    /// They stand under that name, durable.
    Done,
    /// Other bytes stand there; nothing was changed.
    Taken(Vec<u8>),
    /// Certainly not done.
    NotDone(Fault),
    /// The name may have been given; or it has been, and may not be durable.
    Perhaps(Fault),
}

/// Largest file that is read whole, in bytes (B1).
pub const READ_MAX: u64 = 256 << 20;

/// Age after which somebody's temporary file is taken for a leftover.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

const TEMP_PREFIX: &str = ".hb-";
const TEMP_SUFFIX: &str = ".tmp";

/// A file system, with a hook before each step.
#[derive(Clone)]
pub struct Disk {
    files: Arc<dyn Files>,
    steps: Option<Arc<dyn Steps>>,
}

impl Default for Disk {
    fn default() -> Self {
        Self { files: Arc::new(System), steps: None }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("hooked", &self.steps.is_some()).finish()
    }
}

impl Disk {
    /// The file system as it is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The file system with a hook that may fail any step (tests).
    #[must_use]
    pub fn with_steps(steps: Arc<dyn Steps>) -> Self {
        Self { steps: Some(steps), ..Self::default() }
    }

    /// Another file system in its place (tests, simulation).
    #[must_use]
    pub fn on(files: Arc<dyn Files>) -> Self {
        Self { files, steps: None }
    }

    fn step<T>(&self, op: Op, path: &Path, act: impl FnOnce() -> io::Result<T>) -> Result<T, Fault> {
        let verdict = self.steps.as_ref().map_or(Verdict::Go, |steps| steps.before(op, path));
        let result = match verdict {
            Verdict::Go => act(),
            Verdict::Fail(errno) => Err(io::Error::from_raw_os_error(errno)),
            Verdict::DoneButFail(errno) => act().and_then(|_| Err(io::Error::from_raw_os_error(errno))),
        };
        result.map_err(|error| Fault::new(op, path, &error))
    }

    /// Puts `bytes` at `dir/name` if nothing is there: written beside, fsynced, linked, folder fsynced.
    ///
    /// A name that is taken by the same bytes is our own success after a lost reply. Two fsyncs.
    #[must_use]
    pub fn publish_new(&self, dir: &Path, name: &str, bytes: &[u8]) -> Publish {
        let target = dir.join(name);
        let temp = match self.write_beside(dir, bytes, Durability::Durable) {
            Ok(temp) => temp,
            Err(fault) => return Publish::NotDone(fault),
        };
        let linked = self.step(Op::Link, &target, || self.files.link(&temp, &target));
        self.discard(&temp);
        match linked {
            Ok(()) => {}
            Err(fault) if fault.already_exists() => match self.read(&target) {
                Ok(Some(there)) if there == bytes => {}
                Ok(Some(there)) => return Publish::Taken(there),
                // Gone again: somebody trims here. The caller's floor check tells the rest.
                Ok(None) => return Publish::NotDone(fault),
                Err(fault) => return Publish::Perhaps(fault),
            },
            Err(fault) if fault.certainly_not_done() => return Publish::NotDone(fault),
            Err(fault) => return Publish::Perhaps(fault),
        }
        match self.sync_dir(dir) {
            Ok(()) => Publish::Done,
            Err(fault) => Publish::Perhaps(fault),
        }
    }

    /// Puts `bytes` at `dir/name`, in place of whatever is there: a reader sees the old or the new, whole.
    ///
    /// # Errors
    /// [`Fault`]; the old file then still stands, but for a failed fsync of the folder.
    pub fn replace(&self, dir: &Path, name: &str, bytes: &[u8], durability: Durability) -> Result<(), Fault> {
        let target = dir.join(name);
        let temp = self.write_beside(dir, bytes, durability)?;
        if let Err(fault) = self.step(Op::Rename, &target, || self.files.rename(&temp, &target)) {
            self.discard(&temp);
            return Err(fault);
        }
        match durability {
            Durability::Durable => self.sync_dir(dir),
            Durability::Whole | Durability::View => Ok(()),
        }
    }

    /// Writes `bytes` over a file of the same length, where what stands there `may` be written over; says whether it did: if not, nothing was changed.
    /// For what is written often and is as good when a reader sees some bytes of the old and some of the new; it lives as [`Durability::View`] does.
    ///
    /// # Errors
    /// [`Fault`]; the file may then be damaged.
    pub fn amend(&self, path: &Path, bytes: &[u8], may: &dyn Fn(&[u8]) -> bool) -> Result<bool, Fault> {
        match self.step(Op::Write, path, || self.files.amend(path, bytes, may)) {
            Err(fault) if fault.not_found() => Ok(false),
            amended => amended,
        }
    }

    fn write_beside(&self, dir: &Path, bytes: &[u8], durability: Durability) -> Result<PathBuf, Fault> {
        let (temp, mut file) = self.create_temp(dir)?;
        let written = self.step(Op::Write, &temp, || file.write_all(bytes)).and_then(|()| match durability {
            Durability::Durable | Durability::Whole => self.step(Op::SyncFile, &temp, || file.sync()),
            Durability::View => Ok(()),
        });
        match written {
            Ok(()) => Ok(temp),
            Err(fault) => {
                self.discard(&temp);
                Err(fault)
            }
        }
    }

    fn create_temp(&self, dir: &Path) -> Result<(PathBuf, Box<dyn Opened>), Fault> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        // Other hosts may write into the same folder, so neither process nor counter is enough; O_EXCL decides.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.subsec_nanos());
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temp = dir.join(format!("{TEMP_PREFIX}{}-{count}-{nanos}{TEMP_SUFFIX}", std::process::id()));
        let file = self.step(Op::Create, &temp, || self.files.create(&temp))?;
        Ok((temp, file))
    }

    /// Removes a temporary file; one that stays is told and swept up later, since nothing depends on it.
    fn discard(&self, temp: &Path) {
        if let Err(fault) = self.step(Op::Unlink, temp, || self.files.unlink(temp)) {
            tracing::warn!(%fault, "a temporary file stays behind; it is removed at a later start");
        }
    }

    /// Fsyncs a folder: names given and taken in it become durable.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn sync_dir(&self, dir: &Path) -> Result<(), Fault> {
        self.step(Op::SyncDir, dir, || self.files.sync_dir(dir))
    }

    /// Removes a file; `false` when there was none.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn remove(&self, path: &Path) -> Result<bool, Fault> {
        match self.step(Op::Unlink, path, || self.files.unlink(path)) {
            Ok(()) => Ok(true),
            Err(fault) if fault.not_found() => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Creates a folder and those above it that are missing, durable.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn create_dirs(&self, dir: &Path) -> Result<(), Fault> {
        let Some(parent) = dir.parent() else { return Ok(()) };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if self.stands(dir)? {
            return self.confirm(parent);
        }
        self.create_dirs(parent)?;
        match self.step(Op::CreateDir, dir, || self.files.create_dir(dir)) {
            Ok(()) => {}
            Err(fault) if fault.already_exists() => {}
            Err(fault) => return Err(fault),
        }
        self.sync_dir(parent)
    }

    /// Makes the names durable that somebody gave in a folder who may have died before he did so himself.
    fn confirm(&self, dir: &Path) -> Result<(), Fault> {
        match self.sync_dir(dir) {
            // A folder that may not be read was made ready by somebody else.
            Err(fault) if fault.not_permitted() => Ok(()),
            synced => synced,
        }
    }

    /// Creates a folder and those above it that are missing; power loss may take them back.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn create_view_dirs(&self, dir: &Path) -> Result<(), Fault> {
        self.step(Op::CreateDir, dir, || create_all(&*self.files, dir))
    }

    /// A file's bytes; nothing when there is no such file.
    ///
    /// # Errors
    /// [`Fault`], also for a file larger than [`READ_MAX`].
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
        let read = self.step(Op::Read, path, || self.files.read(path, READ_MAX));
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(fault) if fault.not_found() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Whether there is such a file or folder.
    ///
    /// # Errors
    /// [`Fault`] when it cannot be told.
    pub fn stands(&self, path: &Path) -> Result<bool, Fault> {
        self.stat(path).map(|found| found.is_some())
    }

    /// What stands under a name, if anything does.
    ///
    /// # Errors
    /// [`Fault`] when it cannot be told.
    pub fn stat(&self, path: &Path) -> Result<Option<Stat>, Fault> {
        match self.step(Op::Look, path, || self.files.stat(path)) {
            Ok(found) => Ok(Some(found)),
            Err(fault) if fault.not_found() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Who else may change a folder.
    ///
    /// # Errors
    /// [`Fault`] when it cannot be told.
    pub fn reach(&self, dir: &Path) -> Result<Reach, Fault> {
        self.step(Op::Look, dir, || self.files.reach(dir))
    }

    /// Removes an empty folder; `false` when there was none.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn remove_dir(&self, dir: &Path) -> Result<bool, Fault> {
        match self.step(Op::Unlink, dir, || self.files.remove_dir(dir)) {
            Ok(()) => Ok(true),
            Err(fault) if fault.not_found() => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Gives a folder another name on the same file system; folders above are to be fsynced by the caller. What stands there is
    /// not replaced, but for an empty folder.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn move_dir(&self, from: &Path, to: &Path) -> Result<(), Fault> {
        self.step(Op::Rename, to, || self.files.rename(from, to))
    }

    /// Bytes that a file takes up on disk, by whole blocks; zero when there is no such file.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn footprint(&self, path: &Path) -> Result<u64, Fault> {
        match self.step(Op::Look, path, || self.files.footprint(path)) {
            Ok(bytes) => Ok(bytes),
            Err(fault) if fault.not_found() => Ok(0),
            Err(fault) => Err(fault),
        }
    }

    /// Tries to write into a folder, and leaves nothing there.
    ///
    /// # Errors
    /// [`Fault`] when it is full, read-only, or not ours to write.
    pub fn probe(&self, dir: &Path) -> Result<(), Fault> {
        let block = vec![0_u8; usize::try_from(BLOCK).unwrap_or(0)];
        let temp = self.write_beside(dir, &block, Durability::View)?;
        self.discard(&temp);
        Ok(())
    }

    /// The names in a folder, in no order; none when there is no such folder. Names that are not UTF-8 come with
    /// replacement characters, so that they are seen as foreign.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn names(&self, dir: &Path) -> Result<Vec<String>, Fault> {
        match self.step(Op::List, dir, || self.files.names(dir)) {
            Ok(names) => Ok(names),
            Err(fault) if fault.not_found() => Ok(Vec::new()),
            Err(fault) => Err(fault),
        }
    }

    /// Removes temporary files that were left in a folder long ago. Returns how many.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn sweep(&self, dir: &Path) -> Result<u64, Fault> {
        let mut swept = 0_u64;
        for name in self.names(dir)?.iter().filter(|name| is_temp(name)) {
            let path = dir.join(name);
            let old = self.files.stat(&path).is_ok_and(|found| found.age > LEFTOVER_AGE);
            if old && self.remove(&path)? {
                swept = swept.saturating_add(1);
            }
        }
        Ok(swept)
    }
}

/// Makes a folder and those above it that are missing.
fn create_all(files: &dyn Files, dir: &Path) -> io::Result<()> {
    match files.create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Err(error) };
            create_all(files, parent)?;
            folder_stands(files.create_dir(dir), files, dir)
        }
        made => folder_stands(made, files, dir),
    }
}

/// A folder that stands already is as good as one that was made.
fn folder_stands(made: io::Result<()>, files: &dyn Files, dir: &Path) -> io::Result<()> {
    match made {
        Err(_) if files.stat(dir).is_ok_and(|found| found.folder) => Ok(()),
        other => other,
    }
}

/// Whether a file name is that of one of our temporary files.
#[must_use]
pub fn is_temp(name: &str) -> bool {
    name.starts_with(TEMP_PREFIX) && name.ends_with(TEMP_SUFFIX)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::SystemTime;

    use nix::libc;

    use super::steps::Script;
    use super::*;

    #[test]
    fn a_name_is_given_once_and_the_same_bytes_are_our_own_success() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new();
        assert!(matches!(disk.publish_new(dir.path(), "a", b"one"), Publish::Done));
        assert!(matches!(disk.publish_new(dir.path(), "a", b"one"), Publish::Done));
        match disk.publish_new(dir.path(), "a", b"two") {
            Publish::Taken(there) => assert_eq!(there, b"one"),
            other @ (Publish::Done | Publish::NotDone(_) | Publish::Perhaps(_)) => panic!("{other:?}"),
        }
        assert_eq!(disk.names(dir.path()).unwrap(), ["a"]);
    }

    #[test]
    fn a_lost_reply_of_link_is_told_as_perhaps_and_publishing_again_settles_it() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::with_steps(Arc::new(Script::at(Op::Link, Verdict::DoneButFail(libc::EIO))));
        assert!(matches!(disk.publish_new(dir.path(), "a", b"one"), Publish::Perhaps(_)));
        assert!(matches!(disk.publish_new(dir.path(), "a", b"one"), Publish::Done));
    }

    #[test]
    fn faults_name_file_operation_and_advice() {
        let dir = tempfile::tempdir().unwrap();
        for (errno, advice) in [(libc::ENOSPC, "free space"), (libc::EROFS, "remount"), (libc::EACCES, "permission")] {
            let disk = Disk::with_steps(Arc::new(Script::at(Op::Create, Verdict::Fail(errno))));
            let fault = disk.replace(dir.path(), "a", b"one", Durability::View).unwrap_err();
            let text = fault.to_string();
            assert!(text.contains("create") && text.contains(".hb-") && text.contains(advice), "{text}");
        }
    }

    #[test]
    fn what_may_not_be_written_over_or_is_of_another_length_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (Disk::new(), dir.path().join("a"));
        let amend = |bytes: &[u8], may: bool| disk.amend(&path, bytes, &|_| may).unwrap();
        assert!(!amend(b"one", true), "nothing is there");
        assert!(!path.try_exists().unwrap());
        fs::write(&path, b"one").unwrap();
        for (bytes, may) in [(b"two".as_slice(), false), (b"four", true), (b"a", true), (b"", true)] {
            assert!(!amend(bytes, may), "{bytes:?}");
            assert_eq!(fs::read(&path).unwrap(), b"one");
        }
        assert!(disk.amend(&path, b"two", &|there| there == b"one").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn only_old_temporary_files_of_ours_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new();
        for name in [".hb-1-1-1.tmp", ".hb-2-2-2.tmp", "other.tmp"] {
            fs::write(dir.path().join(name), b"x").unwrap();
        }
        let old = SystemTime::now() - LEFTOVER_AGE * 2;
        for name in [".hb-1-1-1.tmp", "other.tmp"] {
            File::options().write(true).open(dir.path().join(name)).unwrap().set_modified(old).unwrap();
        }
        assert_eq!(disk.sweep(dir.path()).unwrap(), 1);
        let mut names = disk.names(dir.path()).unwrap();
        names.sort();
        assert_eq!(names, [".hb-2-2-2.tmp", "other.tmp"]);
    }
}
