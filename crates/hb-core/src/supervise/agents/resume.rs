//! What a new reign finds: processes that still run are watched again, starts that were under way are looked for, waits go on.
//!
//! **Invariants.** As long as it is not known whether the process of an agent is still there, nothing else is decided about that agent. Time in which no
//! reign was is nobody's silence (S6), and no reason for a shorter or longer wait (S5).

use super::super::acts::seconds_ns;
use super::super::agent::{Identity, Lifecycle, Process};
use super::super::spec::Kind;
use super::super::state::Ended;
use super::super::step::Effect;
use super::super::timers::AgentTimer;
use super::super::{Cause, Supervision};
use super::kinds;
use super::process::stop_rule;
use super::restart::Counted;
use super::spans::left_ns;
use crate::ids::AgentId;
use crate::time::Now;

impl Supervision {
    /// A reign begins: what ran before is looked for, deadlines go on (S2, S3, S5, S6).
    pub(in crate::supervise) fn resume_agents(&mut self, before: Option<Ended>, now: Now) {
        let ids: Vec<AgentId> = self.state.agents.keys().cloned().collect();
        for id in &ids {
            self.look_for(id);
        }
        self.volatile.recovering_of = self.volatile.recovering.len();
        let cause = Cause::own(match before {
            None => "hb was started after an end that was not in good order",
            Some(Ended::LeftRunning) => "hb was started again",
            Some(Ended::AllStopped) => "hb was started again after a shutdown",
        });
        for id in self.start_order(&ids) {
            self.go_on_watching(&id, now);
            self.go_on(&id, &cause, now);
        }
    }

    fn look_for(&mut self, id: &AgentId) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let (spec, incarnation) = (agent.spec.clone(), agent.incarnation);
        let agent = id.clone();
        let effect = match self.state.agents.get(id).map(|agent| agent.process.clone()) {
            Some(Process::Alive { identity, .. } | Process::Stopping { identity, .. }) => {
                Effect::Adopt { agent, identity, spec }
            }
            Some(Process::Starting { key }) => Effect::Look { agent, incarnation, key, spec },
            Some(Process::Absent) | None => return,
        };
        self.volatile.recovering.insert(id.clone());
        self.effect(effect);
    }

    /// Agents without a process of ours are awaited and asked anew, from now on. The same after a pause.
    pub(super) fn go_on_watching(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if self.volatile.recovering.contains(id) {
            return;
        }
        let (lifecycle, begun) = (agent.lifecycle, agent.incarnation > 0);
        match agent.spec.kind() {
            Kind::Heartbeat(_) if lifecycle == Lifecycle::Spawning && begun => self.await_first_beat(id, now),
            Kind::Probe(_) if begun => self.probe_on(id, now),
            Kind::Heartbeat(_) | Kind::Probe(_) | Kind::Process(_) => {}
        }
        self.watch_over(id, now);
    }

    /// A process that ran before runs still, and is watched.
    pub(super) fn adopted(&mut self, id: &AgentId, identity: &Identity, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if agent.process.identity() != Some(identity) || !self.volatile.recovering.contains(id) {
            let why = format!("pid {} was adopted, and is not what is recorded", identity.pid);
            return self.tell_of(id, kinds::IMPOSSIBLE, &Cause::own(why), now);
        }
        let pid = identity.pid;
        match agent.process.clone() {
            Process::Alive { identity, since, .. } => {
                self.runs(id, Process::Alive { identity, since, adopted: true });
                self.tell_of(
                    id,
                    kinds::ADOPTED,
                    &Cause::own(format!("pid {pid} still runs and is watched again")),
                    now,
                );
                self.go_on_running(id, now);
                self.wake(id, now);
            }
            Process::Stopping { .. } => {
                self.volatile.recovering.remove(id);
                self.tell_of(
                    id,
                    kinds::ADOPTED,
                    &Cause::own(format!("pid {pid} still runs and is being stopped")),
                    now,
                );
                self.go_on_stopping(id, now);
            }
            Process::Absent | Process::Starting { .. } => {}
        }
    }

    /// Whether its signal ever left is not known: it gets it again, and what is left of its grace.
    fn go_on_stopping(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let Process::Stopping { identity, since, killed } = &agent.process else { return };
        let rule = stop_rule(agent);
        let left = left_ns(*since, seconds_ns(rule.grace_sec), now.wall);
        if *killed {
            return self.kill(id, now);
        }
        if left == 0 {
            return self.kill_due(id, now);
        }
        let effect = Effect::Signal { agent: id.clone(), identity: identity.clone(), signal: rule.signal };
        self.effect(effect);
        self.arm(id, AgentTimer::Kill, now.moment.plus_ns(left));
    }

    /// What became of a start that was under way when the reign before ended.
    pub(super) fn found(&mut self, id: &AgentId, incarnation: u64, identity: Option<Identity>, now: Now) {
        if !self.is_starting(id, incarnation, now) {
            return;
        }
        if let Some(identity) = identity {
            let cause =
                Cause::own(format!("pid {} was started just before hb ended; it is watched again", identity.pid));
            self.runs(id, Process::Alive { identity, since: now.wall, adopted: true });
            self.tell_of(id, kinds::FOUND, &cause, now);
            return self.go_on_running(id, now);
        }
        // Perhaps it never began, perhaps it took hb down with it: it waits as after a failure, and does not use up its allowance.
        self.runs(id, Process::Absent);
        let cause = Cause::own("hb ended while it was being started, and there is no process of it");
        if self.was_called_off(id) {
            self.stopped(id, &cause, now);
        } else {
            self.move_to(id, Lifecycle::Failed, now);
            self.tell_of(id, kinds::LOST, &cause, now);
            self.lost(id, &cause, now);
        }
        self.drain_after(id, now);
    }

    fn lost(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if self.is_ending().is_none() && self.is_monitored(agent) {
            self.by_rule(id, Counted::No, cause, now);
        }
    }
}
