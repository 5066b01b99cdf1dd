//! One request taken apart, and its way to the supervisor and back.
//!
//! Bounds (B1): a body has at most [`BODY_MAX`] bytes and comes within [`BODY_TIME`]; an answer of the loop is waited for as long as
//! [`REPLY_WAIT`], a look as long as [`LOOK_WAIT`], a place at the database as long as [`HISTORY_WAIT`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hb_core::ids::{Actor, SupervisorId};
use hb_core::supervise::bounds::REQUEST_KEY_MAX;
use hb_core::supervise::input::{Beat, Command, RequestKey, Role};
use hb_core::supervise::step::{Answer, Reply};
use hb_core::supervise::{Presence, Supervision};
use hb_core::time::Now;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Inner;
use super::access::Caller;
use super::problem::Problem;
use super::seam::{NotTaken, Standing, Supervisors};
use super::shapes::agent::Eyes;
use super::watching::{Refusal, Watching};
use hb_core::supervise::history::{Order, Page};

/// Most bytes of a body.
pub(crate) const BODY_MAX: usize = 256 * 1024;
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a change may take to become durable before its outcome is told to be unknown.
const REPLY_WAIT: Duration = Duration::from_secs(30);
/// How long a look may take.
const LOOK_WAIT: Duration = Duration::from_secs(5);
/// How long a look may take that nobody asked for.
pub(crate) const GLANCE: Duration = Duration::from_millis(500);
/// How long a place at the database is waited for.
const HISTORY_WAIT: Duration = Duration::from_secs(2);
/// Most rows of one answer.
pub(crate) const LIMIT_MAX: usize = hb_core::supervise::history::PAGE_MAX;
/// The header by which a request is named.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The header that says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Rows of an answer when it is not said how many.
const LIMIT: usize = 100;

/// What a handler gives.
pub(crate) type Outcome = Result<Response, Problem>;

/// A request of somebody who may ask it.
pub(crate) struct Call {
    pub(super) inner: Arc<Inner>,
    pub(super) caller: Caller,
    pub(super) path: Vec<(String, String)>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The name that the sender gave to this request, where it has one.
    pub(super) key: Option<Key>,
}

/// A request with a name of its own, so that it can be sent again without being carried out again.
#[derive(Debug)]
pub(super) struct Key {
    name: String,
    /// Over everything that was asked.
    digest: String,
    /// Changes that were asked for under it so far: each has a name of its own.
    asked: AtomicU64,
    /// It was carried out before.
    again: bool,
}

