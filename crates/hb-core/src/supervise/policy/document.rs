//! The document in which people write a policy, in `hb.yaml` or for the API, read with all its faults at once.
//!
//! ```yaml
//! name: restart-on-drift
//! when: agent.anomaly_score >= ${variables.limit} and agent.consecutive_anomalous_readings >= 3
//! actions:
//!   - type: restart_agent
//!     reason: "${agent.id} scores ${agent.anomaly_score}"
//! variables:
//!   limit: {value: 0.8, min: 0.6, max: 0.95, adaptive: true}
//! priority: 10
//! supervisors: [root]
//! ```
//!
//! Instead of `when` there may be `condition`, the tree; and both parts may stand under `definition`, as the documents have it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use super::super::input::{DeclaredPolicy, NewPolicy};
use super::fault::Fault;
use super::reader::Reader;
use super::{ActionSpec, Definition, PolicyType, PolicyVersion, Variable};
use crate::ids::{PolicyName, SupervisorId};

/// A policy as people write it; once read it is sound. Written, it is `when` and `actions`, which read back as the same.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyDocument {
    /// Its name; letters, digits, `.`, `_`, `-`, at most 64.
    pub name: PolicyName,
    /// For people.
    pub description: String,
    /// What it is about.
    pub policy_type: PolicyType,
    /// Condition and actions.
    pub definition: Definition,
    /// Figures.
    pub variables: BTreeMap<String, Variable>,
    /// Higher ones are evaluated first.
    pub priority: i32,
    /// Supervisors that it is on duty for; all roots when empty.
    pub supervisors: Vec<SupervisorId>,
}

/// Keys of a policy.
pub const KEYS: [&str; 10] = [
    "name",
    "description",
    "policy_type",
    "when",
    "condition",
    "actions",
    "definition",
    "variables",
    "priority",
    "supervisors",
];

impl PolicyDocument {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its path; in `when` also with the place in the expression.
    pub fn read(document: &Value) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::default();
        let Some(map) = reader.map("", document) else { return Err(reader.faults) };
        reader.known_keys("", map, &KEYS);
        let name = reader.name("name", map.get("name"));
        let description = reader.text("description", map.get("description")).unwrap_or_default();
        let policy_type = reader.policy_type(map.get("policy_type"));
        let variables = reader.variables(map.get("variables"));
        let definition = reader.definition(map, &variables);
        let priority = reader.priority(map.get("priority"));
        let supervisors = reader.supervisors(map.get("supervisors"));
        match (name, definition) {
            (Some(name), Some(definition)) if reader.faults.is_empty() => {
                Ok(Self { name: name.into(), description, policy_type, definition, variables, priority, supervisors })
            }
            _ => Err(reader.faults),
        }
    }

    /// As a version to be made.
    #[must_use]
    pub fn into_new(self) -> NewPolicy {
        let Self { name, description, policy_type, definition, variables, .. } = self;
        NewPolicy { name, description, policy_type, definition, variables }
    }

    /// As a declaration of `hb.yaml`.
    #[must_use]
    pub fn into_declared(self) -> DeclaredPolicy {
        let (supervisors, priority) = (self.supervisors.clone(), self.priority);
        DeclaredPolicy { policy: self.into_new(), supervisors, priority }
    }

    /// The document of a version that exists; on duty nowhere.
    #[must_use]
    pub fn of(name: &PolicyName, version: &PolicyVersion) -> Self {
        Self {
            name: name.clone(),
            description: version.description.clone(),
            policy_type: version.policy_type,
            definition: version.definition.clone(),
            variables: version.variables.clone(),
            priority: 0,
            supervisors: Vec::new(),
        }
    }
}

