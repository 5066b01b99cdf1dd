//! A cell as a Lease object of `coordination.k8s.io/v1`, and back.
//!
//! The bytes stand in an annotation. Where they are hb's lease, the object's `spec` is filled from them, so that `kubectl get lease`
//! tells the truth; nothing is ever read back from it.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hb_core::time::Stamp;
use hb_store::register::{Cell, CellVersion};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Label with the deployment's name.
pub(super) const DEPLOYMENT: &str = "hb/deployment";
/// Annotation with the cell's name.
const CELL: &str = "hb/cell";
/// Annotation with the bytes, where they are text.
const TEXT: &str = "hb/text";
/// Annotation with the bytes in base64, where they are not.
const BASE64: &str = "hb/base64";
/// Annotation that is another one for every write: a write that changes nothing would keep its version.
const WRITE: &str = "hb/write";

/// What of a Lease object matters here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Object {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) spec: Spec,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    labels: Map<String, Value>,
    #[serde(default)]
    annotations: Map<String, Value>,
}

/// What `kubectl get lease` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    renew_time: Option<String>,
    acquire_time: Option<String>,
    lease_transitions: Option<i32>,
}

/// hb's lease, as far as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Shown {
    holder: Option<Mark>,
    ttl_ms: u64,
    #[serde(default)]
    released: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Mark {
    node: String,
    session: String,
    progress: u64,
}

impl Object {
    /// Which content of the object this is. Resource versions are not given twice while an object lives, and with its uid not after.
    pub(super) fn version(&self) -> CellVersion {
        CellVersion(format!("{}/{}", self.metadata.uid, self.metadata.resource_version))
    }

    /// Name and content of the cell.
    ///
    /// # Errors
    /// When the object is not one of ours.
    pub(super) fn cell(&self) -> Result<(String, Cell), String> {
        let name = &self.metadata.name;
        let text = |key: &str| self.metadata.annotations.get(key).and_then(Value::as_str);
        let cell =
            text(CELL).ok_or_else(|| format!("the Lease {name} is not one of hb's: it has no annotation {CELL}"))?;
        let bytes = match (text(TEXT), text(BASE64)) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(text)) => STANDARD
                .decode(text)
                .map_err(|fault| format!("the annotation {BASE64} of the Lease {name}: {fault}"))?,
            (None, None) | (Some(_), Some(_)) => {
                return Err(format!("the Lease {name} has not one of the annotations {TEXT} and {BASE64}"));
            }
        };
        Ok((cell.to_owned(), Cell { bytes, version: self.version() }))
    }
}

impl Object {
    /// The cell of an object that was asked for under a name. Where somebody has damaged what is ours by its label, its annotations stand
    /// for the content: nobody understands those, and whoever may change the cell puts it right. So nothing blocks for ever.
    ///
    /// # Errors
    /// When the object is not one of ours.
    pub(super) fn cell_of(&self, deployment: &str, name: &str) -> Result<Cell, String> {
        let what = match self.cell() {
            Ok((stands_for, cell)) if stands_for == name => return Ok(cell),
            Ok((stands_for, _)) => format!("the Lease {} is of cell {stands_for}, not {name}", self.metadata.name),
            Err(what) => what,
        };
        if self.metadata.labels.get(DEPLOYMENT).and_then(Value::as_str) != Some(deployment) {
            return Err(what);
        }
        tracing::warn!(what, "it has the label of this deployment: whoever changes the cell next replaces it");
        let bytes = serde_json::to_vec(&self.metadata.annotations).map_err(|fault| format!("{what}; {fault}"))?;
        Ok(Cell { bytes, version: self.version() })
    }
}

/// The parts of a version.
pub(super) fn parts(version: &CellVersion) -> Result<(&str, &str), String> {
    let parts = version.0.split_once('/').filter(|(uid, number)| !uid.is_empty() && !number.is_empty());
    parts.ok_or_else(|| format!("{:?} is no version of a Lease object", version.0))
}

