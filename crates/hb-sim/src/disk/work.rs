//! What is done on the disk: each scene is one of the store's uses of files, by its real code.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{FORMAT, Hash, seal};
use hb_core::node::fact::{BaselineEvent, Body, Record, Sealed};
use hb_core::time::Stamp;
use hb_core::watch::decision::BaselineRef;
use hb_store::atomic::Disk;
use hb_store::blobs::DirBlobs;
use hb_store::conformance::{cycles, watch};
use hb_store::journal::dir::{DirJournal, move_stream};
use hb_store::port::{Appended, Blobs, Journal};
use hb_store::register::dir::DirRegister;
use hb_store::register::{Register, Swapped};
use hb_store::sync::{Local, Note, Side, copy};
use hb_store::views::{FileViews, Rendered, ViewSettings};

use super::ledger::{Deed, End, Event};
use super::{Ledger, SimDisk};

/// Where the store's things stand.
pub(super) const OUT: &str = "/srv/out";
pub(super) const JOURNAL: &str = "/srv/out/journal";
pub(super) const REGISTER: &str = "/srv/out/register";
/// What was set aside.
pub(super) const ASIDE: &str = "/srv/out/set-aside/1/journal";
/// The cell that is swapped.
pub(super) const CELL: &str = "lease";
/// The bounds of the views.
pub(super) const SETTINGS: ViewSettings = ViewSettings { max_checkpoint_history: 3, max_report_dir_bytes: 30_000 };

/// One of the store's uses of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scene {
    /// Records are appended and trimmed.
    Journal,
    /// Documents are kept, and named by records.
    Documents,
    /// Checkpoint, history and reports are made of records.
    Views,
    /// A register's cell is swapped, removed and made again.
    Register,
    /// A copy is brought up to date, twice; in between the source was trimmed beyond it.
    Copy,
    /// A stream is set aside and written anew.
    Aside,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Journal, Self::Documents, Self::Views, Self::Register, Self::Copy, Self::Aside];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Documents => "documents",
            Self::Views => "views",
            Self::Register => "register",
            Self::Copy => "copy",
            Self::Aside => "set aside",
        }
    }
}

/// The stream of the watch.
pub(super) fn stream() -> StreamName {
    StreamName::watch(&watch())
}

/// The stream of its baseline's tag.
pub(super) fn tag() -> StreamName {
    StreamName::baseline(&watch(), "golden")
}

/// A document: what it says matters to nobody here, but that it is a baseline.
pub(super) fn document(number: u64) -> Vec<u8> {
    let text = format!(
        r#"{{"format":1,"provenance":{{"from":"x","span":{{"start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:0{number}Z"}},"windows":1,"window_ns":1,"samples":1,"by":"me"}},"series":{{}}}}"#
    );
    text.into_bytes()
}

/// A record of the tag's stream that puts a document in force.
pub(super) fn promoted(seq: Seq, prev: Hash, document: &[u8]) -> Sealed {
    let baseline = BaselineRef { tag: "golden".into(), version: 1, hash: Hash::of(document) };
    let (by, reason) = ("me".to_owned(), "it is good".to_owned());
    seal(Record {
        format: FORMAT,
        stream: tag(),
        seq,
        epoch: Epoch(1),
        at: Stamp(1_700_000_000_000_000_000),
        node: "a".into(),
        prev,
        body: Body::BaselineEvent(BaselineEvent::Promoted { baseline, by, reason, forced: Vec::new() }),
    })
}

/// A page as large as three blocks.
pub(super) fn report(number: u64) -> Rendered {
    Rendered { html: format!("<p>{number}</p>").repeat(800), json: format!("{{\"cycle\":{number}}}") }
}

/// What the copy is made of: another host, where nothing happens meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Source {
    disk: Disk,
    deeds: Vec<Deed>,
}

impl Source {
    /// So many cycles, trimmed below a floor, and a tag that names a document.
    pub(super) fn new(records: u64, floor: u64) -> Result<Self, String> {
        let disk = SimDisk::default();
        let mut stage = Stage::open(&disk, Ledger::new(&disk));
        stage.keep_and_name(0)?;
        for sealed in cycles(records) {
            stage.append(&sealed)?;
        }
        stage.trim(&stream(), Seq(floor))?;
        let deeds = stage.ledger.events().iter().filter_map(|event| match event {
            Event::Ended(deeds, End::Done) => Some(deeds.clone()),
            Event::Ended(_, End::NotDone) | Event::Begun(_) => None,
        });
        Ok(Self { disk: stage.disk.clone(), deeds: deeds.flatten().collect() })
    }

