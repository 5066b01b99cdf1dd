//! How a plan is carried out, step by step.
//!
//! A step is recorded as begun in the record that also holds what it asks of an agent; so a crash finds both or neither. It is done when the
//! agent *is* as wanted, not when somebody said so. When a step fails the rest is skipped: a plan that goes wrong does not go on to
//! the next member. What an emergency did is undone then.

use std::collections::BTreeSet;

use super::super::agent::{Agent, Next, Process};
use super::super::alert::{Concern, Severity};
use super::super::event::About;
use super::super::input::Called;
use super::super::intervention::{Act, InterventionStatus as S, InterventionType as T, PlanStep, StepState};
use super::super::spec::Wanted;
use super::super::step::Effect;
use super::super::timers::Timer;
use super::super::tree::{SupervisorStatus, WantedLifecycle};
use super::super::{Cause, Supervision};
use super::approval::undo_steps;
use super::{Settled, seconds_ns};
use crate::ids::{AgentId, InterventionId, SupervisorId};
use crate::time::Now;

impl Supervision {
    /// Begins what waits only for its turn, oldest first, as far as there is room.
    pub(in super::super) fn begin_waiting(&mut self, now: Now) {
        if self.volatile.draining.is_some() {
            return;
        }
        let ready = |id: &&InterventionId| {
            self.state.interventions.get(id).is_some_and(|one| match one.status {
                S::Approved => true,
                S::Pending => one.approval_reasons.is_empty(),
                S::Rejected | S::Executing | S::Completed | S::Failed | S::InDoubt | S::RolledBack => false,
            })
        };
        let mut waiting: Vec<InterventionId> = self.volatile.open_interventions.iter().filter(ready).cloned().collect();
        // Of one moment, the smaller number first: `i-9` before `i-10`.
        waiting.sort_by_key(|id| (self.state.interventions.get(id).map(|one| one.created_at), id.as_str().len()));
        let mut full: BTreeSet<SupervisorId> = BTreeSet::new();
        for id in waiting {
            let Some(one) = self.state.interventions.get(&id) else { continue };
            let (supervisor, of_policy) = (one.supervisor.clone(), one.policy.is_some());
            // A supervisor that is paused does not intervene; its policies' interventions wait until it is resumed.
            if full.contains(&supervisor) || of_policy && !self.evaluates(&supervisor) {
                continue;
            }
            if self.has_room(&supervisor) {
                self.begin(&id, &supervisor, now);
            } else {
                full.insert(supervisor);
            }
        }
    }

    fn has_room(&self, supervisor: &SupervisorId) -> bool {
        let mine =
            |id: &&InterventionId| self.state.interventions.get(id).is_some_and(|one| one.supervisor == *supervisor);
        let under_way = self.volatile.executing.iter().filter(mine).count();
        let most = self.state.supervisors.get(supervisor).map_or(1, |one| one.config.max_concurrent_interventions);
        under_way < usize::try_from(most).unwrap_or(usize::MAX)
    }

    fn begin(&mut self, id: &InterventionId, supervisor: &SupervisorId, now: Now) {
        if let Some(one) = self.state.supervisors.get_mut(supervisor) {
            let most = usize::try_from(one.config.max_interventions_per_hour).unwrap_or(usize::MAX);
            // Stamps of a clock that was stepped back since would stay within the hour for longer than that.
            one.begun.iter_mut().for_each(|at| *at = (*at).min(now.wall));
            one.begun.push(now.wall);
            let extra = one.begun.len().saturating_sub(most);
            one.begun.drain(..extra);
        }
        let Some(intervention) = self.state.interventions.get_mut(id) else { return };
        intervention.status = S::Executing;
        intervention.executed_at = Some(now.wall);
        let cause = Cause {
            by: intervention.requested_by.clone(),
            why: intervention.reason.clone(),
            intervention: Some(id.clone()),
        };
        self.must_end(id, now);
        self.volatile.executing.insert(id.clone());
        self.event("intervention.executing", Severity::Info, About::supervisor(supervisor), &cause, now);
        self.advance(id, now);
    }

    /// From now on it has `intervention_timeout` to come to its end, and the waits of a staggered plan beside.
    pub(super) fn must_end(&mut self, id: &InterventionId, now: Now) {
        let Some(one) = self.state.interventions.get_mut(id) else { return };
        let timeout = self.state.supervisors.get(&one.supervisor).map_or(300.0, |one| one.config.intervention_timeout);
        let waits = one.stagger_ns.saturating_mul(u64::try_from(one.plan.len()).unwrap_or(u64::MAX));
        let allowed = seconds_ns(timeout).saturating_add(waits);
        one.deadline = Some(now.wall.plus_ns(i64::try_from(allowed).unwrap_or(i64::MAX)));
        self.volatile.timers.set(Timer::Deadline(id.clone()), now.moment.plus_ns(allowed));
    }

