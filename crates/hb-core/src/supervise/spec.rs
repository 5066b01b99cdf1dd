//! What somebody wants an agent to be: the document that is declared in `hb.yaml` or sent to the API.
//!
//! All of it is plain data with unknown fields refused; [`AgentSpec::faults`] says what serde cannot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{AgentId, WatchName};

/// An agent as wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSpec {
    /// Its name; letters, digits, `.`, `_`, `-`, at most 64.
    pub id: AgentId,
    /// What it does among the others.
    #[serde(default, rename = "type")]
    pub role: AgentRole,
    /// A program that hb starts; or one of the next two, never more than one of the three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Box<ProcessSpec>>,
    /// A program elsewhere that posts beats; what an agent is that says none of the three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<RemoteSpec>,
    /// A service that hb asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSpec>,
    /// What happens when it fails.
    #[serde(default)]
    pub restart: RestartRule,
    /// Heartbeats that it sends; always for kind `heartbeat`, if it likes for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beats: Option<BeatRule>,
    /// Agents that must be up before it is started, and that are stopped after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<AgentId>,
    /// The watch whose decisions speak about it (the join).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<WatchName>,
    /// Whether it is to run at all when it is first made known.
    #[serde(default)]
    pub wanted: Wanted,
    /// Phase of the work that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Tasks that it can have at once, at least 1.
    #[serde(default = "one")]
    pub capacity: u32,
    /// Free words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whatever its owner wants to keep with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
}

fn one() -> u32 {
    1
}

/// What an agent does among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentRole {
    /// Does the work.
    #[default]
    Worker,
    /// Looks at workers.
    Monitor,
    /// Looks at monitors.
    Watchdog,
    /// May override.
    Guardian,
}

/// Whether an agent is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// It is to run.
    #[default]
    Up,
    /// It is not to run.
    Down,
}

/// How an agent is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind<'a> {
    /// A program that hb starts.
    Process(&'a ProcessSpec),
    /// A program elsewhere that posts beats.
    Heartbeat(Option<&'a Control>),
    /// A service that hb asks.
    Probe(&'a ProbeSpec),
}

impl Kind<'_> {
    /// `process`, `heartbeat` or `probe`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Heartbeat(_) => "heartbeat",
            Self::Probe(_) => "probe",
        }
    }
}

impl AgentSpec {
    /// How it is reached.
    #[must_use]
    pub fn kind(&self) -> Kind<'_> {
        match (&self.process, &self.probe, &self.heartbeat) {
            (Some(process), _, _) => Kind::Process(process),
            (None, Some(probe), _) => Kind::Probe(probe),
            (None, None, remote) => Kind::Heartbeat(remote.as_ref().and_then(|remote| remote.control.as_ref())),
        }
    }
}

/// A program that hb starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSpec {
    /// The program and its arguments; no shell.
    pub command: Vec<String>,
    /// Variables that are added to (or replace those of) hb's own environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working directory; hb's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// User to run as, when hb may change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Hard limits.
    #[serde(default)]
    pub limits: Limits,
    /// When it counts as up.
    #[serde(default)]
    pub ready: Ready,
    /// How it is stopped.
    #[serde(default)]
    pub stop: StopRule,
    /// Where its output goes.
    #[serde(default)]
    pub output: Output,
    /// Use of resources at which it is restarted.
    #[serde(default)]
    pub resources: ResourceRule,
    /// Seconds between two `WATCHDOG=1` messages at most; told to it as `WATCHDOG_USEC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog_sec: Option<f64>,
}

/// Hard limits of a process; what is absent is inherited.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open files (`RLIMIT_NOFILE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Processes of the user (`RLIMIT_NPROC`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Size of a core file in MB (`RLIMIT_CORE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_mb: Option<u64>,
    /// Address space in MB (`RLIMIT_AS`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_space_mb: Option<u64>,
    /// Processor seconds (`RLIMIT_CPU`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_sec: Option<u64>,
    /// Memory of the whole group in MB (cgroup v2 `memory.max`, where delegated).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Processor share of the whole group in per cent of one core (cgroup v2 `cpu.max`, where delegated).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
    /// Tasks of the whole group (cgroup v2 `pids.max`, where delegated).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
}

/// When a process counts as up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ready {
    /// By what.
    pub by: ReadyBy,
    /// Seconds after which the start has failed.
    pub within_sec: Option<f64>,
}

/// What tells that a process is up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyBy {
    /// That it was started.
    #[default]
    Started,
    /// Its `READY=1` on `NOTIFY_SOCKET`.
    Notify,
    /// A TCP connection to `ADDRESS:PORT` is accepted.
    Tcp(String),
    /// A program ends with 0.
    Command(Vec<String>),
    /// Its first beat.
    Beat,
}

/// How a process is stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopRule {
    /// The first signal: `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2`.
    pub signal: String,
    /// Seconds until the whole group is killed.
    pub grace_sec: f64,
}

