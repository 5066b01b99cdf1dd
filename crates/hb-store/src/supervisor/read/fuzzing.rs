//! See [`crate::fuzzing`].

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::Serialize;

use super::rows;

/// Kinds of rows, with their columns.
const KINDS: [(&str, &[&str]); 4] = [
    (
        "event",
        &[
            "id",
            "event_type",
            "severity",
            "supervisor_id",
            "process_id",
            "team_id",
            "policy_id",
            "intervention_id",
            "group_id",
            "caused_by",
            "message",
            "details",
            "timestamp",
            "acknowledged_by",
            "acknowledged_at",
        ],
    ),
    (
        "evaluation",
        &[
            "id",
            "supervisor_id",
            "policy_id",
            "policy_version",
            "agent_id",
            "trigger_event",
            "context",
            "decision",
            "decision_path",
            "action_taken",
            "interventions",
            "created_at",
        ],
    ),
    (
        "group",
        &[
            "id",
            "supervisor_id",
            "group_key",
            "concern",
            "severity",
            "alert_count",
            "alert_ids",
            "affected_agents",
            "correlation_summary",
            "first_alert_at",
            "last_alert_at",
            "resolved_at",
            "evaluated",
        ],
    ),
    (
        "supervisor",
        &["id", "name", "status", "parent_id", "hierarchy_level", "failure_reason", "last_heartbeat", "health_metrics"],
    ),
];

/// Reads a row of the database of this kind with these values in its columns, and gives it as a document.
///
/// # Errors
/// What is wrong with it, in words.
pub fn rows(kind: u8, values: &[serde_json::Value]) -> Result<serde_json::Value, String> {
    let (name, columns) = KINDS.get(usize::from(kind) % KINDS.len()).copied().unwrap_or(("none", &[]));
    let selected: Vec<String> = columns.iter().map(|column| format!("? AS {column}")).collect();
    let all = values.iter().map(value).chain(std::iter::repeat(Value::Null)).take(columns.len());
    CONNECTION.with(|connection| {
        let connection = connection.as_ref().map_err(Clone::clone)?;
        let told = |error: rusqlite::Error| error.to_string();
        let mut query = connection.prepare_cached(&format!("SELECT {}", selected.join(", "))).map_err(told)?;
        let read = query.query_row(params_from_iter(all), |row| {
            Ok(match name {
                "event" => document(&rows::event(row)?),
                "evaluation" => document(&rows::evaluation(row)?),
                "group" => document(&rows::group(row)?),
                _ => document(&rows::supervisor(row)?),
            })
        });
        read.map_err(told)?
    })
}

thread_local! {
    static CONNECTION: Result<Connection, String> = Connection::open_in_memory().map_err(|error| error.to_string());
}

fn document(row: &impl Serialize) -> Result<serde_json::Value, String> {
    serde_json::to_value(row).map_err(|error| error.to_string())
}

/// As SQLite would hold it.
fn value(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Integer(i64::from(*flag)),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::Real(number.as_f64().unwrap_or(0.0)), Value::Integer)
        }
        serde_json::Value::String(text) => Value::Text(text.clone()),
        // Columns with documents have them as text.
        document @ (serde_json::Value::Array(_) | serde_json::Value::Object(_)) => Value::Text(document.to_string()),
    }
}
