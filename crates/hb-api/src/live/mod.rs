//! The page's stream: what changes on a node, as it changes, to every page at once.
//!
//! One task looks at the node's pictures ten times a second while anybody follows, and writes what is new once for all of them; so many pages cost
//! little more than one. A look that takes long is followed by a longer rest. It shares nothing with the daemon's work but pictures.
//!
//! **Invariants.** A page that comes again with `Last-Event-ID` misses nothing and gets nothing twice, or is given the whole picture anew.
//! Bounds (B1): [`PAGES_MAX`] pages at once, [`AHEAD_MAX`] pieces of [`PIECE_BYTES`] bytes ahead of each, [`AGE_MAX`] for a stream,
//! [`EVENTS_MAX`] events and [`AGENTS_MAX`] agents a turn.

mod hub;
mod picture;

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hb_core::ids::AgentId;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::onlooker::Onlooker;
use crate::pieces;
use crate::v1::{Api, Reach};
use hub::{Eyes, Hub};

/// Most pages that follow at once.
pub(crate) const PAGES_MAX: usize = 300;
/// Pieces ahead of a page.
const AHEAD_MAX: usize = 4;
/// About how many bytes go out in one piece.
const PIECE_BYTES: usize = 128 << 10;
/// How often everything is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// A look may take one of so many parts of the time: what it takes is rested for so many times.
const REST_FACTOR: u32 = 40;
/// How often a silent stream says that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(3);
/// How long a stream lasts; shorter than a connection may, so that it ends in good order.
const AGE_MAX: Duration = Duration::from_secs(100);
/// How long it is looked on while nobody follows: a page that comes again has lost nothing.
const LINGER: Duration = Duration::from_secs(30);
/// Most events of a turn.
const EVENTS_MAX: usize = 500;
/// Most agents whose lines are told in a turn; when there are more, pages are told to take all of them anew.
const AGENTS_MAX: usize = 1_000;

/// The stream of a node.
#[derive(Clone)]
pub(crate) struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    onlooker: Arc<dyn Onlooker>,
    api: Option<Api>,
    reach: Reach,
    hub: Mutex<Hub>,
    newest: watch::Sender<u64>,
    places: Arc<Semaphore>,
    working: AtomicBool,
    /// The number of the next event of the supervisor that is to be told.
    event: AtomicU64,
    closing: watch::Receiver<bool>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("free", &self.shared.places.available_permits()).finish_non_exhaustive()
    }
}

impl Live {
    /// The stream of this node, which ends when `closing` says so.
    pub(crate) fn new(
        onlooker: Arc<dyn Onlooker>,
        api: Option<Api>,
        reach: Reach,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let boot = RandomState::new().hash_one(std::process::id());
        let event = api.as_ref().map_or(0, Api::next_event);
        let shared = Shared {
            onlooker,
            api,
            reach,
            hub: Mutex::new(Hub::new(boot)),
            newest: watch::channel(0).0,
            places: Arc::new(Semaphore::new(PAGES_MAX)),
            working: AtomicBool::new(false),
            event: event.into(),
            closing,
        };
        Self { shared: Arc::new(shared) }
    }

    /// How many pages follow.
    pub(crate) fn pages(&self) -> u64 {
        PAGES_MAX.saturating_sub(self.shared.places.available_permits()) as u64
    }

    /// Lets one more page follow.
    pub(crate) fn follow(&self, headers: &HeaderMap) -> Response {
        let Ok(place) = Arc::clone(&self.shared.places).try_acquire_owned() else {
            let what = format!("{PAGES_MAX} pages follow this node already: try again later");
            return crate::routes::error(StatusCode::SERVICE_UNAVAILABLE, &what);
        };
        let refused = self.shared.api.as_ref().filter(|api| api.supervises());
        let refused = refused.and_then(|api| api.may_look(headers, self.shared.reach).err());
        let shown = headers.contains_key(header::AUTHORIZATION);
        if let Some(problem) = refused.filter(|_| shown) {
            // A token that is not known is told, not passed over.
            return problem.into_response();
        }
        self.begin(headers, place)
    }

    fn begin(&self, headers: &HeaderMap, place: OwnedSemaphorePermit) -> Response {
        let shared = &self.shared;
        if !shared.working.swap(true, Ordering::AcqRel) {
            // So that the picture is of now, and not of when somebody followed last.
            shared.look();
            tokio::spawn(Arc::clone(shared).work());
        }
        let supervised = shared.api.as_ref().filter(|api| api.supervises());
        let looks = supervised.is_some_and(|api| api.may_look(headers, shared.reach).is_ok());
        let eyes = if looks { Eyes::Lookers } else { Eyes::All };
        let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok());
        let resumed = resumed.and_then(|id| shared.hub().resumed(id));
        let hello = json!({
            "resumed": resumed.is_some(), "supervises": supervised.is_some(), "looks": looks,
            "next_event": supervised.map(|_| shared.event.load(Ordering::Acquire)),
        });
        let (pieces, taken) = mpsc::channel(AHEAD_MAX);
        let teller = Teller { shared: Arc::clone(shared), eyes, next: resumed, pieces };
        tokio::spawn(teller.run(format!("retry: 500\nevent: hello\ndata: {hello}\n\n"), place));
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))];
        (kind, pieces::body(taken)).into_response()
    }
}

