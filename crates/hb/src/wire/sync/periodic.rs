//! The copy that an active node makes of itself every so often.
//!
//! **Invariants.** It never holds up the work: a thread of its own reads the journal as any reader does. Failures are counted, told
//! once per reason, and tried again with a bounded back-off. A copy that has gone on by itself with an epoch that is not the lower one has
//! replaced this node: it stops, as a node that is fenced does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use hb_api::{Check, Copying};
use hb_core::ids::{Seq, StreamName};
use hb_core::node::view::{Role, View};
use hb_core::supervise::input::OnStop;
use hb_daemon::clock;
use hb_daemon::shared::Shared;
use hb_store::sync::SyncError;

use super::run::{Direction, Ends, Guard, Job, Rebase, Synced, written};
use super::{failure, start};
use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::{SyncConfig, WatchConfig};
use crate::exit::Exit;
use crate::wire::halves::Handles;

/// How soon a copy that failed is tried again at first.
const RETRY: Duration = Duration::from_secs(5);
/// The longest back-off, where copies are made more often than that.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether this node has become active.
const LOOK: Duration = Duration::from_secs(1);
/// Beside three times its distance: how long a copy may not be complete before readiness says so.
const GRACE: Duration = Duration::from_secs(60);

/// What others see of it.
#[derive(Debug)]
pub(in crate::wire) struct State {
    every: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    copying: Copying,
    /// When the copy was last complete, or this began.
    since: Instant,
    /// Newest record of each stream that the copy is known to have.
    heads: BTreeMap<StreamName, Seq>,
    /// The copy has gone on by itself: what was told.
    replaced: Option<Failure>,
    /// Whether this node has had anything to copy yet.
    active: bool,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands, beside what this node has decided.
    pub(in crate::wire) fn copying(&self, view: &View) -> Copying {
        let inner = self.lock();
        let lag = |watch: &hb_core::node::view::WatchView| {
            let next = |seq: Seq| seq.0.saturating_add(1);
            let copied = inner.heads.get(&StreamName::watch(&watch.name)).copied().map_or(0, next);
            watch.seq.map_or(0, |seq| next(seq).saturating_sub(copied))
        };
        let known = inner.copying.last_success.is_some();
        let behind = view.watches.iter().map(lag).fold(0, u64::saturating_add);
        let lag_seconds = if inner.active { inner.since.elapsed().as_secs_f64() } else { 0.0 };
        Copying { lag_seconds, lag_records: known.then_some(behind), ..inner.copying.clone() }
    }

    /// For readiness: the copy is not far behind.
    pub(in crate::wire) fn check(&self) -> Check {
        let inner = self.lock();
        let bound = self.every.saturating_mul(3).saturating_add(GRACE);
        if !inner.active || inner.since.elapsed() <= bound {
            return Check::passed("sync");
        }
        let seconds = inner.since.elapsed().as_secs();
        let why = inner.copying.error.as_deref().unwrap_or("a copying is under way");
        Check::failed(
            "sync",
            format!("the copy in {} has not been complete for {seconds} s: {why}", inner.copying.target),
        )
    }

    /// Why this node has been replaced by its copy, if it has.
    pub(in crate::wire) fn replaced(&self) -> Option<Failure> {
        self.lock().replaced.clone()
    }

    fn done(&self, synced: &Synced, began: Instant) {
        let mut inner = self.lock();
        if inner.copying.error.take().is_some() {
            tracing::info!("the copy in {} is complete again", inner.copying.target);
        }
        for copied in &synced.streams {
            inner.copying.records = inner.copying.records.saturating_add(copied.records);
            if let Some(head) = &copied.head {
                inner.heads.insert(copied.stream.clone(), head.seq);
            }
            for hash in &copied.documents_missing {
                tracing::warn!("{}: the baseline document {hash} is missing here and in the copy", copied.stream);
            }
        }
        for fault in &synced.faults {
            tracing::warn!("the copy in {}: {fault}", inner.copying.target);
        }
        inner.copying.successes = inner.copying.successes.saturating_add(1);
        inner.copying.last_success = Some(clock::wall());
        inner.since = began;
    }

    fn failed(&self, error: &SyncError) {
        let mut inner = self.lock();
        inner.copying.failures = inner.copying.failures.saturating_add(1);
        let what = error.to_string();
        if inner.copying.error.as_ref() != Some(&what) {
            tracing::warn!("the copy in {} could not be brought up: {what}", inner.copying.target);
            inner.copying.error = Some(what);
        }
    }
}

/// The thread that copies.
#[derive(Debug)]
pub(in crate::wire) struct Copier {
    state: Arc<State>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Copier {
    /// Starts it, where the configuration wants copies of what this node decides.
    pub(in crate::wire) fn start(config: &Config, handles: &Handles) -> Result<Option<Self>, Failure> {
        let (Some(sync), Some((_, shared))) = (config.sync.clone(), &handles.watch) else { return Ok(None) };
        let copying = Copying { target: sync.to.to_string(), ..Copying::default() };
        let (since, heads) = (Instant::now(), BTreeMap::new());
        let inner = Inner { copying, since, heads, replaced: None, active: false };
        let state = Arc::new(State { every: sync.every, inner: Mutex::new(inner) });
        let (stop, stopped) = bounded(1);
        let work = Work {
            config: config.clone(),
            sync,
            shared: Arc::clone(shared),
            handles: handles.clone(),
            state: Arc::clone(&state),
            stopped,
            open: None,
        };
        let thread = std::thread::Builder::new().name("copy".into()).spawn(move || work.run());
        let thread =
            thread.map_err(|error| Failure::new(Exit::Error, format!("a thread could not be started: {error}")))?;
        Ok(Some(Self { state, stop, thread }))
    }

    pub(in crate::wire) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Ends it, after a last copy of what the node has decided to its end. Gives why the node has been replaced, if it has.
    pub(in crate::wire) fn stop(self) -> Option<Failure> {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that copies ended in a panic: a fault of hb, please report it");
        }
        self.state.replaced()
    }
}

