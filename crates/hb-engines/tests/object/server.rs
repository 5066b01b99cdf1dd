//! A server that speaks as much of S3 as the journal needs, on a loopback port: atomic behind one lock, with faults on demand,
//! and with the lies that real ones were caught at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use hb_core::journal::Hash;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It goes its way.
    None,
    /// It is done, and the connection is cut instead of an answer.
    LostAnswer,
    /// The connection is cut before anything is done.
    Cut,
    /// The connection is cut at once, and it is done so much later.
    DoneLate(Duration),
    /// It is done, and answered so much later.
    AnsweredLate(Duration),
    /// It is not done, and answered so.
    NotDone(u16),
    /// It is done, and answered so all the same.
    DoneBut(u16),
    /// It is done twice, and answered as the second time.
    Twice,
}

/// How the server departs from what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// `If-None-Match` is ignored.
    CreatesAnyway,
    /// `If-Match` is ignored.
    UpdatesAnyway,
    /// The condition is checked first, and the put is done a little later.
    ChecksThenActs,
    /// Reads show what was there a moment ago.
    ReadsOldStates,
    /// Lists show what was there a moment ago.
    ListsOldStates,
    /// Conditions are answered with 501.
    KnowsNoConditions,
}

/// How long a liar takes.
const MOMENT: Duration = Duration::from_millis(40);

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    /// As in S3: equal bodies have equal ETags.
    e_tag: String,
}

/// What stood at a key until when.
type Past = (Option<Object>, Instant);

#[derive(Debug)]
struct State {
    objects: BTreeMap<String, Object>,
    past: BTreeMap<String, Past>,
    lie: Lie,
    page: usize,
    /// For the next requests of these kinds, in order.
    planned: VecDeque<(&'static str, Fault)>,
    /// One in so many requests goes wrong; the state of the dice.
    dice: Option<(u64, u64)>,
    /// After so many changes every connection is cut, before or after doing the last.
    dies: Option<(u64, Death)>,
    seen: BTreeMap<String, u64>,
    hurt: u64,
}

/// When the client is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    Before,
    After,
}

/// The server; it ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    port: u16,
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn start(lie: Lie) -> Self {
        let state = State {
            objects: BTreeMap::new(),
            past: BTreeMap::new(),
            lie,
            page: 1000,
            planned: VecDeque::new(),
            dice: None,
            dies: None,
            seen: BTreeMap::new(),
            hurt: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(accept(listener, Arc::clone(&state)));
        Self { state, port, _runtime: runtime }
    }

    /// The address of a bucket in it; no other buckets are known than `bucket`.
    pub(crate) fn target(&self, prefix: &str) -> String {
        format!("s3://bucket/{prefix}?endpoint=http://127.0.0.1:{}&region=us-east-1", self.port)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Most names of one page of a list.
    pub(crate) fn pages_of(&self, names: usize) {
        self.lock().page = names;
    }

    /// What becomes of the next requests of a kind (`PUT`, `GET`, `DELETE`, `LIST`).
    pub(crate) fn plan(&self, kind: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.lock().planned.extend(faults.into_iter().map(|fault| (kind, fault)));
    }

    /// Nothing is planned any more.
    #[allow(dead_code, reason = "the tests of failover, which include this file, use it")]
    pub(crate) fn forget_plans(&self) {
        self.lock().planned.clear();
    }

    /// Where it listens, on the loopback.
    #[allow(dead_code, reason = "the tests of failover, which include this file, use it")]
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on one in so many requests goes wrong.
    pub(crate) fn one_in(&self, many: u64, seed: u64) {
        self.lock().dice = Some((many, seed | 1));
    }

    /// Cuts everybody off after so many changes more.
    pub(crate) fn die_at(&self, changes: u64, death: Death) {
        self.lock().dies = Some((changes, death));
    }

    /// Takes requests again; whether anybody had been cut off.
    pub(crate) fn revive(&self) -> bool {
        self.lock().dies.take().is_some_and(|(left, _)| left == 0)
    }

    /// Requests of each kind since the last call.
    pub(crate) fn seen(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.lock().seen)
    }

    /// How many requests went wrong on purpose.
    pub(crate) fn hurt(&self) -> u64 {
        self.lock().hurt
    }

    /// Keys below `prefix`.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        self.lock().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Removes an object behind everybody's back.
    pub(crate) fn lose(&self, key: &str) {
        assert!(self.lock().objects.remove(key).is_some(), "{key} does not stand");
    }

    /// Puts an object behind everybody's back.
    pub(crate) fn plant(&self, key: &str, bytes: &[u8]) {
        self.lock().objects.insert(key.to_owned(), Object::new(Bytes::copy_from_slice(bytes)));
    }
}

