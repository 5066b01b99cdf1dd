//! What is done about something, step by step, and what came of it.
//!
//! An intervention is a plan over one or more agents. Each step is recorded as begun before it leaves (idea 4); a step that a
//! crash left begun is completed by looking at the world, or stays *in doubt* until a person decides (S4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{Actor, AgentId, GroupId, InterventionId, PolicyName, SupervisorId};
use crate::time::Stamp;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InterventionType {
    /// Stop and start one agent.
    AgentRestart,
    /// Set one agent aside: stopped, and not started until cleared.
    AgentQuarantine,
    /// Start one agent.
    AgentStart,
    /// Stop one agent.
    AgentStop,
    /// Restart the members of a team, staggered.
    TeamRestart,
    /// Set the members of a team aside.
    TeamQuarantine,
    /// Tell the owner of the tasks to give them to others.
    TaskReassign,
    /// Tell the owner of the tasks to change their priority.
    PriorityOverride,
    /// Emergency: cancel a task.
    CancelTask,
    /// Emergency: give capacity to others.
    ReallocateCapacity,
    /// Stop every agent of a supervisor, and the supervisor.
    Shutdown,
    /// Stop an agent and forget it.
    Delete,
}

impl InterventionType {
    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgentRestart => "AGENT_RESTART",
            Self::AgentQuarantine => "AGENT_QUARANTINE",
            Self::AgentStart => "AGENT_START",
            Self::AgentStop => "AGENT_STOP",
            Self::TeamRestart => "TEAM_RESTART",
            Self::TeamQuarantine => "TEAM_QUARANTINE",
            Self::TaskReassign => "TASK_REASSIGN",
            Self::PriorityOverride => "PRIORITY_OVERRIDE",
            Self::CancelTask => "CANCEL_TASK",
            Self::ReallocateCapacity => "REALLOCATE_CAPACITY",
            Self::Shutdown => "SHUTDOWN",
            Self::Delete => "DELETE",
        }
    }

    /// Every one of them.
    pub const ALL: [Self; 12] = [
        Self::AgentRestart,
        Self::AgentQuarantine,
        Self::AgentStart,
        Self::AgentStop,
        Self::TeamRestart,
        Self::TeamQuarantine,
        Self::TaskReassign,
        Self::PriorityOverride,
        Self::CancelTask,
        Self::ReallocateCapacity,
        Self::Shutdown,
        Self::Delete,
    ];
}

/// What it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TargetType {
    /// An agent.
    Agent,
    /// A team.
    Team,
    /// A policy.
    Policy,
    /// A supervisor.
    Supervisor,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InterventionStatus {
    /// Waits for a person, or for its turn.
    Pending,
    /// A person agreed.
    Approved,
    /// A person refused, or nobody agreed in time.
    Rejected,
    /// Under way.
    Executing,
    /// Done, and seen to be.
    Completed,
    /// Not done; `error_message` says why.
    Failed,
    /// Begun, and its end cannot be learned: a person decides.
    InDoubt,
    /// What it did was undone.
    RolledBack,
}

impl InterventionStatus {
    /// Whether nothing will happen to it by itself any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Rejected | Self::Completed | Self::Failed | Self::RolledBack)
    }

    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Executing => "EXECUTING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::InDoubt => "IN_DOUBT",
            Self::RolledBack => "ROLLED_BACK",
        }
    }
}

/// What one step of a plan does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Begin another incarnation of it.
    Restart(AgentId),
    /// Set it aside.
    Quarantine(AgentId),
    /// Start it.
    Start(AgentId),
    /// Stop it.
    Stop(AgentId),
    /// Clear its quarantine.
    Release(AgentId),
    /// Forget it, once stopped.
    Delete(AgentId),
    /// Call the control of a remote agent, or the owner of the tasks, with this verb.
    Call {
        /// Whose control.
        agent: AgentId,
        /// `restart`, `stop`, `start`, `reassign_task`, `override_priority`, `cancel_task`, `reallocate_capacity`.
        verb: String,
    },
}

impl Act {
    /// Whom it is about.
    #[must_use]
    pub fn agent(&self) -> &AgentId {
        match self {
            Self::Restart(agent)
            | Self::Quarantine(agent)
            | Self::Start(agent)
            | Self::Stop(agent)
            | Self::Release(agent)
            | Self::Delete(agent)
            | Self::Call { agent, .. } => agent,
        }
    }
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Its turn has not come.
    Waiting,
    /// Recorded and under way.
    Begun,
    /// Done and seen to be.
    Done,
    /// Not done.
    Failed,
    /// Begun, and nobody can say.
    InDoubt,
    /// Not needed any more, or taken back.
    Skipped,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// What it does.
    pub act: Act,
    /// What would undo it, where something would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Act>,
    /// Where it stands.
    pub state: StepState,
    /// Its end in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// The incarnation that it is to bring up, so that its success can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Stamp>,
    /// It takes back what a step before it did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undoes: bool,
}

/// An intervention with its plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intervention {
    /// Its name: `i-` and a number.
    pub id: InterventionId,
    /// Whose agents they are.
    pub supervisor: SupervisorId,
    /// What is done.
    pub intervention_type: InterventionType,
    /// What it is done to.
    pub target_type: TargetType,
    /// Which one.
    pub target_id: String,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub requested_by: Actor,
    /// The policy and version that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<(PolicyName, u32)>,
    /// The evaluation that it came of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<u64>,
    /// The alerts that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Parameters of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub action_details: BTreeMap<String, Value>,
    /// Where it stands.
    pub status: InterventionStatus,
    /// Whether a person has to agree, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approval_reasons: Vec<String>,
    /// Who agreed or refused, when, and with which words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
    /// When nobody can agree any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Stamp>,
    /// When it has to be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Stamp>,
    /// Its steps in order.
    pub plan: Vec<PlanStep>,
    /// Nanoseconds between the beginnings of two steps.
    #[serde(default)]
    pub stagger_ns: u64,
    /// An emergency: it carries undo for each step, which runs when one fails.
    #[serde(default)]
    pub emergency: bool,
    /// What it did is being undone.
    #[serde(default)]
    pub rolling_back: bool,
    /// Made.
    pub created_at: Stamp,
    /// Begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed_at: Option<Stamp>,
    /// Over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Stamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What it came to: `success`, `partial`, `failure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

impl PlanStep {
    /// A step whose turn has not come.
    #[must_use]
    pub fn new(act: Act, undo: Option<Act>) -> Self {
        let (state, said) = (StepState::Waiting, String::new());
        Self { act, undo, state, said, incarnation: None, begun_at: None, undoes: false }
    }

    /// A step that takes back what one before it did.
    #[must_use]
    pub fn undoing(act: Act) -> Self {
        Self { undoes: true, ..Self::new(act, None) }
    }
}

/// A person's word on an intervention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Stamp,
    /// Why.
    pub reason: String,
}
