//! What can be asked of an agent. Each ask is refused in words, or begun at once; that it has come about, or has not, is told later as
//! [`Settled`], when the turn ends at the earliest.

use super::super::acts::Settled;
use super::super::agent::{Agent, Lifecycle, Next, Process};
use super::super::alert::Concern;
use super::super::spec::Wanted;
use super::super::{Cause, Supervision};
use super::known::no_agent;
use super::{because, kinds};
use crate::ids::AgentId;
use crate::time::Now;

impl Supervision {
    /// It is to run: starts it unless it does. Gives the incarnation that will run; refuses in words. Clears a give-up, when a person asks.
    pub(in crate::supervise) fn start_agent(&mut self, id: &AgentId, cause: &Cause, now: Now) -> Result<u64, String> {
        self.may_be_begun(id, cause)?;
        self.clear_give_up(id, cause, now);
        let Some(agent) = self.state.agents.get_mut(id) else { return Err(no_agent(id)) };
        agent.wanted = Wanted::Up;
        match agent.process {
            Process::Alive { .. } | Process::Starting { .. } => {
                let incarnation = keep(agent);
                if agent.lifecycle.is_up() {
                    self.settle(id, Settled::Up(incarnation));
                }
                Ok(incarnation)
            }
            Process::Stopping { .. } => {
                agent.next = Next::Start;
                Ok(agent.incarnation.saturating_add(1))
            }
            Process::Absent if agent.lifecycle.is_up() => {
                let incarnation = agent.incarnation;
                self.settle(id, Settled::Up(incarnation));
                Ok(incarnation)
            }
            Process::Absent if agent.lifecycle == Lifecycle::Spawning && agent.incarnation > 0 => Ok(agent.incarnation),
            Process::Absent => Ok(self.start_absent(id, cause, now)),
        }
    }

    /// Its present incarnation is to end, and then `next`. Refuses in words when there is nothing to stop.
    pub(in crate::supervise) fn stop_agent(
        &mut self,
        id: &AgentId,
        next: Next,
        cause: &Cause,
        now: Now,
    ) -> Result<(), String> {
        let Some(agent) = self.state.agents.get_mut(id) else { return Err(no_agent(id)) };
        let was = agent.wanted;
        if matches!(next, Next::Stay | Next::Delete) {
            agent.wanted = Wanted::Down;
        }
        match agent.process {
            Process::Alive { .. } => self.stop_process(id, next, cause, now),
            Process::Starting { .. } | Process::Stopping { .. } => {
                agent.next = next;
                let what = match next {
                    Next::Stay => "is to stay down once it has ended",
                    Next::Delete => "is deleted once it has ended",
                    Next::Start => "is started again once it has ended",
                    Next::ByRule => "is to end",
                };
                self.tell_of(id, kinds::STOPPING, &because(what, cause), now);
            }
            Process::Absent => match next {
                Next::Delete => self.gone(id, cause, now),
                Next::Start => {
                    self.restart_agent(id, cause, now)?;
                }
                Next::Stay if was == Wanted::Up => self.stop_absent(id, cause, now),
                Next::Stay | Next::ByRule => return Err(format!("{id} is not running")),
            },
        }
        Ok(())
    }

    /// Ends its present incarnation, if there is one, and begins another, without waiting. Gives the incarnation that will run.
    pub(in crate::supervise) fn restart_agent(&mut self, id: &AgentId, cause: &Cause, now: Now) -> Result<u64, String> {
        self.may_be_begun(id, cause)?;
        if self.state.agents.get(id).is_some_and(|agent| agent.wanted == Wanted::Down) {
            return Err(format!("{id} is not wanted up: start it instead"));
        }
        self.clear_give_up(id, cause, now);
        let Some(agent) = self.state.agents.get_mut(id) else { return Err(no_agent(id)) };
        let incarnation = agent.incarnation;
        match agent.process {
            Process::Alive { .. } => {
                self.stop_process(id, Next::Start, cause, now);
                Ok(incarnation.saturating_add(1))
            }
            Process::Stopping { .. } => {
                agent.next = Next::Start;
                Ok(incarnation.saturating_add(1))
            }
            // It begins already.
            Process::Starting { .. } => Ok(keep(agent)),
            Process::Absent => Ok(self.start_absent(id, cause, now)),
        }
    }

