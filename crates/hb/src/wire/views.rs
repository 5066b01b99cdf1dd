//! The views of a node: files and reports per watch, and one database for all.
//!
//! **Invariants.** Nothing here is the truth. A view that cannot be written stays as it was, is told, and is caught up from the
//! journal as soon as it can be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hb_api::report::{ReportInput, Trend, render};
use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::node::view::{Role, View};
use hb_core::watch::baseline::Baseline;
use hb_core::watch::decide::Carry;
use hb_core::watch::decision::Status;
use hb_core::watch::summary::SeriesTable;
use hb_daemon::{ViewFault, Views};
use hb_store::baselines::Baselines;
use hb_store::port::{Journal, JournalError};
use hb_store::reader::{Follower, Look, look_back};
use hb_store::views::runs::{self, DbSettings, RunsDb};
use hb_store::views::{FileViews, Rendered, ViewError, ViewSettings};

use super::fleet::Journals;
use super::stores;
use crate::config::Config;
use crate::config::checked::{Reports, WatchConfig};

/// How long a database that was taken away is waited for before it is made anew.
const DB_MISSING_GRACE: Duration = Duration::from_secs(30);
/// From this size of a record on, in bytes, views that look sound are not rebuilt from all records that they show.
const LARGE: usize = 1 << 20;

/// What is caught up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// What came after the checkpoint.
    New,
    /// Everything that the views show.
    All,
}

#[derive(Debug)]
struct Shown {
    dir: PathBuf,
    settings: ViewSettings,
    reports: Reports,
    files: Option<FileViews>,
    trend: Trend,
    /// Everything up to the checkpoint is known to be shown: it has been rebuilt, and nothing has failed since.
    whole: bool,
}

/// See the module.
pub(super) struct NodeViews {
    baselines: Baselines,
    /// Says where the journal stands.
    config: Config,
    journal: Option<Box<dyn Journal>>,
    /// Of a fleet: those that its watches share.
    journals: Option<Arc<Journals>>,
    db: Arc<SharedDb>,
    /// Why the newest records are not in the database, while they are not: a lock of somebody else shows only in writing.
    db_behind: Option<String>,
    watches: BTreeMap<WatchName, Shown>,
    role: Role,
}

/// The database of runs, one connection for all that write to it in this process.
#[derive(Debug)]
pub(super) struct SharedDb {
    path: PathBuf,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    db: Option<RunsDb>,
    missing: Option<Instant>,
}

