//! An API server for Lease objects on the loopback: create, get, update, delete, list and watch, as far as hb uses them, with their
//! errors as the API conventions describe them. What can go wrong is set by the tests.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::store::{Answered, Refusal, Store};

/// How often a watch that asked for bookmarks gets one.
const BOOKMARK: Duration = Duration::from_millis(300);

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Tokens that are taken; all where there is none.
    pub(crate) tokens: Vec<String>,
    /// Verbs that the account has no right to.
    pub(crate) forbidden: Vec<&'static str>,
    /// How many questions are answered 429, and with which Retry-After.
    pub(crate) busy: (u32, u64),
    /// How many questions are answered 500 after they were done.
    pub(crate) broken: u32,
    /// A page after the first is gone.
    pub(crate) pages_expire: u32,
    /// What is forgotten is told by the status of the answer instead of an event.
    pub(crate) gone_by_status: bool,
    /// Watches tell nothing.
    pub(crate) mute: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) trouble: Trouble,
    /// Requests by verb.
    pub(crate) asked: HashMap<&'static str, u32>,
    watchers: Vec<mpsc::Sender<()>>,
}

type Shared = Arc<Mutex<Inner>>;
type Parameters = HashMap<String, String>;

/// A running API server. It ends with the value.
pub(crate) struct Api {
    pub(crate) port: u16,
    inner: Shared,
    runtime: Option<Runtime>,
}

impl Api {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut api = Self { port, inner: Shared::default(), runtime: None };
        api.serve(listener);
        api
    }

    fn serve(&mut self, listener: TcpListener) {
        let runtime = Runtime::new().unwrap();
        let leases = "/apis/coordination.k8s.io/v1/namespaces/lab/leases";
        let app = axum::Router::new()
            .route(leases, get(list).post(create))
            .route(&format!("{leases}/{{name}}"), get(read).put(update).delete(remove))
            .with_state(Arc::clone(&self.inner));
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// Ends it, with every connection.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts it again on the same port, with what it kept.
    pub(crate) fn start_again(&mut self) {
        for _ in 0..500 {
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)) {
                return self.serve(listener);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the port is not free again");
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Trouble)) {
        change(&mut self.inner().trouble);
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop();
    }
}

fn json_answer(code: u16, value: &Value) -> Response<Body> {
    let answer = Response::builder().status(code).header("Content-Type", "application/json");
    answer.body(Body::from(value.to_string())).unwrap()
}

/// Checks who asks, does it, and tells those who watch.
fn answer(
    shared: &Shared,
    headers: &HeaderMap,
    verb: &'static str,
    act: impl FnOnce(&mut Inner) -> Answered,
) -> Response<Body> {
    let mut inner = shared.lock().unwrap();
    if let Err(response) = admit(&mut inner, headers, verb) {
        return *response;
    }
    let before = inner.store.number;
    let end = act(&mut inner);
    if inner.store.number != before {
        inner.watchers.retain(|watcher| !matches!(watcher.try_send(()), Err(mpsc::error::TrySendError::Closed(()))));
    }
    if inner.trouble.broken > 0 {
        inner.trouble.broken -= 1;
        let refusal = Refusal(500, "InternalError", "etcdserver: request timed out".into(), String::new());
        return json_answer(500, &refusal.to_json());
    }
    match end {
        Ok(value) => json_answer(if verb == "create" { 201 } else { 200 }, &value),
        Err(refusal) => json_answer(refusal.0, &refusal.to_json()),
    }
}

fn admit(inner: &mut Inner, headers: &HeaderMap, verb: &'static str) -> Result<(), Box<Response<Body>>> {
    *inner.asked.entry(verb).or_default() += 1;
    let said = headers.get("Authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !inner.trouble.tokens.is_empty() && !inner.trouble.tokens.iter().any(|token| Some(token.as_str()) == said) {
        let refusal = Refusal(401, "Unauthorized", "Unauthorized".into(), String::new());
        return Err(Box::new(json_answer(401, &refusal.to_json())));
    }
    if inner.trouble.forbidden.contains(&verb) {
        let what = format!(
            "leases.coordination.k8s.io is forbidden: User \"system:serviceaccount:lab:hb\" cannot {verb} resource"
        );
        return Err(Box::new(json_answer(403, &Refusal(403, "Forbidden", what, String::new()).to_json())));
    }
    if inner.trouble.busy.0 > 0 {
        inner.trouble.busy.0 -= 1;
        let seconds = inner.trouble.busy.1;
        let refusal = Refusal(429, "TooManyRequests", "too many requests".into(), String::new());
        let mut response = json_answer(429, &refusal.to_json());
        response.headers_mut().insert("Retry-After", seconds.into());
        return Err(Box::new(response));
    }
    Ok(())
}

fn body(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap_or(Value::Null)
}

