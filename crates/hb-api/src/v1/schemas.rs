//! Schemas of what the API takes and gives.
//!
//! What is taken is described whole, with every bound; a test holds each of these against what the reader knows. What is given is described by
//! the fields that are promised: there may be more.

use serde_json::{Map, Value, json};

const ID: &str = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$";

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

/// What is taken: these fields and no others.
fn taken(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

/// What is given: at least these fields.
fn given(properties: &Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    json!({"type": "object", "required": required, "properties": properties})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// Every schema, by name.
pub(super) fn all() -> Map<String, Value> {
    let mut all = Map::new();
    for (name, schema) in
        common().into_iter().chain(spec_schemas()).chain(requests()).chain(policy_schemas()).chain(answers())
    {
        all.insert(name.to_owned(), schema);
    }
    all
}

type Named = (&'static str, Value);

fn common() -> Vec<Named> {
    let text = json!({"type": "string"});
    vec![
        ("Any", json!({})),
        ("Id", json!({"type": "string", "pattern": ID, "description": "Letters, digits, `.`, `_`, `-`, at most 64."})),
        ("Name", json!({"type": "string", "minLength": 1, "maxLength": 255})),
        ("Time", json!({"type": "string", "format": "date-time"})),
        ("Texts", json!({"type": "array", "items": text})),
        ("Mapping", json!({"type": "object"})),
        ("Argv", json!({"type": "array", "items": text, "minItems": 1})),
        (
            "Problem",
            json!({
                "type": "object",
                "required": ["error", "message", "details"],
                "properties": {
                    "error": {"type": "string", "description": "A word for programs."},
                    "message": {"type": "string", "description": "What is wrong and what to do."},
                    "details": {
                        "type": "object",
                        "properties": {
                            "field": {"type": "string"},
                            "constraint": {"type": "string"},
                            "faults": {"type": "array", "items": {"type": "object"}},
                            "active": {"type": "object", "description": "The node to be asked instead."},
                        },
                    },
                },
            }),
        ),
    ]
}

fn seconds(default: f64) -> Value {
    json!({"type": "number", "minimum": 0, "default": default})
}

fn spec_schemas() -> Vec<Named> {
    let (text, whole, ids) = (
        json!({"type": "string"}),
        json!({"type": "integer", "minimum": 0}),
        json!({"type": "array", "items": reference("Id")}),
    );
    let ready = json!({"oneOf": [
        {"enum": ["started", "notify", "beat"]},
        taken(&["tcp"], json!({"tcp": text})),
        taken(&["command"], json!({"command": reference("Argv")})),
    ]});
    let control = json!({"oneOf": [
        taken(&["command"], json!({"command": {"type": "object", "required": ["argv"], "properties":
            {"argv": reference("Argv"), "timeout_sec": seconds(30.0), "idempotent": {"type": "boolean"}}}})),
        taken(&["webhook"], json!({"webhook": {"type": "object", "required": ["url"], "properties":
            {"url": text, "timeout_sec": seconds(30.0), "idempotent": {"type": "boolean"}}}})),
    ]});
    let check = json!({"oneOf": [
        taken(&["http"], json!({"http": text})),
        taken(&["tcp"], json!({"tcp": text})),
        taken(&["command"], json!({"command": reference("Argv")})),
    ]});
    vec![
        (
            "AgentSpec",
            taken(
                &["id"],
                json!({
                    "id": reference("Id"), "type": parameter("agent_type"), "process": reference("ProcessSpec"), "heartbeat": reference("RemoteSpec"),
                    "probe": reference("ProbeSpec"), "restart": reference("RestartRule"), "beats": reference("BeatRule"), "depends_on": ids,
                    "watch": text, "wanted": {"enum": ["up", "down"], "default": "up"}, "phase": text, "capabilities": reference("Texts"),
                    "capacity": {"type": "integer", "minimum": 1, "default": 1}, "tags": reference("Texts"), "metadata": reference("Mapping"),
                }),
            ),
        ),
        (
            "ProcessSpec",
            taken(
                &["command"],
                json!({
                    "command": reference("Argv"), "env": {"type": "object", "additionalProperties": text}, "cwd": text, "user": text,
                    "limits": reference("Limits"), "ready": taken(&[], json!({"by": ready, "within_sec": seconds(60.0)})),
                    "stop": taken(&[], json!({"signal": {"enum": ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"], "default": "TERM"}, "grace_sec": seconds(10.0)})),
                    "output": taken(&[], json!({"max_mb": whole, "keep": whole})),
                    "resources": taken(&[], json!({"memory_mb": whole, "cpu_percent": {"type": "number"}, "cpu_for_sec": {"type": "number"},
                        "open_files_percent": {"type": "number"}})),
                    "watchdog_sec": {"type": "number"},
                }),
            ),
        ),
        (
            "Limits",
            taken(
                &[],
                json!({
                    "open_files": whole, "processes": whole, "core_mb": whole, "address_space_mb": whole, "cpu_sec": whole, "memory_mb": whole,
                    "cpu_percent": whole, "tasks": whole,
                }),
            ),
        ),
        ("RemoteSpec", taken(&[], json!({"control": control}))),
        (
            "ProbeSpec",
            taken(
                &["check"],
                json!({
                    "check": check, "every_sec": seconds(10.0), "timeout_sec": seconds(5.0), "up_after": {"type": "integer", "minimum": 1, "default": 1},
                    "down_after": {"type": "integer", "minimum": 1, "default": 3}, "control": control,
                }),
            ),
        ),
        (
            "RestartRule",
            taken(
                &[],
                json!({
                    "when": {"enum": ["always", "on_failure", "never"], "default": "always"}, "max_restarts": {"type": "integer", "minimum": 0, "default": 3},
                    "within_sec": seconds(3600.0), "backoff_sec": seconds(5.0), "backoff_max_sec": seconds(80.0),
                    "jitter": {"type": "number", "minimum": 0, "maximum": 0.5, "default": 0.1}, "reset_after_sec": seconds(60.0),
                }),
            ),
        ),
        (
            "BeatRule",
            taken(
                &[],
                json!({
                    "idle_ttl_sec": {"type": "number"}, "running_ttl_sec": {"type": "number"}, "degraded_after": {"type": "integer", "minimum": 1, "default": 2},
                    "unresponsive_after": {"type": "integer", "minimum": 1, "default": 3}, "first_within_sec": seconds(60.0),
                }),
            ),
        ),
    ]
}

fn config() -> Value {
    let number = |min: f64, max: f64, default: f64| json!({"type": "number", "minimum": min, "maximum": max, "default": default});
    let whole = |min: u32, max: u32, default: u32| json!({"type": "integer", "minimum": min, "maximum": max, "default": default});
    taken(
        &[],
        json!({
            "heartbeat_interval": number(1.0, 300.0, 30.0), "policy_evaluation_interval": number(1.0, 60.0, 10.0),
            "alert_correlation_window": number(1.0, 3600.0, 300.0), "max_hierarchy_depth": whole(1, 10, 5),
            "intervention_timeout": number(1.0, 3600.0, 300.0), "policy_learning_rate": number(0.01, 0.5, 0.1),
            "max_concurrent_interventions": whole(1, 100, 10), "max_interventions_per_hour": whole(1, 100_000, 100),
            "approval_agents": whole(1, 10_000, 10), "approval_timeout": number(1.0, 86_400.0, 300.0), "mass_agents": whole(2, 10_000, 5),
            "mass_window": number(0.0, 60.0, 1.0),
        }),
    )
}

fn requests() -> Vec<Named> {
    let (text, truth) = (json!({"type": "string"}), json!({"type": "boolean", "default": false}));
    let role = json!({"enum": ["LEAD", "MEMBER", "TRAINEE"], "default": "MEMBER"});
    let member = json!({"oneOf": [
        reference("Id"),
        {"type": "object", "required": ["agent"], "properties": {"agent": reference("Id"), "role": role, "metadata": reference("Mapping")}},
    ]});
    let metrics = taken(
        &[],
        json!({
            "cpu_usage_percent": {"type": "number"}, "memory_usage_mb": {"type": "number"}, "active_connections": {"type": "number"},
            "pending_operations": {"type": "number"}, "last_error_timestamp": {}, "custom_metrics":
                {"type": "object", "additionalProperties": {"type": "number"}, "maxProperties": 90},
        }),
    );
    vec![
        ("SupervisorConfig", config()),
        (
            "NewSupervisor",
            taken(
                &["name"],
                json!({
                    "id": reference("Id"), "name": reference("Name"), "description": text, "parent_id": reference("Id"), "config": reference("SupervisorConfig"),
                    "agents": {"type": "array", "items": reference("Id")},
                }),
            ),
        ),
        ("SupervisorChange", taken(&[], json!({"description": text, "config": reference("SupervisorConfig")}))),
        (
            "NewTeam",
            taken(
                &["name"],
                json!({
                    "id": reference("Id"), "supervisor_id": reference("Id"), "name": reference("Name"), "description": text, "objective": text,
                    "members": {"type": "array", "items": member},
                }),
            ),
        ),
        (
            "NewMember",
            taken(&["agent_id"], json!({"agent_id": reference("Id"), "role": role, "metadata": reference("Mapping")})),
        ),
        ("Reason", taken(&[], json!({"reason": text}))),
        ("Evidence", taken(&["evidence"], json!({"evidence": {"type": "string", "minLength": 1}}))),
        (
            "NewIntervention",
            taken(
                &["intervention_type", "target_id"],
                json!({
                    "supervisor_id": reference("Id"), "intervention_type": intervention_type(),
                    "target_type": {"enum": ["AGENT", "TEAM", "POLICY", "SUPERVISOR"], "default": "AGENT"}, "target_id": reference("Id"), "reason": text,
                    "action_details": reference("Mapping"), "approval_required": truth, "stagger_seconds": {"type": "number", "minimum": 0},
                    "emergency": truth, "confirm": truth,
                }),
            ),
        ),
        ("Settlement", taken(&["done"], json!({"done": {"type": "boolean"}, "reason": text}))),
        (
            "NewAlert",
            taken(
                &["agent_id", "message"],
                json!({"agent_id": reference("Id"), "severity": severity(), "message": text}),
            ),
        ),
        ("Shutdown", taken(&[], json!({"agents": {"enum": ["leave", "stop"], "default": "leave"}, "reason": text}))),
        (
            "Beat",
            taken(
                &["sequence_number"],
                json!({
                    "agent_id": reference("Id"), "timestamp": {}, "sequence_number": parameter("number"), "status": lifecycle(), "current_task_id": text,
                    "health_metrics": metrics, "checksum": text,
                }),
            ),
        ),
    ]
}

fn intervention_type() -> Value {
    let words = hb_core::supervise::intervention::InterventionType::ALL.map(|kind| kind.as_str());
    json!({"enum": words})
}

fn policy_schemas() -> Vec<Named> {
    let text = json!({"type": "string"});
    let value = json!({"oneOf": [
        {"type": "number"},
        taken(&["value"], json!({"value": {"type": "number"}, "min": {"type": "number"}, "max": {"type": "number"}, "adaptive": {"type": "boolean"}})),
    ]});
    let actions = json!({"type": "array", "items": reference("Action"), "minItems": 1, "maxItems": 20});
    vec![
        (
            "Condition",
            json!({"oneOf": [
                taken(&["type", "field", "operator", "value"], json!({
                    "type": {"const": "field_comparison"}, "field": text, "operator": {"enum": ["==", "!=", ">", ">=", "<", "<=", "in", "not_in"]}, "value": {},
                })),
                taken(&["type", "operator", "conditions"], json!({
                    "type": {"const": "composite"}, "operator": {"enum": ["AND", "OR", "NOT"]}, "conditions": {"type": "array", "items": reference("Condition"), "minItems": 1},
                })),
            ]}),
        ),
        (
            "Action",
            json!({"type": "object", "required": ["type"], "properties": {
                "type": {"enum": ["restart_agent", "quarantine_agent", "start_agent", "stop_agent", "restart_team", "quarantine_team", "restart_all",
                    "quarantine_all", "reassign_task", "override_priority", "notify", "escalate"]},
                "target": text, "reason": text, "approval_required": {"type": "boolean"}, "stagger_seconds": {"type": "number"}, "sinks": reference("Texts"),
                "parameters": reference("Mapping"),
            }}),
        ),
        (
            "PolicyDocument",
            taken(
                &["name"],
                json!({
                    "name": reference("Id"), "description": text, "policy_type": {"enum": ["INTERVENTION", "COORDINATION", "ESCALATION", "LEARNING"]},
                    "when": {"type": "string", "examples": ["agent.anomaly_score >= 0.8 and agent.consecutive_anomalous_readings >= 3"]},
                    "condition": reference("Condition"), "actions": actions,
                    "definition": {"type": "object", "properties": {"condition": reference("Condition"), "when": text, "actions": actions}},
                    "variables": {"type": "object", "additionalProperties": value}, "priority": {"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX},
                    "supervisors": {"type": "array", "items": reference("Id")},
                }),
            ),
        ),
        ("Version", taken(&[], json!({"version": parameter("version")}))),
        (
            "Supposition",
            taken(
                &[],
                json!({
                    "agent_id": reference("Id"), "supervisor_id": reference("Id"), "version": parameter("version"),
                    "context": {"type": "object", "examples": [{"agent": {"anomaly_score": 0.9}}]},
                }),
            ),
        ),
        ("Acceptance", taken(&["accept"], json!({"accept": {"type": "boolean"}}))),
        (
            "NewAssignment",
            taken(
                &["policy_id"],
                json!({
                    "policy_id": reference("Id"), "priority": {"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX, "default": 0}, "enabled": {"type": "boolean", "default": true},
                }),
            ),
        ),
    ]
}

fn answers() -> Vec<Named> {
    let (text, number, whole, truth) = (
        json!({"type": "string"}),
        json!({"type": "number"}),
        json!({"type": "integer", "minimum": 0}),
        json!({"type": "boolean"}),
    );
    let (maybe_text, maybe_whole) = (json!({"type": ["string", "null"]}), json!({"type": ["integer", "null"]}));
    let (time, list, mapping) = (reference("Time"), json!({"type": "array"}), reference("Mapping"));
    let line = json!({
        "id": text, "type": text, "kind": text, "origin": text, "wanted": text, "status": lifecycle(), "health_status": text, "since": time,
        "incarnation": whole, "supervisor_id": maybe_text, "team_id": maybe_text, "pid": maybe_whole, "restart_count": whole, "given_up": truth,
        "last_heartbeat": maybe_text, "sequence_number": maybe_whole, "consecutive_missed_heartbeats": whole, "anomaly_score": number,
        "consecutive_anomalous_readings": whole, "said": text, "spec_version": whole,
    });
    let policy = json!({
        "name": text, "origin": text, "description": text, "policy_type": text, "is_active": truth, "active_version": maybe_whole,
        "newest_version": whole, "when": text, "dangerous": truth, "effectiveness_score": number, "total_evaluations": whole, "matches": whole,
        "successful_evaluations": whole, "on_duty": list,
    });
    vec![
        ("AgentLine", given(&line)),
        ("Agent", given(&line)),
        (
            "Supervisor",
            given(&json!({
                "id": text, "name": text, "description": text, "status": parameter("supervisor_status"), "wanted": text, "origin": text,
                "parent_id": maybe_text, "hierarchy_level": whole, "config": mapping, "config_version": whole, "policies": list, "teams": list,
                "failure_reason": maybe_text, "created_at": time, "updated_at": time, "last_heartbeat": maybe_text,
            })),
        ),
        (
            "SupervisorHealth",
            given(&json!({
                "id": text, "status": parameter("supervisor_status"), "health": {"enum": ["healthy", "unresponsive", "unknown", "failed", "terminated"]},
                "missed_heartbeats": whole, "last_heartbeat": maybe_text, "presence": reference("Presence"),
            })),
        ),
        (
            "Presence",
            given(&json!({"state": {"enum":
            ["starting", "recovering", "active", "paused", "degraded", "stopping", "stopped", "standby"]}})),
        ),
        (
            "Hierarchy",
            given(&json!({"ancestors": list, "id": text, "own": mapping, "total": mapping, "children": list})),
        ),
        (
            "Team",
            given(&json!({
                "id": text, "supervisor_id": text, "name": text, "description": text, "objective": text, "member_count": whole, "active_count": whole,
                "members": list,
            })),
        ),
        ("PolicyLine", given(&policy)),
        ("Policy", given(&policy)),
        (
            "PolicyVersion",
            given(
                &json!({"version": whole, "when": text, "definition": mapping, "variables": mapping, "created_by": text, "created_at": time, "is_active": truth}),
            ),
        ),
        ("PolicyDiff", given(&json!({"from": whole, "to": whole, "changes": list}))),
        (
            "PolicyEffectiveness",
            given(
                &json!({"name": text, "effectiveness_score": number, "total_evaluations": whole, "matches": whole, "successful_evaluations": whole}),
            ),
        ),
        (
            "Simulation",
            given(
                &json!({"would_match": truth, "would_execute": list, "decision_path": list, "context": mapping, "duration_ms": number}),
            ),
        ),
        ("Assignment", given(&json!({"policy": text, "priority": {"type": "integer"}, "enabled_at": time}))),
        (
            "Evaluation",
            given(
                &json!({"id": whole, "supervisor": text, "policy": text, "version": whole, "trigger": text, "context": mapping, "decision": truth, "decision_path": list, "action_taken": list, "at": time}),
            ),
        ),
        (
            "Intervention",
            given(&json!({
                "id": text, "supervisor": text, "intervention_type": intervention_type(), "target_type": text, "target_id": text, "reason": text,
                "requested_by": text, "status": {"enum": INTERVENTION_STATUS}, "plan": list, "created_at": time, "approval_required": truth,
            })),
        ),
        (
            "AlertGroup",
            given(&json!({
                "id": text, "supervisor": text, "group_key": text, "concern": text, "severity": severity(), "alert_count": whole, "alert_ids": list,
                "affected_agents": list, "correlation_summary": text, "first_alert_at": time, "last_alert_at": time,
            })),
        ),
        (
            "Event",
            given(
                &json!({"id": whole, "kind": text, "severity": severity(), "about": mapping, "by": text, "message": text, "at": time}),
            ),
        ),
        ("BeatAck", given(&json!({"agent_id": text, "sequence_number": whole, "received": truth}))),
        (
            "Why",
            given(
                &json!({"because": list, "agent": reference("Agent"), "next": list, "events": list, "interventions": list, "evaluations": list}),
            ),
        ),
        (
            "Status",
            given(&json!({
                "node": text, "presence": reference("Presence"), "epoch": whole, "supervisors": whole, "agents": mapping, "interventions_open": whole,
                "alert_groups_open": whole, "total_restarts": whole, "total_evaluations": whole, "uptime_seconds": number, "at": time,
            })),
        ),
        (
            "SystemStatus",
            given(&json!({
                "running": truth, "uptime_seconds": number, "supervised_count": whole, "healthy_count": whole, "degraded_count": whole,
                "unhealthy_count": whole, "total_restarts": whole,
            })),
        ),
        ("ShutdownAck", given(&json!({"agents": text, "running": whole}))),
    ]
}
