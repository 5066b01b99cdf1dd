//! Views of a watch: what people and scripts read. All of it can be lost and is rebuilt from the journal.
//!
//! **Invariants.** Whatever is read here was in the journal first (W6). A reader sees a file as it was or as it is, never
//! half of it. One view that cannot be written keeps no other from being written, and never stops the watch.

pub mod alerts;
pub mod checkpoint;
pub mod history;
pub mod reports;
pub mod runs;

use std::fmt;
use std::path::{Path, PathBuf};

use hb_core::node::fact::{Body, CycleDecided, Sealed};

use crate::atomic::{Disk, Fault};
use alerts::AlertLog;
use checkpoint::Checkpoint;
use history::History;
use reports::Reports;

/// A view that could not be written or read. The watch goes on; readiness tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewError {
    /// `view.checkpoint`, `view.history`, `view.alerts`, `view.report`, `view.db`.
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

/// Whether alerts are written to `alerts.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertFile {
    /// Every alert of a decided cycle, once.
    Written,
    /// Not here: a sink does it, or nobody wants it.
    Off,
}

/// Bounds of the views (B1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewSettings {
    /// Checkpoints kept in the history; at least one is.
    pub max_checkpoint_history: usize,
    /// Bytes that reports may take up on disk; zero: no bound.
    pub max_report_dir_bytes: u64,
    /// Whether alerts are written here.
    pub alerts: AlertFile,
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
    history: History,
    alerts: Option<AlertLog>,
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
        let alerts = match settings.alerts {
            AlertFile::Written => Some(AlertLog::open(disk.clone(), &dir.join(alerts::FILE))?),
            AlertFile::Off => None,
        };
        let checkpoint = checkpoint::load(&disk, &dir).unwrap_or(None);
        let history = History::open(disk.clone(), &dir, settings.max_checkpoint_history)?;
        let reports = Reports::open(disk.clone(), &dir, settings.max_report_dir_bytes)?;
        Ok(Self { dir, disk, settings, checkpoint, history, alerts, reports })
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
        applied.faults.extend(checkpoint::store(&self.disk, &self.dir, &checkpoint).err());
        applied.faults.extend(self.history.push(&checkpoint).err());
        self.checkpoint = Some(checkpoint);
        applied.faults.extend(self.tell(cycle).err());
        applied.faults.extend(self.reports.prune(report_dir.as_deref()).err());
        applied
    }

    /// Writes what was held back; called when there is nothing else to do.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn flush(&mut self) -> Result<(), ViewError> {
        self.history.flush()
    }

    fn tell(&mut self, cycle: &CycleDecided) -> Result<(), ViewError> {
        match (&mut self.alerts, &cycle.alert) {
            (Some(log), Some(alert)) => log.append(alert).map(|_| ()),
            (None, _) | (_, None) => Ok(()),
        }
    }

    fn last_report_dir(&self) -> Option<PathBuf> {
        self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.last_report_dir.clone()).map(PathBuf::from)
    }

    /// Brings checkpoint, history and alerts to what the newest records say, oldest first; give it at least
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
        for sealed in records {
            if let Body::CycleDecided(cycle) = &sealed.record.body
                && let (Some(log), Some(alert)) = (&mut self.alerts, &cycle.alert)
                && log.append(alert)?
            {
                did.push(format!("{} lacked alert {}: added", alerts::FILE, alert.key));
            }
        }
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