impl Key {
    /// The key of a request, where it has one.
    pub(super) fn of(headers: &HeaderMap, request: &str, body: &[u8]) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        let name = value.to_str().unwrap_or_default().trim();
        let good =
            (1..=REQUEST_KEY_MAX).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if !good {
            let constraint = format!("1 to {REQUEST_KEY_MAX} printable ASCII characters");
            let problem = Problem::invalid(format!("Idempotency-Key has to have {constraint}"));
            return Err(problem.field(IDEMPOTENCY_KEY, constraint));
        }
        let digest = Sha256::new().chain_update(request).chain_update([0]).chain_update(body).finalize();
        let digest = hex(&digest);
        Ok(Some(Self { name: name.to_owned(), digest, asked: AtomicU64::new(0), again: false }))
    }

    fn next(&self) -> RequestKey {
        let key = match self.asked.fetch_add(1, Ordering::Relaxed) {
            0 => self.name.clone(),
            // A header holds no such character: nobody can name a request so.
            number => format!("{}\u{1f}{number}", self.name),
        };
        RequestKey { key, of: self.digest.clone() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a body within its bounds.
pub(super) async fn body(body: Body) -> Result<Bytes, Problem> {
    match timeout(BODY_TIME, to_bytes(body, BODY_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let whole = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            if whole.contains("length limit") {
                let message = format!("the body has more than {BODY_MAX} bytes");
                Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
                    .field("body", format!("at most {BODY_MAX} bytes")))
            } else {
                Err(Problem::invalid(format!("the body broke off: {whole}")))
            }
        }
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come in time")),
    }
}

/// Whether a body says that it is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

impl Call {
    /// A part of the path.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.path.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// A value of the query.
    pub(crate) fn asked(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The same as something that can be read from a word.
    pub(crate) fn word<T: DeserializeOwned>(&self, name: &str, constraint: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.asked(name) else { return Ok(None) };
        let read = |text: String| serde_json::from_value(Value::String(text)).ok();
        let found = read(text.to_owned()).or_else(|| read(text.to_uppercase())).or_else(|| read(text.to_lowercase()));
        found.map(Some).ok_or_else(|| wrong(name, text, constraint))
    }

    /// The same as a number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.asked(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
        number.map(Some).ok_or_else(|| wrong(name, text, "a whole number from 0"))
    }

    /// The same as true or false.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.asked(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(wrong(name, other, "true or false")),
        }
    }

    fn limit(&self) -> Result<usize, Problem> {
        let limit = self.number("limit")?.map_or(Some(LIMIT), |limit| usize::try_from(limit).ok());
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        let constraint = format!("1 to {LIMIT_MAX}");
        limit.ok_or_else(|| wrong("limit", self.asked("limit").unwrap_or_default(), &constraint))
    }

    /// Which part of a list of what there is now.
    pub(crate) fn skip(&self) -> Result<(usize, usize), Problem> {
        let skip = self.number("skip")?.map_or(0, |skip| usize::try_from(skip).unwrap_or(usize::MAX));
        Ok((skip, self.limit()?))
    }

    /// Which part of a list of history.
    pub(crate) fn page(&self) -> Result<Page, Problem> {
        let order = match self.asked("order") {
            None | Some("newest") => Order::NewestFirst,
            Some("oldest") => Order::OldestFirst,
            Some(other) => return Err(wrong("order", other, "newest or oldest")),
        };
        Ok(Page { order, after: self.number("after")?, limit: self.limit()? })
    }

    /// The version that the sender saw, of `If-Match`.
    pub(crate) fn expected(&self) -> Result<Option<u64>, Problem> {
        let Some(value) = self.headers.get(header::IF_MATCH) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(None);
        }
        let tag = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        // The version stands before the digest, which changes with what others do to it.
        let version =
            tag.split('-').next().and_then(|tag| tag.strip_prefix('v')).and_then(|number| number.parse().ok());
        let stale = || {
            let message = "If-Match is none of our tags: it has to be the ETag of an answer, such as \"v3\"";
            Problem::new(StatusCode::PRECONDITION_FAILED, "stale", message).field("If-Match", "an ETag that was given")
        };
        version.map(Some).ok_or_else(stale)
    }

    /// The body as any JSON.
    pub(crate) fn value(&self) -> Result<Value, Problem> {
        self.json()
    }

    /// The body as a document; an empty one as `{}`.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let bytes = self.body.trim_ascii();
        read_json(if bytes.is_empty() { b"{}" } else { bytes })
    }

    /// Both clocks.
    pub(crate) fn now(&self) -> Now {
        self.inner.supervisors.now()
    }

    /// What the process is doing.
    pub(crate) fn standing(&self) -> Standing {
        self.inner.supervisors.standing()
    }

    /// Who asks, for the audit.
    pub(crate) fn person(&self) -> Actor {
        self.caller.person().actor
    }

    /// Whether they may see what is secret.
    pub(crate) fn eyes(&self) -> Eyes {
        let role = self.caller.person().role;
        if role >= Role::Operator { Eyes::Trusted } else { Eyes::Other }
    }

    /// A supervisor that there is.
    pub(crate) async fn known_supervisor(&self, id: SupervisorId) -> Result<SupervisorId, Problem> {
        let wanted = id.clone();
        let known = self.look(move |supervision| supervision.state().supervisors.contains(&wanted)).await?;
        if known { Ok(id) } else { Err(Problem::not_found("supervisor", id.as_str())) }
    }

    /// Whether a request of this name was carried out before: what is asked of it now will be answered as it was then.
    pub(crate) fn again(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.again)
    }

    /// Looks whether it was.
    pub(super) async fn remember(&mut self) -> Result<(), Problem> {
        let Some(key) = &mut self.key else { return Ok(()) };
        let name = hb_core::supervise::state::Remembered::name(&self.caller.person().actor, &key.name);
        let known = look(&self.inner, LOOK_WAIT, move |it| it.state().requests.get(&name).map(|one| one.of.clone()));
        key.again = known.await?.is_some_and(|of| of == key.digest);
        Ok(())
    }

    /// Wants something.
    pub(crate) async fn want(&self, command: Command) -> Result<Answer, Problem> {
        let person = self.caller.person();
        let command = match &self.key {
            Some(key) => Command::Once { key: key.next(), command: Box::new(command) },
            None => command,
        };
        self.told(|supervisors, answered| supervisors.command(person, command, answered)).await
    }

    /// Hands a beat in.
    pub(crate) async fn beat(&self, beat: Beat) -> Result<Answer, Problem> {
        self.not_standing_by().await?;
        let (tell, told) = oneshot::channel::<Reply>();
        // Whoever asked may have gone meanwhile.
        let answered = Box::new(move |reply| drop(tell.send(reply)));
        self.inner.held.hand_over(self.inner.supervisors.as_ref(), beat, answered).await;
        let untaken = "too much waits for the supervisor, or it has ended: try again in a moment";
        reply(told, untaken).await
    }

    async fn told(
        &self,
        ask: impl FnOnce(&dyn Supervisors, super::seam::Answered) -> Result<(), NotTaken>,
    ) -> Result<Answer, Problem> {
        self.not_standing_by().await?;
        let (tell, told) = oneshot::channel::<Reply>();
        // Whoever asked may have gone meanwhile.
        let answered = Box::new(move |reply| drop(tell.send(reply)));
        ask(self.inner.supervisors.as_ref(), answered).map_err(not_taken)?;
        reply(told, "the supervisor ended before it answered: look whether it was done").await
    }

    /// A standby changes nothing, and says who does.
    pub(crate) async fn not_standing_by(&self) -> Result<(), Problem> {
        if self.inner.supervisors.presence() != Presence::Standby {
            return Ok(());
        }
        let elsewhere = self.history(|supervisors| Ok(supervisors.elsewhere())).await.unwrap_or_default();
        Err(Problem::standby(elsewhere))
    }

    /// Looks at the state.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Supervision) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self::look(&self.inner, LOOK_WAIT, look).await
    }

    /// Asks the database, on a thread that may wait for it.
    pub(crate) async fn history<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Supervisors) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Problem> {
        history(&self.inner, ask).await
    }

    /// Asks about the watches of this node, on a thread that may wait for their journal.
    pub(crate) async fn of_watches<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Watching) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Problem> {
        let Some(watching) = self.inner.watching.clone() else {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "this node watches nothing: it only supervises",
            ));
        };
        waiting(&self.inner, move || ask(watching.as_ref())).await?.map_err(Problem::from)
    }
}

