//! When an agent that was begun counts as up, and what is watched from then on.

use super::super::acts::{Settled, seconds_ns};
use super::super::agent::{Lifecycle, Next, Process};
use super::super::input::Notified;
use super::super::spec::{Kind, ReadyBy};
use super::super::step::Effect;
use super::super::timers::AgentTimer;
use super::super::{Cause, Supervision};
use super::kinds;
use super::spans::{in_words, left_ns};
use crate::ids::AgentId;
use crate::time::Now;

/// Nanoseconds between two looks whether a process is up.
const CHECK_READY_EVERY_NS: u64 = 200_000_000;
/// Seconds within which a process has to be up, when neither `within_sec` nor a beat rule says so.
const READY_WITHIN_SEC: f64 = 60.0;

impl Supervision {
    /// A process of an agent that is not up yet runs: waits for whatever tells that it is. After a crash too.
    pub(super) fn await_ready(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let (Kind::Process(spec), Process::Alive { since, .. }) = (agent.spec.kind(), &agent.process) else { return };
        let within = seconds_ns(spec.ready.within_sec.unwrap_or_else(|| {
            let beats = agent.spec.beats.as_ref().filter(|_| spec.ready.by == ReadyBy::Beat);
            beats.map_or(READY_WITHIN_SEC, |beats| beats.first_within_sec)
        }));
        let left = left_ns(*since, within, now.wall);
        match spec.ready.by {
            ReadyBy::Started => return self.up(id, &Cause::own("is up: it was started"), now),
            ReadyBy::Notify | ReadyBy::Beat => {}
            ReadyBy::Tcp(_) | ReadyBy::Command(_) => self.check_ready(id),
        }
        self.arm(id, AgentTimer::Ready, now.moment.plus_ns(left));
    }