    /// Goes on with a plan as far as it can.
    pub(super) fn advance(&mut self, id: &InterventionId, now: Now) {
        loop {
            let Some(one) = self.state.interventions.get(id).filter(|one| one.status == S::Executing) else { return };
            let states = |wanted: StepState| one.plan.iter().any(|step| step.state == wanted);
            if states(StepState::InDoubt) {
                return self.doubt(id, now);
            }
            let failed = !one.rolling_back && states(StepState::Failed);
            let under_way = states(StepState::Begun);
            let next = one.plan.iter().position(|step| step.state == StepState::Waiting);
            let stagger = one.stagger_ns;
            match next {
                _ if failed && under_way => return,
                _ if failed => return self.failed(id, now),
                None if under_way => return,
                None => return self.complete(id, now),
                // The next reign goes on with it.
                Some(_) if self.volatile.draining.is_some() => return,
                Some(_) if stagger > 0 && under_way => return,
                Some(step) => match self.volatile.next_step.get(id) {
                    Some(from) if *from > now.moment => {
                        return self.volatile.timers.set(Timer::NextStep(id.clone()), *from);
                    }
                    Some(_) | None => self.begin_step(id, step, now),
                },
            }
        }
    }

    fn begin_step(&mut self, id: &InterventionId, index: usize, now: Now) {
        let Some(one) = self.state.interventions.get_mut(id) else { return };
        let cause = Cause { by: one.requested_by.clone(), why: one.reason.clone(), intervention: Some(id.clone()) };
        let several = one.plan.len() > 1;
        let Some(step) = one.plan.get_mut(index) else { return };
        if let Some(why) = needless(&step.act, several, self.state.agents.get(step.act.agent())) {
            step.state = StepState::Skipped;
            step.said = why;
            return;
        }
        step.state = StepState::Begun;
        step.begun_at = Some(now.wall);
        let act = step.act.clone();
        self.volatile.next_step.insert(id.clone(), now.moment.plus_ns(one.stagger_ns));
        let asked = match act {
            Act::Restart(agent) => self.restart_agent(&agent, &cause, now).map(Some),
            Act::Start(agent) => self.start_agent(&agent, &cause, now).map(Some),
            Act::Stop(agent) => self.stop_agent(&agent, Next::Stay, &cause, now).map(|()| None),
            Act::Quarantine(agent) => self.quarantine_agent(&agent, &cause, now).map(|()| None),
            Act::Release(agent) => {
                let released = self.release_agent(&agent, &cause, now);
                if released.is_ok() {
                    self.step_ended(id, index, StepState::Done, "released".into());
                }
                released.map(|()| None)
            }
            Act::Delete(agent) => self.forget_agent(&agent, &cause, now).map(|()| None),
            Act::Call { agent, verb } => self.call_control(id, index, &agent, verb).map(|()| None),
        };
        match asked {
            Ok(incarnation) => {
                if let Some(step) = self.state.interventions.get_mut(id).and_then(|one| one.plan.get_mut(index)) {
                    step.incarnation = incarnation;
                }
            }
            Err(why) => self.step_ended(id, index, StepState::Failed, why),
        }
    }

    pub(super) fn call_control(
        &mut self,
        id: &InterventionId,
        step: usize,
        agent: &AgentId,
        verb: String,
    ) -> Result<(), String> {
        let control = self.control(agent).ok_or_else(|| format!("agent {agent} has no control any more"))?;
        self.volatile.calling.insert((id.clone(), step));
        let key = format!("{}/{id}/{step}", self.stream);
        self.effect(Effect::Call { intervention: id.clone(), step, key, agent: agent.clone(), control, verb });
        Ok(())
    }

    /// A call came to an end.
    pub(in super::super) fn called(&mut self, id: &InterventionId, step: usize, outcome: Called, now: Now) {
        self.volatile.calling.remove(&(id.clone(), step));
        let (state, said) = match outcome {
            Called::Done(said) => (StepState::Done, said),
            Called::Failed(said) => (StepState::Failed, said),
            Called::Unknown(said) => (StepState::InDoubt, said),
        };
        self.step_ended(id, step, state, said);
        self.advance(id, now);
    }