impl Default for StopRule {
    fn default() -> Self {
        Self { signal: "TERM".into(), grace_sec: 10.0 }
    }
}

/// Where a process's output goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// Megabytes of one file before it is rotated.
    pub max_mb: u64,
    /// Rotated files that are kept.
    pub keep: u32,
}

impl Default for Output {
    fn default() -> Self {
        Self { max_mb: 10, keep: 3 }
    }
}

/// Use of resources at which a process is restarted gracefully; what is absent is not looked at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResourceRule {
    /// Resident memory of its process, in MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Processor use of its process in per cent of one core, sustained for `cpu_for_sec`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// For how long; 300 s when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_for_sec: Option<f64>,
    /// Open files in per cent of its limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files_percent: Option<f64>,
}

/// A program elsewhere.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteSpec {
    /// How it is told to restart or stop, where it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
}

/// How something that hb did not start is acted on. `{verb}`, `{agent}` and `{key}` in it are replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// A program is run; 0 means done.
    Command {
        /// The program and its arguments; no shell.
        argv: Vec<String>,
        /// Seconds until it is killed.
        #[serde(default = "thirty")]
        timeout_sec: f64,
        /// Whether it may be run again with the same key after its end was lost in a crash.
        #[serde(default)]
        idempotent: bool,
    },
    /// A document is posted; 2xx means done.
    Webhook {
        /// Where to.
        url: String,
        /// Seconds until it is given up.
        #[serde(default = "thirty")]
        timeout_sec: f64,
        /// Whether it may be posted again with the same key after its end was lost in a crash.
        #[serde(default)]
        idempotent: bool,
    },
}

fn thirty() -> f64 {
    30.0
}

/// A service that hb asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSpec {
    /// What is asked.
    pub check: Check,
    /// Seconds between two questions.
    #[serde(default = "ten")]
    pub every_sec: f64,
    /// Seconds until a question counts as unanswered.
    #[serde(default = "five")]
    pub timeout_sec: f64,
    /// Good answers in a row until it counts as up.
    #[serde(default = "one")]
    pub up_after: u32,
    /// Bad answers in a row until it counts as down.
    #[serde(default = "three")]
    pub down_after: u32,
    /// How it is told to restart or stop, where it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
}

fn ten() -> f64 {
    10.0
}
fn five() -> f64 {
    5.0
}
fn three() -> u32 {
    3
}

/// A question with a yes or no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// `GET` answers with a status from 200 to 399.
    Http(String),
    /// A connection to `ADDRESS:PORT` is accepted.
    Tcp(String),
    /// A program ends with 0.
    Command(Vec<String>),
}

/// When a failed agent is started again, and when that is given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestartRule {
    /// After which ends.
    pub when: RestartWhen,
    /// Restarts within `within_sec` after which it is quarantined and somebody is told.
    pub max_restarts: u32,
    /// The span of that limit, in seconds.
    pub within_sec: f64,
    /// First wait in seconds, doubled for each further restart; the first restart after `reset_after_sec` up is at once.
    pub backoff_sec: f64,
    /// Longest wait in seconds.
    pub backoff_max_sec: f64,
    /// Share of the wait by which it is spread, so that a fleet does not start in step; 0 to 0.5.
    pub jitter: f64,
    /// Seconds up after which the wait begins anew.
    pub reset_after_sec: f64,
}

impl Default for RestartRule {
    fn default() -> Self {
        Self {
            when: RestartWhen::Always,
            max_restarts: 3,
            within_sec: 3600.0,
            backoff_sec: 5.0,
            backoff_max_sec: 80.0,
            jitter: 0.1,
            reset_after_sec: 60.0,
        }
    }
}

/// After which ends an agent is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartWhen {
    /// After every end that nobody asked for.
    #[default]
    Always,
    /// After every such end but exit status 0.
    OnFailure,
    /// Never: policies decide.
    Never,
}

/// Heartbeats and what their absence means. Absent values follow the role: idle 30 s, running 15 s, monitor and watchdog 15 s, guardian 60 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BeatRule {
    /// Seconds that one beat is good for while idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ttl_sec: Option<f64>,
    /// Seconds that one beat is good for while running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_ttl_sec: Option<f64>,
    /// Missed beats after which it is degraded.
    pub degraded_after: u32,
    /// Missed beats after which it is unresponsive: failed, and handled by its restart rule.
    pub unresponsive_after: u32,
    /// Seconds from its start to the first beat, after which the start has failed.
    pub first_within_sec: f64,
}

impl Default for BeatRule {
    fn default() -> Self {
        Self {
            idle_ttl_sec: None,
            running_ttl_sec: None,
            degraded_after: 2,
            unresponsive_after: 3,
            first_within_sec: 60.0,
        }
    }
}
