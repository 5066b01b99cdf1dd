//! Teams, and who belongs to them.

use hb_core::ids::TeamId;
use hb_core::supervise::input::{Command, NewMember, NewTeam};
use hb_core::supervise::tree::MemberRole;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::call::{self, Call, Listed, Outcome, ok};
use super::problem::Problem;
use super::shapes::supervisor::TeamDoc;
use super::supervisors;
use super::table::{BASE, CHANGE, Gives, LIMIT, LOOK, Route, SKIP, Takes, Verb};

const ROOM: Route = Route { room: "teams", ..LOOK };
const ACT: Route = Route { room: "teams", gives: Gives::Json("Team"), ..CHANGE };

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/teams",
        name: "list_teams",
        says: "Teams, by id.",
        query: &[SKIP, LIMIT],
        gives: Gives::List("Team"),
        call: |call| Box::pin(list(call)),
        ..ROOM
    },
    Route {
        path: "/supervisors/{supervisor_id}/teams",
        name: "list_teams_of_supervisor",
        says: "Teams of a supervisor, by id.",
        query: &[SKIP, LIMIT],
        gives: Gives::List("Team"),
        call: |call| Box::pin(list_of(call)),
        ..ROOM
    },
    Route {
        path: "/supervisors/{supervisor_id}/teams",
        name: "create_team",
        says: "Makes a team with its first members.",
        takes: Takes::Json("NewTeam"),
        gives: Gives::Created("Team"),
        call: |call| Box::pin(create(call)),
        ..ACT
    },
    Route {
        path: "/teams/{team_id}",
        name: "get_team",
        says: "One team with its members.",
        gives: Gives::Json("Team"),
        call: |call| Box::pin(get(call)),
        ..ROOM
    },
    Route {
        verb: Verb::Delete,
        path: "/teams/{team_id}",
        name: "delete_team",
        says: "Forgets a team; its members are free.",
        gives: Gives::Nothing,
        call: |call| Box::pin(delete(call)),
        ..ACT
    },
    Route {
        path: "/teams/{team_id}/members",
        name: "add_member",
        says: "Adds a member. An agent is a member of one team at most.",
        takes: Takes::Json("NewMember"),
        call: |call| Box::pin(add(call)),
        ..ACT
    },
    Route {
        verb: Verb::Delete,
        path: "/teams/{team_id}/members/{agent_id}",
        name: "remove_member",
        says: "Closes a membership.",
        call: |call| Box::pin(remove(call)),
        ..ACT
    },
];

fn id(call: &Call) -> TeamId {
    call.part("team_id").into()
}

async fn list(call: Call) -> Outcome {
    let part = call.skip()?;
    let listed = call.look(move |supervision| {
        Listed::of(supervision.state().teams.values(), part, |team| TeamDoc::of(supervision, team))
    });
    ok(&listed.await?)
}

async fn list_of(call: Call) -> Outcome {
    let (part, id) = (call.skip()?, supervisors::id(&call));
    let wanted = id.clone();
    let listed = call.look(move |supervision| {
        supervision.state().supervisors.contains(&wanted).then(|| {
            let teams = supervision.state().teams.values().filter(|team| team.supervisor == wanted);
            Listed::of(teams, part, |team| TeamDoc::of(supervision, team))
        })
    });
    ok(&listed.await?.ok_or_else(|| supervisors::unknown(&id))?)
}

async fn find(call: &Call, id: TeamId) -> Result<TeamDoc, Problem> {
    let wanted = id.clone();
    let found =
        call.look(move |supervision| supervision.state().teams.get(&wanted).map(|team| TeamDoc::of(supervision, team)));
    found.await?.ok_or_else(|| Problem::not_found("team", id.as_str()))
}

async fn get(call: Call) -> Outcome {
    call::single(&find(&call, id(&call)).await?)
}

async fn create(call: Call) -> Outcome {
    let new: NewTeam = call.json()?;
    let supervisor = supervisors::id(&call);
    if new.supervisor_id.as_ref().is_some_and(|named| *named != supervisor) {
        return Err(Problem::invalid("the body names another supervisor than the path")
            .field("supervisor_id", "that of the path"));
    }
    let (made, notes) =
        call::made(call.want(Command::CreateTeam(NewTeam { supervisor_id: Some(supervisor), ..new })).await?);
    let found = find(&call, made.as_str().into()).await?;
    call::created(&call::noted(found, notes), &format!("{BASE}/teams/{made}"))
}

async fn delete(call: Call) -> Outcome {
    call.want(Command::DeleteTeam(id(&call))).await?;
    call::gone()
}

/// A member to be added.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberBody {
    #[serde(alias = "agent")]
    agent_id: String,
    #[serde(default)]
    role: MemberRole,
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
}

async fn add(call: Call) -> Outcome {
    let MemberBody { agent_id, role, metadata } = call.json()?;
    let member = NewMember::Full { agent: agent_id.into(), role, metadata };
    call.want(Command::AddMember { team: id(&call), member }).await?;
    ok(&find(&call, id(&call)).await?)
}

async fn remove(call: Call) -> Outcome {
    call.want(Command::RemoveMember { team: id(&call), agent: call.part("agent_id").into() }).await?;
    ok(&find(&call, id(&call)).await?)
}