impl Object {
    fn new(bytes: Bytes) -> Self {
        let e_tag = format!("\"{}\"", Hash::of(&bytes).short());
        Self { bytes, e_tag }
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&state), request));
            // An error is a connection that was cut, by us or by the client.
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// The connection is to be cut.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

/// A request, as far as it matters.
#[derive(Debug, Clone)]
struct Asked {
    kind: &'static str,
    key: String,
    query: BTreeMap<String, String>,
    none_match: bool,
    if_match: Option<String>,
    body: Bytes,
}

impl Asked {
    fn changes(&self) -> bool {
        matches!(self.kind, "PUT" | "DELETE")
    }
}

async fn serve(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let asked = read(request).await.map_err(|_| Cut)?;
    let fault = lock(&state).fate(&asked)?;
    match fault {
        Fault::None => Ok(act(&state, &asked).await),
        Fault::LostAnswer => {
            act(&state, &asked).await;
            Err(Cut)
        }
        Fault::Cut => Err(Cut),
        Fault::DoneLate(late) => {
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                act(&state, &asked).await
            });
            Err(Cut)
        }
        Fault::AnsweredLate(late) => {
            let answer = act(&state, &asked).await;
            tokio::time::sleep(late).await;
            Ok(answer)
        }
        Fault::NotDone(status) => Ok(refuse(status, "SlowDown")),
        Fault::DoneBut(status) => {
            act(&state, &asked).await;
            Ok(refuse(status, "InternalError"))
        }
        Fault::Twice => {
            act(&state, &asked).await;
            Ok(act(&state, &asked).await)
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// What becomes of a request.
    fn fate(&mut self, asked: &Asked) -> Result<Fault, Cut> {
        *self.seen.entry(asked.kind.to_owned()).or_default() += 1;
        let changes = asked.changes();
        if let Some((left, death)) = &mut self.dies {
            match (*left, *death) {
                (0, _) => return Err(Cut),
                (1, death) if changes => {
                    *left = 0;
                    return Ok(if death == Death::After { Fault::LostAnswer } else { Fault::Cut });
                }
                (_, _) if changes => *left -= 1,
                (_, _) => {}
            }
        }
        if let Some(at) = self.planned.iter().position(|(kind, _)| *kind == asked.kind) {
            let (_, fault) = self.planned.remove(at).unwrap();
            self.hurt += u64::from(fault != Fault::None);
            return Ok(fault);
        }
        Ok(self.roll(asked))
    }

    fn roll(&mut self, asked: &Asked) -> Fault {
        const CHANGING: [Fault; 8] = [
            Fault::LostAnswer,
            Fault::Cut,
            Fault::DoneLate(Duration::from_millis(60)),
            Fault::AnsweredLate(Duration::from_millis(20)),
            Fault::NotDone(503),
            Fault::NotDone(409),
            Fault::DoneBut(500),
            Fault::Twice,
        ];
        const LOOKING: [Fault; 3] = [Fault::Cut, Fault::NotDone(503), Fault::AnsweredLate(Duration::from_millis(20))];
        let Some((many, dice)) = &mut self.dice else { return Fault::None };
        // xorshift: the same seed makes the same faults for the same requests.
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        if *dice % *many != 0 {
            return Fault::None;
        }
        self.hurt += 1;
        let at = usize::try_from((*dice / *many) % 24).unwrap();
        if asked.changes() { CHANGING[at % CHANGING.len()] } else { LOOKING[at % LOOKING.len()] }
    }

    fn put(&mut self, key: &str, body: Bytes) -> String {
        let object = Object::new(body);
        let e_tag = object.e_tag.clone();
        let before = self.objects.insert(key.to_owned(), object);
        self.past.insert(key.to_owned(), (before, Instant::now()));
        e_tag
    }

    fn remove(&mut self, key: &str) {
        let before = self.objects.remove(key);
        self.past.insert(key.to_owned(), (before, Instant::now()));
    }

    /// What a reader is shown: what was there a moment ago, if that is the lie.
    fn shown(&self, key: &str, lie: Lie) -> Option<Object> {
        match self.past.get(key) {
            Some((before, until)) if self.lie == lie && until.elapsed() < MOMENT => before.clone(),
            Some(_) | None => self.objects.get(key).cloned(),
        }
    }

    /// Whether the conditions hold, or the answer.
    fn check(&self, asked: &Asked) -> Result<(), (u16, &'static str)> {
        let there = self.objects.get(&asked.key);
        if self.lie == Lie::KnowsNoConditions && (asked.none_match || asked.if_match.is_some()) {
            return Err((501, "NotImplemented"));
        }
        if asked.none_match && there.is_some() && self.lie != Lie::CreatesAnyway {
            return Err((412, "PreconditionFailed"));
        }
        match (&asked.if_match, there) {
            (None, _) => Ok(()),
            (Some(_), _) if self.lie == Lie::UpdatesAnyway => Ok(()),
            (Some(_), None) => Err((404, "NoSuchKey")),
            (Some(e_tag), Some(there)) if *e_tag == there.e_tag => Ok(()),
            (Some(_), Some(_)) => Err((412, "PreconditionFailed")),
        }
    }
}