    /// Notes the end of a step that is under way.
    pub(super) fn step_ended(&mut self, id: &InterventionId, index: usize, state: StepState, said: String) {
        let step = self.state.interventions.get_mut(id).and_then(|one| one.plan.get_mut(index));
        if let Some(step) = step.filter(|step| step.state == StepState::Begun) {
            step.state = state;
            step.said = said;
        }
    }

    /// Something that was asked of an agent has come about, or failed.
    pub(in super::super) fn settled(&mut self, agent: &AgentId, settled: &Settled, now: Now) {
        let under_way = self.volatile.executing.iter().chain(&self.volatile.doubtful);
        let concerned: Vec<InterventionId> = under_way.cloned().collect();
        for id in concerned {
            let Some(one) = self.state.interventions.get(&id) else { continue };
            let found = one.plan.iter().position(|step| step.state == StepState::Begun && step.act.agent() == agent);
            let Some((index, step)) = found.and_then(|index| Some((index, one.plan.get(index)?))) else { continue };
            let Some((state, said)) = came_to(&step.act, step.incarnation, settled) else { continue };
            self.step_ended(&id, index, state, said);
            self.advance(&id, now);
        }
    }

    fn complete(&mut self, id: &InterventionId, now: Now) {
        let Some(one) = self.state.interventions.get(id) else { return };
        let undone = one.rolling_back;
        let in_vain = |step: &&PlanStep| step.undoes && step.state == StepState::Failed;
        let in_vain = one.plan.iter().filter(in_vain).map(|step| format!("{}: {}", step.act.agent(), step.said));
        let in_vain: Vec<String> = in_vain.collect();
        let before = one.error_message.clone();
        if one.intervention_type == T::Shutdown && !undone {
            self.over_with(&SupervisorId::from(one.target_id.clone()), now);
        }
        let (status, outcome, error) = match (undone, in_vain.is_empty()) {
            (false, _) => (S::Completed, "success", None),
            (true, true) => (S::RolledBack, "failure", None),
            (true, false) => {
                let error = format!("not undone: {}", in_vain.join("; "));
                let before = before.map_or_else(String::new, |before| format!("{before}; "));
                (S::Failed, "failure", Some(format!("{before}{error}")))
            }
        };
        self.end(id, status, outcome, error, now);
    }

    /// Shutting a supervisor down is over when its agents are stopped.
    fn over_with(&mut self, supervisor: &SupervisorId, now: Now) {
        let Some(one) = self.state.supervisors.get_mut(supervisor) else { return };
        one.wanted = WantedLifecycle::Terminated;
        one.status = SupervisorStatus::Terminated;
        one.updated_at = now.wall;
        self.event(
            "supervisor.stopped",
            Severity::Info,
            About::supervisor(supervisor),
            &Cause::own("it was shut down with its agents"),
            now,
        );
        self.keep_up(supervisor, now);
        self.refuse_waiting(supervisor, now);
    }

    fn failed(&mut self, id: &InterventionId, now: Now) {
        let Some(one) = self.state.interventions.get_mut(id) else { return };
        for step in one.plan.iter_mut().filter(|step| step.state == StepState::Waiting) {
            step.state = StepState::Skipped;
        }
        let bad: Vec<String> = one
            .plan
            .iter()
            .filter(|step| step.state == StepState::Failed)
            .map(|step| format!("{}: {}", step.act.agent(), step.said))
            .collect();
        let some = one.plan.iter().any(|step| step.state == StepState::Done);
        let undo = if one.emergency { undo_steps(&one.plan) } else { Vec::new() };
        let error = bad.join("; ");
        if undo.is_empty() {
            self.end(id, S::Failed, if some { "partial" } else { "failure" }, Some(error), now);
        } else {
            one.error_message = Some(error.clone());
            self.begin_undo(id, undo, &Cause::own(format!("a step of an emergency failed: {error}")), now);
        }
    }

    fn doubt(&mut self, id: &InterventionId, now: Now) {
        let Some(one) = self.state.interventions.get_mut(id) else { return };
        one.status = S::InDoubt;
        let doubtful: Vec<(AgentId, String)> = one
            .plan
            .iter()
            .filter(|step| step.state == StepState::InDoubt)
            .map(|step| (step.act.agent().clone(), step.said.clone()))
            .collect();
        self.no_more_timers(id);
        self.volatile.doubtful.insert(id.clone());
        for (agent, said) in doubtful {
            let why = format!(
                "{id} was begun and its end cannot be learned ({said}); say what it came to: hb intervention settle {id}"
            );
            let cause = Cause { intervention: Some(id.clone()), ..Cause::own(why) };
            self.alert(&agent, Concern::InDoubt, Severity::Critical, &cause, now);
        }
    }