    /// Sets it aside: stopped, and not started until it is released.
    pub(in crate::supervise) fn quarantine_agent(
        &mut self,
        id: &AgentId,
        cause: &Cause,
        now: Now,
    ) -> Result<(), String> {
        let Some(agent) = self.state.agents.get(id) else { return Err(no_agent(id)) };
        if agent.quarantine.is_some() {
            return Err(format!("{id} is quarantined already"));
        }
        let absent = agent.process == Process::Absent;
        self.set_aside(id, kinds::QUARANTINED, &because("quarantined", cause), now);
        if absent {
            self.settle(id, Settled::Down);
        }
        Ok(())
    }

    /// Clears its quarantine; starts it when it is wanted up.
    pub(in crate::supervise) fn release_agent(&mut self, id: &AgentId, cause: &Cause, now: Now) -> Result<(), String> {
        let Some(agent) = self.state.agents.get(id) else { return Err(no_agent(id)) };
        if agent.quarantine.is_none() {
            return Err(format!("{id} is not quarantined"));
        }
        self.clear_quarantine(id, cause, now);
        let Some(agent) = self.state.agents.get_mut(id) else { return Err(no_agent(id)) };
        let up = agent.wanted == Wanted::Up;
        agent.next = if up { Next::Start } else { Next::Stay };
        if up {
            self.go_on(id, cause, now);
        }
        Ok(())
    }

    /// Forgets it, once it is stopped.
    pub(in crate::supervise) fn forget_agent(&mut self, id: &AgentId, cause: &Cause, now: Now) -> Result<(), String> {
        if !self.state.agents.contains(id) {
            return Err(no_agent(id));
        }
        if let Some(other) = self.dependents(id).first() {
            return Err(format!("{other} depends on {id}: change or delete that first"));
        }
        self.stop_agent(id, Next::Delete, cause, now)
    }

    /// Begins another incarnation of an agent without a process as soon as its dependencies allow. Gives its number.
    fn start_absent(&mut self, id: &AgentId, cause: &Cause, now: Now) -> u64 {
        self.volatile.timers.clear_agent(id);
        let Some(agent) = self.state.agents.get_mut(id) else { return 0 };
        agent.next = Next::Start;
        agent.restarts.not_before = None;
        let next = agent.incarnation.saturating_add(1);
        self.go_on(id, cause, now);
        next
    }

    fn stop_absent(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        self.quiet(id);
        if let Some(agent) = self.state.agents.get_mut(id) {
            agent.next = Next::Stay;
            agent.restarts.not_before = None;
        }
        let cause = because("is not to run", cause);
        self.stopped(id, &cause, now);
    }