/// Waits for an answer; `gone` is what there is to say when none can come any more.
async fn reply(told: oneshot::Receiver<Reply>, gone: &str) -> Result<Answer, Problem> {
    match timeout(REPLY_WAIT, told).await {
        Ok(Ok(reply)) => reply.map_err(Problem::from),
        Ok(Err(_)) => Err(Problem::busy(gone)),
        Err(_) => {
            let message = "it was taken, but is not durable yet: look later whether it was done";
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "unknown_outcome", message))
        }
    }
}

pub(super) async fn look<T: Send + 'static>(
    inner: &Inner,
    patience: Duration,
    look: impl FnOnce(&Supervision) -> T + Send + 'static,
) -> Result<T, Problem> {
    let (tell, told) = oneshot::channel();
    // Whoever asked may have gone meanwhile.
    inner.supervisors.look(Box::new(move |supervision| drop(tell.send(look(supervision))))).map_err(not_taken)?;
    match timeout(patience, told).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(_)) => Err(Problem::busy("the supervisor has ended")),
        Err(_) => Err(Problem::busy("the supervisor does not answer in time: /live and /ready say why")),
    }
}

pub(super) async fn history<T: Send + 'static>(
    inner: &Arc<Inner>,
    ask: impl FnOnce(&dyn Supervisors) -> Result<T, String> + Send + 'static,
) -> Result<T, Problem> {
    let supervisors = Arc::clone(&inner.supervisors);
    let found = waiting(inner, move || ask(supervisors.as_ref())).await?;
    found.map_err(|why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why))
}

/// Does something on a thread that may wait for a disk, when there is a place.
async fn waiting<T: Send + 'static>(inner: &Inner, ask: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let Ok(Ok(place)) = timeout(HISTORY_WAIT, inner.history.acquire()).await else {
        return Err(Problem::busy("too many questions to the database: try again in a moment"));
    };
    let found = tokio::task::spawn_blocking(ask).await;
    drop(place);
    found.map_err(|fault| {
        tracing::error!(%fault, "a question to the database ended in a panic");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "this is a fault of hb: please report it")
    })
}

fn not_taken(why: NotTaken) -> Problem {
    match why {
        NotTaken::Full => Problem::busy("too much waits for the supervisor: try again in a moment"),
        NotTaken::Ended => Problem::busy("the supervisor has ended"),
    }
}

fn wrong(name: &str, text: &str, constraint: &str) -> Problem {
    let text: String = text.chars().take(60).collect();
    Problem::invalid(format!("{name} is `{text}`: it has to be {constraint}")).field(name, constraint)
}

/// Reads a document; a fault names its path, and the line and column.
pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let path =
            if matches!(path.as_str(), "." | "?") { "body".to_owned() } else { path.trim_end_matches(".?").to_owned() };
        let fault = error.into_inner();
        let what = fault.to_string();
        let problem = Problem::invalid(format!("{path}: {what}")).field(path, what);
        problem.detail("line", fault.line()).detail("column", fault.column())
    })?;
    reader
        .end()
        .map_err(|fault| Problem::invalid(format!("after the document: {fault}")).field("body", "one document"))?;
    Ok(read)
}

