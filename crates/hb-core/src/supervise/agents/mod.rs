//! Keeps agents as they are wanted: starts, adopts, listens, asks, restarts, gives up, stops.
//!
//! | question | file |
//! |---|---|
//! | What can be asked of an agent? | `asks.rs` |
//! | Who is known, and as what? | `known.rs` |
//! | How does a process begin and end? | `process.rs` |
//! | When is it up? | `ready.rs` |
//! | What follows a failure? | `restart.rs` |
//! | Is it heard of? | `presence.rs` |
//! | Does it answer? | `probes.rs` |
//! | Does it use too much? | `resources.rs` |
//! | Who waits for whom? | `depend.rs` |
//! | What does a new reign find? | `resume.rs` |
//! | What happens before the end? | `drain.rs` |
//! | Who is looked after at present? | `monitored.rs` |
//! | What is told, and what does it mean? | `kinds.rs` |
//!
//! What other rooms use: `start_agent`, `stop_agent`, `restart_agent`, `quarantine_agent`, `release_agent`, `forget_agent`, `register_agent`,
//! `respecify_agent`, `depend_faults`, `start_order`, `is_monitored`, `monitoring_resumed`; and the frame: `world`, `agent_due`, `measure_due`,
//! `resume_agents`, `drain`, `drained`, `write_beats`, `pass_words`. What it tells the others: `concern`, `relieved`, `settled`, at the end
//! of the turn, so that nobody is called in the middle of a change; and `touched`.
//!
//! **Invariants.** What follows for an agent is read from its recorded state alone (`go_on` in `restart.rs`), by the same code after an exit, a wait, a
//! pause and a crash. Of one agent at most one process is starting or running: a start is recorded before it leaves, and no other begins until its
//! outcome is known (S2). A signal goes only to the identity that is recorded. Lifecycles move only as [`Lifecycle::may_move`] allows.

mod asks;
mod depend;
mod drain;
pub mod kinds;
mod known;
mod monitored;
mod presence;
mod probes;
mod process;
mod ready;
mod resources;
mod restart;
mod resume;
mod spans;
#[cfg(test)]
mod stage;

use std::collections::BTreeMap;

use serde_json::Value;

use super::acts::{Alert, Settled};
use super::agent::{Agent, Lifecycle};
use super::alert::Concern;
use super::event::About;
use super::input::Input;
use super::timers::{AgentTimer, Timer};
use super::{Cause, Supervision};
use crate::ids::AgentId;
use crate::time::{Moment, Now};
pub(super) use depend::in_start_order;
use kinds::Kind;

/// Something that `agents/` has to tell `acts/`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Word {
    /// Something is wrong.
    Concern(Alert),
    /// It is well again.
    Relieved(AgentId, Concern),
    /// What was asked has come about, or has not.
    Settled(AgentId, Settled),
}

impl Supervision {
    /// Something happened to agents.
    pub(super) fn world(&mut self, input: Input, now: Now) {
        match input {
            Input::Spawned { agent, incarnation, identity } => self.spawned(&agent, incarnation, identity, now),
            Input::SpawnFailed { agent, incarnation, error } => self.spawn_failed(&agent, incarnation, &error, now),
            Input::Found { agent, incarnation, identity } => self.found(&agent, incarnation, identity, now),
            Input::Adopted { agent, identity } => self.adopted(&agent, &identity, now),
            Input::Exited { agent, identity, exit } => self.exited(&agent, &identity, exit, now),
            Input::Notified { agent, what } => self.notified(&agent, what, now),
            Input::ReadyChecked { agent, incarnation, up, said } => {
                self.ready_checked(&agent, incarnation, up.then_some(()).ok_or(said), now);
            }
            Input::Probed { agent, good, said } => {
                let answer = if good { probes::Answered::Good } else { probes::Answered::Bad };
                self.probed(&agent, answer, &said, now);
            }
            Input::Beat { ticket, beat } => {
                let reply = self.beat(&beat, now);
                self.reply(ticket, reply);
            }
            Input::Used(usage) => self.used(usage, now),
            Input::Called { .. }
            | Input::Delivered { .. }
            | Input::Sinks(_)
            | Input::Following { .. }
            | Input::Decision(_)
            | Input::Declared(_)
            | Input::Command { .. }
            | Input::Drain { .. } => {}
        }
    }