    /// Whether it may be begun at all: not while hb ends, not while it is set aside. A give-up is cleared by people alone.
    fn may_be_begun(&self, id: &AgentId, cause: &Cause) -> Result<(), String> {
        let Some(agent) = self.state.agents.get(id) else { return Err(no_agent(id)) };
        if self.is_ending().is_some() {
            return Err("hb is ending: nothing is started any more".into());
        }
        if agent.next == Next::Delete {
            return Err(format!("{id} is being deleted"));
        }
        match &agent.quarantine {
            Some(quarantine) if !agent.restarts.given_up || !is_person(cause) => {
                Err(format!("{id} is quarantined: {}. Release it first", quarantine.reason))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn clear_give_up(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        if self.state.agents.get(id).is_some_and(|agent| agent.restarts.given_up) {
            self.clear_quarantine(id, cause, now);
        }
    }

    /// Whoever releases it answers for it: its allowance begins anew.
    fn clear_quarantine(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        agent.quarantine = None;
        release_allowance(agent);
        self.move_to(id, Lifecycle::Terminated, now);
        self.tell_of(id, kinds::RELEASED, &because("released", cause), now);
        self.relieve(id, Concern::GaveUp);
    }
}

/// What runs or is being started goes on, and what it was to be asked is called off; one that was set aside meanwhile is stopped and begun
/// again. Gives the incarnation that will run.
fn keep(agent: &mut Agent) -> u64 {
    if agent.lifecycle.is_up() || agent.lifecycle == Lifecycle::Spawning {
        agent.next = Next::ByRule;
        agent.incarnation
    } else {
        agent.next = Next::Start;
        agent.incarnation.saturating_add(1)
    }
}

fn release_allowance(agent: &mut Agent) {
    agent.restarts.given_up = false;
    agent.restarts.recent.clear();
    agent.restarts.level = 0;
    agent.restarts.not_before = None;
}

/// hb and its policies do not lift what hb gave up.
fn is_person(cause: &Cause) -> bool {
    let by = cause.by.as_str();
    by != "hb" && !by.starts_with("policy:")
}

#[cfg(test)]
mod tests {
    use super::super::stage::{Stage, signals};
    use super::*;

    fn stage() -> (Stage, AgentId, Cause) {
        let stage = Stage::with(&[("a", r#"{"process":{"command":["x"]}}"#)]);
        (stage, "a".into(), Cause::by(&"operator:ada".into(), "to see"))
    }

    #[test]
    fn what_is_set_aside_while_it_starts_is_stopped_and_only_then_begun_again() {
        let (mut stage, a, cause) = stage();
        let now = stage.now();
        stage.it.quarantine_agent(&a, &cause, now).unwrap();
        assert_eq!(stage.line("a"), "QUARANTINED #1 Starting");
        assert!(stage.it.start_agent(&a, &cause, now).unwrap_err().contains("quarantined"));
        assert!(
            stage.it.restart_agent(&a, &cause, now).is_err() && stage.it.quarantine_agent(&a, &cause, now).is_err()
        );
        stage.it.release_agent(&a, &cause, now).unwrap();
        assert_eq!(stage.it.start_agent(&a, &cause, now), Ok(2));
        assert_eq!(signals(&stage.spawned("a")), ["TERM"]);
        stage.exits("a", 0);
        assert_eq!(stage.line("a"), "SPAWNING #2 Starting");
    }

    #[test]
    fn the_newest_ask_wins() {
        let (mut stage, a, cause) = stage();
        stage.spawned("a");
        let now = stage.now();
        assert_eq!(stage.it.restart_agent(&a, &cause, now), Ok(2));
        stage.it.stop_agent(&a, Next::Stay, &cause, now).unwrap();
        assert_eq!(signals(&stage.take()), ["TERM"], "it is told once");
        assert!(stage.it.restart_agent(&a, &cause, now).unwrap_err().contains("start it instead"));
        assert_eq!(stage.it.start_agent(&a, &cause, now), Ok(2));
        stage.exits("a", 0);
        assert_eq!(stage.line("a"), "SPAWNING #2 Starting");
        stage.it.stop_agent(&a, Next::Stay, &cause, now).unwrap();
        assert_eq!(stage.it.start_agent(&a, &cause, now), Ok(2), "the stop is called off");
        assert!(signals(&stage.spawned("a")).is_empty());
    }

    #[test]
    fn what_does_not_run_can_neither_be_stopped_nor_released() {
        let (mut stage, a, cause) = stage();
        stage.spawned("a");
        let now = stage.now();
        stage.it.stop_agent(&a, Next::Stay, &cause, now).unwrap();
        stage.exits("a", 0);
        assert!(stage.it.stop_agent(&a, Next::Stay, &cause, now).unwrap_err().contains("not running"));
        assert!(stage.it.release_agent(&a, &cause, now).is_err());
        assert!(stage.it.start_agent(&"nobody".into(), &cause, now).unwrap_err().contains("no agent"));
        stage.it.quarantine_agent(&a, &cause, now).unwrap();
        stage.it.release_agent(&a, &cause, now).unwrap();
        assert_eq!(stage.line("a"), "TERMINATED #1 Absent", "it was not wanted");
    }

    #[test]
    fn nothing_is_begun_while_hb_ends_and_who_is_needed_is_not_forgotten() {
        let mut stage = Stage::with(&[("a", "{}"), ("b", r#"{"depends_on":["a"]}"#)]);
        assert!(stage.forget("a").unwrap_err().contains("b depends on a"));
        stage.forget("b").unwrap();
        stage.forget("a").unwrap();
        let (mut stage, a, cause) = self::stage();
        let now = stage.now();
        stage.it.drain(super::super::super::input::OnStop::Leave, "SIGTERM".into(), now);
        assert!(stage.it.start_agent(&a, &cause, now).unwrap_err().contains("ending"));
        assert!(!stage.it.drained());
        stage.spawned("a");
        assert_eq!(stage.line("a"), "RUNNING #1 Alive");
    }

    #[test]
    fn remote_agents_are_begun_and_ended_by_word_alone() {
        let mut stage = Stage::with(&[("far", "{}")]);
        let (far, cause) = (AgentId::from("far"), Cause::by(&"operator:ada".into(), "to see"));
        stage.beat("far", 1);
        let now = stage.now();
        assert_eq!(stage.it.restart_agent(&far, &cause, now), Ok(2));
        assert_eq!(stage.line("far"), "SPAWNING #2 Absent");
        stage.beat("far", 2);
        assert_eq!(stage.line("far"), "IDLE #2 Absent");
        stage.it.stop_agent(&far, Next::Stay, &cause, now).unwrap();
        assert!(stage.beat("far", 3).unwrap().contains("not wanted"));
        assert_eq!(stage.line("far"), "TERMINATED #2 Absent");
    }
}
