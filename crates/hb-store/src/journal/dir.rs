//! The journal as a folder: one file per record, published by `link(2)`, so that a number is given exactly once.
//!
//! ```text
//! ROOT/format                                  hb-journal 1
//! ROOT/watch/bench/00000000000000000007.rec    record 7 of stream watch/bench
//! ROOT/watch/bench/floors/00…05.floor          nothing below 5 stands any more; empty, its name says it
//! ```
//!
//! **Invariants.** A record's file appears whole and durable or not at all, and is never changed (J1, J3). The floor is
//! the largest name in `floors/`, so nobody can lower it by writing late (J6); it is published before anything below it
//! is removed, and looked up before and after every publishing. After a failed fsync this handle never writes again and
//! does not claim to know what stands: the kernel may have dropped the bytes and forgotten the error.

mod beside;
mod moving;
mod reading;
mod trimming;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};

use super::names::{self, FLOOR_SUFFIX, FLOORS, FORMAT_FILE, RECORD_SUFFIX};
use crate::atomic::{Disk, Fault, Publish, READ_MAX};
use crate::port::{Appended, Begun, Entry, Journal, JournalError, Standing, new_floor};

pub use beside::{Beside, root_beside};
pub use moving::{move_stream, streams};
pub use trimming::TRIM_STEP;

/// Version of the folder's layout that this program writes.
pub const LAYOUT: u32 = 1;
const FORMAT_PREFIX: &str = "hb-journal ";

/// A journal in a folder.
#[derive(Debug)]
pub struct DirJournal {
    root: PathBuf,
    disk: Disk,
    streams: BTreeMap<StreamName, Stream>,
    /// Set for good by a failed fsync: what it said.
    stopped: Option<String>,
    marked: bool,
}

#[derive(Debug, Clone)]
struct Stream {
    dir: PathBuf,
    /// Newest record seen; a smaller one than stands is harmless, it is looked on from there.
    head: Option<Seq>,
    /// Smallest record that may still be there.
    lowest: Option<Seq>,
    /// Folders made, leftovers swept.
    ready: bool,
    /// It has just been found, and whoever wrote may have died before his fsync; or an append of our own ended unknown. The folder is
    /// fsynced before anything read from it is believed.
    doubt: bool,
    /// The largest floor that is known to be durable.
    settled: Seq,
}

impl DirJournal {
    /// Opens the journal below `root`; nothing is created before the first append.
    ///
    /// # Errors
    /// When it cannot be read, is no journal, or was written by a newer program.
    pub fn open(root: &Path) -> Result<Self, JournalError> {
        Self::open_on(Disk::new(), root)
    }

