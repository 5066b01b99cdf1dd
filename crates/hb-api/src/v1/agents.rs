//! Agents: made known, specified anew, started, stopped, released; and the acts on them that are interventions.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use hb_core::ids::{AgentId, SupervisorId, TeamId};
use hb_core::supervise::agent::{Agent, Lifecycle};
use hb_core::supervise::input::{Command, NewIntervention};
use hb_core::supervise::intervention::{InterventionType, TargetType};
use hb_core::supervise::spec::{AgentRole, AgentSpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{self, Call, Listed, Outcome, ok, tagged};
use super::interventions;
use super::problem::Problem;
use super::shapes::agent::{AgentDoc, AgentLine, seen_by};
use super::table::{BASE, CHANGE, Gives, LIMIT, LOOK, Route, SKIP, Takes, Verb};

const ROOM: Route = Route { room: "agents", ..LOOK };
const ACT: Route = Route { room: "agents", gives: Gives::Json("Agent"), ..CHANGE };
const PLAN: Route = Route { takes: Takes::Maybe("Reason"), gives: Gives::Accepted("Intervention"), ..ACT };

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/agents",
        name: "list_agents",
        says: "Agents, by id.",
        query: &[
            SKIP,
            LIMIT,
            ("status", "lifecycle", "Only those that stand there."),
            ("health", "health", "Only those that look so from outside."),
            ("kind", "kind", "Only those that are reached so."),
            ("type", "agent_type", "Only those that do this among the others."),
            ("supervisor", "text", "Only those of this supervisor."),
            ("team", "text", "Only those of this team."),
            ("tag", "text", "Only those with this tag."),
        ],
        gives: Gives::List("AgentLine"),
        call: |call| Box::pin(list(call)),
        ..ROOM
    },
    Route {
        path: "/agents",
        name: "register_agent",
        says: "Makes an agent known; one that is to run is started.",
        takes: Takes::Json("AgentSpec"),
        gives: Gives::Created("Agent"),
        call: |call| Box::pin(register(call)),
        ..ACT
    },
    Route {
        path: "/agents/{agent_id}",
        name: "get_agent",
        says: "All of an agent.",
        gives: Gives::Json("Agent"),
        call: |call| Box::pin(get(call)),
        ..ROOM
    },
    Route {
        path: "/agents/{agent_id}/spec",
        name: "get_agent_spec",
        says: "What it is wanted to be. Values of its environment are shown to operators and admins only.",
        gives: Gives::Json("AgentSpec"),
        call: |call| Box::pin(spec(call)),
        ..ROOM
    },
    Route {
        verb: Verb::Put,
        path: "/agents/{agent_id}/spec",
        name: "specify_agent",
        says: "Changes what it is wanted to be; a running process keeps its old specification until its next start.",
        takes: Takes::Json("AgentSpecChange"),
        versioned: true,
        call: |call| Box::pin(respecify(call)),
        ..ACT
    },
    Route {
        verb: Verb::Delete,
        path: "/agents/{agent_id}",
        name: "delete_agent",
        says: "Stops and forgets an agent, as an intervention. It cannot be taken back, and has to be said twice: confirm=true.",
        query: &[("confirm", "truth", "Has to be true."), ("reason", "text", "Why.")],
        takes: Takes::Nothing,
        call: |call| Box::pin(delete(call)),
        ..PLAN
    },
    Route {
        path: "/agents/{agent_id}/start",
        name: "start_agent",
        says: "It is to run; takes back a give-up.",
        call: |call| Box::pin(turn(call, Command::StartAgent)),
        ..ACT
    },
    Route {
        path: "/agents/{agent_id}/stop",
        name: "stop_agent",
        says: "It is not to run.",
        call: |call| Box::pin(turn(call, Command::StopAgent)),
        ..ACT
    },
    Route {
        path: "/agents/{agent_id}/restart",
        name: "restart_agent",
        says: "Stops and starts it, as an intervention.",
        call: |call| Box::pin(restart(call)),
        ..PLAN
    },
    Route {
        path: "/agents/{agent_id}/quarantine",
        name: "quarantine_agent",
        says: "Sets it aside until it is released, as an intervention.",
        call: |call| Box::pin(plan(call, InterventionType::AgentQuarantine)),
        ..PLAN
    },
    Route {
        path: "/agents/{agent_id}/release",
        name: "release_agent",
        says: "Takes it out of quarantine.",
        takes: Takes::Json("Evidence"),
        call: |call| Box::pin(release(call)),
        ..ACT
    },
];

