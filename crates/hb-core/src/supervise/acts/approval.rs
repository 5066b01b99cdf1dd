//! Who has to agree, and what became of it. Nobody agrees to what they asked for themselves; what nobody agreed to in time is refused.

use super::super::alert::Severity;
use super::super::event::About;
use super::super::input::Person;
use super::super::intervention::{Act, Decided, Intervention, InterventionStatus as S, PlanStep, StepState};
use super::super::step::{Answer, Refusal, Reply, Why};
use super::super::timers::Timer;
use super::super::{Cause, Supervision};
use super::seconds_ns;
use crate::ids::{InterventionId, SupervisorId};
use crate::time::Now;

impl Supervision {
    /// Waits for a person where one is needed, and begins otherwise.
    pub(super) fn ask_or_begin(&mut self, id: &InterventionId, now: Now) {
        let Some(intervention) = self.state.interventions.get_mut(id) else { return };
        if intervention.approval_reasons.is_empty() {
            self.volatile.room = true;
            return;
        }
        let supervisor = intervention.supervisor.clone();
        let reasons = intervention.approval_reasons.join("; ");
        let patience = self.state.supervisors.get(&supervisor).map_or(300.0, |one| one.config.approval_timeout);
        let patience = seconds_ns(patience);
        if let Some(intervention) = self.state.interventions.get_mut(id) {
            intervention.expires_at = Some(now.wall.plus_ns(i64::try_from(patience).unwrap_or(i64::MAX)));
        }
        self.volatile.timers.set(Timer::Approval(id.clone()), now.moment.plus_ns(patience));
        let about = About::supervisor(&supervisor).and_intervention(id);
        let event =
            self.event("intervention.approval.wanted", Severity::Warning, about, &Cause::own(reasons.clone()), now);
        let title = format!("{id} waits for approval");
        self.tell(
            &format!("approval/{id}/{event}"),
            Severity::Warning,
            (title, reasons),
            (supervisor, Vec::new()),
            now,
        );
    }

    fn pending(&self, id: &InterventionId) -> Result<&Intervention, Refusal> {
        let found = self.state.interventions.get(id);
        let found = found.ok_or_else(|| {
            Refusal::new(Why::NotFound, format!("there is no intervention {id}, or it was over long ago"))
        })?;
        if found.status == S::Pending && !found.approval_reasons.is_empty() {
            return Ok(found);
        }
        Err(Refusal::new(Why::Conflict, format!("{id} is {} and waits for nobody", found.status.as_str())))
    }

    /// A person agrees.
    pub(in super::super) fn approve_intervention(
        &mut self,
        person: &Person,
        id: &InterventionId,
        reason: String,
        now: Now,
    ) -> Reply {
        if self.pending(id)?.requested_by == person.actor {
            return Err(Refusal::new(
                Why::Forbidden,
                format!("{} asked for {id}: somebody else has to agree", person.actor),
            ));
        }
        self.decide(person, id, S::Approved, reason, now);
        self.volatile.room = true;
        Ok(Answer::Made { id: id.to_string(), version: None, notes: Vec::new() })
    }

    /// A person refuses.
    pub(in super::super) fn reject_intervention(
        &mut self,
        person: &Person,
        id: &InterventionId,
        reason: String,
        now: Now,
    ) -> Reply {
        self.pending(id)?;
        self.decide(person, id, S::Rejected, reason, now);
        self.over(id);
        Ok(Answer::Made { id: id.to_string(), version: None, notes: Vec::new() })
    }

    #[expect(clippy::too_many_arguments, reason = "a decision has these parts")]
    fn decide(&mut self, person: &Person, id: &InterventionId, status: S, reason: String, now: Now) {
        self.volatile.timers.clear(&Timer::Approval(id.clone()));
        let Some(intervention) = self.state.interventions.get_mut(id) else { return };
        intervention.status = status;
        intervention.expires_at = None;
        if status == S::Rejected {
            intervention.completed_at = Some(now.wall);
        }
        intervention.decided = Some(Decided { by: person.actor.clone(), at: now.wall, reason: reason.clone() });
        let about = About::supervisor(&intervention.supervisor).and_intervention(id);
        let kind = if status == S::Rejected { "intervention.rejected" } else { "intervention.approved" };
        self.event(kind, Severity::Info, about, &Cause::by(&person.actor, reason), now);
    }

    /// Nobody agreed in time.
    pub(super) fn approval_expired(&mut self, id: &InterventionId, now: Now) {
        if self.pending(id).is_err() {
            return;
        }
        let nobody = Person { actor: "hb".into(), role: super::super::input::Role::Admin };
        self.decide(&nobody, id, S::Rejected, "nobody agreed in time".into(), now);
        self.over(id);
    }

