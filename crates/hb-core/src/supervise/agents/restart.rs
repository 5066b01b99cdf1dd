//! What follows the end of an agent: another start at once or after a wait, giving up, or nothing.
//!
//! The wait: none for the first failure and after `reset_after_sec` up; then `backoff_sec` doubled with each further restart up to
//! `backoff_max_sec`, spread by the share `jitter`. More than `max_restarts` within `within_sec`: given up.
//!
//! **Invariants.** Counts, level, deadline and give-up are recorded before a start leaves, so a crash grants nothing (S5). What is still to be
//! waited after a start of hb is at most the whole wait.

use super::super::acts::{Settled, seconds_ns};
use super::super::agent::{Agent, Lifecycle, Next, Process, Quarantine};
use super::super::alert::Concern;
use super::super::spec::{Kind as AgentKind, RestartRule, RestartWhen, Wanted};
use super::super::timers::AgentTimer;
use super::super::{Cause, Supervision};
use super::because;
use super::kinds::{self, Kind};
use super::spans::{fraction, in_words, left_ns, share_ns};
use crate::ids::AgentId;
use crate::time::{Now, Stamp};

/// Whether a restart counts against `max_restarts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// The agent failed.
    Yes,
    /// hb itself may be the reason: it only waits.
    No,
}

impl Supervision {
    /// Something ended: an agent that is to be deleted goes, one that is to go on does.
    pub(super) fn after_end(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        if self.state.agents.get(id).is_some_and(|agent| agent.next == Next::Delete && agent.process == Process::Absent)
        {
            self.gone(id, cause, now);
        } else {
            self.go_on(id, cause, now);
        }
    }

    /// Does what the recorded state of an agent asks for, if it asks for a start. The same after an exit, a pause and a crash.
    pub(super) fn go_on(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if !self.may_begin(agent) {
            return;
        }
        if agent.next == Next::Start {
            return self.begin_when_possible(id, cause, now);
        }
        let due = due(agent);
        if due == Due::Nothing {
            return;
        }
        if !self.is_monitored(agent) {
            if self.say(id, "waits until its supervisor is active") {
                self.tell_of(id, kinds::WAITING, &because("waits until its supervisor is active", cause), now);
            }
            return;
        }
        match due {
            Due::Nothing => {}
            Due::Start => self.begin_when_possible(id, cause, now),
            Due::Rule => self.by_rule(id, Counted::Yes, cause, now),
            Due::Wait(not_before) => self.wait_on(id, not_before, now),
        }
    }

    /// Whether anything stands in the way of a start, apart from waits and dependencies.
    fn may_begin(&self, agent: &Agent) -> bool {
        self.is_ending().is_none()
            && !self.volatile.recovering.contains(agent.id())
            && agent.process == Process::Absent
            && agent.wanted == Wanted::Up
            && agent.quarantine.is_none()
            && !agent.restarts.given_up
            && matches!(agent.next, Next::ByRule | Next::Start)
    }

    /// Begins when all that it depends on is up, and waits for that otherwise.
    pub(super) fn begin_when_possible(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let missing = self.missing(id);
        if missing.is_empty() {
            return self.begin_incarnation(id, cause, now);
        }
        self.wait_for(&missing, id);
        let names: Vec<&str> = missing.iter().map(AgentId::as_str).collect();
        let what = format!("waits for {}", names.join(", "));
        if self.say(id, &what) {
            self.tell_of(id, kinds::WAITING, &because(what, cause), now);
        }
    }

    /// Something came up: agents that waited for it alone begin.
    pub(super) fn wake(&mut self, up: &AgentId, now: Now) {
        for id in self.waiters(up) {
            self.volatile.waiting.remove(&(up.clone(), id.clone()));
            let Some(agent) = self.state.agents.get(&id) else { continue };
            if self.may_begin(agent)
                && (agent.next == Next::Start || self.is_monitored(agent))
                && self.missing(&id).is_empty()
            {
                self.begin_incarnation(&id, &Cause::own(format!("{up} is up")), now);
            }
        }
    }

    /// Applies the restart rule to an agent that failed.
    pub(super) fn by_rule(&mut self, id: &AgentId, counted: Counted, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        if agent.spec.restart.when == RestartWhen::Never {
            agent.next = Next::Stay;
            self.tell_of(id, kinds::RESTART_DECLINED, &because("its rule is never to restart it", cause), now);
            return;
        }
        if counted == Counted::Yes && !self.count_restart(id, now) {
            return self.give_up(id, cause, now);
        }
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        let wait = wait_ns(agent, agent.restarts.level);
        agent.restarts.level = agent.restarts.level.saturating_add(1);
        agent.restarts.not_before = Some(now.wall.plus_ns(i64::try_from(wait).unwrap_or(i64::MAX)));
        if wait == 0 {
            self.tell_of(id, kinds::RESTART_SCHEDULED, &because("is started again at once", cause), now);
            self.begin_when_possible(id, cause, now);
        } else {
            self.arm(id, AgentTimer::Start, now.moment.plus_ns(wait));
            self.tell_of(
                id,
                kinds::RESTART_SCHEDULED,
                &because(format_args!("is started again in {}", in_words(wait)), cause),
                now,
            );
        }
    }

