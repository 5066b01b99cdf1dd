//! Keeps the views on a thread of its own, so that a slow disk, report or database delays no cycle.
//!
//! Showing takes at most one part in [`SHARE`] of the time where cycles come in quick succession, as they do from recordings: then
//! what comes within [`PAUSE_MAX`] is shown together. A cycle that makes an alert, a large one and the end wait for nothing.
//!
//! Bound (B1): [`SHOWING_MAX`] records of [`SHOWING_BYTES_MAX`] bytes in all wait. A serving node that reaches it leaves the rest
//! to a later catch-up from the journal, which is counted; for room for large records it waits a moment before, a fraction
//! of the time that its lease lasts. A node that only reads a recording to its end waits instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hb_core::ids::WatchName;
use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::node::view::View;
use hb_core::time::Moment;
use hb_core::watch::baseline::Baseline;
use hb_runtime::Monitor;
use hb_runtime::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use hb_runtime::thread::{self, Thread};

use crate::clock;
use crate::parts::{Mode, ViewFault, Views};
use crate::shared::Shared;

/// Most records waiting to be shown.
const SHOWING_MAX: usize = 64;
/// Most bytes of records waiting to be shown, beyond the one that is being shown.
const SHOWING_BYTES_MAX: usize = 16 << 20;
/// Most records shown together.
const GROUP_MAX: usize = 32;
/// Bytes of records from which on they are shown without waiting for more.
const GROUP_BYTES: usize = SHOWING_BYTES_MAX / 4;
/// Showing rests so many times as long as it took …
const SHARE: u32 = 20;
/// … but never longer than this.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// How often the views are checked.
const CHECK_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum Task {
    CatchUp(WatchName),
    Show(WatchName, Record),
    Node(Arc<View>),
    /// Everything before this is shown, and from now on the node is this; told when it is done.
    Rest(Arc<View>, Sender<()>),
}

/// A record to be shown.
#[derive(Debug)]
struct Record {
    sealed: Arc<Sealed>,
    /// In which of this node's spells of work it was written.
    spell: u64,
    /// The baseline that it was decided against.
    baseline: Option<Arc<Baseline>>,
}

impl Record {
    /// What it decides, if that is a cycle.
    fn decided(&self) -> Option<&CycleDecided> {
        match &self.sealed.record.body {
            Body::CycleDecided(decided) => Some(decided),
            Body::EpochOpened { .. }
            | Body::AlertDelivered(_)
            | Body::BaselineAdopted(_)
            | Body::BaselineEvent(_)
            | Body::EpochClosed { .. } => None,
        }
    }

    /// Whether somebody may be looking for it at once.
    fn urgent(&self) -> bool {
        self.decided().is_some_and(|decided| decided.alert.is_some())
    }
}

/// The loop's handle on the views.
#[derive(Debug)]
pub(crate) struct Viewer {
    tasks: Option<Sender<Task>>,
    thread: Option<Thread<()>>,
    mode: Mode,
    /// Watches with records that found no room.
    behind: BTreeSet<WatchName>,
    waiting: Arc<Waiting>,
    /// How long room for a large record is waited for; none: until there is some.
    patience: Option<Duration>,
    /// Records of earlier spells are not shown any more.
    spell: Arc<AtomicU64>,
    shared: Arc<Shared>,
}

/// Bytes of records that wait.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Monitor<usize>,
}

impl Waiting {
    /// Takes room for a record, if there is any or nothing else waits; waits for it, at most for `patience` if that is given.
    fn take(&self, bytes: usize, patience: Option<Duration>) -> bool {
        let until = patience.map(clock::after);
        let mut held = self.bytes.lock();
        while *held > 0 && held.saturating_add(bytes) > SHOWING_BYTES_MAX {
            let left = until.map_or(Duration::MAX, clock::until);
            if left.is_zero() {
                return false;
            }
            // Long enough to be as good as for ever, and short enough for every clock.
            let left = left.min(Duration::from_secs(3_600));
            held = held.wait(left);
        }
        *held = held.saturating_add(bytes);
        true
    }

