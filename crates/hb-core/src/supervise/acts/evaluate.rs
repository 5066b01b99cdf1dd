//! Which policies are evaluated, and what of it?

use super::super::Supervision;
use crate::ids::{AgentId, GroupId, InterventionId, PolicyName, SupervisorId};
use crate::time::Now;

/// A policy whose condition held.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Matched {
    /// For whom it is on duty.
    pub(in super::super) supervisor: SupervisorId,
    /// The policy.
    pub(in super::super) policy: PolicyName,
    /// Its version.
    pub(in super::super) version: u32,
    /// About whom.
    pub(in super::super) agent: Option<AgentId>,
    /// The group of alerts that set it off.
    pub(in super::super) group: Option<GroupId>,
    /// Number of the evaluation.
    pub(in super::super) evaluation: u64,
}

impl Supervision {
    /// The one evaluation of a group of alerts.
    pub(in super::super) fn evaluate_group(&mut self, _group: &GroupId, _now: Now) {}

    /// Evaluates the policies of a supervisor over its agents that changed; fires where a condition has come to hold.
    pub(in super::super) fn sweep(&mut self, _supervisor: &SupervisorId, _now: Now) {}

    /// An intervention of a policy came to an end: its effectiveness and its variables move.
    pub(super) fn learn(&mut self, _policy: &PolicyName, _id: &InterventionId, _outcome: &str, _now: Now) {}
}
