//! What an agent is at the moment, and which moves between its states exist.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::spec::{AgentSpec, Wanted};
use crate::ids::{Actor, AgentId, CycleNo, PolicyName, TeamId};
use crate::time::Stamp;

/// The lifecycle of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Lifecycle {
    /// Being started, or not heard of yet.
    #[default]
    Spawning,
    /// Up, without work.
    Idle,
    /// Up, at work.
    Running,
    /// Up, but not well.
    Degraded,
    /// It failed: ended, fell silent, or answers no more.
    Failed,
    /// Set aside until somebody clears it.
    Quarantined,
    /// Over; a restart begins another incarnation.
    Terminated,
}

impl Lifecycle {
    /// Whether an agent may move from here to `to` within one incarnation. Moving to Spawning begins the next incarnation
    /// and is legal from Failed, Terminated, and from Quarantined once it is cleared.
    #[must_use]
    pub fn may_move(self, to: Self) -> bool {
        use Lifecycle as L;
        match self {
            L::Spawning => matches!(to, L::Idle | L::Failed | L::Terminated),
            L::Idle => matches!(to, L::Running | L::Degraded | L::Failed | L::Quarantined | L::Terminated),
            L::Running => matches!(to, L::Idle | L::Failed | L::Degraded | L::Quarantined | L::Terminated),
            L::Degraded => matches!(to, L::Idle | L::Failed | L::Quarantined | L::Terminated),
            L::Failed => matches!(to, L::Quarantined | L::Terminated | L::Spawning),
            L::Quarantined => matches!(to, L::Idle | L::Terminated | L::Spawning),
            L::Terminated => matches!(to, L::Spawning | L::Quarantined),
        }
    }

    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spawning => "SPAWNING",
            Self::Idle => "IDLE",
            Self::Running => "RUNNING",
            Self::Degraded => "DEGRADED",
            Self::Failed => "FAILED",
            Self::Quarantined => "QUARANTINED",
            Self::Terminated => "TERMINATED",
        }
    }

    /// Whether it counts as at work or able to be.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Idle | Self::Running | Self::Degraded)
    }
}

/// Who a process is: a pid alone may have been given to somebody else (S2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process number.
    pub pid: u32,
    /// Start, in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
    /// The boot that both belong to.
    pub boot: String,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It is gone, and nobody can say how: it was not our child and the kernel does not tell.
    Unknown,
}

impl Exit {
    /// In words: `exited with status 3`, `was killed by signal 9`, `ended, nobody knows how`.
    #[must_use]
    pub fn in_words(self) -> String {
        match self {
            Self::Status(status) => format!("exited with status {status}"),
            Self::Signal(signal) => format!("was killed by signal {signal}"),
            Self::Unknown => "ended, and how cannot be learned".into(),
        }
    }
}

/// What is known of the process of the newest incarnation. Always `Absent` for the other kinds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// There is none.
    #[default]
    Absent,
    /// A start with this key was recorded; whether it came to a process is not known yet.
    Starting {
        /// Stands in the process's environment as `HB_SPAWN_KEY`, so that it can be found.
        key: String,
    },
    /// It runs.
    Alive {
        /// Who it is.
        identity: Identity,
        /// Since when.
        since: Stamp,
        /// It was found, not started, by the present hb process.
        adopted: bool,
    },
    /// It was asked to end.
    Stopping {
        /// Who it is.
        identity: Identity,
        /// Since when.
        since: Stamp,
        /// The whole group was killed already.
        killed: bool,
    },
}

impl Process {
    /// Who it is, where that is known.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Alive { identity, .. } | Self::Stopping { identity, .. } => Some(identity),
            Self::Absent | Self::Starting { .. } => None,
        }
    }
}

/// What is to follow once the present process has ended or could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// What the restart rule says.
    #[default]
    ByRule,
    /// Another incarnation, at once.
    Start,
    /// Nothing.
    Stay,
    /// Nothing, and the agent is deleted.
    Delete,
}

/// Restarts so far (S5).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Restarts {
    /// All of them since the agent is known.
    pub total: u64,
    /// Those within the span of the limit, oldest first; at most as many as the limit allows.
    pub recent: VecDeque<Stamp>,
    /// Doublings of the wait.
    pub level: u32,
    /// When the next start is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Stamp>,
    /// The limit was reached: no more until somebody starts or clears it.
    pub given_up: bool,
}

