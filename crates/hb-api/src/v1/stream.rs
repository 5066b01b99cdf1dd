//! Events as they happen: what is in the database first, and then along with it, so that none is left out and none comes twice.
//!
//! **Invariants.** An event is sent only when it is durable, for it is read from the database. A client that does not take what it is sent
//! holds up nobody: it is cut off by the bounds of its connection, and asks again from the last event that it has. Bounds (B1):
//! [`super::STREAMS_MAX`] clients, [`AHEAD_MAX`] pieces ahead of a client, [`AGE_MAX`] for a stream.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hb_core::supervise::event::Event;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::call::{self, Call, Outcome};
use super::problem::Problem;
use super::{Inner, STREAMS_MAX, events};
use crate::pieces;
use hb_core::supervise::history::{EventFilter, Order, Page};

/// Pieces ahead of a client.
const AHEAD_MAX: usize = 4;
/// Events of one piece.
const PIECE_MAX: usize = 500;
/// How often it is looked whether there is something new.
const EVERY: Duration = Duration::from_millis(50);
/// How often a silent stream says that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How long a stream lasts; shorter than a connection may, so that it ends in good order.
const AGE_MAX: Duration = Duration::from_secs(100);

/// Follows events.
pub(super) fn follow(call: &Call) -> Outcome {
    let filter = events::filter(call)?;
    let resumed = call.headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::trim);
    let resumed = match resumed.filter(|text| !text.is_empty()).map(str::parse::<u64>) {
        None => None,
        Some(Ok(id)) if i64::try_from(id).is_ok() => Some(id),
        Some(_) => {
            return Err(
                Problem::invalid("Last-Event-ID is not the number of an event").field("Last-Event-ID", "a number")
            );
        }
    };
    // The number that the next event to be sent has at least.
    let asked = resumed.or(call.number("after")?).map(|id| id.saturating_add(1));
    let from = asked.unwrap_or_else(|| call.inner.supervisors.next_event());
    let Ok(place) = Arc::clone(&call.inner.streams).try_acquire_owned() else {
        return Err(Problem::busy(format!("{STREAMS_MAX} clients follow events already: try again later")));
    };
    let (pieces, taken) = mpsc::channel(AHEAD_MAX);
    let closing = call.inner.closing.subscribe();
    let teller = Teller { inner: Arc::clone(&call.inner), filter, next: from, pieces };
    tokio::spawn(teller.run(closing, place));
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))];
    let response: Response = (kind, pieces::body(taken)).into_response();
    Ok(response)
}

/// Fills the channel of one client.
struct Teller {
    inner: Arc<Inner>,
    filter: EventFilter,
    next: u64,
    pieces: mpsc::Sender<Bytes>,
}

/// The client has gone, or is not wanted any more.
struct Over;

impl Teller {
    async fn run(self, mut closing: watch::Receiver<bool>, place: OwnedSemaphorePermit) {
        tokio::select! {
            _ended = timeout(AGE_MAX, self.tell()) => {}
            // An error means that the API is gone, which means the same.
            _ = closing.wait_for(|closing| *closing) => {}
        }
        drop(place);
    }

    async fn tell(mut self) -> Result<(), Over> {
        self.send("retry: 1000\n\n".to_owned()).await?;
        self.tell_gap().await?;
        let mut said = Instant::now();
        loop {
            let newest = self.inner.supervisors.next_event();
            if self.next < newest {
                if self.tell_until(newest).await? {
                    said = Instant::now();
                }
                continue;
            }
            if said.elapsed() >= ALIVE_EVERY {
                said = Instant::now();
                self.send(":\n\n".to_owned()).await?;
            }
            if self.pieces.is_closed() {
                return Err(Over);
            }
            sleep(EVERY).await;
        }
    }

    async fn send(&self, text: String) -> Result<(), Over> {
        self.pieces.send(Bytes::from(text)).await.map_err(|_| Over)
    }

    async fn page(&self, filter: EventFilter, limit: usize) -> Result<Vec<Event>, Over> {
        let page = Page { order: Order::OldestFirst, after: self.next.checked_sub(1), limit };
        let found = call::history(&self.inner, move |supervisors| supervisors.events(&filter, page)).await;
        // A database that cannot be read ends the stream: the client comes again, and is told why if it still cannot.
        found.map_err(|_| Over)
    }

    /// Events that are not kept any more cannot be sent: that is said.
    async fn tell_gap(&mut self) -> Result<(), Over> {
        if self.next >= self.inner.supervisors.next_event() {
            return Ok(());
        }
        let oldest = self.page(EventFilter::default(), 1).await?;
        if let Some(oldest) = oldest.first().filter(|oldest| oldest.id > self.next) {
            let gap = serde_json::json!({"from": self.next, "to": oldest.id.saturating_sub(1)});
            self.send(format!("event: gap\ndata: {gap}\n\n")).await?;
        }
        Ok(())
    }

    /// Everything before `newest`; gives whether there was something.
    async fn tell_until(&mut self, newest: u64) -> Result<bool, Over> {
        let found = self.page(self.filter.clone(), PIECE_MAX).await?;
        let full = found.len() >= PIECE_MAX;
        let last = found.last().map(|event| event.id.saturating_add(1));
        if !found.is_empty() {
            let mut piece = String::new();
            for event in &found {
                piece.push_str(&one(event));
            }
            self.send(piece).await?;
        }
        // A page that is not full holds all that there was when `newest` was read, or more.
        self.next = if full { last.unwrap_or(newest) } else { last.unwrap_or(newest).max(newest) };
        Ok(!found.is_empty())
    }
}

/// One event in the format of server-sent events; JSON has no line ends of its own.
fn one(event: &Event) -> String {
    let data = serde_json::to_string(event).unwrap_or_else(|_| "{}".to_owned());
    let kind: String = event.kind.chars().filter(|c| !c.is_control()).collect();
    format!("id: {}\nevent: {kind}\ndata: {data}\n\n", event.id)
}
