//! Is an agent heard of? Beats with their sequence, the ladder of missed ones, and the watchdog.
//!
//! A beat is good for its TTL. Each TTL that passes without one is one miss: the first is told, `degraded_after` make it DEGRADED,
//! `unresponsive_after` FAILED. The deadline is the newest beat or the beginning of our own work, whichever is later, plus the TTL (S6).
//!
//! **Invariants.** What a beat changes is in memory until the next record of its agent or [`Supervision::write_beats`] (ADR 0009); that a beat was
//! missed, and that it came again, is recorded at once.

use super::super::acts::seconds_ns;
use super::super::agent::{Agent, Lifecycle, Next, Process};
use super::super::alert::Concern;
use super::super::input::Beat;
use super::super::spec::{AgentRole, AgentSpec, BeatRule, Kind, Wanted};
use super::super::step::{Answer, Refusal, Reply, Why};
use super::super::timers::AgentTimer;
use super::super::{Cause, Supervision};
use super::kinds;
use super::spans::in_words;
use crate::ids::AgentId;
use crate::time::{Moment, Now};

impl Supervision {
    /// A beat came.
    pub(super) fn beat(&mut self, beat: &Beat, now: Now) -> Reply {
        let id = &beat.agent;
        let Some(lifecycle) = self.state.agents.get(id).map(|agent| agent.lifecycle) else {
            let message = format!("there is no agent {id}; register it first");
            return Err(Refusal::new(Why::NotFound, message).field("agent_id", "the name of a registered agent"));
        };
        let mut notes = Vec::new();
        let (metrics, moment) = (beat.metrics.clone(), now.moment);
        // What it says decides whether a new incarnation begins, to which its sequence then belongs.
        if !lifecycle.is_up() {
            notes.extend(self.revive(id, now));
        }
        notes.extend(self.count_beat(beat, now));
        self.volatile.metrics.insert(id.clone(), metrics);
        self.volatile.heard.insert(id.clone(), moment);
        notes.extend(self.take_status(beat, now));
        self.await_beat(id, now);
        let message = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(Answer::Beat { agent_id: id.clone(), sequence_number: beat.sequence, received: true, message })
    }

    /// Its sequence: gaps and repetitions are told, but for the first beat since the opening, which says where it stands.
    fn count_beat(&mut self, beat: &Beat, now: Now) -> Option<String> {
        let known = !self.volatile.counted.insert(beat.agent.clone());
        self.volatile.unwritten_beats.insert(beat.agent.clone());
        let agent = self.state.agents.get_unrecorded(&beat.agent)?;
        let beats = &mut agent.beats;
        beats.received = beats.received.saturating_add(1);
        beats.last = Some(now.wall);
        beats.task.clone_from(&beat.task);
        let last = beats.sequence.replace(beat.sequence)?;
        if !known {
            return None;
        }
        if beat.sequence > last {
            let missing = beat.sequence.saturating_sub(last).saturating_sub(1);
            beats.gaps = beats.gaps.saturating_add(missing);
            let (from, to) = (last.saturating_add(1), beat.sequence.saturating_sub(1));
            return match missing {
                0 => None,
                1 => Some(format!("missing {from}")),
                _ => Some(format!("missing {from} to {to}")),
            };
        }
        if beat.sequence <= 1 && beat.sequence < last {
            return Some(format!("the sequence begins anew after {last}"));
        }
        beats.sequence = Some(last);
        beats.duplicates = beats.duplicates.saturating_add(1);
        Some(format!("{} is not newer than {last}, which was received before", beat.sequence))
    }

