//! A disk in memory that knows what of it is durable: the store's real code runs on it, is cut at every step, and goes on from every
//! disk that power loss may leave.
//!
//! **Invariants.** It answers as POSIX says ([`Tree`]). Each step that changes something is a place to cut: what stood before it is kept
//! with how much the workload had been promised by then. The same steps on the same disk give the same disk.
//!
//! | question | file |
//! |---|---|
//! | What is durable, what waits for an fsync? | `tree.rs` |
//! | Which disks may power loss leave? | `crash.rs` |
//! | What was promised, and what therefore has to stand? | `ledger.rs` |
//! | What is done on the disk? | `work.rs` |
//! | How does the store go on from a disk, and is all there? | `recover.rs` |
//! | Every cut, every disk, and again | `hunt.rs` |

mod crash;
mod hunt;
mod ledger;
mod recover;
mod tree;
mod work;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hb_store::atomic::{Disk, Files, Op, Opened, Reach, Stat};

pub use crash::{Dice, Left, Wanted, after_power_loss};
pub use hunt::{Found, Hunt, Tally, faults, flips, hunt};
pub use ledger::{Event, Ledger};
pub use recover::recover;
pub use tree::Tree;
use tree::{Ino, Node, errno};
pub use work::{Scene, Stage};

const ENOSPC: i32 = 28;
/// Age of whatever was there when the disk was mounted: leftovers are old enough to be swept.
const OLD: Duration = Duration::from_secs(2 * 3600);
const BLOCK: u64 = 4096;

/// A planted defect: the store calls, and the disk does not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// No fsync of a file does anything.
    NoFileSync,
    /// No fsync of a folder does anything.
    NoFolderSync,
    /// No fsync of a folder whose path ends so does anything.
    NoFolderSyncOf(&'static str),
    /// A file is fsynced only after it was given its name.
    NameBeforeFileSync,
}

/// What befalls one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// It is not done, and says so. An fsync so answered loses what it covered, for ever.
    Fails(i32),
    /// It is done, and says that it was not.
    DoneButFails(i32),
    /// Half of the bytes are written, then the disk is full.
    Short,
}

/// A place to cut: what stood before a step.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The disk before the step.
    pub tree: Tree,
    /// The step that was not done.
    pub before: String,
    /// How many events the ledger had.
    pub events: usize,
}

#[derive(Debug, Default)]
struct State {
    tree: Tree,
    steps: usize,
    events: usize,
    lie: Option<Lie>,
    blow: Option<(usize, Blow)>,
    cuts: Option<Vec<Cut>>,
    /// A file whose fsync is done late.
    late: Option<Ino>,
}

/// The disk. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// A disk as it stands, with whatever of it is not durable yet.
    #[must_use]
    pub fn of(tree: Tree) -> Self {
        Self(Arc::new(Mutex::new(State { tree, ..State::default() })))
    }

    /// With a planted defect.
    #[must_use]
    pub fn lying(self, lie: Option<Lie>) -> Self {
        self.lock().lie = lie;
        self
    }

    /// Keeps every place to cut from here on.
    #[must_use]
    pub fn recording(self) -> Self {
        self.lock().cuts = Some(Vec::new());
        self
    }

    /// Lets the step of that number, counted from here on, fail.
    #[must_use]
    pub fn struck(self, at: usize, blow: Blow) -> Self {
        let mut state = self.lock();
        state.blow = Some((state.steps + at, blow));
        drop(state);
        self
    }

    /// The store's file system on this disk.
    #[must_use]
    pub fn mount(&self) -> Disk {
        Disk::on(Arc::new(self.clone()))
    }

    /// As it stands.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.lock().tree.clone()
    }

    /// Steps done so far, looks included.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.lock().steps
    }

    /// How many events the ledger has by now.
    pub fn noted(&self, events: usize) {
        self.lock().events = events;
    }

    /// The places to cut, and the end.
    #[must_use]
    pub fn cuts(&self) -> Vec<Cut> {
        let mut state = self.lock();
        state.cut("nothing: the end");
        state.cuts.take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step that only looks.
    fn look<T>(&self, act: impl FnOnce(&Tree) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        match state.due() {
            Some(Blow::Fails(number) | Blow::DoneButFails(number)) => Err(errno(number)),
            Some(Blow::Short) | None => act(&state.tree),
        }
    }

    /// One step that changes something.
    fn change<T>(&self, op: Op, path: &Path, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        if state.cuts.is_some() {
            state.cut(&format!("{} {}", op.as_str(), path.display()));
        }
        match state.due() {
            Some(Blow::Fails(number)) => {
                state.doom(op, path);
                Err(errno(number))
            }
            Some(Blow::DoneButFails(number)) => act(&mut state).and_then(|_| Err(errno(number))),
            Some(Blow::Short) | None => act(&mut state),
        }
    }

    fn named(&self, op: Op, path: &Path, act: impl FnOnce(&mut Tree) -> io::Result<()>) -> io::Result<()> {
        self.change(op, path, |state| {
            act(&mut state.tree)?;
            if let Some(late) = state.late.take() {
                state.cut("the late fsync of a file that has its name already");
                state.tree.sync_file(late)?;
            }
            Ok(())
        })
    }
}