    /// Looks once whether it is up. At most one look is under way.
    pub(super) fn check_ready(&mut self, id: &AgentId) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let (Kind::Process(spec), Process::Alive { .. }, Lifecycle::Spawning) =
            (agent.spec.kind(), &agent.process, agent.lifecycle)
        else {
            return;
        };
        let (incarnation, by) = (agent.incarnation, spec.ready.by.clone());
        if self.volatile.asked.insert(id.clone()) {
            self.effect(Effect::CheckReady { agent: id.clone(), incarnation, by });
        }
    }

    /// What a look came to.
    pub(super) fn ready_checked(&mut self, id: &AgentId, incarnation: u64, found: Result<(), String>, now: Now) {
        self.volatile.asked.remove(id);
        let Some(agent) = self.state.agents.get(id) else { return };
        let awaited = agent.lifecycle == Lifecycle::Spawning && matches!(agent.process, Process::Alive { .. });
        if !awaited {
            return;
        }
        match found {
            Ok(()) if agent.incarnation == incarnation => self.up(id, &Cause::own("is up: it answers"), now),
            Ok(()) => self.arm(id, AgentTimer::CheckReady, now.moment),
            Err(said) => {
                self.say(id, &said);
                self.arm(id, AgentTimer::CheckReady, now.moment.plus_ns(CHECK_READY_EVERY_NS));
            }
        }
    }

    /// It was not up in time.
    pub(super) fn ready_due(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let unheard = agent.process == Process::Absent && !self.is_monitored(agent);
        if agent.lifecycle != Lifecycle::Spawning || unheard {
            return;
        }
        let said = if agent.said.is_empty() { String::new() } else { format!(" ({})", agent.said) };
        let cause =
            Cause::own(format!("was not up within {}{said}", in_words(now.wall.since_ns(agent.since).unsigned_abs())));
        self.move_to(id, Lifecycle::Failed, now);
        self.tell_of(id, kinds::START_FAILED, &cause, now);
        self.settle(id, Settled::Failed(cause.why.clone()));
        self.stop_process(id, Next::ByRule, &cause, now);
    }

    /// It is up: IDLE, or RUNNING when it will not say itself which of the two.
    pub(super) fn up(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        self.disarm(id, AgentTimer::Ready);
        self.disarm(id, AgentTimer::CheckReady);
        self.move_to(id, Lifecycle::Idle, now);
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        agent.said.clear();
        let (incarnation, beats) = (agent.incarnation, super::presence::beat_rule(&agent.spec).is_some());
        if !beats {
            self.move_to(id, Lifecycle::Running, now);
        }
        self.tell_of(id, kinds::READY, cause, now);
        self.settle(id, Settled::Up(incarnation));
        self.watch_over(id, now);
        self.wake(id, now);
    }

    /// Whatever may happen to an agent that is up is awaited: the same when it comes up, is adopted, or its supervisor goes on.
    pub(super) fn watch_over(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if !agent.lifecycle.is_up() || self.volatile.recovering.contains(id) {
            return;
        }
        let after = seconds_ns(agent.spec.restart.reset_after_sec);
        let since = if let Process::Alive { since, .. } = &agent.process { *since } else { agent.since };
        let left = left_ns(since, after, now.wall);
        if self.armed(id, AgentTimer::Sustained).is_none() {
            self.arm(id, AgentTimer::Sustained, now.moment.plus_ns(left));
        }
        self.await_beat(id, now);
        self.await_watchdog(id, now);
        self.await_measure(id, now);
    }

    /// What its process said by the sd_notify protocol.
    pub(super) fn notified(&mut self, id: &AgentId, what: Notified, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if !matches!(agent.process, Process::Alive { .. }) {
            return;
        }
        let awaited = agent.lifecycle == Lifecycle::Spawning;
        match what {
            Notified::Ready if awaited => self.up(id, &Cause::own("is up: it says READY=1"), now),
            Notified::Ready => {}
            Notified::Watchdog => self.watchdog_fed(id, now),
            Notified::WatchdogTrigger => self.watchdog_triggered(id, now),
            Notified::Stopping => {
                self.say(id, "is stopping");
            }
            Notified::Reloading => {
                self.say(id, "is reloading");
            }
            Notified::Status(status) => {
                self.say(id, &status);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Input;
    use super::super::stage::{Stage, kinds, signals};
    use super::*;

    #[test]
    fn what_is_not_up_in_time_is_stopped_and_handled_by_its_rule() {
        let rest = r#"{"process":{"command":["x"],"ready":{"by":"notify","within_sec":2}}}"#;
        let mut stage = Stage::with(&[("a", rest)]);
        stage.spawned("a");
        let step = stage.at(2.0);
        assert_eq!(kinds(&step), ["agent.start.failed", "agent.stopping"]);
        assert_eq!(signals(&step), ["TERM"]);
        stage.notifies("a", Notified::Ready);
        assert_eq!(stage.line("a"), "FAILED #1 Stopping", "too late");
        stage.exits("a", 0);
        assert_eq!(stage.line("a"), "SPAWNING #2 Starting");
    }

    #[test]
    fn looks_are_repeated_one_at_a_time_until_one_succeeds() {
        let rest = r#"{"process":{"command":["x"],"ready":{"by":{"command":["check"]}}}}"#;
        let mut stage = Stage::with(&[("a", rest)]);
        assert_eq!(stage.spawned("a").effects.len(), 1);
        assert!(stage.at(1.0).effects.is_empty());
        let checked = |incarnation, up| Input::ReadyChecked { agent: "a".into(), incarnation, up, said: "no".into() };
        assert!(stage.say(checked(1, false)).effects.is_empty());
        assert_eq!(stage.at(1.2).effects.len(), 1);
        // The answer about another incarnation says nothing of this one.
        assert_eq!(stage.say(checked(0, true)).effects.len(), 1);
        assert_eq!(stage.line("a"), "SPAWNING #1 Alive");
        stage.say(checked(1, true));
        assert_eq!(stage.line("a"), "RUNNING #1 Alive");
    }

    #[test]
    fn what_it_says_is_kept_short_and_recorded_once() {
        let mut stage = Stage::with(&[("a", r#"{"process":{"command":["x"]}}"#)]);
        stage.spawned("a");
        let long = "x\n".repeat(500);
        assert!(stage.notifies("a", Notified::Status(long.clone())).record.is_some());
        assert!(stage.notifies("a", Notified::Status(long)).record.is_none());
        assert_eq!(stage.agent("a").said, "x".repeat(200));
    }
}
