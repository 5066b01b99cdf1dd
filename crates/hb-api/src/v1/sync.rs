//! `/api/v1/sync`: what one node decided, for a copy of it elsewhere; and the other way round.
//!
//! For the owner alone: whoever may write here can say what was decided. Records and documents travel as they stand and are
//! checked by whoever takes them. These routes are there also where nothing is supervised, so they stand beside the table.
//!
//! Bounds (B1): [`AT_ONCE`] requests at a time, bodies of the size that [`Copies`] names, within [`BODY_TIME`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use hb_core::supervise::input::Role;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::access::{Access, Needs, Reach};
use super::call;
use super::problem::Problem;

/// Most requests at a time; who comes beyond waits up to [`PLACE_TIME`], and is told to come again then (B1).
pub const AT_ONCE: usize = 2;
/// How long a place is waited for.
const PLACE_TIME: Duration = Duration::from_secs(10);
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Most bytes of a stream's name.
const NAME_MAX: usize = 512;
/// Most bytes of a note.
const NOTE_MAX: usize = 4 << 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Who this is, and its streams.
    Streams,
    /// How a stream stands.
    Standing(StreamName),
    /// Records of a stream from a number on, at most so many.
    Records(StreamName, Seq, usize),
    /// Records to append, as a page.
    Append(StreamName, Bytes),
    /// That page is to take the place of all that stands, where the newest record is that one, or there is none.
    Begin(StreamName, Option<Seq>, Bytes),
    /// What lies below that floor is to go.
    Trim(StreamName, Seq),
    /// A document.
    Document(Hash),
    /// Whether there is such a document.
    HasDocument(Hash),
    /// A document to keep.
    Keep(Hash, Bytes),
    /// What the newest copying left here.
    Note,
    /// What the newest copying leaves.
    Leave(Bytes),
}

/// What is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A document.
    Json(Value),
    /// Bytes as they stand.
    Bytes(Vec<u8>),
    /// It is done, or it is so.
    Done,
    /// There is none.
    Nothing,
}

/// Why something was not given or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of reason.
    pub why: Why,
    /// In words; no secrets.
    pub message: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It does not go with what there is, or this node is active.
    Conflict,
    /// What was sent, or what stands here, is damaged.
    Corrupt,
    /// It could not be written.
    Unwritable,
    /// It may work later.
    Unavailable,
}

/// What copies need of a node. Called where it may wait for a disk.
pub trait Copies: Send + Sync {
    /// Answers.
    ///
    /// # Errors
    /// Why it does not.
    fn answer(&self, asked: Asked) -> Result<Given, Refusal>;

    /// Largest body of records, in bytes (B1).
    fn body_max(&self) -> usize;
}

/// The routes of a node.
#[derive(Clone)]
pub struct SyncApi {
    copies: Arc<dyn Copies>,
    access: Arc<RwLock<Access>>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for SyncApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncApi").field("access", &self.access).finish_non_exhaustive()
    }
}

/// What handlers see.
#[derive(Clone)]
struct Shown {
    api: SyncApi,
    reach: Reach,
}

type Asks = Query<BTreeMap<String, String>>;

impl SyncApi {
    /// The routes for those who may.
    #[must_use]
    pub fn new(copies: Arc<dyn Copies>, access: Access) -> Self {
        Self { copies, access: Arc::new(RwLock::new(access)), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// From now on those may, and nobody else.
    pub fn admit(&self, access: Access) {
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = access;
    }

    /// Whether the sender of a request may ask.
    fn may(&self, headers: &HeaderMap, reach: Reach) -> Result<(), Problem> {
        let access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        access.admit(&access.who(headers)?, Needs::Role(Role::Admin), reach)
    }

    /// The router of a server at `address`.
    pub(crate) fn router(&self, address: IpAddr) -> Router {
        let reach = if address.is_loopback() { Reach::Loopback } else { Reach::Network };
        Router::new()
            .route("/api/v1/sync", get(streams))
            .route("/api/v1/sync/standing", get(standing))
            .route("/api/v1/sync/records", get(records).post(append))
            .route("/api/v1/sync/begin", post(begin))
            .route("/api/v1/sync/trim", post(trim))
            .route("/api/v1/sync/documents/{hash}", get(document).put(keep))
            .route("/api/v1/sync/note", get(note).put(leave))
            .with_state(Shown { api: self.clone(), reach })
    }
}

impl Shown {
    /// Lets nobody but the owner in, then asks on a thread that may wait.
    async fn answer(&self, request: Request, ask: impl FnOnce(Bytes) -> Result<Asked, Problem>) -> Response {
        self.answered(request, ask).await.unwrap_or_else(IntoResponse::into_response)
    }

    async fn answered(
        &self,
        request: Request,
        ask: impl FnOnce(Bytes) -> Result<Asked, Problem>,
    ) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        self.api.may(&parts.headers, self.reach)?;
        // Before the body is read: so many bodies at most are held.
        let Ok(Ok(place)) = timeout(PLACE_TIME, self.api.places.acquire()).await else {
            return Err(Problem::busy("others are copying from or to this node: try again in a moment"));
        };
        let most = if parts.uri.path().ends_with("/note") { NOTE_MAX } else { self.api.copies.body_max() };
        let bytes = match parts.method {
            Method::POST | Method::PUT => read(body, most).await?,
            _ => Bytes::new(),
        };
        let asked = ask(bytes)?;
        let copies = Arc::clone(&self.api.copies);
        let given = tokio::task::spawn_blocking(move || copies.answer(asked)).await;
        drop(place);
        match given {
            Ok(Ok(given)) => Ok(shown(given)),
            Ok(Err(refusal)) => Err(problem(refusal)),
            Err(fault) => {
                tracing::error!(%fault, "a question about copies ended in a panic");
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "this is a fault of hb: please report it"))
            }
        }
    }
}

