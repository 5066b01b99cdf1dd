//! What shall be done? Supervisors, their agents, the policies that judge them and the interventions that come of it.
//!
//! One stream `supervisor/NAME` holds a whole tree of supervisors with their agents (ADR 0009). [`Supervision`] is its state machine:
//! [`Supervision::handle`] what happened, then [`Supervision::take`] the step, make its record durable, and only then carry out its effects
//! and send its replies (S1).
//!
//! **Invariants.** Everything that must survive is in [`state::State`] and is recorded with the step that changed it. Timers and questions
//! under way are volatile and are made anew by [`Supervision::open`]. Durations are measured on [`Now::moment`]; stamps that must survive
//! are turned into moments at the opening, bounded by their own full length so that a stepped clock cannot stretch them.
//!
//! Rooms: `agents/` keeps agents running, `acts/` turns what is wrong into alerts, evaluations and interventions, `desk/` answers people and
//! `hb.yaml`. They meet in the functions of this file and in the few `pub(super)` ones that each room names in its `mod.rs`.

pub mod acts;
pub mod agent;
pub mod agents;
pub mod alert;
pub mod bounds;
pub mod desk;
pub mod event;
pub mod history;
pub mod input;
pub mod intervention;
pub mod policy;
pub mod spec;
pub mod spec_check;
pub mod state;
pub mod step;
pub mod timers;
pub mod tracked;
pub mod tree;
pub mod wanted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use alert::Severity;
use event::{About, Event};
use input::{Input, OnStop, Ticket, Usage};
use policy::Evaluation;
use state::{Body, Counters, Ended, Fold, Record, Sealed, State};
use step::{Answer, Effect, Refusal, Reply, Step};
use timers::{AgentTimer, Timer, Timers};

use crate::ids::{Actor, AgentId, Epoch, GroupId, InterventionId, NodeName, PolicyName, Seq, StreamName, SupervisorId};
use crate::journal::{self, Hash, Head};
use crate::time::{Moment, Now};

/// Why something is done: goes into events and answers `hb agent why`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// Who.
    pub by: Actor,
    /// Why, in words.
    pub why: String,
    /// The intervention that it is part of.
    pub intervention: Option<InterventionId>,
}

impl Cause {
    /// Of hb's own accord.
    #[must_use]
    pub fn own(why: impl Into<String>) -> Self {
        Self { by: "hb".into(), why: why.into(), intervention: None }
    }

    /// Because somebody wants it.
    #[must_use]
    pub fn by(by: &Actor, why: impl Into<String>) -> Self {
        Self { by: by.clone(), why: why.into(), intervention: None }
    }
}

/// What this process is doing, apart from what its supervisors are wanted to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Reads along.
    Standby,
    /// Agents that ran before are being looked for.
    Recovering {
        /// Found so far.
        found: usize,
        /// To be found.
        of: usize,
    },
    /// At work.
    Running,
    /// On its way out.
    Stopping,
}

