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

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

use super::super::bounds::CONDITION_DEPTH_MAX;
use super::super::desk::names::{RULE, is_id};
use super::super::input::{DeclaredPolicy, NewPolicy};
use super::fault::Fault;
use super::lexer::shortened;
use super::{
    ActionKind, ActionSpec, Comparison, Condition, Definition, Junction, PolicyType, PolicyVersion, Variable, check,
    expression,
};
use crate::ids::{PolicyName, SupervisorId};

/// A policy as people write it; once read it is sound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyDocument {
    /// Its name; letters, digits, `.`, `_`, `-`, at most 64.
    pub name: PolicyName,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it is about.
    pub policy_type: PolicyType,
    /// When, as an expression.
    pub when: String,
    /// Condition and actions.
    pub definition: Definition,
    /// Figures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Variable>,
    /// Higher ones are evaluated first.
    pub priority: i32,
    /// Supervisors that it is on duty for; all roots when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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
            (Some(name), Some(definition)) if reader.faults.is_empty() => Ok(Self {
                name: name.into(),
                description,
                policy_type,
                when: definition.condition.to_string(),
                definition,
                variables,
                priority,
                supervisors,
            }),
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
            when: version.definition.condition.to_string(),
            definition: version.definition.clone(),
            variables: version.variables.clone(),
            priority: 0,
            supervisors: Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for PolicyDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        Self::read(&document)
            .map_err(|faults| D::Error::custom(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
    }
}