    /// A remote agent that had failed is heard of again: another incarnation begins by itself.
    fn revive(&mut self, id: &AgentId, now: Now) -> Option<String> {
        let agent = self.state.agents.get(id)?;
        match agent.lifecycle {
            Lifecycle::Failed if agent.wanted == Wanted::Up && is_remote(agent) => {
                self.come_back(id, "beats again", now);
                Some("it had failed: a new incarnation begins".to_owned())
            }
            Lifecycle::Failed => Some("it has failed and is being stopped".to_owned()),
            Lifecycle::Quarantined => Some("it is quarantined: this changes nothing".to_owned()),
            Lifecycle::Terminated => Some("it is not wanted: this changes nothing".to_owned()),
            Lifecycle::Spawning if agent.incarnation == 0 && agent.wanted == Wanted::Up && is_remote(agent) => {
                // It was to wait for others, and is there.
                self.next_incarnation(id, now);
                None
            }
            Lifecycle::Spawning | Lifecycle::Idle | Lifecycle::Running | Lifecycle::Degraded => None,
        }
    }

    /// An agent that hb cannot start is there again.
    pub(super) fn come_back(&mut self, id: &AgentId, how: &str, now: Now) {
        self.next_incarnation(id, now);
        self.tell_of(id, kinds::CAME_BACK, &Cause::own(format!("came back by itself: it {how}")), now);
    }

    /// What a beat makes of the lifecycle.
    fn take_status(&mut self, beat: &Beat, now: Now) -> Option<String> {
        let id = &beat.agent;
        let agent = self.state.agents.get(id)?;
        let says_what_is = beat.status.is_none_or(|status| status == agent.lifecycle);
        if agent.lifecycle.is_up() && agent.beats.missed == 0 && says_what_is {
            return None;
        }
        if agent.lifecycle == Lifecycle::Spawning {
            let there = match agent.spec.kind() {
                Kind::Heartbeat(_) => agent.wanted == Wanted::Up,
                Kind::Process(spec) => {
                    matches!(agent.process, Process::Alive { .. }) && spec.ready.by == super::super::spec::ReadyBy::Beat
                }
                Kind::Probe(_) => false,
            };
            if !there {
                return None;
            }
            self.relieve(id, Concern::Silent);
            self.up(id, &Cause::own("is up: it beats"), now);
        }
        self.heal(id, now);
        match beat.status {
            None => None,
            Some(status @ (Lifecycle::Idle | Lifecycle::Running | Lifecycle::Degraded)) => {
                self.claims(id, status, now);
                None
            }
            Some(status) => Some(format!("{} is not for an agent to say; it was not taken over", status.as_str())),
        }
    }

    /// A beat came after some had been missed.
    fn heal(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let missed = agent.beats.missed;
        if missed == 0 || !agent.lifecycle.is_up() {
            return;
        }
        if let Some(agent) = self.state.agents.get_mut(id) {
            agent.beats.missed = 0;
        }
        if self.state.agents.get(id).is_some_and(|agent| agent.lifecycle == Lifecycle::Degraded) {
            self.move_to(id, Lifecycle::Idle, now);
        }
        self.tell_of(id, kinds::BEAT_RESUMED, &Cause::own(format!("beats again after {missed} missed")), now);
        self.relieve(id, Concern::Silent);
    }

    /// It says of itself what it is.
    fn claims(&mut self, id: &AgentId, status: Lifecycle, now: Now) {
        let Some(from) = self.state.agents.get(id).map(|agent| agent.lifecycle) else { return };
        if !from.is_up() || from == status {
            return;
        }
        if !from.may_move(status) {
            self.move_to(id, Lifecycle::Idle, now);
        }
        self.move_to(id, status, now);
        let kind = if status == Lifecycle::Degraded { kinds::UNWELL } else { kinds::STATUS };
        self.tell_of(id, kind, &Cause::own(format!("its beat says {}", status.as_str())), now);
    }

    /// The first beat of a remote agent is awaited.
    pub(super) fn await_first_beat(&mut self, id: &AgentId, now: Now) {
        let Some(rule) = self.state.agents.get(id).and_then(|agent| beat_rule(&agent.spec)) else { return };
        self.arm(id, AgentTimer::Ready, now.moment.plus_ns(seconds_ns(rule.first_within_sec)));
    }

