//! Beats of agents: what they say of themselves, whole and unspoiled.
//!
//! The checksum is the SHA-256 of the rest of the document as JSON with sorted keys, in lower-case hexadecimal digits: without blanks, or with one
//! after each `,` and `:`, as many libraries write it. A beat that is not taken is answered with `received: false` and the status that says why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use hb_core::ids::AgentId;
use hb_core::supervise::agent::Lifecycle;
use hb_core::supervise::input::Beat;
use hb_core::supervise::step::Answer;
use hb_core::time::Stamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::access::Needs;
use super::agents;
use super::call::{self, Call, Outcome, ok};
use super::problem::Problem;
use super::rate::Kind;
use super::table::{BASE, Gives, LOOK, Route, Takes, Verb};

/// Most figures of one beat (B1).
const METRICS_MAX: usize = 100;
/// Most characters of a figure's name.
const METRIC_NAME_MAX: usize = 64;
/// Most characters of a task's name.
const TASK_MAX: usize = 200;

pub(super) const ROUTES: &[Route] = &[BEAT];

/// A beat, which those who know it for one need not look up.
pub(super) const BEAT: Route = Route {
    verb: Verb::Post,
    path: "/agents/{agent_id}/beat",
    name: "beat",
    says: "An agent says that it lives. Gaps and repetitions of its sequence are told in the answer's message.",
    room: "agents",
    needs: Needs::Beat,
    kind: Kind::Beat,
    takes: Takes::Json("Beat"),
    gives: Gives::Json("BeatAck"),
    call: |call| Box::pin(beat(call)),
    ..LOOK
};

/// Whose beat stands at this path; nobody's where it has to be taken apart first.
pub(crate) fn is_beat(path: &str) -> Option<&str> {
    let agent = path.strip_prefix(BASE)?.strip_prefix("/agents/")?.strip_suffix("/beat")?;
    let plain = !agent.is_empty() && agent.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'%');
    plain.then_some(agent)
}

/// A beat as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeatBody {
    #[serde(default)]
    agent_id: Option<AgentId>,
    /// By the sender's clock: checked, and otherwise not looked at.
    #[serde(default)]
    timestamp: Option<Value>,
    sequence_number: u64,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    current_task_id: Option<String>,
    #[serde(default)]
    health_metrics: Option<HealthMetrics>,
    #[serde(default)]
    checksum: Option<String>,
}

/// Figures of a beat.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HealthMetrics {
    cpu_usage_percent: Option<f64>,
    memory_usage_mb: Option<f64>,
    active_connections: Option<f64>,
    pending_operations: Option<f64>,
    last_error_timestamp: Option<Value>,
    custom_metrics: BTreeMap<String, f64>,
}

