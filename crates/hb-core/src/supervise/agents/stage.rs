//! A supervision for the tests of this room: what happens is said in a word, and everything is durable at once.

use serde_json::{Value, json};

use super::super::agent::{Agent, Exit, Identity};
use super::super::input::{Beat, Command, Input, Notified, Person, Role, Ticket};
use super::super::spec::AgentSpec;
use super::super::step::{Answer, Effect, Reply, Step};
use super::super::tree::SupervisorStatus;
use super::super::{Cause, Supervision};
use crate::ids::{AgentId, StreamName, SupervisorId};
use crate::time::{Moment, Now, Stamp};

pub(super) struct Stage {
    pub(super) it: Supervision,
    /// Seconds.
    pub(super) at: f64,
    pids: u32,
    replies: Vec<Reply>,
}

impl Stage {
    pub(super) fn with(agents: &[(&str, &str)]) -> Self {
        let it = Supervision::new("node".into(), StreamName::supervisor("main"));
        let mut stage = Self { it, at: 0.0, pids: 1, replies: Vec::new() };
        stage.it.open("granted", "free", stage.now());
        for (id, rest) in agents {
            stage.ask(Command::RegisterAgent(Box::new(spec(id, rest))));
        }
        stage
    }

    pub(super) fn now(&self) -> Now {
        let ns = super::super::acts::seconds_ns(self.at);
        Now { moment: Moment(ns), wall: Stamp(i64::try_from(ns).unwrap()) }
    }

    pub(super) fn say(&mut self, input: Input) -> Step {
        let now = self.now();
        self.it.handle(input, now);
        self.take()
    }

    pub(super) fn take(&mut self) -> Step {
        let mut step = self.it.take(self.now());
        self.replies.extend(std::mem::take(&mut step.replies).into_iter().map(|(_, reply)| reply));
        step
    }

    /// What happens at this second and not before.
    pub(super) fn at(&mut self, seconds: f64) -> Step {
        self.at = seconds;
        self.take()
    }

    pub(super) fn ask(&mut self, command: Command) -> Step {
        let person = Person { actor: "operator:ada".into(), role: Role::Admin };
        let step = self.say(Input::Command { ticket: Ticket(1), person, command: Box::new(command) });
        self.replies.pop().unwrap().unwrap();
        step
    }

    pub(super) fn supervised(&mut self, name: &str, members: &[&str]) {
        let new = json!({"id": name, "name": name, "agents": members});
        self.ask(Command::CreateSupervisor(serde_json::from_value(new).unwrap()));
    }

    pub(super) fn set_status(&mut self, name: &str, status: SupervisorStatus) {
        self.it.state.supervisors.get_mut(&SupervisorId::from(name)).unwrap().status = status;
    }

    pub(super) fn change(&mut self, id: &str, rest: &str) -> Step {
        self.ask(Command::RespecifyAgent { spec: Box::new(spec(id, rest)), expect: None })
    }

    pub(super) fn forget(&mut self, id: &str) -> Result<(), String> {
        let cause = Cause::by(&"operator:ada".into(), "it is not needed");
        let done = self.it.forget_agent(&id.into(), &cause, self.now());
        self.take();
        done
    }

    pub(super) fn spawned(&mut self, id: &str) -> Step {
        self.pids += 1;
        let identity = Identity { pid: self.pids, start_ticks: 1, boot: "boot".into() };
        let incarnation = self.agent(id).incarnation;
        self.say(Input::Spawned { agent: id.into(), incarnation, identity })
    }

    pub(super) fn exits(&mut self, id: &str, status: i32) -> Step {
        let identity = self.agent(id).process.identity().unwrap().clone();
        self.say(Input::Exited { agent: id.into(), identity, exit: Exit::Status(status) })
    }

    pub(super) fn notifies(&mut self, id: &str, what: Notified) -> Step {
        self.say(Input::Notified { agent: id.into(), what })
    }

    /// A beat; gives what its acknowledgement says.
    pub(super) fn beat(&mut self, id: &str, sequence: u64) -> Option<String> {
        let beat =
            Beat { agent: id.into(), sequence, status: None, task: None, metrics: std::collections::BTreeMap::new() };
        self.say(Input::Beat { ticket: Ticket(1), beat });
        match self.replies.pop() {
            Some(Ok(Answer::Beat { message, .. })) => message,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn agent(&self, id: &str) -> &Agent {
        self.it.state.agents.get(&AgentId::from(id)).unwrap()
    }

    /// Lifecycle, incarnation and process.
    pub(super) fn line(&self, id: &str) -> String {
        let agent = self.agent(id);
        let process = format!("{:?}", agent.process);
        let process = process.split_whitespace().next().unwrap();
        format!("{} #{} {process}", agent.lifecycle.as_str(), agent.incarnation)
    }
}

pub(super) fn spec(id: &str, rest: &str) -> AgentSpec {
    let mut document: Value = serde_json::from_str(rest).unwrap();
    document["id"] = json!(id);
    serde_json::from_value(document).unwrap()
}

pub(super) fn kinds(step: &Step) -> Vec<String> {
    let events = step.record.iter().flat_map(|record| record.record.body.events());
    events.map(|event| event.kind.clone()).filter(|kind| kind.starts_with("agent.")).collect()
}

pub(super) fn signals(step: &Step) -> Vec<String> {
    let signal = |effect: &Effect| {
        if let Effect::Signal { signal, .. } = effect { Some(signal.clone()) } else { None }
    };
    step.effects.iter().filter_map(signal).collect()
}