async fn act(state: &Mutex<State>, asked: &Asked) -> Response<Body> {
    if asked.kind == "PUT" && lock(state).lie == Lie::ChecksThenActs {
        if let Err((status, code)) = lock(state).check(asked) {
            return refuse(status, code);
        }
        tokio::time::sleep(MOMENT / 4).await;
        let e_tag = lock(state).put(&asked.key, asked.body.clone());
        return answer(200, &[("etag", &e_tag)], Body::empty());
    }
    let mut state = lock(state);
    match asked.kind {
        "PUT" => match state.check(asked) {
            Err((status, code)) => refuse(status, code),
            Ok(()) => {
                let e_tag = state.put(&asked.key, asked.body.clone());
                answer(200, &[("etag", &e_tag)], Body::empty())
            }
        },
        "DELETE" => {
            state.remove(&asked.key);
            answer(204, &[], Body::empty())
        }
        "LIST" => list(&state, asked),
        _ => match state.shown(&asked.key, Lie::ReadsOldStates) {
            None => refuse(404, "NoSuchKey"),
            Some(object) => answer(
                200,
                &[("etag", &object.e_tag), ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")],
                Body::from(object.bytes),
            ),
        },
    }
}

fn list(state: &State, asked: &Asked) -> Response<Body> {
    let given = |name: &str| asked.query.get(name).cloned().unwrap_or_default();
    let (prefix, after) = (given("prefix"), given("start-after").max(given("continuation-token")));
    let keys = state.objects.keys().chain(state.past.keys()).collect::<std::collections::BTreeSet<_>>();
    let mut below = keys
        .into_iter()
        .filter(|key| key.starts_with(&prefix) && **key > after)
        .filter_map(|key| state.shown(key, Lie::ListsOldStates).map(|object| (key, object)));
    let mut xml = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    let mut last = String::new();
    for (key, object) in below.by_ref().take(state.page) {
        xml.push_str(&format!(
            "<Contents><Key>{key}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
            object.e_tag.replace('"', "&quot;"),
            object.bytes.len()
        ));
        last.clone_from(key);
    }
    let more = below.next().is_some();
    xml.push_str(&format!("<IsTruncated>{more}</IsTruncated>"));
    if more {
        xml.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
    }
    xml.push_str("</ListBucketResult>");
    answer(200, &[("content-type", "application/xml")], Body::from(xml))
}

async fn read(request: Request<Incoming>) -> Result<Asked, axum::Error> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let query: BTreeMap<String, String> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let path = decoded(parts.uri.path());
    let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
    let kind = match parts.method.as_str() {
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ if query.contains_key("list-type") => "LIST",
        _ => "GET",
    };
    let body = to_bytes(Body::new(body), 64 << 20).await?;
    Ok(Asked {
        kind,
        key,
        query,
        none_match: header("if-none-match").as_deref() == Some("*"),
        if_match: header("if-match"),
        body,
    })
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap_or("00"), 16).unwrap_or(0));
        } else {
            out.push(byte);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn refuse(status: u16, code: &str) -> Response<Body> {
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>");
    answer(status, &[("content-type", "application/xml")], Body::from(xml))
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}
