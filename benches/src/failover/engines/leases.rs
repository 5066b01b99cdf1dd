//! The Lease objects of a Kubernetes API server, in memory: optimistic concurrency by resource version, watches that tell what happened
//! since. Watches tell nothing where nothing happens: real ones send a bookmark about once a minute.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::folder::Records;
use super::http::{Answer, Handler, Request, serve};
use super::{Engine, Kind, Place, Way, listening};
use crate::failover::peers::Peer;

/// Where the objects are.
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/bench/leases";
/// How often a watch sees whether anybody listens.
const LISTENS: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Store {
    /// The newest resource version.
    version: u64,
    objects: BTreeMap<String, Value>,
    /// Version, kind and object of everything that has happened.
    events: Vec<(u64, &'static str, Value)>,
}

#[derive(Debug, Default)]
struct Shared {
    store: Mutex<Store>,
    happened: Condvar,
}

pub(super) struct Leases {
    port: u16,
}

/// A refusal: its status and its reason.
type Refusal = (u16, &'static str);

impl Leases {
    pub(super) fn start(near: Option<Ipv4Addr>) -> Result<Self, String> {
        let shared = Arc::new(Shared::default());
        let handler: Handler = Arc::new(move |request| answer(&shared, &request));
        Ok(Self { port: serve(&listening(near), &handler)? })
    }
}

impl Engine for Leases {
    fn kind(&self) -> Kind {
        Kind::Kubernetes
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port))
    }

    fn settings(&self, way: Way<'_>, ttl: f64) -> String {
        let at = way.at.map(|at| at.to_string()).unwrap_or_default();
        let url = format!("kubernetes://bench/{}?server=http://{at}", way.place);
        format!("lease: {{backend: kubernetes, url: \"{url}\", ttl_sec: {ttl}}}\n")
    }

    fn journal(&self, _place: &str, folder: &Path) -> Result<Box<dyn Place>, String> {
        Ok(Box::new(Records::of(folder)))
    }

    fn peers(&self) -> Vec<Peer> {
        // client-go's elector has no program that starts another one.
        Vec::new()
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(shared: &Arc<Shared>, request: &Request) -> Answer {
    let name = request.path.strip_prefix(LEASES).map(|rest| rest.trim_start_matches('/'));
    let Some(name) = name else { return told(404, &refusal((404, "NotFound"), "")) };
    if request.query.get("watch").is_some_and(|value| value == "true") {
        return watch(shared, request);
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let mut store = shared.held();
    let before = store.version;
    let done = match (request.method.as_str(), name) {
        ("GET", "") => Ok(store.list(request)),
        ("GET", name) => store.objects.get(name).cloned().ok_or((404, "NotFound")),
        ("POST", "") => store.create(body),
        ("PUT", name) => store.update(name, body),
        ("DELETE", name) => store.delete(name, &body),
        _ => Err((405, "MethodNotAllowed")),
    };
    if store.version != before {
        shared.happened.notify_all();
    }
    match done {
        Ok(value) => told(if request.method == "POST" { 201 } else { 200 }, &value),
        Err(fault) => told(fault.0, &refusal(fault, name)),
    }
}

fn told(status: u16, value: &Value) -> Answer {
    let headers = vec![("content-type", "application/json".to_owned())];
    Answer::Whole { status, headers, body: value.to_string().into_bytes() }
}

/// Where it is about an object, that is named: a path that the server does not know is another kind of 404.
fn refusal((code, reason): Refusal, name: &str) -> Value {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code});
    if let (Value::Object(status), false) = (&mut status, name.is_empty()) {
        status.insert("details".into(), json!({"name": name, "group": "coordination.k8s.io", "kind": "leases"}));
    }
    status
}

fn at(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn set(object: &mut Value, key: &str, value: String) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert(key.to_owned(), value.into());
    }
}

/// Whether an object is chosen by the selectors of a question.
fn chosen(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let named = query.get("fieldSelector").is_none_or(|wanted| {
        wanted.strip_prefix("metadata.name=").is_some_and(|name| name == at(object, "/metadata/name"))
    });
    let labelled = query.get("labelSelector").is_none_or(|wanted| {
        let Some((key, value)) = wanted.split_once('=') else { return false };
        object.pointer("/metadata/labels").and_then(|labels| labels.get(key)) == Some(&json!(value))
    });
    named && labelled
}

impl Store {
    fn happens(&mut self, kind: &'static str, object: &mut Value) {
        self.version += 1;
        set(object, "resourceVersion", self.version.to_string());
        self.events.push((self.version, kind, object.clone()));
    }

    fn create(&mut self, mut object: Value) -> Result<Value, Refusal> {
        let name = at(&object, "/metadata/name");
        if self.objects.contains_key(&name) {
            return Err((409, "AlreadyExists"));
        }
        set(&mut object, "uid", format!("uid-{}", self.version + 1));
        self.happens("ADDED", &mut object);
        self.objects.insert(name, object.clone());
        Ok(object)
    }

    /// Whether what is asked for is what stands there.
    fn agrees(&self, name: &str, wanted: &Value) -> Result<&Value, Refusal> {
        let there = self.objects.get(name).ok_or((404, "NotFound"))?;
        let differs =
            |key: &str| wanted.get(key).is_some_and(|value| Some(value) != there.pointer(&format!("/metadata/{key}")));
        if differs("uid") || differs("resourceVersion") { Err((409, "Conflict")) } else { Ok(there) }
    }

    fn update(&mut self, name: &str, mut object: Value) -> Result<Value, Refusal> {
        let there = self.agrees(name, object.get("metadata").unwrap_or(&Value::Null))?;
        let uid = at(there, "/metadata/uid");
        set(&mut object, "uid", uid);
        self.happens("MODIFIED", &mut object);
        self.objects.insert(name.to_owned(), object.clone());
        Ok(object)
    }

    fn delete(&mut self, name: &str, options: &Value) -> Result<Value, Refusal> {
        let mut object = self.agrees(name, options.get("preconditions").unwrap_or(&Value::Null))?.clone();
        self.objects.remove(name);
        self.happens("DELETED", &mut object);
        Ok(json!({"kind": "Status", "status": "Success"}))
    }

    fn list(&self, request: &Request) -> Value {
        let after = request.query.get("continue").cloned().unwrap_or_default();
        let limit = request.query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        let mut below = self.objects.iter().filter(|(name, object)| **name > after && chosen(object, &request.query));
        let items: Vec<Value> = below.by_ref().take(limit).map(|(_, object)| object.clone()).collect();
        let last = items.last().map(|item| at(item, "/metadata/name"));
        let next = last.filter(|_| below.next().is_some()).unwrap_or_default();
        let metadata = json!({"resourceVersion": self.version.to_string(), "continue": next});
        json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata, "items": items})
    }
}

fn watch(shared: &Arc<Shared>, request: &Request) -> Answer {
    let (shared, query) = (Arc::clone(shared), request.query.clone());
    let given = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let mut from = given("resourceVersion").unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(given("timeoutSeconds").unwrap_or(300));
    Answer::Parts(Box::new(move || {
        if Instant::now() > end {
            return None;
        }
        let mut store = shared.held();
        if store.version <= from {
            store = shared.happened.wait_timeout(store, LISTENS).unwrap_or_else(PoisonError::into_inner).0;
        }
        let news = store.events.iter().filter(|(version, _, object)| *version > from && chosen(object, &query));
        let lines = news.map(|(_, kind, object)| format!("{}\n", json!({"type": kind, "object": object})));
        let text: String = lines.collect();
        from = store.version;
        Some(text.into_bytes())
    }))
}