/// What is known beside the state, and is lost with the process.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    /// What is due when.
    pub(crate) timers: Timers,
    /// Agents whose process is still looked for after the opening.
    pub(crate) recovering: BTreeSet<AgentId>,
    /// How many there were.
    pub(crate) recovering_of: usize,
    /// When work began: nothing before it counts as silence (S6).
    pub(crate) resumed: Moment,
    /// Newest beat or `WATCHDOG=1` of each agent, on our own clock.
    pub(crate) heard: BTreeMap<AgentId, Moment>,
    /// Agents whose beats are newer than what is recorded.
    pub(crate) unwritten_beats: BTreeSet<AgentId>,
    /// What each process was using when last measured, and since when its processor use is too high.
    pub(crate) usage: BTreeMap<AgentId, (Usage, Option<Moment>)>,
    /// What each agent said of itself in its newest beat.
    pub(crate) metrics: BTreeMap<AgentId, BTreeMap<String, f64>>,
    /// Questions under way: probes and ready checks that were asked and not answered.
    pub(crate) asked: BTreeSet<AgentId>,
    /// Agents that changed since the last sweep of policies.
    pub(crate) dirty: BTreeSet<AgentId>,
    /// Conditions of policies, made ready.
    pub(crate) ready: BTreeMap<PolicyName, acts::Ready>,
    /// Supervisors whose policies have looked at every agent since the opening, and since one of these policies changed.
    pub(crate) swept: BTreeSet<SupervisorId>,
    /// Open groups that no policy has looked at, because their supervisor was not active.
    pub(crate) unlooked: BTreeSet<GroupId>,
    /// Who of an open group about many is not well yet.
    pub(crate) unwell: BTreeMap<GroupId, BTreeSet<AgentId>>,
    /// Sinks that there are.
    pub(crate) sinks: BTreeSet<String>,
    /// Open groups of alerts by supervisor and key.
    pub(crate) groups: BTreeMap<(SupervisorId, String), GroupId>,
    /// Closed groups that are still in the state, oldest first.
    pub(crate) closed_groups: VecDeque<GroupId>,
    /// Interventions that wait or are under way.
    pub(crate) open_interventions: BTreeSet<InterventionId>,
    /// Those under way.
    pub(crate) executing: BTreeSet<InterventionId>,
    /// Those that are in doubt.
    pub(crate) doubtful: BTreeSet<InterventionId>,
    /// When the next step of a staggered plan may begin.
    pub(crate) next_step: BTreeMap<InterventionId, Moment>,
    /// What waits for its turn may find room: looked at at the end of the turn, never inside a plan.
    pub(crate) room: bool,
    /// Interventions that are over and still in the state, oldest first.
    pub(crate) over_interventions: VecDeque<InterventionId>,
    /// Calls under way, so that none is made twice by this process.
    pub(crate) calling: BTreeSet<(InterventionId, usize)>,
    /// What is waited for, and whose start waits for it.
    pub(crate) waiting: BTreeSet<(AgentId, AgentId)>,
    /// Agents whose sequence of beats is known since the opening: only of these are gaps and repetitions told (ADR 0009).
    pub(crate) counted: BTreeSet<AgentId>,
    /// What `agents/` has to tell `acts/`; delivered at the end of the turn, never inside an ask.
    pub(crate) words: VecDeque<agents::Word>,
    /// It is to end, and how.
    pub(crate) draining: Option<(OnStop, String)>,
}

/// A tree of supervisors.
#[derive(Debug)]
pub struct Supervision {
    node: NodeName,
    stream: StreamName,
    head: Option<Head>,
    epoch: Epoch,
    open: bool,
    pub(crate) state: State,
    pub(crate) volatile: Volatile,
    written: Counters,
    events: Vec<Event>,
    evaluations: Vec<Evaluation>,
    effects: Vec<Effect>,
    replies: Vec<(Ticket, Reply)>,
    closing: Option<(String, Ended)>,
}

impl Supervision {
    /// One that reads along.
    #[must_use]
    pub fn new(node: NodeName, stream: StreamName) -> Self {
        Self {
            node,
            stream,
            head: None,
            epoch: Epoch::default(),
            open: false,
            state: State::default(),
            volatile: Volatile::default(),
            written: Counters::default(),
            events: Vec::new(),
            evaluations: Vec::new(),
            effects: Vec::new(),
            replies: Vec::new(),
            closing: None,
        }
    }

    /// Takes the next record of the stream, before [`Supervision::open`] only.
    pub fn follow(&mut self, sealed: Sealed) {
        let mut fold = Fold { head: self.head, epoch: self.epoch, state: std::mem::take(&mut self.state) };
        fold.push(sealed);
        (self.head, self.epoch, self.state) = (fold.head, fold.epoch, fold.state);
        self.written = self.state.counters;
    }