    /// The next beat is awaited, counted from the newest that was heard or from now.
    pub(super) fn await_beat(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let Some(rule) = beat_rule(&agent.spec) else { return };
        if !self.is_listened_to(agent) {
            return self.disarm(id, AgentTimer::Beat);
        }
        let mut ttl = ttl_ns(agent, &rule);
        if agent.beats.sequence.is_none() {
            ttl = ttl.max(seconds_ns(rule.first_within_sec));
        }
        self.arm(id, AgentTimer::Beat, now.moment.plus_ns(ttl));
    }

    /// A TTL has passed without a beat.
    pub(super) fn beat_due(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let Some(rule) = beat_rule(&agent.spec) else { return };
        if !self.is_listened_to(agent) {
            return;
        }
        let (ttl, lifecycle) = (ttl_ns(agent, &rule), agent.lifecycle);
        let silent = now.moment.since_ns(self.listened_since(id));
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        agent.beats.missed = agent.beats.missed.saturating_add(1);
        let missed = agent.beats.missed;
        let cause = Cause::own(format!(
            "no beat for {}: {missed} missed in a row, each good for {}",
            in_words(silent),
            in_words(ttl)
        ));
        if missed >= rule.unresponsive_after {
            return self.unresponsive(id, &cause, now);
        }
        self.arm(id, AgentTimer::Beat, now.moment.plus_ns(ttl));
        if missed >= rule.degraded_after && lifecycle != Lifecycle::Degraded {
            self.move_to(id, Lifecycle::Degraded, now);
            self.tell_of(id, kinds::DEGRADED, &cause, now);
        } else {
            self.tell_of(id, kinds::BEAT_MISSED, &cause, now);
        }
    }

    /// It counts as hung: failed. A process is stopped, and handled by its restart rule once it has ended.
    fn unresponsive(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        self.disarm(id, AgentTimer::Beat);
        self.disarm(id, AgentTimer::Watchdog);
        self.disarm(id, AgentTimer::Sustained);
        self.move_to(id, Lifecycle::Failed, now);
        self.tell_of(id, kinds::UNRESPONSIVE, cause, now);
        self.stop_process(id, Next::ByRule, cause, now);
    }

    /// Whether silence of it means something: it is up, not being stopped, and monitored.
    fn is_listened_to(&self, agent: &Agent) -> bool {
        agent.lifecycle.is_up()
            && !matches!(agent.process, Process::Stopping { .. })
            && !self.volatile.recovering.contains(agent.id())
            && self.is_monitored(agent)
    }

    fn listened_since(&self, id: &AgentId) -> Moment {
        self.volatile.heard.get(id).copied().unwrap_or(self.volatile.resumed).max(self.volatile.resumed)
    }

    /// `WATCHDOG=1` is awaited, counted from now.
    pub(super) fn await_watchdog(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let every = agent.spec.process.as_ref().and_then(|process| process.watchdog_sec);
        if let Some(every) = every
            && self.is_listened_to(agent)
        {
            self.arm(id, AgentTimer::Watchdog, now.moment.plus_ns(seconds_ns(every)));
        }
    }

    /// `WATCHDOG=1` came.
    pub(super) fn watchdog_fed(&mut self, id: &AgentId, now: Now) {
        if beat_rule_of(self.state.agents.get(id)).is_none() {
            self.volatile.heard.insert(id.clone(), now.moment);
        }
        self.await_watchdog(id, now);
    }

    /// `WATCHDOG=1` did not come.
    pub(super) fn watchdog_due(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let Some(every) = agent.spec.process.as_ref().and_then(|process| process.watchdog_sec) else { return };
        if self.is_listened_to(agent) {
            let why = format!("WATCHDOG=1 did not come within {}", in_words(seconds_ns(every)));
            self.hung(id, &Cause::own(why), now);
        }
    }

