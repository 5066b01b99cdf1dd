//! What is asked for, on whom, and whether it may be.
//!
//! Whoever asks, a person or a policy, an intervention is one plan with one record. What is under way already is not begun a second time; what is
//! over budget is refused, which is told.

use std::collections::BTreeSet;

use super::super::agent::Origin as MadeBy;
use super::super::alert::Severity;
use super::super::bounds::{ACTIONS_MAX, INTERVENTIONS_OPEN_MAX, INTERVENTIONS_OVER_MAX};
use super::super::desk::supervisors::declared;
use super::super::event::About;
use super::super::input::{NewIntervention, Person, Role};
use super::super::intervention::{
    Act, Intervention, InterventionStatus as S, InterventionType as T, PlanStep, TargetType,
};
use super::super::policy::{ActionKind, ActionSpec};
use super::super::spec::Kind;
use super::super::step::{Refusal, Why};
use super::super::tree::WantedLifecycle;
use super::super::{Cause, Supervision};
use super::evaluate::Matched;
use super::seconds_ns;
use crate::ids::{AgentId, GroupId, InterventionId, PolicyName, SupervisorId, TeamId};
use crate::time::{Now, SECOND_NS};

/// An hour, the span of the budget.
const HOUR_NS: i64 = 3600 * SECOND_NS;

/// What a policy that asks brings along.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    policy: Option<(PolicyName, u32)>,
    evaluation: Option<u64>,
    group: Option<GroupId>,
    dangerous: bool,
}

impl Supervision {
    /// Somebody wants an intervention.
    ///
    /// # Errors
    /// Why not; nothing was changed then.
    pub(in super::super) fn intervene(
        &mut self,
        person: &Person,
        wanted: NewIntervention,
        now: Now,
    ) -> Result<InterventionId, Refusal> {
        self.intervene_for(person, wanted, Origin::default(), now)
    }

    /// A policy matched: does what it says. Gives what was done in words.
    pub(in super::super) fn act_on(
        &mut self,
        action: &ActionSpec,
        matched: &Matched,
        now: Now,
    ) -> (String, Option<InterventionId>) {
        let kind = match self.as_intervention(action, matched) {
            Ok(wanted) => wanted,
            Err(said) => return (self.without_plan(action, matched, said, now), None),
        };
        let person = Person { actor: format!("policy:{}", matched.policy).into(), role: Role::Operator };
        let origin = Origin {
            policy: Some((matched.policy.clone(), matched.version)),
            evaluation: Some(matched.evaluation),
            group: matched.group.clone(),
            dangerous: matches!(action.kind, ActionKind::RestartAll | ActionKind::QuarantineAll),
        };
        let what = kind.intervention_type.as_str();
        match self.intervene_for(&person, kind, origin, now) {
            Ok(id) => (format!("{what} as {id}"), Some(id)),
            Err(refusal) => {
                let cause = Cause::by(&person.actor, format!("{what} was not begun: {}", refusal.message));
                let about = About { agent: matched.agent.clone(), ..About::supervisor(&matched.supervisor) };
                self.event("intervention.refused", Severity::Warning, about, &cause, now);
                (cause.why, None)
            }
        }
    }