impl Shared {
    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks once.
    fn look(&self) {
        let next = {
            let mut hub = self.hub();
            hub.look(self.onlooker.as_ref(), self.api.as_ref());
            hub.next()
        };
        self.announce(next);
    }

    fn announce(&self, next: u64) {
        self.newest.send_if_modified(|newest| std::mem::replace(newest, next) != next);
    }

    /// Looks until nobody has followed for a while.
    async fn work(self: Arc<Self>) {
        let mut followed = Instant::now();
        let mut closing = self.closing.clone();
        while !*closing.borrow_and_update() {
            let began = Instant::now();
            self.look();
            self.listen().await;
            if self.places.available_permits() < PAGES_MAX {
                followed = began;
            }
            if followed.elapsed() > LINGER {
                self.working.store(false, Ordering::Release);
                // Whoever came just now found somebody at work, and is served by this one still.
                let missed = self.places.available_permits() < PAGES_MAX;
                if !missed || self.working.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
            let rest = EVERY.max(began.elapsed().saturating_mul(REST_FACTOR).min(Duration::from_secs(2)));
            tokio::select! {
                () = sleep(rest) => {}
                _ended = closing.changed() => {}
            }
        }
    }

    /// Tells what has happened to the supervisor's since.
    async fn listen(&self) {
        let Some(api) = self.api.as_ref().filter(|api| api.supervises()) else { return };
        let from = self.event.load(Ordering::Acquire);
        let newest = api.next_event();
        if from >= newest {
            return;
        }
        if newest.saturating_sub(from) > EVENTS_MAX as u64 {
            self.event.store(newest, Ordering::Release);
            return self.tell(&[("stale", "{}".to_owned())]);
        }
        // What cannot be read now is read in the next turn.
        let Ok(events) = api.events_from(from, EVENTS_MAX).await else { return };
        let next = events.last().map_or(newest, |event| event.id.saturating_add(1).max(newest));
        let touched: BTreeSet<AgentId> = events.iter().filter_map(|event| event.about.agent.clone()).collect();
        let mut told: Vec<(&str, String)> = Vec::new();
        if touched.len() > AGENTS_MAX {
            told.push(("stale", "{}".to_owned()));
        } else if !touched.is_empty() {
            let Some(lines) = api.lines(touched).await else { return };
            told.extend(lines.into_iter().map(|(id, line)| match line {
                Some(line) => ("agent", line),
                None => ("agentgone", json!({"id": id}).to_string()),
            }));
        }
        told.extend(events.iter().filter_map(|event| Some(("event", serde_json::to_string(event).ok()?))));
        self.event.store(next, Ordering::Release);
        self.tell(&told);
    }

    fn tell(&self, told: &[(&str, String)]) {
        let next = {
            let mut hub = self.hub();
            for (event, data) in told {
                hub.push(Eyes::Lookers, event, data);
            }
            hub.next()
        };
        self.announce(next);
    }
}

/// Fills the channel of one page.
struct Teller {
    shared: Arc<Shared>,
    eyes: Eyes,
    /// The piece that comes next; the whole picture first where nothing stands here.
    next: Option<u64>,
    pieces: mpsc::Sender<Bytes>,
}

/// The page has gone, or is not wanted any more.
struct Over;

impl Teller {
    async fn run(self, hello: String, place: OwnedSemaphorePermit) {
        let mut closing = self.shared.closing.clone();
        tokio::select! {
            _ended = timeout(AGE_MAX, self.tell(hello)) => {}
            // An error means that the server is gone, which means the same.
            _ = closing.wait_for(|closing| *closing) => {}
        }
        drop(place);
    }

    async fn tell(mut self, hello: String) -> Result<(), Over> {
        let mut newest = self.shared.newest.subscribe();
        self.send(hello.into_bytes()).await?;
        loop {
            newest.borrow_and_update();
            while let Some(piece) = self.piece() {
                self.send(piece).await?;
            }
            tokio::select! {
                changed = timeout(ALIVE_EVERY, newest.changed()) => match changed {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err(Over),
                    Err(_) => self.send(b":\n\n".to_vec()).await?,
                },
                () = self.pieces.closed() => return Err(Over),
            }
        }
    }

    /// What is to be sent next, if anything is.
    fn piece(&mut self) -> Option<Vec<u8>> {
        let hub = self.shared.hub();
        let since = self.next.and_then(|next| hub.since(next, self.eyes, PIECE_BYTES));
        let Some((bytes, next)) = since else {
            self.next = Some(hub.next());
            return Some(hub.picture());
        };
        let more = self.next != Some(next);
        self.next = Some(next);
        more.then_some(bytes)
    }

    async fn send(&self, bytes: Vec<u8>) -> Result<(), Over> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.pieces.send(Bytes::from(bytes)).await.map_err(|_| Over)
    }
}