    /// The same on a file system whose steps may be made to fail.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(disk: Disk, root: &Path) -> Result<Self, JournalError> {
        let marked = match disk.read(&root.join(FORMAT_FILE)).map_err(unavailable)? {
            None => false,
            Some(bytes) => check_layout(root, &bytes).map(|()| true)?,
        };
        Ok(Self { root: root.to_path_buf(), disk, streams: BTreeMap::new(), stopped: None, marked })
    }

    /// Why this handle has stopped writing for good, if it has: an fsync failed.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    fn stream(&mut self, name: &StreamName) -> Result<Stream, JournalError> {
        if let Some(stopped) = &self.stopped {
            return Err(JournalError::Stopped(stopped.clone()));
        }
        let mut stream = match self.streams.get(name) {
            Some(stream) => stream.clone(),
            None => {
                let dir = self.root.join(names::stream_dir(name));
                beside::put_back(&self.disk, &self.root, name)?;
                let settled = Seq::default();
                let mut stream = Stream { dir, head: None, lowest: None, ready: false, doubt: true, settled };
                self.list(&mut stream)?;
                stream
            }
        };
        if stream.doubt {
            self.confirm(&mut stream)?;
        }
        self.streams.insert(name.clone(), stream.clone());
        Ok(stream)
    }

    /// Makes durable what stands of a stream: its own name, which may just have been given to it as a whole, and those in it.
    fn confirm(&mut self, stream: &mut Stream) -> Result<(), JournalError> {
        let above = stream.dir.parent().unwrap_or(&self.root).to_path_buf();
        for dir in [&above, &stream.dir] {
            match self.disk.sync_dir(dir) {
                Ok(()) => {}
                // There is nothing to be lost, or it is not ours to write: what is appended is fsynced by itself.
                Err(fault) if fault.not_found() || fault.not_permitted() => {}
                Err(fault) if fault.read_only() => return Ok(()),
                Err(fault) => return Err(JournalError::Stopped(self.note(&fault))),
            }
        }
        stream.doubt = false;
        Ok(())
    }

    /// Takes note of a fault: after a failed fsync this handle stops. Gives back what to tell.
    fn note(&mut self, fault: &Fault) -> String {
        if fault.op.is_sync() {
            let text = format!(
                "{fault}; an fsync that failed is not believed when it succeeds later, so this node stops writing: \
                 check the disk, then restart hb"
            );
            self.stopped = Some(text.clone());
            return text;
        }
        fault.to_string()
    }

    fn failed(&mut self, fault: &Fault) -> Appended {
        let what = self.note(fault);
        if self.stopped.is_some() { Appended::Stopped(what) } else { Appended::Failed(what) }
    }

    /// Reads the whole folder: the smallest and the largest number.
    fn list(&self, stream: &mut Stream) -> Result<(), JournalError> {
        let listed = self.disk.names(&stream.dir).map_err(unavailable)?;
        let floor = self.floor_in(&stream.dir)?;
        stream.lowest = listed.iter().filter_map(|name| names::number(name, RECORD_SUFFIX)).min();
        let head = listed.iter().filter_map(|name| names::number(name, RECORD_SUFFIX)).max();
        // What a late writer left below the floor is not the head.
        stream.head = head.filter(|head| *head >= floor);
        Ok(())
    }

    fn floor_in(&self, dir: &Path) -> Result<Seq, JournalError> {
        let listed = self.disk.names(&dir.join(FLOORS)).map_err(unavailable)?;
        Ok(listed.iter().filter_map(|name| names::number(name, FLOOR_SUFFIX)).max().unwrap_or_default())
    }

    fn has(&self, stream: &Stream, seq: Seq) -> Result<bool, JournalError> {
        self.disk.stands(&stream.dir.join(names::record_file(seq))).map_err(unavailable)
    }

    /// Goes on from the remembered head to the newest record.
    fn gallop(&self, stream: &mut Stream) -> Result<(), JournalError> {
        loop {
            let floor = self.floor_in(&stream.dir)?;
            if stream.head.map_or(Seq(0), Seq::next) < floor {
                self.list(stream)?;
            }
            while self.has(stream, stream.head.map_or(Seq(0), Seq::next))? {
                stream.head = Some(stream.head.map_or(Seq(0), Seq::next));
            }
            // Records may have been trimmed from under the search; then the floor has moved.
            if self.floor_in(&stream.dir)? == floor {
                return Ok(());
            }
        }
    }

    /// Makes the journal's folder and the layout marker.
    fn mark(&mut self) -> Result<(), Fault> {
        if !self.marked {
            self.disk.create_dirs(&self.root)?;
            let marker = format!("{FORMAT_PREFIX}{LAYOUT}\n");
            match self.disk.publish_new(&self.root, FORMAT_FILE, marker.as_bytes()) {
                Publish::Done | Publish::Taken(_) => self.marked = true,
                Publish::NotDone(fault) | Publish::Perhaps(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Makes folders and the layout marker, and sweeps leftovers: once per stream and handle.
    fn prepare(&mut self, stream: &mut Stream) -> Result<(), Fault> {
        self.mark()?;
        if !stream.ready {
            self.disk.create_dirs(&stream.dir.join(FLOORS))?;
            let mut swept = 0_u64;
            for dir in [&self.root, &stream.dir, &stream.dir.join(FLOORS)] {
                swept = swept.saturating_add(self.disk.sweep(dir)?);
            }
            if swept > 0 {
                tracing::info!(swept, dir = %stream.dir.display(), "removed temporary files of writers that died");
            }
            stream.ready = true;
        }
        Ok(())
    }

    fn append_to(&mut self, stream: &mut Stream, seq: Seq, bytes: &[u8]) -> Appended {
        if let Err(fault) = self.prepare(stream) {
            return self.failed(&fault);
        }
        match self.admit(stream, seq) {
            Ok(None) => {}
            Ok(Some(refused)) => return refused,
            Err(error) => return Appended::Failed(error.to_string()),
        }
        let name = names::record_file(seq);
        let published = self.disk.publish_new(&stream.dir, &name, bytes);
        match published {
            Publish::Done => {}
            Publish::Taken(there) => return Appended::Refused(Standing::Taken(there)),
            Publish::NotDone(fault) => return self.failed(&fault),
            Publish::Perhaps(fault) => {
                stream.doubt = true;
                return Appended::Unknown(self.note(&fault));
            }
        }
        let floor = match self.floor_in(&stream.dir) {
            Ok(floor) => floor,
            Err(error) => return Appended::Unknown(format!("the floor could not be read after publishing: {error}")),
        };
        if seq < floor {
            return self.withdraw(stream, seq, floor);
        }
        stream.head = stream.head.max(Some(seq));
        Appended::Committed
    }

    /// Checks before publishing: above the floor, and no gap below.
    fn admit(&self, stream: &Stream, seq: Seq) -> Result<Option<Appended>, JournalError> {
        let floor = self.floor_in(&stream.dir)?;
        if seq < floor {
            return Ok(Some(Appended::Refused(Standing::BelowFloor(floor))));
        }
        let Some(before) = seq.0.checked_sub(1).map(Seq) else { return Ok(None) };
        // What came before the floor has gone, or never was here.
        if seq == floor {
            return Ok(None);
        }
        if stream.head.is_some_and(|head| head >= before) || self.has(stream, before)? {
            return Ok(None);
        }
        let gap = format!("record {seq} would leave a gap: record {before} does not stand in {}", stream.dir.display());
        Ok(Some(Appended::Failed(gap)))
    }

    /// The floor rose above a record while it was published: it is taken back, nobody may count on it (J6).
    fn withdraw(&mut self, stream: &Stream, seq: Seq, floor: Seq) -> Appended {
        match self.disk.remove(&stream.dir.join(names::record_file(seq))) {
            Ok(_) => Appended::Refused(Standing::BelowFloor(floor)),
            // Readers ignore what stands below the floor, and the next trim removes it.
            Err(fault) => {
                tracing::warn!(%fault, "a record below the floor stays until the next trim");
                Appended::Refused(Standing::BelowFloor(floor))
            }
        }
    }
}

pub(crate) fn check_layout(root: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let path = root.join(FORMAT_FILE);
    let text = String::from_utf8_lossy(bytes);
    let version = text.strip_prefix(FORMAT_PREFIX).and_then(|rest| rest.trim_end().parse::<u32>().ok());
    match version {
        Some(version) if version <= LAYOUT => Ok(()),
        Some(version) => Err(JournalError::Corrupt(format!(
            "{} says layout {version}, this program reads up to {LAYOUT}: use a newer hb",
            path.display()
        ))),
        None => Err(JournalError::Corrupt(format!(
            "{} does not say `{FORMAT_PREFIX}{LAYOUT}`: the folder is no journal of hb, or the file is damaged; \
             if the folder is right, write that line into it",
            path.display()
        ))),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "reads as a conversion in map_err")]
fn unavailable(fault: Fault) -> JournalError {
    JournalError::Unavailable(fault.to_string())
}

impl Journal for DirJournal {
    fn head(&mut self, name: &StreamName) -> Result<Option<Seq>, JournalError> {
        let mut stream = self.stream(name)?;
        self.gallop(&mut stream)?;
        let head = stream.head;
        self.streams.insert(name.clone(), stream);
        Ok(head)
    }

    fn append(&mut self, name: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > READ_MAX {
            return Appended::Failed(format!("a record of {} bytes is larger than {READ_MAX}", bytes.len()));
        }
        let mut stream = match self.stream(name) {
            Ok(stream) => stream,
            Err(JournalError::Stopped(what)) => return Appended::Stopped(what),
            Err(error) => return Appended::Failed(error.to_string()),
        };
        let appended = self.append_to(&mut stream, seq, bytes);
        self.streams.insert(name.clone(), stream);
        appended
    }

    fn read(&mut self, name: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        let mut stream = self.stream(name)?;
        let records = self.read_from(&mut stream, from, most);
        self.streams.insert(name.clone(), stream);
        records
    }

    fn trim(&mut self, name: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        let mut stream = self.stream(name)?;
        let removed = self.trim_to(&mut stream, floor);
        self.streams.insert(name.clone(), stream);
        removed
    }

    fn floor(&mut self, name: &StreamName) -> Result<Seq, JournalError> {
        let stream = self.stream(name)?;
        self.floor_in(&stream.dir)
    }

    fn begin(&mut self, name: &StreamName, seen: Option<Seq>, first: &[Entry]) -> Result<Begun, JournalError> {
        new_floor(name, seen, first)?;
        self.begin_anew(name, seen, first)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::conformance;

    fn name() -> StreamName {
        "watch/a".into()
    }

    #[test]
    fn a_folder_obeys_every_law() {
        let root = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        conformance::all(|| {
            count.set(count.get() + 1);
            let root = root.path().join(format!("j{}", count.get()));
            move || Box::new(DirJournal::open(&root).unwrap()) as Box<dyn Journal>
        });
    }

    #[test]
    fn j6_copies_go_on_above_their_newest_record() {
        let root = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        conformance::of_copies(|| {
            count.set(count.get() + 1);
            let root = root.path().join(format!("j{}", count.get()));
            move || Box::new(DirJournal::open(&root).unwrap()) as Box<dyn Journal>
        });
    }

    #[test]
    fn j3_an_append_cut_at_any_step_is_wholly_there_or_wholly_absent() {
        let scratch = tempfile::tempdir().unwrap();
        let tried = conformance::every_crash_point_of_an_append(scratch.path());
        assert!(tried > 50, "only {tried} crash points");
    }

    #[test]
    fn j5_an_append_with_any_step_failing_answers_the_truth() {
        let scratch = tempfile::tempdir().unwrap();
        let tried = conformance::every_fault_of_an_append(scratch.path());
        assert!(tried > 100, "only {tried} faults");
    }

    #[test]
    fn an_append_costs_two_fsyncs() {
        let counter = std::sync::Arc::new(SyncCounter::default());
        let root = tempfile::tempdir().unwrap();
        let steps = std::sync::Arc::<SyncCounter>::clone(&counter);
        let mut journal = DirJournal::open_on(Disk::with_steps(steps), root.path()).unwrap();
        conformance::fill(&mut journal, &name(), 1);
        let first = counter.0.swap(0, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(journal.append(&name(), Seq(1), b"x"), Appended::Committed);
        assert_eq!(counter.0.load(std::sync::atomic::Ordering::Relaxed), 2, "the first append took {first}");
    }

    #[derive(Default)]
    struct SyncCounter(std::sync::atomic::AtomicU32);

    impl crate::atomic::Steps for SyncCounter {
        fn before(&self, op: crate::atomic::Op, _: &Path) -> crate::atomic::Verdict {
            self.0.fetch_add(u32::from(op.is_sync()), std::sync::atomic::Ordering::Relaxed);
            crate::atomic::Verdict::Go
        }
    }

    #[test]
    fn j4_a_missing_record_is_named_and_nothing_after_it_is_read_as_data() {
        let root = tempfile::tempdir().unwrap();
        let mut journal = DirJournal::open(root.path()).unwrap();
        conformance::fill(&mut journal, &name(), 6);
        fs::remove_file(root.path().join("watch/a/00000000000000000003.rec")).unwrap();
        for handle in [&mut journal, &mut DirJournal::open(root.path()).unwrap()] {
            let error = handle.read(&name(), Seq(1), 10).unwrap_err();
            let JournalError::Corrupt(what) = error else { panic!("{error:?}") };
            assert!(what.contains("00000000000000000003.rec"), "{what}");
            assert_eq!(handle.read(&name(), Seq(4), 10).unwrap().len(), 2);
        }
    }

    #[test]
    fn j6_a_floor_that_rises_while_a_record_is_published_takes_the_record_back() {
        let root = tempfile::tempdir().unwrap();
        let mut journal = DirJournal::open(root.path()).unwrap();
        conformance::fill(&mut journal, &name(), 10);
        let trimmer = Trimmer(root.path().to_path_buf(), std::sync::atomic::AtomicBool::new(false));
        let steps: std::sync::Arc<dyn crate::atomic::Steps> = std::sync::Arc::new(trimmer);
        let mut zombie = DirJournal::open_on(Disk::with_steps(steps), root.path()).unwrap();
        let appended = zombie.append(&name(), Seq(4), b"late");
        assert_eq!(appended, Appended::Refused(Standing::BelowFloor(Seq(8))));
        assert!(!root.path().join("watch/a/00000000000000000004.rec").try_exists().unwrap());
    }

    /// Another node that trims just before this one links.
    struct Trimmer(PathBuf, std::sync::atomic::AtomicBool);

    impl crate::atomic::Steps for Trimmer {
        fn before(&self, op: crate::atomic::Op, _: &Path) -> crate::atomic::Verdict {
            if op == crate::atomic::Op::Link && !self.1.swap(true, std::sync::atomic::Ordering::Relaxed) {
                DirJournal::open(&self.0).unwrap().trim(&name(), Seq(8)).unwrap();
            }
            crate::atomic::Verdict::Go
        }
    }

    #[test]
    fn newer_and_foreign_folders_are_refused_with_advice() {
        let root = tempfile::tempdir().unwrap();
        for (text, advice) in [("hb-journal 99\n", "newer hb"), ("something else", "no journal of hb")] {
            fs::write(root.path().join("format"), text).unwrap();
            let error = DirJournal::open(root.path()).unwrap_err().to_string();
            assert!(error.contains("format") && error.contains(advice), "{error}");
        }
    }

    #[test]
    fn trimming_goes_in_bounded_steps() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("watch/a");
        fs::create_dir_all(&dir).unwrap();
        for number in 0..u64::try_from(TRIM_STEP).unwrap() + 10 {
            fs::write(dir.join(names::record_file(Seq(number))), b"x").unwrap();
        }
        let mut journal = DirJournal::open(root.path()).unwrap();
        let floor = Seq(u64::try_from(TRIM_STEP).unwrap() + 5);
        assert_eq!(journal.trim(&name(), floor).unwrap(), 1000);
        assert_eq!(journal.read(&name(), Seq(0), 99).unwrap().len(), 5, "what is left below the floor is not read");
        assert_eq!(journal.trim(&name(), floor).unwrap(), 5);
        assert_eq!(journal.trim(&name(), floor).unwrap(), 0);
    }
}
