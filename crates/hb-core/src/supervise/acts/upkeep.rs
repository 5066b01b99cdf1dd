//! What happens by the clock: beats of the supervisors, sweeps of their policies, windows and deadlines.

use std::collections::BTreeMap;

use super::super::alert::Severity;
use super::super::event::About;
use super::super::timers::Timer;
use super::super::tree::{SupervisorStatus, WantedLifecycle};
use super::super::{Cause, Supervision};
use super::seconds_ns;
use crate::ids::SupervisorId;
use crate::time::Now;

impl Supervision {
    /// A timer of this room is due.
    pub(in super::super) fn act_due(&mut self, timer: Timer, now: Now) {
        match timer {
            Timer::NextStep(id) => self.advance(&id, now),
            Timer::Deadline(id) => self.deadline_passed(&id, now),
            Timer::Approval(id) => self.approval_expired(&id, now),
            Timer::Group(id) => self.window_passed(&id, now),
            Timer::Beat(id) => self.supervisor_beats(&id, now),
            Timer::Sweep(id) => self.sweep_due(&id, now),
            Timer::Mass(id) => self.mass_due(&id, now),
            Timer::Agent(..) | Timer::Measure => {}
        }
    }

    /// A reign begins: every supervisor that is not over beats and sweeps.
    pub(super) fn resume_upkeep(&mut self, now: Now) {
        let all: Vec<SupervisorId> = self.state.supervisors.keys().cloned().collect();
        for id in all {
            self.tell_absence(&id, now);
            self.keep_up(&id, now);
        }
    }

    /// How long nobody beat for it, which is no agent's fault (S6).
    fn tell_absence(&mut self, id: &SupervisorId, now: Now) {
        let Some(one) = self.state.supervisors.get(id).filter(|one| one.wanted == WantedLifecycle::Active) else {
            return;
        };
        let Some(last) = one.last_heartbeat else { return };
        let seconds =
            std::time::Duration::from_nanos(u64::try_from(now.wall.since_ns(last)).unwrap_or(0)).as_secs_f64();
        let missed = (seconds / one.config.heartbeat_interval.max(0.001)).floor();
        if missed >= 1.0 {
            let why =
                format!("it was not beating for {seconds:.0} s, {missed:.0} beats: hb was not running, or not active");
            let details = BTreeMap::from([("missed_heartbeats".to_owned(), serde_json::json!(missed))]);
            self.event_with(
                "supervisor.health.changed",
                Severity::Warning,
                About::supervisor(id),
                &Cause::own(why),
                details,
                now,
            );
        }
    }

    /// Sets what a supervisor does by the clock; called when it begins, resumes, or is configured.
    pub(in super::super) fn keep_up(&mut self, id: &SupervisorId, now: Now) {
        let (beat, sweep) = (Timer::Beat(id.clone()), Timer::Sweep(id.clone()));
        let Some(one) = self.state.supervisors.get(id).filter(|one| one.wanted != WantedLifecycle::Terminated) else {
            self.volatile.timers.clear(&beat);
            self.volatile.timers.clear(&sweep);
            return;
        };
        let every = seconds_ns(one.config.policy_evaluation_interval);
        // A reign, and a change of its settings, begin with a beat.
        self.volatile.timers.set(beat, now.moment);
        if one.wanted == WantedLifecycle::Active {
            self.volatile.timers.set(sweep, now.moment.plus_ns(every));
        } else {
            self.volatile.timers.clear(&sweep);
        }
    }

    /// Its beat, with which beats of agents become durable that nothing else has written.
    fn supervisor_beats(&mut self, id: &SupervisorId, now: Now) {
        self.write_beats();
        let Some(one) = self.state.supervisors.get_mut(id) else { return };
        one.last_heartbeat = Some(now.wall);
        if one.status == SupervisorStatus::Spawning && one.wanted == WantedLifecycle::Active {
            one.status = SupervisorStatus::Active;
        }
        let every = seconds_ns(one.config.heartbeat_interval);
        self.volatile.timers.set(Timer::Beat(id.clone()), now.moment.plus_ns(every));
    }

    fn sweep_due(&mut self, id: &SupervisorId, now: Now) {
        self.sweep(id, now);
        if let Some(one) = self.state.supervisors.get(id).filter(|one| one.wanted == WantedLifecycle::Active) {
            let every = seconds_ns(one.config.policy_evaluation_interval);
            self.volatile.timers.set(Timer::Sweep(id.clone()), now.moment.plus_ns(every));
        }
    }
}