async fn beat(call: Call) -> Outcome {
    let id = agents::id(&call);
    let (read, sequence) = match plain(&id, &call.body) {
        Some(beat) => {
            let sequence = beat.sequence;
            (Ok(beat), sequence)
        }
        None => {
            let document = call.value()?;
            let sequence = document.get("sequence_number").and_then(Value::as_u64).unwrap_or(0);
            (read(&id, &document, &call.body), sequence)
        }
    };
    let answered = match read {
        Ok(beat) => match call.caller.may_beat_for(&id) {
            Ok(()) => call.beat(beat).await,
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    match answered {
        Ok(answer @ Answer::Beat { .. }) => ok(&answer),
        Ok(Answer::Done {} | Answer::Made { .. }) => {
            let message = "a beat was answered as something else: please report it";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", message))
        }
        Err(problem) => {
            let problem = problem.top("agent_id", id.as_str()).top("sequence_number", sequence).top("received", false);
            Ok(problem.into_response())
        }
    }
}

/// A beat without a checksum in which nothing is wrong: read once. For everything else there is [`read`], which says what is wrong.
fn plain(id: &AgentId, bytes: &[u8]) -> Option<Beat> {
    let body: BeatBody = serde_json::from_slice(bytes).ok()?;
    if body.checksum.is_some() { None } else { taken(id, body).ok() }
}

fn read(id: &AgentId, document: &Value, bytes: &[u8]) -> Result<Beat, Problem> {
    let body: BeatBody = call::read_json(bytes)?;
    if let Some(checksum) = &body.checksum {
        verify(document, checksum)?;
    }
    taken(id, body)
}

/// What a body comes to, but for its checksum.
fn taken(id: &AgentId, body: BeatBody) -> Result<Beat, Problem> {
    let BeatBody { agent_id, timestamp, sequence_number, status, current_task_id, health_metrics, checksum: _ } = body;
    if let Some(other) = agent_id.filter(|named| named != id) {
        return Err(
            Problem::invalid(format!("the body is a beat of {other}, the path of {id}")).field("agent_id", id.as_str())
        );
    }
    if i64::try_from(sequence_number).is_err() {
        let message = format!("sequence_number is {sequence_number}: it has to be below 2^63");
        return Err(Problem::invalid(message).field("sequence_number", "0 to 2^63 - 1"));
    }
    checked_time("timestamp", timestamp.as_ref())?;
    let metrics = health_metrics.map(figures).transpose()?.unwrap_or_default();
    let task = current_task_id.map(|task| task.chars().take(TASK_MAX).collect());
    Ok(Beat { agent: id.clone(), sequence: sequence_number, status: state(status.as_deref())?, task, metrics })
}

fn checked_time(field: &str, value: Option<&Value>) -> Result<(), Problem> {
    let good = match value {
        None | Some(Value::Null | Value::Number(_)) => true,
        // Times without a zone are common in beats; they are UTC then.
        Some(Value::String(text)) => Stamp::parse(text).is_ok() || Stamp::parse(&format!("{text}Z")).is_ok(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => false,
    };
    let constraint = "a time such as 2026-01-31T12:00:00Z, or seconds since 1970";
    if good { Ok(()) } else { Err(Problem::invalid(format!("{field} is no time")).field(field, constraint)) }
}

fn state(status: Option<&str>) -> Result<Option<Lifecycle>, Problem> {
    let Some(text) = status else { return Ok(None) };
    let read = serde_json::from_value(Value::String(text.to_uppercase())).ok();
    let constraint = "SPAWNING, IDLE, RUNNING, DEGRADED, FAILED, QUARANTINED or TERMINATED";
    let shown: String = text.chars().take(40).collect();
    let unknown =
        || Problem::invalid(format!("status is `{shown}`: it has to be {constraint}")).field("status", constraint);
    read.map(Some).ok_or_else(unknown)
}

fn figures(given: HealthMetrics) -> Result<BTreeMap<String, f64>, Problem> {
    let HealthMetrics {
        cpu_usage_percent,
        memory_usage_mb,
        active_connections,
        pending_operations,
        last_error_timestamp,
        custom_metrics,
    } = given;
    checked_time("health_metrics.last_error_timestamp", last_error_timestamp.as_ref())?;
    let mut figures = custom_metrics;
    let known = [
        ("cpu_usage_percent", cpu_usage_percent),
        ("memory_usage_mb", memory_usage_mb),
        ("active_connections", active_connections),
        ("pending_operations", pending_operations),
    ];
    figures.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let field = "health_metrics.custom_metrics";
    if figures.len() > METRICS_MAX {
        let message = format!("{field} has too many figures: {}", figures.len());
        return Err(Problem::invalid(message).field(field, format!("at most {METRICS_MAX} figures")));
    }
    match figures.keys().find(|name| name.chars().count() > METRIC_NAME_MAX) {
        Some(name) => {
            let shown: String = name.chars().take(40).collect();
            let constraint = format!("names of at most {METRIC_NAME_MAX} characters");
            Err(Problem::invalid(format!("{field}: the name `{shown}…` is too long")).field(field, constraint))
        }
        None => Ok(figures),
    }
}

fn verify(document: &Value, checksum: &str) -> Result<(), Problem> {
    let Value::Object(map) = document else { return Ok(()) };
    let mut rest: Map<String, Value> = map.clone();
    rest.remove("checksum");
    let rest = Value::Object(rest);
    let wanted = checksum.strip_prefix("sha256:").unwrap_or(checksum).to_ascii_lowercase();
    let fits = Form::ALL.into_iter().any(|form| hex(&Sha256::digest(sorted(&rest, form).as_bytes())) == wanted);
    if fits {
        return Ok(());
    }
    let message = "the checksum is not that of the rest: the beat was spoiled on its way, or is summed up otherwise";
    Err(Problem::new(StatusCode::BAD_REQUEST, "bad_checksum", message)
        .field("checksum", "SHA-256 of the rest as JSON with sorted keys, in hexadecimal digits"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// How the rest of a beat is written before it is summed up.
#[derive(Debug, Clone, Copy)]
struct Form {
    comma: &'static str,
    colon: &'static str,
    escaped: Escaped,
}

/// Whether letters beyond ASCII are written as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escaped {
    No,
    Yes,
}

impl Form {
    const ALL: [Self; 4] = [
        Self { comma: ",", colon: ":", escaped: Escaped::No },
        Self { comma: ", ", colon: ": ", escaped: Escaped::Yes },
        Self { comma: ",", colon: ":", escaped: Escaped::Yes },
        Self { comma: ", ", colon: ": ", escaped: Escaped::No },
    ];
}

/// A document of a beat as JSON with sorted keys. Its depth is bounded by the reader's.
fn sorted(value: &Value, form: Form) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text, form.escaped),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| sorted(item, form)).collect();
            format!("[{}]", items.join(form.comma))
        }
        Value::Object(map) => {
            let keys: BTreeMap<&String, &Value> = map.iter().collect();
            let pair = |(key, value): (&String, &Value)| {
                format!("{}{}{}", quoted(key, form.escaped), form.colon, sorted(value, form))
            };
            let pairs: Vec<String> = keys.into_iter().map(pair).collect();
            format!("{{{}}}", pairs.join(form.comma))
        }
    }
}

