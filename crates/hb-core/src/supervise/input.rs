//! What a supervisor is told: what happened in the world, and what people want.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::agent::{Exit, Identity, Lifecycle};
use super::alert::Severity;
use super::spec::AgentSpec;
use super::tree::SupervisorConfig;
pub use super::wanted::{NewIntervention, NewMember, NewPolicy, NewSupervisor, NewTeam};
use crate::ids::{Actor, AgentId, CycleNo, InterventionId, PolicyName, Seq, SupervisorId, TeamId, WatchName};
use crate::time::Stamp;

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// A process was started for [`super::step::Effect::Spawn`].
    Spawned {
        /// Whose.
        agent: AgentId,
        /// Which incarnation.
        incarnation: u64,
        /// Who it is.
        identity: Identity,
    },
    /// It could not be started; nothing runs.
    SpawnFailed {
        /// Whose.
        agent: AgentId,
        /// Which incarnation.
        incarnation: u64,
        /// Why, and what to do.
        error: String,
    },
    /// The answer to [`super::step::Effect::Look`]: the process with that key, or none.
    Found {
        /// Whose.
        agent: AgentId,
        /// Which incarnation.
        incarnation: u64,
        /// Who it is, already watched; or `None`, and there is none.
        identity: Option<Identity>,
    },
    /// The answer to [`super::step::Effect::Adopt`] when it runs; when it does not, `Exited` comes.
    Adopted {
        /// Whose.
        agent: AgentId,
        /// Who it is.
        identity: Identity,
    },
    /// A process ended.
    Exited {
        /// Whose.
        agent: AgentId,
        /// Who it was.
        identity: Identity,
        /// How.
        exit: Exit,
    },
    /// A process said something on its `NOTIFY_SOCKET`.
    Notified {
        /// Whose.
        agent: AgentId,
        /// What.
        what: Notified,
    },
    /// The answer to [`super::step::Effect::CheckReady`].
    ReadyChecked {
        /// Whose.
        agent: AgentId,
        /// Which incarnation.
        incarnation: u64,
        /// Whether it is up.
        up: bool,
        /// What was found.
        said: String,
    },
    /// The answer to [`super::step::Effect::Probe`].
    Probed {
        /// Whose.
        agent: AgentId,
        /// Whether the answer was good.
        good: bool,
        /// What was found.
        said: String,
    },
    /// A beat; the checksum was right.
    Beat {
        /// Where the acknowledgement goes.
        ticket: Ticket,
        /// The beat.
        beat: Beat,
    },
    /// What processes use, for [`super::step::Effect::Measure`].
    Used(Vec<(AgentId, Usage)>),
    /// The end of [`super::step::Effect::Call`].
    Called {
        /// Whose step.
        intervention: InterventionId,
        /// Which.
        step: usize,
        /// What it came to.
        outcome: Called,
    },
    /// A sink took a notification, or will not ever.
    Delivered {
        /// Key of the notification.
        key: String,
        /// Name of the sink.
        sink: String,
        /// Why it was given up; absent when it was taken.
        given_up: Option<String>,
    },
    /// The sinks that there are; told once before anything else.
    Sinks(BTreeSet<String>),
    /// Where a watch is begun to be followed whose decisions were never taken in: after this record. Comes before its first decision.
    Following {
        /// The watch.
        watch: WatchName,
        /// The newest record of its stream that is not looked at.
        after: Seq,
    },
    /// The next decided cycle of a watch, in the order of its stream.
    Decision(Box<Decision>),
    /// What `hb.yaml` declares; at the start and after each reload. Faults of single documents have been told before.
    Declared(Box<Declared>),
    /// Somebody wants something.
    Command {
        /// Where the answer goes.
        ticket: Ticket,
        /// Who wants it.
        person: Person,
        /// What.
        command: Box<Command>,
    },
    /// The process is to end.
    Drain {
        /// What becomes of running agents.
        agents: OnStop,
        /// Why.
        reason: String,
    },
}

/// Where an answer goes; the shell numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What becomes of running agents when hb ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStop {
    /// They go on, and are adopted by the next start (upgrade).
    #[default]
    Leave,
    /// They are stopped in order (shutdown).
    Stop,
}

/// What a process says by the sd_notify protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notified {
    /// `READY=1`.
    Ready,
    /// `WATCHDOG=1`.
    Watchdog,
    /// `WATCHDOG=trigger`: it says itself that it is not well.
    WatchdogTrigger,
    /// `STOPPING=1`.
    Stopping,
    /// `RELOADING=1`.
    Reloading,
    /// `STATUS=`.
    Status(String),
}

