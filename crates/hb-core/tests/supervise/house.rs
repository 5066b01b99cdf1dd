//! A whole supervision with its disk: what happens is said in a word, and after each step the records are looked at: they add up to the state, and
//! events and evaluations are numbered without gaps (S1).

use std::sync::Arc;

use super::stage::{Disk, ask, now, spec};
use hb_core::ids::{AgentId, GroupId, SupervisorId};
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::{Agent, Exit, Identity};
use hb_core::supervise::alert::{AlertGroup, Severity};
use hb_core::supervise::input::{
    Command, Declared, Input, NewIntervention, NewSupervisor, OnStop, Person, Role, Ticket,
};
use hb_core::supervise::intervention::{Intervention, InterventionStatus};
use hb_core::supervise::policy::Evaluation;
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::state::Fold;
use hb_core::supervise::step::{Effect, Reply, Step};
use hb_core::time::SECOND_NS;
use serde_json::{Value, json};

pub(crate) struct House {
    pub(crate) disk: Disk,
    pub(crate) it: Supervision,
    fold: Fold,
    ns: u64,
    skew: i64,
    pids: u32,
    pub(crate) evaluations: Vec<Evaluation>,
    next_event: u64,
}

impl House {
    pub(crate) fn new() -> Self {
        let disk = Disk::default();
        let it = disk.reader();
        let mut house =
            Self { disk, it, fold: Fold::default(), ns: 0, skew: 0, pids: 100, evaluations: Vec::new(), next_event: 0 };
        house.open();
        house
    }

