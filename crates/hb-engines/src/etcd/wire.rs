//! What is said to etcd's JSON gateway and what it answers: 64-bit numbers are strings, bytes are base64, zeros are left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hb_store::register::{Cell, CellVersion};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::follow::Said;

/// Bytes as the gateway writes them.
pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// A number that may be written as a string.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let value = Value::deserialize(from)?;
    match value.as_str() {
        Some(text) => text.parse().map_err(serde::de::Error::custom),
        None => value.as_i64().ok_or_else(|| serde::de::Error::custom("expected a number")),
    }
}

/// Bytes in base64.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// What stands at the head of every answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Header {
    /// Revision of the whole store.
    #[serde(default, deserialize_with = "number")]
    pub(super) revision: i64,
}

/// One key with its value.
#[derive(Debug, Deserialize)]
pub(super) struct Pair {
    #[serde(default, deserialize_with = "bytes")]
    pub(super) key: Vec<u8>,
    #[serde(default, deserialize_with = "bytes")]
    pub(super) value: Vec<u8>,
    /// Revision of the store that last changed it.
    #[serde(default, deserialize_with = "number")]
    pub(super) mod_revision: i64,
}

impl Pair {
    /// What it is as a cell.
    pub(super) fn into_cell(self) -> Cell {
        Cell { bytes: self.value, version: CellVersion(self.mod_revision.to_string()) }
    }
}

/// Answer to a range.
#[derive(Debug, Deserialize)]
pub(super) struct Ranged {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) kvs: Vec<Pair>,
    /// There is more beyond the limit.
    #[serde(default)]
    pub(super) more: bool,
}

/// Answer to a transaction.
#[derive(Debug, Deserialize)]
pub(super) struct Transacted {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    responses: Vec<Response>,
}

#[derive(Debug, Deserialize)]
struct Response {
    response_range: Option<InTransaction>,
}

#[derive(Debug, Deserialize)]
struct InTransaction {
    #[serde(default)]
    kvs: Vec<Pair>,
}

impl Transacted {
    /// What stands there, where the comparison failed.
    pub(super) fn standing(self) -> Option<Pair> {
        self.responses.into_iter().filter_map(|response| response.response_range).flat_map(|range| range.kvs).next()
    }
}

/// Answer to a login.
#[derive(Debug, Deserialize)]
pub(super) struct LoggedIn {
    pub(super) token: String,
}

/// What is compared before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum If {
    /// There is no such key.
    Absent,
    /// It was last changed by this revision.
    Unchanged(i64),
}

/// What is changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then<'a> {
    Put(&'a [u8]),
    Delete,
}

/// A transaction on one key; where the comparison fails it reads the key.
pub(super) fn transaction(key: &str, only_if: If, then: Then<'_>) -> Value {
    let key = base64(key);
    let compare = match only_if {
        If::Absent => json!({"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}),
        If::Unchanged(revision) => {
            json!({"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string()})
        }
    };
    let change = match then {
        Then::Put(value) => json!({"request_put": {"key": key, "value": base64(value)}}),
        Then::Delete => json!({"request_delete_range": {"key": key}}),
    };
    json!({"compare": [compare], "success": [change], "failure": [{"request_range": {"key": key}}]})
}

/// Reads one key, linearizable.
pub(super) fn range(key: &str) -> Value {
    json!({"key": base64(key)})
}

/// Reads up to `most` keys from `from` on that begin with `prefix`, by name; as they stood at a revision where one is given.
pub(super) fn page(from: &[u8], prefix: &str, most: usize, at: Option<i64>) -> Value {
    let mut end = prefix.as_bytes().to_vec();
    // Keys are ASCII: the byte after the last one exists.
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    json!({
        "key": base64(from),
        "range_end": base64(end),
        "limit": most.to_string(),
        "sort_target": "KEY",
        "sort_order": "ASCEND",
        "revision": at.unwrap_or(0).to_string(),
    })
}

/// Opens a stream of what happens to a key after a revision.
pub(super) fn watch(key: &str, after: i64) -> Value {
    json!({"create_request": {"key": base64(key), "start_revision": after.saturating_add(1).to_string()}})
}

#[derive(Debug, Deserialize)]
struct WatchLine {
    result: Option<Watched>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Watched {
    #[serde(default)]
    canceled: bool,
    #[serde(default)]
    cancel_reason: String,
    #[serde(default, deserialize_with = "number")]
    compact_revision: i64,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(default, rename = "type")]
    kind: String,
    kv: Option<Pair>,
}

/// Understands a line of a watch; of several events the newest counts.
///
/// # Errors
/// Why the watch is over.
pub(super) fn watched(line: &[u8]) -> Result<Said, String> {
    let line: WatchLine =
        serde_json::from_slice(line).map_err(|fault| format!("the watch says what is not understood: {fault}"))?;
    if let Some(error) = line.error {
        let said = error.get("message").and_then(Value::as_str).map_or_else(|| error.to_string(), str::to_owned);
        return Err(format!("etcd ended the watch: {said}"));
    }
    let Some(result) = line.result else { return Ok(Said::Alive) };
    if result.compact_revision > 0 {
        return Err(format!("etcd has compacted up to revision {}: the watch begins anew", result.compact_revision));
    }
    if result.canceled {
        return Err(format!("etcd ended the watch: {}", result.cancel_reason));
    }
    let Some(event) = result.events.into_iter().next_back() else { return Ok(Said::Alive) };
    if event.kind == "DELETE" {
        return Ok(Said::Now(None));
    }
    let pair = event.kv.ok_or("the watch tells of a change without its key")?;
    Ok(Said::Now(Some(pair.into_cell())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_gateway_are_understood() {
        let ranged: Ranged = serde_json::from_str(
            r#"{"header":{"cluster_id":"1","revision":"7"},"kvs":[{"key":"L2E=","mod_revision":"2","value":"aGk="}],"count":"1"}"#,
        )
        .unwrap();
        assert_eq!(
            (ranged.header.revision, ranged.kvs[0].mod_revision, ranged.kvs[0].value.as_slice()),
            (7, 2, b"hi".as_slice())
        );
        let lost: Transacted = serde_json::from_str(
            r#"{"header":{"revision":"7"},"responses":[{"response_range":{"kvs":[{"key":"L2E=","mod_revision":"2"}]}}]}"#,
        )
        .unwrap();
        assert!(!lost.succeeded);
        assert_eq!(lost.standing().unwrap().mod_revision, 2);
    }

    #[test]
    fn lines_of_a_watch_are_understood() {
        let said = |line: &str| watched(line.as_bytes());
        assert_eq!(said(r#"{"result":{"header":{},"created":true}}"#), Ok(Said::Alive));
        let put = r#"{"result":{"events":[{"kv":{"key":"L2E=","mod_revision":"3"}},{"kv":{"key":"L2E=","mod_revision":"5","value":"aGk="}}]}}"#;
        let newest = Cell { bytes: b"hi".to_vec(), version: CellVersion("5".into()) };
        assert_eq!(said(put), Ok(Said::Now(Some(newest))));
        assert_eq!(said(r#"{"result":{"events":[{"type":"DELETE","kv":{"mod_revision":"6"}}]}}"#), Ok(Said::Now(None)));
        assert!(said(r#"{"result":{"canceled":true,"compact_revision":"9"}}"#).unwrap_err().contains("compacted"));
        assert!(said(r#"{"result":{"canceled":true,"cancel_reason":"no"}}"#).unwrap_err().contains("no"));
        assert!(
            said(r#"{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}"#).unwrap_err().contains("no leader")
        );
        assert!(said("<html>").is_err());
    }
}
