//! Which path answers what. Every handler is a read of a snapshot.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use hb_core::ids::WatchName;
use hb_core::node::view::Role;
use maud::PreEscaped;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::documents::{ActiveDoc, CyclesDoc, ErrorDoc, LiveDoc, ReadyDoc, StatusDoc, status};
use crate::guard::{Gate, Hosts};
use crate::live::Live;
use crate::onlooker::Onlooker;
use crate::server::{Rooms, ServerCounters};
use crate::v1::{Api, Problem, Reach, is_api};
use crate::{guard, metrics, page, supervised};

/// Most cycles that one answer lists.
const CYCLES_MAX: usize = 1_000;
/// Cycles that an answer lists when it is not said how many.
const CYCLES_DEFAULT: usize = 50;

/// What handlers see.
#[derive(Clone)]
struct Shown {
    onlooker: Arc<dyn Onlooker>,
    counters: Arc<ServerCounters>,
    api: Option<Api>,
    live: Live,
}

/// All paths of the server at `address`; `names` are host names that lead to it beside its addresses.
pub fn router(onlooker: Arc<dyn Onlooker>, counters: Arc<ServerCounters>, address: IpAddr, names: &[String]) -> Router {
    let (_, closing) = watch::channel(false);
    router_with(onlooker, &Rooms::default(), counters, (address, names), closing)
}

/// The same with what else the node serves.
pub(crate) fn router_with(
    onlooker: Arc<dyn Onlooker>,
    rooms: &Rooms,
    counters: Arc<ServerCounters>,
    (address, names): (IpAddr, &[String]),
    closing: watch::Receiver<bool>,
) -> Router {
    let of_api = rooms.api.as_ref().map(|api| api.router(address)).unwrap_or_default();
    let of_copies = rooms.sync.as_ref().map(|sync| sync.router(address)).unwrap_or_default();
    let live = Live::new(Arc::clone(&onlooker), rooms.api.clone(), Reach::of(address), closing);
    let gate = Gate::new(Hosts::new(address, names), Arc::clone(&onlooker));
    Router::new()
        .route("/live", get(show_live))
        .route("/ready", get(ready))
        .route("/active", get(active))
        .route("/standby", get(standby))
        .route("/metrics", get(show_metrics))
        .route("/v1/status", get(show_status))
        .route("/v1/watches/{name}/cycles", get(cycles))
        .route("/", get(show_page))
        .route("/v1/stream", get(follow))
        .route("/plain", get(show_plain))
        .route("/page/{*path}", get(page::asset))
        .route("/style.css", get(|| async { asset("text/css; charset=utf-8", page::plain::STYLE) }))
        .route("/favicon.svg", get(|| async { asset("image/svg+xml", page::ICON) }))
        .with_state(Shown { onlooker, counters, api: rooms.api.clone(), live })
        .merge(of_api)
        .merge(of_copies)
        .method_not_allowed_fallback(wrong_method)
        .fallback(nowhere)
        .layer(middleware::from_fn_with_state(gate, guard::guard))
}

async fn show_live(State(shown): State<Shown>) -> Response {
    let liveness = shown.onlooker.liveness();
    let code = if liveness.alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(code, &LiveDoc::from(liveness))
}

async fn ready(State(shown): State<Shown>) -> Response {
    let doc = ReadyDoc::of(shown.onlooker.checks());
    json(if doc.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &doc)
}

/// Of which watch it is asked.
#[derive(Debug, Deserialize)]
struct OfWatch {
    watch: Option<String>,
}

