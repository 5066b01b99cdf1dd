//! The whole: what the node is doing, its processes, its stop, and the document of the API itself. Some of it stands under
//! `/api/supervisor` too, where a second design of the documents has it.

use std::future::ready;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use hb_core::supervise::agent::{Health, Lifecycle, Origin};
use hb_core::supervise::input::OnStop;
use hb_core::supervise::spec::Kind as AgentKind;
use hb_core::supervise::state::State;
use hb_core::time::Stamp;
use serde::{Deserialize, Serialize};

use super::agents;
use super::call::{self, Call, Listed, Outcome, ok};
use super::events;
use super::openapi;
use super::problem::Problem;
use super::seam::{ConfigStanding, Standing};
use super::shapes::agent::AgentLine;
use super::shapes::presence::PresenceDoc;
use super::table::{AFTER, CHANGE, Gives, LIMIT, LOOK, ORDER, RULE, Route, SKIP, SYSTEM, Takes};

const ROOM: Route = Route { room: "system", ..LOOK };
const OTHER: Route = Route { base: SYSTEM, ..ROOM };

/// The configuration.
const CONFIG: Route = Route {
    path: "/config",
    name: "get_config",
    says: "Which configuration is in force, and what it declares: that wins over the API. It is changed in its file.",
    gives: Gives::Json("Config"),
    call: |call| Box::pin(config(call)),
    ..ROOM
};

/// The configuration is read again.
const RELOAD: Route = Route {
    path: "/config/reload",
    name: "reload_config",
    says: "Reads the configuration and the tokens_file again, as SIGHUP does. What has faults is refused whole, and what was in force stays.",
    room: "system",
    gives: Gives::Json("Config"),
    call: |call| Box::pin(reload(call)),
    ..RULE
};

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/status",
        name: "get_status",
        says: "What the node is doing, without asking its loop.",
        gives: Gives::Json("Status"),
        call: |call| Box::pin(ready(status(&call))),
        ..ROOM
    },
    Route {
        path: "/shutdown",
        name: "shut_down",
        says: "The node is to end. Its agents go on and are adopted by the next start (`leave`), or are stopped in order (`stop`).",
        room: "system",
        takes: Takes::Maybe("Shutdown"),
        gives: Gives::Accepted("ShutdownAck"),
        call: |call| Box::pin(shutdown(call)),
        ..RULE
    },
    CONFIG,
    RELOAD,
    Route {
        path: "/openapi.json",
        name: "get_openapi",
        says: "This document.",
        gives: Gives::Json("Any"),
        call: |_call| Box::pin(ready(document())),
        ..ROOM
    },
    Route {
        path: "/status",
        name: "get_system_status",
        says: "The same in the words of the second design.",
        gives: Gives::Json("SystemStatus"),
        call: |call| Box::pin(system_status(call)),
        ..OTHER
    },
    Route { base: SYSTEM, name: "get_system_config", ..CONFIG },
    Route { base: SYSTEM, name: "reload_system_config", ..RELOAD },
    Route {
        path: "/processes",
        name: "list_processes",
        says: "Agents that are programs started by hb.",
        query: &[SKIP, LIMIT],
        gives: Gives::List("AgentLine"),
        call: |call| Box::pin(processes(call)),
        ..OTHER
    },
    Route {
        path: "/processes/{agent_id}",
        name: "get_process",
        says: "All of an agent.",
        gives: Gives::Json("Agent"),
        call: |call| Box::pin(agents::get(call)),
        ..OTHER
    },
    Route {
        base: SYSTEM,
        path: "/processes/{agent_id}/restart",
        name: "restart_process",
        says: "Stops and starts it, as an intervention.",
        room: "system",
        takes: Takes::Maybe("Reason"),
        gives: Gives::Accepted("Intervention"),
        call: |call| Box::pin(agents::restart(call)),
        ..CHANGE
    },
    Route {
        path: "/events",
        name: "list_system_events",
        says: "What happened, the newest first.",
        query: &[
            AFTER,
            LIMIT,
            ORDER,
            ("severity", "severity", "As bad as this, or worse."),
            ("process_id", "text", "Only those about this agent."),
        ],
        gives: Gives::List("Event"),
        call: |call| Box::pin(events::of_process(call)),
        ..OTHER
    },
    Route {
        base: SYSTEM,
        path: "/shutdown",
        name: "shut_down_system",
        says: "The node is to end.",
        room: "system",
        takes: Takes::Maybe("Shutdown"),
        gives: Gives::Accepted("ShutdownAck"),
        call: |call| Box::pin(shutdown(call)),
        ..RULE
    },
];

/// What the node is doing.
#[derive(Debug, Serialize)]
struct StatusDoc {
    node: String,
    presence: PresenceDoc,
    epoch: u64,
    supervisors: u64,
    supervisors_paused: u64,
    agents: serde_json::Map<String, serde_json::Value>,
    interventions_open: u64,
    alert_groups_open: u64,
    total_restarts: u64,
    total_evaluations: u64,
    next_event: u64,
    notifications_dropped: u64,
    uptime_seconds: f64,
    takeover_seconds: f64,
    recovered_seconds: Option<f64>,
    at: Stamp,
}

fn agents_by_state(standing: &Standing) -> serde_json::Map<String, serde_json::Value> {
    let mut agents: serde_json::Map<String, serde_json::Value> =
        standing.agents.iter().map(|(state, count)| ((*state).to_owned(), (*count).into())).collect();
    let all = standing.agents.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    agents.insert("all".to_owned(), all.into());
    agents
}

