//! Views of a watch: what people and scripts read. All of it can be lost and is rebuilt from the journal.
//!
//! **Invariants.** Whatever is read here was in the journal first (W6). A reader sees a file as it was or as it is, never
//! half of it. One view that cannot be written keeps no other from being written, and never stops the watch.

pub mod checkpoint;
pub mod history;
pub mod reports;
pub mod runs;

use std::fmt;
use std::path::{Path, PathBuf};

use hb_core::node::fact::{Body, Sealed};

use crate::atomic::{Disk, Fault};
use checkpoint::Checkpoint;
use history::History;
use reports::Reports;

/// A view that could not be written or read. The watch goes on; readiness tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewError {
    /// `view.checkpoint`, `view.history`, `view.report`, `view.db`.
    pub view: &'static str,
    /// What is wrong, with its file, and what to do.
    pub what: String,
}

impl ViewError {
    pub(crate) fn new(view: &'static str, what: impl fmt::Display) -> Self {
        Self { view, what: what.to_string() }
    }
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.view, self.what)
    }
}

impl std::error::Error for ViewError {}

/// Bounds of the views (B1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewSettings {
    /// Checkpoints kept in the history; at least one is.
    pub max_checkpoint_history: usize,
    /// Bytes that reports may take up on disk; zero: no bound.
    pub max_report_dir_bytes: u64,
}

/// A report as it is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The page.
    pub html: String,
    /// The document.
    pub json: String,
}

/// What became of a record in the views.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Where its report stands.
    pub report_dir: Option<PathBuf>,
    /// Views that could not be written.
    pub faults: Vec<ViewError>,
}

/// The files of one watch in one folder.
#[derive(Debug)]
pub struct FileViews {
    dir: PathBuf,
    disk: Disk,
    settings: ViewSettings,
    /// The checkpoint as it stands, or as it should.
    checkpoint: Option<Checkpoint>,
    /// The file does not show it yet: it has not been, or could not be, written.
    unstored: bool,
    history: History,
    reports: Reports,
}

