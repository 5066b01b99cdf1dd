//! What happened, in the order in which it did: the audit log, and what `hb events` and `hb agent why` show.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::alert::Severity;
use crate::ids::{Actor, AgentId, GroupId, InterventionId, PolicyName, SupervisorId, TeamId};
use crate::time::Stamp;

/// Whom an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// A supervisor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<SupervisorId>,
    /// An agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// A team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// A policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
    /// An intervention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervention: Option<InterventionId>,
    /// A group of alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
}

impl About {
    /// About an agent.
    #[must_use]
    pub fn agent(agent: &AgentId) -> Self {
        Self { agent: Some(agent.clone()), ..Self::default() }
    }

    /// About a supervisor.
    #[must_use]
    pub fn supervisor(supervisor: &SupervisorId) -> Self {
        Self { supervisor: Some(supervisor.clone()), ..Self::default() }
    }

    /// About a policy.
    #[must_use]
    pub fn policy(policy: &PolicyName) -> Self {
        Self { policy: Some(policy.clone()), ..Self::default() }
    }

    /// About a team.
    #[must_use]
    pub fn team(team: &TeamId) -> Self {
        Self { team: Some(team.clone()), ..Self::default() }
    }

    /// And about an intervention.
    #[must_use]
    pub fn and_intervention(self, intervention: &InterventionId) -> Self {
        Self { intervention: Some(intervention.clone()), ..self }
    }
}

/// The kind by which an event is acknowledged, and the figure of it that names the one that is.
pub const ACKNOWLEDGED: (&str, &str) = ("event.acknowledged", "event");

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Number in the stream: 0, 1, 2 … without gaps.
    pub id: u64,
    /// What kind: `agent.started`, `agent.exited`, `intervention.completed`; the list is in docs/supervisor.
    pub kind: String,
    /// How bad.
    pub severity: Severity,
    /// Whom it is about.
    #[serde(default)]
    pub about: About,
    /// Who caused it.
    pub by: Actor,
    /// In words.
    pub message: String,
    /// Figures of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, Value>,
    /// When.
    pub at: Stamp,
    /// Who has taken note of it first, and when; no part of the record, which never changes, but of what is read from the tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
}

/// Somebody has taken note of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Stamp,
}
