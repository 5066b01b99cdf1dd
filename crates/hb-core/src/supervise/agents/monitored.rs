//! Who is looked after at present: an agent is while every supervisor from its team up to the root is ACTIVE.

use super::super::agent::Agent;
use super::super::tree::SupervisorStatus;
use super::super::{Cause, Supervision};
use crate::ids::{AgentId, SupervisorId};
use crate::time::Now;

impl Supervision {
    /// Whether an agent is monitored and restarted. Agents without a team belong to the roots: one that is active is enough, and so is it
    /// that there is no supervisor at all.
    #[must_use]
    pub fn is_monitored(&self, agent: &Agent) -> bool {
        let team = agent.team.as_ref().and_then(|team| self.state.teams.get(team));
        match team {
            Some(team) => self.is_chain_active(&team.supervisor),
            None => {
                self.state.supervisors.is_empty()
                    || self
                        .state
                        .supervisors
                        .values()
                        .any(|supervisor| supervisor.parent.is_none() && supervisor.status == SupervisorStatus::Active)
            }
        }
    }

    fn is_chain_active(&self, supervisor: &SupervisorId) -> bool {
        let mut at = Some(supervisor);
        // As many steps as there are supervisors at most, whatever the tree is.
        for _ in 0..=self.state.supervisors.len() {
            let Some(id) = at else { return true };
            match self.state.supervisors.get(id) {
                Some(supervisor) if supervisor.status == SupervisorStatus::Active => at = supervisor.parent.as_ref(),
                Some(_) | None => return false,
            }
        }
        false
    }

    /// These agents are monitored again, or by somebody else: silence counts from now on, and what failed meanwhile is handled by its rule.
    pub(in crate::supervise) fn monitoring_resumed(&mut self, agents: &[AgentId], now: Now) {
        let cause = Cause::own("it is monitored again");
        for id in self.start_order(agents) {
            self.go_on_watching(&id, now);
            self.go_on(&id, &cause, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn a8_every_supervisor_up_to_the_root_has_to_be_active() {
        let mut stage = Stage::with(&[("a", "{}"), ("b", "{}")]);
        let seen = |stage: &Stage| ["a", "b"].map(|id| stage.it.is_monitored(stage.agent(id)));
        assert_eq!(seen(&stage), [true, true], "there is no supervisor at all");
        stage.supervised("root", &[]);
        stage.supervised("child", &["a"]);
        stage.it.state.supervisors.get_mut(&"child".into()).unwrap().parent = Some("root".into());
        assert_eq!(seen(&stage), [true, true]);
        stage.set_status("child", SupervisorStatus::Paused);
        assert_eq!(seen(&stage), [false, true]);
        stage.set_status("child", SupervisorStatus::Active);
        stage.set_status("root", SupervisorStatus::Failed);
        assert_eq!(seen(&stage), [false, false]);
        // A tree that went round in a circle would be nobody's.
        stage.set_status("root", SupervisorStatus::Active);
        stage.it.state.supervisors.get_mut(&"root".into()).unwrap().parent = Some("child".into());
        assert_eq!(seen(&stage), [false, false]);
    }

    #[test]
    fn a8_silence_before_the_first_beat_is_none_while_paused() {
        let mut stage = Stage::with(&[("far", "{}")]);
        stage.supervised("main", &["far"]);
        stage.set_status("main", SupervisorStatus::Paused);
        stage.at(500.0);
        assert_eq!(stage.line("far"), "SPAWNING #1 Absent");
        stage.set_status("main", SupervisorStatus::Active);
        let now = stage.now();
        stage.it.monitoring_resumed(&["far".into()], now);
        stage.at(559.0);
        assert_eq!(stage.line("far"), "SPAWNING #1 Absent");
        stage.at(560.0);
        assert_eq!(stage.line("far"), "FAILED #1 Absent");
    }
}
