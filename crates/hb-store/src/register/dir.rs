//! A register as a folder: one host, or NFS.
//!
//! ```text
//! ROOT/lease/00000000000000000041.cell          an older version of cell `lease`
//! ROOT/lease/00000000000000000042.cell          what stands in it: the largest number
//! ROOT/node+a/00000000000000000007.cell         cell `node/a`
//! ```
//!
//! Each version is a file of its own, numbered, published by `link(2)`, which gives a name exactly once, also over NFS. So a swap is
//! *put version n + 1 if nobody has*. A lock around read and rename would cost as much and be worse: a process that is stopped
//! while it has the lock would stop everybody else, and an NFS server that forgot the lock would let two swap at once.
//!
//! **Invariants.** The largest number stands; it is never removed, a removal is a version that says so, hence no number and no
//! version comes again. Of the older ones [`KEPT`] stay. One below them that was published late, by a process that slept since it
//! looked, is not the largest and changes nothing; its writer sees the distance and does not claim success.
//!
//! Over NFS a client answers from its own memory of a folder for up to a minute. Before each look at a folder of a network file
//! system a file is made and removed there: the server's answer shows whether anything else changed since, and then the client
//! forgets what it remembers. Waiting is by inotify on local file systems, and by looking every [`LOOK_EVERY`] on the others.

mod ears;
mod form;
pub(crate) mod fuzzing;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::ears::Ears;
use super::nonce::nonce;
use super::{Cell, CellVersion, Hears, Register, RegisterError, Swapped, Woken, check, check_name};
use crate::atomic::{Disk, Fault, Publish, Reach};

/// Versions that stay behind the one that stands.
pub const KEPT: u64 = 8;
/// How often a waiter looks where nobody tells it.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a waiter looks although it would be told.
const RECHECK: Duration = Duration::from_secs(2);
/// How often a version that went between listing and reading is looked for anew.
const TRIES: usize = 16;

/// A handle on a register in a folder.
#[derive(Debug)]
pub struct DirRegister {
    root: PathBuf,
    disk: Disk,
    hears: Hears,
    ears: Option<Ears>,
}

/// The version that stands.
struct Standing {
    /// Zero where there never was one.
    number: u64,
    cell: Option<Cell>,
}

impl DirRegister {
    /// Opens the register in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder can neither be read nor made.
    pub fn open(root: &Path) -> Result<Self, RegisterError> {
        Self::open_with(root, Disk::new())
    }

    /// The same on a file system whose steps may fail (tests).
    ///
    /// # Errors
    /// As [`DirRegister::open`].
    pub fn open_with(root: &Path, disk: Disk) -> Result<Self, RegisterError> {
        disk.create_dirs(root).map_err(|fault| told(&fault))?;
        // What is none of the file systems on which the kernel tells of every change is asked.
        let hears = match disk.reach(root).map_err(|fault| told(&fault))? {
            Reach::Local => Hears::Told,
            Reach::Shared => Hears::Asks,
        };
        Ok(Self { root: root.to_path_buf(), disk, hears, ears: None })
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.join(form::folder(name))
    }

    /// Makes a network file system's client forget what it remembers of a folder, if something changed there.
    fn refresh(&self, dir: &Path) {
        if self.hears == Hears::Asks
            && let Err(fault) = self.disk.probe(dir)
            && !fault.not_found()
        {
            tracing::debug!(%fault, "what is read next may be a minute old");
        }
    }

    /// Numbers of the versions of a cell that are there.
    fn numbers(&self, dir: &Path) -> Result<Vec<u64>, Fault> {
        Ok(self.disk.names(dir)?.iter().filter_map(|file| form::number(file)).collect())
    }

    fn standing(&self, dir: &Path) -> Result<Standing, RegisterError> {
        for _ in 0..TRIES {
            let numbers = self.numbers(dir).map_err(|fault| told(&fault))?;
            let Some(number) = numbers.into_iter().max() else { return Ok(Standing { number: 0, cell: None }) };
            let file = self.disk.read(&dir.join(form::file_name(number))).map_err(|fault| told(&fault))?;
            // Nothing: it is so old by now that it was trimmed.
            if let Some(file) = file {
                let form = form::read(file);
                let version = form::version(number, &form.mark);
                return Ok(Standing { number, cell: form.bytes.map(|bytes| Cell { bytes, version }) });
            }
        }
        Err(RegisterError(format!("{} changes faster than it can be read", dir.display())))
    }

    fn look(&self, name: &str) -> Result<Option<Cell>, RegisterError> {
        let dir = self.dir(name);
        self.refresh(&dir);
        Ok(self.standing(&dir)?.cell)
    }