    fn give(&self, bytes: usize) {
        let mut held = self.bytes.lock();
        *held = held.saturating_sub(bytes);
        drop(held);
        self.bytes.tell();
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
        let (waits, tells) = (Arc::clone(&waiting), Arc::clone(shared));
        let spell = Arc::<AtomicU64>::default();
        let worker = Worker {
            views,
            inbox,
            waiting: waits,
            shared: tells,
            rests_until: clock::moment(),
            spell: Arc::clone(&spell),
        };
        let thread = thread::spawn("views", move || worker.run())?;
        let shared = Arc::clone(shared);
        let behind = BTreeSet::new();
        Ok(Self { tasks: Some(tasks), thread: Some(thread), mode, behind, waiting, patience, spell, shared })
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

    pub(crate) fn show(&mut self, watch: &WatchName, sealed: Arc<Sealed>, baseline: Option<Arc<Baseline>>) {
        if self.behind.contains(watch) {
            // The record is durable: catching up shows it too.
            self.catch_up(watch);
            return;
        }
        let bytes = sealed.bytes.len();
        let room = self.waiting.take(bytes, self.patience);
        let spell = self.spell.load(Ordering::Acquire);
        if !room || !self.send(Task::Show(watch.clone(), Record { sealed, spell, baseline })) {
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

    /// Shows what waits before another node works, and nothing of it afterwards: what is not shown within `patience` is left to whoever
    /// goes on, and only what is being written at that moment may still land. Then the views rest as those of a standby.
    pub(crate) fn rest(&mut self, view: Arc<View>, patience: Duration) {
        self.behind.clear();
        let (done, told) = bounded(1);
        let until = clock::after(patience);
        let asked =
            self.tasks.as_ref().is_some_and(|tasks| tasks.send_timeout(Task::Rest(view, done), patience).is_ok());
        let rests = asked && told.recv_timeout(clock::until(until)).is_ok();
        self.spell.fetch_add(1, Ordering::AcqRel);
        if !rests {
            tracing::warn!("not everything that was decided could be shown in time: the next node shows it");
        }
    }

    /// Ends the thread once everything that waits is shown, at most within `patience`.
    pub(crate) fn quit(mut self, patience: Duration) {
        self.tasks = None;
        let Some(thread) = self.thread.take() else { return };
        match thread.join_within(patience) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("the thread of the views panicked; please report it"),
            Err(_) => {
                tracing::error!(
                    "the views could not be brought up to date in time; they are caught up at the next start"
                );
            }
        }
    }
}

struct Worker {
    views: Box<dyn Views>,
    inbox: Receiver<Task>,
    waiting: Arc<Waiting>,
    shared: Arc<Shared>,
    /// Until when showing rests, while nothing urgent is to be shown.
    rests_until: Moment,
    spell: Arc<AtomicU64>,
}

impl Worker {
    fn run(mut self) {
        let mut check_at = clock::moment();
        loop {
            let left = clock::until(check_at);
            match self.inbox.recv_timeout(left) {
                Ok(task) => self.work(task),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if clock::moment() >= check_at {
                for (name, state) in self.views.check() {
                    self.shared.check(&name, state);
                }
                check_at = clock::after(CHECK_EVERY);
            }
        }
    }

    fn work(&mut self, task: Task) {
        match task {
            Task::CatchUp(watch) => {
                let faults = self.views.catch_up(&watch);
                self.tell(faults);
            }
            Task::Show(watch, record) => {
                let (group, next) = self.gather(watch, record);
                self.show(&group);
                if let Some(next) = next {
                    self.work(next);
                }
            }
            Task::Node(view) => self.views.node(&view),
            Task::Rest(view, done) => {
                self.views.node(&view);
                // Nobody waits any more where it took too long.
                let _late = done.try_send(());
            }
        }
    }

    /// What is to be shown together with a record, by watch, and the task after it that is another.
    fn gather(&self, watch: WatchName, record: Record) -> (BTreeMap<WatchName, Vec<Record>>, Option<Task>) {
        let (mut count, mut bytes) = (1_usize, record.sealed.bytes.len());
        let mut hurry = record.urgent();
        let mut group = BTreeMap::from([(watch, vec![record])]);
        while count < GROUP_MAX && bytes < GROUP_BYTES {
            let rest = if hurry { Duration::ZERO } else { clock::until(self.rests_until) };
            match self.inbox.recv_timeout(rest) {
                Ok(Task::Show(watch, record)) => {
                    count = count.saturating_add(1);
                    bytes = bytes.saturating_add(record.sealed.bytes.len());
                    hurry |= record.urgent();
                    group.entry(watch).or_default().push(record);
                }
                Ok(other) => return (group, Some(other)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        (group, None)
    }

    fn show(&mut self, group: &BTreeMap<WatchName, Vec<Record>>) {
        let begun = clock::moment();
        for (watch, records) in group {
            let spell = self.spell.load(Ordering::Acquire);
            let current = records.iter().filter(|record| record.spell == spell);
            let current: Vec<_> = current.map(|record| (&*record.sealed, record.baseline.as_deref())).collect();
            if !current.is_empty() {
                let faults = self.views.show_all(watch, &current);
                self.tell(faults);
            }
            self.waiting.give(records.iter().map(|record| record.sealed.bytes.len()).sum());
        }
        let pause = clock::since(begun).saturating_mul(SHARE).min(PAUSE_MAX);
        self.rests_until = clock::after(pause);
    }

    fn tell(&self, faults: Vec<ViewFault>) {
        for ViewFault { view, what } in faults {
            tracing::warn!("view {view}: {what}");
            self.shared.count(|stats| *stats.view_errors.entry(view.clone()).or_insert(0) += 1);
        }
    }
}
