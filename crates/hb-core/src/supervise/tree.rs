//! Supervisors in their tree, and the teams that they look after.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::agent::Origin;
use super::policy::Assignment;
use crate::ids::{AgentId, PolicyName, SupervisorId, TeamId};
use crate::time::Stamp;

/// What somebody wants a supervisor to be. Apart from whether a process is there to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WantedLifecycle {
    /// It monitors and intervenes.
    #[default]
    Active,
    /// It beats, but neither monitors nor intervenes.
    Paused,
    /// It is over, for ever.
    Terminated,
}

/// Where a supervisor stands, as the documents have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SupervisorStatus {
    /// Made, and not monitoring yet.
    #[default]
    Spawning,
    /// Monitoring.
    Active,
    /// Alive, and not monitoring.
    Paused,
    /// It could not begin, or fell silent.
    Failed,
    /// Over.
    Terminated,
}

impl SupervisorStatus {
    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spawning => "SPAWNING",
            Self::Active => "ACTIVE",
            Self::Paused => "PAUSED",
            Self::Failed => "FAILED",
            Self::Terminated => "TERMINATED",
        }
    }
}

/// Settings of a supervisor, in the documents' own keys and ranges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SupervisorConfig {
    /// Seconds between two beats of it, 1 to 300.
    pub heartbeat_interval: f64,
    /// Seconds between two sweeps of its policies over agents that changed, 1 to 60.
    pub policy_evaluation_interval: f64,
    /// Seconds in which alerts of one agent and kind are one group, 1 to 3600.
    pub alert_correlation_window: f64,
    /// Levels of the tree below its root, 1 to 10.
    pub max_hierarchy_depth: u32,
    /// Seconds that an intervention may take, 1 to 3600.
    pub intervention_timeout: f64,
    /// Weight of the newest outcome, 0.01 to 0.5.
    pub policy_learning_rate: f64,
    /// Interventions under way at once, 1 to 100.
    pub max_concurrent_interventions: u32,
    /// Interventions that may begin within an hour, 1 to 100000.
    pub max_interventions_per_hour: u32,
    /// Agents that an intervention may affect before a person has to agree, 1 to 10000.
    pub approval_agents: u32,
    /// Seconds until an approval that nobody gave is refused, 1 to 86400.
    pub approval_timeout: f64,
    /// Agents failing within `mass_window` seconds that are told as one alert, 2 to 10000.
    pub mass_agents: u32,
    /// The span of that, in seconds, 0 to 60.
    pub mass_window: f64,
}

impl Default for SupervisorConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: 30.0,
            policy_evaluation_interval: 10.0,
            alert_correlation_window: 300.0,
            max_hierarchy_depth: 5,
            intervention_timeout: 300.0,
            policy_learning_rate: 0.1,
            max_concurrent_interventions: 10,
            max_interventions_per_hour: 100,
            approval_agents: 10,
            approval_timeout: 300.0,
            mass_agents: 5,
            mass_window: 1.0,
        }
    }
}

/// One supervisor with everything that must survive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Unique in the stream.
    pub id: SupervisorId,
    /// For people; unique below its parent. 1 to 255 characters.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Who made it known.
    pub origin: Origin,
    /// The one above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SupervisorId>,
    /// Levels above it: 0 for a root.
    pub level: u32,
    /// What it is wanted to be (S7).
    pub wanted: WantedLifecycle,
    /// What it is.
    pub status: SupervisorStatus,
    /// Settings.
    pub config: SupervisorConfig,
    /// Grows with each change of the settings, from 1.
    pub config_version: u64,
    /// Policies on duty and off it.
    #[serde(default)]
    pub policies: Vec<Assignment>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Made.
    pub created_at: Stamp,
    /// Changed.
    pub updated_at: Stamp,
    /// Its newest beat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Stamp>,
    /// Its newest evaluation of a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_policy_evaluation: Option<Stamp>,
    /// Begins of interventions within the last hour, oldest first; at most as many as the budget.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<Stamp>,
}

impl Supervisor {
    /// Whether a policy is on duty here.
    #[must_use]
    pub fn has_on_duty(&self, policy: &PolicyName) -> bool {
        self.policies.iter().any(|one| one.policy == *policy && one.disabled_at.is_none())
    }
}

/// What a member does in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MemberRole {
    /// Leads it.
    Lead,
    /// Belongs to it.
    #[default]
    Member,
    /// Learns in it.
    Trainee,
}

/// One membership; the same agent may join, leave and join again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// Who.
    pub agent: AgentId,
    /// As what.
    pub role: MemberRole,
    /// Since when.
    pub joined_at: Stamp,
    /// Until when; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Stamp>,
    /// Whatever its owner wants to keep with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Team {
    /// Unique in the stream.
    pub id: TeamId,
    /// Who looks after it.
    pub supervisor: SupervisorId,
    /// For people; unique in its supervisor.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What it is for.
    #[serde(default)]
    pub objective: String,
    /// Who made it known.
    pub origin: Origin,
    /// Memberships, open and closed; of the closed ones the newest [`super::bounds::MEMBERSHIPS_CLOSED_MAX`].
    pub members: Vec<Membership>,
}

impl Team {
    /// Closes the membership of an agent; of the closed ones the oldest beyond the bound go.
    pub(super) fn close(&mut self, agent: &AgentId, at: Stamp) {
        for member in self.members.iter_mut().filter(|member| member.agent == *agent && member.left_at.is_none()) {
            member.left_at = Some(at);
        }
        let closed = self.members.iter().filter(|member| member.left_at.is_some()).count();
        let mut extra = closed.saturating_sub(super::bounds::MEMBERSHIPS_CLOSED_MAX);
        self.members.retain(|member| {
            let goes = extra > 0 && member.left_at.is_some();
            extra = extra.saturating_sub(usize::from(goes));
            !goes
        });
    }

    /// Open memberships.
    pub fn open(&self) -> impl Iterator<Item = &Membership> {
        self.members.iter().filter(|member| member.left_at.is_none())
    }
}