fn quoted(text: &str, escaped: Escaped) -> String {
    let plain = Value::String(text.to_owned()).to_string();
    if escaped == Escaped::No || plain.is_ascii() {
        return plain;
    }
    let mut units = [0_u16; 2];
    plain.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}").expect("writing to a string does not fail");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problem(document: &Value) -> Option<Problem> {
        read(&"a".into(), document, document.to_string().as_bytes()).err()
    }

    #[test]
    fn a_checksum_of_sorted_json_holds_in_each_usual_form_and_a_spoiled_beat_is_seen() {
        let mut beat = json!({"sequence_number": 7, "status": "RUNNING", "agent_id": "a", "current_task_id": "Zähler 𝄞",
            "health_metrics": {"cpu_usage_percent": 1.5, "custom_metrics": {"b": 1.0, "a": 2}}});
        // Summed up by Python: hashlib.sha256(json.dumps(rest, sort_keys=True).encode()), and with separators=(",", ":").
        let spaced = r#"{"agent_id": "a", "current_task_id": "Z\u00e4hler \ud834\udd1e", "health_metrics": {"cpu_usage_percent": 1.5, "custom_metrics": {"a": 2, "b": 1.0}}, "sequence_number": 7, "status": "RUNNING"}"#;
        let dense = r#"{"agent_id":"a","current_task_id":"Zähler 𝄞","health_metrics":{"cpu_usage_percent":1.5,"custom_metrics":{"a":2,"b":1.0}},"sequence_number":7,"status":"RUNNING"}"#;
        for text in [spaced, dense] {
            beat["checksum"] = hex(&Sha256::digest(text.as_bytes())).into();
            assert!(problem(&beat).is_none(), "{text}");
        }
        beat["sequence_number"] = 8.into();
        assert!(problem(&beat).is_some());
    }

    #[test]
    fn what_is_no_beat_is_refused_with_its_field() {
        for (document, field) in [
            (json!({}), "body"),
            (json!({"sequence_number": -1}), "sequence_number"),
            (json!({"sequence_number": 1, "status": "UNRESPONSIVE"}), "status"),
            (json!({"sequence_number": 1, "agent_id": "b"}), "agent_id"),
            (json!({"sequence_number": u64::MAX}), "sequence_number"),
            (json!({"sequence_number": 1, "timestamp": "yesterday"}), "timestamp"),
            (
                json!({"sequence_number": 1, "health_metrics": {"custom_metrics": {"x": "y"}}}),
                "health_metrics.custom_metrics.x",
            ),
            (json!({"sequence_number": 1, "more": 1}), "more"),
        ] {
            let problem = problem(&document).expect("a fault");
            assert!(
                format!("{problem:?}").contains(&format!("\"field\": String(\"{field}\")")),
                "{document}: {problem:?}"
            );
        }
        let good = json!({"sequence_number": 1, "timestamp": "2026-01-31T12:00:00.123456", "status": "idle"});
        assert!(problem(&good).is_none());
    }
}
