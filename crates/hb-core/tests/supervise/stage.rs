//! What scenarios and walks share: the disk, the words in which steps are told, and how commands are made.

use hb_core::ids::{NodeName, StreamName};
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::{Agent, Process};
use hb_core::supervise::event::Event;
use hb_core::supervise::input::{Command, Input, NewIntervention, NewSupervisor, NewTeam, Person, Role, Ticket};
use hb_core::supervise::spec::AgentSpec;
use hb_core::supervise::state::{Fold, Sealed};
use hb_core::supervise::step::{Answer, Effect, Reply};
use hb_core::time::{Moment, Now, SECOND_NS, Stamp};
use serde_json::{Value, json};

/// 2023-11-14T22:13:20Z, where the wall clock of every stage begins.
pub(crate) const EPOCH: i64 = 1_700_000_000 * SECOND_NS;

/// What is durable.
#[derive(Debug, Default, Clone)]
pub(crate) struct Disk(pub(crate) Vec<Sealed>);

impl Disk {
    /// What its records add up to.
    pub(crate) fn fold(&self) -> Fold {
        let mut fold = Fold::default();
        self.0.iter().for_each(|sealed| fold.push(sealed.clone()));
        fold
    }

    /// A process that has read them.
    pub(crate) fn reader(&self) -> Supervision {
        let mut supervision = Supervision::new(NodeName::from("node"), StreamName::supervisor("main"));
        self.0.iter().for_each(|sealed| supervision.follow(sealed.clone()));
        supervision
    }
}

/// Both clocks at so many nanoseconds after the beginning, the wall clock off by `skew`.
pub(crate) fn now(ns: u64, skew: i64) -> Now {
    Now { moment: Moment(ns), wall: Stamp(EPOCH).plus_ns(i64::try_from(ns).unwrap()).plus_ns(skew) }
}

pub(crate) fn spec(id: &str, rest: &str) -> AgentSpec {
    let mut document: Value = serde_json::from_str(rest).unwrap();
    document["id"] = json!(id);
    let spec: AgentSpec = serde_json::from_value(document).unwrap();
    spec
}

pub(crate) fn ask(ticket: u64, command: Command) -> Input {
    let person = Person { actor: "operator:ada".into(), role: Role::Admin };
    Input::Command { ticket: Ticket(ticket), person, command: Box::new(command) }
}

pub(crate) fn supervisor(name: &str) -> Command {
    let new: NewSupervisor = serde_json::from_value(json!({"id": name, "name": name})).unwrap();
    Command::CreateSupervisor(new)
}

pub(crate) fn team(name: &str, supervisor: &str, members: &[&str]) -> Command {
    let new: NewTeam =
        serde_json::from_value(json!({"id": name, "name": name, "supervisor": supervisor, "members": members}))
            .unwrap();
    Command::CreateTeam(new)
}

pub(crate) fn intervention(what: &str, agent: &str) -> Command {
    let new: NewIntervention = serde_json::from_value(
        json!({"intervention_type": what, "target_id": agent, "reason": "to see", "confirm": true}),
    )
    .unwrap();
    Command::Intervene(new)
}

pub(crate) fn event(event: &Event) -> String {
    let whom = event.about.agent.as_ref().map_or_else(String::new, |agent| format!(" {agent}"));
    format!("{}{whom}: {}", event.kind, event.message)
}

pub(crate) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Spawn { key, recovering, .. } => format!("spawn {key}{}", if *recovering { " recovering" } else { "" }),
        Effect::Look { key, .. } => format!("look for {key}"),
        Effect::Adopt { agent, identity, .. } => format!("adopt {agent} pid {}", identity.pid),
        Effect::Signal { agent, identity, signal } => format!("SIG{signal} to {agent} pid {}", identity.pid),
        Effect::CheckReady { agent, incarnation, .. } => format!("look whether {agent} #{incarnation} is up"),
        Effect::Probe { agent, .. } => format!("probe {agent}"),
        Effect::Measure(all) => format!("measure {}", all.len()),
        Effect::Call { agent, verb, key, .. } => format!("call {agent} {verb} as {key}"),
        Effect::Notify { notification, .. } => format!("notify {}", notification.title),
        Effect::Forget(agent) => format!("forget {agent}"),
        Effect::Leave => "leave".into(),
    }
}

pub(crate) fn reply(reply: &Reply) -> String {
    match reply {
        Ok(Answer::Done {}) => "done".into(),
        Ok(Answer::Made { id, .. }) => format!("made {id}"),
        Ok(Answer::Beat { sequence_number, message, .. }) => {
            format!("heard {sequence_number}{}", message.as_ref().map_or_else(String::new, |said| format!(" ({said})")))
        }
        Err(refusal) => format!("refused: {}", refusal.message),
    }
}

/// An agent in one line.
pub(crate) fn in_one_line(agent: &Agent) -> String {
    let process = match &agent.process {
        Process::Absent => String::new(),
        Process::Starting { .. } => ", starting".into(),
        Process::Alive { identity, adopted, .. } => {
            format!(", pid {}{}", identity.pid, if *adopted { " adopted" } else { "" })
        }
        Process::Stopping { identity, killed, .. } => {
            format!(", pid {} {}", identity.pid, if *killed { "killed" } else { "stopping" })
        }
    };
    let restarts =
        if agent.restarts.total > 0 { format!(", restarts {}", agent.restarts.total) } else { String::new() };
    let missed = if agent.beats.missed > 0 { format!(", missed {}", agent.beats.missed) } else { String::new() };
    let (id, state, health) = (agent.id(), agent.lifecycle.as_str(), agent.health().as_str());
    format!("{id} is {state} #{} ({health}){process}{restarts}{missed}", agent.incarnation)
}