    fn side(&self) -> Result<Local, String> {
        Local::folder_on(self.disk.clone(), Path::new(OUT), "1").map_err(|error| error.to_string())
    }
}

/// The store at work on a disk, and what it promised.
pub struct Stage {
    /// Its file system.
    pub(super) disk: Disk,
    /// What it promised.
    pub ledger: Ledger,
    journal: Option<DirJournal>,
}

impl Stage {
    /// Nothing is opened yet.
    #[must_use]
    pub fn open(disk: &SimDisk, ledger: Ledger) -> Self {
        Self { disk: disk.mount(), ledger, journal: None }
    }

    /// Plays a scene from an empty disk.
    ///
    /// # Errors
    /// What the store could not do, in words.
    pub fn play(&mut self, scene: Scene) -> Result<(), String> {
        match scene {
            Scene::Journal => self.play_journal(),
            Scene::Documents => self.play_documents(),
            Scene::Views => self.play_views(),
            Scene::Register => self.play_register(),
            Scene::Copy => self.play_copy(),
            Scene::Aside => self.play_aside(),
        }
    }

    fn play_journal(&mut self) -> Result<(), String> {
        let records = cycles(7);
        for sealed in records.iter().take(4) {
            self.append(sealed)?;
        }
        self.trim(&stream(), Seq(2))?;
        for sealed in records.iter().skip(4) {
            self.append(sealed)?;
        }
        self.trim(&stream(), Seq(5))
    }

    fn play_documents(&mut self) -> Result<(), String> {
        for number in 0..3 {
            self.keep_and_name(number)?;
        }
        // Kept again, nothing changes.
        self.keep(&document(1))
    }