/// One beat of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// Whose.
    pub agent: AgentId,
    /// Grows with each beat of one incarnation.
    pub sequence: u64,
    /// What it says that it is.
    pub status: Option<Lifecycle>,
    /// What it works at.
    pub task: Option<String>,
    /// Figures of it, for the context of policies.
    pub metrics: BTreeMap<String, f64>,
}

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Resident memory in MB.
    pub memory_mb: f64,
    /// Processor use since the last measure, in per cent of one core.
    pub cpu_percent: f64,
    /// Open files in per cent of its limit.
    pub open_files_percent: f64,
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// It says that it is done.
    Done(String),
    /// It says that it was not done.
    Failed(String),
    /// It was begun, and its end is not known.
    Unknown(String),
}

/// One decided cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The watch.
    pub watch: WatchName,
    /// Record of its stream.
    pub seq: Seq,
    /// The cycle.
    pub cycle: CycleNo,
    /// `PASS`, `PASS_WITH_DRIFT`, `FAIL`, `NO_DATA`, `NO_BASELINE`.
    pub status: String,
    /// End of the cycle.
    pub end: Stamp,
    /// Series that caused it, the worst first, at most ten.
    pub drivers: Vec<String>,
}

/// What `hb.yaml` declares.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declared {
    /// Supervisors, parents before children.
    pub supervisors: Vec<NewSupervisor>,
    /// Agents.
    pub agents: Vec<Arc<AgentSpec>>,
    /// Teams.
    pub teams: Vec<NewTeam>,
    /// Policies, each activated and on duty where it says.
    pub policies: Vec<DeclaredPolicy>,
}

/// A policy of `hb.yaml`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredPolicy {
    /// The policy.
    pub policy: NewPolicy,
    /// Supervisors that it is on duty for; all roots when empty.
    pub supervisors: Vec<SupervisorId>,
    /// Higher first.
    pub priority: i32,
}

/// Who wants something, and what they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub actor: Actor,
    /// What they may.
    pub role: Role,
}

