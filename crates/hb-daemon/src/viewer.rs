//! Keeps the views on a thread of its own, so that a slow disk, report or database delays no cycle.
//!
//! Bound (B1): [`SHOWING_MAX`] records of [`SHOWING_BYTES_MAX`] bytes in all wait. A serving node that reaches it leaves the rest
//! to a later catch-up from the journal, which is counted; for room for large records it waits a moment before, a fraction
//! of the time that its lease lasts. A node that only reads a recording to its end waits instead.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use hb_core::ids::WatchName;
use hb_core::node::fact::{Body, Sealed};
use hb_core::node::view::View;
use hb_core::watch::baseline::Baseline;
use hb_core::watch::decision::BaselineRef;

use crate::parts::{Mode, ViewFault, Views};
use crate::shared::Shared;

/// Most records waiting to be shown.
const SHOWING_MAX: usize = 64;
/// Most bytes of records waiting to be shown, beyond the one that is being shown.
const SHOWING_BYTES_MAX: usize = 16 << 20;
/// How often the views are checked.
const CHECK_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum Task {
    CatchUp(WatchName),
    Show(WatchName, Arc<Sealed>, Option<(Arc<Baseline>, BaselineRef)>),
    Node(Arc<View>),
}

/// The loop's handle on the views.
#[derive(Debug)]
pub(crate) struct Viewer {
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
    mode: Mode,
    /// Watches with records that found no room.
    behind: BTreeSet<WatchName>,
    waiting: Arc<Waiting>,
    /// How long room for a large record is waited for; none: until there is some.
    patience: Option<Duration>,
    shared: Arc<Shared>,
}

/// Bytes of records that wait.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Mutex<usize>,
    shown: Condvar,
}

impl Waiting {
    /// Takes room for a record, if there is any or nothing else waits; waits for it, at most for `patience` if that is given.
    fn take(&self, bytes: usize, patience: Option<Duration>) -> bool {
        let until = patience.map(|patience| Instant::now() + patience);
        let mut held = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *held > 0 && held.saturating_add(bytes) > SHOWING_BYTES_MAX {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            // Long enough to be as good as for ever, and short enough for every clock.
            let left = left.min(Duration::from_secs(3_600));
            held = self.shown.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *held = held.saturating_add(bytes);
        true
    }

    fn give(&self, bytes: usize) {
        let mut held = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_sub(bytes);
        self.shown.notify_all();
    }
}

impl Viewer {
    pub(crate) fn start(
        views: Box<dyn Views>,
        mode: Mode,
        lease_ttl: Duration,
        shared: &Arc<Shared>,
    ) -> std::io::Result<Self> {
        let patience = match mode {
            Mode::Serve => Some(lease_ttl / 4),
            Mode::Once => None,
        };
        let (tasks, inbox) = bounded(SHOWING_MAX);
        let waiting = Arc::new(Waiting::default());
        let worker = Worker { views, inbox, waiting: Arc::clone(&waiting), shared: Arc::clone(shared) };
        let thread = thread::Builder::new().name("views".into()).spawn(move || worker.run())?;
        let shared = Arc::clone(shared);
        Ok(Self { tasks: Some(tasks), thread: Some(thread), mode, behind: BTreeSet::new(), waiting, patience, shared })
    }

    fn send(&mut self, task: Task) -> bool {
        let Some(tasks) = &self.tasks else { return false };
        match self.mode {
            Mode::Once => tasks.send(task).is_ok(),
            Mode::Serve => match tasks.try_send(task) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            },
        }
    }

    pub(crate) fn catch_up(&mut self, watch: &WatchName) {
        if self.send(Task::CatchUp(watch.clone())) {
            self.behind.remove(watch);
        } else {
            self.behind.insert(watch.clone());
        }
    }

    pub(crate) fn show(
        &mut self,
        watch: &WatchName,
        sealed: Arc<Sealed>,
        baseline: Option<(Arc<Baseline>, BaselineRef)>,
    ) {
        if self.behind.contains(watch) {
            // The record is durable: catching up shows it too.
            self.catch_up(watch);
            return;
        }
        let bytes = sealed.bytes.len();
        let room = self.waiting.take(bytes, self.patience);
        if !room || !self.send(Task::Show(watch.clone(), sealed, baseline)) {
            if room {
                self.waiting.give(bytes);
            }
            self.behind.insert(watch.clone());
            self.shared.count(|stats| *stats.view_errors.entry("behind".into()).or_insert(0) += 1);
        }
    }

    pub(crate) fn node(&mut self, view: Arc<View>) {
        for watch in self.behind.clone() {
            self.catch_up(&watch);
        }
        // Onlookers get the next one.
        self.send(Task::Node(view));
    }

    /// Ends the thread once everything that waits is shown, at most within `patience`.
    pub(crate) fn quit(mut self, patience: Duration) {
        self.tasks = None;
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        if !thread.is_finished() {
            tracing::error!("the views could not be brought up to date in time; they are caught up at the next start");
        } else if thread.join().is_err() {
            tracing::error!("the thread of the views panicked; please report it");
        }
    }
}

struct Worker {
    views: Box<dyn Views>,
    inbox: Receiver<Task>,
    waiting: Arc<Waiting>,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(mut self) {
        let mut check_at = Instant::now();
        loop {
            let left = check_at.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(task) => self.work(task),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= check_at {
                for (name, state) in self.views.check() {
                    self.shared.check(&name, state);
                }
                check_at = Instant::now() + CHECK_EVERY;
            }
        }
    }

    fn work(&mut self, task: Task) {
        let faults = match task {
            Task::CatchUp(watch) => self.views.catch_up(&watch),
            Task::Show(watch, sealed, baseline) => {
                // A baseline that was adopted since is not the one that was decided against.
                let against = match &sealed.record.body {
                    Body::CycleDecided(decided) => decided.decision.baseline.clone(),
                    Body::EpochOpened { .. }
                    | Body::AlertDelivered(_)
                    | Body::BaselineAdopted(_)
                    | Body::BaselineEvent(_)
                    | Body::EpochClosed { .. } => None,
                };
                let baseline = baseline.filter(|(_, reference)| against.as_ref() == Some(reference));
                let faults = self.views.show(&watch, &sealed, baseline.as_ref().map(|(document, _)| &**document));
                self.waiting.give(sealed.bytes.len());
                faults
            }
            Task::Node(view) => {
                self.views.node(&view);
                return;
            }
        };
        for ViewFault { view, what } in faults {
            tracing::warn!("view {view}: {what}");
            self.shared.count(|stats| *stats.view_errors.entry(view.clone()).or_insert(0) += 1);
        }
    }
}
