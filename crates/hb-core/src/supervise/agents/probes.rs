//! Does a service answer? Questions at their times, and what a row of answers makes of it.
//!
//! **Invariants.** Of one agent at most one question is under way. A verdict needs `up_after` good or `down_after` bad answers in a row; answers that
//! change nothing are not recorded.

use super::super::acts::{Settled, seconds_ns};
use super::super::agent::{Lifecycle, Probes};
use super::super::alert::Concern;
use super::super::spec::{Kind, ProbeSpec};
use super::super::step::Effect;
use super::super::timers::AgentTimer;
use super::super::{Cause, Supervision};
use super::kinds;
use super::spans::{fraction, share_ns};
use crate::ids::AgentId;
use crate::time::Now;

/// The first question of an agent is asked within this many nanoseconds, and within its own period.
const FIRST_WITHIN_NS: u64 = 1_000_000_000;

/// What a question came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// As it should be.
    Good,
    /// Not, or not in time.
    Bad,
}

impl Supervision {
    /// A new incarnation is asked soon, and from its second question on at its own place within the period, so that a fleet is not asked at once.
    pub(super) fn probe_soon(&mut self, id: &AgentId, now: Now) {
        let Some(spec) = self.probe_spec(id) else { return };
        let within = every_ns(&spec).min(FIRST_WITHIN_NS);
        self.arm(id, AgentTimer::Probe, now.moment.plus_ns(share_ns(within, fraction(id, 0))));
    }

    /// An agent that was asked before a crash or a pause is asked again at its place within the period.
    pub(super) fn probe_on(&mut self, id: &AgentId, now: Now) {
        let Some(spec) = self.probe_spec(id) else { return };
        self.arm(id, AgentTimer::Probe, now.moment.plus_ns(share_ns(every_ns(&spec), fraction(id, 1))));
    }

    /// Its next question is due.
    pub(super) fn probe_due(&mut self, id: &AgentId, now: Now) {
        let (Some(spec), Some(agent)) = (self.probe_spec(id), self.state.agents.get(id)) else { return };
        if !is_asked(agent.lifecycle) || !self.is_monitored(agent) {
            return;
        }
        let first = agent.probes == Probes::default();
        let share = if first { 0.5 + fraction(id, 1) / 2.0 } else { 1.0 };
        self.arm(id, AgentTimer::Probe, now.moment.plus_ns(share_ns(every_ns(&spec), share)));
        if self.volatile.asked.insert(id.clone()) {
            let timeout_ns = seconds_ns(spec.timeout_sec);
            self.effect(Effect::Probe { agent: id.clone(), check: spec.check, timeout_ns });
        }
    }

    /// An answer came.
    pub(super) fn probed(&mut self, id: &AgentId, answer: Answered, said: &str, now: Now) {
        self.volatile.asked.remove(id);
        let (Some(spec), Some(agent)) = (self.probe_spec(id), self.state.agents.get(id)) else { return };
        if !is_asked(agent.lifecycle) || !self.is_monitored(agent) {
            return;
        }
        let (before, needed) = match answer {
            Answered::Good => (Some(true), spec.up_after),
            Answered::Bad => (Some(false), spec.down_after),
        };
        let old = &agent.probes;
        let alike = old.streak > 0 && old.last_was(answer);
        let streak = if alike { old.streak.saturating_add(1) } else { 1 }.min(needed.max(1));
        let verdict = if streak >= needed.max(1) { before } else { old.up };
        if alike && streak == old.streak && verdict == old.up {
            return;
        }
        let changed = verdict != old.up;
        if let Some(agent) = self.state.agents.get_mut(id) {
            let good = answer == Answered::Good;
            agent.probes = Probes { up: verdict, streak, good, said: said.chars().take(200).collect() };
        }
        if changed {
            match answer {
                Answered::Good => self.probe_up(id, said, now),
                Answered::Bad => self.probe_down(id, said, now),
            }
        }
    }

