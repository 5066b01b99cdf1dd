//! What is it doing, in one word with a reason: starting, recovering, active, paused, degraded, stopping, standby.

use hb_core::supervise::Presence;
use hb_core::supervise::tree::{Supervisor, SupervisorStatus, WantedLifecycle};
use hb_core::time::Stamp;
use serde::Serialize;

use super::super::seam::Standing;

/// Presence, as A11 asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PresenceDoc {
    /// The word.
    pub(crate) state: &'static str,
    /// While recovering: agents that were found.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<usize>,
    /// While recovering: agents that are looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<usize>,
    /// Why it is not as it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl PresenceDoc {
    /// Of the process, and of one supervisor in it.
    pub(crate) fn of(standing: &Standing, supervisor: Option<&Supervisor>) -> Self {
        let plain = |state| Self { state, found: None, of: None, reasons: Vec::new() };
        match standing.presence {
            Presence::Standby => return plain("standby"),
            Presence::Stopping => return plain("stopping"),
            Presence::Recovering { found, of } => {
                return Self { found: Some(found), of: Some(of), ..plain("recovering") };
            }
            Presence::Running => {}
        }
        let mut reasons: Vec<String> = standing.troubles.iter().map(|(what, why)| format!("{what}: {why}")).collect();
        if let Some(seconds) = standing.hung_seconds {
            reasons.push(format!("the loop has made no turn for {seconds:.1} s"));
        }
        let wanted = supervisor.map_or(WantedLifecycle::Active, |one| one.wanted);
        let status = supervisor.map_or(SupervisorStatus::Active, |one| one.status);
        if wanted == WantedLifecycle::Terminated {
            return plain("stopped");
        }
        if status == SupervisorStatus::Failed {
            let why = supervisor.and_then(|one| one.failure_reason.clone());
            reasons.push(why.unwrap_or_else(|| "the supervisor has failed".into()));
        }
        if !reasons.is_empty() {
            return Self { reasons, ..plain("degraded") };
        }
        match (wanted, status) {
            (WantedLifecycle::Paused, _) => plain("paused"),
            (_, SupervisorStatus::Spawning) => plain("starting"),
            _ => plain("active"),
        }
    }
}

/// Body of a supervisor's health.
#[derive(Debug, Serialize)]
pub(crate) struct HealthDoc {
    id: String,
    status: SupervisorStatus,
    wanted: WantedLifecycle,
    health: &'static str,
    missed_heartbeats: u64,
    last_heartbeat: Option<Stamp>,
    heartbeat_interval: f64,
    failure_reason: Option<String>,
    presence: PresenceDoc,
}

/// Missed beats beyond which a supervisor is unresponsive (REQ-FUNC-009: more than three).
const MISSED_MAX: u64 = 3;

impl HealthDoc {
    pub(crate) fn of(one: &Supervisor, standing: &Standing, now: Stamp) -> Self {
        let presence = PresenceDoc::of(standing, Some(one));
        let over = one.wanted == WantedLifecycle::Terminated;
        let silent = one.last_heartbeat.map(|last| now.since_ns(last).max(0) as f64 / 1e9);
        let missed = silent.map_or(0.0, |silent| (silent / one.config.heartbeat_interval).floor());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most the age of a clock in seconds"
        )]
        let missed = if over { 0 } else { missed as u64 };
        let health = match one.status {
            _ if over => "terminated",
            SupervisorStatus::Failed => "failed",
            _ if silent.is_none() => "unknown",
            _ if missed > MISSED_MAX => "unresponsive",
            SupervisorStatus::Spawning
            | SupervisorStatus::Active
            | SupervisorStatus::Paused
            | SupervisorStatus::Terminated => "healthy",
        };
        Self {
            id: one.id.to_string(),
            status: one.status,
            wanted: one.wanted,
            health,
            missed_heartbeats: missed,
            last_heartbeat: one.last_heartbeat,
            heartbeat_interval: one.config.heartbeat_interval,
            failure_reason: one.failure_reason.clone(),
            presence,
        }
    }
}
