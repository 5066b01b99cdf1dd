//! The table of routes, and the router that is made of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, RawPathParams, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};

use super::Inner;
use super::access::{Needs, Reach};
use super::call::{self, Call, Key, Outcome};
use super::problem::Problem;
use super::rate::Kind;
use super::schemas;
use super::{agents, alerts, beats, events, interventions, policies, supervisors, system, teams, watches, why};

/// Where the API stands.
pub(crate) const BASE: &str = "/api/v1";
/// Where the documents' second design has it.
pub(crate) const SYSTEM: &str = "/api/supervisor";

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// None.
    Nothing,
    /// A document of this schema.
    Json(&'static str),
    /// The same, or nothing.
    Maybe(&'static str),
}

/// The answer to a request that went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// 200 with a document of this schema.
    Json(&'static str),
    /// 200 with a part of a list of such documents.
    List(&'static str),
    /// 201 with a document of this schema.
    Created(&'static str),
    /// 202 with a document of this schema.
    Accepted(&'static str),
    /// 204.
    Nothing,
    /// 200 with a stream of events.
    Stream,
    /// 200 with a page of HTML.
    Page,
}

/// A parameter of the query: its name, its schema's name, what it is.
pub(crate) type Parameter = (&'static str, &'static str, &'static str);

pub(crate) type Answering = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One route.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) verb: Verb,
    pub(crate) base: &'static str,
    pub(crate) path: &'static str,
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    pub(crate) room: &'static str,
    pub(crate) needs: Needs,
    pub(crate) kind: Kind,
    pub(crate) query: &'static [Parameter],
    pub(crate) versioned: bool,
    pub(crate) takes: Takes,
    pub(crate) gives: Gives,
    pub(crate) call: fn(Call) -> Answering,
}

impl Route {
    pub(crate) fn full_path(&self) -> String {
        format!("{}{}", self.base, self.path)
    }
}

/// A look at something.
pub(crate) const LOOK: Route = Route {
    verb: Verb::Get,
    base: BASE,
    path: "",
    name: "",
    says: "",
    room: "",
    needs: Needs::Look,
    kind: Kind::Read,
    query: &[],
    versioned: false,
    takes: Takes::Nothing,
    gives: Gives::Nothing,
    call: |_| Box::pin(async { call::gone() }),
};

/// A change by an operator.
pub(crate) const CHANGE: Route = Route {
    verb: Verb::Post,
    needs: Needs::Role(hb_core::supervise::input::Role::Operator),
    kind: Kind::Change,
    ..LOOK
};

/// A change by an admin.
pub(crate) const RULE: Route = Route { needs: Needs::Role(hb_core::supervise::input::Role::Admin), ..CHANGE };

/// Parameters of lists of what there is now.
pub(crate) const SKIP: Parameter = ("skip", "skip", "How many to leave out.");
/// The same.
pub(crate) const LIMIT: Parameter = ("limit", "limit", "How many to give.");
/// Parameters of lists of history.
pub(crate) const AFTER: Parameter =
    ("after", "number", "The number after which the page begins: `next` of the one before.");
/// The same.
pub(crate) const ORDER: Parameter = ("order", "order", "Which come first.");

/// All routes.
pub(crate) fn routes() -> impl Iterator<Item = &'static Route> {
    let rooms: [&'static [Route]; 11] = [
        supervisors::ROUTES,
        teams::ROUTES,
        agents::ROUTES,
        beats::ROUTES,
        why::ROUTES,
        policies::ROUTES,
        interventions::ROUTES,
        alerts::ROUTES,
        events::ROUTES,
        system::ROUTES,
        watches::ROUTES,
    ];
    rooms.into_iter().flatten()
}

/// The router of a server at `address`.
pub(super) fn router(inner: &Arc<Inner>, address: IpAddr) -> Router {
    let reach = Reach::of(address);
    let served = routes().filter(|route| inner.supervises || watches::ROUTES.iter().any(|own| own.name == route.name));
    served.fold(Router::new(), |router, route| {
        let inner = Arc::clone(inner);
        let answer = move |parts: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
                           request: Request| {
            let inner = Arc::clone(&inner);
            async move {
                let path = parts.map(|parts| parts.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
                let path = path.map_err(|_| Problem::invalid("the path is not valid UTF-8"));
                let answered = match path {
                    Ok(path) => serve(&inner, route, path, request, reach).await,
                    Err(problem) => Err(problem),
                };
                answered.unwrap_or_else(IntoResponse::into_response)
            }
        };
        router.route(&route.full_path(), on(route.verb.filter(), answer))
    })
}

pub(super) async fn serve(
    inner: &Arc<Inner>,
    route: &'static Route,
    path: Vec<(String, String)>,
    request: Request,
    reach: Reach,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let access = inner.access();
    let caller = access.who(&parts.headers)?;
    access.admit(&caller, route.needs, reach)?;
    // Counted only now: whoever may not ask takes nothing from those who may.
    inner.rates.take(route.kind, Instant::now())?;
    let query = query(route, &parts.uri)?;
    let body = match route.takes {
        Takes::Nothing => Bytes::new(),
        Takes::Json(schema) | Takes::Maybe(schema) => {
            let bytes = call::body(body).await?;
            let empty = bytes.is_empty();
            if empty && matches!(route.takes, Takes::Json(_)) {
                return Err(
                    Problem::invalid("the body is empty; a JSON document was expected").field("body", "a document")
                );
            }
            if !empty && !call::is_json(&parts.headers) {
                let message = "the body has to be JSON, and to say so: `Content-Type: application/json`";
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported", message)
                    .field("Content-Type", "application/json"));
            }
            shaped(schema, &bytes)?;
            bytes
        }
    };
    let key = if route.kind == Kind::Change {
        Key::of(&parts.headers, &asked(route, &parts.uri.to_string()), &body)?
    } else {
        None
    };
    let known = (route.verb == Verb::Get).then(|| parts.headers.clone());
    let mut call = Call { inner: Arc::clone(inner), caller, path, query, headers: parts.headers, body, key };
    call.remember().await?;
    let again = call.again();
    let response = (route.call)(call).await?;
    let response = if again { call::replayed(response) } else { response };
    Ok(match known {
        Some(headers) => call::unless_known(response, &headers),
        None => response,
    })
}

fn asked(route: &Route, uri: &str) -> String {
    format!("{} {uri}", route.verb.as_str())
}

/// Whether mappings are mappings. What is no JSON at all is told by the reader, with its place; policies have a reader that tells all faults at once.
fn shaped(schema: &str, bytes: &[u8]) -> Result<(), Problem> {
    // Without this byte there is no list in it.
    if schema.starts_with("Policy") || !bytes.contains(&b'[') {
        return Ok(());
    }
    let Ok(document) = serde_json::from_slice(bytes) else { return Ok(()) };
    match schemas::list_for_mapping(schema, &document) {
        None => Ok(()),
        Some(path) => {
            Err(Problem::invalid(format!("{path} is a list; a mapping was expected")).field(path, "a mapping"))
        }
    }
}

/// The query, of which every key must be one of the route's, once.
fn query(route: &Route, uri: &axum::http::Uri) -> Result<BTreeMap<String, String>, Problem> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(BTreeMap::new());
    }
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Err(Problem::invalid("the query cannot be read").field("query", "key=value&…"));
    };
    let known = || {
        let keys: Vec<&str> = route.query.iter().map(|(name, _, _)| *name).collect();
        if keys.is_empty() { "no parameters".to_owned() } else { format!("one of {}", keys.join(", ")) }
    };
    let mut query = BTreeMap::new();
    for (key, value) in pairs {
        let short: String = key.chars().take(60).collect();
        if !route.query.iter().any(|(name, _, _)| *name == key) {
            let message = format!("there is no parameter `{short}` here; there is {}", known());
            return Err(Problem::invalid(message).field(short, known()));
        }
        if query.insert(key, value).is_some() {
            return Err(Problem::invalid(format!("the parameter `{short}` is there twice")).field(short, "once"));
        }
    }
    Ok(query)
}