    fn no_more_timers(&mut self, id: &InterventionId) {
        self.volatile.executing.remove(id);
        self.volatile.timers.clear(&Timer::Deadline(id.clone()));
        self.volatile.timers.clear(&Timer::NextStep(id.clone()));
        self.volatile.next_step.remove(id);
    }

    #[expect(clippy::too_many_arguments, reason = "an end has these parts")]
    fn end(&mut self, id: &InterventionId, status: S, outcome: &str, error: Option<String>, now: Now) {
        self.no_more_timers(id);
        let Some(one) = self.state.interventions.get_mut(id) else { return };
        one.status = status;
        one.completed_at = Some(now.wall);
        one.outcome = Some(outcome.to_owned());
        one.error_message = error.or(one.error_message.take());
        let about = About::supervisor(&one.supervisor).and_intervention(id);
        let said = one
            .error_message
            .clone()
            .unwrap_or_else(|| format!("{} of {}", one.intervention_type.as_str(), one.target_id));
        let learns = one.policy.clone();
        let (kind, severity) = match status {
            S::Completed => ("intervention.completed", Severity::Info),
            S::RolledBack => ("intervention.rolled_back", Severity::Warning),
            S::Failed | S::Pending | S::Approved | S::Rejected | S::Executing | S::InDoubt => {
                ("intervention.failed", Severity::Error)
            }
        };
        self.event(kind, severity, about, &Cause::own(said), now);
        self.over(id);
        if let Some((policy, _)) = learns {
            self.learn(&policy, id, outcome, now);
        }
        self.volatile.room = true;
    }

    /// An intervention has taken too long.
    pub(super) fn deadline_passed(&mut self, id: &InterventionId, now: Now) {
        let Some(one) = self.state.interventions.get(id).filter(|one| one.status == S::Executing) else { return };
        let late: Vec<(usize, bool)> = one
            .plan
            .iter()
            .enumerate()
            .filter(|(_, step)| matches!(step.state, StepState::Begun | StepState::Waiting))
            .map(|(index, step)| (index, step.state == StepState::Begun && matches!(step.act, Act::Call { .. })))
            .collect();
        for (index, called) in late {
            let state = if called { StepState::InDoubt } else { StepState::Failed };
            if let Some(step) = self.state.interventions.get_mut(id).and_then(|one| one.plan.get_mut(index)) {
                step.state = state;
                step.said = "not done within intervention_timeout".into();
            }
        }
        self.advance(id, now);
    }
}

/// Why a step of a plan over several agents has nothing to do: one that is not wanted to run is not restarted with its team, nor stopped.
#[expect(clippy::fn_params_excessive_bools, reason = "whether there are others is all that is asked")]
fn needless(act: &Act, several: bool, agent: Option<&Agent>) -> Option<String> {
    let down = agent.is_some_and(|agent| agent.wanted == Wanted::Down && agent.process == Process::Absent);
    (several && down && matches!(act, Act::Restart(_) | Act::Stop(_))).then(|| "it is not wanted to run".into())
}

/// What an agent's settling means for a step about it; `None` when it says nothing about it yet.
pub(super) fn came_to(act: &Act, incarnation: Option<u64>, settled: &Settled) -> Option<(StepState, String)> {
    match (act, settled) {
        (Act::Restart(_) | Act::Start(_), Settled::Up(which)) if incarnation.is_none_or(|wanted| *which >= wanted) => {
            Some((StepState::Done, format!("up in incarnation {which}")))
        }
        (Act::Restart(_) | Act::Start(_), Settled::Down) => {
            Some((StepState::Failed, "it was stopped meanwhile by somebody else".into()))
        }
        (Act::Stop(_) | Act::Quarantine(_) | Act::Delete(_), Settled::Down) => {
            Some((StepState::Done, "stopped".into()))
        }
        (
            Act::Restart(_) | Act::Start(_) | Act::Stop(_) | Act::Quarantine(_) | Act::Delete(_),
            Settled::Failed(why),
        ) => Some((StepState::Failed, why.clone())),
        (
            Act::Restart(_)
            | Act::Start(_)
            | Act::Stop(_)
            | Act::Quarantine(_)
            | Act::Delete(_)
            | Act::Release(_)
            | Act::Call { .. },
            _,
        ) => None,
    }
}
