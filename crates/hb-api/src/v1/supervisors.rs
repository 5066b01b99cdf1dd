//! Supervisors: made, changed, paused, stopped, forgotten; how they are, and their tree.

use axum::http::StatusCode;
use hb_core::ids::SupervisorId;
use hb_core::supervise::input::{Command, NewSupervisor};
use hb_core::supervise::tree::{SupervisorConfig, SupervisorStatus};
use serde::Deserialize;

use super::call::{self, Call, Listed, Outcome, ok, tagged};
use super::problem::Problem;
use super::shapes::presence::HealthDoc;
use super::shapes::supervisor::{HierarchyDoc, SupervisorDoc};
use super::table::{BASE, CHANGE, Gives, LIMIT, LOOK, Route, SKIP, Takes, Verb};

const ROOM: Route = Route { room: "supervisors", ..LOOK };
const ACT: Route = Route { room: "supervisors", gives: Gives::Json("Supervisor"), ..CHANGE };

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/supervisors",
        name: "list_supervisors",
        says: "Supervisors, by id.",
        query: &[
            SKIP,
            LIMIT,
            ("status", "supervisor_status", "Only those that stand there."),
            ("parent", "text", "Only those below this one."),
        ],
        gives: Gives::List("Supervisor"),
        call: |call| Box::pin(list(call)),
        ..ROOM
    },
    Route {
        path: "/supervisors",
        name: "create_supervisor",
        says: "Makes a supervisor; it monitors when the answer comes.",
        takes: Takes::Json("NewSupervisor"),
        gives: Gives::Created("Supervisor"),
        call: |call| Box::pin(create(call)),
        ..ACT
    },
    Route {
        path: "/supervisors/{supervisor_id}",
        name: "get_supervisor",
        says: "One supervisor.",
        gives: Gives::Json("Supervisor"),
        call: |call| Box::pin(get(call)),
        ..ROOM
    },
    Route {
        verb: Verb::Put,
        path: "/supervisors/{supervisor_id}",
        name: "configure_supervisor",
        says: "Changes its description, its settings, or both. Settings are given whole: what is absent takes its default.",
        takes: Takes::Json("SupervisorChange"),
        versioned: true,
        call: |call| Box::pin(configure(call)),
        ..ACT
    },
    Route {
        verb: Verb::Delete,
        path: "/supervisors/{supervisor_id}",
        name: "delete_supervisor",
        says: "Forgets a supervisor that has no team and nothing below it.",
        gives: Gives::Nothing,
        call: |call| Box::pin(delete(call)),
        ..ACT
    },
    Route {
        path: "/supervisors/{supervisor_id}/pause",
        name: "pause_supervisor",
        says: "Neither monitors nor intervenes, until it is resumed; also across restarts of hb.",
        call: |call| Box::pin(turn(call, Command::PauseSupervisor)),
        ..ACT
    },
    Route {
        path: "/supervisors/{supervisor_id}/resume",
        name: "resume_supervisor",
        says: "Monitors and intervenes again.",
        call: |call| Box::pin(turn(call, Command::ResumeSupervisor)),
        ..ACT
    },
    Route {
        path: "/supervisors/{supervisor_id}/stop",
        name: "stop_supervisor",
        says: "Over, for ever; its agents are left as they are.",
        call: |call| Box::pin(turn(call, Command::StopSupervisor)),
        ..ACT
    },
    Route {
        path: "/supervisors/{supervisor_id}/restart",
        name: "restart_supervisor",
        says: "Tries again after FAILED.",
        call: |call| Box::pin(turn(call, Command::RestartSupervisor)),
        ..ACT
    },
    Route {
        path: "/supervisors/{supervisor_id}/health",
        name: "get_supervisor_health",
        says: "How it is: beats, and whether it is starting, recovering, active, paused, degraded, stopping, stopped or standing by.",
        gives: Gives::Json("SupervisorHealth"),
        call: |call| Box::pin(health(call)),
        ..ROOM
    },
    Route {
        path: "/supervisors/{supervisor_id}/hierarchy",
        name: "get_hierarchy",
        says: "Those above it, and those below it with what they add up to.",
        gives: Gives::Json("Hierarchy"),
        call: |call| Box::pin(hierarchy(call)),
        ..ROOM
    },
];

