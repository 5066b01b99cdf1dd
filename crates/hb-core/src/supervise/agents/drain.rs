//! What happens before hb ends: agents are left running, to be adopted by the next start, or are stopped in order.
//!
//! **Invariants.** No start leaves any more. A start that is under way is waited for, so that its process is on record. Agents that are stopped so
//! are wanted as before, and are started by the next reign.

use super::super::agent::{Agent, Next, Process};
use super::super::input::OnStop;
use super::super::{Cause, Supervision};
use super::process::DOES_NOT_END;
use crate::ids::AgentId;
use crate::time::Now;

impl Supervision {
    /// The process is to end. A second word replaces the first.
    pub(in crate::supervise) fn drain(&mut self, agents: OnStop, reason: String, now: Now) {
        self.volatile.draining = Some((agents, reason));
        let ids: Vec<AgentId> = self.state.agents.keys().cloned().collect();
        for id in &ids {
            let stopping =
                self.state.agents.get(id).is_some_and(|agent| matches!(agent.process, Process::Stopping { .. }));
            if !stopping {
                self.volatile.timers.clear_agent(id);
            }
        }
        self.drain_all(now);
    }

    /// Stops whoever is needed by nobody that runs; the others follow as those end.
    pub(super) fn drain_all(&mut self, now: Now) {
        if self.is_ending() == Some(OnStop::Stop) {
            let needed = self.needed_by_running();
            let turn = self.state.agents.keys().filter(|id| !needed.contains(*id) && self.is_stoppable(id));
            for id in turn.cloned().collect::<Vec<_>>() {
                self.stop_in_turn(&id, now);
            }
        }
    }

    /// Something became of an agent while hb ends: it may be its turn, or that of those that it depends on.
    pub(super) fn drain_after(&mut self, id: &AgentId, now: Now) {
        if self.is_ending() == Some(OnStop::Stop) {
            let needed = self.state.agents.get(id).map_or_else(Vec::new, |agent| agent.spec.depends_on.clone());
            for one in needed.iter().chain([id]).filter(|one| self.is_stoppable(one)).cloned().collect::<Vec<_>>() {
                if !self.is_needed(&one) {
                    self.stop_in_turn(&one, now);
                }
            }
        }
    }

    /// Whether its process runs, is known to, and was not asked to end.
    fn is_stoppable(&self, id: &AgentId) -> bool {
        let alive = self.state.agents.get(id).is_some_and(|agent| matches!(agent.process, Process::Alive { .. }));
        alive && !self.volatile.recovering.contains(id)
    }

    /// Stops an agent whose turn it is: nobody that depends on it runs any more.
    fn stop_in_turn(&mut self, id: &AgentId, now: Now) {
        let reason = self.volatile.draining.as_ref().map_or("", |(_, reason)| reason);
        let cause = Cause::own(format!("hb is ending: {reason}"));
        self.stop_process(id, Next::ByRule, &cause, now);
    }

    /// Whether nothing more is waited for before the end.
    pub(in crate::supervise) fn drained(&self) -> bool {
        let mut agents = self.state.agents.values();
        match self.is_ending() {
            None => false,
            Some(OnStop::Leave) => !agents.any(|agent| matches!(agent.process, Process::Starting { .. })),
            Some(OnStop::Stop) => agents.all(is_over),
        }
    }
}

/// Whether the process of an agent is not waited for any more: there is none, or it was killed and the kernel holds it.
pub(super) fn is_over(agent: &Agent) -> bool {
    match agent.process {
        Process::Absent => true,
        Process::Stopping { killed, .. } => killed && agent.said == DOES_NOT_END,
        Process::Starting { .. } | Process::Alive { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::input::Input;
    use super::super::stage::{Stage, signals};
    use super::*;
    use crate::supervise::state::{Body, Ended};
    use crate::supervise::step::{Effect, Step};

    fn has_left(step: &Step) -> bool {
        step.effects.contains(&Effect::Leave)
    }

    fn shutdown(stage: &mut Stage) -> Step {
        stage.say(Input::Drain { agents: OnStop::Stop, reason: "shutdown".into() })
    }

    #[test]
    fn a13_what_cannot_be_killed_does_not_hold_up_the_end() {
        let mut stage = Stage::with(&[
            ("db", r#"{"process":{"command":["x"]}}"#),
            ("web", r#"{"process":{"command":["x"],"stop":{"grace_sec":5}},"depends_on":["db"]}"#),
        ]);
        stage.spawned("db");
        stage.spawned("web");
        assert_eq!(signals(&shutdown(&mut stage)), ["TERM"]);
        assert_eq!(signals(&stage.at(5.0)), ["KILL"]);
        let step = stage.at(15.0);
        assert_eq!(signals(&step), ["KILL", "TERM"], "once more, and it is the turn of db");
        assert!(has_left(&stage.exits("db", 0)));
    }

    #[test]
    fn a13_whose_dependencies_change_meanwhile_holds_nobody_up() {
        let mut stage = Stage::with(&[
            ("db", r#"{"process":{"command":["x"]}}"#),
            ("web", r#"{"process":{"command":["x"]},"depends_on":["db"]}"#),
        ]);
        stage.spawned("db");
        stage.spawned("web");
        shutdown(&mut stage);
        assert_eq!(signals(&stage.change("web", r#"{"process":{"command":["x"]}}"#)), ["TERM"]);
        stage.exits("db", 0);
        let step = stage.exits("web", 0);
        assert!(has_left(&step));
        let record = step.record.unwrap();
        assert!(matches!(record.record.body, Body::EpochClosed { ended: Ended::AllStopped, .. }));
    }

    #[test]
    fn a13_deaths_while_hb_leaves_are_left_to_the_next_reign() {
        let mut stage =
            Stage::with(&[("a", r#"{"process":{"command":["x"]}}"#), ("b", r#"{"process":{"command":["x"]}}"#)]);
        stage.spawned("a");
        let left = stage.say(Input::Drain { agents: OnStop::Leave, reason: "upgrade".into() });
        assert!(!has_left(&left), "b is being started");
        stage.exits("a", 1);
        assert_eq!(stage.line("a"), "FAILED #1 Absent");
        assert!(has_left(&stage.spawned("b")));
    }
}
