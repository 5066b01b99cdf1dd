//! A supervisor without a database or processes: each message is a turn of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hb_api::v1::seam::{Answered, ConfigStanding, Elsewhere, Look, NotTaken, Standing, Supervisors};
use hb_core::ids::{GroupId, InterventionId, StreamName};
use hb_core::journal::Record;
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::{Exit, Identity, Process};
use hb_core::supervise::alert::AlertGroup;
use hb_core::supervise::event::Event;
use hb_core::supervise::history::{EvaluationFilter, EventFilter, GroupFilter, InterventionFilter, Order, Page};
use hb_core::supervise::input::{Beat, Command, Input, OnStop, Person, Ticket};
use hb_core::supervise::intervention::Intervention;
use hb_core::supervise::policy::Evaluation;
use hb_core::supervise::state::Body;
use hb_core::supervise::step::{Effect, Reply, Step};
use hb_core::time::{Moment, Now, Stamp};

/// Turns that one message may take before something goes round in a circle.
const TURNS_MAX: usize = 1_000;

#[derive(Debug)]
struct Inside {
    supervision: Supervision,
    events: Vec<Event>,
    evaluations: Vec<Evaluation>,
    interventions: BTreeMap<InterventionId, Intervention>,
    groups: BTreeMap<GroupId, AlertGroup>,
    pids: u32,
}

/// The supervisor.
#[derive(Debug)]
pub struct Room(Mutex<Inside>);

impl Room {
    /// One at work.
    #[must_use]
    pub fn open() -> Self {
        let supervision = Supervision::new("a".into(), StreamName::supervisor("main"));
        let (events, evaluations) = (Vec::new(), Vec::new());
        let (interventions, groups) = (BTreeMap::new(), BTreeMap::new());
        let mut inside = Inside { supervision, events, evaluations, interventions, groups, pids: 1_000 };
        let step = inside.supervision.open("test", "first start", NOW);
        inside.carry_out(step);
        Self(inside.into())
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self, input: impl FnOnce(Ticket) -> Input, answered: Answered) {
        let mut inside = self.inside();
        inside.supervision.handle(input(Ticket(1)), NOW);
        let step = inside.supervision.take(NOW);
        let replies = inside.carry_out(step);
        drop(inside);
        if let Some(reply) = replies.into_iter().next() {
            answered(reply);
        }
    }
}

const SECONDS: u64 = 1_800_000_000;
const NOW: Now = Now { moment: Moment(SECONDS * 1_000_000_000), wall: Stamp(SECONDS.cast_signed() * 1_000_000_000) };

impl Inside {
    /// Keeps what is recorded, and starts and stops processes that are none.
    fn carry_out(&mut self, first: Step) -> Vec<Reply> {
        let (mut step, mut replies) = (first, Vec::new());
        for _ in 0..TURNS_MAX {
            if let Some(sealed) = &step.record {
                let read = Record::<Body>::decode(&sealed.bytes).expect("what is recorded is read");
                assert_eq!(read.record, sealed.record, "what is recorded is what was meant");
                self.keep(&sealed.record.body);
            }
            replies.extend(step.replies.into_iter().map(|(_, reply)| reply));
            let inputs: Vec<Input> = step.effects.into_iter().filter_map(|effect| self.happens(effect)).collect();
            if inputs.is_empty() {
                return replies;
            }
            for input in inputs {
                self.supervision.handle(input, NOW);
            }
            step = self.supervision.take(NOW);
        }
        unreachable!("one message takes more than {TURNS_MAX} turns")
    }

    fn keep(&mut self, body: &Body) {
        self.events.extend(body.events().iter().cloned());
        self.evaluations.extend(body.evaluations().iter().cloned());
        let changes = body.changes();
        let kept = changes.interventions.iter().filter_map(|(id, one)| Some((id.clone(), one.clone()?)));
        self.interventions.extend(kept);
        self.groups.extend(changes.groups.iter().filter_map(|(id, one)| Some((id.clone(), one.clone()?))));
    }

