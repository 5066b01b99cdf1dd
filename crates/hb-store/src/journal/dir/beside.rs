//! Another beginning of a stream, made whole beside the journal and then put in its place.
//!
//! ```text
//! ROOT.beside/new/watch/bench/     what is to come, a stream as any other
//! ROOT.beside/was/watch/bench/     what stood before, for the moment between two renamings; removed afterwards
//! ROOT.beside/lost/watch/bench/    the same where it is kept: a history that another one takes the place of
//! ```
//!
//! **Invariants.** Nothing that stands is touched before what takes its place is whole and durable. Renaming is the only step that shows:
//! one out of the way, one into its place. Whoever finds nothing in the place and something that was there puts it back, so a
//! program that died in between has changed nothing. What was set aside to be kept is never removed here.

use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};

use super::{DirJournal, Stream, unavailable};
use crate::atomic::{Disk, Fault};
use crate::journal::names::{self, FLOORS};
use crate::port::{Appended, Begun, Entry, Journal as _, JournalError};

/// What is to come.
const NEW: &str = "new";
/// What stood there, to be removed.
const WAS: &str = "was";
/// What stood there, to be kept.
const LOST: &str = "lost";

/// The folder beside the journal at `root`.
#[must_use]
pub fn root_beside(root: &Path) -> PathBuf {
    let mut name = root.file_name().unwrap_or_default().to_os_string();
    name.push(".beside");
    root.with_file_name(name)
}

/// Puts back what a program that died between two renamings took out of its place.
pub(super) fn put_back(disk: &Disk, root: &Path, stream: &StreamName) -> Result<(), JournalError> {
    let dir = names::stream_dir(stream);
    let (place, beside) = (root.join(&dir), root_beside(root));
    if disk.stands(&place).map_err(unavailable)? || !disk.stands(&beside).map_err(unavailable)? {
        return Ok(());
    }
    for kind in [WAS, LOST] {
        let was = beside.join(kind).join(&dir);
        if !disk.stands(&was).map_err(unavailable)? {
            continue;
        }
        match renamed(disk, &was, &place) {
            Ok(()) => {
                tracing::warn!("{stream}: a copy was cut short, {} is what it was before", place.display());
                return Ok(());
            }
            // The one that is at it was quicker, or somebody else put it back.
            Err(_) if disk.stands(&place).map_err(unavailable)? => return Ok(()),
            Err(fault) => return Err(unavailable(fault)),
        }
    }
    Ok(())
}

fn renamed(disk: &Disk, from: &Path, to: &Path) -> Result<(), Fault> {
    let above = |path: &Path| path.parent().unwrap_or(path).to_path_buf();
    disk.create_dirs(&above(to))?;
    disk.move_dir(from, to)?;
    disk.sync_dir(&above(to))?;
    disk.sync_dir(&above(from))
}

/// Removes a stream that nobody sees any more.
fn removed(disk: &Disk, dir: &Path) -> Result<(), Fault> {
    let floors = dir.join(FLOORS);
    for name in disk.names(&floors)? {
        disk.remove(&floors.join(name))?;
    }
    disk.remove_dir(&floors)?;
    for name in disk.names(dir)? {
        disk.remove(&dir.join(name))?;
    }
    disk.remove_dir(dir).map(drop)
}

/// What stands beside the journal of a folder.
#[derive(Debug, Clone)]
pub struct Beside {
    disk: Disk,
    root: PathBuf,
}

impl Beside {
    /// Beside the journal at `root`.
    #[must_use]
    pub fn of(disk: Disk, root: &Path) -> Self {
        Self { disk, root: root.to_path_buf() }
    }

    /// Where the journal is in which another history is made.
    #[must_use]
    pub fn made_in(&self) -> PathBuf {
        root_beside(&self.root).join(NEW)
    }

    fn part(&self, kind: &str, stream: &StreamName) -> PathBuf {
        root_beside(&self.root).join(kind).join(names::stream_dir(stream))
    }

