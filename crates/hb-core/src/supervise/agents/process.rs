//! How the process of an agent begins and ends.
//!
//! **Invariants.** `Starting` is recorded before [`Effect::Spawn`] leaves, and stays until its outcome is known; so an agent never has two
//! processes (S2). Only what the recorded identity says counts: the end of anybody else is ignored.

use super::super::acts::{Settled, seconds_ns};
use super::super::agent::{Agent, Exit, Identity, Lifecycle, Next, Process};
use super::super::alert::Concern;
use super::super::bounds::SAID_MAX;
use super::super::input::OnStop;
use super::super::spec::{Kind, RestartWhen, StopRule, Wanted};
use super::super::step::Effect;
use super::super::timers::AgentTimer;
use super::super::{Cause, Supervision};
use super::{because, kinds};
use crate::ids::AgentId;
use crate::time::Now;

/// Nanoseconds after which a group that was killed and did not end is killed again.
const KILL_AGAIN_NS: u64 = 10_000_000_000;

/// What is said of a process that was killed and is still there.
pub(super) const DOES_NOT_END: &str = "was killed and does not end: the kernel holds it";

impl Supervision {
    /// Begins another incarnation. Whoever calls it has seen that no process of it is there.
    pub(super) fn begin_incarnation(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let follows_failure = agent.lifecycle == Lifecycle::Failed;
        // What was stopped together with hb was not restarted.
        let restarted = agent.incarnation > 0 && (follows_failure || agent.next == Next::Start);
        self.next_incarnation(id, now);
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        let (spec, incarnation) = (agent.spec.clone(), agent.incarnation);
        if restarted {
            agent.restarts.total = agent.restarts.total.saturating_add(1);
            self.state.counters.restarts = self.state.counters.restarts.saturating_add(1);
        }
        match spec.kind() {
            Kind::Process(_) => {
                let key = format!("{}/{id}/{incarnation}/{}", self.stream, self.epoch);
                agent.process = Process::Starting { key: key.clone() };
                let (agent, recovering) = (id.clone(), follows_failure);
                self.effect(Effect::Spawn { agent, incarnation, key, spec, recovering });
            }
            Kind::Heartbeat(_) => self.await_first_beat(id, now),
            Kind::Probe(_) => self.probe_soon(id, now),
        }
        self.tell_of(id, kinds::STARTING, &because(format_args!("incarnation {incarnation} begins"), cause), now);
    }

    /// Counts a new incarnation and forgets what belongs to the one before.
    pub(super) fn next_incarnation(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if agent.lifecycle.is_up() || (agent.lifecycle == Lifecycle::Spawning && agent.incarnation > 0) {
            self.move_to(id, Lifecycle::Terminated, now);
        }
        self.move_to(id, Lifecycle::Spawning, now);
        self.quiet(id);
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        agent.incarnation = agent.incarnation.saturating_add(1);
        agent.since = now.wall;
        agent.next = Next::ByRule;
        agent.restarts.not_before = None;
        (agent.beats.sequence, agent.beats.missed) = (None, 0);
        agent.probes = super::super::agent::Probes::default();
        agent.said.clear();
    }

    /// Nothing of its present incarnation is awaited or remembered any more.
    pub(super) fn quiet(&mut self, id: &AgentId) {
        self.waits_no_more(id);
        let volatile = &mut self.volatile;
        volatile.timers.clear_agent(id);
        volatile.heard.remove(id);
        volatile.counted.remove(id);
        volatile.usage.remove(id);
        volatile.metrics.remove(id);
    }

    /// The answer to a start: it runs.
    pub(super) fn spawned(&mut self, id: &AgentId, incarnation: u64, identity: Identity, now: Now) {
        if self.is_starting(id, incarnation, now) {
            let pid = identity.pid;
            self.runs(id, Process::Alive { identity, since: now.wall, adopted: false });
            self.tell_of(id, kinds::STARTED, &Cause::own(format!("runs as pid {pid}")), now);
            self.go_on_running(id, now);
        }
    }

