//! A journal at hand as a side of a copy.
//!
//! **Invariants.** Whatever is appended is checked here against the newest record that stands here, whoever sent it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::{Break, ChainCheck, Hash, Head};
use serde::de::IgnoredAny;

use super::compare::written;
use super::{Note, PAGE_BYTES, PAGE_RECORDS, Raw, STREAMS_MAX, Side, Standing, SyncError};
use crate::atomic::Disk;
use crate::blobs::DirBlobs;
use crate::journal::dir::{Beside, DirJournal};
use crate::port::{Appended, Begun, Blobs, Journal, JournalError, Standing as There};
use crate::reader::decode;

/// Folder of what was set aside, below `output_dir`.
const ASIDE: &str = "set-aside";

/// See the module.
pub struct Local {
    name: String,
    journal: Box<dyn Journal>,
    blobs: Box<dyn Blobs>,
    /// The folder that it is in, where it is in one: notes stand there, and what is set aside.
    place: Option<Place>,
    heads: BTreeMap<StreamName, Head>,
    /// Bytes of the newest record read of each stream, to guess how many fill a page.
    sizes: BTreeMap<StreamName, usize>,
}

#[derive(Debug, Clone)]
struct Place {
    disk: Disk,
    output_dir: PathBuf,
    /// The journal's folder, where the journal is in the folder too.
    journal: Option<PathBuf>,
    /// Name of the folder that takes what is set aside.
    aside: String,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("name", &self.name).field("place", &self.place).finish_non_exhaustive()
    }
}

impl Local {
    /// Any journal with its documents.
    #[must_use]
    pub fn new(name: impl Into<String>, journal: Box<dyn Journal>, blobs: Box<dyn Blobs>) -> Self {
        Self { name: name.into(), journal, blobs, place: None, heads: BTreeMap::new(), sizes: BTreeMap::new() }
    }

    /// What stands in an `output_dir`: journal, documents, note. What is set aside goes to its folder `set-aside/ASIDE`.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn folder(output_dir: &Path, aside: &str) -> Result<Self, SyncError> {
        Self::folder_on(Disk::new(), output_dir, aside)
    }

    /// The same on a file system whose steps may be made to fail.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub fn folder_on(disk: Disk, output_dir: &Path, aside: &str) -> Result<Self, SyncError> {
        let name = output_dir.display().to_string();
        let root = output_dir.join("journal");
        let journal = DirJournal::open_on(disk.clone(), &root).map_err(|error| told(&name, error))?;
        let blobs = DirBlobs::open_on(disk.clone(), output_dir);
        let place = Place { disk, output_dir: output_dir.to_path_buf(), journal: Some(root), aside: aside.to_owned() };
        let local = Self::new(name, Box::new(journal), Box::new(blobs));
        Ok(Self { place: Some(place), ..local })
    }

    /// With a folder for its note, though the journal stands elsewhere.
    #[must_use]
    pub fn with_notes_in(self, output_dir: &Path) -> Self {
        let place =
            Place { disk: Disk::new(), output_dir: output_dir.to_path_buf(), journal: None, aside: String::new() };
        Self { place: Some(place), ..self }
    }

    /// Called so in what it says.
    #[must_use]
    pub fn called(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    fn told(&self, error: JournalError) -> SyncError {
        told(&self.name, error)
    }

    /// The check that the next record has to pass.
    fn check(&mut self, stream: &StreamName) -> Result<ChainCheck, SyncError> {
        if let Some(head) = self.heads.get(stream) {
            return Ok(ChainCheck::after(*head));
        }
        let standing = self.standing(stream)?;
        Ok(standing.head.map_or_else(|| ChainCheck::from(standing.floor), |head| ChainCheck::after(head.head())))
    }

    fn put(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Result<(), SyncError> {
        let name = &self.name;
        match self.journal.append(stream, seq, bytes) {
            Appended::Committed => Ok(()),
            Appended::Refused(There::Taken(_)) => Err(SyncError::Refused(format!(
                "{name}: somebody else has put another record {seq} into {stream} meanwhile; run it again to see which"
            ))),
            Appended::Refused(There::BelowFloor(floor)) => Err(SyncError::Refused(format!(
                "{name}: {stream} has been trimmed up to {floor} meanwhile, record {seq} lies below; run it again"
            ))),
            Appended::Unknown(what) => self.read_back(stream, seq, bytes, &what),
            Appended::Failed(what) | Appended::Stopped(what) => Err(SyncError::Unwritable(format!("{name}: {what}"))),
        }
    }

    /// An append that may or may not be done is read back (J5).
    fn read_back(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8], what: &str) -> Result<(), SyncError> {
        let found = self.journal.read(stream, seq, 1).map_err(|error| self.told(error))?;
        if found.first().is_some_and(|(number, there)| *number == seq && there == bytes) {
            return Ok(());
        }
        let name = &self.name;
        Err(SyncError::Unavailable(format!("{name}: record {seq} of {stream} was not appended: {what}; run it again")))
    }
}