    /// Forgets what was being made of a stream.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(&self, stream: &StreamName) -> Result<(), JournalError> {
        removed(&self.disk, &self.part(NEW, stream)).map_err(unavailable)
    }

    /// Puts what was made of a stream in its place. What stood there is kept, and stands in the journal `kept` then; gives where.
    ///
    /// # Errors
    /// It could not be done; what stood there still does.
    pub fn swap(&self, stream: &StreamName, kept: &Path) -> Result<PathBuf, JournalError> {
        put_back(&self.disk, &self.root, stream)?;
        let aside = kept.join(names::stream_dir(stream));
        if self.disk.stands(&aside).map_err(unavailable)? {
            return Err(JournalError::Unavailable(format!("{} stands already: nothing was changed", aside.display())));
        }
        let (place, lost) = (self.root.join(names::stream_dir(stream)), self.part(LOST, stream));
        if self.disk.stands(&lost).map_err(unavailable)? {
            // Of one that died behind its second renaming.
            let before = kept.with_extension("before");
            super::move_stream(&self.disk, (&root_beside(&self.root).join(LOST), &before), stream)?;
        }
        renamed(&self.disk, &place, &lost).map_err(unavailable)?;
        if let Err(fault) = renamed(&self.disk, &self.part(NEW, stream), &place) {
            put_back(&self.disk, &self.root, stream)?;
            return Err(unavailable(fault));
        }
        super::move_stream(&self.disk, (&root_beside(&self.root).join(LOST), kept), stream)
    }
}

impl DirJournal {
    /// See [`crate::port::Journal::begin`].
    pub(super) fn begin_anew(
        &mut self,
        name: &StreamName,
        seen: Option<Seq>,
        first: &[Entry],
    ) -> Result<Begun, JournalError> {
        let beside = Beside::of(self.disk.clone(), &self.root);
        let mut stream = self.stream(name)?;
        self.gallop(&mut stream)?;
        let floor = first.first().map_or(Seq(0), |(seq, _)| *seq);
        if stream.head != seen || self.floor_in(&stream.dir)? > floor {
            return Ok(Begun::Moved(stream.head));
        }
        self.mark().map_err(|fault| JournalError::Unavailable(self.note(&fault)))?;
        beside.forget(name)?;
        make(&self.disk, &beside, name, first)?;
        let begun = self.put_in_place(&beside, name, &stream, seen)?;
        if begun == Begun::Done {
            self.streams.remove(name);
            // What is left of it is removed with the next one: nobody reads it.
            if let Err(fault) = removed(&self.disk, &beside.part(WAS, name)) {
                tracing::warn!(%fault, "what a copy had before its new beginning stays beside it");
            }
        }
        Ok(begun)
    }

    fn put_in_place(
        &self,
        beside: &Beside,
        name: &StreamName,
        stream: &Stream,
        seen: Option<Seq>,
    ) -> Result<Begun, JournalError> {
        let (new, was) = (beside.part(NEW, name), beside.part(WAS, name));
        removed(&self.disk, &was).map_err(unavailable)?;
        let stood = self.disk.stands(&stream.dir).map_err(unavailable)?;
        if stood {
            renamed(&self.disk, &stream.dir, &was).map_err(unavailable)?;
            // Nobody appends to it any more. What was appended since it was looked at is seen now.
            let mut found = Stream { dir: was.clone(), head: None, ..stream.clone() };
            self.list(&mut found)?;
            if found.head != seen {
                renamed(&self.disk, &was, &stream.dir).map_err(unavailable)?;
                return Ok(Begun::Moved(found.head));
            }
        }
        match renamed(&self.disk, &new, &stream.dir) {
            Ok(()) => Ok(Begun::Done),
            // Somebody has begun there meanwhile, or put back what stood there.
            Err(_) if self.disk.stands(&stream.dir).map_err(unavailable)? => Ok(Begun::Moved(seen)),
            Err(fault) => {
                put_back(&self.disk, &self.root, name)?;
                Err(unavailable(fault))
            }
        }
    }
}

/// Makes a stream that begins so, whole and durable.
fn make(disk: &Disk, beside: &Beside, name: &StreamName, first: &[Entry]) -> Result<(), JournalError> {
    let mut journal = DirJournal::open_on(disk.clone(), &beside.made_in())?;
    let mut stream = journal.stream(name)?;
    journal.prepare(&mut stream).map_err(unavailable)?;
    let floor = first.first().map_or(Seq(0), |(seq, _)| *seq);
    if floor > Seq(0) {
        journal.raise(&stream, floor)?;
    }
    for (seq, bytes) in first {
        match journal.append(name, *seq, bytes) {
            Appended::Committed => {}
            Appended::Stopped(what) => return Err(JournalError::Stopped(what)),
            Appended::Failed(what) | Appended::Unknown(what) => return Err(JournalError::Unavailable(what)),
            Appended::Refused(_) => {
                let what = format!("{name}: somebody else copies to {} as well", beside.made_in().display());
                return Err(JournalError::Unavailable(what));
            }
        }
    }
    Ok(())
}
