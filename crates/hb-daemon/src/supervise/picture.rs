//! What onlookers see without asking the loop: what it is doing, and what is wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use hb_core::ids::Epoch;
use hb_core::node::latency::Latency;
use hb_core::supervise::agent::{Agent, Lifecycle};
use hb_core::supervise::{Presence, Supervision};
use hb_core::time::Moment;

use crate::clock;

/// Agents by where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentCounts {
    /// All.
    pub all: usize,
    /// Idle or running.
    pub up: usize,
    /// Degraded.
    pub degraded: usize,
    /// Being started.
    pub spawning: usize,
    /// Failed.
    pub failed: usize,
    /// Set aside.
    pub quarantined: usize,
    /// Over.
    pub terminated: usize,
}

impl AgentCounts {
    fn of<'a>(agents: impl Iterator<Item = &'a Agent>) -> Self {
        let mut counts = Self::default();
        for agent in agents {
            counts.all += 1;
            *match agent.lifecycle {
                Lifecycle::Idle | Lifecycle::Running => &mut counts.up,
                Lifecycle::Degraded => &mut counts.degraded,
                Lifecycle::Spawning => &mut counts.spawning,
                Lifecycle::Failed => &mut counts.failed,
                Lifecycle::Quarantined => &mut counts.quarantined,
                Lifecycle::Terminated => &mut counts.terminated,
            } += 1;
        }
        counts
    }
}

/// A picture of a supervisor.
#[derive(Debug, Clone)]
pub struct Picture {
    /// What the process is doing.
    pub presence: Presence,
    /// The present reign.
    pub epoch: Epoch,
    /// Agents by where they stand.
    pub agents: AgentCounts,
    /// Supervisors that are paused.
    pub paused: usize,
    /// Supervisors that are not over.
    pub supervisors: usize,
    /// Interventions that wait or are under way.
    pub interventions_open: usize,
    /// Groups of alerts that are open.
    pub groups_open: usize,
    /// Restarts so far.
    pub restarts: u64,
    /// Evaluations so far.
    pub evaluations: u64,
    /// Events so far.
    pub events: u64,
    /// Notifications dropped for want of room.
    pub notifications_dropped: u64,
    /// Why it is not as it should be: the database, the lease, the decisions; empty when all is well.
    pub troubles: Vec<(String, String)>,
    /// From the lease to the first record of the reign, in seconds.
    pub takeover_seconds: f64,
    /// From the lease until all agents were found, in seconds; absent until then.
    pub recovered_seconds: Option<f64>,
    /// How long commits took.
    pub commit_latency: Latency,
    /// Records made durable.
    pub commits: u64,
}

impl Default for Picture {
    fn default() -> Self {
        Self {
            presence: Presence::Standby,
            epoch: Epoch::default(),
            agents: AgentCounts::default(),
            paused: 0,
            supervisors: 0,
            interventions_open: 0,
            groups_open: 0,
            restarts: 0,
            evaluations: 0,
            events: 0,
            notifications_dropped: 0,
            troubles: Vec::new(),
            takeover_seconds: 0.0,
            recovered_seconds: None,
            commit_latency: Latency::default(),
            commits: 0,
        }
    }
}

impl Picture {
    pub(super) fn look(&mut self, supervision: &Supervision) {
        use hb_core::supervise::tree::WantedLifecycle as W;
        let state = supervision.state();
        self.presence = supervision.presence();
        self.epoch = supervision.epoch();
        self.agents = AgentCounts::of(state.agents.values());
        self.paused = state.supervisors.values().filter(|one| one.wanted == W::Paused).count();
        self.supervisors = state.supervisors.values().filter(|one| one.wanted != W::Terminated).count();
        self.interventions_open = state.interventions.values().filter(|one| !one.status.is_over()).count();
        self.groups_open = state.groups.values().filter(|group| group.resolved_at.is_none()).count();
        self.restarts = state.counters.restarts;
        self.evaluations = state.counters.evaluation;
        self.events = state.counters.event;
        self.notifications_dropped = state.counters.notifications_dropped;
    }

    /// Notes that something is wrong, or is well again.
    pub(super) fn trouble(&mut self, what: &str, state: Result<(), String>) {
        self.troubles.retain(|(name, _)| name != what);
        if let Err(why) = state {
            self.troubles.push((what.to_owned(), why));
        }
    }
}

/// The newest picture, and whether the loop turns.
#[derive(Debug)]
pub struct Pictured {
    picture: Mutex<Picture>,
    /// Told when the process does something else, or somebody is to look whether it is still to wait for that.
    turned: Condvar,
    progress: AtomicU64,
    event: AtomicU64,
    bound: Duration,
}

impl Pictured {
    pub(super) fn new(bound: Duration) -> Self {
        Self {
            picture: Mutex::new(Picture::default()),
            turned: Condvar::new(),
            progress: AtomicU64::new(clock::moment().0),
            event: AtomicU64::new(0),
            bound,
        }
    }

    /// The newest picture.
    #[must_use]
    pub fn get(&self) -> Picture {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the process is doing.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).presence
    }

    /// Waits until it does something else than `seen`, or for so long. `still` says whether to go on waiting; whoever changes what it looks at calls
    /// [`Self::look_up`] afterwards.
    pub fn wait_turned(&self, seen: Presence, most: Duration, still: impl Fn() -> bool) {
        let picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        // How the wait ended is what the caller looks at next.
        drop(self.turned.wait_timeout_while(picture, most, |picture| picture.presence == seen && still()));
    }

    /// Has everybody who waits ask whether to go on.
    pub fn look_up(&self) {
        // Whoever has asked already waits by now, whoever has not asks after this.
        drop(self.picture.lock());
        self.turned.notify_all();
    }

    /// The number that the next event will have: whoever follows events looks when it has grown.
    #[must_use]
    pub fn next_event(&self) -> u64 {
        self.event.load(Ordering::Acquire)
    }

    /// Whether the loop makes progress: time since its last turn, and how long that may be.
    #[must_use]
    pub fn pulse(&self) -> crate::shared::Pulse {
        let last = Moment(self.progress.load(Ordering::Acquire));
        crate::shared::Pulse { since: Duration::from_nanos(clock::moment().since_ns(last)), bound: self.bound }
    }

    /// Notes that something about the supervisor is wrong that others see, or is well again.
    pub fn note(&self, what: &str, state: Result<(), String>) {
        self.change(|picture| picture.trouble(what, state));
    }

    pub(super) fn beat(&self) {
        self.progress.store(clock::moment().0, Ordering::Release);
    }

    pub(super) fn events(&self, next: u64) {
        self.event.store(next, Ordering::Release);
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Picture)) {
        let mut picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        let before = picture.presence;
        change(&mut picture);
        if picture.presence != before {
            drop(picture);
            self.turned.notify_all();
        }
    }
}
