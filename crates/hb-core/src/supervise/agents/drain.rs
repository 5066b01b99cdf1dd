//! What happens before hb ends: agents are left running, to be adopted by the next start, or are stopped in order.
//!
//! **Invariants.** No start leaves any more. A start that is under way is waited for, so that its process is on record. Agents that are stopped so
//! are wanted as before, and are started by the next reign.

use super::super::agent::{Next, Process};
use super::super::input::OnStop;
use super::super::{Cause, Supervision};
use crate::ids::AgentId;
use crate::time::Now;

impl Supervision {
    /// The process is to end. A second word replaces the first.
    pub(in crate::supervise) fn drain(&mut self, agents: OnStop, reason: String, now: Now) {
        self.volatile.draining = Some((agents, reason));
        let ids: Vec<AgentId> = self.state.agents.keys().cloned().collect();
        for id in ids {
            let stopping =
                self.state.agents.get(&id).is_some_and(|agent| matches!(agent.process, Process::Stopping { .. }));
            if !stopping {
                self.volatile.timers.clear_agent(&id);
            }
        }
        self.drain_on(now);
    }

    /// Stops the agents whose turn it is: nobody that depends on them runs any more.
    pub(super) fn drain_on(&mut self, now: Now) {
        let Some((OnStop::Stop, reason)) = self.volatile.draining.clone() else { return };
        let needed = self.running_dependents();
        let turn: Vec<AgentId> = self
            .state
            .agents
            .iter()
            .filter(|(id, agent)| {
                matches!(agent.process, Process::Alive { .. })
                    && !needed.contains(*id)
                    && !self.volatile.recovering.contains(*id)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in turn {
            self.stop_process(&id, Next::ByRule, &Cause::own(format!("hb is ending: {reason}")), now);
        }
    }

    /// Whether nothing more is waited for before the end.
    pub(in crate::supervise) fn drained(&self) -> bool {
        let mut processes = self.state.agents.values().map(|agent| &agent.process);
        match self.is_ending() {
            None => false,
            Some(OnStop::Leave) => !processes.any(|process| matches!(process, Process::Starting { .. })),
            Some(OnStop::Stop) => processes.all(|process| *process == Process::Absent),
        }
    }
}