async fn read(body: axum::body::Body, most: usize) -> Result<Bytes, Problem> {
    match timeout(BODY_TIME, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let whole = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            let message = format!("the body broke off, or has more than {most} bytes: {whole}");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
                .field("body", format!("at most {most} bytes")))
        }
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come in time")),
    }
}

fn shown(given: Given) -> Response {
    match given {
        Given::Json(value) => call::json(StatusCode::OK, &value),
        Given::Bytes(bytes) => {
            let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))];
            (kind, bytes).into_response()
        }
        Given::Done => StatusCode::NO_CONTENT.into_response(),
        Given::Nothing => Problem::new(StatusCode::NOT_FOUND, "not_found", "there is none").into_response(),
    }
}

fn problem(refusal: Refusal) -> Problem {
    let (status, error) = match refusal.why {
        Why::Conflict => (StatusCode::CONFLICT, "conflict"),
        Why::Corrupt => (StatusCode::UNPROCESSABLE_ENTITY, "corrupt"),
        Why::Unwritable => (StatusCode::INSUFFICIENT_STORAGE, "unwritable"),
        Why::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    Problem::new(status, error, refusal.message)
}

fn stream(asks: &Asks) -> Result<StreamName, Problem> {
    let name = asks.get("stream").filter(|name| name.len() <= NAME_MAX);
    let known = name.filter(|name| ["watch/", "baseline/"].iter().any(|kind| name.starts_with(kind)));
    known.map(|name| StreamName::from(name.as_str())).ok_or_else(|| {
        Problem::invalid("which stream? `stream` is watch/NAME or baseline/NAME/TAG").field("stream", "watch/NAME")
    })
}

fn number(asks: &Asks, key: &str) -> Result<u64, Problem> {
    let number = asks.get(key).and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        Problem::invalid(format!("`{key}` has to be a whole number from 0")).field(key, "a whole number from 0")
    })
}

fn hash(text: &str) -> Result<Hash, Problem> {
    Hash::parse(text)
        .ok_or_else(|| Problem::invalid("a document is called by 64 hex digits").field("hash", "64 hex digits"))
}

async fn streams(State(shown): State<Shown>, request: Request) -> Response {
    shown.answer(request, |_| Ok(Asked::Streams)).await
}

async fn standing(State(shown): State<Shown>, asks: Asks, request: Request) -> Response {
    shown.answer(request, |_| Ok(Asked::Standing(stream(&asks)?))).await
}

async fn records(State(shown): State<Shown>, asks: Asks, request: Request) -> Response {
    let ask = |_| {
        let most = usize::try_from(number(&asks, "most")?).unwrap_or(usize::MAX);
        Ok(Asked::Records(stream(&asks)?, Seq(number(&asks, "from")?), most))
    };
    shown.answer(request, ask).await
}

async fn append(State(shown): State<Shown>, asks: Asks, request: Request) -> Response {
    shown.answer(request, |body| Ok(Asked::Append(stream(&asks)?, body))).await
}

async fn begin(State(shown): State<Shown>, asks: Asks, request: Request) -> Response {
    let ask = |body| {
        let seen = asks.contains_key("seen").then(|| number(&asks, "seen").map(Seq)).transpose()?;
        Ok(Asked::Begin(stream(&asks)?, seen, body))
    };
    shown.answer(request, ask).await
}

async fn trim(State(shown): State<Shown>, asks: Asks, request: Request) -> Response {
    shown.answer(request, |_| Ok(Asked::Trim(stream(&asks)?, Seq(number(&asks, "floor")?)))).await
}

async fn document(State(shown): State<Shown>, Path(name): Path<String>, request: Request) -> Response {
    let looks = request.method() == Method::HEAD;
    let ask = |_| hash(&name).map(|hash| if looks { Asked::HasDocument(hash) } else { Asked::Document(hash) });
    shown.answer(request, ask).await
}