    fn probe_up(&mut self, id: &AgentId, said: &str, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if agent.lifecycle == Lifecycle::Failed {
            let probes = agent.probes.clone();
            self.come_back(id, "answers again", now);
            if let Some(agent) = self.state.agents.get_mut(id) {
                agent.probes = probes;
            }
            self.tell_of(id, kinds::PROBE_UP, &Cause::own(format!("answers: {said}")), now);
            self.relieve(id, Concern::Down);
            self.probe_on(id, now);
        }
        if self.state.agents.get(id).is_some_and(|agent| agent.lifecycle == Lifecycle::Spawning) {
            self.up(id, &Cause::own(format!("is up: {said}")), now);
        }
    }

    fn probe_down(&mut self, id: &AgentId, said: &str, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let (was, streak) = (agent.lifecycle, agent.probes.streak);
        if was == Lifecycle::Failed {
            return;
        }
        self.disarm(id, AgentTimer::Sustained);
        self.move_to(id, Lifecycle::Failed, now);
        let cause = Cause::own(format!("is down: {said} ({streak} bad answers in a row)"));
        self.tell_of(id, kinds::PROBE_DOWN, &cause, now);
        if was == Lifecycle::Spawning {
            self.settle(id, Settled::Failed(cause.why));
        }
    }

    fn probe_spec(&self, id: &AgentId) -> Option<ProbeSpec> {
        match self.state.agents.get(id)?.spec.kind() {
            Kind::Probe(spec) => Some(spec.clone()),
            Kind::Process(_) | Kind::Heartbeat(_) => None,
        }
    }
}

fn every_ns(spec: &ProbeSpec) -> u64 {
    seconds_ns(spec.every_sec).max(1_000_000)
}

fn is_asked(lifecycle: Lifecycle) -> bool {
    lifecycle.is_up() || matches!(lifecycle, Lifecycle::Spawning | Lifecycle::Failed)
}

impl Probes {
    fn last_was(&self, answer: Answered) -> bool {
        self.good == (answer == Answered::Good)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Input;
    use super::super::stage::{Stage, kinds};
    use super::Answered::{self, Bad, Good};

    const API: &str = r#"{"probe":{"check":{"tcp":"h:1"},"every_sec":10,"up_after":2,"down_after":3}}"#;

    fn answer(stage: &mut Stage, answer: Answered) -> Vec<String> {
        kinds(&stage.say(Input::Probed { agent: "api".into(), good: answer == Good, said: "said".into() }))
    }

    #[test]
    fn one_question_is_under_way_at_most() {
        let mut stage = Stage::with(&[("api", API)]);
        assert_eq!(stage.at(1.0).effects.len(), 1);
        assert!(stage.at(11.0).effects.is_empty() && stage.at(21.0).effects.is_empty());
        answer(&mut stage, Good);
        assert_eq!(stage.at(31.1).effects.len(), 1);
    }

    #[test]
    fn a_verdict_needs_answers_in_a_row_and_more_of_the_same_is_not_recorded() {
        let mut stage = Stage::with(&[("api", API)]);
        assert!(answer(&mut stage, Good).is_empty());
        assert_eq!(answer(&mut stage, Good), ["agent.ready"]);
        assert!(stage.say(Input::Probed { agent: "api".into(), good: true, said: "said".into() }).record.is_none());
        for one in [Bad, Bad, Good, Bad, Bad] {
            assert!(answer(&mut stage, one).is_empty());
        }
        assert_eq!(answer(&mut stage, Bad), ["agent.probe.down"]);
        assert!(answer(&mut stage, Good).is_empty());
        assert_eq!(answer(&mut stage, Good), ["agent.came.back", "agent.probe.up", "agent.ready"]);
        assert_eq!(stage.line("api"), "RUNNING #2 Absent");
    }

    #[test]
    fn a_fleet_is_not_asked_at_once() {
        let ids: Vec<String> = (0..100).map(|n| format!("api-{n}")).collect();
        let agents: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), API)).collect();
        let mut stage = Stage::with(&agents);
        let first = stage.at(0.5).effects.len();
        assert!((25..75).contains(&first), "{first}");
        assert_eq!(first + stage.at(1.0).effects.len(), 100);
    }
}