struct Work {
    config: Config,
    sync: SyncConfig,
    shared: Arc<Shared>,
    handles: Handles,
    state: Arc<State>,
    stopped: Receiver<()>,
    /// Kept from one copy to the next; opened anew after a failure.
    open: Option<(Ends, Option<Guard>)>,
}

impl Work {
    fn run(mut self) {
        let (mut wait, mut failures) = (Duration::ZERO, 0_u32);
        while self.stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            if self.shared.role() != Role::Active {
                wait = LOOK.min(self.sync.every);
                continue;
            }
            if self.once() {
                (wait, failures) = (self.sync.every, 0);
            } else {
                wait = back_off(self.sync.every, failures);
                failures = failures.saturating_add(1);
            }
            if self.state.replaced().is_some() {
                return;
            }
        }
        // What was decided to the end goes along; where copies fail nobody waits for another try.
        let (active, sound) = (self.state.lock().active, failures == 0);
        if active && sound {
            self.once();
        }
    }

    fn once(&mut self) -> bool {
        {
            let mut inner = self.state.lock();
            if !inner.active {
                inner.active = true;
                inner.since = Instant::now();
            }
        }
        let began = Instant::now();
        match self.copy() {
            Ok(synced) => {
                self.state.done(&synced, began);
                true
            }
            Err(error) => {
                self.open = None;
                self.state.failed(&error);
                if start::has_replaced_running(&error) {
                    let told = failure(error);
                    let told =
                        Failure { exit: Exit::Fenced, what: format!("replaced by its copy: {}", told.what), ..told };
                    tracing::error!("{}; {}", told.what, told.help);
                    self.state.lock().replaced = Some(told);
                    self.handles.stop(OnStop::Leave, "replaced by its copy, which has gone on");
                }
                false
            }
        }
    }

    fn copy(&mut self) -> Result<Synced, SyncError> {
        let view = self.shared.view();
        // Where nodes share watches out, each copies those that it works for.
        let mine = |watch: &&WatchConfig| view.holders.is_none() || view.works_for(&watch.settings.name);
        let watches: Vec<&WatchConfig> = self.config.watches.iter().filter(mine).collect();
        let job = Job {
            config: &self.config,
            target: &self.sync.to,
            direction: Direction::To,
            watches: &watches,
            rebase: Rebase::No,
        };
        if self.open.is_none() {
            let guard = written(&job).map(|dir| Guard::new(&dir, &self.config)).transpose()?;
            self.open = Some((Ends::open(&job)?, guard));
        }
        match &mut self.open {
            Some((ends, guard)) => ends.run(&job, guard.as_mut(), &mut |_| {}),
            None => Err(SyncError::Unavailable("the copy could not be opened".into())),
        }
    }
}

/// How long to wait after so many failures before this one.
fn back_off(every: Duration, failures: u32) -> Duration {
    let first = RETRY.min(every);
    first.saturating_mul(1_u32 << failures.min(16)).min(every.max(RETRY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_grows_up_to_its_bound() {
        let seconds = |every: u64, failures: u32| back_off(Duration::from_secs(every), failures).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 40].map(|failures| seconds(10, failures)), [5, 10, 20, 40, 60, 60]);
        assert_eq!([0, 1, 6, 7].map(|failures| seconds(1, failures)), [1, 2, 60, 60]);
        assert_eq!([0, 10, 40].map(|failures| seconds(3_600, failures)), [5, 3_600, 3_600]);
    }

    fn state(target: &str) -> State {
        let copying = Copying { target: target.into(), ..Copying::default() };
        let inner = Inner { copying, since: Instant::now(), heads: BTreeMap::new(), replaced: None, active: true };
        State { every: Duration::from_secs(1), inner: Mutex::new(inner) }
    }

    #[test]
    fn lag_is_what_the_copy_is_not_known_to_have() {
        let state = state("x");
        let mut view = View::default();
        assert_eq!(state.copying(&view).lag_records, None, "nothing is known of the copy yet");
        state.lock().copying.last_success = Some(clock::wall());
        assert_eq!(state.copying(&view).lag_records, Some(0));
        view.watches.push(watch("a", Some(Seq(7))));
        assert_eq!(state.copying(&view).lag_records, Some(8), "nothing of it is there");
        state.lock().heads.insert("watch/a".into(), Seq(5));
        assert_eq!(state.copying(&view).lag_records, Some(2));
    }

    fn watch(name: &str, seq: Option<Seq>) -> hb_core::node::view::WatchView {
        hb_core::node::view::WatchView {
            name: name.into(),
            cycle: None,
            status: None,
            last: None,
            seq,
            epoch: hb_core::ids::Epoch(1),
            lag_seconds: 0.0,
            source: hb_core::node::view::SourceView::Open,
            baseline: None,
            undelivered: 0,
            totals: hb_core::node::view::Totals::default(),
        }
    }

    #[test]
    fn readiness_fails_only_when_the_copy_has_been_behind_for_long() {
        let state = state("/mnt/copy");
        state.failed(&SyncError::Unavailable("nobody there".into()));
        assert!(state.check().ok, "it may still be in time");
        let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(64)) else { return };
        state.lock().since = long_ago;
        let check = state.check();
        assert!(!check.ok && check.what.contains("/mnt/copy") && check.what.contains("nobody there"), "{check:?}");
        assert_eq!(state.copying(&View::default()).failures, 1);
        state.lock().active = false;
        assert!(state.check().ok, "a standby has nothing to copy");
    }
}
