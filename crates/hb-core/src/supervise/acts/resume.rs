//! What was begun before a crash: completed by looking at the world, called again where that is safe, or parked as in doubt (S4).

use super::super::alert::{AlertGroup, Concern, Severity};
use super::super::event::About;
use super::super::intervention::{Act, InterventionStatus as S, StepState};
use super::super::spec::Control;
use super::super::timers::Timer;
use super::super::{Cause, Supervision};
use super::plan::came_to;
use super::{Settled, seconds_ns};
use crate::ids::InterventionId;
use crate::time::{Now, Stamp};

/// What is left of a wait until `at`, never longer than the whole of it: the clock may have been stepped meanwhile.
pub(crate) fn rest_ns(at: Stamp, whole_ns: u64, now: Now) -> u64 {
    u64::try_from(at.since_ns(now.wall)).unwrap_or(0).min(whole_ns)
}

impl Supervision {
    /// A reign begins: what was begun is looked at, windows and deadlines go on.
    pub(in super::super) fn resume_acts(&mut self, now: Now) {
        self.resume_notifications();
        self.resume_groups(now);
        self.resume_interventions(now);
        self.resume_upkeep(now);
    }

    fn resume_groups(&mut self, now: Now) {
        let groups: Vec<AlertGroup> = self.state.groups.values().cloned().collect();
        let mut closed: Vec<&AlertGroup> = groups.iter().filter(|group| group.resolved_at.is_some()).collect();
        closed.sort_by_key(|group| group.resolved_at);
        self.volatile.closed_groups = closed.into_iter().map(|group| group.id.clone()).collect();
        for group in groups.into_iter().filter(|group| group.resolved_at.is_none()) {
            let config =
                self.state.supervisors.get(&group.supervisor).map(|one| one.config.clone()).unwrap_or_default();
            let window = seconds_ns(config.alert_correlation_window);
            let end = group.last_alert_at.plus_ns(i64::try_from(window).unwrap_or(i64::MAX));
            self.volatile.timers.set(Timer::Group(group.id.clone()), now.moment.plus_ns(rest_ns(end, window, now)));
            if !group.evaluated {
                // It was gathering when the process ended: it is told now (A7: once).
                self.volatile.timers.set(Timer::Mass(group.supervisor.clone()), now.moment);
            }
            if group.unlooked {
                self.volatile.unlooked.insert(group.id.clone());
            }
            if group.concern == Concern::Mass {
                // Who is well already says so again, or has been deleted: then the window closes it.
                self.volatile.unwell.insert(group.id.clone(), group.affected_agents);
            }
            self.volatile.groups.insert((group.supervisor, group.group_key), group.id);
        }
    }

    fn resume_interventions(&mut self, now: Now) {
        let all: Vec<(InterventionId, S)> =
            self.state.interventions.values().map(|one| (one.id.clone(), one.status)).collect();
        let mut over: Vec<(Option<Stamp>, InterventionId)> = Vec::new();
        for (id, status) in all {
            match status {
                S::Rejected | S::Completed | S::Failed | S::RolledBack => {
                    over.push((self.state.interventions.get(&id).and_then(|one| one.completed_at), id));
                }
                S::Pending | S::Approved => self.resume_waiting(&id, now),
                S::InDoubt => self.resume_doubtful(&id, now),
                S::Executing => self.resume_executing(&id, now),
            }
        }
        over.sort();
        self.volatile.over_interventions = over.into_iter().map(|(_, id)| id).collect();
        self.volatile.room = true;
    }

    /// A person decides about it; its other steps go on meanwhile.
    fn resume_doubtful(&mut self, id: &InterventionId, now: Now) {
        self.volatile.open_interventions.insert(id.clone());
        self.volatile.doubtful.insert(id.clone());
        self.resume_steps(id, now);
    }

    fn resume_waiting(&mut self, id: &InterventionId, now: Now) {
        self.volatile.open_interventions.insert(id.clone());
        let Some(one) = self.state.interventions.get(id) else { return };
        if let Some(expires) = one.expires_at {
            let config = self.state.supervisors.get(&one.supervisor).map(|one| one.config.clone()).unwrap_or_default();
            let rest = rest_ns(expires, seconds_ns(config.approval_timeout), now);
            self.volatile.timers.set(Timer::Approval(id.clone()), now.moment.plus_ns(rest));
        }
    }

    fn resume_executing(&mut self, id: &InterventionId, now: Now) {
        self.volatile.open_interventions.insert(id.clone());
        self.volatile.executing.insert(id.clone());
        let Some(one) = self.state.interventions.get(id).cloned() else { return };
        let config = self.state.supervisors.get(&one.supervisor).map(|one| one.config.clone()).unwrap_or_default();
        let waits = one.stagger_ns.saturating_mul(u64::try_from(one.plan.len()).unwrap_or(u64::MAX));
        let whole = seconds_ns(config.intervention_timeout).saturating_add(waits);
        let rest = one.deadline.map_or(whole, |at| rest_ns(at, whole, now));
        self.volatile.timers.set(Timer::Deadline(id.clone()), now.moment.plus_ns(rest));
        let about = About::supervisor(&one.supervisor).and_intervention(id);
        self.event(
            "intervention.resumed",
            Severity::Warning,
            about,
            &Cause::own("it was under way when the process before ended"),
            now,
        );
        self.resume_steps(id, now);
        self.advance(id, now);
    }

    /// Looks at what became of the steps that were begun.
    fn resume_steps(&mut self, id: &InterventionId, now: Now) {
        let Some(one) = self.state.interventions.get(id).cloned() else { return };
        if let Some(begun) = one.plan.iter().filter_map(|step| step.begun_at).max() {
            let end = begun.plus_ns(i64::try_from(one.stagger_ns).unwrap_or(i64::MAX));
            let from = now.moment.plus_ns(rest_ns(end, one.stagger_ns, now));
            self.volatile.next_step.insert(id.clone(), from);
        }
        for (index, step) in one.plan.iter().enumerate().filter(|(_, step)| step.state == StepState::Begun) {
            match &step.act {
                Act::Call { agent, verb } => self.resume_call(id, index, (agent, verb)),
                act @ (Act::Restart(_)
                | Act::Quarantine(_)
                | Act::Start(_)
                | Act::Stop(_)
                | Act::Release(_)
                | Act::Delete(_)) => {
                    // The agents' room goes on with what it was asked; what has come about already is seen here.
                    let Some(agent) = self.state.agents.get(act.agent()) else {
                        self.step_ended(id, index, StepState::Done, "the agent is gone".into());
                        continue;
                    };
                    let recovering = self.volatile.recovering.contains(act.agent());
                    let settled = (!recovering && agent.lifecycle.is_up()).then_some(Settled::Up(agent.incarnation));
                    if let Some((state, said)) = settled.and_then(|settled| came_to(act, step.incarnation, &settled)) {
                        self.step_ended(id, index, state, said);
                    }
                }
            }
        }
    }

    /// A call whose end is lost is made again only where that is declared to be safe.
    fn resume_call(&mut self, id: &InterventionId, index: usize, (agent, verb): (&crate::ids::AgentId, &str)) {
        let again = matches!(
            self.control(agent),
            Some(Control::Command { idempotent: true, .. } | Control::Webhook { idempotent: true, .. })
        );
        if again {
            if let Err(why) = self.call_control(id, index, agent, verb.to_owned()) {
                self.step_ended(id, index, StepState::InDoubt, why);
            }
        } else {
            let said = "hb ended while it was called, and its control is not declared idempotent".to_owned();
            self.step_ended(id, index, StepState::InDoubt, said);
        }
    }
}
