//! When is something to be done about an agent, and what?
//!
//! A policy is a condition and actions, in numbered versions of which at most one is active. This file has its documents; all of this
//! room is pure. Which policies are evaluated when, and what comes of it, is asked in `acts/evaluate.rs`; who may change them in
//! `desk/policies.rs`.
//!
//! | question | file |
//! |---|---|
//! | What can a condition look at? | `fields.rs`, `context.rs` |
//! | How is it written and read? | `lexer.rs`, `expression.rs`, `wording.rs`; as a document `document.rs`, `reader.rs` |
//! | Is it sound, and if not, where? | `check.rs`, `fault.rs` |
//! | Does it hold, and why? | `eval.rs`; targets and reasons: `template.rs` |
//! | What would it do? | `simulate.rs` |
//! | Which version is in force, and what changed? | `versions.rs`, `diff.rs` |
//! | What do outcomes teach it? | `adapt.rs` |

pub mod adapt;
pub mod check;
pub mod context;
pub mod diff;
pub mod document;
pub mod eval;
pub mod expression;
pub mod fault;
pub mod fields;
mod lexer;
mod reader;
pub mod simulate;
pub mod template;
#[cfg(test)]
pub(crate) mod testing;
pub mod versions;
pub mod wording;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::agent::Origin;
use crate::ids::{Actor, AgentId, GroupId, InterventionId, PolicyName, SupervisorId};
use crate::time::Stamp;

/// A condition: a tree of comparisons. `{type: field_comparison, field, operator, value}` or `{type: composite, operator, conditions}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// A field of the context against a value.
    FieldComparison {
        /// Dotted path, such as `agent.anomaly_score`.
        field: String,
        /// How they are compared. With null every comparison is false, but `== null` and `!= null` say what they say.
        operator: Comparison,
        /// Any JSON, or `${variables.NAME}` of the policy.
        value: Value,
    },
    /// Several conditions.
    Composite {
        /// How they are joined. `NOT` takes exactly one.
        operator: Junction,
        /// At least one.
        conditions: Vec<Condition>,
    },
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// Greater.
    #[serde(rename = ">")]
    Greater,
    /// Greater or equal.
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// Less.
    #[serde(rename = "<")]
    Less,
    /// Less or equal.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// One of a list.
    #[serde(rename = "in")]
    In,
    /// None of a list.
    #[serde(rename = "not_in")]
    NotIn,
}

/// How conditions are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Junction {
    /// All hold.
    And,
    /// One holds.
    Or,
    /// The one does not hold.
    Not,
}

/// One thing to do when the condition holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    /// What.
    #[serde(rename = "type")]
    pub kind: ActionKind,
    /// On whom: `${agent.id}`, `${agent.team}`, `${supervisor.id}`, or a name.
    #[serde(default = "the_agent")]
    pub target: String,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
    /// Whether a person has to agree first.
    #[serde(default)]
    pub approval_required: bool,
    /// Seconds between two members of a team, for the actions on teams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stagger_seconds: Option<f64>,
    /// Sinks of a notification; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<String>,
    /// Anything more that the kind takes: `priority`, `task`, `to`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
}

fn the_agent() -> String {
    "${agent.id}".into()
}

/// What a policy can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Restart one agent.
    RestartAgent,
    /// Set one agent aside.
    QuarantineAgent,
    /// Start one agent.
    StartAgent,
    /// Stop one agent.
    StopAgent,
    /// Restart the members of a team, one after another.
    RestartTeam,
    /// Set the members of a team aside.
    QuarantineTeam,
    /// Restart every agent of the supervisor; dangerous.
    RestartAll,
    /// Set every agent of the supervisor aside; dangerous.
    QuarantineAll,
    /// Ask the owner of the tasks to give them to somebody else.
    ReassignTask,
    /// Ask the owner of the tasks to change their priority.
    OverridePriority,
    /// Tell people.
    Notify,
    /// Tell the supervisor above, whose policies decide.
    Escalate,
}

