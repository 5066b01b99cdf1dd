//! Alerts, in the groups in which they are told.

use hb_core::ids::{GroupId, SupervisorId};
use hb_core::supervise::alert::Severity;
use hb_core::supervise::input::Command;
use serde::Deserialize;

use super::call::{self, Call, Listed, Outcome, number_of, ok};
use super::problem::Problem;
use super::supervisors;
use super::table::{AFTER, CHANGE, Gives, LIMIT, LOOK, ORDER, Parameter, Route, Takes};
use hb_core::supervise::history::GroupFilter;

const ROOM: Route = Route { room: "alerts", ..LOOK };
const OPEN: Parameter = ("open", "truth", "Only those that are open, or those that are closed.");
const SEVERITY: Parameter = ("severity", "severity", "As bad as this, or worse.");
/// What a severity has to be.
pub(super) const SEVERITIES: &str = "INFO, WARNING, ERROR or CRITICAL";

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/alerts",
        name: "list_alerts",
        says: "Groups of alerts, the newest first; also those that are closed.",
        query: &[AFTER, LIMIT, ORDER, OPEN, SEVERITY, ("supervisor", "text", "Only those of this supervisor.")],
        gives: Gives::List("AlertGroup"),
        call: |call| Box::pin(list(call)),
        ..ROOM
    },
    Route {
        path: "/supervisors/{supervisor_id}/alerts",
        name: "list_alerts_of_supervisor",
        says: "Groups of alerts of a supervisor, the newest first.",
        query: &[AFTER, LIMIT, ORDER, OPEN, SEVERITY],
        gives: Gives::List("AlertGroup"),
        call: |call| Box::pin(list_of(call)),
        ..ROOM
    },
    Route {
        path: "/alerts",
        name: "raise_alert",
        says: "An alert from outside, such as another monitor's.",
        room: "alerts",
        takes: Takes::Json("NewAlert"),
        gives: Gives::Nothing,
        call: |call| Box::pin(raise(call)),
        ..CHANGE
    },
    Route {
        path: "/alerts/{group_id}",
        name: "get_alert",
        says: "One group of alerts.",
        gives: Gives::Json("AlertGroup"),
        call: |call| Box::pin(get(call)),
        ..ROOM
    },
    Route {
        path: "/alerts/{group_id}/resolve",
        name: "resolve_alert",
        says: "Somebody has seen to it: closes the group.",
        room: "alerts",
        gives: Gives::Json("AlertGroup"),
        call: |call| Box::pin(resolve(call)),
        ..CHANGE
    },
];

async fn listed(call: &Call, supervisor: Option<SupervisorId>) -> Outcome {
    let severity: Option<Severity> = call.word("severity", SEVERITIES)?;
    let (filter, page) = (GroupFilter { supervisor, open: call.truth("open")?, severity }, call.page()?);
    let found = call.history(move |supervisors| supervisors.groups(&filter, page)).await?;
    ok(&Listed::page(found, page.limit, |group| number_of(group.id.as_str())))
}

async fn list(call: Call) -> Outcome {
    listed(&call, call.asked("supervisor").map(SupervisorId::from)).await
}

async fn list_of(call: Call) -> Outcome {
    let supervisor = call.known_supervisor(supervisors::id(&call)).await?;
    listed(&call, Some(supervisor)).await
}

async fn find(call: &Call) -> Outcome {
    let id: GroupId = call.part("group_id").into();
    let wanted = id.clone();
    if let Some(found) = call.look(move |supervision| supervision.state().groups.get(&wanted).cloned()).await? {
        return call::single(&found);
    }
    let wanted = id.clone();
    let found = call.history(move |supervisors| supervisors.group(&wanted)).await?;
    call::single(&found.ok_or_else(|| Problem::not_found("alert", id.as_str()))?)
}

async fn get(call: Call) -> Outcome {
    find(&call).await
}

async fn resolve(call: Call) -> Outcome {
    call.want(Command::ResolveGroup(call.part("group_id").into())).await?;
    find(&call).await
}

/// An alert from outside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAlert {
    #[serde(alias = "agent")]
    agent_id: String,
    #[serde(default = "warning")]
    severity: Severity,
    message: String,
}

fn warning() -> Severity {
    Severity::Warning
}

async fn raise(call: Call) -> Outcome {
    let NewAlert { agent_id, severity, message } = call.json()?;
    call.want(Command::RaiseAlert { agent: agent_id.into(), severity, message }).await?;
    call::gone()
}