/// What a value is, for messages.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Gathers faults while it reads. What cannot be read is `None` or its default, and always a fault.
#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn wrong(&mut self, path: &str, value: &Value, expected: &str) {
        self.faults.push(Fault::new(path, format!("this is {}", kind_of(value))).expected(expected));
    }

    fn map<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        let map = value.as_object();
        if map.is_none() {
            self.wrong(path, value, "a mapping");
        }
        map
    }

    fn known_keys(&mut self, path: &str, map: &Map<String, Value>, known: &[&str]) {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let path = if path.is_empty() { shortened(key) } else { format!("{path}.{}", shortened(key)) };
            let fault = Fault::new(path, "there is no such key").expected(format!("one of {}", known.join(", ")));
            self.faults.push(fault.meant(key, known.iter().copied()));
        }
    }

    fn text(&mut self, path: &str, value: Option<&Value>) -> Option<String> {
        match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => {
                self.wrong(path, other, "a text");
                None
            }
        }
    }

    fn name(&mut self, path: &str, value: Option<&Value>) -> Option<String> {
        match value {
            None => self.faults.push(Fault::new(path, "it is missing").expected(RULE)),
            Some(Value::String(text)) if is_id(text) => return Some(text.clone()),
            Some(Value::String(text)) => {
                self.faults.push(Fault::new(path, format!("`{}` is no name", shortened(text))).expected(RULE));
            }
            Some(other) => self.wrong(path, other, RULE),
        }
        None
    }

    /// One of the words of a closed list.
    fn word<T: Copy>(&mut self, path: &str, value: &Value, words: &[(&'static str, T)]) -> Option<T> {
        let list = words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        let expected = format!("one of {}", list.join(", "));
        let Value::String(text) = value else {
            self.wrong(path, value, &expected);
            return None;
        };
        let found = words.iter().find(|(word, _)| word == text).map(|(_, meant)| *meant);
        if found.is_none() {
            let fault = Fault::new(path, format!("`{}` is unknown", shortened(text))).expected(expected);
            self.faults.push(fault.meant(text, list));
        }
        found
    }

    fn policy_type(&mut self, value: Option<&Value>) -> PolicyType {
        let words = [
            ("INTERVENTION", PolicyType::Intervention),
            ("COORDINATION", PolicyType::Coordination),
            ("ESCALATION", PolicyType::Escalation),
            ("LEARNING", PolicyType::Learning),
        ];
        value.and_then(|value| self.word("policy_type", value, &words)).unwrap_or_default()
    }

    fn number(&mut self, path: &str, value: Option<&Value>) -> Option<f64> {
        match value {
            None => {
                self.faults.push(Fault::new(path, "it is missing").expected("a number"));
                None
            }
            Some(Value::Number(number)) => number.as_f64(),
            Some(other) => {
                self.wrong(path, other, "a number");
                None
            }
        }
    }

    fn truth(&mut self, path: &str, value: Option<&Value>) -> bool {
        match value {
            None => false,
            Some(Value::Bool(truth)) => *truth,
            Some(other) => {
                self.wrong(path, other, "true or false");
                false
            }
        }
    }

    fn priority(&mut self, value: Option<&Value>) -> i32 {
        let read = value.map(|value| value.as_i64().and_then(|number| i32::try_from(number).ok()));
        match read {
            None => 0,
            Some(Some(priority)) => priority,
            Some(None) => {
                let fault = Fault::new("priority", "this is no whole number, or too large a one");
                self.faults.push(fault.expected(format!("a whole number from {} to {}", i32::MIN, i32::MAX)));
                0
            }
        }
    }

    fn supervisors(&mut self, value: Option<&Value>) -> Vec<SupervisorId> {
        let items = match value {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items.as_slice(),
            Some(other) => {
                self.wrong("supervisors", other, "a list of names of supervisors");
                return Vec::new();
            }
        };
        let names =
            items.iter().enumerate().filter_map(|(at, item)| self.name(&format!("supervisors[{at}]"), Some(item)));
        names.map(SupervisorId::from).collect()
    }

    fn variables(&mut self, value: Option<&Value>) -> BTreeMap<String, Variable> {
        let Some(value) = value.filter(|value| !value.is_null()) else { return BTreeMap::new() };
        let Some(map) = self.map("variables", value) else { return BTreeMap::new() };
        let mut variables = BTreeMap::new();
        for (name, value) in map {
            let path = format!("variables.{}", shortened(name));
            let variable = match value {
                // A plain number: it has a name and no room to move.
                Value::Number(number) => {
                    let figure = number.as_f64().unwrap_or(f64::NAN);
                    Some(Variable { value: figure, min: figure, max: figure, adaptive: false })
                }
                Value::Object(map) => self.variable(&path, map),
                Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {
                    self.wrong(&path, value, "a number, or a mapping with `value`, `min` and `max`");
                    None
                }
            };
            // What could not be read is known by name all the same: who uses it is not told that it is missing.
            let unread = Variable { value: 0.0, min: 0.0, max: 0.0, adaptive: false };
            variables.insert(name.clone(), variable.unwrap_or(unread));
        }
        self.faults.extend(check::variables(&variables));
        variables
    }

    fn variable(&mut self, path: &str, map: &Map<String, Value>) -> Option<Variable> {
        self.known_keys(path, map, &["value", "min", "max", "adaptive"]);
        let adaptive = self.truth(&format!("{path}.adaptive"), map.get("adaptive"));
        let value = self.number(&format!("{path}.value"), map.get("value"));
        let min = self.number(&format!("{path}.min"), map.get("min"));
        let max = self.number(&format!("{path}.max"), map.get("max"));
        Some(Variable { value: value?, min: min?, max: max?, adaptive })
    }

    fn definition(&mut self, map: &Map<String, Value>, variables: &BTreeMap<String, Variable>) -> Option<Definition> {
        let (base, map) = match map.get("definition") {
            None => ("", map),
            Some(value) => {
                for key in ["when", "condition", "actions"].into_iter().filter(|key| map.contains_key(*key)) {
                    let fault = Fault::new(key, "it stands beside `definition`, and belongs into it");
                    self.faults.push(fault.expected("either `definition`, or `when` and `actions`"));
                }
                let inner = self.map("definition", value)?;
                self.known_keys("definition", inner, &["when", "condition", "actions"]);
                ("definition.", inner)
            }
        };
        let condition = self.either(base, map, variables);
        let actions = self.actions(&format!("{base}actions"), map.get("actions"), variables);
        Some(Definition { condition: condition?, actions: actions? })
    }

    /// `when` or `condition`.
    fn either(
        &mut self,
        base: &str,
        map: &Map<String, Value>,
        variables: &BTreeMap<String, Variable>,
    ) -> Option<Condition> {
        let (when, tree) = (format!("{base}when"), format!("{base}condition"));
        match (map.get("when"), map.get("condition")) {
            (Some(Value::String(text)), None) => {
                let parsed =
                    expression::parse(text).map_err(|fault| self.faults.push(Fault { path: when.clone(), ..fault }));
                let parsed = parsed.ok()?;
                self.faults.extend(check::condition(&parsed.condition, Some(&parsed.located), &when, variables));
                Some(parsed.condition)
            }
            (None, Some(value)) => {
                let condition = self.condition(&tree, value, 1)?;
                self.faults.extend(check::condition(&condition, None, &tree, variables));
                Some(condition)
            }
            (Some(_), Some(_)) => {
                let fault = Fault::new(when, "there is a `condition` as well").expected("one of the two");
                self.faults.push(fault);
                None
            }
            (Some(other), None) => {
                self.wrong(&when, other, "an expression, such as `agent.anomaly_score >= 0.8`");
                None
            }
            (None, None) => {
                self.faults.push(Fault::new(when, "it is missing").expected("an expression; or `condition`, a tree"));
                None
            }
        }
    }

    fn condition(&mut self, path: &str, value: &Value, depth: usize) -> Option<Condition> {
        if depth > CONDITION_DEPTH_MAX {
            let fault = Fault::new(path, "the condition is nested too deeply");
            self.faults.push(fault.expected(format!("at most {CONDITION_DEPTH_MAX} levels")));
            return None;
        }
        if let Value::String(_) = value {
            let fault = Fault::new(path, "this is a text").expected("a mapping with `type`");
            self.faults.push(fault.help(Some("an expression stands under `when`".into())));
            return None;
        }
        let map = self.map(path, value)?;
        let Some(kind) = map.get("type") else {
            let fault = Fault::new(format!("{path}.type"), "it is missing");
            self.faults.push(fault.expected("one of field_comparison, composite"));
            return None;
        };
        let composite =
            self.word(&format!("{path}.type"), kind, &[("field_comparison", false), ("composite", true)])?;
        if composite { self.composite(path, map, depth) } else { self.comparison(path, map) }
    }

    fn comparison(&mut self, path: &str, map: &Map<String, Value>) -> Option<Condition> {
        self.known_keys(path, map, &["type", "field", "operator", "value"]);
        let field = self
            .needed(path, "field", map, "the path of a field")
            .and_then(|value| self.text(&format!("{path}.field"), Some(value)));
        let operators = Comparison::ALL.map(|one| (one.as_str(), one));
        let operator = self
            .needed(path, "operator", map, "a comparison")
            .and_then(|value| self.word(&format!("{path}.operator"), value, &operators));
        let value = self.needed(path, "value", map, "what the field is compared with").cloned();
        Some(Condition::FieldComparison { field: field?, operator: operator?, value: value? })
    }

    fn composite(&mut self, path: &str, map: &Map<String, Value>, depth: usize) -> Option<Condition> {
        self.known_keys(path, map, &["type", "operator", "conditions"]);
        let operators = Junction::ALL.map(|one| (one.as_str(), one));
        let operator = self
            .needed(path, "operator", map, "AND, OR or NOT")
            .and_then(|value| self.word(&format!("{path}.operator"), value, &operators));
        let parts = match self.needed(path, "conditions", map, "a list of conditions") {
            Some(Value::Array(items)) => {
                let deeper = depth.saturating_add(1);
                let read = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| self.condition(&format!("{path}.conditions[{at}]"), item, deeper));
                // Every part is read, so that all faults are told, before one that could not be ends it.
                read.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
            }
            Some(other) => {
                self.wrong(&format!("{path}.conditions"), other, "a list of conditions");
                None
            }
            None => None,
        };
        Some(Condition::Composite { operator: operator?, conditions: parts? })
    }

    fn needed<'v>(&mut self, path: &str, key: &str, map: &'v Map<String, Value>, expected: &str) -> Option<&'v Value> {
        let value = map.get(key);
        if value.is_none() {
            self.faults.push(Fault::new(format!("{path}.{key}"), "it is missing").expected(expected));
        }
        value
    }

    fn actions(
        &mut self,
        path: &str,
        value: Option<&Value>,
        variables: &BTreeMap<String, Variable>,
    ) -> Option<Vec<ActionSpec>> {
        let items = match value {
            None => {
                self.faults.push(Fault::new(path, "it is missing").expected("a list of at least one action"));
                return None;
            }
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong(path, other, "a list of actions");
                return None;
            }
        };
        let read = items.iter().enumerate().map(|(at, item)| self.action(&format!("{path}[{at}]"), item));
        let actions = read.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?;
        self.faults.extend(check::actions(&actions, path, variables));
        Some(actions)
    }

    fn action(&mut self, path: &str, value: &Value) -> Option<ActionSpec> {
        const KEYS: [&str; 7] =
            ["type", "target", "reason", "approval_required", "stagger_seconds", "sinks", "parameters"];
        let map = self.map(path, value)?;
        self.known_keys(path, map, &KEYS);
        let kinds = ActionKind::ALL.map(|one| (one.as_str(), one));
        let kind = self
            .needed(path, "type", map, "what to do")
            .and_then(|value| self.word(&format!("{path}.type"), value, &kinds));
        let target = self.text(&format!("{path}.target"), map.get("target"));
        let reason = self.text(&format!("{path}.reason"), map.get("reason")).unwrap_or_default();
        let approval_required = self.truth(&format!("{path}.approval_required"), map.get("approval_required"));
        let stagger = map.get("stagger_seconds").filter(|value| !value.is_null());
        let stagger_seconds = stagger.and_then(|value| self.number(&format!("{path}.stagger_seconds"), Some(value)));
        let sinks = self.sinks(&format!("{path}.sinks"), map.get("sinks"));
        let parameters = match map.get("parameters") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(value) => self.map(&format!("{path}.parameters"), value)?.clone().into_iter().collect(),
        };
        let kind = kind?;
        let target = target.unwrap_or_else(|| kind.default_target().to_owned());
        Some(ActionSpec { kind, target, reason, approval_required, stagger_seconds, sinks, parameters })
    }

    fn sinks(&mut self, path: &str, value: Option<&Value>) -> Vec<String> {
        match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => {
                let texts = items.iter().enumerate();
                texts.filter_map(|(at, item)| self.text(&format!("{path}[{at}]"), Some(item))).collect()
            }
            Some(other) => {
                self.wrong(path, other, "a list of names of sinks");
                Vec::new()
            }
        }
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
        assert_eq!(one.when, when);
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
