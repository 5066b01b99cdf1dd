//! The part of `/metrics` and of the page that a supervisor has.

use hb_core::supervise::Presence;
use hb_core::supervise::agent::Lifecycle;
use maud::{Markup, html};

use crate::exposition::{Exposition, Kind};
use crate::figure;
use crate::v1::AgentLine;
use crate::v1::seam::Standing;

/// Most agents that the page shows.
pub(crate) const AGENTS_MAX: usize = 200;

/// Families of a supervisor.
pub(crate) fn write(out: &mut Exposition, standing: &Standing) {
    let presences = [
        ("standby", standing.presence == Presence::Standby),
        ("recovering", matches!(standing.presence, Presence::Recovering { .. })),
        ("running", standing.presence == Presence::Running),
        ("stopping", standing.presence == Presence::Stopping),
    ];
    out.family(
        "hb_supervisor_presence",
        Kind::Gauge,
        "1 for what the supervisor's process is doing, 0 for what it is not.",
    );
    for (presence, is) in presences {
        out.whole("hb_supervisor_presence", &[("presence", presence)], u64::from(is));
    }
    out.family("hb_agents", Kind::Gauge, "Agents, by where they stand.");
    for (state, count) in standing.agents {
        out.whole("hb_agents", &[("state", state)], count);
    }
    let mut one = |name: &str, kind, help: &str, value: u64| {
        out.family(name, kind, help);
        out.whole(name, &[], value);
    };
    one("hb_supervisor_epoch", Kind::Gauge, "The present reign of the supervisor.", standing.epoch.0);
    one("hb_supervisors", Kind::Gauge, "Supervisors that are not over.", standing.supervisors);
    one("hb_supervisors_paused", Kind::Gauge, "Supervisors that are paused.", standing.paused);
    one("hb_interventions_open", Kind::Gauge, "Interventions that wait or are under way.", standing.interventions_open);
    one("hb_alert_groups_open", Kind::Gauge, "Groups of alerts that are open.", standing.groups_open);
    one(
        "hb_agent_restarts_total",
        Kind::Counter,
        "Restarts of agents since the supervisor's first start.",
        standing.restarts,
    );
    one(
        "hb_policy_evaluations_total",
        Kind::Counter,
        "Evaluations since the supervisor's first start.",
        standing.evaluations,
    );
    one("hb_supervisor_events_total", Kind::Counter, "Events since the supervisor's first start.", standing.events);
    let dropped = "Notifications dropped for want of room since the supervisor's first start.";
    one("hb_notifications_dropped_total", Kind::Counter, dropped, standing.notifications_dropped);
    one("hb_supervisor_commits_total", Kind::Counter, "Records made durable by this process.", standing.commits);
    out.family(
        "hb_supervisor_commit_latency_seconds",
        Kind::Histogram,
        "How long making a supervisor's record durable took.",
    );
    out.histogram("hb_supervisor_commit_latency_seconds", &standing.commit_latency);
    let takeover = "From the lease to the first record of the supervisor's reign.";
    out.family("hb_supervisor_takeover_seconds", Kind::Gauge, takeover);
    out.real("hb_supervisor_takeover_seconds", &[], standing.takeover_seconds);
    out.family(
        "hb_supervisor_recovered_seconds",
        Kind::Gauge,
        "From the lease until all agents were found; absent until then.",
    );
    if let Some(seconds) = standing.recovered_seconds {
        out.real("hb_supervisor_recovered_seconds", &[], seconds);
    }
    out.family("hb_supervisor_troubles", Kind::Gauge, "What is not as it should be; 1 for each.");
    for (what, _) in &standing.troubles {
        out.whole("hb_supervisor_troubles", &[("name", what)], 1);
    }
}

/// A table of the agents that need somebody most; `None` when the supervisor did not answer in time.
pub(crate) fn table(agents: Option<(Vec<AgentLine>, usize)>) -> Markup {
    let Some((agents, all)) = agents else {
        return html! { section class="agents" { h2 { "Agents" } p class="warning" { "The supervisor does not answer in time." } } };
    };
    html! {
        section class="agents" {
            h2 { "Agents" }
            @if all == 0 { p class="empty" { "No agent is known. `agents:` in hb.yaml or POST /api/v1/agents make some." } }
            @else {
                div class="scroll" { table {
                    thead { tr { th { "agent" } th { "state" } th { "since" } th { "restarts" } th { "last words" } } }
                    tbody { @for agent in &agents { (row(agent)) } }
                } }
            }
            @if all > agents.len() {
                p class="fine" { "The " (agents.len()) " of " (all) " that need somebody most; /api/v1/agents lists all." }
            }
        }
    }
}

fn row(agent: &AgentLine) -> Markup {
    let class = match agent.status {
        Lifecycle::Failed | Lifecycle::Quarantined => "bad",
        Lifecycle::Idle | Lifecycle::Running => "good",
        Lifecycle::Degraded | Lifecycle::Spawning | Lifecycle::Terminated => "",
    };
    html! {
        tr {
            td class="name" { (agent.id.as_str()) }
            td class=(class) { (agent.status.as_str()) " · " (agent.health_status) }
            td { (figure::moment(agent.since)) }
            td { (agent.restart_count) }
            td class="said" { (agent.said) }
        }
    }
}
