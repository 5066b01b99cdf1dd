//! What would a policy do? The same evaluation, and nothing comes of it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::super::Supervision;
use super::super::step::{Refusal, Why};
use super::context::{Given, Lookup, Occasion};
use super::eval::Compiled;
use super::template::fill;
use super::{ActionKind, ActionSpec, Definition, TraceStep, Variable};
use crate::ids::{AgentId, PolicyName, SupervisorId};
use crate::time::Stamp;

/// An action with its target and reason as they would be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WouldDo {
    /// What.
    #[serde(rename = "type")]
    pub kind: ActionKind,
    /// To whom; absent when the context has nobody to do it to.
    pub target: Option<String>,
    /// Why.
    pub reason: String,
    /// Whether the action itself asks for a person; budgets and sizes may ask for one as well.
    pub approval_required: bool,
}

impl WouldDo {
    /// An action in this context.
    #[must_use]
    pub fn of(action: &ActionSpec, context: &dyn Lookup, variables: &BTreeMap<String, Variable>) -> Self {
        let target = fill(&action.target, context, variables);
        let reason = fill(&action.reason, context, variables);
        Self {
            kind: action.kind,
            target: target.missing.is_empty().then_some(target.text),
            reason: reason.text,
            approval_required: action.approval_required,
        }
    }
}

/// What a policy would do. How long it took is the caller's to measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulation {
    /// Whether the condition holds.
    pub would_match: bool,
    /// What would be done, in order; empty when it does not hold.
    pub would_execute: Vec<WouldDo>,
    /// How it came to that.
    pub decision_path: Vec<TraceStep>,
    /// The fields that were looked at.
    pub context: BTreeMap<String, Value>,
}

/// Evaluates a definition in a context, without effects.
#[must_use]
pub fn simulate(definition: &Definition, variables: &BTreeMap<String, Variable>, context: &dyn Lookup) -> Simulation {
    let outcome = Compiled::new(&definition.condition, variables).evaluate(context);
    let would_execute = match outcome.decision {
        true => definition.actions.iter().map(|action| WouldDo::of(action, context, variables)).collect(),
        false => Vec::new(),
    };
    Simulation { would_match: outcome.decision, would_execute, decision_path: outcome.path, context: outcome.looked_at }
}

/// What is to be supposed.
#[derive(Debug, Clone, Default)]
pub struct Question<'a> {
    /// The policy.
    pub policy: Option<&'a PolicyName>,
    /// Which version; the one in force, or else the newest, when absent.
    pub version: Option<u32>,
    /// For this supervisor; the first root when absent.
    pub supervisor: Option<&'a SupervisorId>,
    /// About this agent, as it is.
    pub agent: Option<&'a AgentId>,
    /// With these values in place of those that are.
    pub given: Given<'a>,
}

impl Supervision {
    /// What a policy would do now, or if things were as supposed. Changes nothing, and writes nothing into the log.
    ///
    /// # Errors
    /// The policy, its version, the supervisor or the agent is not known.
    pub fn simulate(&self, question: &Question<'_>, now: Stamp) -> Result<Simulation, Refusal> {
        let Some(name) = question.policy else {
            return Err(Refusal::new(Why::Invalid, "no policy is named").field("policy", "the name of a policy"));
        };
        let not_found = |what: String, field: &str| Refusal::new(Why::NotFound, what).field(field, "one that exists");
        let unknown = || not_found(format!("there is no policy {name}"), "policy");
        let policy = self.state.policies.get(name).ok_or_else(unknown)?;
        let version = match question.version {
            Some(version) => policy.version(version),
            None => policy.in_force().or_else(|| policy.versions.last()),
        };
        let version = version.ok_or_else(|| not_found(format!("{name} has no such version"), "version"))?;
        // The version in force has figures that it has learned; the others have those that they began with.
        let in_force = policy.active == Some(version.version);
        let variables = if in_force { &policy.variables } else { &version.variables };
        let root = || self.state.supervisors.values().find(|one| one.parent.is_none()).map(|one| one.id.clone());
        let supervisor = question.supervisor.cloned().or_else(root).unwrap_or_else(|| SupervisorId::from(""));
        if question.supervisor.is_some() && !self.state.supervisors.contains(&supervisor) {
            return Err(not_found(format!("there is no supervisor {supervisor}"), "supervisor"));
        }
        let agent = match question.agent {
            Some(id) => {
                let agent = self.state.agents.get(id);
                Some(agent.ok_or_else(|| not_found(format!("there is no agent {id}"), "agent"))?)
            }
            None => None,
        };
        let live = self.context(&supervisor, agent, Occasion::Question, now);
        let context = question.given.clone().over(&live);
        Ok(simulate(&version.definition, variables, &context))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::policy;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_simulation_shows_what_would_be_done_and_why() {
        let new = policy(json!({
            "name": "p",
            "when": "agent.anomaly_score >= ${variables.limit}",
            "actions": [
                {"type": "restart_agent", "reason": "${agent.id} scores ${agent.anomaly_score}", "approval_required": true},
                {"type": "restart_team"},
            ],
            "variables": {"limit": 0.8},
        }));
        let given = Given::of([("agent.id", json!("a")), ("agent.anomaly_score", json!(0.9))]);
        let found = simulate(&new.definition, &new.variables, &given);
        assert!(found.would_match);
        assert_eq!(found.would_execute[0].target.as_deref(), Some("a"));
        assert_eq!(found.would_execute[0].reason, "a scores 0.9");
        assert!(found.would_execute[0].approval_required);
        assert_eq!(found.would_execute[1].target, None, "it belongs to no team");
        assert_eq!(found, simulate(&new.definition, &new.variables, &given), "asked again, told the same");
        let calm = Given::of([("agent.anomaly_score", json!(0.1))]);
        let found = simulate(&new.definition, &new.variables, &calm);
        assert!(!found.would_match && found.would_execute.is_empty());
        assert_eq!(found.context, BTreeMap::from([("agent.anomaly_score".into(), json!(0.1))]));
    }
}