    /// Publishes the next version if `seen` is what stands.
    fn publish(&mut self, name: &str, seen: Option<&CellVersion>, bytes: Option<&[u8]>) -> Swapped {
        let dir = self.dir(name);
        let made = if seen.is_none() { self.disk.create_dirs(&dir) } else { Ok(()) };
        if let Err(fault) = made {
            return Swapped::Failed(fault.to_string());
        }
        self.refresh(&dir);
        let there = match self.standing(&dir) {
            Ok(there) => there,
            Err(RegisterError(why)) => return Swapped::Failed(why),
        };
        if there.cell.as_ref().map(|cell| &cell.version) != seen {
            return Swapped::Lost(there.cell);
        }
        let Some(next) = there.number.checked_add(1) else {
            return Swapped::Failed(format!("{} has no number left", dir.display()));
        };
        let mark = nonce();
        match self.disk.publish_new(&dir, &form::file_name(next), &form::write(bytes, &mark)) {
            Publish::Done => self.published(&dir, next, &mark),
            Publish::Taken(_) => self.overtaken(&dir, seen),
            Publish::NotDone(fault) if fault.already_exists() => self.overtaken(&dir, seen),
            Publish::NotDone(fault) => Swapped::Failed(fault.to_string()),
            Publish::Perhaps(fault) => Swapped::Unknown(fault.to_string()),
        }
    }

    /// Our version is there: whether it has ever stood.
    fn published(&self, dir: &Path, next: u64, mark: &str) -> Swapped {
        let numbers = match self.numbers(dir) {
            Ok(numbers) => numbers,
            Err(fault) => return Swapped::Unknown(fault.to_string()),
        };
        let newest = numbers.iter().copied().max().unwrap_or(next);
        // A number is given away for good until the newest is that far beyond it.
        if newest.saturating_sub(next) >= KEPT {
            return Swapped::Unknown(format!("{} has gone on to version {newest} meanwhile", dir.display()));
        }
        for old in numbers.into_iter().filter(|old| next.saturating_sub(*old) > KEPT) {
            if let Err(fault) = self.disk.remove(&dir.join(form::file_name(old))) {
                tracing::warn!(%fault, "an old version of a cell stays");
            }
        }
        Swapped::Done(form::version(next, mark))
    }

    fn overtaken(&self, dir: &Path, seen: Option<&CellVersion>) -> Swapped {
        match self.standing(dir) {
            Ok(there) if there.cell.as_ref().map(|cell| &cell.version) == seen => {
                Swapped::Unknown(format!("the next version in {} is taken, but cannot be seen yet", dir.display()))
            }
            Ok(there) => Swapped::Lost(there.cell),
            Err(RegisterError(why)) => Swapped::Unknown(why),
        }
    }

    /// Gets ready to be told of a cell's changes; whether that is so.
    fn listen(&mut self, name: &str) -> Result<bool, RegisterError> {
        if self.hears == Hears::Asks {
            return Ok(false);
        }
        let dir = self.dir(name);
        let ready = (|| {
            if !self.disk.stands(&dir).map_err(|fault| fault.to_string())? {
                self.disk.create_dirs(&dir).map_err(|fault| fault.to_string())?;
            }
            let mut ears = self.ears.take().map_or_else(Ears::open, Ok).map_err(|errno| errno.to_string())?;
            // What was told before is of no interest: a look follows.
            ears.forget().and_then(|()| ears.listen(name, &dir)).map_err(|errno| errno.to_string())?;
            self.ears = Some(ears);
            Ok(())
        })();
        if let Err(why) = ready {
            let why: String = why;
            tracing::debug!(why, "looking at {} again and again instead of being told", dir.display());
        }
        Ok(self.ears.is_some())
    }
}

fn told(fault: &Fault) -> RegisterError {
    RegisterError(fault.to_string())
}

impl Register for DirRegister {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        self.look(name)
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        match check(name, bytes) {
            Ok(()) => self.publish(name, seen, Some(bytes)),
            Err(why) => Swapped::Failed(why),
        }
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        if let Err(why) = check_name(name) {
            return Swapped::Failed(why);
        }
        match self.publish(name, Some(seen), None) {
            Swapped::Done(_) => Swapped::Done(seen.clone()),
            other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => other,
        }
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        self.refresh(&self.root);
        let folders = self.disk.names(&self.root).map_err(|fault| told(&fault))?;
        let mut names: Vec<String> = folders.iter().map(|folder| form::cell_name(folder)).collect();
        names.retain(|name| name.starts_with(prefix) && check_name(name).is_ok());
        names.sort();
        let mut found = Vec::new();
        for name in names {
            if found.len() >= most {
                break;
            }
            if let Some(cell) = self.look(&name)? {
                found.push((name, cell));
            }
        }
        Ok(found)
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        let begun = Instant::now();
        loop {
            let hears = self.listen(name)?;
            if self.look(name)?.map(|cell| cell.version).as_ref() != seen {
                return Ok(Woken::Changed);
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(Woken::Patience);
            }
            match &self.ears {
                Some(ears) if hears => {
                    if let Err(errno) = ears.wait(left.min(RECHECK)) {
                        tracing::warn!(%errno, "looking again and again instead of being told");
                        self.ears = None;
                    }
                }
                Some(_) | None => std::thread::sleep(left.min(LOOK_EVERY)),
            }
        }
    }

    fn hears(&self) -> Hears {
        self.hears
    }

    fn reach(&self) -> Reach {
        match self.hears {
            Hears::Told => Reach::Local,
            Hears::Asks => Reach::Shared,
        }
    }
}

#[cfg(test)]
mod tests;