impl SharedDb {
    pub(super) fn of(config: &Config) -> Arc<Self> {
        Arc::new(Self { path: config.db_path.clone(), open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works with the database, opened anew when it could not be used before.
    fn with<T>(&self, work: impl FnOnce(&mut RunsDb) -> Result<T, ViewError>) -> Result<T, ViewFault> {
        let mut open = self.open();
        let db = match &mut open.db {
            Some(db) => db,
            none => none.insert(RunsDb::open(&self.path, DbSettings::default()).map_err(told)?),
        };
        work(db).map_err(told)
    }

    /// Opens it anew the next time: the file may have been put back.
    fn close(&self) {
        self.open().db = None;
    }

    fn is_open(&self) -> bool {
        self.open().db.is_some()
    }

    /// Whether it can be used, and whether it has been taken away for so long that it is to be made anew.
    fn check(&self) -> (Result<(), String>, Missing) {
        let mut open = self.open();
        let state = match &open.db {
            Some(db) => db.check(),
            None => runs::check(&self.path),
        };
        let gone = self.path.try_exists().is_ok_and(|there| !there);
        open.missing = if gone { open.missing.or_else(|| Some(Instant::now())) } else { None };
        let long = open.missing.is_some_and(|since| since.elapsed() > DB_MISSING_GRACE);
        (state.map_err(|error| error.what), if long { Missing::Long } else { Missing::No })
    }
}

/// Whether the database has been taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It is there, or was a moment ago.
    No,
    /// It is not put back.
    Long,
}

impl NodeViews {
    pub(super) fn open(config: &Config, baselines: Baselines) -> Self {
        Self {
            baselines,
            config: config.clone(),
            journal: None,
            journals: None,
            db: SharedDb::of(config),
            db_behind: None,
            watches: config.watches.iter().map(|watch| (watch.settings.name.clone(), shown(watch))).collect(),
            role: Role::Standby,
        }
    }

    /// The same beside others of a fleet, which write to the same database and share journals.
    pub(super) fn beside(self, db: Arc<SharedDb>, journals: Arc<Journals>) -> Self {
        Self { db, journals: Some(journals), ..self }
    }

    fn another(&self) -> Result<Box<dyn Journal>, ViewFault> {
        let opened = match &self.journals {
            Some(journals) => journals.one(),
            None => stores::journal(&self.config),
        };
        opened.map_err(|failure| fault("journal", failure.what))
    }

    fn journal(&mut self) -> Result<&mut dyn Journal, ViewFault> {
        if self.journal.is_none() {
            self.journal = Some(self.another()?);
        }
        match &mut self.journal {
            Some(journal) => Ok(&mut **journal),
            None => Err(fault("journal", "the journal could not be opened".into())),
        }
    }

    /// The decided cycles from a record on, each shown if it has not been yet, and given without what views do not show: of many series it would be too much
    /// to hold for all of them at once.
    fn newest(&mut self, watch: &WatchName, from: Seq) -> Result<Vec<Sealed>, ViewFault> {
        let unreadable = |error: JournalError| fault("journal", error.to_string());
        let mut follower = Follower::new(StreamName::watch(watch), from);
        let mut newest = Vec::new();
        loop {
            let records = follower.poll(self.journal()?).map_err(unreadable)?;
            if records.is_empty() {
                return Ok(newest);
            }
            for mut sealed in records {
                self.make_up(watch, &sealed);
                let Body::CycleDecided(decided) = &mut sealed.record.body else { continue };
                let decided = Arc::make_mut(decided);
                decided.decision.series = SeriesTable::default();
                decided.carry = Carry::default();
                sealed.bytes = Vec::new();
                newest.push(sealed);
            }
        }
    }

    /// Shows a cycle whose holder ended before it was shown: its alert may name a report that is not there yet.
    fn make_up(&mut self, watch: &WatchName, sealed: &Sealed) {
        let Body::CycleDecided(decided) = &sealed.record.body else { return };
        let Some(shown) = self.watches.get_mut(watch) else { return };
        let newest = shown.files().ok().and_then(|files| files.checkpoint().map(|checkpoint| checkpoint.seq));
        // Without a sound checkpoint nothing tells what had been shown: it is rebuilt, reports stay as they are.
        if newest.is_none_or(|newest| newest >= sealed.record.seq) {
            shown.trend.push(decided);
            return;
        }
        let against = decided.decision.baseline.as_ref();
        let baseline = against.and_then(|reference| self.baselines.get(reference.hash).ok());
        for fault in shown.show(sealed, decided, baseline.as_deref()) {
            tracing::warn!("view {}: {}", fault.view, fault.what);
        }
    }

    /// The record from which on views are to be caught up, and whether that is only what is new.
    fn behind(&mut self, watch: &WatchName) -> Result<Option<(Seq, Reach)>, ViewFault> {
        let unreadable = |error: JournalError| fault("journal", error.to_string());
        let stream = StreamName::watch(watch);
        let journal = self.journal()?;
        let Some(head) = journal.head(&stream).map_err(unreadable)? else { return Ok(None) };
        let floor = journal.floor(&stream).map_err(unreadable)?;
        let large = journal.read(&stream, head, 1).map_err(unreadable)?.iter().any(|(_, bytes)| bytes.len() > LARGE);
        let Some(shown) = self.watches.get_mut(watch) else { return Ok(None) };
        let checkpoint = shown.files().ok().and_then(|files| files.checkpoint().map(|checkpoint| checkpoint.seq));
        if let Some(seq) = checkpoint.filter(|seq| *seq <= head && (shown.whole || large)) {
            return Ok(Some((seq.next(), Reach::New)));
        }
        let wanted = shown.settings.max_checkpoint_history.saturating_add(1);
        let from = self.cycles_back(&stream, wanted)?.unwrap_or(floor);
        Ok(Some((floor.max(from), Reach::All)))
    }

    /// The record of the cycle that was decided so many before the newest; records of other kinds may lie between without end.
    fn cycles_back(&mut self, stream: &StreamName, wanted: usize) -> Result<Option<Seq>, ViewFault> {
        let (mut found, mut cycles) = (None, 0_usize);
        let looked = look_back(self.journal()?, stream, |sealed: &Sealed| {
            if let Body::CycleDecided(_) = sealed.record.body {
                (found, cycles) = (Some(sealed.record.seq), cycles.saturating_add(1));
            }
            if cycles >= wanted { Look::Enough } else { Look::Further }
        });
        looked.map_err(|error| fault("journal", error.to_string()))?;
        Ok(found)
    }

    fn rebuild(&mut self, watch: &WatchName) -> Result<(), ViewFault> {
        let Some((from, reach)) = self.behind(watch)? else { return Ok(()) };
        let records = self.newest(watch, from)?;
        let Some(shown) = self.watches.get_mut(watch) else { return Ok(()) };
        if reach == Reach::All {
            for did in shown.files()?.rebuild(&records).map_err(told)? {
                tracing::info!("watch {watch}: {did}");
            }
            shown.whole = true;
        }
        Ok(())
    }

    fn db_catch_up(&mut self, watch: &WatchName) -> Result<(), ViewFault> {
        let done = self.db_take_missing(watch);
        self.db_behind = done.as_ref().err().map(|fault| fault.what.clone());
        done
    }

    fn db_take_missing(&mut self, watch: &WatchName) -> Result<(), ViewFault> {
        let stream = StreamName::watch(watch);
        let mut journal = self.another()?;
        let done = self.db.with(|db| db.catch_up(&mut *journal, &stream))?;
        if done.lost > 0 {
            tracing::warn!("watch {watch}: {} records had left the journal before the database took them", done.lost);
        }
        Ok(())
    }

    fn db_apply(&mut self, watch: &WatchName, records: &[&Sealed]) -> Result<(), ViewFault> {
        if self.db.is_open() && self.db.with(|db| db.apply_all(records)).is_ok() {
            return Ok(());
        }
        let caught_up = self.db_catch_up(watch);
        if caught_up.is_err() {
            // The next record opens it anew: the file may have been put back.
            self.db.close();
        }
        caught_up
    }

    /// Whether the database can be used; one that was taken away is made anew after a while.
    fn check_db(&mut self) -> Result<(), String> {
        let (state, missing) = self.db.check();
        if self.role == Role::Active && missing == Missing::Long {
            tracing::warn!("{} has been taken away: it is made anew from the journal", self.db.path.display());
            self.db.close();
            self.db_catch_up_all()?;
        }
        state?;
        if self.role == Role::Active && self.db_behind.is_some() {
            self.db_catch_up_all()?;
        }
        Ok(())
    }

    fn db_catch_up_all(&mut self) -> Result<(), String> {
        let names: Vec<WatchName> = self.watches.keys().cloned().collect();
        names.iter().try_for_each(|watch| self.db_catch_up(watch)).map_err(|fault| fault.what)
    }
}

impl Shown {
    fn files(&mut self) -> Result<&mut FileViews, ViewFault> {
        if self.files.is_none() {
            self.files = Some(FileViews::open(&self.dir, self.settings).map_err(told)?);
        }
        self.files.as_mut().ok_or_else(|| fault("checkpoint", "the views could not be opened".into()))
    }

    fn wants_report(&self, decided: &CycleDecided) -> bool {
        match self.reports {
            Reports::Every => true,
            Reports::Changes => decided.alert.is_some(),
            Reports::Failures => decided.decision.status == Status::Fail,
            Reports::None => false,
        }
    }

    fn show(&mut self, sealed: &Sealed, decided: &CycleDecided, baseline: Option<&Baseline>) -> Vec<ViewFault> {
        let mut faults = self.note(sealed, decided, baseline);
        faults.extend(self.settle());
        faults
    }

    /// Shows a cycle but for checkpoint and history, which wait for [`Self::settle`]; not with a report, though: where it stands
    /// is told at once.
    fn note(&mut self, sealed: &Sealed, decided: &CycleDecided, baseline: Option<&Baseline>) -> Vec<ViewFault> {
        self.trend.push(decided);
        let wanted = self.wants_report(decided);
        let report = ReportInput::new(sealed, baseline, &self.trend).filter(|_| wanted).map(|input| {
            let rendered = render(&input);
            Rendered { html: rendered.html, json: rendered.json }
        });
        let faults: Vec<ViewFault> = match self.files() {
            Ok(files) if report.is_some() => files.apply(sealed, report).faults.into_iter().map(told).collect(),
            Ok(files) => files.note(sealed, None).faults.into_iter().map(told).collect(),
            Err(fault) => vec![fault],
        };
        self.whole &= faults.is_empty();
        faults
    }

    fn settle(&mut self) -> Vec<ViewFault> {
        // What cannot be opened has been told with the record.
        let Some(files) = &mut self.files else { return Vec::new() };
        let faults: Vec<ViewFault> = files.settle().into_iter().map(told).collect();
        self.whole &= faults.is_empty();
        faults
    }
}

impl Views for NodeViews {
    fn catch_up(&mut self, watch: &WatchName) -> Vec<ViewFault> {
        let files = self.rebuild(watch).err();
        let db = self.db_catch_up(watch).err();
        files.into_iter().chain(db).collect()
    }

    fn show(&mut self, watch: &WatchName, sealed: &Sealed, baseline: Option<&Baseline>) -> Vec<ViewFault> {
        self.show_all(watch, &[(sealed, baseline)])
    }

    fn show_all(&mut self, watch: &WatchName, records: &[(&Sealed, Option<&Baseline>)]) -> Vec<ViewFault> {
        let mut faults = Vec::new();
        if let Some(shown) = self.watches.get_mut(watch) {
            let mut noted = false;
            for (sealed, baseline) in records {
                if let Body::CycleDecided(decided) = &sealed.record.body {
                    faults.extend(shown.note(sealed, decided, *baseline));
                    noted = true;
                }
            }
            if noted {
                faults.extend(shown.settle());
            }
        }
        let sealed: Vec<&Sealed> = records.iter().map(|(sealed, _)| *sealed).collect();
        faults.extend(self.db_apply(watch, &sealed).err());
        faults
    }

    fn node(&mut self, view: &View) {
        if view.role == Role::Standby && self.role != Role::Standby {
            // Another node writes them from now on: when this one works again it begins with what stands there then.
            for shown in self.watches.values_mut() {
                (shown.files, shown.whole) = (None, false);
            }
        }
        self.role = view.role;
    }

    fn check(&mut self) -> Vec<(String, Result<(), String>)> {
        let mut checks = vec![("db".to_owned(), self.check_db())];
        let mut folder = Ok(());
        for shown in self.watches.values_mut() {
            // A checkpoint that is not there yet, or damaged, is the active node's to write.
            let state = if self.role == Role::Active {
                shown.files().and_then(|files| files.check().map_err(told))
            } else {
                probe(&shown.dir)
            };
            if let Err(fault) = state {
                folder = Err(fault.what);
            }
        }
        checks.push(("output_dir".to_owned(), folder));
        for shown in self.watches.values_mut().filter(|_| self.role == Role::Active) {
            if let Some(files) = &mut shown.files
                && let Err(error) = files.flush()
            {
                tracing::warn!("view {}: {}", error.view, error.what);
            }
        }
        checks
    }
}

/// Whether a folder can be written to.
fn probe(dir: &std::path::Path) -> Result<(), ViewFault> {
    let disk = hb_store::atomic::Disk::new();
    disk.create_dirs(dir).and_then(|()| disk.probe(dir)).map_err(|error| fault("output_dir", error.to_string()))
}

fn shown(watch: &WatchConfig) -> Shown {
    Shown {
        dir: watch.view_dir.clone(),
        settings: ViewSettings {
            max_checkpoint_history: watch.max_checkpoint_history,
            max_report_dir_bytes: watch.report_bytes_max.unwrap_or(u64::MAX),
        },
        reports: watch.reports,
        files: None,
        trend: Trend::default(),
        whole: false,
    }
}

fn fault(view: &str, what: String) -> ViewFault {
    ViewFault { view: view.into(), what }
}

fn told(error: ViewError) -> ViewFault {
    fault(error.view, error.what)
}
