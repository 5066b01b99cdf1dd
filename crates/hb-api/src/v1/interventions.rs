//! Interventions: asked for, agreed to, refused, settled, undone.

use axum::http::StatusCode;
use hb_core::ids::{InterventionId, SupervisorId};
use hb_core::supervise::input::{Command, NewIntervention};
use hb_core::supervise::intervention::{Intervention, InterventionStatus};
use serde::{Deserialize, Serialize};

use super::agents::Reason;
use super::call::{self, Call, Listed, Outcome, number_of, ok};
use super::problem::Problem;
use super::supervisors;
use super::table::{AFTER, BASE, CHANGE, Gives, LIMIT, LOOK, ORDER, Parameter, RULE, Route, Takes, Verb};
use hb_core::supervise::history::InterventionFilter;

const ROOM: Route = Route { room: "interventions", ..LOOK };
const DECIDE: Route = Route {
    verb: Verb::Put,
    room: "interventions",
    takes: Takes::Maybe("Reason"),
    gives: Gives::Json("Intervention"),
    ..RULE
};
const STATUS: Parameter = ("status", "intervention_status", "Only those that stand there.");
const POLICY: Parameter = ("policy", "text", "Only those that this policy asked for.");
const TARGET: Parameter = ("target", "text", "Only those on this target.");

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/interventions",
        name: "list_interventions",
        says: "Interventions, the newest first; also those that are over.",
        query: &[AFTER, LIMIT, ORDER, STATUS, POLICY, TARGET, ("supervisor", "text", "Only those of this supervisor.")],
        gives: Gives::List("Intervention"),
        call: |call| Box::pin(list(call)),
        ..ROOM
    },
    Route {
        path: "/supervisors/{supervisor_id}/interventions",
        name: "list_interventions_of_supervisor",
        says: "Interventions of a supervisor, the newest first.",
        query: &[AFTER, LIMIT, ORDER, STATUS, POLICY, TARGET],
        gives: Gives::List("Intervention"),
        call: |call| Box::pin(list_of(call)),
        ..ROOM
    },
    Route {
        path: "/interventions",
        name: "create_intervention",
        says: "Asks for an intervention. It begins at once, or waits (PENDING) for its turn or for somebody who agrees.",
        room: "interventions",
        takes: Takes::Json("NewIntervention"),
        gives: Gives::Created("Intervention"),
        call: |call| Box::pin(create(call)),
        ..CHANGE
    },
    Route {
        path: "/interventions/{intervention_id}",
        name: "get_intervention",
        says: "One intervention with its plan.",
        gives: Gives::Json("Intervention"),
        call: |call| Box::pin(get(call)),
        ..ROOM
    },
    Route {
        path: "/interventions/{intervention_id}/approve",
        name: "approve_intervention",
        says: "Agrees to one; nobody agrees to what they asked for themselves.",
        call: |call| Box::pin(decide(call, |id, reason| Command::ApproveIntervention { id, reason })),
        ..DECIDE
    },
    Route {
        path: "/interventions/{intervention_id}/reject",
        name: "reject_intervention",
        says: "Refuses one.",
        call: |call| Box::pin(decide(call, |id, reason| Command::RejectIntervention { id, reason })),
        ..DECIDE
    },
    Route {
        path: "/interventions/{intervention_id}/settle",
        name: "settle_intervention",
        says: "Says what one in doubt came to.",
        takes: Takes::Json("Settlement"),
        call: |call| Box::pin(settle(call)),
        ..DECIDE
    },
    Route {
        verb: Verb::Post,
        path: "/interventions/{intervention_id}/rollback",
        name: "roll_back_intervention",
        says: "Undoes one that is over, as far as it can be undone.",
        call: |call| Box::pin(decide(call, |id, reason| Command::RollBackIntervention { id, reason })),
        ..DECIDE
    },
];

/// An intervention, and whether a person has to agree.
#[derive(Debug, Serialize)]
pub(super) struct InterventionDoc {
    #[serde(flatten)]
    intervention: Intervention,
    approval_required: bool,
}

impl From<Intervention> for InterventionDoc {
    fn from(intervention: Intervention) -> Self {
        let approval_required = !intervention.approval_reasons.is_empty();
        Self { intervention, approval_required }
    }
}

fn filter(call: &Call, supervisor: Option<SupervisorId>) -> Result<InterventionFilter, Problem> {
    let words = "PENDING, APPROVED, REJECTED, EXECUTING, COMPLETED, FAILED, IN_DOUBT or ROLLED_BACK";
    let status: Option<InterventionStatus> = call.word("status", words)?;
    let (target, policy) = (call.asked("target").map(str::to_owned), call.asked("policy").map(Into::into));
    Ok(InterventionFilter { supervisor, target, status, policy })
}

async fn listed(call: &Call, filter: InterventionFilter) -> Outcome {
    let page = call.page()?;
    let found = call.history(move |supervisors| supervisors.interventions(&filter, page)).await?;
    let found: Vec<InterventionDoc> = found.into_iter().map(InterventionDoc::from).collect();
    ok(&Listed::page(found, page.limit, |one| number_of(one.intervention.id.as_str())))
}

async fn list(call: Call) -> Outcome {
    listed(&call, filter(&call, call.asked("supervisor").map(SupervisorId::from))?).await
}

async fn list_of(call: Call) -> Outcome {
    let filter = filter(&call, Some(call.known_supervisor(supervisors::id(&call)).await?))?;
    listed(&call, filter).await
}

/// One that is in the state, or else in the database.
async fn find(call: &Call, id: InterventionId) -> Result<InterventionDoc, Problem> {
    let wanted = id.clone();
    if let Some(found) = call.look(move |supervision| supervision.state().interventions.get(&wanted).cloned()).await? {
        return Ok(found.into());
    }
    let wanted = id.clone();
    let found = call.history(move |supervisors| supervisors.intervention(&wanted)).await?;
    found.map(InterventionDoc::from).ok_or_else(|| Problem::not_found("intervention", id.as_str()))
}

fn id(call: &Call) -> InterventionId {
    call.part("intervention_id").into()
}

async fn get(call: Call) -> Outcome {
    call::single(&find(&call, id(&call)).await?)
}

/// Asks for one.
pub(super) async fn begin(call: &Call, wanted: NewIntervention, status: StatusCode) -> Outcome {
    let (made, notes) = call::made(call.want(Command::Intervene(wanted)).await?);
    let found = find(call, made.as_str().into()).await?;
    let mut answer = call::created(&call::noted(found, notes), &format!("{BASE}/interventions/{made}"))?;
    *answer.status_mut() = status;
    Ok(answer)
}

async fn create(call: Call) -> Outcome {
    let wanted: NewIntervention = call.json()?;
    begin(&call, wanted, StatusCode::CREATED).await
}

async fn decide(call: Call, command: fn(InterventionId, String) -> Command) -> Outcome {
    let Reason { reason } = call.json()?;
    let id = id(&call);
    call.want(command(id.clone(), reason)).await?;
    ok(&find(&call, id).await?)
}

/// What one in doubt came to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settlement {
    done: bool,
    #[serde(default)]
    reason: String,
}

async fn settle(call: Call) -> Outcome {
    let Settlement { done, reason } = call.json()?;
    let id = id(&call);
    call.want(Command::SettleIntervention { id: id.clone(), done, reason }).await?;
    ok(&find(&call, id).await?)
}
