//! Specifications of agents and documents of policies with each of their values put to something else: what is said of them.

use std::fmt::Write as _;

use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::policy::fault::{Fault, refusal};
use hb_core::supervise::spec::AgentSpec;
use serde_json::{Value, json};

use super::ledger::{assert_recorded, digest};

/// Every place of a document, as pointers.
fn places(at: &str, document: &Value, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match document {
        Value::Object(map) => map.iter().for_each(|(key, one)| places(&format!("{at}/{key}"), one, all)),
        Value::Array(list) => list.iter().enumerate().for_each(|(key, one)| places(&format!("{at}/{key}"), one, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is put there.
fn edges() -> Vec<Value> {
    let numbers = [
        json!(0),
        json!(1),
        json!(2),
        json!(-1),
        json!(0.5),
        json!(0.500_1),
        json!(1e12),
        json!(365),
        json!(1_000),
        json!(1_001),
        json!(1_000_000),
        json!(1_000_001),
        json!(86_400),
        json!(31_536_000),
        json!(31_536_001),
        json!(3_153_600_000_u64),
        json!(3_153_600_001_u64),
    ];
    let words = [
        "",
        " ",
        "x",
        "a/b",
        "a b",
        "TERM",
        "nul\u{0}",
        "h:1",
        "h:",
        ":1",
        "h:70000",
        "http://h/x",
        "https://",
        "ftp://h",
        "[::1]:80",
        "é",
    ];
    let long = ["a".repeat(64), "a".repeat(65), "a".repeat(200), "a".repeat(201), "a".repeat(5_000)];
    let mut all: Vec<Value> =
        numbers.into_iter().chain(words.map(|word| json!(word))).chain(long.map(|word| json!(word))).collect();
    all.extend([
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!(["x"]),
        json!(["x", "x"]),
        json!([""]),
        json!([1]),
    ]);
    all.push(json!((0..101).map(|n| format!("n{n}")).collect::<Vec<_>>()));
    all
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() > 40 { format!("{}… ({})", text.chars().take(30).collect::<String>(), text.len()) } else { text }
}

fn specs() -> Vec<Value> {
    vec![
        json!({
            "id": "a", "type": "worker", "depends_on": ["b", "c"], "watch": "w", "capacity": 1, "capabilities": ["x"], "tags": ["y"], "phase": "p",
            "process": {
                "command": ["x", "y"], "env": {"A": "b"}, "cwd": "/", "user": "nobody", "ready": {"by": {"tcp": "h:1"}, "within_sec": 5},
                "limits": {"open_files": 1, "processes": 1, "core_mb": 1, "address_space_mb": 1, "cpu_sec": 1, "memory_mb": 1, "cpu_percent": 1, "tasks": 1},
                "stop": {"signal": "TERM", "grace_sec": 1}, "output": {"max_mb": 1, "keep": 1}, "watchdog_sec": 5,
                "resources": {"memory_mb": 1, "cpu_percent": 50, "cpu_for_sec": 5, "open_files_percent": 50}
            },
            "restart": {"when": "always", "max_restarts": 3, "within_sec": 60, "backoff_sec": 1, "backoff_max_sec": 2, "jitter": 0.1, "reset_after_sec": 60},
            "beats": {"idle_ttl_sec": 1, "running_ttl_sec": 1, "degraded_after": 2, "unresponsive_after": 3, "first_within_sec": 60}
        }),
        json!({"id": "a", "process": {"command": ["x"], "ready": {"by": {"command": ["y"]}}}}),
        json!({"id": "a", "heartbeat": {"control": {"command": {"argv": ["x"], "timeout_sec": 1, "idempotent": true}}}}),
        json!({"id": "a", "heartbeat": {"control": {"webhook": {"url": "http://h/x", "timeout_sec": 1}}}}),
        json!({"id": "a", "probe": {"check": {"http": "http://h/x"}, "every_sec": 5, "timeout_sec": 1, "up_after": 1, "down_after": 3}}),
        json!({"id": "a", "probe": {"check": {"tcp": "h:1"}, "control": {"command": {"argv": ["x"]}}}}),
        json!({"id": "a", "probe": {"check": {"command": ["x"]}}}),
    ]
}

#[test]
fn specifications_are_judged_as_they_were() {
    let mut text = String::new();
    for (number, whole) in specs().iter().enumerate() {
        let read = serde_json::from_value::<AgentSpec>(whole.clone())
            .map(|spec| spec.faults())
            .map_err(|error| error.to_string());
        writeln!(text, "{number}: {read:?}").unwrap();
        let mut all = Vec::new();
        places("", whole, &mut all);
        for place in all.iter().filter(|place| !place.is_empty()) {
            for edge in edges() {
                let mut document = whole.clone();
                *document.pointer_mut(place).unwrap() = edge.clone();
                // What has another type is refused by its reader, in words of a library.
                let Ok(spec) = serde_json::from_value::<AgentSpec>(document) else { continue };
                let faults = spec.faults();
                if !faults.is_empty() {
                    writeln!(text, "{number} {place} = {}: {faults:?}", short(&edge)).unwrap();
                }
            }
        }
    }
    assert_recorded("specs", include_str!("specs.txt"), &text);
}

fn policies() -> Vec<Value> {
    vec![
        json!({
            "name": "p", "description": "d", "policy_type": "INTERVENTION", "when": "agent.anomaly_score >= ${variables.limit}",
            "actions": [{"type": "restart_agent", "target": "a", "reason": "${agent.id}", "approval_required": true}],
            "variables": {"limit": {"value": 0.5, "min": 0.1, "max": 0.9, "adaptive": true}}, "priority": 5, "supervisors": ["main"]
        }),
        json!({
            "name": "q", "actions": [{"type": "notify", "sinks": ["pager"]}, {"type": "restart_team", "stagger_seconds": 5}],
            "condition": {"type": "composite", "operator": "AND", "conditions": [
                {"type": "field_comparison", "field": "alert.kind", "operator": "==", "value": "died"},
                {"type": "composite", "operator": "NOT", "conditions": [
                    {"type": "field_comparison", "field": "agent.tags", "operator": "in", "value": ["x", "y"]}]}]}
        }),
        json!({"name": "r", "definition": {"condition": {"type": "field_comparison", "field": "agent.given_up", "operator": "==", "value": true},
            "actions": [{"type": "escalate", "reason": "why"}]}}),
    ]
}

fn told(faults: &[Fault]) -> String {
    let refusal = refusal(faults);
    format!("{:?}", (refusal.message, refusal.field, refusal.constraint)).chars().take(300).collect()
}

#[test]
fn policies_are_judged_as_they_were() {
    let mut text = String::new();
    for (number, whole) in policies().iter().enumerate() {
        let mut tell = |what: &str, document: &Value| {
            let read = PolicyDocument::read(document);
            match read {
                Ok(read) => {
                    writeln!(text, "{number} {what}: {}", digest(&serde_json::to_value(&read).unwrap())).unwrap()
                }
                Err(faults) => writeln!(text, "{number} {what}: {}", told(&faults)).unwrap(),
            }
        };
        tell("whole", whole);
        let mut all = Vec::new();
        places("", whole, &mut all);
        for place in &all {
            // Every third of them at a place, another third at the next one.
            for edge in edges().into_iter().skip(place.len() % 3).step_by(3) {
                let mut document = whole.clone();
                *document.pointer_mut(place).unwrap() = edge.clone();
                tell(&format!("{place} = {}", short(&edge)), &document);
            }
            let Some((above, key)) = place.rsplit_once('/') else { continue };
            let mut document = whole.clone();
            let Some(map) = document.pointer_mut(above).and_then(Value::as_object_mut) else { continue };
            let taken = map.remove(key).unwrap();
            tell(&format!("without {place}"), &document);
            document.pointer_mut(above).and_then(Value::as_object_mut).unwrap().insert(format!("{key}s"), taken);
            tell(&format!("{place} misspelt"), &document);
        }
    }
    assert_recorded("policy_documents", include_str!("policy_documents.txt"), &text);
}
