//! What happened: the audit log, to be listed and to be followed.

use std::future::ready;

use hb_core::supervise::alert::Severity;
use hb_core::supervise::event::Event;
use hb_core::supervise::history::EventFilter;
use hb_core::supervise::input::Command;
use serde::Deserialize;

use super::call::{self, Call, Listed, Outcome, ok};
use super::problem::Problem;
use super::table::{AFTER, CHANGE, Gives, LIMIT, LOOK, ORDER, Parameter, Route, SYSTEM, Takes};
use super::{alerts, stream};

const ROOM: Route = Route { room: "events", ..LOOK };
const SEVERITY: Parameter = ("severity", "severity", "As bad as this, or worse.");
const KIND: Parameter = ("kind", "text", "Only of this kind, or of all that begin so: `agent.*`.");
const AGENT: Parameter = ("agent", "text", "Only those about this agent.");
const SUPERVISOR: Parameter = ("supervisor", "text", "Only those about this supervisor.");
const TEAM: Parameter = ("team", "text", "Only those about this team.");
const INTERVENTION: Parameter = ("intervention", "text", "Only those about this intervention.");

/// An event is taken note of.
const NOTE: Route = Route {
    path: "/events/{event_id}/acknowledge",
    name: "acknowledge_event",
    says: "Somebody takes note of an event; the first one counts.",
    room: "events",
    takes: Takes::Maybe("Acknowledgement"),
    gives: Gives::Json("Event"),
    call: |call| Box::pin(acknowledge(call)),
    ..CHANGE
};

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/events",
        name: "list_events",
        says: "What happened, the newest first.",
        query: &[AFTER, LIMIT, ORDER, SEVERITY, KIND, AGENT, SUPERVISOR, TEAM, INTERVENTION],
        gives: Gives::List("Event"),
        call: |call| Box::pin(list(call)),
        ..ROOM
    },
    Route {
        path: "/events/stream",
        name: "follow_events",
        says: "What happens, as server-sent events without gaps: from `after`, or the header Last-Event-ID, or now on. The stream ends \
               after a while; whoever asks again with Last-Event-ID misses nothing.",
        query: &[AFTER, SEVERITY, KIND, AGENT, SUPERVISOR, TEAM, INTERVENTION],
        gives: Gives::Stream,
        call: |call| Box::pin(ready(stream::follow(&call))),
        ..ROOM
    },
    Route {
        path: "/events/{event_id}",
        name: "get_event",
        says: "One event.",
        gives: Gives::Json("Event"),
        call: |call| Box::pin(get(call)),
        ..ROOM
    },
    NOTE,
    Route { base: SYSTEM, name: "acknowledge_system_event", room: "system", ..NOTE },
];

/// Which events are asked for.
pub(super) fn filter(call: &Call) -> Result<EventFilter, Problem> {
    let severity: Option<Severity> = call.word("severity", alerts::SEVERITIES)?;
    Ok(EventFilter {
        severity,
        kind: call.asked("kind").map(str::to_owned),
        agent: call.asked("agent").map(Into::into),
        supervisor: call.asked("supervisor").map(Into::into),
        team: call.asked("team").map(Into::into),
        intervention: call.asked("intervention").map(Into::into),
    })
}

async fn list(call: Call) -> Outcome {
    let (filter, page) = (filter(&call)?, call.page()?);
    let found = call.history(move |supervisors| supervisors.events(&filter, page)).await?;
    ok(&Listed::page(found, page.limit, |event| Some(event.id)))
}

/// The same in the words of the second design.
pub(super) async fn of_process(call: Call) -> Outcome {
    let filter = EventFilter { agent: call.asked("process_id").map(Into::into), ..filter(&call)? };
    let page = call.page()?;
    let found = call.history(move |supervisors| supervisors.events(&filter, page)).await?;
    ok(&Listed::page(found, page.limit, |event| Some(event.id)))
}

/// The event of the path.
async fn find(call: &Call) -> Result<Event, Problem> {
    let text = call.part("event_id").to_owned();
    let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    let number: u64 = number.ok_or_else(|| Problem::not_found("event", &text))?;
    let found = call.history(move |supervisors| supervisors.event(number)).await?;
    found.ok_or_else(|| Problem::not_found("event", &text))
}

async fn get(call: Call) -> Outcome {
    call::single(&find(&call).await?)
}

/// What somebody makes of an event.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Acknowledgement {
    note: String,
}

async fn acknowledge(call: Call) -> Outcome {
    let Acknowledgement { note } = call.json()?;
    let event = find(&call).await?;
    if event.acknowledged.is_some() && !call.again() {
        call.not_standing_by().await?;
        return call::single(&event);
    }
    call.want(Command::AcknowledgeEvent { id: event.id, note }).await?;
    call::single(&find(&call).await?)
}