/// The supervisor of the path.
pub(super) fn id(call: &Call) -> SupervisorId {
    call.part("supervisor_id").into()
}

pub(super) fn unknown(id: &SupervisorId) -> Problem {
    Problem::not_found("supervisor", id.as_str())
}

async fn list(call: Call) -> Outcome {
    let part = call.skip()?;
    let status: Option<SupervisorStatus> = call.word("status", "SPAWNING, ACTIVE, PAUSED, FAILED or TERMINATED")?;
    let parent = call.asked("parent").map(SupervisorId::from);
    let listed = call.look(move |supervision| {
        let all = supervision.state().supervisors.values();
        let all = all.filter(|one| status.is_none_or(|status| one.status == status));
        let all = all.filter(|one| parent.is_none() || one.parent == parent);
        Listed::of(all, part, |one| SupervisorDoc::of(supervision, one))
    });
    ok(&listed.await?)
}

async fn find(call: &Call, id: SupervisorId) -> Result<SupervisorDoc, Problem> {
    let wanted = id.clone();
    let found = call.look(move |supervision| {
        supervision.state().supervisors.get(&wanted).map(|one| SupervisorDoc::of(supervision, one))
    });
    found.await?.ok_or_else(|| unknown(&id))
}

async fn get(call: Call) -> Outcome {
    let found = find(&call, id(&call)).await?;
    tagged(&found, found.config_version)
}

async fn create(call: Call) -> Outcome {
    let new: NewSupervisor = call.json()?;
    let (made, notes) = call::made(call.want(Command::CreateSupervisor(new)).await?);
    let found = find(&call, made.as_str().into()).await?;
    let version = found.config_version;
    call::created_version(&call::noted(found, notes), &format!("{BASE}/supervisors/{made}"), version)
}

/// What can be changed about one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SupervisorChange {
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    config: Option<SupervisorConfig>,
}

async fn configure(call: Call) -> Outcome {
    let SupervisorChange { description, config } = call.json()?;
    if description.is_none() && config.is_none() {
        return Err(Problem::invalid("there is nothing to change").field("body", "description, config, or both"));
    }
    let expect = call.expected()?;
    let id = id(&call);
    call.want(Command::ConfigureSupervisor { id: id.clone(), description, config, expect }).await?;
    let found = find(&call, id).await?;
    tagged(&found, found.config_version)
}

async fn delete(call: Call) -> Outcome {
    call.want(Command::DeleteSupervisor(id(&call))).await?;
    call::gone()
}

async fn turn(call: Call, command: fn(SupervisorId) -> Command) -> Outcome {
    let id = id(&call);
    call.want(command(id.clone())).await?;
    let found = find(&call, id).await?;
    tagged(&found, found.config_version)
}

async fn health(call: Call) -> Outcome {
    let (wanted, standing) = (id(&call), call.standing());
    let now = call.now().wall;
    let found = call.look(move |supervision| {
        let one = supervision.state().supervisors.get(&wanted);
        one.map(|one| HealthDoc::of(one, &standing, now)).ok_or(wanted)
    });
    match found.await? {
        Ok(health) => Ok(call::json(StatusCode::OK, &health)),
        Err(id) => Err(unknown(&id)),
    }
}

async fn hierarchy(call: Call) -> Outcome {
    let id = id(&call);
    let wanted = id.clone();
    let found = call.look(move |supervision| HierarchyDoc::of(supervision, &wanted)).await?;
    ok(&found.ok_or_else(|| unknown(&id))?)
}