/// The agent of the path.
pub(super) fn id(call: &Call) -> AgentId {
    call.part("agent_id").into()
}

/// Which agents.
struct Wanted {
    status: Option<Lifecycle>,
    health: Option<String>,
    kind: Option<String>,
    role: Option<AgentRole>,
    supervisor: Option<SupervisorId>,
    team: Option<TeamId>,
    tag: Option<String>,
}

impl Wanted {
    fn of(call: &Call) -> Result<Self, Problem> {
        let one_of = |name: &str, known: &[&str]| {
            let text = call.asked(name).map(str::to_lowercase);
            match text {
                Some(text) if !known.contains(&text.as_str()) => {
                    let constraint = known.join(", ");
                    Err(Problem::invalid(format!("{name} has to be one of {constraint}")).field(name, constraint))
                }
                found => Ok(found),
            }
        };
        let lifecycles = "SPAWNING, IDLE, RUNNING, DEGRADED, FAILED, QUARANTINED or TERMINATED";
        Ok(Self {
            status: call.word("status", lifecycles)?,
            health: one_of(
                "health",
                &["healthy", "stale", "degraded", "unresponsive", "quarantined", "down", "unknown"],
            )?,
            kind: one_of("kind", &["process", "heartbeat", "probe"])?,
            role: call.word("type", "worker, monitor, watchdog or guardian")?,
            supervisor: call.asked("supervisor").map(SupervisorId::from),
            team: call.asked("team").map(TeamId::from),
            tag: call.asked("tag").map(str::to_owned),
        })
    }

    fn holds(&self, agent: &Agent, supervisor: impl Fn() -> Option<SupervisorId>) -> bool {
        self.status.is_none_or(|status| agent.lifecycle == status)
            && self.health.as_ref().is_none_or(|health| agent.health().as_str() == health)
            && self.kind.as_ref().is_none_or(|kind| agent.spec.kind().as_str() == kind)
            && self.role.is_none_or(|role| agent.spec.role == role)
            && (self.team.is_none() || agent.team == self.team)
            && self.tag.as_ref().is_none_or(|tag| agent.spec.tags.contains(tag))
            && (self.supervisor.is_none() || supervisor() == self.supervisor)
    }
}

async fn list(call: Call) -> Outcome {
    let (part, wanted) = (call.skip()?, Wanted::of(&call)?);
    let listed = call.look(move |supervision| {
        let all = supervision.state().agents.values();
        let all = all.filter(|agent| wanted.holds(agent, || supervision.supervisor_of(agent.id())));
        Listed::of(all, part, |agent| AgentLine::of(supervision, agent))
    });
    ok(&listed.await?)
}

async fn find(call: &Call, id: AgentId) -> Result<AgentDoc, Problem> {
    let (wanted, seen) = (id.clone(), (call.now(), call.eyes()));
    let found = call.look(move |supervision| {
        supervision.state().agents.get(&wanted).map(|agent| AgentDoc::of(supervision, agent, seen))
    });
    found.await?.ok_or_else(|| unknown(&id))
}

pub(super) fn unknown(id: &AgentId) -> Problem {
    Problem::not_found("agent", id.as_str())
}

pub(super) async fn get(call: Call) -> Outcome {
    let found = find(&call, id(&call)).await?;
    tagged(&found, found.version())
}