    /// The answer to a start: it could not be done.
    pub(super) fn spawn_failed(&mut self, id: &AgentId, incarnation: u64, error: &str, now: Now) {
        if !self.is_starting(id, incarnation, now) {
            return;
        }
        self.runs(id, Process::Absent);
        let cause = Cause::own(format!("could not be started: {error}"));
        if self.was_called_off(id) {
            return self.stopped(id, &cause, now);
        }
        self.say(id, error);
        self.move_to(id, Lifecycle::Failed, now);
        self.tell_of(id, kinds::SPAWN_FAILED, &cause, now);
        self.settle(id, Settled::Failed(cause.why.clone()));
        self.after_end(id, &cause, now);
        self.drain_after(id, now);
    }

    /// Whether a start that is under way is not wanted any more.
    pub(super) fn was_called_off(&self, id: &AgentId) -> bool {
        self.state
            .agents
            .get(id)
            .is_some_and(|agent| agent.next != Next::ByRule || agent.lifecycle != Lifecycle::Spawning)
    }

    /// Whether this start is under way; tells when it is not.
    pub(super) fn is_starting(&mut self, id: &AgentId, incarnation: u64, now: Now) -> bool {
        let Some(agent) = self.state.agents.get(id) else { return false };
        let fits = agent.incarnation == incarnation && matches!(agent.process, Process::Starting { .. });
        if !fits {
            let why = format!("the outcome of a start of incarnation {incarnation} came, and none is under way");
            self.tell_of(id, kinds::IMPOSSIBLE, &Cause::own(why), now);
        }
        fits
    }

    pub(super) fn runs(&mut self, id: &AgentId, process: Process) {
        self.volatile.recovering.remove(id);
        // One that was adopted before is as it was: a start after a crash writes down what has changed, and that is little.
        if self.state.agents.get(id).is_some_and(|agent| agent.process != process)
            && let Some(agent) = self.state.agents.get_mut(id)
        {
            agent.process = process;
        }
    }

    /// A process is known to run: it is stopped when that was asked meanwhile, and otherwise awaited and watched.
    pub(super) fn go_on_running(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if must_stop(agent) {
            let next = agent.next;
            self.stop_process(id, next, &Cause::own("that was asked before it was known to run"), now);
        } else if agent.lifecycle == Lifecycle::Spawning {
            self.await_ready(id, now);
        } else {
            self.watch_over(id, now);
        }
        self.drain_after(id, now);
    }

    /// Asks its process to end, and notes what follows. Its group is killed when the grace is over.
    pub(super) fn stop_process(&mut self, id: &AgentId, next: Next, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        agent.next = next;
        let Process::Alive { identity, .. } = &agent.process else { return };
        if self.volatile.recovering.contains(id) {
            // Whether it is still there is not known: it is asked to end once it is.
            return;
        }
        let (identity, rule) = (identity.clone(), stop_rule(agent));
        let grace = seconds_ns(rule.grace_sec);
        let killed = grace == 0;
        let signal = if killed { "KILL".to_owned() } else { rule.signal };
        let said = format!("pid {} gets SIG{signal}", identity.pid);
        agent.process = Process::Stopping { identity: identity.clone(), since: now.wall, killed };
        self.volatile.timers.clear_agent(id);
        self.arm(id, AgentTimer::Kill, now.moment.plus_ns(if killed { KILL_AGAIN_NS } else { grace }));
        self.effect(Effect::Signal { agent: id.clone(), identity, signal });
        self.tell_of(id, kinds::STOPPING, &because(said, cause), now);
    }

    /// The grace is over.
    pub(super) fn kill_due(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let Process::Stopping { identity, killed, .. } = &agent.process else { return };
        let (pid, again) = (identity.pid, *killed);
        self.kill(id, now);
        if !again {
            let cause = Cause::own(format!("pid {pid} did not end within its grace: its whole group is killed"));
            self.tell_of(id, kinds::KILLED, &cause, now);
        } else if self.say(id, DOES_NOT_END) {
            self.tell_of(id, kinds::UNKILLABLE, &Cause::own(format!("pid {pid} {DOES_NOT_END}")), now);
            self.drain_after(id, now);
        }
    }

    /// Kills the group of a process that is being stopped, and looks again in a while.
    pub(super) fn kill(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        let Process::Stopping { identity, killed, .. } = &mut agent.process else { return };
        *killed = true;
        let identity = identity.clone();
        self.effect(Effect::Signal { agent: id.clone(), identity, signal: "KILL".into() });
        self.arm(id, AgentTimer::Kill, now.moment.plus_ns(KILL_AGAIN_NS));
    }

