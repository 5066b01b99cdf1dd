//! One copying from beginning to end: who may not be active meanwhile, which streams, the note, the views.
//!
//! **Invariants.** Whoever writes into a folder has its lock, so that no node works there meanwhile. Histories that have parted are
//! found before anything is written.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hb_core::ids::{Epoch, NodeName, StreamName};
use hb_core::node::view::Role;
use hb_core::time::Stamp;
use hb_daemon::{Views as _, clock};
use hb_store::lease::file::FileLease;
use hb_store::port::{Holder, Lease as _, Waited};
use hb_store::sync::{
    Copied, NOTE_FORMAT, Note, Progress, Side, SyncError, Written, copy, copy_beside, of_watch, relate,
};

use super::rebase;
use super::target::{Target, own};
use crate::config::Config;
use crate::config::checked::{Place, WatchConfig};
use crate::nodes;
use crate::wire::views::NodeViews;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this configuration to the target.
    To,
    /// From the target to this configuration.
    From,
}

/// What becomes of records that the other side does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebase {
    /// They stay, and nothing is copied.
    No,
    /// They are set aside, where the other side has the higher epoch or neither has.
    Yes,
}

/// What is to be copied.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Of which configuration.
    pub config: &'a Config,
    /// Where to, or from.
    pub target: &'a Target,
    /// Which of the two.
    pub direction: Direction,
    /// Of which watches.
    pub watches: &'a [&'a WatchConfig],
    /// What becomes of records that the other side does not have.
    pub rebase: Rebase,
}

/// What it came to.
#[derive(Debug, Clone)]
pub struct Synced {
    /// Where from.
    pub source: String,
    /// Where to.
    pub target: String,
    /// By stream.
    pub streams: Vec<Copied>,
    /// What was set aside, and where it is now.
    pub aside: Vec<String>,
    /// Views of the copy that could not be brought up; a start of hb on it tries again.
    pub faults: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Copies.
///
/// # Errors
/// [`SyncError`]; what was copied before stands.
pub fn sync(job: &Job<'_>, tell: &mut dyn FnMut(&Progress<'_>)) -> Result<Synced, SyncError> {
    let mut ends = Ends::open(job)?;
    let written = written(job);
    let mut guard = written.as_deref().map(|dir| Guard::new(dir, job.config)).transpose()?;
    ends.run(job, guard.as_mut(), tell)
}

/// The two sides of a job, kept open from one run to the next.
pub(super) struct Ends {
    pub(super) source: Box<dyn Side>,
    pub(super) target: Box<dyn Side>,
    aside: String,
    /// The views of the copy, once they have been brought up without a fault.
    views: Option<NodeViews>,
}

/// What is to be done about streams.
struct Plan {
    streams: Vec<StreamName>,
    /// Those of them whose history at the target is set aside for the other one.
    parted: Vec<StreamName>,
}

/// Called after each page: the lock is kept, and somebody told.
struct Pace<'a> {
    guard: Option<&'a mut Guard>,
    tell: &'a mut dyn FnMut(&Progress<'_>),
}

/// The folder that is written to, where it is one.
pub(super) fn written(job: &Job<'_>) -> Option<PathBuf> {
    match job.direction {
        Direction::To => job.target.folder().map(Path::to_path_buf),
        // Its notes and views, though the journal may stand elsewhere.
        Direction::From => Some(job.config.output_dir.clone()),
    }
}

impl Ends {
    pub(super) fn open(job: &Job<'_>) -> Result<Self, SyncError> {
        if job.target.folder().is_some_and(|folder| same_folder(folder, &job.config.output_dir)) {
            let what = format!("{} is the `output_dir` itself: a copy stands elsewhere", job.target);
            return Err(SyncError::Refused(what));
        }
        let aside = rebase::folder_name(clock::wall());
        let own: Box<dyn Side> = Box::new(own(job.config, &aside)?);
        let other = job.target.open(job.config, &aside)?;
        Ok(match job.direction {
            Direction::To => Self { source: own, target: other, aside, views: None },
            Direction::From => Self { source: other, target: own, aside, views: None },
        })
    }

    /// The streams of the job's watches, those first that others name.
    pub(super) fn streams(&mut self, watches: &[&WatchConfig]) -> Result<Vec<StreamName>, SyncError> {
        let listed = self.source.streams()?;
        let of = |watch: &&WatchConfig| of_watch(&watch.settings.name, &watch.settings.baseline_tag, listed.as_deref());
        Ok(watches.iter().flat_map(of).collect())
    }

