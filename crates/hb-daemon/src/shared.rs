//! The picture that onlookers read. The work loop replaces it; nobody who looks can hold the loop up.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
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
    /// Where this is the picture of many loops in one: them.
    parts: Option<Box<dyn Gather>>,
}

/// Many pictures in one, put together whenever somebody looks.
pub(crate) trait Gather: Send + Sync + fmt::Debug {
    fn view(&self) -> View;
    fn role(&self) -> Role;
    fn checks(&self) -> BTreeMap<String, CheckState>;
    fn stats(&self) -> Stats;
    fn recent(&self, watch: &WatchName, most: usize) -> Vec<CycleLine>;
    fn depth(&self) -> u64;
    /// When the one that is worst off showed progress.
    fn progress(&self) -> Moment;
}

impl Stats {
    /// Adds another loop's. Of the newest takeover the slower one counts; cycles for the page are left out.
    pub(crate) fn add(&mut self, other: &Self) {
        fn all<K: Ord + Clone>(mine: &mut BTreeMap<K, u64>, other: &BTreeMap<K, u64>) {
            for (key, count) in other {
                let slot = mine.entry(key.clone()).or_insert(0);
                *slot = slot.saturating_add(*count);
            }
        }
        all(&mut self.cycles, &other.cycles);
        all(&mut self.dropped, &other.dropped);
        all(&mut self.switchovers, &other.switchovers);
        all(&mut self.appends, &other.appends);
        all(&mut self.deliveries, &other.deliveries);
        all(&mut self.view_errors, &other.view_errors);
        for (mine, other) in [
            (&mut self.takeovers, other.takeovers),
            (&mut self.handovers, other.handovers),
            (&mut self.lease_errors, other.lease_errors),
            (&mut self.lease_proofs, other.lease_proofs),
            (&mut self.lease_lapses, other.lease_lapses),
            (&mut self.board_errors, other.board_errors),
            (&mut self.trimmed, other.trimmed),
            (&mut self.batches, other.batches),
        ] {
            *mine = mine.saturating_add(other);
        }
        self.takeover_seconds = self.takeover_seconds.max(other.takeover_seconds);
        self.takeover_append_seconds = self.takeover_append_seconds.max(other.takeover_append_seconds);
        self.lease_latency.add(&other.lease_latency);
        self.commit_latency.add(&other.commit_latency);
        self.decide_latency.add(&other.decide_latency);
    }
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
        Arc::new(Self::bare(hang_bound, None))
    }

    /// The picture of many loops in one.
    pub(crate) fn over(hang_bound: Duration, parts: Box<dyn Gather>) -> Arc<Self> {
        Arc::new(Self::bare(hang_bound, Some(parts)))
    }

    fn bare(hang_bound: Duration, parts: Option<Box<dyn Gather>>) -> Self {
        Self {
            view: Mutex::new(Arc::new(View::default())),
            checks: Mutex::new(BTreeMap::new()),
            stats: Mutex::new(Stats::default()),
            progress: AtomicU64::new(clock::moment().0),
            depth: AtomicU64::new(0),
            hang_bound,
            parts,
        }
    }

    /// The newest picture.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        if let Some(parts) = &self.parts {
            return Arc::new(parts.view());
        }
        Arc::clone(&self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The role in the newest picture.
    #[must_use]
    pub fn role(&self) -> Role {
        self.parts.as_ref().map_or_else(|| self.view().role, |parts| parts.role())
    }

    /// The checks of readiness, by name.
    #[must_use]
    pub fn checks(&self) -> BTreeMap<String, CheckState> {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(parts) = &self.parts {
            checks.extend(parts.checks());
        }
        checks
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        if let Some(parts) = &self.parts {
            return parts.stats();
        }
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The counters without the cycles for the page.
    pub(crate) fn counters(&self) -> Stats {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        // Not copied: they are many.
        let recent = std::mem::take(&mut stats.recent);
        let copy = stats.clone();
        stats.recent = recent;
        copy
    }

    /// The newest cycles of a watch, oldest first.
    #[must_use]
    pub fn recent(&self, watch: &WatchName, most: usize) -> Vec<CycleLine> {
        if let Some(parts) = &self.parts {
            return parts.recent(watch, most);
        }
        let stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(all) = stats.recent.get(watch) else { return Vec::new() };
        all.iter().skip(all.len().saturating_sub(most)).cloned().collect()
    }

    /// Data events waiting for the loop.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.parts.as_ref().map_or_else(|| self.depth.load(Ordering::Relaxed), |parts| parts.depth())
    }

    /// Whether the loop makes progress.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let last = self.parts.as_ref().map_or_else(|| self.progress(), |parts| parts.progress());
        Pulse { since: Duration::from_nanos(clock::moment().since_ns(last)), bound: self.hang_bound }
    }

    /// When the loop made its last turn.
    pub(crate) fn progress(&self) -> Moment {
        Moment(self.progress.load(Ordering::Acquire))
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