impl State {
    fn due(&mut self) -> Option<Blow> {
        let step = self.steps;
        self.steps += 1;
        self.blow.filter(|(at, _)| *at == step).map(|(_, blow)| blow)
    }

    fn cut(&mut self, before: &str) {
        let (tree, events) = (&self.tree, self.events);
        if let Some(cuts) = &mut self.cuts {
            cuts.push(Cut { tree: tree.clone(), before: before.to_owned(), events });
        }
    }

    /// A failed fsync loses what it covered.
    fn doom(&mut self, op: Op, path: &Path) {
        let Ok(ino) = self.tree.find(path) else { return };
        match op {
            Op::SyncDir => self.tree.doom_dir(ino),
            Op::SyncFile => self.tree.doom_file(ino),
            Op::CreateDir
            | Op::Create
            | Op::Write
            | Op::Link
            | Op::Rename
            | Op::Unlink
            | Op::Read
            | Op::List
            | Op::Look => {}
        }
    }
}

struct Handle {
    disk: SimDisk,
    ino: Ino,
    path: PathBuf,
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let ino = self.ino;
        self.disk.change(Op::Write, &self.path, |state| {
            // The blow was counted before: a short one strikes the step after it.
            let half = state.blow.is_some_and(|(at, blow)| blow == Blow::Short && at + 1 == state.steps);
            if !half {
                return state.tree.write(ino, bytes).map(|()| bytes.len());
            }
            state.blow = Some((state.steps, Blow::Fails(ENOSPC)));
            let first = bytes.get(..bytes.len() / 2).unwrap_or_default();
            state
                .tree
                .write(ino, first)
                .and_then(|()| if first.is_empty() { Err(errno(ENOSPC)) } else { Ok(first.len()) })
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Opened for Handle {
    fn sync(&mut self) -> io::Result<()> {
        let ino = self.ino;
        self.disk.change(Op::SyncFile, &self.path, |state| match state.lie {
            Some(Lie::NoFileSync) => Ok(()),
            Some(Lie::NameBeforeFileSync) => {
                state.late = Some(ino);
                Ok(())
            }
            Some(Lie::NoFolderSync | Lie::NoFolderSyncOf(_)) | None => state.tree.sync_file(ino),
        })
    }
}

impl Files for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Opened>> {
        let ino = self.change(Op::Create, path, |state| state.tree.create(path))?;
        Ok(Box::new(Handle { disk: self.clone(), ino, path: path.to_path_buf() }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.named(Op::Link, to, |tree| tree.link(from, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.named(Op::Rename, to, |tree| tree.rename(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.change(Op::Unlink, path, |state| state.tree.unlink(path))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(Op::CreateDir, dir, |state| state.tree.create_dir(dir).map(|_| ()))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(Op::Unlink, dir, |state| state.tree.remove_dir(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(Op::SyncDir, dir, |state| {
            let ino = state.tree.find(dir)?;
            match state.lie {
                Some(Lie::NoFolderSync) => Ok(()),
                Some(Lie::NoFolderSyncOf(end)) if dir.ends_with(end) => Ok(()),
                Some(Lie::NoFolderSyncOf(_) | Lie::NoFileSync | Lie::NameBeforeFileSync) | None => {
                    state.tree.sync_dir(ino)
                }
            }
        })
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        self.look(|tree| {
            let bytes = tree.file(tree.find(path)?)?.now.to_vec();
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
                return Err(io::Error::other("more than is read"));
            }
            Ok(bytes)
        })
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.look(|tree| tree.names(dir))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.look(|tree| {
            let ino = tree.find(path)?;
            let folder = matches!(tree.node(ino)?, Node::Folder(_));
            Ok(Stat { folder, age: if ino < tree.mounted { OLD } else { Duration::ZERO } })
        })
    }

    fn footprint(&self, path: &Path) -> io::Result<u64> {
        self.look(|tree| match tree.node(tree.find(path)?)? {
            Node::Folder(_) => Ok(BLOCK),
            Node::File(file) => Ok(u64::try_from(file.now.len()).unwrap_or(u64::MAX).next_multiple_of(BLOCK)),
        })
    }

    fn reach(&self, _: &Path) -> io::Result<Reach> {
        Ok(Reach::Local)
    }
}