/// What a person may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Beats only.
    Agent,
    /// Reads, simulates.
    Developer,
    /// And starts, stops, restarts, pauses, asks for interventions.
    Operator,
    /// And changes policies, approves.
    Admin,
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make a supervisor.
    CreateSupervisor(NewSupervisor),
    /// Change one; `expect` is the version of its settings that the sender saw.
    ConfigureSupervisor {
        /// Which.
        id: SupervisorId,
        /// New description.
        description: Option<String>,
        /// New settings.
        config: Option<SupervisorConfig>,
        /// Refused when it is not this version any more.
        expect: Option<u64>,
    },
    /// Neither monitor nor intervene.
    PauseSupervisor(SupervisorId),
    /// Monitor and intervene again.
    ResumeSupervisor(SupervisorId),
    /// Over, for ever; its agents are left as they are.
    StopSupervisor(SupervisorId),
    /// Try again after FAILED.
    RestartSupervisor(SupervisorId),
    /// Forget one that is over, or never had anything.
    DeleteSupervisor(SupervisorId),
    /// Make a team.
    CreateTeam(NewTeam),
    /// Forget a team; its members are free.
    DeleteTeam(TeamId),
    /// Add a member; refused when it is an open member somewhere.
    AddMember {
        /// Of which team.
        team: TeamId,
        /// Who.
        member: NewMember,
    },
    /// Close a membership.
    RemoveMember {
        /// Of which team.
        team: TeamId,
        /// Who.
        agent: AgentId,
    },
    /// Make an agent known.
    RegisterAgent(Box<AgentSpec>),
    /// Change what an agent is wanted to be; applies with its next incarnation.
    RespecifyAgent {
        /// New specification.
        spec: Box<AgentSpec>,
        /// Refused when it is not this version any more.
        expect: Option<u64>,
    },
    /// It is to run; clears a give-up.
    StartAgent(AgentId),
    /// It is not to run.
    StopAgent(AgentId),
    /// Clear a quarantine.
    ReleaseAgent {
        /// Which.
        agent: AgentId,
        /// What makes one sure that it is well.
        evidence: String,
    },
    /// A new version of a policy (the first makes it).
    AcceptPolicy(Box<NewPolicy>),
    /// A new version of a policy that exists; refused when its newest version is not the one that the sender saw.
    RevisePolicy {
        /// The version to be made.
        new: Box<NewPolicy>,
        /// Refused when this is not the newest version any more.
        expect: Option<u64>,
    },
    /// Out of force and off duty for good; its versions and history stay, and its numbers are not given again.
    RetirePolicy {
        /// Which.
        name: PolicyName,
        /// Refused when this is not its newest version any more.
        expect: Option<u64>,
    },
    /// A second person agrees to a dangerous version.
    ApprovePolicy {
        /// Which.
        name: PolicyName,
        /// Version.
        version: u32,
    },
    /// Put a version in force; an older one is a rollback.
    ActivatePolicy {
        /// Which.
        name: PolicyName,
        /// Version.
        version: u32,
    },
    /// None in force.
    DeactivatePolicy(PolicyName),
    /// Agree to a held change of its figures, or drop it.
    SettleHeld {
        /// Which.
        name: PolicyName,
        /// Take it over.
        accept: bool,
    },
    /// Put a policy on duty, or change its priority.
    AssignPolicy {
        /// For whom.
        supervisor: SupervisorId,
        /// Which.
        policy: PolicyName,
        /// Higher first.
        priority: i32,
        /// On duty.
        enabled: bool,
    },
    /// Ask for an intervention.
    Intervene(NewIntervention),
    /// Agree to one.
    ApproveIntervention {
        /// Which.
        id: InterventionId,
        /// Why.
        reason: String,
    },
    /// Refuse one.
    RejectIntervention {
        /// Which.
        id: InterventionId,
        /// Why.
        reason: String,
    },
    /// Say what an intervention in doubt came to.
    SettleIntervention {
        /// Which.
        id: InterventionId,
        /// It was done.
        done: bool,
        /// How one knows.
        reason: String,
    },
    /// Undo one that is completed or failed.
    RollBackIntervention {
        /// Which.
        id: InterventionId,
        /// Why.
        reason: String,
    },
    /// An alert from outside (another monitor).
    RaiseAlert {
        /// About whom.
        agent: AgentId,
        /// How bad.
        severity: Severity,
        /// What.
        message: String,
    },
    /// Somebody has seen a group of alerts and closes it.
    ResolveGroup(crate::ids::GroupId),
    /// Somebody has taken note of an event.
    AcknowledgeEvent {
        /// Its number.
        id: u64,
        /// What they make of it.
        note: String,
    },
    /// The command in it, if no request of this key was carried out before; else the answer that was given then (S4).
    Once {
        /// Which request this is, as its sender names it.
        key: RequestKey,
        /// What.
        command: Box<Command>,
    },
}

/// Names a request, so that it can be sent again without being carried out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The name that the sender gave it; each sender has names of their own.
    pub key: String,
    /// A digest of the request: another one under the same name is refused.
    pub of: String,
}

impl Command {
    /// What one must be to want it.
    #[must_use]
    pub fn needs(&self) -> Role {
        match self {
            Self::Once { command, .. } => command.needs(),
            Self::AcceptPolicy(_)
            | Self::RevisePolicy { .. }
            | Self::RetirePolicy { .. }
            | Self::ApprovePolicy { .. }
            | Self::ActivatePolicy { .. }
            | Self::DeactivatePolicy(_)
            | Self::SettleHeld { .. }
            | Self::AssignPolicy { .. }
            | Self::ApproveIntervention { .. }
            | Self::RejectIntervention { .. }
            | Self::SettleIntervention { .. }
            | Self::RollBackIntervention { .. } => Role::Admin,
            Self::CreateSupervisor(_)
            | Self::ConfigureSupervisor { .. }
            | Self::PauseSupervisor(_)
            | Self::ResumeSupervisor(_)
            | Self::StopSupervisor(_)
            | Self::RestartSupervisor(_)
            | Self::DeleteSupervisor(_)
            | Self::CreateTeam(_)
            | Self::DeleteTeam(_)
            | Self::AddMember { .. }
            | Self::RemoveMember { .. }
            | Self::RegisterAgent(_)
            | Self::RespecifyAgent { .. }
            | Self::StartAgent(_)
            | Self::StopAgent(_)
            | Self::ReleaseAgent { .. }
            | Self::Intervene(_)
            | Self::RaiseAlert { .. }
            | Self::ResolveGroup(_)
            | Self::AcknowledgeEvent { .. } => Role::Operator,
        }
    }
}