    /// It says itself that it is not well.
    pub(super) fn watchdog_triggered(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id) else { return };
        if self.is_listened_to(agent) {
            self.hung(id, &Cause::own("it says WATCHDOG=trigger"), now);
        }
    }

    fn hung(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        if let Some(agent) = self.state.agents.get_mut(id) {
            // Its health reads `unresponsive` by this.
            agent.beats.missed = agent.beats.missed.max(1);
        }
        self.unresponsive(id, cause, now);
    }

    /// Puts beats that are only in memory into the state.
    pub(in crate::supervise) fn write_beats(&mut self) {
        for id in std::mem::take(&mut self.volatile.unwritten_beats) {
            // Whoever takes it for writing marks it to be recorded as it stands.
            self.state.agents.get_mut(&id);
        }
    }
}

/// The rule for its beats; none for those that need not beat.
pub(super) fn beat_rule(spec: &AgentSpec) -> Option<BeatRule> {
    match spec.kind() {
        Kind::Heartbeat(_) => Some(spec.beats.clone().unwrap_or_default()),
        Kind::Process(_) | Kind::Probe(_) => spec.beats.clone(),
    }
}

fn beat_rule_of(agent: Option<&Agent>) -> Option<BeatRule> {
    agent.and_then(|agent| beat_rule(&agent.spec))
}

/// For how long one beat is good.
fn ttl_ns(agent: &Agent, rule: &BeatRule) -> u64 {
    let running = agent.lifecycle == Lifecycle::Running;
    let of_role = match agent.spec.role {
        AgentRole::Guardian => 60.0,
        AgentRole::Monitor | AgentRole::Watchdog => 15.0,
        AgentRole::Worker if running => 15.0,
        AgentRole::Worker => 30.0,
    };
    let own = if running { rule.running_ttl_sec } else { rule.idle_ttl_sec };
    // A TTL of nothing would be missed again and again within one turn.
    seconds_ns(own.unwrap_or(of_role)).max(1_000_000)
}

/// Whether hb cannot start it itself.
fn is_remote(agent: &Agent) -> bool {
    matches!(agent.spec.kind(), Kind::Heartbeat(_)) && agent.process == Process::Absent
}

#[cfg(test)]
mod tests {
    use super::super::stage::{Stage, kinds, signals, spec};
    use super::*;
    use crate::time::Stamp;

