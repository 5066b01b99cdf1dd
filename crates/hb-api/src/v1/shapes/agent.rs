//! An agent: a line of it for lists, and all of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hb_core::ids::{AgentId, SupervisorId, TeamId};
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::{
    Agent, Anomaly, Beats, Exit, Health, Lifecycle, Origin, Probes, Process, Quarantine, Restarts,
};
use hb_core::supervise::input::Usage;
use hb_core::supervise::spec::{AgentRole, AgentSpec, Wanted};
use hb_core::supervise::timers::AgentTimer;
use hb_core::time::{Moment, Now, Stamp};
use serde::Serialize;

/// An agent in a list.
#[derive(Debug, Serialize)]
pub(crate) struct AgentLine {
    pub(crate) id: AgentId,
    #[serde(rename = "type")]
    role: AgentRole,
    kind: &'static str,
    origin: Origin,
    wanted: Wanted,
    pub(crate) status: Lifecycle,
    pub(crate) health_status: &'static str,
    pub(crate) since: Stamp,
    incarnation: u64,
    supervisor_id: Option<SupervisorId>,
    team_id: Option<TeamId>,
    pid: Option<u32>,
    pub(crate) restart_count: u64,
    given_up: bool,
    next_start_not_before: Option<Stamp>,
    last_heartbeat: Option<Stamp>,
    sequence_number: Option<u64>,
    current_task_id: Option<String>,
    consecutive_missed_heartbeats: u32,
    anomaly_score: f64,
    consecutive_anomalous_readings: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_exit: Option<String>,
    pub(crate) said: String,
    tags: Vec<String>,
    spec_version: u64,
}

/// All of an agent.
#[derive(Debug, Serialize)]
pub(crate) struct AgentDoc {
    #[serde(flatten)]
    line: AgentLine,
    spec: Arc<AgentSpec>,
    process: Process,
    restarts: Restarts,
    beats: Beats,
    probes: Probes,
    anomaly: Anomaly,
    quarantine: Option<Quarantine>,
    exit: Option<Exit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageDoc>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metrics: BTreeMap<String, f64>,
    latched_policies: Vec<String>,
    planned: Vec<Planned>,
}

#[derive(Debug, Serialize)]
struct UsageDoc {
    memory_mb: f64,
    cpu_percent: f64,
    open_files_percent: f64,
}

impl From<Usage> for UsageDoc {
    fn from(usage: Usage) -> Self {
        let Usage { memory_mb, cpu_percent, open_files_percent } = usage;
        Self { memory_mb, cpu_percent, open_files_percent }
    }
}

/// What happens next to an agent unless something else happens before.
#[derive(Debug, Serialize)]
pub(crate) struct Planned {
    /// What.
    pub(crate) what: &'static str,
    /// When.
    pub(crate) at: Stamp,
    /// In how many seconds.
    pub(crate) in_seconds: f64,
}

/// Who looks at a specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eyes {
    /// Somebody who may change it.
    Trusted,
    /// Somebody who may not: values of its environment, which are often secrets, are not shown.
    Other,
}

/// What is shown for a value that is not.
const HIDDEN: &str = "(hidden)";

/// A specification as it is shown.
pub(crate) fn seen_by(spec: &Arc<AgentSpec>, eyes: Eyes) -> Arc<AgentSpec> {
    if eyes == Eyes::Trusted || spec.process.as_ref().is_none_or(|process| process.env.is_empty()) {
        return Arc::clone(spec);
    }
    let mut shown = AgentSpec::clone(spec);
    for value in shown.process.iter_mut().flat_map(|process| process.env.values_mut()) {
        HIDDEN.clone_into(value);
    }
    Arc::new(shown)
}

/// The worst first: what needs somebody is 0.
pub(crate) fn calm(agent: &Agent) -> u8 {
    match agent.health() {
        Health::Down if agent.wanted == Wanted::Up => 0,
        Health::Unresponsive => 0,
        Health::Quarantined => 1,
        Health::Degraded => 2,
        Health::Stale => 3,
        Health::Unknown => 4,
        Health::Healthy => 5,
        Health::Down => 6,
    }
}

impl AgentLine {
    pub(crate) fn of(supervision: &Supervision, agent: &Agent) -> Self {
        Self {
            id: agent.id().clone(),
            role: agent.spec.role,
            kind: agent.spec.kind().as_str(),
            origin: agent.origin,
            wanted: agent.wanted,
            status: agent.lifecycle,
            health_status: agent.health().as_str(),
            since: agent.since,
            incarnation: agent.incarnation,
            supervisor_id: supervision.supervisor_of(agent.id()),
            team_id: agent.team.clone(),
            pid: agent.process.identity().map(|identity| identity.pid),
            restart_count: agent.restarts.total,
            given_up: agent.restarts.given_up,
            next_start_not_before: agent.restarts.not_before,
            last_heartbeat: agent.beats.last,
            sequence_number: agent.beats.sequence,
            current_task_id: agent.beats.task.clone(),
            consecutive_missed_heartbeats: agent.beats.missed,
            anomaly_score: agent.anomaly.score,
            consecutive_anomalous_readings: agent.anomaly.consecutive,
            last_exit: agent.exit.map(Exit::in_words),
            said: agent.said.clone(),
            tags: agent.spec.tags.clone(),
            spec_version: agent.spec_version,
        }
    }
}

impl AgentDoc {
    pub(crate) fn of(supervision: &Supervision, agent: &Agent, (now, eyes): (Now, Eyes)) -> Self {
        let (usage, metrics) = supervision.figures(agent.id());
        Self {
            line: AgentLine::of(supervision, agent),
            spec: seen_by(&agent.spec, eyes),
            process: agent.process.clone(),
            restarts: agent.restarts.clone(),
            beats: agent.beats.clone(),
            probes: agent.probes.clone(),
            anomaly: agent.anomaly.clone(),
            quarantine: agent.quarantine.clone(),
            exit: agent.exit,
            usage: usage.map(UsageDoc::from),
            metrics: metrics.map(finite).unwrap_or_default(),
            latched_policies: agent.latched.iter().map(ToString::to_string).collect(),
            planned: planned(supervision, agent.id(), now),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.line.spec_version
    }
}

fn finite(metrics: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    metrics.iter().filter(|(_, value)| value.is_finite()).map(|(name, value)| (name.clone(), *value)).collect()
}

/// What is due of an agent, the next first.
pub(crate) fn planned(supervision: &Supervision, id: &AgentId, now: Now) -> Vec<Planned> {
    let due = |(timer, at): (AgentTimer, Moment)| {
        let wait = i64::try_from(at.since_ns(now.moment)).unwrap_or(i64::MAX);
        Planned { what: in_words(timer), at: now.wall.plus_ns(wait), in_seconds: wait as f64 / 1e9 }
    };
    supervision.planned(id).into_iter().map(due).collect()
}

fn in_words(timer: AgentTimer) -> &'static str {
    match timer {
        AgentTimer::Start => "it is started, unless it is stopped before",
        AgentTimer::Ready => "its start counts as failed, unless it is up before",
        AgentTimer::CheckReady => "it is looked at whether it is up",
        AgentTimer::Kill => "its whole group is killed, unless it has ended before",
        AgentTimer::Beat => "a beat counts as missed, unless one comes before",
        AgentTimer::Watchdog => "it counts as hung, unless it says WATCHDOG=1 before",
        AgentTimer::Probe => "it is asked whether it is well",
        AgentTimer::Sustained => "it counts as steady: waits before restarts begin anew",
    }
}