    /// A supervisor is over: what its policies asked for, and was not begun, is refused.
    pub(in super::super) fn refuse_waiting(&mut self, supervisor: &SupervisorId, now: Now) {
        let waits = |id: &&InterventionId| {
            self.state.interventions.get(id).is_some_and(|one| {
                one.supervisor == *supervisor && one.policy.is_some() && matches!(one.status, S::Pending | S::Approved)
            })
        };
        let waiting: Vec<InterventionId> = self.volatile.open_interventions.iter().filter(waits).cloned().collect();
        let nobody = Person { actor: "hb".into(), role: super::super::input::Role::Admin };
        for id in waiting {
            self.decide(&nobody, &id, S::Rejected, "its supervisor is over".into(), now);
            self.over(&id);
        }
    }

    /// A person says what an intervention in doubt came to.
    pub(in super::super) fn settle_intervention(
        &mut self,
        person: &Person,
        id: &InterventionId,
        (done, reason): (bool, String),
        now: Now,
    ) -> Reply {
        let known = self.state.interventions.get(id).map(|one| one.status);
        if known != Some(S::InDoubt) {
            let what = known.map_or_else(
                || format!("there is no intervention {id}"),
                |status| format!("{id} is {}, not in doubt", status.as_str()),
            );
            return Err(Refusal::new(if known.is_some() { Why::Conflict } else { Why::NotFound }, what));
        }
        let mut agents = Vec::new();
        if let Some(intervention) = self.state.interventions.get_mut(id) {
            intervention.status = S::Executing;
            for step in intervention.plan.iter_mut().filter(|step| step.state == StepState::InDoubt) {
                step.state = if done { StepState::Done } else { StepState::Failed };
                step.said = format!("{}: {reason}", person.actor);
                agents.push(step.act.agent().clone());
            }
        }
        self.volatile.doubtful.remove(id);
        self.volatile.executing.insert(id.clone());
        self.must_end(id, now);
        let about = About { intervention: Some(id.clone()), ..About::default() };
        self.event("intervention.settled", Severity::Info, about, &Cause::by(&person.actor, reason), now);
        for agent in agents {
            self.relieved(&agent, super::super::alert::Concern::InDoubt, now);
        }
        self.advance(id, now);
        Ok(Answer::Made { id: id.to_string(), version: None, notes: Vec::new() })
    }

    /// Undoes what can be undone of one that is over.
    pub(in super::super) fn roll_back(
        &mut self,
        person: &Person,
        id: &InterventionId,
        reason: String,
        now: Now,
    ) -> Reply {
        let found = self.state.interventions.get(id);
        let found = found.ok_or_else(|| {
            Refusal::new(Why::NotFound, format!("there is no intervention {id}, or it was over long ago"))
        })?;
        if !matches!(found.status, S::Completed | S::Failed) {
            return Err(Refusal::new(
                Why::Conflict,
                format!("{id} is {}; only what is over can be undone", found.status.as_str()),
            ));
        }
        let undo = undo_steps(&found.plan);
        if undo.is_empty() {
            return Err(Refusal::new(Why::Conflict, format!("nothing that {id} did can be undone")));
        }
        self.begin_undo(id, undo, &Cause::by(&person.actor, reason), now);
        Ok(Answer::Made { id: id.to_string(), version: None, notes: Vec::new() })
    }

    /// Appends the undoing to the plan and goes on with it.
    pub(super) fn begin_undo(&mut self, id: &InterventionId, undo: Vec<Act>, cause: &Cause, now: Now) {
        let Some(intervention) = self.state.interventions.get_mut(id) else { return };
        intervention.status = S::Executing;
        intervention.rolling_back = true;
        for step in intervention.plan.iter_mut().filter(|step| step.state == StepState::Waiting) {
            step.state = StepState::Skipped;
        }
        intervention.plan.extend(undo.into_iter().map(PlanStep::undoing));
        let about = About::supervisor(&intervention.supervisor).and_intervention(id);
        self.volatile.executing.insert(id.clone());
        self.volatile.open_interventions.insert(id.clone());
        self.volatile.over_interventions.retain(|one| one != id);
        self.must_end(id, now);
        self.event("intervention.rollback.begun", Severity::Warning, about, cause, now);
        self.advance(id, now);
    }
}

/// What undoes the steps that were done, the newest first; what has been undone already is not undone again.
pub(super) fn undo_steps(plan: &[PlanStep]) -> Vec<Act> {
    let undone = |act: &Act| plan.iter().any(|step| step.undoes && step.state == StepState::Done && step.act == *act);
    let done = plan.iter().rev().filter(|step| step.state == StepState::Done);
    done.filter_map(|step| step.undo.clone()).filter(|act| !undone(act)).collect()
}