    /// With a root `main` that has these settings, and these agents, which run.
    pub(crate) fn with(config: Value, agents: &[&str]) -> Self {
        let mut house = Self::new();
        house.supervisor("main", json!({ "config": config }));
        for id in agents {
            house.agent(id, r#"{"process":{"command":["x"]},"restart":{"jitter":0,"max_restarts":50}}"#);
            house.runs(id);
        }
        house
    }

    /// A process begins, as the shell does it.
    pub(crate) fn open(&mut self) -> Vec<Effect> {
        let time = now(self.ns, self.skew);
        self.it.handle(Input::Sinks(["pager".to_owned()].into()), time);
        let step = self.it.open("granted", "free", time);
        let mut effects = self.keep(step).0;
        effects.extend(self.say(Input::Sinks(["pager".to_owned()].into())));
        effects
    }

    /// hb is killed, and started again at once.
    pub(crate) fn crash(&mut self) -> Vec<Effect> {
        self.it = self.disk.reader();
        self.open()
    }

    fn keep(&mut self, step: Step) -> (Vec<Effect>, Vec<Reply>) {
        if let Some(record) = step.record {
            let sealed = Arc::unwrap_or_clone(record);
            for event in sealed.record.body.events() {
                assert_eq!(event.id, self.next_event, "events without gaps: {}", event.kind);
                self.next_event += 1;
            }
            for evaluation in sealed.record.body.evaluations() {
                assert_eq!(evaluation.id, u64::try_from(self.evaluations.len()).unwrap(), "evaluations without gaps");
                self.evaluations.push(evaluation.clone());
            }
            self.fold.push(sealed.clone());
            self.disk.0.push(sealed);
        }
        let (kept, state) = (&self.fold.state, self.it.state());
        assert_eq!(kept.counters, state.counters);
        assert_eq!(kept.interventions, state.interventions);
        assert_eq!(kept.groups, state.groups);
        assert_eq!(kept.teams, state.teams);
        assert_eq!(kept.supervisors, state.supervisors);
        assert_eq!(kept.policies, state.policies);
        assert_eq!(kept.notifications, state.notifications);
        assert_eq!(kept.cursors, state.cursors);
        assert_eq!(kept.requests, state.requests);
        (step.effects, step.replies.into_iter().map(|(_, reply)| reply).collect())
    }

    fn turn(&mut self, inputs: Vec<Input>) -> (Vec<Effect>, Vec<Reply>) {
        let time = now(self.ns, self.skew);
        inputs.into_iter().for_each(|input| self.it.handle(input, time));
        let step = self.it.take(time);
        self.keep(step)
    }

    pub(crate) fn say(&mut self, input: Input) -> Vec<Effect> {
        self.turn(vec![input]).0
    }

    pub(crate) fn say_all(&mut self, inputs: Vec<Input>) -> Vec<Effect> {
        self.turn(inputs).0
    }

    /// So many seconds pass.
    pub(crate) fn pass(&mut self, seconds: u64) -> Vec<Effect> {
        self.ns += seconds * u64::try_from(SECOND_NS).unwrap();
        self.turn(Vec::new()).0
    }

    /// The wall clock is stepped.
    pub(crate) fn skew(&mut self, seconds: i64) {
        self.skew += seconds * SECOND_NS;
    }

    pub(crate) fn ask(&mut self, command: Command) -> Reply {
        self.turn(vec![ask(1, command)]).1.pop().unwrap()
    }

    pub(crate) fn ask_as(&mut self, actor: &str, command: Command) -> Reply {
        let person = Person { actor: actor.into(), role: Role::Admin };
        let input = Input::Command { ticket: Ticket(1), person, command: Box::new(command) };
        self.turn(vec![input]).1.pop().unwrap()
    }

    pub(crate) fn drain(&mut self, agents: OnStop) -> Vec<Effect> {
        self.say(Input::Drain { agents, reason: "SIGTERM".into() })
    }

    pub(crate) fn declare(&mut self, declared: Declared) -> Vec<Effect> {
        self.say(Input::Declared(Box::new(declared)))
    }

    // ------------------------------------------------------------------ what is made

    pub(crate) fn supervisor(&mut self, id: &str, mut rest: Value) {
        rest["id"] = json!(id);
        rest["name"] = json!(id);
        self.ask(Command::CreateSupervisor(serde_json::from_value::<NewSupervisor>(rest).unwrap())).unwrap();
    }

    pub(crate) fn agent(&mut self, id: &str, rest: &str) {
        self.ask(Command::RegisterAgent(Box::new(spec(id, rest)))).unwrap();
    }

    pub(crate) fn team(&mut self, id: &str, supervisor: &str, members: &[&str]) {
        self.ask(super::stage::team(id, supervisor, members)).unwrap();
    }

    /// Accepts, puts in force and puts on duty for these.
    pub(crate) fn policy(&mut self, document: Value, supervisors: &[&str]) {
        let new = PolicyDocument::read(&document).unwrap().into_new();
        let name = new.name.clone();
        self.ask(Command::AcceptPolicy(Box::new(new))).unwrap();
        self.ask(Command::ActivatePolicy { name: name.clone(), version: 1 }).unwrap();
        for supervisor in supervisors {
            let (supervisor, policy) = ((*supervisor).into(), name.clone());
            self.ask(Command::AssignPolicy { supervisor, policy, priority: 0, enabled: true }).unwrap();
        }
    }

    pub(crate) fn intervene(&mut self, wanted: Value) -> Reply {
        self.ask(Command::Intervene(intervention(wanted)))
    }

    // ------------------------------------------------------------------ what happens

    /// Its process is there, and up.
    pub(crate) fn spawned(&mut self, id: &str) -> Vec<Effect> {
        self.pids += 1;
        let identity = Identity { pid: self.pids, start_ticks: 1, boot: "boot".into() };
        let incarnation = self.of(id).incarnation;
        self.say(Input::Spawned { agent: id.into(), incarnation, identity })
    }

    pub(crate) fn runs(&mut self, id: &str) {
        self.spawned(id);
        assert!(self.of(id).lifecycle.is_up(), "{:?}", self.of(id));
    }

    pub(crate) fn exit(&self, id: &str) -> Input {
        let identity = self.of(id).process.identity().unwrap().clone();
        Input::Exited { agent: id.into(), identity, exit: Exit::Signal(9) }
    }

    pub(crate) fn dies(&mut self, id: &str) -> Vec<Effect> {
        let exit = self.exit(id);
        self.say(exit)
    }

    pub(crate) fn adopted(&mut self, id: &str) {
        let identity = self.of(id).process.identity().unwrap().clone();
        self.say(Input::Adopted { agent: id.into(), identity });
    }

    pub(crate) fn alert(&mut self, id: &str, severity: Severity) {
        let message = "somebody saw it".into();
        self.ask(Command::RaiseAlert { agent: id.into(), severity, message }).unwrap();
    }

    // ------------------------------------------------------------------ how it stands

    pub(crate) fn of(&self, id: &str) -> &Agent {
        self.it.state().agents.get(&AgentId::from(id)).unwrap()
    }

    /// The newest with this key.
    pub(crate) fn group(&self, key: &str) -> &AlertGroup {
        let all = self.it.state().groups.values().filter(|group| group.group_key == key);
        let number = |group: &&AlertGroup| group.id.as_str()[2..].parse::<u64>().unwrap();
        all.max_by_key(number).unwrap_or_else(|| panic!("no group {key}"))
    }

    pub(crate) fn open_groups(&self) -> Vec<String> {
        let open = self.it.state().groups.values().filter(|group| group.resolved_at.is_none());
        open.map(|group| group.group_key.clone()).collect()
    }

    pub(crate) fn interventions(&self) -> Vec<&Intervention> {
        self.it.state().interventions.values().collect()
    }

    pub(crate) fn statuses(&self) -> Vec<InterventionStatus> {
        self.interventions().into_iter().map(|one| one.status).collect()
    }

    /// Matches that set something off, by policy and group.
    pub(crate) fn fired(&self) -> Vec<(&str, Option<&GroupId>)> {
        let fired = self.evaluations.iter().filter(|one| one.decision && !one.action_taken[0].starts_with("nothing"));
        fired.map(|one| (one.policy.as_str(), one.group.as_ref())).collect()
    }

    pub(crate) fn kinds(&self) -> Vec<&str> {
        let events = self.disk.0.iter().flat_map(|sealed| sealed.record.body.events());
        events.map(|event| event.kind.as_str()).collect()
    }

    pub(crate) fn count(&self, kind: &str) -> usize {
        self.kinds().into_iter().filter(|one| *one == kind).count()
    }

    pub(crate) fn looks_after(&self, agent: &str) -> Option<SupervisorId> {
        self.it.supervisor_of(&agent.into())
    }
}

pub(crate) fn intervention(mut wanted: Value) -> NewIntervention {
    wanted["reason"] = json!("to see");
    serde_json::from_value(wanted).unwrap()
}

pub(crate) fn told(effects: &[Effect]) -> Vec<&str> {
    let mut told = Vec::new();
    for effect in effects {
        if let Effect::Notify { notification, .. } = effect {
            told.push(notification.key.as_str());
        }
    }
    told
}

pub(crate) fn started(effects: &[Effect]) -> Vec<&str> {
    let mut started = Vec::new();
    for effect in effects {
        if let Effect::Spawn { agent, .. } = effect {
            started.push(agent.as_str());
        }
    }
    started
}