async fn create(State(shared): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Response<Body> {
    answer(&shared, &headers, "create", |inner| inner.store.create(body(&bytes)))
}

async fn read(State(shared): State<Shared>, Path(name): Path<String>, headers: HeaderMap) -> Response<Body> {
    answer(&shared, &headers, "get", |inner| inner.store.get(&name))
}

async fn update(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response<Body> {
    answer(&shared, &headers, "update", |inner| inner.store.update(&name, body(&bytes)))
}

async fn remove(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response<Body> {
    answer(&shared, &headers, "delete", |inner| inner.store.delete(&name, &body(&bytes)))
}

/// Whether an object is chosen by the selectors of a question.
fn chosen(object: &Value, parameters: &Parameters) -> bool {
    let equals = |selector: &str, of: &dyn Fn(&str) -> Value| {
        parameters.get(selector).is_none_or(|text| {
            let (key, value) = text.split_once('=').unwrap();
            of(key) == *value
        })
    };
    equals("fieldSelector", &|key| {
        assert_eq!(key, "metadata.name");
        object["metadata"]["name"].clone()
    }) && equals("labelSelector", &|key| object["metadata"]["labels"][key].clone())
}

async fn list(
    State(shared): State<Shared>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response<Body> {
    if parameters.get("watch").is_some_and(|value| value == "true") {
        return watch(&shared, parameters, &headers);
    }
    answer(&shared, &headers, "list", |inner| {
        let after = parameters.get("continue").cloned().unwrap_or_default();
        if !after.is_empty() && inner.trouble.pages_expire > 0 {
            inner.trouble.pages_expire -= 1;
            return Err(Refusal(410, "Expired", "The provided continue parameter is too old".into(), String::new()));
        }
        let limit = parameters.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let (items, more) = inner.store.list(|object| chosen(object, &parameters), &after, limit);
        let next =
            if more { items.last().map_or(Value::Null, |item| item["metadata"]["name"].clone()) } else { "".into() };
        let metadata = json!({"resourceVersion": inner.store.number.to_string(), "continue": next});
        Ok(json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata, "items": items}))
    })
}

fn watch(shared: &Shared, parameters: Parameters, headers: &HeaderMap) -> Response<Body> {
    let from: u64 = parameters["resourceVersion"].parse().unwrap();
    let (wake, woken) = mpsc::channel(1);
    {
        let mut inner = shared.lock().unwrap();
        if let Err(response) = admit(&mut inner, headers, "watch") {
            return *response;
        }
        if inner.trouble.gone_by_status && from < inner.store.forgotten {
            let refusal = Refusal(410, "Expired", "too old resource version".into(), String::new());
            return json_answer(410, &refusal.to_json());
        }
        inner.watchers.push(wake);
    }
    let (lines, told) = mpsc::channel::<String>(16);
    tokio::spawn(tell(Arc::clone(shared), parameters, from, (lines, woken)));
    let stream = futures_util::stream::unfold(told, |mut told| async move {
        let line = told.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line), told))
    });
    Response::builder().status(StatusCode::OK).body(Body::from_stream(stream)).unwrap()
}

/// Tells one watch what happens, with bookmarks in between, until it hangs up, its time is over, or what comes next is forgotten.
async fn tell(
    shared: Shared,
    parameters: Parameters,
    mut from: u64,
    (lines, mut woken): (mpsc::Sender<String>, mpsc::Receiver<()>),
) {
    let seconds: u64 = parameters.get("timeoutSeconds").map_or(300, |seconds| seconds.parse().unwrap());
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    let bookmarks = parameters.get("allowWatchBookmarks").is_some_and(|value| value == "true");
    let mut quiet = false;
    while tokio::time::Instant::now() < end {
        let mut batch = Vec::new();
        {
            let inner = shared.lock().unwrap();
            let mute = inner.trouble.mute;
            match inner.store.after(from) {
                None => {
                    let refusal = Refusal(410, "Expired", "too old resource version".into(), String::new());
                    batch.push((from, json!({"type": "ERROR", "object": refusal.to_json()})));
                }
                Some(events) => {
                    let events = events.into_iter().filter(|event| !mute && chosen(&event.object, &parameters));
                    batch.extend(
                        events.map(|event| (event.number, json!({"type": event.kind, "object": event.object}))),
                    );
                    if batch.is_empty() && quiet && bookmarks && !mute {
                        let object =
                            json!({"kind": "Lease", "metadata": {"resourceVersion": inner.store.number.to_string()}});
                        batch.push((from, json!({"type": "BOOKMARK", "object": object})));
                    }
                }
            }
        }
        for (number, line) in batch {
            from = from.max(number);
            if lines.send(format!("{line}\n")).await.is_err() || line["type"] == "ERROR" {
                return;
            }
        }
        tokio::select! {
            woken = woken.recv() => { quiet = false; if woken.is_none() { return } }
            () = tokio::time::sleep(BOOKMARK) => quiet = true,
            () = lines.closed() => return,
        }
    }
}
