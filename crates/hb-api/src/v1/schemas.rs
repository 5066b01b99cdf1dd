//! Schemas of what the API takes and gives; they stand in `schemas.json`.
//!
//! What is taken is described whole, with every bound; a test holds each of these against what the reader knows. What is given is described by
//! the fields that are promised: there may be more.

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
