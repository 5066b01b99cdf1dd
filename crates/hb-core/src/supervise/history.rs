//! What is asked of history: which events, evaluations, interventions and groups of alerts, and which part of them.
//!
//! The store says it in SQL, the API reads it from a query; it means the same everywhere.

use super::alert::Severity;
use super::intervention::InterventionStatus;
use crate::ids::{AgentId, InterventionId, PolicyName, SupervisorId, TeamId};

/// Most rows of one page (B1).
pub const PAGE_MAX: usize = 1_000;

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first: for following along.
    OldestFirst,
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// In which order.
    pub order: Order,
    /// The number after which (in that order) the page begins; at the beginning when absent.
    pub after: Option<u64>,
    /// Rows, 1 to [`PAGE_MAX`].
    pub limit: usize,
}

impl Page {
    /// The newest ones.
    #[must_use]
    pub fn newest(limit: usize) -> Self {
        Self { order: Order::NewestFirst, after: None, limit }
    }

    /// Those that came after that number, oldest first.
    #[must_use]
    pub fn since(after: Option<u64>, limit: usize) -> Self {
        Self { order: Order::OldestFirst, after, limit }
    }
}

/// Which events; what is absent is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// As bad as this, or worse.
    pub severity: Option<Severity>,
    /// Of this kind, or of all that begin so when it ends in `.*`.
    pub kind: Option<String>,
    /// About this agent.
    pub agent: Option<AgentId>,
    /// About this supervisor.
    pub supervisor: Option<SupervisorId>,
    /// About this team.
    pub team: Option<TeamId>,
    /// About this intervention.
    pub intervention: Option<InterventionId>,
}

/// Which evaluations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvaluationFilter {
    /// For this supervisor.
    pub supervisor: Option<SupervisorId>,
    /// By this policy.
    pub policy: Option<PolicyName>,
    /// About this agent.
    pub agent: Option<AgentId>,
    /// With this outcome.
    pub decision: Option<bool>,
}

/// Which interventions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InterventionFilter {
    /// Of this supervisor.
    pub supervisor: Option<SupervisorId>,
    /// On this target.
    pub target: Option<String>,
    /// Standing there.
    pub status: Option<InterventionStatus>,
    /// Asked for by this policy.
    pub policy: Option<PolicyName>,
}

/// Which groups of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupFilter {
    /// Of this supervisor.
    pub supervisor: Option<SupervisorId>,
    /// Only open ones, or only closed ones.
    pub open: Option<bool>,
    /// As bad as this, or worse.
    pub severity: Option<Severity>,
}