async fn spec(call: Call) -> Outcome {
    let id = id(&call);
    let wanted = id.clone();
    let found = call.look(move |supervision| {
        supervision.state().agents.get(&wanted).map(|agent| (Arc::clone(&agent.spec), agent.spec_version))
    });
    let (spec, version) = found.await?.ok_or_else(|| unknown(&id))?;
    tagged(&seen_by(&spec, call.eyes()), version)
}

/// Everything that is wrong with a specification by itself, at once.
fn sound(spec: AgentSpec) -> Result<Box<AgentSpec>, Problem> {
    let faults = spec.faults();
    let Some((path, what)) = faults.first().cloned() else { return Ok(Box::new(spec)) };
    let told: Vec<String> = faults.iter().map(|(path, what)| format!("{path}: {what}")).collect();
    let listed: Vec<Value> = faults.iter().map(|(path, what)| json!({"path": path, "message": what})).collect();
    Err(Problem::invalid(told.join("\n")).field(path, what).detail("faults", listed))
}

async fn register(call: Call) -> Outcome {
    let spec = sound(call.json()?)?;
    let (made, notes) = call::made(call.want(Command::RegisterAgent(spec)).await?);
    let found = find(&call, made.as_str().into()).await?;
    let version = found.version();
    call::created_version(&call::noted(found, notes), &format!("{BASE}/agents/{made}"), version)
}

async fn respecify(call: Call) -> Outcome {
    let id = id(&call);
    let mut document = call.value()?;
    if let Value::Object(map) = &mut document {
        map.entry("id").or_insert_with(|| id.as_str().into());
    }
    let bytes = serde_json::to_vec(&document).map_err(|fault| Problem::invalid(fault.to_string()))?;
    let spec: AgentSpec = call::read_json(&bytes)?;
    if spec.id != id {
        return Err(Problem::invalid("the body names another agent than the path").field("id", "that of the path"));
    }
    let expect = call.expected()?;
    let (_, notes) = call::made(call.want(Command::RespecifyAgent { spec: sound(spec)?, expect }).await?);
    let found = find(&call, id).await?;
    let version = found.version();
    tagged(&call::noted(found, notes), version)
}

async fn turn(call: Call, command: fn(AgentId) -> Command) -> Outcome {
    let id = id(&call);
    call.want(command(id.clone())).await?;
    let found = find(&call, id).await?;
    tagged(&found, found.version())
}

/// Why, for what needs nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reason {
    pub(super) reason: String,
}

/// An intervention on one agent.
fn on_agent(id: &AgentId, kind: InterventionType, reason: String) -> NewIntervention {
    NewIntervention {
        supervisor_id: None,
        intervention_type: kind,
        target_type: TargetType::Agent,
        target_id: id.to_string(),
        reason,
        action_details: BTreeMap::new(),
        approval_required: false,
        stagger_seconds: None,
        emergency: false,
        confirm: false,
    }
}

async fn plan(call: Call, kind: InterventionType) -> Outcome {
    let Reason { reason } = call.json()?;
    let reason = if reason.is_empty() { format!("{} wants it", call.person()) } else { reason };
    interventions::begin(&call, on_agent(&id(&call), kind, reason), StatusCode::ACCEPTED).await
}

/// Restarts the agent of the path.
pub(super) async fn restart(call: Call) -> Outcome {
    plan(call, InterventionType::AgentRestart).await
}

async fn delete(call: Call) -> Outcome {
    let confirm = call.truth("confirm")?.unwrap_or(false);
    let reason = call.asked("reason").map_or_else(|| format!("{} wants it", call.person()), str::to_owned);
    let wanted = NewIntervention { confirm, ..on_agent(&id(&call), InterventionType::Delete, reason) };
    interventions::begin(&call, wanted, StatusCode::ACCEPTED).await
}

/// What makes one sure that an agent is well.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evidence {
    evidence: String,
}

async fn release(call: Call) -> Outcome {
    let Evidence { evidence } = call.json()?;
    let id = id(&call);
    call.want(Command::ReleaseAgent { agent: id.clone(), evidence }).await?;
    let found = find(&call, id).await?;
    tagged(&found, found.version())
}