/// An object to be written.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) deployment: &'a str,
    pub(super) object: &'a str,
    pub(super) cell: &'a str,
    pub(super) bytes: &'a [u8],
    /// Another one for every write.
    pub(super) write: &'a str,
    /// What stands there, where that is known.
    pub(super) before: Option<&'a Object>,
    /// Which version it must have, as uid and resource version; none: it must not be there.
    pub(super) only_if: Option<(&'a str, &'a str)>,
}

impl Draft<'_> {
    pub(super) fn to_json(&self, now: SystemTime) -> Value {
        let mut annotations = Map::new();
        annotations.insert(CELL.into(), self.cell.into());
        annotations.insert(WRITE.into(), self.write.into());
        match std::str::from_utf8(self.bytes) {
            Ok(text) => annotations.insert(TEXT.into(), text.into()),
            Err(_) => annotations.insert(BASE64.into(), STANDARD.encode(self.bytes).into()),
        };
        let labels = json!({DEPLOYMENT: self.deployment, "app.kubernetes.io/managed-by": "hb"});
        let mut metadata = json!({"name": self.object, "labels": labels, "annotations": annotations});
        if let (Some((uid, number)), Some(metadata)) = (self.only_if, metadata.as_object_mut()) {
            metadata.insert("uid".into(), uid.into());
            metadata.insert("resourceVersion".into(), number.into());
        }
        let mut out = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata});
        if let (Some(spec), Some(out)) = (self.spec(now), out.as_object_mut()) {
            out.insert("spec".into(), spec);
        }
        out
    }

    /// The lease for `kubectl`; none where the cell is no lease. Times are this node's wall clock, for people alone.
    fn spec(&self, now: SystemTime) -> Option<Value> {
        let shown: Shown = serde_json::from_slice(self.bytes).ok()?;
        let before = self.before.and_then(|object| {
            let shown: Shown = serde_json::from_slice(&object.cell().ok()?.1.bytes).ok()?;
            Some((shown.holder?, object.spec.clone()))
        });
        let mut spec = Map::new();
        spec.insert(
            "leaseDurationSeconds".into(),
            i32::try_from(shown.ttl_ms.div_ceil(1000).max(1)).unwrap_or(i32::MAX).into(),
        );
        let Some(mark) = shown.holder else { return Some(spec.into()) };
        let now = micros(now);
        let (renewed, acquired, transitions) = match before {
            None => (now.clone(), Some(now), 0),
            Some((old, spec)) if old.session != mark.session => {
                (now.clone(), Some(now), spec.lease_transitions.unwrap_or(0).saturating_add(1))
            }
            // Changed by somebody else, for the sake of its orders: that shows no life.
            Some((old, spec)) if old.progress == mark.progress && !shown.released => {
                (spec.renew_time.unwrap_or(now), spec.acquire_time, spec.lease_transitions.unwrap_or(0))
            }
            Some((_, spec)) => (now, spec.acquire_time, spec.lease_transitions.unwrap_or(0)),
        };
        if !shown.released {
            spec.insert("holderIdentity".into(), mark.node.into());
        }
        spec.insert("renewTime".into(), renewed.into());
        if let Some(acquired) = acquired {
            spec.insert("acquireTime".into(), acquired.into());
        }
        spec.insert("leaseTransitions".into(), transitions.max(0).into());
        Some(spec.into())
    }
}