    #[test]
    fn a_beat_is_good_for_as_long_as_role_and_state_say() {
        let ttl = |rest: &str, lifecycle| {
            let mut agent = Agent::new(spec("a", rest).into(), super::super::super::agent::Origin::Dynamic, Stamp(0));
            agent.lifecycle = lifecycle;
            ttl_ns(&agent, &beat_rule(&agent.spec).unwrap()) / 1_000_000_000
        };
        let (idle, running) = (Lifecycle::Idle, Lifecycle::Running);
        assert_eq!((ttl("{}", idle), ttl("{}", running)), (30, 15));
        assert_eq!((ttl(r#"{"type":"monitor"}"#, idle), ttl(r#"{"type":"watchdog"}"#, idle)), (15, 15));
        assert_eq!((ttl(r#"{"type":"guardian"}"#, running), ttl("{}", Lifecycle::Degraded)), (60, 30));
        let own = r#"{"type":"guardian","beats":{"idle_ttl_sec":2.0,"running_ttl_sec":1.0}}"#;
        assert_eq!((ttl(own, idle), ttl(own, running)), (2, 1));
    }

    #[test]
    fn s6_one_miss_for_each_ttl_and_a_beat_heals() {
        let mut stage = Stage::with(&[("far", "{}")]);
        stage.beat("far", 1);
        assert_eq!(kinds(&stage.at(29.9)), Vec::<String>::new());
        assert_eq!(kinds(&stage.at(30.0)), ["agent.beat.missed"]);
        for second in 31..60 {
            assert_eq!(kinds(&stage.at(f64::from(second))), Vec::<String>::new());
        }
        assert_eq!(kinds(&stage.at(60.0)), ["agent.degraded"]);
        stage.beat("far", 2);
        assert_eq!((stage.line("far").as_str(), stage.agent("far").beats.missed), ("IDLE #1 Absent", 0));
        // Nobody was there to listen for an hour: that is one miss, not a hundred.
        assert_eq!(kinds(&stage.at(3_600.0)), ["agent.beat.missed"]);
        assert_eq!(stage.agent("far").beats.missed, 1);
    }

    #[test]
    fn gaps_repetitions_and_new_beginnings_are_told() {
        let mut stage = Stage::with(&[("far", "{}")]);
        assert_eq!(stage.beat("far", 40), None);
        assert_eq!(stage.beat("far", 41), None);
        assert_eq!(stage.beat("far", 43).as_deref(), Some("missing 42"));
        assert_eq!(stage.beat("far", 47).as_deref(), Some("missing 44 to 46"));
        assert!(stage.beat("far", 45).unwrap().contains("not newer than 47"));
        assert!(stage.beat("far", 1).unwrap().contains("begins anew"));
        assert_eq!(stage.beat("far", u64::MAX).as_deref(), Some(&*format!("missing 2 to {}", u64::MAX - 1)));
        let beats = &stage.agent("far").beats;
        assert_eq!((beats.received, beats.duplicates), (7, 1));
        assert_eq!(beats.gaps, u64::MAX, "more than can be counted stay as many");
    }

    #[test]
    fn beats_are_recorded_when_they_change_something_or_are_written() {
        let mut stage = Stage::with(&[("far", "{}")]);
        stage.beat("far", 1);
        let now = stage.now();
        for sequence in 2..9 {
            let beat = Beat { agent: "far".into(), sequence, status: None, task: None, metrics: [].into() };
            stage.it.handle(super::super::super::Input::Beat { ticket: super::super::super::Ticket(1), beat }, now);
        }
        assert!(stage.take().record.is_none());
        stage.it.write_beats();
        let record = stage.take().record.unwrap();
        let written = record.record.body.changes().agents.get(&AgentId::from("far")).unwrap().as_ref().unwrap();
        assert_eq!(written.beats.sequence, Some(8));
        stage.it.write_beats();
        assert!(stage.take().record.is_none());
    }

    #[test]
    fn a_hung_process_is_stopped_once_and_its_last_beats_do_not_save_it() {
        let rest = r#"{"process":{"command":["x"]},"beats":{"idle_ttl_sec":1,"degraded_after":1,"unresponsive_after":2,"first_within_sec":3}}"#;
        let mut stage = Stage::with(&[("a", rest)]);
        stage.spawned("a");
        // The first beat may take its time.
        assert_eq!(kinds(&stage.at(2.9)), Vec::<String>::new());
        assert_eq!(kinds(&stage.at(3.0)), ["agent.degraded"]);
        let step = stage.at(4.0);
        assert_eq!(
            (kinds(&step), signals(&step)),
            (vec!["agent.unresponsive".into(), "agent.stopping".into()], vec!["TERM".into()])
        );
        assert!(stage.beat("a", 1).unwrap().contains("has failed"));
        assert_eq!(stage.line("a"), "FAILED #1 Stopping");
        assert!(signals(&stage.at(13.9)).is_empty());
        assert_eq!(signals(&stage.at(14.0)), ["KILL"]);
    }

    #[test]
    fn what_is_not_for_an_agent_to_say_is_not_taken_over() {
        let mut stage = Stage::with(&[("far", "{}")]);
        stage.beat("far", 1);
        for status in [Lifecycle::Failed, Lifecycle::Quarantined, Lifecycle::Terminated, Lifecycle::Spawning] {
            let beat = Beat { agent: "far".into(), sequence: 2, status: Some(status), task: None, metrics: [].into() };
            let now = stage.now();
            let Ok(Answer::Beat { message, .. }) = stage.it.beat(&beat, now) else { panic!("{status:?}") };
            assert!(message.unwrap().contains("not for an agent to say"));
            assert_eq!(stage.line("far"), "IDLE #1 Absent");
        }
    }
}