    /// A process ended.
    pub(super) fn exited(&mut self, id: &AgentId, identity: &Identity, exit: Exit, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if agent.process.identity() != Some(identity) {
            return;
        }
        let stopping = matches!(agent.process, Process::Stopping { .. });
        let asked = agent.next != Next::ByRule || (stopping && agent.lifecycle != Lifecycle::Failed);
        if stopping {
            // A signal of the same turn has not left yet, and would go to nobody.
            self.effects.retain(|effect| !matches!(effect, Effect::Signal { identity: one, .. } if one == identity));
        }
        let sustained = self.armed(id, AgentTimer::Sustained).is_some_and(|at| at <= now.moment);
        if sustained {
            self.sustained(id);
        }
        self.runs(id, Process::Absent);
        self.quiet(id);
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        agent.exit = Some(exit);
        if agent.said == DOES_NOT_END {
            self.relieve(id, Concern::InDoubt);
        }
        let what = format!("pid {} {}", identity.pid, exit.in_words());
        if asked {
            self.stopped(id, &Cause::own(format!("{what}, as was asked")), now);
        } else {
            self.died(id, &Cause::own(what), now);
        }
        self.drain_after(id, now);
    }

    /// It ended as was asked, or there was nothing to end.
    pub(super) fn stopped(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let next = agent.next;
        if agent.lifecycle != Lifecycle::Quarantined {
            self.move_to(id, Lifecycle::Terminated, now);
        }
        self.tell_of(id, kinds::STOPPED, cause, now);
        match next {
            Next::Stay => self.settle(id, Settled::Down),
            Next::Delete | Next::Start | Next::ByRule => self.after_end(id, cause, now),
        }
    }

    /// It ended, and nobody had asked for it; or it was stopped as it had failed.
    fn died(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let (was, rule, exit) = (agent.lifecycle, agent.spec.restart.when, agent.exit);
        if was == Lifecycle::Failed {
            self.tell_of(id, kinds::STOPPED, &Cause::own(format!("{}, after it had failed", cause.why)), now);
        } else if rule == RestartWhen::OnFailure && exit == Some(Exit::Status(0)) {
            self.finished(id, cause, now);
        } else {
            self.move_to(id, Lifecycle::Failed, now);
            let kind = if was == Lifecycle::Spawning { kinds::START_FAILED } else { kinds::EXITED };
            self.tell_of(id, kind, cause, now);
            if was == Lifecycle::Spawning {
                self.settle(id, Settled::Failed(format!("{} before it was up", cause.why)));
            }
        }
        self.after_end(id, cause, now);
    }

    fn finished(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let was_up = self.state.agents.get(id).is_some_and(|agent| agent.lifecycle.is_up());
        self.move_to(id, Lifecycle::Terminated, now);
        if let Some(agent) = self.state.agents.get_mut(id) {
            agent.next = Next::Stay;
        }
        let why = format!("{}: it is restarted after failures only", cause.why);
        self.tell_of(id, kinds::FINISHED, &Cause::own(why), now);
        if !was_up {
            self.settle(id, Settled::Failed(format!("{} before it was up", cause.why)));
        }
    }

    /// Keeps its newest word; tells whether it is a new one.
    pub(super) fn say(&mut self, id: &AgentId, what: &str) -> bool {
        let said: String = what.chars().filter(|one| !one.is_control()).take(SAID_MAX).collect();
        if self.state.agents.get(id).is_none_or(|agent| agent.said == said) {
            return false;
        }
        if let Some(agent) = self.state.agents.get_mut(id) {
            agent.said = said;
        }
        true
    }

    /// Whether hb itself is to end, and what becomes of its agents then.
    pub(super) fn is_ending(&self) -> Option<OnStop> {
        self.volatile.draining.as_ref().map(|(agents, _)| *agents)
    }
}

/// Whether a process that is found to run was asked to end before that was known.
fn must_stop(agent: &Agent) -> bool {
    agent.next != Next::ByRule
        || agent.quarantine.is_some()
        || agent.wanted == Wanted::Down
        || agent.lifecycle == Lifecycle::Failed
}

/// How it is stopped; it may have become another kind of agent since it was started.
pub(super) fn stop_rule(agent: &Agent) -> StopRule {
    agent.spec.process.as_ref().map_or_else(StopRule::default, |process| process.stop.clone())
}
