//! The API under `/api/v1`: what people, programs and agents may ask of a supervisor, and want of it.
//!
//! Every route stands in one table (`table.rs`), of which the router and the OpenAPI document are both made. A request passes, in this order:
//! its place (the guard of all pages), who asks, what they may, its rate, its query and its body; only then the supervisor hears of it.
//! An answer to a change is given when the change is durable.
//!
//! | question | file |
//! |---|---|
//! | What does the API need of a supervisor? | `seam.rs` |
//! | Which routes are there? | `table.rs` and the table at the end of each room |
//! | Who may what? | `access.rs` |
//! | How often? | `rate.rs` |
//! | How do beats that come together go on? | `held.rs` |
//! | How is a request taken apart, and how does it reach the supervisor? | `call.rs` |
//! | What does an error look like? | `problem.rs` |
//! | What do documents look like? | `shapes/` |
//! | How is the OpenAPI document made? | `openapi.rs`, its schemas `schemas.rs` |
//! | How does the page about it come about? | `reference.rs` |
//! | How are events followed? | `stream.rs` |
//! | What does the API need of watches, and which routes have they? | `watching.rs`, `watches.rs` |
//! | What does the page's stream take of a supervisor? | `live.rs` |

mod access;
mod agents;
mod alerts;
mod beats;
mod call;
mod events;
mod held;
mod inside;
mod interventions;
mod live;
mod nobody;
mod openapi;
mod policies;
mod problem;
mod rate;
pub mod reference;
mod schemas;
pub mod seam;
mod shapes;
mod stream;
mod supervisors;
pub mod sync;
mod system;
mod table;
mod teams;
mod watches;
pub mod watching;
mod why;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hb_core::supervise::Supervision;
use tokio::sync::{Semaphore, watch};

use crate::exposition::{Exposition, Kind};

pub(crate) use access::Reach;
pub use access::{Access, Anonymous, TOKEN_BYTES_MIN, TOKENS_MAX};
pub(crate) use beats::is_beat as is_api_beat;
pub(crate) use problem::{Problem, is_api};
pub use schemas::list_for_mapping;
pub(crate) use shapes::agent::AgentLine;
pub(crate) use shapes::presence::PresenceDoc;

/// Most questions to the database at once; who comes beyond waits a moment, and is told to try again then (B1).
pub const HISTORY_AT_ONCE: usize = 4;
/// Most clients that follow events at once (B1).
pub const STREAMS_MAX: usize = 32;

/// The API of one supervisor.
#[derive(Clone)]
pub struct Api {
    pub(crate) inner: Arc<Inner>,
}

/// What all requests share.
pub(crate) struct Inner {
    supervisors: Arc<dyn seam::Supervisors>,
    /// Whether there is a supervisor at all: a node that only watches has none.
    supervises: bool,
    /// The watches of the node, where it has any.
    watching: Option<Arc<dyn watching::Watching>>,
    /// As it was read last.
    access: Mutex<Arc<Access>>,
    rates: rate::Rates,
    held: held::Held,
    history: Semaphore,
    streams: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

impl Inner {
    fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("access", &self.inner.access()).finish_non_exhaustive()
    }
}

impl Api {
    /// The API of this supervisor, for those who may.
    #[must_use]
    pub fn new(supervisors: Arc<dyn seam::Supervisors>, access: Access) -> Self {
        Self::of(Some(supervisors), None, access)
    }

    /// The API of a node that supervises, watches, or does both.
    #[must_use]
    pub fn of(
        supervisors: Option<Arc<dyn seam::Supervisors>>,
        watching: Option<Arc<dyn watching::Watching>>,
        access: Access,
    ) -> Self {
        let inner = Inner {
            supervises: supervisors.is_some(),
            supervisors: supervisors.unwrap_or_else(|| Arc::new(nobody::Nobody)),
            watching,
            access: Mutex::new(Arc::new(access)),
            rates: rate::Rates::default(),
            held: held::Held::default(),
            history: Semaphore::new(HISTORY_AT_ONCE),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            closing: watch::channel(false).0,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Who may use it from now on: the tokens were read again.
    pub fn admit(&self, access: Access) {
        *self.inner.access.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
    }

    /// All paths of the API, for a server at `address`: one that listens beyond loopback lets nobody in without a token.
    pub(crate) fn router(&self, address: IpAddr) -> Router {
        table::router(&self.inner, address)
    }

    /// Answers a beat of this agent as the router would.
    pub(crate) async fn beat(&self, agent: String, request: Request, reach: Reach) -> Response {
        let path = vec![("agent_id".to_owned(), agent)];
        let answered = table::serve(&self.inner, &beats::BEAT, path, request, reach).await;
        answered.unwrap_or_else(IntoResponse::into_response)
    }

    /// Those who follow events are told to come again.
    pub(crate) fn close(&self) {
        self.inner.closing.send_replace(true);
    }

    /// Counters of the API, for `/metrics`.
    pub(crate) fn exposition(&self) -> String {
        let free = self.inner.streams.available_permits();
        families(self.inner.rates.refused(), STREAMS_MAX.saturating_sub(free))
    }

    /// The agents that need somebody most, at most `most`, and how many there are; `None` when the supervisor does not answer at once.
    pub(crate) async fn worst_agents(&self, most: usize) -> Option<(Vec<AgentLine>, usize)> {
        let look = move |supervision: &Supervision| {
            let all = &supervision.state().agents;
            let mut lines: Vec<_> = all.values().collect();
            lines.sort_by_key(|agent| (shapes::agent::calm(agent), agent.id()));
            let lines = lines.into_iter().take(most).map(|agent| AgentLine::of(supervision, agent)).collect();
            (lines, all.len())
        };
        call::look(&self.inner, call::GLANCE, look).await.ok()
    }
}

/// The API's part of `/metrics`.
pub(crate) fn families(refused: u64, streams: usize) -> String {
    let mut out = Exposition::default();
    out.family("hb_api_refused_total", Kind::Counter, "Requests to the API beyond their rate, told 429.");
    out.whole("hb_api_refused_total", &[], refused);
    out.family("hb_api_streams", Kind::Gauge, "Clients that follow events.");
    out.whole("hb_api_streams", &[], u64::try_from(streams).unwrap_or(u64::MAX));
    out.finish()
}

/// The OpenAPI 3.1 document of the API.
#[must_use]
pub fn openapi_document() -> serde_json::Value {
    openapi::document()
}

/// Every route: its verb, its path, and its name.
#[must_use]
pub fn routes() -> Vec<(&'static str, String, &'static str)> {
    table::routes().map(|route| (route.verb.as_str(), route.full_path(), route.name)).collect()
}
