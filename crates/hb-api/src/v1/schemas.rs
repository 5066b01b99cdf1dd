//! Schemas of what the API takes and gives; they stand in `schemas.json`.
//!
//! What is taken is described whole, with every bound; a test holds each of these against what the reader knows. What is given is described by
//! the fields that are promised: there may be more.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

/// Schema of a parameter.
pub(super) fn parameter(name: &str) -> Value {
    match name {
        "id" => json!({"type": "string", "minLength": 1}),
        "number" => json!({"type": "integer", "minimum": 0, "maximum": i64::MAX}),
        "skip" => json!({"type": "integer", "minimum": 0, "default": 0}),
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": super::call::LIMIT_MAX, "default": 100}),
        "version" => json!({"type": "integer", "minimum": 1, "maximum": u32::MAX}),
        "order" => json!({"enum": ["newest", "oldest"], "default": "newest"}),
        "truth" => json!({"type": "boolean"}),
        "severity" => severity(),
        "lifecycle" => lifecycle(),
        "health" => json!({"enum": ["healthy", "stale", "degraded", "unresponsive", "quarantined", "down", "unknown"]}),
        "kind" => json!({"enum": ["process", "heartbeat", "probe"]}),
        "agent_type" => json!({"enum": ["worker", "monitor", "watchdog", "guardian"]}),
        "supervisor_status" => json!({"enum": ["SPAWNING", "ACTIVE", "PAUSED", "FAILED", "TERMINATED"]}),
        "intervention_status" => json!({"enum": INTERVENTION_STATUS}),
        _ => json!({"type": "string"}),
    }
}

const INTERVENTION_STATUS: [&str; 8] =
    ["PENDING", "APPROVED", "REJECTED", "EXECUTING", "COMPLETED", "FAILED", "IN_DOUBT", "ROLLED_BACK"];

fn severity() -> Value {
    json!({"enum": ["INFO", "WARNING", "ERROR", "CRITICAL"]})
}

fn lifecycle() -> Value {
    json!({"enum": ["SPAWNING", "IDLE", "RUNNING", "DEGRADED", "FAILED", "QUARANTINED", "TERMINATED"]})
}

/// A part of a list.
pub(super) fn list_of(item: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "items": item},
            "total": {"type": "integer", "minimum": 0, "description": "How many there are in all; absent for lists of history."},
            "next": {"type": "integer", "minimum": 0, "description": "`skip` or `after` of the next part; absent when this is the last."},
        },
    })
}

/// Every schema, by name.
pub(super) fn all() -> Map<String, Value> {
    serde_json::from_str(include_str!("schemas.json")).expect("the file is part of the program, and a test reads it")
}

/// How deep a document is looked into; the reader itself goes no deeper (B1).
const DEPTH_MAX: usize = 128;

/// Where a document has a list although its schema (by name, as in the API's document) wants a mapping there: a path. A reader would take the list's items for the fields in their order, which is
/// nobody's promise.
#[must_use]
pub fn list_for_mapping(schema: &str, document: &Value) -> Option<String> {
    static ALL: OnceLock<Map<String, Value>> = OnceLock::new();
    let all = ALL.get_or_init(all);
    let found = misplaced(all, all.get(schema)?, document, DEPTH_MAX)?;
    Some(if found.is_empty() { "body".to_owned() } else { found.join(".") })
}

/// The path to the first such list, below this place.
fn misplaced(all: &Map<String, Value>, schema: &Value, value: &Value, depth: usize) -> Option<Vec<String>> {
    let depth = depth.checked_sub(1)?;
    let mut forms = Vec::new();
    gather(all, schema, depth, &mut forms);
    match value {
        Value::Array(items) => {
            let is = |form: &&&Value, kind: &str| form.get("type").is_some_and(|found| found == kind);
            let list = forms.iter().find(|form| is(form, "array"));
            match list {
                None => forms.iter().any(|form| is(&form, "object")).then(Vec::new),
                Some(list) => {
                    let inner = list.get("items")?;
                    let found =
                        items.iter().enumerate().find_map(|(at, item)| Some((at, misplaced(all, inner, item, depth)?)));
                    found.map(|(at, rest)| [vec![at.to_string()], rest].concat())
                }
            }
        }
        Value::Object(map) => map.iter().find_map(|(key, value)| {
            let inner = forms.iter().find_map(|form| form.get("properties").and_then(|fields| fields.get(key)));
            let rest = misplaced(all, inner?, value, depth)?;
            Some([vec![key.clone()], rest].concat())
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Everything that a schema may mean: itself, what it refers to, and its alternatives.
fn gather<'a>(all: &'a Map<String, Value>, schema: &'a Value, depth: usize, forms: &mut Vec<&'a Value>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    forms.push(schema);
    let named = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
    if let Some(meant) = named.and_then(|name| all.get(name)) {
        gather(all, meant, depth, forms);
    }
    for key in ["anyOf", "oneOf"] {
        for form in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
            gather(all, form, depth, forms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_place_of_a_mapping_is_found_wherever_it_is() {
        for (schema, document, expected) in [
            ("Beat", json!({"sequence_number": 1, "health_metrics": [null]}), Some("health_metrics")),
            (
                "Beat",
                json!({"sequence_number": 1, "health_metrics": {"custom_metrics": []}}),
                Some("health_metrics.custom_metrics"),
            ),
            ("Beat", json!({"sequence_number": 1, "health_metrics": null}), None),
            ("AgentSpec", json!({"id": "a", "process": [["x"]]}), Some("process")),
            ("AgentSpec", json!({"id": "a", "process": {"command": ["x"], "limits": [1]}}), Some("process.limits")),
            ("AgentSpec", json!({"id": "a", "process": {"command": ["x"]}, "metadata": {"any": [1]}}), None),
            ("NewTeam", json!({"name": "t", "members": ["a", {"agent": "b"}]}), None),
            ("NewTeam", json!({"name": "t", "members": ["a", ["b"]]}), Some("members.1")),
            ("NewSupervisor", json!([1]), Some("body")),
        ] {
            assert_eq!(list_for_mapping(schema, &document).as_deref(), expected, "{document}");
        }
    }
}