impl FileViews {
    /// Opens the views in `dir`, which is created when missing. Damaged files are no error here: `rebuild` sees to them.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(dir: &Path, settings: ViewSettings) -> Result<Self, ViewError> {
        Self::open_on(Disk::new(), dir, settings)
    }

    /// The same on a file system whose steps may be made to fail.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(disk: Disk, dir: &Path, settings: ViewSettings) -> Result<Self, ViewError> {
        let refused = |fault: Fault| ViewError::new("view.checkpoint", fault);
        disk.create_dirs(dir).map_err(refused)?;
        let dir = std::path::absolute(dir)
            .map_err(|error| ViewError::new("view.checkpoint", format!("{}: {error}", dir.display())))?;
        disk.sweep(&dir).map_err(refused)?;
        let checkpoint = checkpoint::load(&disk, &dir).unwrap_or(None);
        let history = History::open(disk.clone(), &dir, settings.max_checkpoint_history)?;
        let reports = Reports::open(disk.clone(), &dir, settings.max_report_dir_bytes)?;
        Ok(Self { dir, disk, settings, checkpoint, unstored: false, history, reports })
    }

    /// The folder, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The checkpoint as it stands.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Shows a record that is durable. Only a decided cycle changes anything; a report is only kept with one.
    #[must_use = "views that could not be written are told in it"]
    pub fn apply(&mut self, sealed: &Sealed, report: Option<Rendered>) -> Applied {
        let mut applied = self.note(sealed, report);
        if matches!(sealed.record.body, Body::CycleDecided(_)) {
            applied.faults.extend(self.settle());
        }
        applied
    }

    /// The same for a record after which others follow at once: its report is written, checkpoint and history are with
    /// [`Self::settle`]. That is to be called before the next report is noted, because what is pointed at may not go before what
    /// points at it.
    #[must_use = "views that could not be written are told in it"]
    pub fn note(&mut self, sealed: &Sealed, report: Option<Rendered>) -> Applied {
        let Body::CycleDecided(cycle) = &sealed.record.body else { return Applied::default() };
        let mut applied = Applied::default();
        if let Some(report) = report {
            match self.reports.write(&cycle.watch, cycle.decision.cycle, &report) {
                Ok(dir) => applied.report_dir = Some(dir),
                Err(error) => applied.faults.push(error),
            }
        }
        let report_dir = applied.report_dir.clone().or_else(|| self.last_report_dir());
        let checkpoint = Checkpoint::of(sealed, cycle, report_dir.as_deref());
        self.history.push(&checkpoint);
        self.checkpoint = Some(checkpoint);
        self.unstored = true;
        applied
    }

    /// Writes checkpoint and history after records were noted, and lets reports beyond their bound go.
    #[must_use = "views that could not be written are told in it"]
    pub fn settle(&mut self) -> Vec<ViewError> {
        let mut faults = Vec::new();
        faults.extend(self.store_checkpoint().err());
        faults.extend(self.history.settle().err());
        let report_dir = self.last_report_dir();
        faults.extend(self.reports.prune(report_dir.as_deref()).err());
        faults
    }

    fn store_checkpoint(&mut self) -> Result<(), ViewError> {
        if let Some(checkpoint) = self.checkpoint.as_ref().filter(|_| self.unstored) {
            checkpoint::store(&self.disk, &self.dir, checkpoint)?;
            self.unstored = false;
        }
        Ok(())
    }

    /// Writes what was held back or could not be written; called when there is nothing else to do.
    ///
    /// # Errors
    /// When one of the views cannot be written.
    pub fn flush(&mut self) -> Result<(), ViewError> {
        self.store_checkpoint()?;
        self.history.flush()
    }

    fn last_report_dir(&self) -> Option<PathBuf> {
        self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.last_report_dir.clone()).map(PathBuf::from)
    }

    /// Brings checkpoint and history to what the newest records say, oldest first; give it at least
    /// `max_checkpoint_history` decided cycles, or all there are. Says what it did.
    ///
    /// # Errors
    /// When a view cannot be written.
    pub fn rebuild(&mut self, records: &[Sealed]) -> Result<Vec<String>, ViewError> {
        let mut did = Vec::new();
        let stands = checkpoint::load(&self.disk, &self.dir);
        let truth = self.checkpoints_of(records, stands.as_ref().ok().and_then(Option::as_ref))?;
        if let Some(newest) = truth.last() {
            let why = match &stands {
                Ok(Some(found)) if found == newest => None,
                Ok(Some(found)) if found.seq == newest.seq => Some("did not say what its record says".to_owned()),
                Ok(Some(found)) => Some(format!("showed record {} instead of {}", found.seq, newest.seq)),
                Ok(None) => Some("was missing".to_owned()),
                Err(error) => Some(format!("could not be read ({})", error.what)),
            };
            if let Some(why) = why {
                checkpoint::store(&self.disk, &self.dir, newest)?;
                did.push(format!("{} {why}: rebuilt from record {}", checkpoint::FILE, newest.seq));
            }
            self.checkpoint = Some(newest.clone());
        }
        did.extend(self.history.rebuild(&truth)?);
        Ok(did)
    }

    /// What the records say in short. Where a report stood is not in the journal, so a sound checkpoint is believed.
    fn checkpoints_of(&self, records: &[Sealed], stands: Option<&Checkpoint>) -> Result<Vec<Checkpoint>, ViewError> {
        let stored = history::read_lines(&self.disk, &self.dir)?.unwrap_or_default();
        let known: Vec<&Checkpoint> = stored.iter().flatten().chain(stands).collect();
        let mut report_dir: Option<String> = None;
        let mut out = Vec::new();
        for sealed in records {
            let Body::CycleDecided(cycle) = &sealed.record.body else { continue };
            let mut checkpoint = Checkpoint::of(sealed, cycle, None);
            let before = known.iter().find(|known| known.says_the_same(&checkpoint));
            let found = self.reports.find(&cycle.watch, cycle.decision.cycle);
            report_dir = before
                .and_then(|known| known.last_report_dir.clone())
                .or_else(|| found.map(|dir| dir.to_string_lossy().into_owned()))
                .or(report_dir);
            checkpoint.last_report_dir.clone_from(&report_dir);
            out.push(checkpoint);
        }
        Ok(out)
    }

    /// Whether the views can be written and the checkpoint read: for readiness.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn check(&self) -> Result<(), ViewError> {
        self.disk.probe(&self.dir).map_err(|fault| ViewError::new("view.checkpoint", fault))?;
        match checkpoint::load(&self.disk, &self.dir)? {
            None if self.checkpoint.is_some() => {
                let path = self.dir.join(checkpoint::FILE);
                let what = format!("{} was removed; it is written again with the next cycle", path.display());
                Err(ViewError::new("view.checkpoint", what))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The bounds.
    #[must_use]
    pub fn settings(&self) -> ViewSettings {
        self.settings
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::conformance::cycles;

    const SETTINGS: ViewSettings = ViewSettings { max_checkpoint_history: 5, max_report_dir_bytes: 0 };

    fn rendered(size: usize) -> Rendered {
        Rendered { html: "h".repeat(size), json: "{}".to_owned() }
    }

    fn show(dir: &Path, records: &[Sealed]) -> FileViews {
        let mut views = FileViews::open(dir, SETTINGS).unwrap();
        for sealed in records {
            assert_eq!(views.apply(sealed, None).faults, []);
        }
        views.flush().unwrap();
        views
    }

    fn files(dir: &Path) -> [String; 2] {
        [checkpoint::FILE, "checkpoint_history/checkpoints.jsonl"]
            .map(|name| fs::read_to_string(dir.join(name)).unwrap())
    }

    #[test]
    fn checkpoint_and_history_are_as_documented() {
        let dir = tempfile::tempdir().unwrap();
        let mut views = show(dir.path(), &cycles(11));
        let applied = views.apply(&cycles(12)[11], Some(rendered(10)));
        views.flush().unwrap();
        let report_dir = applied.report_dir.unwrap();
        assert!(report_dir.is_absolute() && report_dir.join("report.html").is_file());
        let text = fs::read_to_string(dir.path().join("daemon_checkpoint.json")).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(text.starts_with("{\n  \"last_cycle_utc\": \"2023-11-14T22:13:32.125+00:00\""), "{text}");
        assert_eq!(document["last_status"], "PASS");
        assert_eq!(document["last_report_dir"], report_dir.to_str().unwrap());
        for key in ["watch", "cycle", "seq", "epoch", "node", "hash", "marks", "format"] {
            assert!(document.get(key).is_some(), "{key}");
        }
        let mut views = FileViews::open(dir.path(), SETTINGS).unwrap();
        assert_eq!(views.apply(&cycles(13)[12], None).faults, []);
        let kept = views.checkpoint().unwrap().last_report_dir.clone();
        assert_eq!(kept.as_deref(), report_dir.to_str(), "the report of an earlier cycle is kept");
        drop(views);
        let history = fs::read_to_string(dir.path().join("checkpoint_history/checkpoints.jsonl")).unwrap();
        let cycles: Vec<u64> =
            history.lines().map(|line| Checkpoint::parse(line.as_bytes()).unwrap().cycle.0).collect();
        assert_eq!(cycles, [8, 9, 10, 11, 12]);
    }

    #[test]
    fn views_that_are_missing_stale_or_damaged_are_rebuilt_and_say_so() {
        let good = tempfile::tempdir().unwrap();
        let records = cycles(10);
        drop(show(good.path(), &records));
        let wanted = files(good.path());
        type Harm = fn(&Path);
        let harms: [(Harm, &str); 5] = [
            (|dir| fs::remove_file(dir.join("daemon_checkpoint.json")).unwrap(), "was missing"),
            (|dir| fs::write(dir.join("daemon_checkpoint.json"), b"").unwrap(), "could not be read"),
            (|dir| fs::remove_dir_all(dir.join("checkpoint_history")).unwrap(), "was missing"),
            (
                |dir| fs::write(dir.join("checkpoint_history/checkpoints.jsonl"), b"{\"last\n").unwrap(),
                "damaged line 1",
            ),
            (|dir| fs::write(dir.join("checkpoint_history/checkpoints.jsonl"), b"").unwrap(), "not up to date"),
        ];
        for (harm, said) in harms {
            let dir = tempfile::tempdir().unwrap();
            drop(show(dir.path(), &records));
            harm(dir.path());
            let did = FileViews::open(dir.path(), SETTINGS).unwrap().rebuild(&records).unwrap();
            assert!(did.iter().any(|did| did.contains(said)), "{said}: {did:?}");
            assert_eq!(files(dir.path()), wanted, "{said}");
        }
        let stale = tempfile::tempdir().unwrap();
        drop(show(stale.path(), &records[..7]));
        let mut views = FileViews::open(stale.path(), SETTINGS).unwrap();
        assert_eq!(views.rebuild(&records).unwrap().len(), 2);
        assert_eq!(views.rebuild(&records).unwrap(), Vec::<String>::new(), "nothing is left to do");
        assert_eq!(files(stale.path()), wanted);
    }

    #[test]
    fn records_that_are_shown_again_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let records = cycles(9);
        drop(show(dir.path(), &records));
        let wanted = files(dir.path());
        drop(show(dir.path(), &records[6..]));
        assert_eq!(files(dir.path()), wanted);
    }

    #[test]
    fn reports_keep_their_bound_but_never_lose_the_one_that_is_pointed_at() {
        let dir = tempfile::tempdir().unwrap();
        let settings = ViewSettings { max_report_dir_bytes: 100_000, ..SETTINGS };
        let records = cycles(20);
        let mut views = FileViews::open(dir.path(), settings).unwrap();
        fs::create_dir_all(dir.path().join("reports/bench/notes")).unwrap();
        fs::write(dir.path().join("reports/stray.txt"), b"x").unwrap();
        for sealed in &records[..19] {
            assert_eq!(views.apply(sealed, Some(rendered(9_000))).faults, []);
            assert!(views.reports.bytes() <= 100_000, "{}", views.reports.bytes());
        }
        // A leftover of a write that was cut counts, too.
        fs::write(dir.path().join("reports/bench/cycle-0000000018/.hb-1-1-1.tmp"), vec![b'x'; 50_000]).unwrap();
        let mut views = FileViews::open(dir.path(), settings).unwrap();
        assert!(views.reports.bytes() > 100_000);
        assert_eq!(views.apply(&records[19], None).faults, []);
        let pointed = views.checkpoint().unwrap().last_report_dir.clone().unwrap();
        assert!(pointed.ends_with("cycle-0000000018"), "{pointed}");
        assert!(Path::new(&pointed).join("report.html").is_file());
        assert!(dir.path().join("reports/bench/notes").is_dir());
        let big = views.apply(&records[19], Some(rendered(1_000_000)));
        assert!(big.report_dir.unwrap().join("report.html").is_file(), "the newest stays, however large");
    }

    fn look(dir: &Path) {
        Checkpoint::parse(&fs::read(dir.join(checkpoint::FILE)).unwrap()).unwrap();
        let history = fs::read_to_string(dir.join("checkpoint_history/checkpoints.jsonl")).unwrap();
        assert!(history.ends_with('\n'));
        history.lines().for_each(|line| drop(Checkpoint::parse(line.as_bytes()).unwrap()));
    }

    #[test]
    fn a_reader_never_sees_a_broken_file() {
        let dir = tempfile::tempdir().unwrap();
        let records = cycles(400);
        drop(show(dir.path(), &records[..1]));
        let path = dir.path().to_path_buf();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let reader = std::thread::spawn(move || {
            let mut looks = 0_u32;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                look(&path);
                looks += 1;
            }
            looks
        });
        let mut views = FileViews::open(dir.path(), SETTINGS).unwrap();
        for sealed in &records[1..] {
            assert_eq!(views.apply(sealed, None).faults, []);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let looks = reader.join().unwrap();
        assert!(looks > 20, "only {looks} looks");
    }

    #[test]
    fn a_full_disk_is_told_by_view_and_the_next_cycle_shows_everything() {
        use crate::atomic::{Op, Steps, Verdict};
        struct Full(std::sync::atomic::AtomicBool);
        impl Steps for Full {
            fn before(&self, op: Op, _: &Path) -> Verdict {
                let full = self.0.load(std::sync::atomic::Ordering::Relaxed) && op == Op::Write;
                if full { Verdict::Fail(nix::libc::ENOSPC) } else { Verdict::Go }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let full = std::sync::Arc::new(Full(std::sync::atomic::AtomicBool::new(false)));
        let disk = Disk::with_steps(std::sync::Arc::<Full>::clone(&full));
        let mut views = FileViews::open_on(disk, dir.path(), SETTINGS).unwrap();
        let records = cycles(6);
        for sealed in &records[..4] {
            assert_eq!(views.apply(sealed, None).faults, []);
        }
        views.flush().unwrap();
        let before = fs::read(dir.path().join(checkpoint::FILE)).unwrap();
        full.0.store(true, std::sync::atomic::Ordering::Relaxed);
        let faults = views.apply(&records[4], Some(rendered(10))).faults;
        let told: Vec<&str> = faults.iter().map(|fault| fault.view).collect();
        assert!(told.contains(&"view.report") && told.contains(&"view.checkpoint"), "{told:?}");
        assert!(views.check().unwrap_err().what.contains("free space"));
        assert_eq!(fs::read(dir.path().join(checkpoint::FILE)).unwrap(), before, "the old state stays whole");
        full.0.store(false, std::sync::atomic::Ordering::Relaxed);
        views.flush().unwrap();
        let shown = Checkpoint::parse(&fs::read(dir.path().join(checkpoint::FILE)).unwrap()).unwrap();
        assert_eq!(shown.cycle.0, 4, "what could not be written is written when there is room");
        assert_eq!(views.apply(&records[5], None).faults, []);
        assert_eq!(views.check(), Ok(()));
        views.flush().unwrap();
        let other = tempfile::tempdir().unwrap();
        drop(show(other.path(), &records));
        assert_eq!(files(dir.path()), files(other.path()));
    }
}
