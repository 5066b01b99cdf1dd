//! A policy: a line of it for lists, all of it, and what was learned about it.

use std::collections::BTreeMap;

use hb_core::ids::{PolicyName, SupervisorId};
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::Origin;
use hb_core::supervise::policy::{HeldChange, Policy, PolicyType, PolicyVersion, Variable};
use hb_core::time::Stamp;
use serde::Serialize;

/// A policy in a list.
#[derive(Debug, Serialize)]
pub(crate) struct PolicyLine {
    name: PolicyName,
    origin: Origin,
    description: String,
    policy_type: PolicyType,
    is_active: bool,
    active_version: Option<u32>,
    newest_version: u32,
    when: String,
    dangerous: bool,
    effectiveness_score: f64,
    total_evaluations: u64,
    matches: u64,
    successful_evaluations: u64,
    held_change: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired_at: Option<Stamp>,
    on_duty: Vec<Duty>,
}

/// A supervisor that has the policy on duty.
#[derive(Debug, Serialize)]
struct Duty {
    supervisor_id: SupervisorId,
    priority: i32,
    enabled: bool,
}

/// All of a policy.
#[derive(Debug, Serialize)]
pub(crate) struct PolicyDoc {
    #[serde(flatten)]
    line: PolicyLine,
    variables: BTreeMap<String, Variable>,
    held: Option<HeldChange>,
    versions: Vec<VersionDoc>,
}

/// A version, with its condition as an expression.
#[derive(Debug, Serialize)]
pub(crate) struct VersionDoc {
    #[serde(flatten)]
    version: PolicyVersion,
    when: String,
    is_active: bool,
}

/// What was learned about a policy.
#[derive(Debug, Serialize)]
pub(crate) struct EffectivenessDoc {
    name: PolicyName,
    effectiveness_score: f64,
    total_evaluations: u64,
    matches: u64,
    successful_evaluations: u64,
    variables: BTreeMap<String, Variable>,
    held: Option<HeldChange>,
}

impl PolicyLine {
    pub(crate) fn of(supervision: &Supervision, policy: &Policy) -> Self {
        let shown = policy.in_force().or_else(|| policy.versions.last());
        let newest = policy.versions.last();
        let duties = supervision.state().supervisors.values().flat_map(|one| {
            let mine = one.policies.iter().filter(|assigned| assigned.policy == policy.name);
            mine.map(|assigned| Duty {
                supervisor_id: one.id.clone(),
                priority: assigned.priority,
                enabled: assigned.disabled_at.is_none(),
            })
        });
        Self {
            name: policy.name.clone(),
            origin: policy.origin,
            description: shown.map(|version| version.description.clone()).unwrap_or_default(),
            policy_type: shown.map(|version| version.policy_type).unwrap_or_default(),
            is_active: policy.active.is_some(),
            active_version: policy.active,
            newest_version: newest.map_or(0, |version| version.version),
            when: shown.map(|version| version.definition.condition.to_string()).unwrap_or_default(),
            dangerous: shown.is_some_and(|version| version.dangerous),
            effectiveness_score: policy.effectiveness,
            total_evaluations: policy.evaluations,
            matches: policy.matches,
            successful_evaluations: policy.successes,
            held_change: policy.held.is_some(),
            retired_at: policy.retired_at,
            on_duty: duties.collect(),
        }
    }
}

impl VersionDoc {
    pub(crate) fn of(policy: &Policy, version: &PolicyVersion) -> Self {
        Self {
            version: version.clone(),
            when: version.definition.condition.to_string(),
            is_active: policy.active == Some(version.version),
        }
    }
}

impl PolicyDoc {
    pub(crate) fn of(supervision: &Supervision, policy: &Policy) -> Self {
        Self {
            line: PolicyLine::of(supervision, policy),
            variables: policy.variables.clone(),
            held: policy.held.clone(),
            versions: policy.versions.iter().map(|version| VersionDoc::of(policy, version)).collect(),
        }
    }

    pub(crate) fn newest(&self) -> u64 {
        u64::from(self.line.newest_version)
    }
}

impl EffectivenessDoc {
    pub(crate) fn of(policy: &Policy) -> Self {
        Self {
            name: policy.name.clone(),
            effectiveness_score: policy.effectiveness,
            total_evaluations: policy.evaluations,
            matches: policy.matches,
            successful_evaluations: policy.successes,
            variables: policy.variables.clone(),
            held: policy.held.clone(),
        }
    }
}