    /// The intervention that an action stands for; `Err` for those that are none.
    fn as_intervention(&self, action: &ActionSpec, matched: &Matched) -> Result<NewIntervention, ()> {
        let agent = TargetType::Agent;
        let (intervention_type, target_type) = match action.kind {
            ActionKind::RestartAgent => (T::AgentRestart, agent),
            ActionKind::QuarantineAgent => (T::AgentQuarantine, agent),
            ActionKind::StartAgent => (T::AgentStart, agent),
            ActionKind::StopAgent => (T::AgentStop, agent),
            ActionKind::RestartTeam => (T::TeamRestart, TargetType::Team),
            ActionKind::QuarantineTeam => (T::TeamQuarantine, TargetType::Team),
            ActionKind::RestartAll => (T::TeamRestart, TargetType::Supervisor),
            ActionKind::QuarantineAll => (T::TeamQuarantine, TargetType::Supervisor),
            ActionKind::ReassignTask => (T::TaskReassign, agent),
            ActionKind::OverridePriority => (T::PriorityOverride, agent),
            ActionKind::Notify | ActionKind::Escalate => return Err(()),
        };
        let of_supervisor = target_type == TargetType::Supervisor && action.target.contains("agent");
        Ok(NewIntervention {
            supervisor_id: Some(matched.supervisor.clone()),
            intervention_type,
            target_type,
            target_id: if of_supervisor { matched.supervisor.to_string() } else { action.target.clone() },
            reason: if action.reason.is_empty() {
                format!("policy {} matched", matched.policy)
            } else {
                action.reason.clone()
            },
            action_details: action.parameters.clone(),
            approval_required: action.approval_required,
            stagger_seconds: action.stagger_seconds,
            emergency: false,
            confirm: false,
        })
    }

    /// Telling and handing up need no plan.
    fn without_plan(&mut self, action: &ActionSpec, matched: &Matched, (): (), now: Now) -> String {
        let reason =
            if action.reason.is_empty() { format!("policy {} matched", matched.policy) } else { action.reason.clone() };
        if action.kind == ActionKind::Escalate {
            return self.escalate(&matched.supervisor, matched.group.as_ref(), &reason, now);
        }
        let wanted: BTreeSet<String> =
            if action.sinks.is_empty() { self.volatile.sinks.clone() } else { action.sinks.iter().cloned().collect() };
        let group = matched.group.as_ref().and_then(|id| self.state.groups.get(id));
        let severity = group.map_or(Severity::Warning, |group| group.severity);
        let text = matched
            .agent
            .as_ref()
            .map_or_else(String::new, |agent| format!("about {agent}; evaluation {}", matched.evaluation));
        // Each action that tells has a key of its own.
        let base = format!("policy/{}/{}", matched.policy, matched.evaluation);
        let further = (2..=ACTIONS_MAX).map(|nth| format!("{base}/{nth}"));
        let free = |key: &String| !self.state.notifications.contains(key);
        let key = std::iter::once(base.clone()).chain(further).find(free).unwrap_or(base);
        let agents = matched.agent.iter().cloned().collect();
        self.tell_some(wanted, &key, severity, (reason, text), (matched.supervisor.clone(), agents), now);
        "people were told".into()
    }

    fn intervene_for(
        &mut self,
        person: &Person,
        wanted: NewIntervention,
        origin: Origin,
        now: Now,
    ) -> Result<InterventionId, Refusal> {
        let (supervisor, agents) = self.targets(&wanted)?;
        self.may_be_gone(&wanted)?;
        self.may_intervene(&supervisor, &wanted, &origin, now)?;
        let plan = self.plan(&wanted, &agents)?;
        let approval_reasons = self.approval_reasons(&supervisor, &wanted, &origin, agents.len())?;
        let number = self.state.counters.intervention;
        self.state.counters.intervention = number.saturating_add(1);
        let id = InterventionId::from(format!("i-{number}"));
        let about = About {
            supervisor: Some(supervisor.clone()),
            policy: origin.policy.as_ref().map(|(name, _)| name.clone()),
            ..About::default()
        };
        let about = if let [agent] = agents.as_slice() { About { agent: Some(agent.clone()), ..about } } else { about };
        let cause = Cause::by(
            &person.actor,
            format!("{} of {}: {}", wanted.intervention_type.as_str(), wanted.target_id, wanted.reason),
        );
        let intervention = Intervention {
            id: id.clone(),
            supervisor,
            intervention_type: wanted.intervention_type,
            target_type: wanted.target_type,
            target_id: wanted.target_id,
            reason: wanted.reason,
            requested_by: person.actor.clone(),
            policy: origin.policy,
            evaluation: origin.evaluation,
            group: origin.group,
            action_details: wanted.action_details,
            status: S::Pending,
            approval_reasons,
            decided: None,
            expires_at: None,
            deadline: None,
            plan,
            stagger_ns: seconds_ns(wanted.stagger_seconds.unwrap_or(0.0)),
            emergency: wanted.emergency,
            rolling_back: false,
            created_at: now.wall,
            executed_at: None,
            completed_at: None,
            error_message: None,
            outcome: None,
        };
        self.state.interventions.insert(id.clone(), intervention);
        self.volatile.open_interventions.insert(id.clone());
        self.event("intervention.planned", Severity::Info, about.and_intervention(&id), &cause, now);
        self.ask_or_begin(&id, now);
        Ok(id)
    }

