//! Who is known, and as what: agents are registered, specified anew, and forgotten.

use std::sync::Arc;

use super::super::agent::{Agent, Lifecycle, Next, Origin, Process};
use super::super::spec::{AgentSpec, Kind, Wanted};
use super::super::step::Effect;
use super::super::{Cause, Supervision};
use super::{because, kinds};
use crate::ids::AgentId;
use crate::time::Now;

impl Supervision {
    /// Makes an agent known, and starts it when it is wanted up. That there is none of its name, that there is room for it, and that its
    /// specification and dependencies are sound has been seen to.
    pub(in crate::supervise) fn register_agent(
        &mut self,
        spec: Arc<AgentSpec>,
        origin: Origin,
        cause: &Cause,
        now: Now,
    ) {
        let (id, what) = (spec.id.clone(), format!("registered as {}", spec.kind().as_str()));
        if self.state.agents.contains(&id) {
            return self.respecify_agent(spec, cause, now);
        }
        self.state.agents.insert(id.clone(), Agent::new(spec, origin, now.wall));
        self.tell_of(&id, kinds::REGISTERED, &because(what, cause), now);
        self.go_on(&id, &Cause::own("it is wanted up"), now);
    }

    /// Changes what a known agent is wanted to be; the new specification has been seen to be sound. A process takes it over with its next
    /// incarnation; what is another kind of agent now begins one at once. The same specification changes nothing.
    pub(in crate::supervise) fn respecify_agent(&mut self, spec: Arc<AgentSpec>, cause: &Cause, now: Now) {
        let id = spec.id.clone();
        let Some(other_kind) = self
            .state
            .agents
            .get(&id)
            .and_then(|agent| (*agent.spec != *spec).then(|| agent.spec.kind().as_str() != spec.kind().as_str()))
        else {
            return;
        };
        self.waits_no_more(&id);
        let Some(agent) = self.state.agents.get_mut(&id) else { return };
        agent.spec = spec;
        agent.spec_version = agent.spec_version.saturating_add(1);
        let version = agent.spec_version;
        self.tell_of(&id, kinds::RESPECIFIED, &because(format_args!("specification {version}"), cause), now);
        if other_kind {
            self.become_another_kind(&id, cause, now);
        } else {
            self.reconsider(&id, cause, now);
        }
        self.drain_all(now);
    }

    fn become_another_kind(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let (wanted, lifecycle) = (agent.wanted, agent.lifecycle);
        match agent.process {
            Process::Alive { .. } if wanted == Wanted::Up => self.stop_process(id, Next::Start, cause, now),
            Process::Absent => {
                self.quiet(id);
                if lifecycle.is_up() || matches!(lifecycle, Lifecycle::Spawning | Lifecycle::Failed) {
                    self.move_to(id, Lifecycle::Terminated, now);
                }
                self.go_on(id, cause, now);
            }
            Process::Alive { .. } | Process::Starting { .. } | Process::Stopping { .. } => {}
        }
    }

    /// Its rules may have changed: it is awaited by the new ones, and what it waits for may be there.
    fn reconsider(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if agent.lifecycle.is_up() {
            self.watch_over(id, now);
            if matches!(agent_kind(self, id), Some("probe")) {
                self.probe_on(id, now);
            }
        } else {
            // What it depends on may be another, and there already.
            self.go_on(id, cause, now);
        }
    }

    /// Takes an agent without a process out of the state; its membership of a team is closed.
    pub(super) fn gone(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let team = agent.team.clone();
        self.quiet(id);
        self.volatile.asked.remove(id);
        self.volatile.unwritten_beats.remove(id);
        self.tell_of(id, kinds::FORGOTTEN, &because("deleted", cause), now);
        self.settle(id, super::super::acts::Settled::Down);
        if let Some(team) = team.and_then(|team| self.state.teams.get_mut(&team)) {
            team.close(id, now.wall);
        }
        self.drain_after(id, now);
        let watch = self.state.agents.remove(id).and_then(|agent| agent.spec.watch.clone());
        if let Some(watch) = watch {
            self.unfollow(&watch);
        }
        self.volatile.dirty.remove(id);
        self.effect(Effect::Forget(id.clone()));
    }
}

fn agent_kind(supervision: &Supervision, id: &AgentId) -> Option<&'static str> {
    supervision.state.agents.get(id).map(|agent| Kind::as_str(&agent.spec.kind()))
}

pub(super) fn no_agent(id: &AgentId) -> String {
    format!("there is no agent {id}")
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;

    #[test]
    fn what_becomes_another_kind_is_begun_again_and_the_same_changes_nothing() {
        let mut stage = Stage::with(&[("a", r#"{"process":{"command":["x"]}}"#)]);
        stage.spawned("a");
        let same = stage.change("a", r#"{"process":{"command":["x"]}}"#);
        assert!(same.record.is_none() && stage.agent("a").spec_version == 1);
        stage.change("a", r#"{"probe":{"check":{"tcp":"h:1"}}}"#);
        assert_eq!(stage.line("a"), "RUNNING #1 Stopping");
        stage.exits("a", 0);
        assert_eq!((stage.line("a").as_str(), stage.agent("a").spec_version), ("SPAWNING #2 Absent", 2));
        stage.change("a", r#"{"process":{"command":["x"]}}"#);
        assert_eq!(stage.line("a"), "SPAWNING #3 Starting");
    }

    #[test]
    fn a_new_dependency_is_waited_for_and_an_old_one_wakes_nobody() {
        let mut stage = Stage::with(&[
            ("a", r#"{"heartbeat":{}}"#),
            ("b", r#"{"heartbeat":{}}"#),
            ("c", r#"{"process":{"command":["x"]},"depends_on":["a"],"restart":{"jitter":0}}"#),
        ]);
        stage.change("c", r#"{"process":{"command":["x"]},"depends_on":["b"],"restart":{"jitter":0}}"#);
        assert_eq!(stage.agent("c").said, "waits for b");
        stage.beat("b", 1);
        assert_eq!(stage.line("c"), "SPAWNING #1 Starting");
        for _ in 0..2 {
            stage.spawned("c");
            stage.exits("c", 1);
        }
        assert_eq!(stage.line("c"), "FAILED #2 Absent");
        stage.beat("a", 1);
        assert_eq!(stage.line("c"), "FAILED #2 Absent", "it is in its wait");
    }

    #[test]
    fn who_is_deleted_is_stopped_first_and_leaves_its_team() {
        let mut stage = Stage::with(&[("a", r#"{"process":{"command":["x"]}}"#)]);
        stage.supervised("main", &["a"]);
        stage.spawned("a");
        stage.forget("a").unwrap();
        assert_eq!(stage.line("a"), "RUNNING #1 Stopping");
        stage.exits("a", 0);
        assert!(stage.it.state.agents.is_empty());
        assert_eq!(stage.it.state.teams.values().map(|team| team.open().count()).sum::<usize>(), 0);
    }
}