/// A time as `MicroTime` wants it: with six digits of a second, no more and no less.
fn micros(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let whole = i64::try_from(since.as_secs()).unwrap_or(0).saturating_mul(1_000_000_000);
    let seconds = Stamp(whole).to_string();
    format!("{}.{:06}Z", seconds.trim_end_matches('Z'), since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn draft<'a>(bytes: &'a [u8], before: Option<&'a Object>) -> Draft<'a> {
        Draft { deployment: "d", object: "d.a", cell: "a", bytes, write: "w", before, only_if: Some(("u", "7")) }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::new(1_700_000_000 + seconds, 250_000)
    }

    fn document(node: &str, session: &str, progress: u64) -> Value {
        let holder =
            json!({"node": node, "pid": 1, "session": session, "epoch": 1, "progress": progress, "shown_ms": 1});
        json!({"format": 1, "holder": holder, "ttl_ms": 2500, "released": false})
    }

    fn lease(node: &str, session: &str, progress: u64) -> Vec<u8> {
        serde_json::to_vec(&document(node, session, progress)).unwrap()
    }

    fn released(node: &str, session: &str, progress: u64) -> Vec<u8> {
        let mut document = document(node, session, progress);
        document["released"] = true.into();
        serde_json::to_vec(&document).unwrap()
    }

    #[test]
    fn bytes_come_back_text_or_not() {
        for bytes in [b"".as_slice(), b"text\n", &[0xff, 0, 1]] {
            let object: Object = serde_json::from_value(draft(bytes, None).to_json(at(0))).unwrap();
            let (name, cell) = object.cell().unwrap();
            assert_eq!((name.as_str(), cell.bytes.as_slice(), cell.version.0.as_str()), ("a", bytes, "u/7"));
        }
        let foreign: Object = serde_json::from_value(json!({"metadata": {"name": "x"}})).unwrap();
        assert!(foreign.cell().unwrap_err().contains("not one of hb's"));
    }

    #[test]
    fn what_is_ours_and_was_damaged_can_be_replaced() {
        let whole = draft(b"text", None).to_json(at(0));
        let read = |value: &Value| serde_json::from_value::<Object>(value.clone()).unwrap();
        assert_eq!(read(&whole).cell_of("d", "a").unwrap().bytes, b"text");
        for (key, value) in [(TEXT, Value::Null), (CELL, json!("b")), (BASE64, json!("eA=="))] {
            let mut damaged = whole.clone();
            damaged["metadata"]["annotations"][key] = value;
            let cell = read(&damaged).cell_of("d", "a").unwrap();
            assert_eq!(cell.version, read(&whole).version());
            assert_ne!(cell.bytes, b"text", "{key}");
            assert!(read(&damaged).cell_of("other", "a").is_err(), "{key}");
        }
        let mut nobodys = whole.clone();
        nobodys["metadata"]["labels"] = json!({});
        nobodys["metadata"]["annotations"] = json!({});
        assert!(read(&nobodys).cell_of("d", "a").unwrap_err().contains("not one of hb's"));
    }

    #[test]
    fn a_lease_is_shown_as_one() {
        let written = |bytes: &[u8], before: Option<&Object>, seconds: u64| {
            let value = draft(bytes, before).to_json(at(seconds));
            let object: Object = serde_json::from_value(value.clone()).unwrap();
            (value["spec"].clone(), object)
        };
        let (spec, first) = written(&lease("a", "s", 1), None, 0);
        let time = "2023-11-14T22:13:20.000250Z";
        let expected = json!({"holderIdentity": "a", "leaseDurationSeconds": 3, "renewTime": time, "acquireTime": time, "leaseTransitions": 0});
        assert_eq!(spec, expected);
        let (spec, second) = written(&lease("a", "s", 2), Some(&first), 1);
        assert_eq!((&spec["renewTime"], &spec["acquireTime"]), (&json!("2023-11-14T22:13:21.000250Z"), &json!(time)));
        let (spec, _) = written(&lease("a", "s", 2), Some(&second), 9);
        assert_eq!(spec["renewTime"], "2023-11-14T22:13:21.000250Z", "orders show no life");
        let (spec, third) = written(&released("a", "s", 2), Some(&second), 2);
        assert!(spec.get("holderIdentity").is_none(), "given back");
        let (spec, _) = written(&lease("b", "t", 1), Some(&third), 3);
        assert_eq!((&spec["holderIdentity"], &spec["leaseTransitions"]), (&json!("b"), &json!(1)));
        let (spec, _) = written(b"no lease", None, 0);
        assert_eq!(spec, Value::Null);
    }

    #[test]
    fn versions_have_two_parts() {
        assert_eq!(parts(&CellVersion("u/7".into())), Ok(("u", "7")));
        for bad in ["", "7", "/7", "u/"] {
            assert!(parts(&CellVersion(bad.into())).is_err(), "{bad}");
        }
    }
}