    /// Whose agents they are, and which.
    fn targets(&self, wanted: &NewIntervention) -> Result<(SupervisorId, Vec<AgentId>), Refusal> {
        let missing = |what: &str| {
            Refusal::new(Why::NotFound, format!("there is no {what} {}", wanted.target_id))
                .field("target_id", format!("a known {what}"))
        };
        let mine = |of: Option<SupervisorId>| {
            let found = wanted.supervisor_id.clone().or(of).filter(|id| self.state.supervisors.contains(id));
            found.ok_or_else(|| {
                Refusal::new(Why::NotFound, "there is no such supervisor").field("supervisor_id", "a known supervisor")
            })
        };
        match wanted.target_type {
            TargetType::Agent => {
                let agent = AgentId::from(wanted.target_id.as_str());
                let known = self.state.agents.contains(&agent);
                if !known {
                    return Err(missing("agent"));
                }
                Ok((mine(self.supervisor_of(&agent))?, vec![agent]))
            }
            TargetType::Team => {
                let team =
                    self.state.teams.get(&TeamId::from(wanted.target_id.as_str())).ok_or_else(|| missing("team"))?;
                Ok((mine(Some(team.supervisor.clone()))?, team.open().map(|member| member.agent.clone()).collect()))
            }
            TargetType::Supervisor => {
                let id = SupervisorId::from(wanted.target_id.as_str());
                if !self.state.supervisors.contains(&id) {
                    return Err(missing("supervisor"));
                }
                Ok((id.clone(), self.agents_of(&id)))
            }
            TargetType::Policy => Err(Refusal::new(
                Why::Invalid,
                "a policy is changed by its own commands: deactivate it, or activate another version",
            )
            .field("target_type", "AGENT, TEAM or SUPERVISOR")),
        }
    }

    /// What stands in `hb.yaml` is not deleted, and who has others below is not shut down.
    fn may_be_gone(&self, wanted: &NewIntervention) -> Result<(), Refusal> {
        let target = wanted.target_id.as_str();
        match (wanted.intervention_type, wanted.target_type) {
            (T::Delete, TargetType::Agent) => {
                let agent = self.state.agents.get(&AgentId::from(target));
                let of_file = agent.is_some_and(|agent| agent.origin == MadeBy::Declared);
                if of_file { Err(declared("agent", target)) } else { Ok(()) }
            }
            (T::Shutdown, TargetType::Supervisor) => self.nobody_below(&SupervisorId::from(target)),
            _ => Ok(()),
        }
    }

    /// The agents that a supervisor looks after itself: those of its teams, and for the first root those without a team.
    pub(in super::super) fn agents_of(&self, supervisor: &SupervisorId) -> Vec<AgentId> {
        let teams = self.state.teams.values().filter(|team| team.supervisor == *supervisor);
        let of_teams = teams.flat_map(|team| team.open().map(|member| &member.agent));
        let mut agents: BTreeSet<AgentId> =
            of_teams.filter(|id| self.supervisor_of(id).as_ref() == Some(supervisor)).cloned().collect();
        if self.first_root().as_ref() == Some(supervisor) {
            let alone = self.state.agents.values().filter(|agent| agent.team.is_none());
            agents.extend(alone.map(|agent| agent.id().clone()));
        }
        agents.into_iter().filter(|id| self.state.agents.contains(id)).collect()
    }