/// What a policy is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// When.
    pub condition: Condition,
    /// What, in this order; at least one.
    pub actions: Vec<ActionSpec>,
}

/// What a policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PolicyType {
    /// Acts on agents.
    #[default]
    Intervention,
    /// Acts on teams.
    Coordination,
    /// Hands over upwards.
    Escalation,
    /// Adapts its variables.
    Learning,
}

/// A figure of a policy that may adapt within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its value.
    pub value: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Whether outcomes move it.
    #[serde(default)]
    pub adaptive: bool,
}

/// One version; never changes once it is made, but for who agreed to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// From 1.
    pub version: u32,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What it is about.
    #[serde(default)]
    pub policy_type: PolicyType,
    /// Condition and actions.
    pub definition: Definition,
    /// Figures as they began.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// Who made it.
    pub created_by: Actor,
    /// When.
    pub created_at: Stamp,
    /// It acts on everything at once: a second person has to agree before it can be activated.
    #[serde(default)]
    pub dangerous: bool,
    /// Who agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<Actor>,
}

/// A change of effectiveness that is too large to be taken over without a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldChange {
    /// The variables as they would be.
    pub variables: BTreeMap<String, Variable>,
    /// The effectiveness as it would be.
    pub effectiveness: f64,
    /// Why.
    pub justification: String,
    /// Since when.
    pub at: Stamp,
}

/// A policy with its versions and what was learned about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// Who made it known.
    pub origin: Origin,
    /// Oldest first; at most [`super::bounds::POLICY_VERSIONS_MAX`], the oldest inactive ones go first.
    pub versions: Vec<PolicyVersion>,
    /// The version in force.
    pub active: Option<u32>,
    /// Figures of the active version as they are.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// 0 (never helps) to 1 (always does).
    pub effectiveness: f64,
    /// Evaluations so far.
    pub evaluations: u64,
    /// Those whose condition held.
    pub matches: u64,
    /// Interventions of it that healed what they were for.
    pub successes: u64,
    /// A large change that waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldChange>,
    /// Since when it is retired: out of force and off duty until somebody makes another version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Stamp>,
}

/// A policy on duty for a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The policy.
    pub policy: PolicyName,
    /// Higher ones are evaluated first; equal ones by name.
    pub priority: i32,
    /// Since when.
    pub enabled_at: Stamp,
    /// Until when; absent while on duty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Stamp>,
}

/// One node of a condition and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceStep {
    /// The condition in words: `agent.anomaly_score >= 0.8`, `AND`.
    pub condition: String,
    /// Depth in the tree, from 0.
    pub depth: u32,
    /// What the field was, null included; absent where there is none to look at.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub found: Option<Value>,
    /// Whether it held; absent when it was not looked at, as the outcome was known.
    pub held: Option<bool>,
}

/// What stands there, null or not: the records that hold it are read back as they were written.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// One evaluation, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number in the stream, without gaps.
    pub id: u64,
    /// For whom.
    pub supervisor: SupervisorId,
    /// By which policy.
    pub policy: PolicyName,
    /// In which version.
    pub version: u32,
    /// About whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// What set it off: `alert`, `decision`, `sweep`, `escalation`.
    pub trigger: String,
    /// The group of alerts that set it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// The fields that the condition looked at.
    pub context: BTreeMap<String, Value>,
    /// Whether the condition held.
    pub decision: bool,
    /// How it came to that.
    pub decision_path: Vec<TraceStep>,
    /// What was done about it, or why nothing.
    pub action_taken: Vec<String>,
    /// Interventions that came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<InterventionId>,
    /// When.
    pub at: Stamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_a_step_that_found_null_is_read_back_as_it_was_written() {
        for found in [None, Some(Value::Null), Some(Value::from(0.5))] {
            let step = TraceStep { condition: "agent.phase == \"x\"".into(), depth: 1, found, held: Some(false) };
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<TraceStep>(&text).unwrap(), step, "{text}");
        }
    }
}