impl Serialize for PolicyDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            name: &'a PolicyName,
            #[serde(skip_serializing_if = "str::is_empty")]
            description: &'a str,
            policy_type: PolicyType,
            when: String,
            actions: &'a [ActionSpec],
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            variables: &'a BTreeMap<String, Variable>,
            priority: i32,
            #[serde(skip_serializing_if = "<[SupervisorId]>::is_empty")]
            supervisors: &'a [SupervisorId],
        }
        let written = Written {
            name: &self.name,
            description: &self.description,
            policy_type: self.policy_type,
            when: self.definition.condition.to_string(),
            actions: &self.definition.actions,
            variables: &self.variables,
            priority: self.priority,
            supervisors: &self.supervisors,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PolicyDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        Self::read(&document)
            .map_err(|faults| D::Error::custom(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(document: Value) -> Vec<String> {
        PolicyDocument::read(&document).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn expression_tree_and_definition_are_the_same_policy() {
        let actions = json!([{"type": "quarantine_agent", "reason": "${agent.id} drifts"}]);
        let tree = json!({"type": "composite", "operator": "AND", "conditions": [
            {"type": "field_comparison", "field": "agent.anomaly_score", "operator": ">=", "value": 0.8},
            {"type": "field_comparison", "field": "agent.consecutive_anomalous_readings", "operator": ">=", "value": 3},
        ]});
        let when = "agent.anomaly_score >= 0.8 and agent.consecutive_anomalous_readings >= 3";
        let one = PolicyDocument::read(&json!({"name": "p", "when": when, "actions": actions})).unwrap();
        let two = PolicyDocument::read(&json!({"name": "p", "condition": tree, "actions": actions})).unwrap();
        let three =
            PolicyDocument::read(&json!({"name": "p", "definition": {"condition": tree, "actions": actions}})).unwrap();
        assert_eq!((&one, &one), (&two, &three));
        assert_eq!(serde_json::to_value(&one).unwrap()["when"], json!(when));
        assert_eq!(one.definition.actions[0].target, "${agent.id}");
    }

    #[test]
    fn all_faults_are_told_at_once_each_with_its_path() {
        let found = faults(json!({
            "name": "a b",
            "policy_typ": "INTERVENTION",
            "condition": {"type": "composite", "operator": "AND", "conditions": [
                {"type": "field_comparison", "field": "agent.id", "operator": ">", "value": "x"},
                {"type": "field_comparison", "field": "agent.anomaly_scor", "operator": "==", "value": 1},
                {"type": "composite", "operator": "NOT", "conditions": []},
            ]},
            "actions": [{"type": "restart_agnt"}, {"type": "notify", "target": "${agent.idd}"}],
            "variables": {"limit": {"value": 2, "min": 0, "max": 1}},
            "priority": 1.5,
            "supervisors": ["root", 3],
        }));
        for wanted in [
            "policy_typ: there is no such key",
            "did you mean `policy_type`?",
            "name: `a b` is no name",
            "variables.limit.value: 2 is out of bounds; expected 0 to 1",
            "condition.conditions[0].operator: `>` compares numbers, and `agent.id` is a text",
            "condition.conditions[1].field: there is no field `agent.anomaly_scor`; did you mean `agent.anomaly_score`?",
            "condition.conditions[2].conditions: NOT has 0 conditions; expected exactly one condition",
            "actions[0].type: `restart_agnt` is unknown",
            "did you mean `restart_agent`?",
            "priority: this is no whole number",
            "supervisors[1]: this is a number",
        ] {
            assert!(found.iter().any(|fault| fault.contains(wanted)), "{wanted}\nin {found:#?}");
        }
    }

    #[test]
    fn faults_of_an_expression_are_placed_in_it() {
        let found = faults(json!({
            "name": "p",
            "when": "agent.status == 'FALED' or\nagent.anomaly_score > ${variables.limt} or agent.id in []",
            "actions": [{"type": "restart_agent"}],
            "variables": {"limit": 0.8},
        }));
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(
            found[0].starts_with("when, column 17: the value is \"FALED\"")
                && found[0].ends_with("did you mean `FAILED`?")
        );
        assert!(found[1].starts_with("when, line 2, column 23: there is no variable `limt`"));
        assert!(found[2].contains("the list has 0 values"));
    }

    #[test]
    fn actions_are_checked_for_target_and_parameters() {
        let found = faults(json!({"name": "p", "when": "agent.given_up", "actions": [
            {"type": "restart_team", "target": "${agent.id}"},
            {"type": "restart_agent", "stagger_seconds": 3},
            {"type": "override_priority", "parameters": {"priorty": 3}},
            {"type": "notify", "reason": "${agent.nam}"},
            {"type": "notify", "reason": "${agent.id"},
            {"type": "stop_agent", "sinks": ["x"]},
        ]}));
        for wanted in [
            "actions[0].target: `${agent.id}` is no target of `restart_team`",
            "actions[1].stagger_seconds: `restart_agent` acts on one",
            "actions[2].parameters: `override_priority` takes no parameter `priorty`",
            "did you mean `priority`?",
            "actions[2].parameters.priority: the new priority is missing",
            "actions[3].reason: `${agent.nam}` names nothing",
            "actions[4].reason: `${agent.id` is not closed",
            "actions[5].sinks: `stop_agent` tells nobody",
        ] {
            assert!(found.iter().any(|fault| fault.contains(wanted)), "{wanted}\nin {found:#?}");
        }
        let team = json!({"name": "p", "when": "agent.given_up", "actions": [{"type": "restart_team", "stagger_seconds": 30}]});
        assert_eq!(PolicyDocument::read(&team).unwrap().definition.actions[0].target, "${agent.team}");
    }

    #[test]
    fn missing_and_contradicting_parts_are_told() {
        assert_eq!(faults(json!([])), ["this is a list; expected a mapping"]);
        let found = faults(json!({}));
        assert!(found.iter().any(|fault| fault.starts_with("name: it is missing")));
        assert!(found.iter().any(|fault| fault.starts_with("when: it is missing")));
        assert!(found.iter().any(|fault| fault.starts_with("actions: it is missing")));
        let both = faults(json!({"name": "p", "when": "agent.given_up", "condition": {}, "actions": []}));
        assert!(both.iter().any(|fault| fault.contains("one of the two")));
        assert!(both.iter().any(|fault| fault.contains("1 to 20 actions")));
        let text = faults(json!({"name": "p", "condition": "agent.given_up", "actions": [{"type": "notify"}]}));
        assert!(text[0].contains("an expression stands under `when`"));
        let error = serde_json::from_value::<PolicyDocument>(json!({"name": "p"})).unwrap_err();
        assert!(error.to_string().contains("when: it is missing"));
    }

    #[test]
    fn b1_a_tree_that_never_ends_is_refused_with_its_path() {
        let mut tree = json!({"type": "field_comparison", "field": "agent.id", "operator": "==", "value": "x"});
        for _ in 0..100 {
            tree = json!({"type": "composite", "operator": "NOT", "conditions": [tree]});
        }
        let found = faults(json!({"name": "p", "condition": tree, "actions": [{"type": "notify"}]}));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("nested too deeply; expected at most 20 levels"));
    }
}
