//! Alerts, and the groups in which they are told.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, GroupId, SupervisorId};
use crate::time::Stamp;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// May become bad.
    Warning,
    /// Is bad.
    Error,
    /// Somebody has to come.
    Critical,
}

impl Severity {
    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

/// What is wrong with an agent; alerts of one agent and kind within the window are one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// Its watch found its telemetry anomalous.
    Anomaly,
    /// Its process ended, and nobody had asked for it.
    Died,
    /// It missed beats.
    Silent,
    /// Probes find it down.
    Down,
    /// It could not be started, or was not up in time.
    StartFailed,
    /// It was restarted too often: no more.
    GaveUp,
    /// It uses more than it may.
    Resources,
    /// Something is in doubt about it.
    InDoubt,
    /// A supervisor below could not handle something.
    Escalation,
    /// Many agents failed within a moment.
    Mass,
}

impl Concern {
    /// As it stands in group keys: `AGENT_anomaly`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anomaly => "anomaly",
            Self::Died => "died",
            Self::Silent => "silent",
            Self::Down => "down",
            Self::StartFailed => "start_failed",
            Self::GaveUp => "gave_up",
            Self::Resources => "resources",
            Self::InDoubt => "in_doubt",
            Self::Escalation => "escalation",
            Self::Mass => "mass",
        }
    }
}

/// Alerts that are told as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertGroup {
    /// Its name: `g-` and a number.
    pub id: GroupId,
    /// Who looks after it.
    pub supervisor: SupervisorId,
    /// `AGENT_KIND`.
    pub group_key: String,
    /// What is wrong.
    pub concern: Concern,
    /// The highest of its alerts.
    pub severity: Severity,
    /// How many.
    pub alert_count: u64,
    /// Numbers of the events that they are; the newest [`super::bounds::GROUP_ALERTS_MAX`].
    pub alert_ids: Vec<u64>,
    /// Whom it is about.
    pub affected_agents: BTreeSet<AgentId>,
    /// In words.
    pub correlation_summary: String,
    /// First.
    pub first_alert_at: Stamp,
    /// Newest.
    pub last_alert_at: Stamp,
    /// When all was well again, or the window had passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Stamp>,
    /// Its policies were evaluated for it.
    pub evaluated: bool,
    /// That evaluation waits, because its supervisor was not active.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlooked: bool,
}

impl AlertGroup {
    /// Counts one more alert, and keeps its number; the oldest numbers go.
    pub(super) fn count(&mut self, event: u64) {
        self.alert_count = self.alert_count.saturating_add(1);
        self.alert_ids.push(event);
        let extra = self.alert_ids.len().saturating_sub(super::bounds::GROUP_ALERTS_MAX);
        self.alert_ids.drain(..extra);
    }
}

/// A notification under way to its sinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its key for ever: delivered at least once, and known as the same by it.
    pub key: String,
    /// How bad.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// More.
    pub text: String,
    /// Whom it is about.
    pub agents: Vec<AgentId>,
    /// The group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// The supervisor.
    pub supervisor: SupervisorId,
    /// When.
    pub at: Stamp,
    /// Sinks that have not taken it yet; `None` until the shell has said which there are.
    pub sinks: Option<BTreeSet<String>>,
}