    /// Paused supervisors, what is under way, budgets and bounds.
    fn may_intervene(
        &mut self,
        id: &SupervisorId,
        wanted: &NewIntervention,
        origin: &Origin,
        now: Now,
    ) -> Result<(), Refusal> {
        if self.volatile.draining.is_some() {
            return Err(Refusal::new(
                Why::Conflict,
                "hb is ending: nothing is begun any more; ask again once it is back",
            ));
        }
        let Some(supervisor) = self.state.supervisors.get(id) else {
            return Err(Refusal::new(Why::NotFound, format!("there is no supervisor {id}")));
        };
        if origin.policy.is_some() && supervisor.wanted != WantedLifecycle::Active {
            return Err(Refusal::new(
                Why::Conflict,
                format!("supervisor {id} does not intervene while it is {:?}", supervisor.wanted).to_lowercase(),
            ));
        }
        let open = self.volatile.open_interventions.iter().filter_map(|id| self.state.interventions.get(id));
        let (mut mine, mut waiting) = (0_usize, 0_usize);
        for other in open.filter(|other| other.supervisor == *id) {
            mine = mine.saturating_add(1);
            waiting = waiting.saturating_add(usize::from(matches!(other.status, S::Pending | S::Approved)));
            let same = other.intervention_type == wanted.intervention_type && other.target_id == wanted.target_id;
            if same && !other.status.is_over() {
                return Err(Refusal::new(
                    Why::Conflict,
                    format!("{} does the same and is {}", other.id, other.status.as_str()),
                ));
            }
        }
        if mine >= INTERVENTIONS_OPEN_MAX {
            return Err(Refusal::new(
                Why::TooMany,
                format!("{INTERVENTIONS_OPEN_MAX} interventions wait or are under way"),
            ));
        }
        let budget = usize::try_from(supervisor.config.max_interventions_per_hour).unwrap_or(usize::MAX);
        let within = supervisor.begun.iter().filter(|at| now.wall.since_ns(**at) < HOUR_NS).count();
        // What waits for its turn has used up its part already: otherwise all of it would begin within the hour.
        if origin.policy.is_some() && within.saturating_add(waiting) >= budget {
            return Err(Refusal::new(
                Why::TooMany,
                format!("the budget of {budget} interventions an hour is used up (max_interventions_per_hour)"),
            ));
        }
        Ok(())
    }

    /// The steps of it.
    fn plan(&self, wanted: &NewIntervention, agents: &[AgentId]) -> Result<Vec<PlanStep>, Refusal> {
        if agents.is_empty() {
            return Err(Refusal::new(Why::Conflict, format!("{} has no agents", wanted.target_id))
                .field("target_id", "somebody to act on"));
        }
        let one = wanted.target_type == TargetType::Agent;
        let fits = match wanted.intervention_type {
            T::TeamRestart | T::TeamQuarantine => !one,
            T::Shutdown => wanted.target_type == TargetType::Supervisor || one,
            T::AgentRestart | T::AgentQuarantine | T::AgentStart | T::AgentStop | T::Delete => one,
            T::TaskReassign | T::PriorityOverride | T::CancelTask | T::ReallocateCapacity => one,
        };
        if !fits {
            let what = format!("{} does not go with a target of this type", wanted.intervention_type.as_str());
            return Err(Refusal::new(Why::Invalid, what)
                .field("target_type", "AGENT for single agents, TEAM or SUPERVISOR for several"));
        }
        let steps =
            agents.iter().map(|agent| self.step_for(wanted.intervention_type, agent)).collect::<Result<Vec<_>, _>>()?;
        if wanted.emergency && steps.iter().any(|step| step.undo.is_none()) {
            return Err(Refusal::new(
                Why::Invalid,
                "an emergency intervention must be one that can be undone step by step",
            )
            .field("intervention_type", "AGENT_QUARANTINE, TEAM_QUARANTINE, AGENT_STOP or AGENT_START"));
        }
        Ok(steps)
    }

