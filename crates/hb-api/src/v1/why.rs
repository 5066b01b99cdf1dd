//! Why is an agent as it is? Its state, what happened to it and by whose will, what was decided about it, and what comes next.

use std::collections::BTreeSet;

use hb_core::ids::{AgentId, InterventionId};
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::Agent;
use hb_core::supervise::event::Event;
use hb_core::supervise::intervention::Intervention;
use hb_core::supervise::policy::Evaluation;
use hb_core::supervise::spec::Wanted;
use serde::Serialize;

use super::agents;
use super::call::{Call, Outcome, ok};
use super::seam::Supervisors;
use super::shapes::agent::{AgentDoc, Planned};
use super::table::{Gives, LOOK, Route};
use hb_core::supervise::history::{EvaluationFilter, EventFilter, Order, Page};

/// Newest events that are told.
const EVENTS: usize = 20;
/// Most interventions that are told.
const INTERVENTIONS: usize = 10;
/// Newest evaluations that held.
const EVALUATIONS: usize = 5;

pub(super) const ROUTES: &[Route] = &[Route {
    path: "/agents/{agent_id}/why",
    name: "why_agent",
    says: "Why it is as it is: its state in words, what happened to it and by whose will, the interventions on it, the evaluations that led to \
           them, and what comes next.",
    room: "agents",
    gives: Gives::Json("Why"),
    call: |call| Box::pin(why(call)),
    ..LOOK
}];

/// Why an agent is as it is.
#[derive(Debug, Serialize)]
struct WhyDoc {
    /// In words, the most important first.
    because: Vec<String>,
    agent: AgentDoc,
    /// What comes next, the earliest first.
    next: Vec<Planned>,
    /// What happened, the newest first.
    events: Vec<Event>,
    /// What was done about it, the newest first.
    interventions: Vec<Intervention>,
    /// What led to that, and what else held, the newest first.
    evaluations: Vec<Evaluation>,
}

async fn why(call: Call) -> Outcome {
    let (id, now, eyes) = (agents::id(&call), call.now(), call.eyes());
    let wanted = id.clone();
    let seen = call.look(move |supervision| {
        let agent = supervision.state().agents.get(&wanted)?;
        let open = supervision.state().interventions.values().filter(|one| !one.status.is_over());
        let open: Vec<InterventionId> = open
            .filter(|one| one.plan.iter().any(|step| *step.act.agent() == wanted))
            .map(|one| one.id.clone())
            .collect();
        let next = super::shapes::agent::planned(supervision, &wanted, now);
        Some((because(supervision, agent), AgentDoc::of(supervision, agent, (now, eyes)), next, open))
    });
    let (because, agent, next, open) = seen.await?.ok_or_else(|| agents::unknown(&id))?;
    let (events, interventions, evaluations) = call.history(move |supervisors| told(supervisors, &id, open)).await?;
    ok(&WhyDoc { because, agent, next, events, interventions, evaluations })
}

/// What the database tells of an agent.
#[expect(clippy::type_complexity, reason = "three lists of three kinds")]
fn told(
    supervisors: &dyn Supervisors,
    id: &AgentId,
    open: Vec<InterventionId>,
) -> Result<(Vec<Event>, Vec<Intervention>, Vec<Evaluation>), String> {
    let newest = |limit| Page { order: Order::NewestFirst, after: None, limit };
    let about = EventFilter { agent: Some(id.clone()), ..EventFilter::default() };
    let events = supervisors.events(&about, newest(EVENTS))?;
    let mut ids: Vec<InterventionId> = open;
    ids.extend(events.iter().filter_map(|event| event.about.intervention.clone()));
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    let mut interventions = Vec::new();
    for id in ids.iter().take(INTERVENTIONS) {
        interventions.extend(supervisors.intervention(id)?);
    }
    let held = EvaluationFilter { agent: Some(id.clone()), decision: Some(true), ..EvaluationFilter::default() };
    let mut evaluations = supervisors.evaluations(&held, newest(EVALUATIONS))?;
    for number in interventions.iter().filter_map(|one| one.evaluation) {
        if !evaluations.iter().any(|known| known.id == number) {
            evaluations.extend(supervisors.evaluation(number)?);
        }
    }
    evaluations.sort_by_key(|one| std::cmp::Reverse(one.id));
    Ok((events, interventions, evaluations))
}

/// Its state in sentences.
fn because(supervision: &Supervision, agent: &Agent) -> Vec<String> {
    let mut said = vec![format!(
        "{} is {} ({}) since {}",
        agent.id(),
        agent.lifecycle.as_str(),
        agent.health().as_str(),
        agent.since
    )];
    match agent.wanted {
        Wanted::Up => {}
        Wanted::Down => said.push("it is not wanted to run".to_owned()),
    }
    if let Some(quarantine) = &agent.quarantine {
        said.push(format!("it was set aside by {} since {}: {}", quarantine.by, quarantine.since, quarantine.reason));
    }
    if agent.restarts.given_up {
        let rule = &agent.spec.restart;
        said.push(format!(
            "it was restarted {} times within {} s, which is all that its rule allows: no more until somebody starts it",
            rule.max_restarts, rule.within_sec
        ));
    }
    if let Some(exit) = agent.exit {
        said.push(format!("its newest process {}", exit.in_words()));
    }
    if let Some(at) = agent.restarts.not_before {
        said.push(format!("its next start is allowed from {at} on"));
    }
    if agent.beats.missed > 0 {
        said.push(format!("it has missed {} beats in a row", agent.beats.missed));
    }
    if agent.anomaly.consecutive > 0 {
        let drivers = agent.anomaly.drivers.join(", ");
        said.push(format!(
            "its watch found it anomalous {} times in a row, with a score of {}: {drivers}",
            agent.anomaly.consecutive, agent.anomaly.score
        ));
    }
    if !agent.said.is_empty() {
        said.push(format!("it says: {}", agent.said));
    }
    let up = |id: &AgentId| supervision.state().agents.get(id).is_some_and(|agent| agent.lifecycle.is_up());
    let missing: Vec<&str> = agent.spec.depends_on.iter().filter(|id| !up(id)).map(AgentId::as_str).collect();
    if !missing.is_empty() && !agent.lifecycle.is_up() {
        said.push(format!("it depends on what is not up: {}", missing.join(", ")));
    }
    said
}