    /// Goes on with a wait that was begun before a pause or a crash (S5).
    fn wait_on(&mut self, id: &AgentId, not_before: Stamp, now: Now) {
        if self.armed(id, AgentTimer::Start).is_some() || self.is_waiting(id) {
            return;
        }
        let Some(agent) = self.state.agents.get(id) else { return };
        let whole = wait_ns(agent, agent.restarts.level.saturating_sub(1));
        let since = not_before.plus_ns(i64::try_from(whole).unwrap_or(i64::MAX).saturating_neg());
        let left = left_ns(since, whole, now.wall);
        if left == 0 {
            self.start_due(id, now);
        } else {
            self.arm(id, AgentTimer::Start, now.moment.plus_ns(left));
        }
    }

    /// The wait is over.
    pub(super) fn start_due(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if self.may_begin(agent) && agent.lifecycle == Lifecycle::Failed && self.is_monitored(agent) {
            self.begin_when_possible(id, &Cause::own("its wait is over"), now);
        }
    }

    /// Counts a restart; tells whether it is still within the limit.
    pub(super) fn count_restart(&mut self, id: &AgentId, now: Now) -> bool {
        let Some(agent) = self.state.agents.get_mut(id) else { return false };
        let span = i64::try_from(seconds_ns(agent.spec.restart.within_sec)).unwrap_or(i64::MAX);
        let most = usize::try_from(agent.spec.restart.max_restarts).unwrap_or(usize::MAX);
        agent.restarts.recent.retain(|at| now.wall.since_ns(*at) < span);
        let within = agent.restarts.recent.len() < most;
        if within {
            agent.restarts.recent.push_back(now.wall);
        }
        within
    }

    /// No more restarts until somebody comes.
    pub(super) fn give_up(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        agent.restarts.given_up = true;
        let rule = &agent.spec.restart;
        let what = format!(
            "{} restarts within {} are the most: manual intervention required (`hb agent start {id}` once it is repaired)",
            rule.max_restarts,
            in_words(seconds_ns(rule.within_sec))
        );
        let cause = because(what, cause);
        self.set_aside(id, kinds::GAVE_UP, &cause, now);
        self.settle(id, Settled::Failed(cause.why));
    }

    /// Records a quarantine, tells it, and stops what runs.
    pub(super) fn set_aside(&mut self, id: &AgentId, told: Kind, cause: &Cause, now: Now) {
        if self.state.agents.get(id).is_some_and(|agent| agent.lifecycle == Lifecycle::Spawning) {
            self.move_to(id, Lifecycle::Terminated, now);
        }
        self.move_to(id, Lifecycle::Quarantined, now);
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        agent.quarantine = Some(Quarantine { since: now.wall, reason: cause.why.clone(), by: cause.by.clone() });
        agent.next = Next::Stay;
        let present = agent.process.clone();
        self.waits_no_more(id);
        self.tell_of(id, told, cause, now);
        match present {
            Process::Absent => self.quiet(id),
            Process::Starting { .. } | Process::Stopping { .. } => {}
            Process::Alive { .. } => self.stop_process(id, Next::Stay, cause, now),
        }
    }

    /// It has been up for long enough.
    pub(super) fn sustained(&mut self, id: &AgentId) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if agent.restarts.level > 0
            && let Some(agent) = self.state.agents.get_mut(id)
        {
            agent.restarts.level = 0;
        }
        self.disarm(id, AgentTimer::Sustained);
        let silent = self.state.agents.get(id).is_some_and(|agent| agent.beats.missed > 0);
        let well = [Concern::Died, Concern::StartFailed, Concern::Resources, Concern::Silent];
        for concern in well.into_iter().filter(|concern| !silent || *concern != Concern::Silent) {
            self.relieve(id, concern);
        }
    }
}

/// What the recorded state of an agent without a process asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// It is as it is.
    Nothing,
    /// It is to begin: never started, or stopped together with hb.
    Start,
    /// It failed, and its rule has not been applied.
    Rule,
    /// Its rule was applied, and it waits.
    Wait(Stamp),
}

fn due(agent: &Agent) -> Due {
    let is_process = matches!(agent.spec.kind(), AgentKind::Process(_));
    match agent.lifecycle {
        Lifecycle::Spawning if is_process || agent.incarnation == 0 => Due::Start,
        Lifecycle::Terminated => Due::Start,
        Lifecycle::Failed if is_process => agent.restarts.not_before.map_or(Due::Rule, Due::Wait),
        Lifecycle::Spawning
        | Lifecycle::Idle
        | Lifecycle::Running
        | Lifecycle::Degraded
        | Lifecycle::Failed
        | Lifecycle::Quarantined => Due::Nothing,
    }
}