    fn play_views(&mut self) -> Result<(), String> {
        let mut views =
            FileViews::open_on(self.disk.clone(), Path::new(OUT), SETTINGS).map_err(|error| error.to_string())?;
        for (sealed, number) in cycles(5).iter().zip(0..) {
            self.append(sealed)?;
            let applied = views.apply(sealed, Some(report(number)));
            if let Some(fault) = applied.faults.first() {
                return Err(fault.to_string());
            }
            views.flush().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn play_register(&mut self) -> Result<(), String> {
        let mut register = self.register()?;
        for number in 0_u8..4 {
            self.swap(&mut register, Some(vec![number; 40]))?;
        }
        self.swap(&mut register, None)?;
        for number in 4_u8..11 {
            self.swap(&mut register, Some(vec![number; 40]))?;
        }
        Ok(())
    }

    fn play_copy(&mut self) -> Result<(), String> {
        for source in sources()? {
            self.copy(&source)?;
        }
        Ok(())
    }

    fn play_aside(&mut self) -> Result<(), String> {
        for sealed in cycles(2) {
            self.append(&sealed)?;
        }
        self.journal = None;
        move_stream(&self.disk, (Path::new(JOURNAL), Path::new(ASIDE)), &stream())
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The journal's handle.
    pub(super) fn journal(&mut self) -> Result<&mut DirJournal, String> {
        if self.journal.is_none() {
            let opened = DirJournal::open_on(self.disk.clone(), Path::new(JOURNAL));
            self.journal = Some(opened.map_err(|error| error.to_string())?);
        }
        self.journal.as_mut().ok_or_else(|| "the journal is not open".to_owned())
    }

    pub(super) fn register(&self) -> Result<DirRegister, String> {
        DirRegister::open_with(Path::new(REGISTER), self.disk.clone()).map_err(|error| error.to_string())
    }

    /// Appends a record; an unknown end is read back (J5).
    pub(super) fn append(&mut self, sealed: &Sealed) -> Result<(), String> {
        let (stream, seq, bytes) = (sealed.record.stream.clone(), sealed.record.seq, sealed.bytes.clone());
        let deeds = vec![Deed::Append { stream: stream.clone(), seq, bytes: bytes.clone() }];
        self.ledger.note(Event::Begun(deeds.clone()));
        let journal = self.journal()?;
        let end = match journal.append(&stream, seq, &bytes) {
            Appended::Committed => Ok(End::Done),
            Appended::Failed(what) => Err((Some(End::NotDone), what)),
            Appended::Stopped(what) => Err((None, what)),
            Appended::Refused(standing) => Err((Some(End::NotDone), format!("refused: {standing:?}"))),
            Appended::Unknown(what) => match journal.read(&stream, seq, 1) {
                Ok(found) if found.first().is_some_and(|(_, there)| *there == bytes) => Ok(End::Done),
                Ok(_) => Err((Some(End::NotDone), what)),
                Err(error) => Err((None, error.to_string())),
            },
        };
        match end {
            Ok(end) => {
                self.ledger.note(Event::Ended(deeds, end));
                Ok(())
            }
            Err((end, what)) => {
                if let Some(end) = end {
                    self.ledger.note(Event::Ended(deeds, end));
                }
                Err(what)
            }
        }
    }

    /// Lets go of everything below a floor.
    pub(super) fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<(), String> {
        let deeds = vec![Deed::Trim { stream: stream.clone(), floor }];
        self.ledger.note(Event::Begun(deeds.clone()));
        self.journal()?.trim(stream, floor).map_err(|error| error.to_string())?;
        self.ledger.note(Event::Ended(deeds, End::Done));
        Ok(())
    }

    /// Keeps a document.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<(), String> {
        let deeds = vec![Deed::Keep { bytes: bytes.to_vec() }];
        self.ledger.note(Event::Begun(deeds.clone()));
        let mut blobs = DirBlobs::open_on(self.disk.clone(), Path::new(OUT));
        blobs.put(Hash::of(bytes), bytes).map_err(|error| error.to_string())?;
        self.ledger.note(Event::Ended(deeds, End::Done));
        Ok(())
    }

    /// Keeps a document and appends a record that names it.
    pub(super) fn keep_and_name(&mut self, number: u64) -> Result<(), String> {
        let bytes = document(number);
        self.keep(&bytes)?;
        let journal = self.journal()?;
        let prev = hb_store::reader::newest(journal, &tag(), 1).map_err(|error| error.to_string())?;
        let (seq, prev) = prev.first().map_or((Seq(0), Hash::ZERO), |sealed| (sealed.record.seq.next(), sealed.hash));
        self.append(&promoted(seq, prev, &bytes))
    }

    /// Gives the cell other bytes, or removes it.
    pub(super) fn swap(&mut self, register: &mut DirRegister, bytes: Option<Vec<u8>>) -> Result<(), String> {
        let deeds = vec![Deed::Swap { cell: CELL.to_owned(), bytes: bytes.clone() }];
        let seen = register.read(CELL).map_err(|error| error.to_string())?.map(|cell| cell.version);
        self.ledger.note(Event::Begun(deeds.clone()));
        let swapped = match (&bytes, &seen) {
            (Some(bytes), _) => register.swap(CELL, seen.as_ref(), bytes),
            (None, Some(seen)) => register.remove(CELL, seen),
            (None, None) => return Ok(()),
        };
        match swapped {
            Swapped::Done(_) => self.ledger.note(Event::Ended(deeds, End::Done)),
            Swapped::Lost(_) => return Err("somebody else swapped".to_owned()),
            Swapped::Unknown(what) | Swapped::Failed(what) => return Err(what),
        }
        Ok(())
    }

    /// Brings the copy up to date with a source: the tag first, because the watch's own stream names its documents.
    pub(super) fn copy(&mut self, source: &Source) -> Result<(), String> {
        self.ledger.note(Event::Begun(source.deeds.clone()));
        let mut from = source.side()?;
        let mut to = Local::folder_on(self.disk.clone(), Path::new(OUT), "1").map_err(|error| error.to_string())?;
        let mut heads = BTreeMap::new();
        for stream in [tag(), stream()] {
            let copied = copy(&mut from, &mut to, &stream, &mut |_| Ok(())).map_err(|error| error.to_string())?;
            heads.extend(copied.head.map(|head| (stream, head)));
        }
        self.ledger.note(Event::Ended(source.deeds.clone(), End::Done));
        let at = Stamp(1_700_000_000_000_000_000);
        let note = Note { format: hb_store::sync::NOTE_FORMAT, source: "a".into(), by: "b".into(), at, heads };
        to.leave(&note).map_err(|error| error.to_string())?;
        self.ledger.note(Event::Ended(Vec::new(), End::Done));
        Ok(())
    }

    /// The source that a copying goes on with: a trimmed one only where a note says that the copy wrote nothing of its own.
    pub(super) fn source(&self) -> Result<Source, String> {
        let [first, second] = sources()?;
        let noted = self
            .ledger
            .events()
            .iter()
            .any(|event| matches!(event, Event::Ended(deeds, End::Done) if deeds.is_empty()));
        Ok(if noted { second } else { first })
    }
}

/// The source as it is copied from first, and later. Made once: it never changes.
fn sources() -> Result<[Source; 2], String> {
    static MADE: OnceLock<Result<[Source; 2], String>> = OnceLock::new();
    MADE.get_or_init(|| Ok([Source::new(4, 1)?, Source::new(9, 6)?])).clone()
}