    /// Begins a reign: the stream has been read to its head. The step's record opens the next epoch and fences everybody else; its
    /// effects look for the agents that ran before (S2, S3, S4).
    pub fn open(&mut self, how: &str, why: &str, now: Now) -> Step {
        let before = self.state.ended.take();
        self.open = true;
        self.epoch = self.epoch.next();
        self.volatile =
            Volatile { resumed: now.moment, sinks: std::mem::take(&mut self.volatile.sinks), ..Volatile::default() };
        self.resume_agents(before, now);
        self.resume_acts(now);
        self.pass_words(now);
        let opened = Body::EpochOpened {
            node: self.node.clone(),
            how: how.into(),
            why: why.into(),
            before,
            changes: self.state.take(self.written).unwrap_or_else(|| self.nothing()),
            events: std::mem::take(&mut self.events),
            evaluations: std::mem::take(&mut self.evaluations),
        };
        self.step(Some(opened), now)
    }

    /// Takes one event into account. Total: every input is answered in every state; what cannot be is told as an event.
    pub fn handle(&mut self, input: Input, now: Now) {
        if !self.open {
            // Known before the opening, so that what it finds can be told.
            if let Input::Sinks(sinks) = input {
                self.volatile.sinks = sinks;
            }
            return;
        }
        match input {
            Input::Spawned { .. }
            | Input::SpawnFailed { .. }
            | Input::Found { .. }
            | Input::Adopted { .. }
            | Input::Exited { .. }
            | Input::Notified { .. }
            | Input::ReadyChecked { .. }
            | Input::Probed { .. }
            | Input::Beat { .. }
            | Input::Used(_) => self.world(input, now),
            Input::Called { intervention, step, outcome } => self.called(&intervention, step, outcome, now),
            Input::Delivered { key, sink, given_up } => self.delivered(&key, &sink, given_up, now),
            Input::Sinks(sinks) => self.sinks(sinks, now),
            Input::Following { watch, after } => self.following(watch, after),
            Input::Decision(decision) => self.decided(&decision, now),
            Input::Declared(declared) => self.declared(*declared, now),
            Input::Command { ticket, person, command } => {
                let reply = self.command(&person, *command, now);
                self.replies.push((ticket, reply));
            }
            Input::Drain { agents, reason } => self.drain(agents, reason, now),
        }
    }

    /// Does what is due, and gives everything since the last call as one step.
    pub fn take(&mut self, now: Now) -> Step {
        self.pass_words(now);
        while let Some(timer) = self.open.then(|| self.volatile.timers.due(now.moment)).flatten() {
            match timer {
                Timer::Agent(agent, timer) => self.agent_due(&agent, timer, now),
                Timer::Measure => self.measure_due(now),
                Timer::NextStep(_)
                | Timer::Deadline(_)
                | Timer::Approval(_)
                | Timer::Group(_)
                | Timer::Beat(_)
                | Timer::Sweep(_)
                | Timer::Mass(_) => self.act_due(timer, now),
            }
            self.pass_words(now);
        }
        if self.closing.is_none() && self.drained() {
            self.close(now);
        }
        let changes = self.state.take(self.written);
        let (events, evaluations) = (std::mem::take(&mut self.events), std::mem::take(&mut self.evaluations));
        let body = match self.closing.take() {
            Some((reason, ended)) => {
                self.open = false;
                self.effects.push(Effect::Leave);
                let changes = changes.unwrap_or_else(|| self.nothing());
                Some(Body::EpochClosed { reason, ended, changes, events, evaluations })
            }
            None => changes.map(|changes| Body::Changed { changes, events, evaluations }),
        };
        self.step(body, now)
    }

    /// Everything as one record, so that nothing older is needed to start from.
    pub fn snapshot(&mut self, now: Now) -> Arc<Sealed> {
        self.seal(Body::Snapshot { changes: self.state.whole() }, now)
    }

    /// When [`Supervision::take`] has something to do of its own accord.
    #[must_use]
    pub fn wake_at(&self) -> Option<Moment> {
        self.volatile.timers.next()
    }

    /// The state as it is; durable once the last step is.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What this process is doing.
    #[must_use]
    pub fn presence(&self) -> Presence {
        if !self.open {
            Presence::Standby
        } else if self.volatile.draining.is_some() {
            Presence::Stopping
        } else if self.volatile.recovering.is_empty() {
            Presence::Running
        } else {
            let of = self.volatile.recovering_of;
            Presence::Recovering { found: of.saturating_sub(self.volatile.recovering.len()), of }
        }
    }