/// An answer as JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_string(body) {
        Ok(mut text) => {
            text.push('\n');
            let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            (status, kind, text).into_response()
        }
        Err(fault) => {
            tracing::error!(%fault, "an answer could not be written as JSON");
            let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "the answer could not be written");
            problem.into_response()
        }
    }
}

/// 200 with this.
pub(crate) fn ok<T: Serialize>(body: &T) -> Outcome {
    Ok(json(StatusCode::OK, body))
}

/// 200 with this, and a tag that is another when it is another.
pub(crate) fn single<T: Serialize>(body: &T) -> Outcome {
    Ok(with_tag(json(StatusCode::OK, body), body, ""))
}

/// 200 with this, and a tag with the version by which it can be changed.
pub(crate) fn tagged<T: Serialize>(body: &T, version: u64) -> Outcome {
    Ok(with_tag(json(StatusCode::OK, body), body, &format!("v{version}-")))
}

/// Adds a tag that is another when the body is another.
fn with_tag<T: Serialize>(mut response: Response, body: &T, version: &str) -> Response {
    if let Ok(bytes) = serde_json::to_vec(body) {
        let digest = hex(Sha256::digest(bytes).get(..8).unwrap_or_default());
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}{digest}\"")) {
            response.headers_mut().insert(header::ETAG, tag);
        }
    }
    response
}

/// 304 in place of an answer that the sender has already.
pub(super) fn unless_known(response: Response, headers: &HeaderMap) -> Response {
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let (Some(tag), true) = (tag, response.status() == StatusCode::OK) else { return response };
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let plain = |tag: &str| tag.trim().strip_prefix("W/").map_or_else(|| tag.trim().to_owned(), str::to_owned);
    if given.flat_map(|value| value.split(',')).any(|known| plain(known) == tag || known.trim() == "*") {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    response
}

/// Says that this answer was given before.
pub(super) fn replayed(mut response: Response) -> Response {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// 201 with this, and where it is now.
pub(crate) fn created<T: Serialize>(body: &T, location: &str) -> Outcome {
    let mut response = json(StatusCode::CREATED, body);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The same, with the version by which it can be changed.
pub(crate) fn created_version<T: Serialize>(body: &T, location: &str, version: u64) -> Outcome {
    Ok(with_tag(created(body, location)?, body, &format!("v{version}-")))
}

/// 204.
pub(crate) fn gone() -> Outcome {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Listed<T> {
    /// The part.
    items: Vec<T>,
    /// How many there are in all; absent for lists of history, which are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    /// `skip` or `after` of the next part; absent when this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

impl<T> Listed<T> {
    /// A part of what there is now.
    pub(crate) fn of<'a, S>(
        all: impl Iterator<Item = &'a S>,
        (skip, limit): (usize, usize),
        make: impl Fn(&'a S) -> T,
    ) -> Self
    where
        S: 'a,
    {
        let (mut items, mut total) = (Vec::new(), 0_usize);
        for one in all {
            if total >= skip && items.len() < limit {
                items.push(make(one));
            }
            total = total.saturating_add(1);
        }
        let end = skip.saturating_add(items.len());
        let next = (end < total && !items.is_empty()).then(|| u64::try_from(end).unwrap_or(u64::MAX));
        Self { items, total: Some(total), next }
    }

    /// A part of history, each with its number.
    pub(crate) fn page(items: Vec<T>, limit: usize, number: impl Fn(&T) -> Option<u64>) -> Self {
        let next = if items.len() < limit { None } else { items.last().and_then(number) };
        Self { items, total: None, next }
    }
}

/// The number in `i-7` or `g-7`.
pub(crate) fn number_of(id: &str) -> Option<u64> {
    id.rsplit_once('-').and_then(|(_, number)| number.parse().ok())
}

/// An entity, and what is not as one might think.
#[derive(Debug, Serialize)]
pub(crate) struct Noted<T> {
    #[serde(flatten)]
    entity: T,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

pub(crate) fn noted<T>(entity: T, notes: Vec<String>) -> Noted<T> {
    Noted { entity, notes }
}

/// The name of what was made, and what is not as one might think.
pub(crate) fn made(answer: Answer) -> (String, Vec<String>) {
    match answer {
        Answer::Made { id, notes, .. } => (id, notes),
        Answer::Done {} | Answer::Beat { .. } => (String::new(), Vec::new()),
    }
}