fn status(call: &Call) -> Outcome {
    let standing = call.standing();
    ok(&StatusDoc {
        node: standing.node.to_string(),
        presence: PresenceDoc::of(&standing, None),
        epoch: standing.epoch.0,
        supervisors: standing.supervisors,
        supervisors_paused: standing.paused,
        agents: agents_by_state(&standing),
        interventions_open: standing.interventions_open,
        alert_groups_open: standing.groups_open,
        total_restarts: standing.restarts,
        total_evaluations: standing.evaluations,
        next_event: standing.events,
        notifications_dropped: standing.notifications_dropped,
        uptime_seconds: standing.uptime_seconds,
        takeover_seconds: standing.takeover_seconds,
        recovered_seconds: standing.recovered_seconds,
        at: call.now().wall,
    })
}

/// What the second design wants to know.
#[derive(Debug, Default, Serialize)]
struct SystemStatus {
    running: bool,
    presence: Option<PresenceDoc>,
    uptime_seconds: f64,
    supervised_count: usize,
    healthy_count: usize,
    degraded_count: usize,
    unhealthy_count: usize,
    total_restarts: u64,
    last_health_check: Option<Stamp>,
}

async fn system_status(call: Call) -> Outcome {
    let counted = call.look(|supervision| {
        let mut counted = SystemStatus::default();
        for agent in supervision.state().agents.values() {
            counted.supervised_count = counted.supervised_count.saturating_add(1);
            let count = match agent.health() {
                Health::Healthy => &mut counted.healthy_count,
                Health::Stale | Health::Degraded | Health::Unknown => &mut counted.degraded_count,
                Health::Unresponsive | Health::Quarantined | Health::Down => &mut counted.unhealthy_count,
            };
            *count = count.saturating_add(1);
        }
        let beats = supervision.state().supervisors.values().filter_map(|one| one.last_heartbeat);
        counted.last_health_check = beats.max();
        counted
    });
    let standing = call.standing();
    let presence = PresenceDoc::of(&standing, None);
    ok(&SystemStatus {
        running: !matches!(presence.state, "standby" | "stopping"),
        presence: Some(presence),
        uptime_seconds: standing.uptime_seconds,
        total_restarts: standing.restarts,
        ..counted.await?
    })
}

async fn processes(call: Call) -> Outcome {
    let part = call.skip()?;
    let listed = call.look(move |supervision| {
        let all = supervision.state().agents.values();
        let processes = all.filter(|agent| matches!(agent.spec.kind(), AgentKind::Process(_)));
        Listed::of(processes, part, |agent| AgentLine::of(supervision, agent))
    });
    ok(&listed.await?)
}

/// How the node is to end.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shutdown {
    agents: OnStop,
    reason: String,
}

#[derive(Serialize)]
struct ShutdownAck {
    agents: OnStop,
    running: usize,
}

async fn shutdown(call: Call) -> Outcome {
    let Shutdown { agents, reason } = call.json()?;
    call.not_standing_by().await?;
    let running = call
        .look(|supervision| {
            let up = |lifecycle: Lifecycle| lifecycle.is_up();
            supervision.state().agents.values().filter(|agent| up(agent.lifecycle)).count()
        })
        .await?;
    let reason: String = reason.chars().take(hb_core::supervise::bounds::SAID_MAX).collect();
    let why = if reason.is_empty() { "by the API".to_owned() } else { reason };
    call.inner.supervisors.shutdown(agents, &format!("{} wants it: {why}", call.person()));
    Ok(call::json(StatusCode::ACCEPTED, &ShutdownAck { agents, running }))
}

/// Which configuration is in force.
#[derive(Debug, Serialize)]
struct ConfigDoc {
    #[serde(flatten)]
    standing: ConfigStanding,
    declared: DeclaredNames,
}

/// What stands in the file, by name.
#[derive(Debug, Serialize)]
struct DeclaredNames {
    supervisors: Vec<String>,
    agents: Vec<String>,
    teams: Vec<String>,
    policies: Vec<String>,
}

impl DeclaredNames {
    fn of(state: &State) -> Self {
        let declared = |origin: Origin, name: String| (origin == Origin::Declared).then_some(name);
        Self {
            supervisors: state
                .supervisors
                .values()
                .filter_map(|one| declared(one.origin, one.id.to_string()))
                .collect(),
            agents: state.agents.values().filter_map(|one| declared(one.origin, one.id().to_string())).collect(),
            teams: state.teams.values().filter_map(|one| declared(one.origin, one.id.to_string())).collect(),
            policies: state.policies.values().filter_map(|one| declared(one.origin, one.name.to_string())).collect(),
        }
    }
}

async fn config(call: Call) -> Outcome {
    let standing = call.inner.supervisors.config();
    let declared = call.look(|supervision| DeclaredNames::of(supervision.state())).await?;
    call::single(&ConfigDoc { standing, declared })
}

async fn reload(call: Call) -> Outcome {
    let refused = call.history(|supervisors| Ok(supervisors.reload().err())).await?;
    match refused {
        None => config(call).await,
        Some(why) => Err(Problem::new(StatusCode::CONFLICT, "refused", why).field("file", "a sound configuration")),
    }
}

fn document() -> Outcome {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((kind, openapi::text()).into_response())
}