/// How long the restart after so many others without sustained health waits.
fn wait_ns(agent: &Agent, level: u32) -> u64 {
    let RestartRule { backoff_sec, backoff_max_sec, jitter, .. } = &agent.spec.restart;
    let (first, most) = (seconds_ns(*backoff_sec), seconds_ns(*backoff_max_sec));
    let Some(doublings) = level.checked_sub(1) else { return 0 };
    let wait = first.saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(most.max(first));
    share_ns(wait, 1.0 + jitter * (2.0 * fraction(agent.id(), agent.incarnation) - 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::stage::{Stage, kinds, spec};
    use super::*;
    use crate::supervise::step::Effect;

    #[test]
    fn s5_waits_double_up_to_the_longest_and_are_spread() {
        let waits = |rest: &str| -> Vec<u64> {
            let agent = Agent::new(spec("a", rest).into(), super::super::super::agent::Origin::Dynamic, Stamp(0));
            [0, 1, 2, 3, 6, 64, 90, u32::MAX].iter().map(|level| wait_ns(&agent, *level) / 1_000_000_000).collect()
        };
        assert_eq!(waits(r#"{"restart":{"jitter":0}}"#), [0, 5, 10, 20, 80, 80, 80, 80]);
        assert_eq!(waits(r#"{"restart":{"backoff_sec":0}}"#), [0; 8]);
        let spread = waits(r#"{"restart":{"jitter":0.5}}"#);
        assert!((2..=7).contains(&spread[1]) && (40..=120).contains(&spread[7]), "{spread:?}");
    }

    #[test]
    fn s5_sustained_health_and_nothing_else_ends_the_doubling() {
        let mut stage =
            Stage::with(&[("a", r#"{"process":{"command":["x"]},"restart":{"jitter":0,"max_restarts":50}}"#)]);
        stage.spawned("a");
        stage.exits("a", 1);
        assert_eq!(stage.line("a"), "SPAWNING #2 Starting", "the first is at once");
        stage.spawned("a");
        stage.at(59.9);
        stage.exits("a", 1);
        assert_eq!(stage.line("a"), "FAILED #2 Absent");
        stage.at(64.9);
        stage.spawned("a");
        // Its end and the sixty seconds come in the same turn.
        stage.at = 124.9;
        stage.exits("a", 1);
        assert_eq!(stage.line("a"), "SPAWNING #4 Starting");
    }

    #[test]
    fn a5_restarts_long_ago_do_not_count_and_a_give_up_is_loud() {
        let rest = r#"{"process":{"command":["x"]},"restart":{"backoff_sec":0,"max_restarts":2,"within_sec":100}}"#;
        let mut stage = Stage::with(&[("a", rest)]);
        for second in [0.0, 90.0, 101.0] {
            stage.at(second);
            stage.spawned("a");
            stage.exits("a", 1);
            assert_eq!(stage.line("a").split(' ').next(), Some("SPAWNING"), "{second}");
        }
        stage.spawned("a");
        let step = stage.exits("a", 1);
        assert_eq!(kinds(&step), ["agent.exited", "agent.gave_up"]);
        assert!(stage.agent("a").restarts.given_up && stage.agent("a").quarantine.is_some());
        let (hb, person) = (Cause::by(&"policy:p".into(), "it matched"), Cause::by(&"operator:ada".into(), "repaired"));
        let now = stage.now();
        assert!(stage.it.start_agent(&"a".into(), &hb, now).is_err());
        assert!(stage.it.restart_agent(&"a".into(), &hb, now).is_err());
        assert_eq!(stage.it.start_agent(&"a".into(), &person, now), Ok(5));
        assert!(stage.agent("a").restarts.recent.is_empty());
    }

    #[test]
    fn a_hundred_deaths_of_one_turn_are_a_hundred_starts_of_one_record() {
        let mut stage = Stage::with(&[]);
        let ids: Vec<String> = (0..100).map(|n| format!("a{n}")).collect();
        for id in &ids {
            stage.ask(super::super::super::input::Command::RegisterAgent(Box::new(spec(
                id,
                r#"{"process":{"command":["x"]}}"#,
            ))));
            stage.spawned(id);
        }
        let now = stage.now();
        for id in &ids {
            let identity = stage.agent(id).process.identity().unwrap().clone();
            let exit = super::super::super::agent::Exit::Signal(9);
            stage.it.handle(super::super::super::Input::Exited { agent: id.as_str().into(), identity, exit }, now);
        }
        let step = stage.take();
        assert_eq!(step.effects.iter().filter(|effect| matches!(effect, Effect::Spawn { .. })).count(), 100);
        assert!(step.record.is_some());
    }
}