/// Where nodes share watches out: active while it works for any, or for the one that is asked of.
async fn active(State(shown): State<Shown>, Query(asked): Query<OfWatch>) -> Response {
    let Some(watch) = asked.watch.map(WatchName::from) else { return role(&shown, Role::Active) };
    let view = shown.onlooker.view();
    let alive = shown.onlooker.liveness().alive;
    let doc = ActiveDoc { node: view.node.clone(), role: view.role, epoch: view.epoch, alive };
    let works = view.works_for(&watch) && alive;
    json(if works { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &doc)
}

async fn standby(State(shown): State<Shown>) -> Response {
    role(&shown, Role::Standby)
}

/// A node that hangs is neither: whoever asks by this path wants one that works.
fn role(shown: &Shown, wanted: Role) -> Response {
    let view = shown.onlooker.view();
    let alive = shown.onlooker.liveness().alive;
    let doc = ActiveDoc { node: view.node.clone(), role: view.role, epoch: view.epoch, alive };
    let wanted = view.role == wanted && alive;
    json(if wanted { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &doc)
}

async fn show_metrics(State(shown): State<Shown>) -> Response {
    let mut text = metrics::exposition(&shown.onlooker.metrics(), &shown.onlooker.view());
    text.push_str(&shown.counters.exposition());
    text.push_str(&page::exposition(shown.live.pages()));
    if let Some(api) = shown.api.as_ref().filter(|api| api.supervises()) {
        text.push_str(&api.exposition());
    }
    typed("text/plain; version=0.0.4; charset=utf-8", text)
}

async fn show_status(State(shown): State<Shown>) -> Response {
    let copy = shown.onlooker.metrics().copying;
    let nodes = shown.onlooker.nodes();
    json(StatusCode::OK, &StatusDoc { copy, nodes, ..status(&shown.onlooker.view()) })
}

#[derive(Debug, Deserialize)]
struct Limit {
    limit: Option<String>,
}

async fn cycles(State(shown): State<Shown>, Path(name): Path<String>, Query(asked): Query<Limit>) -> Response {
    let limit = match asked.limit.as_deref().map(str::parse) {
        None => CYCLES_DEFAULT,
        Some(Ok(limit)) if (1..=CYCLES_MAX).contains(&limit) => limit,
        Some(_) => return error(StatusCode::BAD_REQUEST, &format!("limit must be a number from 1 to {CYCLES_MAX}")),
    };
    let view = shown.onlooker.view();
    let watch = WatchName::from(name);
    match view.watches.iter().find(|known| known.name == watch) {
        Some(known) => {
            let cycles = shown.onlooker.recent(&watch, limit);
            json(StatusCode::OK, &CyclesDoc { watch, newest: known.cycle, cycles })
        }
        None => error(StatusCode::NOT_FOUND, &format!("no watch is named {watch:?}; /v1/status lists them")),
    }
}

async fn show_page(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    page::shell(&shown.onlooker.nodes(), &headers)
}

async fn follow(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    shown.live.follow(&headers)
}

async fn show_plain(State(shown): State<Shown>) -> Response {
    let agents = match shown.api.as_ref().filter(|api| api.supervises()) {
        Some(api) => supervised::table(api.worst_agents(supervised::AGENTS_MAX).await),
        None => PreEscaped(String::new()),
    };
    typed("text/html; charset=utf-8", page::plain::render(shown.onlooker.as_ref(), &agents))
}

async fn nowhere(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    if is_api(&path) {
        let message =
            format!("nothing is at {path:?}; /api/v1/openapi.json tells what there is where a supervisor runs");
        return Problem::new(StatusCode::NOT_FOUND, "not_found", message).into_response();
    }
    let known =
        "/, /plain, /live, /ready, /active, /standby, /metrics, /v1/status, /v1/stream, /v1/watches/{name}/cycles";
    error(StatusCode::NOT_FOUND, &format!("nothing is at {path:?}; there are {known}"))
}

async fn wrong_method(request: Request) -> Response {
    if is_api(request.uri().path()) {
        let message = format!("{} is not for this path; /api/v1/openapi.json tells what is", request.method());
        return Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).into_response();
    }
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "this path can only be read: use GET or HEAD");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// An answer that is an error, as JSON.
pub(crate) fn error(code: StatusCode, what: &str) -> Response {
    json(code, &ErrorDoc { error: what.into() })
}

fn json<T: Serialize>(code: StatusCode, body: &T) -> Response {
    match serde_json::to_string(body) {
        Ok(mut text) => {
            text.push('\n');
            (code, typed("application/json", text)).into_response()
        }
        Err(fault) => {
            tracing::error!(%fault, "an answer could not be written as JSON");
            (StatusCode::INTERNAL_SERVER_ERROR, "{\"error\":\"the answer could not be written\"}\n").into_response()
        }
    }
}

fn typed(kind: &'static str, body: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

fn asset(kind: &'static str, body: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, body).into_response()
}
