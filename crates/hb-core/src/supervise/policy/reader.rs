//! Reads the document of a policy part by part, and gathers everything that is wrong with it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::bounds::CONDITION_DEPTH_MAX;
use super::super::desk::names::{RULE, is_id};
use super::fault::Fault;
use super::lexer::shortened;
use super::{
    ActionKind, ActionSpec, Comparison, Condition, Definition, Junction, PolicyType, Variable, check, expression,
};
use crate::ids::SupervisorId;

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
pub(super) struct Reader {
    pub(super) faults: Vec<Fault>,
}

impl Reader {
    fn wrong(&mut self, path: &str, value: &Value, expected: &str) {
        self.faults.push(Fault::new(path, format!("this is {}", kind_of(value))).expected(expected));
    }

    pub(super) fn map<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        let map = value.as_object();
        if map.is_none() {
            self.wrong(path, value, "a mapping");
        }
        map
    }

    pub(super) fn known_keys(&mut self, path: &str, map: &Map<String, Value>, known: &[&str]) {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let path = if path.is_empty() { shortened(key) } else { format!("{path}.{}", shortened(key)) };
            let fault = Fault::new(path, "there is no such key").expected(format!("one of {}", known.join(", ")));
            self.faults.push(fault.meant(key, known.iter().copied()));
        }
    }

    pub(super) fn text(&mut self, path: &str, value: Option<&Value>) -> Option<String> {
        match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => {
                self.wrong(path, other, "a text");
                None
            }
        }
    }

    pub(super) fn name(&mut self, path: &str, value: Option<&Value>) -> Option<String> {
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

    pub(super) fn policy_type(&mut self, value: Option<&Value>) -> PolicyType {
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

    pub(super) fn priority(&mut self, value: Option<&Value>) -> i32 {
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

    pub(super) fn supervisors(&mut self, value: Option<&Value>) -> Vec<SupervisorId> {
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

    pub(super) fn variables(&mut self, value: Option<&Value>) -> BTreeMap<String, Variable> {
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

    pub(super) fn definition(
        &mut self,
        map: &Map<String, Value>,
        variables: &BTreeMap<String, Variable>,
    ) -> Option<Definition> {
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
