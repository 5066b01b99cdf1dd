//! The picture that onlookers read. The work loop replaces it; nobody who looks can hold the loop up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hb_core::ids::WatchName;
use hb_core::node::cycle_line::CycleLine;
use hb_core::node::latency::Latency;
use hb_core::node::view::{Role, View};
use hb_core::time::Moment;

use crate::clock;

/// Cycles kept per watch for the page.
pub const RECENT_MAX: usize = 120;

/// Counters and timings since the process started.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Decided cycles by watch and status.
    pub cycles: BTreeMap<(WatchName, &'static str), u64>,
    /// Dropped items by watch and reason.
    pub dropped: BTreeMap<(WatchName, &'static str), u64>,
    /// Epochs that this node opened.
    pub takeovers: u64,
    /// From the lease to the last open epoch, for the newest takeover, in seconds.
    pub takeover_seconds: f64,
    /// From the lease to the first append, for the newest takeover, in seconds.
    pub takeover_append_seconds: f64,
    /// Times that this node handed over to another and stood by again.
    pub handovers: u64,
    /// Switchovers that this node settled, by how they ended: `done`, `given_up`.
    pub switchovers: BTreeMap<&'static str, u64>,
    /// Times that the lease could not be asked, or progress not be shown.
    pub lease_errors: u64,
    /// Times that work went on without the lease in sight, because the journal showed that nobody else works.
    pub lease_proofs: u64,
    /// Times that this node stood by because its lease may have run out.
    pub lease_lapses: u64,
    /// How long showing progress took.
    pub lease_latency: Latency,
    /// Times that the board of nodes could not be read or written.
    pub board_errors: u64,
    /// Appends by what became of them.
    pub appends: BTreeMap<&'static str, u64>,
    /// How long appends took.
    pub commit_latency: Latency,
    /// How long the turns took that decided a cycle.
    pub decide_latency: Latency,
    /// Deliveries by sink and outcome.
    pub deliveries: BTreeMap<(String, &'static str), u64>,
    /// Faults of views by view.
    pub view_errors: BTreeMap<String, u64>,
    /// Records trimmed from the journal.
    pub trimmed: u64,
    /// Batches taken from sources.
    pub batches: u64,
    /// Cycles for the page, newest last.
    pub recent: BTreeMap<WatchName, VecDeque<CycleLine>>,
}

/// A check of readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckState {
    /// Whether it holds.
    pub ok: bool,
    /// What is wrong, or `ok`.
    pub what: String,
}

/// See the module.
#[derive(Debug)]
pub struct Shared {
    view: Mutex<Arc<View>>,
    checks: Mutex<BTreeMap<String, CheckState>>,
    stats: Mutex<Stats>,
    progress: AtomicU64,
    depth: AtomicU64,
    hang_bound: Duration,
}

/// Whether the work loop makes progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Time since its last turn.
    pub since: Duration,
    /// How long that may be.
    pub bound: Duration,
}

impl Shared {
    pub(crate) fn new(hang_bound: Duration) -> Arc<Self> {
        Arc::new(Self {
            view: Mutex::new(Arc::new(View::default())),
            checks: Mutex::new(BTreeMap::new()),
            stats: Mutex::new(Stats::default()),
            progress: AtomicU64::new(clock::moment().0),
            depth: AtomicU64::new(0),
            hang_bound,
        })
    }

    /// The newest picture.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The role in the newest picture.
    #[must_use]
    pub fn role(&self) -> Role {
        self.view().role
    }

    /// The checks of readiness, by name.
    #[must_use]
    pub fn checks(&self) -> BTreeMap<String, CheckState> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest cycles of a watch, oldest first.
    #[must_use]
    pub fn recent(&self, watch: &WatchName, most: usize) -> Vec<CycleLine> {
        let stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(all) = stats.recent.get(watch) else { return Vec::new() };
        all.iter().skip(all.len().saturating_sub(most)).cloned().collect()
    }

    /// Data events waiting for the loop.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.depth.load(Ordering::Relaxed)
    }

    /// Whether the loop makes progress.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let last = Moment(self.progress.load(Ordering::Acquire));
        Pulse { since: Duration::from_nanos(clock::moment().since_ns(last)), bound: self.hang_bound }
    }

    pub(crate) fn beat(&self, at: Moment, depth: usize) {
        self.progress.store(at.0, Ordering::Release);
        self.depth.store(depth as u64, Ordering::Relaxed);
    }

    pub(crate) fn show(&self, view: View) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// Notes what holds, with words of its own.
    pub(crate) fn note(&self, name: &str, what: String) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.insert(name.to_owned(), CheckState { ok: true, what });
    }

    /// Takes a check away that has nothing to say any more.
    pub(crate) fn forget(&self, name: &str) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Notes how a check stands.
    pub fn check(&self, name: &str, state: Result<(), String>) {
        let (ok, what) = match state {
            Ok(()) => (true, "ok".to_owned()),
            Err(what) => (false, what),
        };
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.insert(name.to_owned(), CheckState { ok, what });
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