/// Beats heard so far. Made durable with changes of state, and otherwise with the supervisor's own beat.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Beats {
    /// Largest sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// When the newest was received, by our wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Stamp>,
    /// Missed in a row.
    pub missed: u32,
    /// Received.
    pub received: u64,
    /// Repeated sequence numbers.
    pub duplicates: u64,
    /// Sequence numbers that never came.
    pub gaps: u64,
    /// What it said that it works at, in its newest beat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// What probes have said.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Probes {
    /// Whether it counts as up; absent until the first verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// Equal answers in a row, counted up to what a verdict needs.
    pub streak: u32,
    /// Whether these were good.
    pub good: bool,
    /// What the newest answer said.
    pub said: String,
}

/// What the watch that speaks about it has made of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Anomaly {
    /// 0 (as always) to 1.
    pub score: f64,
    /// Anomalous readings in a row.
    pub consecutive: u32,
    /// Cycle of the newest reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycle: Option<CycleNo>,
    /// Its status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Series that caused it, the worst first, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drivers: Vec<String>,
}

/// Why and since when an agent is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Since when.
    pub since: Stamp,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: Actor,
}

/// Who made an agent, policy, team or supervisor known, and so who may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It stands in `hb.yaml`: the file wins, the API may not change its specification.
    Declared,
    /// It was made by the API.
    #[default]
    Dynamic,
}

/// One agent with everything that must survive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// What it is wanted to be.
    pub spec: std::sync::Arc<AgentSpec>,
    /// Grows with each change of the specification, from 1.
    pub spec_version: u64,
    /// Who made it known.
    pub origin: Origin,
    /// Whether it is to run.
    pub wanted: Wanted,
    /// Where its incarnation stands.
    pub lifecycle: Lifecycle,
    /// Since when.
    pub since: Stamp,
    /// How many times it was begun, from 0: never.
    pub incarnation: u64,
    /// What is known of its process.
    #[serde(default)]
    pub process: Process,
    /// What follows the end of its process.
    #[serde(default)]
    pub next: Next,
    /// How its newest process ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Restarts so far.
    #[serde(default)]
    pub restarts: Restarts,
    /// Beats so far.
    #[serde(default)]
    pub beats: Beats,
    /// Probes so far.
    #[serde(default)]
    pub probes: Probes,
    /// What its watch has made of it.
    #[serde(default)]
    pub anomaly: Anomaly,
    /// Why it is set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// Its newest `STATUS=` or error, at most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// The team that it is an open member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// Policies whose condition held at their newest evaluation: they fire again only after it did not.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub latched: BTreeSet<PolicyName>,
}

impl Agent {
    /// One that is made known now and was never begun.
    #[must_use]
    pub fn new(spec: std::sync::Arc<AgentSpec>, origin: Origin, now: Stamp) -> Self {
        Self {
            wanted: spec.wanted,
            spec,
            spec_version: 1,
            origin,
            lifecycle: Lifecycle::Spawning,
            since: now,
            incarnation: 0,
            process: Process::Absent,
            next: Next::ByRule,
            exit: None,
            restarts: Restarts::default(),
            beats: Beats::default(),
            probes: Probes::default(),
            anomaly: Anomaly::default(),
            quarantine: None,
            said: String::new(),
            team: None,
            latched: BTreeSet::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &AgentId {
        &self.spec.id
    }

    /// How it looks from outside; derived, never stored.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.lifecycle {
            Lifecycle::Quarantined => Health::Quarantined,
            Lifecycle::Terminated => Health::Down,
            Lifecycle::Failed if self.beats.missed > 0 => Health::Unresponsive,
            Lifecycle::Failed => Health::Down,
            Lifecycle::Spawning => Health::Unknown,
            Lifecycle::Degraded => Health::Degraded,
            Lifecycle::Idle | Lifecycle::Running if self.beats.missed > 0 => Health::Stale,
            Lifecycle::Idle | Lifecycle::Running => Health::Healthy,
        }
    }
}

/// How an agent looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Up, and heard of in time.
    Healthy,
    /// Up, with a beat missed.
    Stale,
    /// Up, but not well.
    Degraded,
    /// Silent for too long.
    Unresponsive,
    /// Set aside.
    Quarantined,
    /// Not running.
    Down,
    /// Not heard of yet.
    Unknown,
}

impl Health {
    /// As it stands in documents and in `agent.health_status` of a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Stale => "stale",
            Self::Degraded => "degraded",
            Self::Unresponsive => "unresponsive",
            Self::Quarantined => "quarantined",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}