    fn happens(&mut self, effect: Effect) -> Option<Input> {
        if let Effect::Spawn { agent, incarnation, .. } = effect {
            self.pids += 1;
            let identity = Identity { pid: self.pids, start_ticks: 7, boot: "b".into() };
            return Some(Input::Spawned { agent, incarnation, identity });
        }
        let Effect::Signal { agent, identity, .. } = effect else { return None };
        let found = self.supervision.state().agents.get(&agent);
        let alive = found.is_some_and(|agent| agent.process != Process::Absent);
        alive.then_some(Input::Exited { agent, identity, exit: Exit::Signal(15) })
    }
}

fn paged<T: Clone>(all: impl Iterator<Item = T>, page: Page, number: impl Fn(&T) -> u64) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_by_key(&number);
    if page.order == Order::NewestFirst {
        all.reverse();
    }
    let after = |one: &T| match (page.after, page.order) {
        (None, _) => true,
        (Some(after), Order::NewestFirst) => number(one) < after,
        (Some(after), Order::OldestFirst) => number(one) > after,
    };
    all.into_iter().filter(after).take(page.limit).collect()
}

fn number(id: &str) -> u64 {
    id.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

impl Supervisors for Room {
    fn now(&self) -> Now {
        NOW
    }

    fn command(&self, person: Person, command: Command, answered: Answered) -> Result<(), NotTaken> {
        self.told(|ticket| Input::Command { ticket, person, command: Box::new(command) }, answered);
        Ok(())
    }

    fn beat(&self, beat: Beat, answered: Answered) -> Result<(), NotTaken> {
        self.told(|ticket| Input::Beat { ticket, beat }, answered);
        Ok(())
    }

    fn look(&self, look: Look) -> Result<(), NotTaken> {
        look(&self.inside().supervision);
        Ok(())
    }

    fn standing(&self) -> Standing {
        let inside = self.inside();
        let state = inside.supervision.state();
        Standing {
            node: "a".into(),
            presence: inside.supervision.presence(),
            epoch: inside.supervision.epoch(),
            agents: [("up", 0), ("degraded", 0), ("spawning", 0), ("failed", 0), ("quarantined", 0), ("terminated", 0)],
            supervisors: 0,
            paused: 0,
            interventions_open: 0,
            groups_open: 0,
            restarts: state.counters.restarts,
            evaluations: state.counters.evaluation,
            events: state.counters.event,
            notifications_dropped: 0,
            troubles: Vec::new(),
            takeover_seconds: 0.0,
            recovered_seconds: None,
            commit_latency: hb_api::Latency::default(),
            commits: 0,
            uptime_seconds: 1.0,
            hung_seconds: None,
        }
    }

    fn next_event(&self) -> u64 {
        self.inside().supervision.state().counters.event
    }

    fn shutdown(&self, _: OnStop, _: &str) {}

    fn config(&self) -> ConfigStanding {
        ConfigStanding::default()
    }

    fn elsewhere(&self) -> Option<Elsewhere> {
        None
    }

    fn reload(&self) -> Result<(), String> {
        Ok(())
    }

    fn events(&self, _: &EventFilter, page: Page) -> Result<Vec<Event>, String> {
        Ok(paged(self.inside().events.iter().cloned(), page, |event| event.id))
    }

    fn event(&self, id: u64) -> Result<Option<Event>, String> {
        Ok(self.inside().events.iter().find(|event| event.id == id).cloned())
    }

    fn evaluations(&self, _: &EvaluationFilter, page: Page) -> Result<Vec<Evaluation>, String> {
        Ok(paged(self.inside().evaluations.iter().cloned(), page, |one| one.id))
    }

    fn evaluation(&self, id: u64) -> Result<Option<Evaluation>, String> {
        Ok(self.inside().evaluations.iter().find(|one| one.id == id).cloned())
    }

    fn interventions(&self, _: &InterventionFilter, page: Page) -> Result<Vec<Intervention>, String> {
        Ok(paged(self.inside().interventions.values().cloned(), page, |one| number(one.id.as_str())))
    }

    fn intervention(&self, id: &InterventionId) -> Result<Option<Intervention>, String> {
        Ok(self.inside().interventions.get(id).cloned())
    }

    fn groups(&self, _: &GroupFilter, page: Page) -> Result<Vec<AlertGroup>, String> {
        Ok(paged(self.inside().groups.values().cloned(), page, |one| number(one.id.as_str())))
    }

    fn group(&self, id: &GroupId) -> Result<Option<AlertGroup>, String> {
        Ok(self.inside().groups.get(id).cloned())
    }
}