    /// One run. With a guard nothing is written before it is held.
    pub(super) fn run(
        &mut self,
        job: &Job<'_>,
        guard: Option<&mut Guard>,
        tell: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Synced, SyncError> {
        let plan = self.plan(job)?;
        let mut pace = Pace { guard, tell };
        if let Some(guard) = &mut pace.guard {
            guard.hold(self.reign(job.config)?)?;
        }
        let done = self.carry_out(job, &plan, &mut pace);
        if let Some(guard) = &mut pace.guard {
            guard.release();
        }
        done
    }

    /// Compares all streams before any is written.
    fn plan(&mut self, job: &Job<'_>) -> Result<Plan, SyncError> {
        let mut plan = Plan { streams: self.streams(job.watches)?, parted: Vec::new() };
        for stream in &plan.streams {
            match relate(&mut *self.source, &mut *self.target, stream) {
                Ok(_) => {}
                Err(error @ (SyncError::Diverged(_) | SyncError::Ahead(_))) if job.rebase == Rebase::Yes => {
                    rebase::may_be(&error)?;
                    plan.parted.push(stream.clone());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(plan)
    }

    /// The largest epoch of what stands where it is copied to.
    fn reign(&mut self, config: &Config) -> Result<Epoch, SyncError> {
        let mut reign = Epoch(0);
        for watch in &config.watches {
            let standing = self.target.standing(&StreamName::watch(&watch.settings.name))?;
            reign = reign.max(standing.head.map_or(Epoch(0), |head| head.epoch));
        }
        Ok(reign)
    }

    fn carry_out(&mut self, job: &Job<'_>, plan: &Plan, pace: &mut Pace<'_>) -> Result<Synced, SyncError> {
        let began = Instant::now();
        let views = written(job).map(|dir| match job.direction {
            Direction::To => config_at(job.config, &dir),
            Direction::From => job.config.clone(),
        });
        let mut told = |progress: &Progress<'_>| {
            (pace.tell)(progress);
            pace.guard.as_mut().map_or(Ok(()), |guard| guard.renew())
        };
        // All that takes the place of something is there before anything makes room for it.
        let mut streams = Vec::new();
        for stream in &plan.streams {
            let bring = if plan.parted.contains(stream) { copy_beside } else { copy };
            streams.push(bring(&mut *self.source, &mut *self.target, stream, &mut told)?);
        }
        let mut aside = Vec::new();
        for stream in &plan.parted {
            aside.push(format!("{stream}: {}", self.target.swap(stream)?));
        }
        if let Some(there) = views.as_ref().filter(|_| !plan.parted.is_empty()) {
            aside.extend(rebase::views_aside(there, &self.aside, job.watches, &plan.parted)?);
        }
        let heads = streams.iter().filter_map(|one| Some((one.stream.clone(), one.head.clone()?))).collect();
        self.leave(job.config, heads)?;
        // Where nothing has come they show all of it already.
        let new = self.views.is_none() || streams.iter().any(|copied| copied.records > 0);
        let faults = views.filter(|_| new).map(|there| self.bring_up(&there, job.watches)).unwrap_or_default();
        let (source, target) = (self.source.name().to_owned(), self.target.name().to_owned());
        Ok(Synced { source, target, streams, aside, faults, took: began.elapsed() })
    }

    /// Brings checkpoint, history and database of a copy up to its journal. What cannot be written is told: it is no part of the
    /// copy, and tried again at the next run.
    fn bring_up(&mut self, config: &Config, watches: &[&WatchConfig]) -> Vec<String> {
        let mut views = match self.views.take() {
            Some(views) => views,
            None => match crate::wire::stores::baselines(config) {
                Ok(baselines) => NodeViews::open(config, baselines),
                Err(failure) => return vec![failure.what],
            },
        };
        let faults = watches.iter().flat_map(|watch| views.catch_up(&watch.settings.name));
        let faults: Vec<String> = faults.map(|fault| format!("view {}: {}", fault.view, fault.what)).collect();
        self.views = faults.is_empty().then_some(views);
        faults
    }

    fn leave(
        &mut self,
        config: &Config,
        heads: std::collections::BTreeMap<StreamName, Written>,
    ) -> Result<(), SyncError> {
        // What was copied before and is not of this run is still so.
        let mut all = self.target.note()?.map(|note| note.heads).unwrap_or_default();
        all.extend(heads);
        let note = Note {
            format: NOTE_FORMAT,
            source: self.source.name().to_owned(),
            by: config.node.clone(),
            at: clock::wall(),
            heads: all,
        };
        self.target.leave(&note)
    }
}

fn same_folder(a: &Path, b: &Path) -> bool {
    let whole = |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    match (whole(a), whole(b)) {
        (Ok(a), Ok(b)) => a == b,
        (Err(_), _) | (_, Err(_)) => a == b,
    }
}

/// The same configuration with everything that it keeps in that folder.
pub(super) fn config_at(config: &Config, dir: &Path) -> Config {
    let moved = |path: &Path| match path.strip_prefix(&config.output_dir) {
        Ok(rest) => dir.join(rest),
        Err(_) => dir.join(path.file_name().unwrap_or_else(|| std::ffi::OsStr::new("runs.db"))),
    };
    let mut there = config.clone();
    for watch in &mut there.watches {
        // Of a flat configuration the folder itself.
        watch.view_dir = if watch.view_dir == config.output_dir { dir.to_path_buf() } else { moved(&watch.view_dir) };
    }
    Config { db_path: moved(&config.db_path), output_dir: dir.to_path_buf(), journal: Place::Folder, ..there }
}

/// Keeps nodes from working in a folder while it is written to.
pub(super) struct Guard {
    dir: PathBuf,
    lease: FileLease,
    me: Holder,
    ttl: Duration,
    renewed: Instant,
}

impl Guard {
    /// For a folder; nothing is held yet.
    pub(super) fn new(dir: &Path, config: &Config) -> Result<Self, SyncError> {
        let node = NodeName::from(format!("{}-sync", config.node));
        let ttl = config.lease.ttl;
        let lease = FileLease::open(dir, &node, ttl).map_err(|error| SyncError::Unwritable(error.to_string()))?;
        let me = Holder { node, pid: std::process::id(), epoch: Epoch(0), progress: 0 };
        Ok(Self { dir: dir.to_path_buf(), lease, me, ttl, renewed: Instant::now() })
    }

    /// Takes the lock at once, or says who is active there. `reign` is the largest epoch of what stands there.
    fn hold(&mut self, reign: Epoch) -> Result<(), SyncError> {
        let active = |who: String| {
            SyncError::Refused(format!(
                "{}: {who} is active there; stop it before its records are written by others",
                self.dir.display()
            ))
        };
        // A node whose lease is elsewhere does not hold the lock.
        let roster = nodes::look_in(&self.dir).map_err(|failure| SyncError::Unavailable(failure.what))?;
        if let Some(card) = nodes::here(&roster).find(|card| card.account.role == Role::Active) {
            return Err(active(format!("node {} (process {})", card.node, card.process.pid)));
        }
        if nodes::has_tenants(&self.dir) {
            return Err(active("a node whose lease is elsewhere".into()));
        }
        match self.lease.acquire(Duration::ZERO) {
            Ok(Waited::Granted { .. }) => {
                // It shows no reign of its own: that of whoever worked here last stays the newest.
                self.me.epoch = self.me.epoch.max(reign);
                self.show()
            }
            Ok(Waited::Held) => {
                let holder = self.lease.holder().ok().flatten();
                Err(active(
                    holder.map_or_else(|| "a node".into(), |one| format!("node {} (process {})", one.node, one.pid)),
                ))
            }
            Err(error) => Err(SyncError::Unavailable(format!("{}: {error}", self.dir.display()))),
        }
    }

    fn show(&mut self) -> Result<(), SyncError> {
        self.me.progress = self.me.progress.saturating_add(1);
        self.renewed = Instant::now();
        self.lease
            .renew(&self.me)
            .map_err(|error| SyncError::Refused(format!("{}: the lock was lost: {error}", self.dir.display())))
    }

    fn renew(&mut self) -> Result<(), SyncError> {
        if self.renewed.elapsed() > self.ttl / 4 { self.show() } else { Ok(()) }
    }

    fn release(&mut self) {
        if let Err(error) = self.lease.release() {
            tracing::warn!("{}: the lock could not be given back: {error}", self.dir.display());
        }
    }
}

/// The cycles that lie between the end of a copy and a moment, where cycles have that length.
pub(super) fn cycles_between(end: Stamp, now: Stamp, interval_ns: i64) -> i64 {
    now.0.saturating_sub(end.0).max(0).checked_div(interval_ns).unwrap_or(0)
}