fn told(name: &str, error: JournalError) -> SyncError {
    match error {
        JournalError::Unavailable(what) => SyncError::Unavailable(format!("{name}: {what}")),
        JournalError::Corrupt(what) => SyncError::Corrupt(format!("{name}: {what}")),
        JournalError::Stopped(what) => SyncError::Unwritable(format!("{name}: {what}")),
    }
}

impl Side for Local {
    fn name(&self) -> &str {
        &self.name
    }

    fn streams(&mut self) -> Result<Option<Vec<StreamName>>, SyncError> {
        let Some(Place { disk, journal: Some(root), .. }) = &self.place else { return Ok(None) };
        let mut listed = crate::journal::dir::streams(disk, root).map_err(|error| self.told(error))?;
        listed.truncate(STREAMS_MAX);
        Ok(Some(listed))
    }

    fn standing(&mut self, stream: &StreamName) -> Result<Standing, SyncError> {
        loop {
            let floor = self.journal.floor(stream).map_err(|error| told(&self.name, error))?;
            let head = self.journal.head(stream).map_err(|error| told(&self.name, error))?;
            let Some(head) = head else { return Ok(Standing { floor, head: None }) };
            let found = self.journal.read(stream, head, 1).map_err(|error| told(&self.name, error))?;
            // Trimmed while it was looked at: look again.
            let Some((seq, bytes)) = found.into_iter().next() else { continue };
            let (head, _) = written(&self.name, stream, seq, bytes)?;
            self.heads.insert(stream.clone(), head.head());
            return Ok(Standing { floor, head: Some(head) });
        }
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<Raw>, SyncError> {
        let most = most.min(PAGE_RECORDS);
        let mut size = self.sizes.get(stream).copied().unwrap_or(PAGE_BYTES);
        let (mut page, mut taken, mut next): (Vec<Raw>, usize, Seq) = (Vec::new(), 0, from);
        while page.len() < most && taken < PAGE_BYTES {
            let room = (PAGE_BYTES.saturating_sub(taken) / size.max(1)).clamp(1, most.saturating_sub(page.len()));
            let found = self.journal.read(stream, next, room).map_err(|error| told(&self.name, error))?;
            if found.is_empty() {
                break;
            }
            for (seq, bytes) in found {
                if seq != next && !page.is_empty() {
                    // Trimmed in between: what comes now is for the next page.
                    return Ok(page);
                }
                next = seq.next();
                taken = taken.saturating_add(bytes.len());
                size = bytes.len();
                page.push(Raw { seq, bytes });
            }
        }
        self.sizes.insert(stream.clone(), size);
        Ok(page)
    }

    fn append(&mut self, stream: &StreamName, page: Vec<Raw>) -> Result<(), SyncError> {
        let mut check = self.check(stream)?;
        for raw in page {
            let sealed = decode::<IgnoredAny>(stream, raw.seq, raw.bytes)
                .map_err(|error| SyncError::Corrupt(format!("what was to be copied to {}: {error}", self.name)))?;
            check.push(&sealed).map_err(|broken| unlinked(&self.name, stream, &broken))?;
            // Forgotten until it stands: what is not known is looked up.
            self.heads.remove(stream);
            self.put(stream, raw.seq, &sealed.bytes)?;
            self.heads.insert(stream.clone(), sealed.head());
        }
        Ok(())
    }

    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, page: Vec<Raw>) -> Result<(), SyncError> {
        let mut check = ChainCheck::from(page.first().map_or(Seq(0), |raw| raw.seq));
        let mut first = Vec::with_capacity(page.len());
        for raw in page {
            let sealed = decode::<IgnoredAny>(stream, raw.seq, raw.bytes)
                .map_err(|error| SyncError::Corrupt(format!("what was to be copied to {}: {error}", self.name)))?;
            check.push(&sealed).map_err(|broken| unlinked(&self.name, stream, &broken))?;
            first.push((raw.seq, sealed.bytes));
        }
        self.heads.remove(stream);
        match self.journal.begin(stream, seen, &first).map_err(|error| told(&self.name, error))? {
            Begun::Done => Ok(()),
            Begun::Moved(head) => {
                let (name, stands) = (&self.name, head.map_or("nothing".to_owned(), |head| format!("record {head}")));
                let what = format!(
                    "{name}: somebody else writes to {stream}: its newest is {stands} by now; nothing was changed"
                );
                Err(SyncError::Refused(format!("{what}; run it again to see what stands there")))
            }
        }
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, SyncError> {
        let mut removed = 0_u64;
        loop {
            let step = self.journal.trim(stream, floor).map_err(|error| told(&self.name, error))?;
            removed = removed.saturating_add(step);
            if step == 0 {
                return Ok(removed);
            }
        }
    }

    fn document(&mut self, hash: Hash) -> Result<Option<Vec<u8>>, SyncError> {
        self.blobs.get(hash).map_err(|error| told(&self.name, error))
    }

    fn has_document(&mut self, hash: Hash) -> Result<bool, SyncError> {
        match self.blobs.get(hash) {
            Ok(found) => Ok(found.is_some()),
            // Put again, it is mended.
            Err(JournalError::Corrupt(_)) => Ok(false),
            Err(error) => Err(told(&self.name, error)),
        }
    }

    fn keep(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), SyncError> {
        if Hash::of(bytes) != hash {
            let what = format!("what was to be copied to {} as document {hash} has another hash", self.name);
            return Err(SyncError::Corrupt(what));
        }
        self.blobs.put(hash, bytes).map_err(|error| match error {
            JournalError::Unavailable(what) => SyncError::Unwritable(format!("{}: {what}", self.name)),
            JournalError::Corrupt(_) | JournalError::Stopped(_) => told(&self.name, error),
        })
    }

    fn note(&mut self) -> Result<Option<Note>, SyncError> {
        self.place.as_ref().map_or(Ok(None), |place| Note::load(&place.disk, &place.output_dir))
    }

    fn leave(&mut self, note: &Note) -> Result<(), SyncError> {
        self.place.as_ref().map_or(Ok(()), |place| note.store(&place.disk, &place.output_dir))
    }

    fn beside(&mut self, _: &StreamName) -> Result<Box<dyn Side>, SyncError> {
        let at = self.at_hand()?;
        let (disk, made_in) = (at.disk.clone(), at.beside().made_in());
        let journal = DirJournal::open_on(disk.clone(), &made_in).map_err(|error| self.told(error))?;
        let blobs = DirBlobs::open_on(disk, &at.output_dir);
        Ok(Box::new(Self::new(made_in.display().to_string(), Box::new(journal), Box::new(blobs))))
    }

    fn forget_beside(&mut self, stream: &StreamName) -> Result<(), SyncError> {
        self.at_hand()?.beside().forget(stream).map_err(|error| self.told(error))
    }

    fn swap(&mut self, stream: &StreamName) -> Result<String, SyncError> {
        let at = self.at_hand()?;
        self.heads.remove(stream);
        let kept = at.output_dir.join(ASIDE).join(&at.aside).join("journal");
        let moved = at.beside().swap(stream, &kept).map_err(|error| self.told(error))?;
        self.journal = Box::new(DirJournal::open_on(at.disk, &at.root).map_err(|error| told(&self.name, error))?);
        Ok(moved.display().to_string())
    }
}

/// A journal in a folder, and where that is.
struct AtHand {
    disk: Disk,
    output_dir: PathBuf,
    root: PathBuf,
    aside: String,
}

impl AtHand {
    fn beside(&self) -> Beside {
        Beside::of(self.disk.clone(), &self.root)
    }
}

impl Local {
    fn at_hand(&self) -> Result<AtHand, SyncError> {
        match self.place.clone() {
            Some(Place { disk, output_dir, journal: Some(root), aside }) => {
                Ok(AtHand { disk, output_dir, root, aside })
            }
            Some(_) | None => Err(SyncError::Refused(format!(
                "{}: only a journal in a folder can set its records aside; give the other side a new place instead, or remove them there \
                 by the means of what keeps them",
                self.name
            ))),
        }
    }
}

fn unlinked(name: &str, stream: &StreamName, broken: &Break) -> SyncError {
    SyncError::Refused(format!("{name}: {stream}: what was sent does not follow what stands there: {broken}"))
}