async fn keep(State(shown): State<Shown>, Path(name): Path<String>, request: Request) -> Response {
    shown.answer(request, |body| Ok(Asked::Keep(hash(&name)?, body))).await
}

async fn note(State(shown): State<Shown>, request: Request) -> Response {
    shown.answer(request, |_| Ok(Asked::Note)).await
}

async fn leave(State(shown): State<Shown>, request: Request) -> Response {
    shown.answer(request, |body| Ok(Asked::Leave(body))).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::v1::access::Anonymous;

    struct Echo;

    impl Copies for Echo {
        fn answer(&self, asked: Asked) -> Result<Given, Refusal> {
            match asked {
                Asked::HasDocument(_) | Asked::Note => Ok(Given::Nothing),
                Asked::Append(_, body) => Ok(Given::Bytes(body.to_vec())),
                Asked::Trim(..) => Err(Refusal { why: Why::Conflict, message: "this node is active".into() }),
                other @ (Asked::Streams
                | Asked::Standing(_)
                | Asked::Records(..)
                | Asked::Begin(..)
                | Asked::Document(_)
                | Asked::Keep(..)
                | Asked::Leave(_)) => Ok(Given::Json(format!("{other:?}").into())),
            }
        }

        fn body_max(&self) -> usize {
            1_000
        }
    }

    const TOKEN: &str = "0123456789abcdef";

    async fn ask(method: Method, path: &str, token: Option<&str>, body: Vec<u8>) -> (u16, String) {
        let access = Access::read(&format!("ada ADMIN {TOKEN}\nbob OPERATOR {TOKEN}-operator\n")).unwrap();
        let router = SyncApi::new(Arc::new(Echo), access).router("127.0.0.1".parse().unwrap());
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = TowerToHyperService::new(router).call(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn nobody_but_the_owner_copies_also_on_loopback() {
        let path = "/api/v1/sync";
        assert_eq!(ask(Method::GET, path, None, Vec::new()).await.0, 401);
        assert_eq!(ask(Method::GET, path, Some("0123456789abcdeX"), Vec::new()).await.0, 401);
        assert_eq!(ask(Method::GET, path, Some("0123456789abcdef-operator"), Vec::new()).await.0, 403);
        assert_eq!(ask(Method::GET, path, Some(TOKEN), Vec::new()).await.0, 200);
        let anonymous = SyncApi::new(Arc::new(Echo), Access::owner("another of 16 bytes", Anonymous::Reads));
        anonymous.admit(Access::owner(TOKEN, Anonymous::Reads));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let router = anonymous.router("127.0.0.1".parse().unwrap());
        assert_eq!(TowerToHyperService::new(router).call(request).await.unwrap().status(), 401);
    }

    #[tokio::test]
    async fn what_cannot_be_understood_is_refused_with_the_field() {
        let token = Some(TOKEN);
        for path in [
            "/api/v1/sync/standing",
            "/api/v1/sync/standing?stream=supervisor/main",
            "/api/v1/sync/records?stream=watch/a&from=x&most=1",
            "/api/v1/sync/records?stream=watch/a&from=1",
            "/api/v1/sync/documents/zz",
        ] {
            let (status, body) = ask(Method::GET, path, token, Vec::new()).await;
            assert_eq!(status, 400, "{path}: {body}");
            assert!(body.contains("\"error\":\"invalid\""), "{body}");
        }
        let (status, body) = ask(Method::POST, "/api/v1/sync/records?stream=watch/a", token, vec![b'x'; 1_001]).await;
        assert_eq!(status, 413, "{body}");
    }

    #[tokio::test]
    async fn answers_say_what_became_of_it() {
        let token = Some(TOKEN);
        let path = "/api/v1/sync/records?stream=watch/a%20b&from=7&most=3";
        let (status, body) = ask(Method::GET, path, token, Vec::new()).await;
        assert_eq!((status, body.contains("a b") && body.contains('7')), (200, true), "{body}");
        let (status, body) = ask(Method::POST, "/api/v1/sync/records?stream=watch/a", token, b"page".to_vec()).await;
        assert_eq!((status, body.as_str()), (200, "page"));
        let (status, body) = ask(Method::POST, "/api/v1/sync/trim?stream=watch/a&floor=3", token, Vec::new()).await;
        assert_eq!((status, body.contains("this node is active")), (409, true));
        let document = format!("/api/v1/sync/documents/{}", Hash::of(b"x"));
        assert_eq!(ask(Method::HEAD, &document, token, Vec::new()).await.0, 404);
        assert_eq!(ask(Method::GET, "/api/v1/sync/note", token, Vec::new()).await.0, 404);
    }
}