    /// The newest record.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// The present reign.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What an agent used and said of itself when last heard.
    #[must_use]
    pub fn figures(&self, agent: &AgentId) -> (Option<Usage>, Option<&BTreeMap<String, f64>>) {
        (self.volatile.usage.get(agent).map(|(usage, _)| *usage), self.volatile.metrics.get(agent))
    }

    /// What is due of an agent, and when, the earliest first.
    #[must_use]
    pub fn planned(&self, agent: &AgentId) -> Vec<(AgentTimer, Moment)> {
        let due = |kind| Some((kind, self.volatile.timers.when(&Timer::Agent(agent.clone(), kind))?));
        let mut planned: Vec<_> = AgentTimer::ALL.into_iter().filter_map(due).collect();
        planned.sort_by_key(|(_, at)| *at);
        planned
    }

    fn nothing(&self) -> state::Changes {
        state::Changes { counters: self.state.counters, ..state::Changes::default() }
    }

    fn step(&mut self, body: Option<Body>, now: Now) -> Step {
        let record = body.map(|body| self.seal(body, now));
        Step { record, effects: std::mem::take(&mut self.effects), replies: std::mem::take(&mut self.replies) }
    }

    fn seal(&mut self, body: Body, now: Now) -> Arc<Sealed> {
        let sealed = journal::seal(Record {
            format: journal::FORMAT,
            stream: self.stream.clone(),
            seq: self.head.map_or(Seq(0), |head| head.seq.next()),
            epoch: self.epoch,
            at: now.wall,
            node: self.node.clone(),
            prev: self.head.map_or(Hash::ZERO, |head| head.hash),
            body,
        });
        self.head = Some(sealed.head());
        self.written = self.state.counters;
        Arc::new(sealed)
    }

    /// Notes that something happened; gives its number.
    #[expect(clippy::too_many_arguments, reason = "an event has these parts, and each caller has them at hand")]
    pub(crate) fn event(&mut self, kind: &str, severity: Severity, about: About, cause: &Cause, now: Now) -> u64 {
        self.event_with(kind, severity, about, cause, BTreeMap::new(), now)
    }

    /// The same with figures.
    #[expect(clippy::too_many_arguments, reason = "an event has these parts, and each caller has them at hand")]
    pub(crate) fn event_with(
        &mut self,
        kind: &str,
        severity: Severity,
        about: About,
        cause: &Cause,
        details: BTreeMap<String, Value>,
        now: Now,
    ) -> u64 {
        let id = self.state.counters.event;
        self.state.counters.event = id.saturating_add(1);
        let about = About { intervention: about.intervention.or_else(|| cause.intervention.clone()), ..about };
        let (kind, by, message) = (kind.to_owned(), cause.by.clone(), cause.why.clone());
        self.events.push(Event { id, kind, severity, about, by, message, details, at: now.wall, acknowledged: None });
        id
    }

    /// To be done once the step is durable.
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Keeps an evaluation for the record; gives its number.
    pub(crate) fn evaluation(&mut self, make: impl FnOnce(u64) -> Evaluation) -> u64 {
        let id = self.state.counters.evaluation;
        self.state.counters.evaluation = id.saturating_add(1);
        self.evaluations.push(make(id));
        id
    }

    /// Answers somebody.
    pub(crate) fn reply(&mut self, ticket: Ticket, reply: Result<Answer, Refusal>) {
        self.replies.push((ticket, reply));
    }

    fn close(&mut self, now: Now) {
        if let Some((agents, reason)) = self.volatile.draining.clone() {
            let ended = match agents {
                OnStop::Leave => Ended::LeftRunning,
                OnStop::Stop => Ended::AllStopped,
            };
            self.write_beats();
            let cause = Cause::own(reason.clone());
            self.event("supervisor.shutdown.completed", Severity::Info, About::default(), &cause, now);
            self.volatile.timers.clear_all();
            self.closing = Some((reason, ended));
        }
    }
}