    fn step_for(&self, kind: T, id: &AgentId) -> Result<PlanStep, Refusal> {
        let process = self.state.agents.get(id).is_some_and(|agent| matches!(agent.spec.kind(), Kind::Process(_)));
        let agent = id.clone();
        let (act, undo) = match kind {
            T::AgentRestart | T::TeamRestart if process => (Act::Restart(agent), None),
            T::AgentRestart | T::TeamRestart => (self.call(id, "restart")?, None),
            T::AgentQuarantine | T::TeamQuarantine => (Act::Quarantine(agent.clone()), Some(Act::Release(agent))),
            T::AgentStart => (Act::Start(agent.clone()), Some(Act::Stop(agent))),
            T::AgentStop | T::Shutdown => (Act::Stop(agent.clone()), Some(Act::Start(agent))),
            T::Delete => (Act::Delete(agent), None),
            T::TaskReassign => (self.call(id, "reassign_task")?, None),
            T::PriorityOverride => (self.call(id, "override_priority")?, None),
            T::CancelTask => (self.call(id, "cancel_task")?, None),
            T::ReallocateCapacity => (self.call(id, "reallocate_capacity")?, None),
        };
        Ok(PlanStep::new(act, undo))
    }

    fn call(&self, id: &AgentId, verb: &str) -> Result<Act, Refusal> {
        if self.control(id).is_none() {
            let what = format!("agent {id} has no control by which it could be told to {verb}");
            return Err(Refusal::new(Why::Conflict, what)
                .field("target_id", "an agent with heartbeat.control or probe.control"));
        }
        Ok(Act::Call { agent: id.clone(), verb: verb.into() })
    }

    /// How something that hb did not start is acted on.
    pub(super) fn control(&self, id: &AgentId) -> Option<super::super::spec::Control> {
        match self.state.agents.get(id)?.spec.kind() {
            Kind::Process(_) => None,
            Kind::Heartbeat(control) => control.cloned(),
            Kind::Probe(probe) => probe.control.clone(),
        }
    }

    /// Why a person has to agree; empty when nobody has to.
    fn approval_reasons(
        &self,
        id: &SupervisorId,
        wanted: &NewIntervention,
        origin: &Origin,
        agents: usize,
    ) -> Result<Vec<String>, Refusal> {
        let most = self.state.supervisors.get(id).map_or(0, |one| one.config.approval_agents);
        let drastic = matches!(wanted.intervention_type, T::Shutdown | T::Delete);
        if drastic && !wanted.confirm && origin.policy.is_none() {
            return Err(Refusal::new(Why::Invalid, "this cannot be taken back; say so with confirm: true")
                .field("confirm", "true"));
        }
        // A person who says it twice has been warned; a policy cannot say it twice.
        let confirmed = wanted.confirm && origin.policy.is_none();
        let reasons = [
            (wanted.approval_required, "it was asked for with approval".to_owned()),
            (
                agents > usize::try_from(most).unwrap_or(usize::MAX),
                format!("it affects {agents} agents, more than {most}"),
            ),
            (wanted.target_type != TargetType::Agent && !confirmed, "it acts on several agents at once".to_owned()),
            (drastic && !confirmed, "it cannot be taken back".to_owned()),
            (origin.dangerous, "its policy is dangerous".to_owned()),
        ];
        Ok(reasons.into_iter().filter_map(|(holds, why)| holds.then_some(why)).collect())
    }

    /// One that is over stays in the state for a while, for those who look; the database keeps it.
    pub(super) fn over(&mut self, id: &InterventionId) {
        self.volatile.open_interventions.remove(id);
        self.volatile.over_interventions.push_back(id.clone());
        if self.volatile.over_interventions.len() > INTERVENTIONS_OVER_MAX
            && let Some(oldest) = self.volatile.over_interventions.pop_front()
        {
            self.state.interventions.remove(&oldest);
        }
    }
}
