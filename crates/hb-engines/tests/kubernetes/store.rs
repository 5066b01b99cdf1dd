//! What an API server keeps of Lease objects, by the API conventions of Kubernetes.
//!
//! One counter gives resource versions, for all kinds of objects, so they have gaps. An update must name the version that it changes,
//! and changes nothing where nothing differs. A deleted object that is made again has another uid. Watches are served from a log
//! of events; what is older than the log is gone (410).

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A refusal: HTTP status, reason, message, and the object it is about.
pub(crate) struct Refusal(pub(crate) u16, pub(crate) &'static str, pub(crate) String, pub(crate) String);

impl Refusal {
    pub(crate) fn to_json(&self) -> Value {
        let Self(code, reason, message, name) = self;
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "details": {"name": name, "kind": "leases"}, "code": code,
        })
    }
}

pub(crate) type Answered = Result<Value, Refusal>;

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) kind: &'static str,
    pub(crate) object: Value,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    /// The newest resource version.
    pub(crate) number: u64,
    uids: u64,
    objects: BTreeMap<String, Value>,
    events: Vec<Event>,
    /// Everything up to here is forgotten by the log.
    pub(crate) forgotten: u64,
}

impl Store {
    fn next(&mut self) -> u64 {
        // Others' objects are changed too.
        self.number += 1 + self.number % 3;
        self.number
    }

    fn happened(&mut self, kind: &'static str, object: &Value) {
        self.events.push(Event { number: self.number, kind, object: object.clone() });
    }

    pub(crate) fn get(&self, name: &str) -> Answered {
        self.objects.get(name).cloned().ok_or_else(|| absent(name))
    }

    pub(crate) fn create(&mut self, mut object: Value) -> Answered {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        validate(&name, &object)?;
        if object["metadata"]["resourceVersion"].is_string() {
            return Err(Refusal(
                400,
                "BadRequest",
                "resourceVersion should not be set on objects to be created".into(),
                name,
            ));
        }
        if self.objects.contains_key(&name) {
            return Err(Refusal(409, "AlreadyExists", format!("leases \"{name}\" already exists"), name));
        }
        self.uids += 1;
        object["metadata"]["uid"] = format!("uid-{}", self.uids).into();
        object["metadata"]["resourceVersion"] = self.next().to_string().into();
        self.happened("ADDED", &object);
        self.objects.insert(name, object.clone());
        Ok(object)
    }

    pub(crate) fn update(&mut self, name: &str, mut object: Value) -> Answered {
        validate(name, &object)?;
        let standing = self.objects.get(name).ok_or_else(|| absent(name))?;
        let (asked, known) = (&object["metadata"], &standing["metadata"]);
        if !asked["resourceVersion"].is_string() {
            let what = "metadata.resourceVersion: must be specified for an update".into();
            return Err(Refusal(422, "Invalid", what, name.into()));
        }
        if asked["uid"].is_string() && asked["uid"] != known["uid"] {
            return Err(conflict(name, "Precondition failed: UID in precondition differs"));
        }
        if asked["resourceVersion"] != known["resourceVersion"] {
            return Err(conflict(
                name,
                "the object has been modified; please apply your changes to the latest version",
            ));
        }
        object["metadata"]["uid"] = known["uid"].clone();
        if object == *standing {
            return Ok(object);
        }
        object["metadata"]["resourceVersion"] = self.next().to_string().into();
        self.happened("MODIFIED", &object);
        self.objects.insert(name.into(), object.clone());
        Ok(object)
    }

    pub(crate) fn delete(&mut self, name: &str, options: &Value) -> Answered {
        let mut object = self.get(name)?;
        for key in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][key];
            if wanted.is_string() && *wanted != object["metadata"][key] {
                return Err(conflict(name, &format!("Precondition failed: {key} differs")));
            }
        }
        self.objects.remove(name);
        object["metadata"]["resourceVersion"] = self.next().to_string().into();
        self.happened("DELETED", &object);
        Ok(json!({"kind": "Status", "status": "Success"}))
    }

    /// A page of objects: those after a name, and whether there are more.
    pub(crate) fn list(&self, chosen: impl Fn(&Value) -> bool, after: &str, limit: usize) -> (Vec<Value>, bool) {
        let mut all = self.objects.iter().filter(|(name, object)| name.as_str() > after && chosen(object));
        let page: Vec<Value> = all.by_ref().take(limit).map(|(_, object)| object.clone()).collect();
        (page, all.next().is_some())
    }

    /// What happened after a version; none where that is forgotten.
    pub(crate) fn after(&self, number: u64) -> Option<Vec<Event>> {
        (number >= self.forgotten).then(|| self.events.iter().filter(|event| event.number > number).cloned().collect())
    }

    /// Forgets what happened up to now.
    pub(crate) fn forget(&mut self) {
        self.forgotten = self.number;
        self.events.clear();
    }
}

fn absent(name: &str) -> Refusal {
    Refusal(404, "NotFound", format!("leases.coordination.k8s.io \"{name}\" not found"), name.into())
}

fn conflict(name: &str, what: &str) -> Refusal {
    Refusal(409, "Conflict", format!("Operation cannot be fulfilled on leases \"{name}\": {what}"), name.into())
}

/// What an API server checks of a Lease.
fn validate(name: &str, object: &Value) -> Result<(), Refusal> {
    let invalid = |what: String| Refusal(422, "Invalid", what, name.into());
    let meta = &object["metadata"];
    if object["apiVersion"] != "coordination.k8s.io/v1" || object["kind"] != "Lease" || meta["name"] != name {
        return Err(invalid("apiVersion, kind and name must be those of the request".into()));
    }
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(invalid(format!("metadata.name: {name:?} is no DNS subdomain")));
    }
    for (key, value) in meta["labels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or("?");
        if !is_key(key)
            || value.len() > 63
            || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            return Err(invalid(format!("metadata.labels: {key}: {value}")));
        }
    }
    let annotations = meta["annotations"].as_object().into_iter().flatten();
    let mut size = 0;
    for (key, value) in annotations {
        size += key.len() + value.as_str().map_or(usize::MAX / 2, str::len);
        if !is_key(key) {
            return Err(invalid(format!("metadata.annotations: {key}")));
        }
    }
    if size > 256 << 10 {
        return Err(invalid(format!("metadata.annotations: {size} bytes")));
    }
    let spec = &object["spec"];
    let positive =
        |key: &str, least: i64| spec[key].is_null() || spec[key].as_i64().is_some_and(|value| value >= least);
    if !positive("leaseDurationSeconds", 1) || !positive("leaseTransitions", 0) {
        return Err(invalid("spec: must be greater than 0".into()));
    }
    for key in ["renewTime", "acquireTime"] {
        if spec[key].as_str().is_some_and(|time| !is_micro_time(time)) {
            return Err(Refusal(400, "BadRequest", format!("spec.{key}: {} is no MicroTime", spec[key]), name.into()));
        }
    }
    Ok(())
}

fn is_label(label: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    ends(label.bytes().next())
        && ends(label.bytes().next_back())
        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("x", key));
    prefix.split('.').all(is_label)
        && (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// `2006-01-02T15:04:05.000000Z`, digit by digit.
fn is_micro_time(time: &str) -> bool {
    let shape: String = time.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    shape == "0000-00-00T00:00:00.000000Z"
}