    /// A timer of an agent is due.
    pub(super) fn agent_due(&mut self, agent: &AgentId, timer: AgentTimer, now: Now) {
        match timer {
            AgentTimer::Start => self.start_due(agent, now),
            AgentTimer::Ready => self.ready_due(agent, now),
            AgentTimer::CheckReady => self.check_ready(agent),
            AgentTimer::Kill => self.kill_due(agent, now),
            AgentTimer::Beat => self.beat_due(agent, now),
            AgentTimer::Watchdog => self.watchdog_due(agent, now),
            AgentTimer::Probe => self.probe_due(agent, now),
            AgentTimer::Sustained => self.sustained(agent),
        }
    }

    /// Tells `acts/` what happened since the last call, and that there may be room for what waits.
    pub(super) fn pass_words(&mut self, now: Now) {
        loop {
            while let Some(word) = self.volatile.words.pop_front() {
                match word {
                    Word::Concern(alert) => self.concern(alert, now),
                    Word::Relieved(agent, concern) => self.relieved(&agent, concern, now),
                    Word::Settled(agent, settled) => self.settled(&agent, &settled, now),
                }
            }
            if !std::mem::take(&mut self.volatile.room) {
                return;
            }
            self.begin_waiting(now);
        }
    }

    /// Notes that something happened to an agent, and raises the alert that its kind asks for.
    fn tell_of(&mut self, agent: &AgentId, kind: Kind, cause: &Cause, now: Now) {
        let details = self.state.agents.get(agent).map(details).unwrap_or_default();
        let event = self.event_with(kind.name, kind.severity, About::agent(agent), cause, details, now);
        if let Some(concern) = kind.concern {
            let (agent, message, severity) = (agent.clone(), cause.why.clone(), kind.severity);
            self.volatile.words.push_back(Word::Concern(Alert { agent, concern, severity, message, event }));
        }
        self.touched(agent);
    }

    /// What was asked has come about, or has not.
    fn settle(&mut self, agent: &AgentId, settled: Settled) {
        self.volatile.words.push_back(Word::Settled(agent.clone(), settled));
    }

    /// Something is well again.
    fn relieve(&mut self, agent: &AgentId, concern: Concern) {
        self.volatile.words.push_back(Word::Relieved(agent.clone(), concern));
    }

    /// Moves an agent's lifecycle. What may not be is told and not done: it would be a fault of hb.
    fn move_to(&mut self, id: &AgentId, to: Lifecycle, now: Now) {
        let Some(from) = self.state.agents.get(id).map(|agent| agent.lifecycle) else { return };
        if from == to {
            return;
        }
        if !from.may_move(to) {
            let why = format!("{} may not become {}; it stays as it is", from.as_str(), to.as_str());
            self.tell_of(id, kinds::IMPOSSIBLE, &Cause::own(why), now);
            return;
        }
        if let Some(agent) = self.state.agents.get_mut(id) {
            agent.lifecycle = to;
            agent.since = now.wall;
        }
        self.touched(id);
    }

    fn arm(&mut self, id: &AgentId, timer: AgentTimer, at: Moment) {
        self.volatile.timers.set(Timer::Agent(id.clone(), timer), at);
    }

    fn disarm(&mut self, id: &AgentId, timer: AgentTimer) {
        self.volatile.timers.clear(&Timer::Agent(id.clone(), timer));
    }

    fn armed(&self, id: &AgentId, timer: AgentTimer) -> Option<Moment> {
        self.volatile.timers.when(&Timer::Agent(id.clone(), timer))
    }
}

/// The same cause, with what it led to said first.
fn because(what: impl std::fmt::Display, cause: &Cause) -> Cause {
    let why = if cause.why.is_empty() { what.to_string() } else { format!("{what}: {}", cause.why) };
    Cause { why, ..cause.clone() }
}

fn details(agent: &Agent) -> BTreeMap<String, Value> {
    let mut details = BTreeMap::from([
        ("incarnation".to_owned(), agent.incarnation.into()),
        ("lifecycle".to_owned(), agent.lifecycle.as_str().into()),
    ]);
    if let Some(identity) = agent.process.identity() {
        details.insert("pid".to_owned(), identity.pid.into());
    }
    details
}
