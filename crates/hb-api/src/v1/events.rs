//! What happened: the audit log, to be listed and to be followed.

use std::future::ready;

use hb_core::supervise::alert::Severity;

use super::call::{self, Call, Listed, Outcome, ok};
use super::problem::Problem;
use super::table::{AFTER, Gives, LIMIT, LOOK, ORDER, Parameter, Route};
use super::{alerts, stream};
use hb_core::supervise::history::EventFilter;

const ROOM: Route = Route { room: "events", ..LOOK };
const SEVERITY: Parameter = ("severity", "severity", "As bad as this, or worse.");
const KIND: Parameter = ("kind", "text", "Only of this kind, or of all that begin so: `agent.*`.");
const AGENT: Parameter = ("agent", "text", "Only those about this agent.");
const SUPERVISOR: Parameter = ("supervisor", "text", "Only those about this supervisor.");
const TEAM: Parameter = ("team", "text", "Only those about this team.");
const INTERVENTION: Parameter = ("intervention", "text", "Only those about this intervention.");

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

async fn get(call: Call) -> Outcome {
    let text = call.part("event_id").to_owned();
    let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    let number: u64 = number.ok_or_else(|| Problem::not_found("event", &text))?;
    let found = call.history(move |supervisors| supervisors.event(number)).await?;
    call::single(&found.ok_or_else(|| Problem::not_found("event", &text))?)
}
