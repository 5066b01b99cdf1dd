//! Keeps agents as they are wanted: starts, adopts, listens, asks, restarts, gives up, stops.
//!
//! What other rooms use of it: [`Supervision::start_agent`], `stop_agent`, `restart_agent`, `quarantine_agent`, `release_agent`, `forget_agent`, and for
//! the frame `world`, `agent_due`, `measure_due`, `resume_agents`, `drain`, `drained`, `write_beats`. What it tells the others: `concern` (something
//! is wrong), `settled` (what was asked for has come about or has failed), `touched` (policies may want to look).

use super::agent::Next;
use super::input::{Input, OnStop};
use super::state::Ended;
use super::timers::AgentTimer;
use super::{Cause, Supervision};
use crate::ids::AgentId;
use crate::time::Now;

impl Supervision {
    /// Something happened to agents.
    pub(super) fn world(&mut self, _input: Input, _now: Now) {}

    /// A timer of an agent is due.
    pub(super) fn agent_due(&mut self, _agent: &AgentId, _timer: AgentTimer, _now: Now) {}

    /// Processes are to be measured.
    pub(super) fn measure_due(&mut self, _now: Now) {}

    /// A reign begins: what ran before is looked for, deadlines go on (S2, S3, S5, S6).
    pub(super) fn resume_agents(&mut self, _before: Option<Ended>, _now: Now) {}

    /// The process is to end.
    pub(super) fn drain(&mut self, agents: OnStop, reason: String, _now: Now) {
        self.volatile.draining = Some((agents, reason));
    }

    /// Whether nothing more is waited for before the end.
    pub(super) fn drained(&self) -> bool {
        self.volatile.draining.is_some()
    }

    /// Puts beats that are only in memory into the state.
    pub(super) fn write_beats(&mut self) {}

    /// It is to run: starts it unless it does. Gives the incarnation that will run; refuses in words.
    pub(super) fn start_agent(&mut self, _agent: &AgentId, _cause: &Cause, _now: Now) -> Result<u64, String> {
        Err("not yet".into())
    }

    /// Its present incarnation is to end, and then `next`. Refuses in words when there is nothing to stop.
    pub(super) fn stop_agent(
        &mut self,
        _agent: &AgentId,
        _next: Next,
        _cause: &Cause,
        _now: Now,
    ) -> Result<(), String> {
        Err("not yet".into())
    }

    /// Ends its present incarnation, if there is one, and begins another, without waiting. Gives the incarnation that will run.
    pub(super) fn restart_agent(&mut self, _agent: &AgentId, _cause: &Cause, _now: Now) -> Result<u64, String> {
        Err("not yet".into())
    }

    /// Sets it aside: stopped, and not started until it is released.
    pub(super) fn quarantine_agent(&mut self, _agent: &AgentId, _cause: &Cause, _now: Now) -> Result<(), String> {
        Err("not yet".into())
    }

    /// Clears its quarantine; starts it when it is wanted up.
    pub(super) fn release_agent(&mut self, _agent: &AgentId, _cause: &Cause, _now: Now) -> Result<(), String> {
        Err("not yet".into())
    }

    /// Forgets it, once it is stopped.
    pub(super) fn forget_agent(&mut self, _agent: &AgentId, _cause: &Cause, _now: Now) -> Result<(), String> {
        Err("not yet".into())
    }
}
