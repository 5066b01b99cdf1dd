//! Which policies are evaluated, and what of it?
//!
//! | what sets it off | about whom | fires |
//! |---|---|---|
//! | a new group of alerts, or one that became worse | its agent; nobody when it is about several | whenever the condition holds, but no second intervention of a policy for one group, nor while one of it is under way for the agent |
//! | a decision of the agent's watch, or the sweep | the agent; each that changed since it was looked at | when the condition comes to hold (the latch), not while it goes on holding |
//!
//! A supervisor evaluates the policies that are on duty for it and in force, by priority and then by name; all that match fire. Policies
//! that look at `alert.*` or `escalation.*` are evaluated for groups only, and leave the latch alone. Only supervisors that are wanted ACTIVE
//! evaluate, and not while hb ends; groups that come up meanwhile, and are still open, are evaluated at the first sweep afterwards.
//!
//! **Invariants.** Each evaluation is in the log once, with what came of it. A sweep looks at every agent that changed; where a policy
//! looks at something that changes by itself (`agent.uptime_seconds`), and after the opening or a change of policies, it looks at all
//! agents, and logs of the unchanged ones only those whose outcome is another than before. So nothing is lost when hb is restarted
//! between a change and its sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::alert::AlertGroup;
use super::super::event::About;
use super::super::policy::adapt::{self, Lesson, Size};
use super::super::policy::context::{Context, Occasion};
use super::super::policy::eval::{Compiled, Outcome};
use super::super::policy::fields::Pace;
use super::super::policy::simulate::WouldDo;
use super::super::policy::{ActionSpec, Condition, Evaluation, Policy, PolicyVersion, Variable};
use super::super::tracked::Tracked;
use super::super::tree::WantedLifecycle;
use super::super::{Cause, Supervision};
use crate::ids::{AgentId, GroupId, InterventionId, PolicyName, SupervisorId};
use crate::time::Now;

/// A policy whose condition held.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Matched {
    /// For whom it is on duty.
    pub(in super::super) supervisor: SupervisorId,
    /// The policy.
    pub(in super::super) policy: PolicyName,
    /// Its version.
    pub(in super::super) version: u32,
    /// About whom.
    pub(in super::super) agent: Option<AgentId>,
    /// The group of alerts that set it off.
    pub(in super::super) group: Option<GroupId>,
    /// Number of the evaluation.
    pub(in super::super) evaluation: u64,
}

/// The condition of a policy in force, made ready, with what it was made from.
#[derive(Debug)]
pub(crate) struct Ready {
    version: u32,
    source: Condition,
    variables: BTreeMap<String, Variable>,
    condition: Arc<Compiled>,
}

/// A policy that is on duty and in force, made ready.
struct OnDuty {
    name: PolicyName,
    version: u32,
    condition: Arc<Compiled>,
    /// It looks at what only a group has.
    of_occasion: bool,
    /// It looks at what changes without being told.
    by_itself: bool,
    evaluated: u64,
    matched: u64,
}

/// When a condition that holds fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fires {
    /// Whenever it holds: something new has happened.
    Whenever,
    /// When it has come to hold: what it is about has been looked at before, or may have been.
    OnceItHolds,
}

/// What one evaluation is about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    supervisor: &'a SupervisorId,
    agent: Option<&'a AgentId>,
    group: Option<&'a AlertGroup>,
    trigger: Occasion<'a>,
    fires: Fires,
}

impl Supervision {
    /// The evaluation of a group of alerts: when it is opened, and when it has become worse.
    pub(super) fn evaluate_group(&mut self, id: &GroupId, fires: Fires, now: Now) {
        let Some(group) = self.state.groups.get(id).cloned() else { return };
        let supervisor = group.supervisor.clone();
        if !self.evaluates(&supervisor) {
            if group.resolved_at.is_none()
                && let Some(group) = self.state.groups.get_mut(id)
            {
                group.unlooked = true;
                self.volatile.unlooked.insert(id.clone());
            }
            return;
        }
        let mut affected = group.affected_agents.iter();
        let agent = affected.next().filter(|_| group.affected_agents.len() == 1);
        let agent = agent.filter(|agent| self.state.agents.contains(agent)).cloned();
        if let Some(agent) = &agent {
            self.volatile.dirty.remove(agent);
        }
        let mut policies = self.on_duty(&supervisor);
        for policy in &mut policies {
            let subject = Subject {
                supervisor: &supervisor,
                agent: agent.as_ref(),
                group: Some(&group),
                trigger: Occasion::Alert(&group),
                fires,
            };
            self.evaluate(policy, subject, now);
        }
        self.count(&supervisor, &policies, now);
    }

    /// A decision of its watch was taken in: the policies look at the agent at once, not at the next sweep.
    pub(in super::super) fn evaluate_agent(&mut self, agent: &AgentId, now: Now) {
        let known = self.state.agents.contains(agent).then(|| self.supervisor_of(agent)).flatten();
        let Some(supervisor) = known.filter(|supervisor| self.evaluates(supervisor)) else { return };
        self.volatile.dirty.remove(agent);
        let mut policies = self.on_duty(&supervisor);
        for policy in policies.iter_mut().filter(|policy| !policy.of_occasion) {
            let trigger = Occasion::Decision;
            self.evaluate(
                policy,
                Subject {
                    supervisor: &supervisor,
                    agent: Some(agent),
                    group: None,
                    trigger,
                    fires: Fires::OnceItHolds,
                },
                now,
            );
        }
        self.count(&supervisor, &policies, now);
    }

    /// Evaluates the policies of a supervisor over its agents that changed; fires where a condition has come to hold.
    pub(in super::super) fn sweep(&mut self, supervisor: &SupervisorId, now: Now) {
        if !self.evaluates(supervisor) {
            return;
        }
        self.evaluate_left_over(supervisor, now);
        let changed = self.take_changed(supervisor);
        let mut policies = self.on_duty(supervisor);
        policies.retain(|policy| !policy.of_occasion);
        // The first look since the opening, or since a policy changed, is at everybody.
        let first = self.volatile.swept.insert(supervisor.clone());
        let everybody = first || policies.iter().any(|policy| policy.by_itself);
        let agents = if policies.is_empty() {
            Vec::new()
        } else if everybody {
            self.agents_of(supervisor)
        } else {
            changed.iter().cloned().collect()
        };
        for agent in &agents {
            let has_changed = changed.contains(agent);
            for policy in policies.iter_mut().filter(|policy| has_changed || first || policy.by_itself) {
                if has_changed || self.turns(policy, supervisor, agent, now) {
                    let subject = Subject {
                        supervisor,
                        agent: Some(agent),
                        group: None,
                        trigger: Occasion::Sweep,
                        fires: Fires::OnceItHolds,
                    };
                    self.evaluate(policy, subject, now);
                }
            }
        }
        self.count(supervisor, &policies, now);
    }

    /// A policy, or who has it on duty, changed: the next sweep of these supervisors looks at everybody.
    pub(in super::super) fn look_again(&mut self, policy: &PolicyName) {
        let concerned =
            self.state.supervisors.values().filter(|one| one.policies.iter().any(|one| one.policy == *policy));
        for id in concerned.map(|one| one.id.clone()).collect::<Vec<_>>() {
            self.volatile.swept.remove(&id);
        }
    }

    /// What held under another version says nothing about this one: its latches are opened.
    pub(in super::super) fn unlatch(&mut self, policy: &PolicyName) {
        let latched = self.state.agents.values().filter(|agent| agent.latched.contains(policy));
        for id in latched.map(|agent| agent.id().clone()).collect::<Vec<_>>() {
            if let Some(agent) = self.state.agents.get_mut(&id) {
                agent.latched.remove(policy);
            }
        }
    }

    /// An intervention of a policy came to an end: its effectiveness and its variables move, if the version that asked is still in force.
    pub(super) fn learn(&mut self, policy: &PolicyName, id: &InterventionId, outcome: &str, now: Now) {
        let Some(lesson) = Lesson::parse(outcome) else { return };
        let Some(intervention) = self.state.interventions.get(id) else { return };
        let asked = intervention.policy.as_ref().map(|(_, version)| *version);
        let supervisor = self.state.supervisors.get(&intervention.supervisor);
        let rate = supervisor.map_or(0.1, |supervisor| supervisor.config.policy_learning_rate);
        if asked.is_none() || self.state.policies.get(policy).is_none_or(|policy| policy.active != asked) {
            return;
        }
        let Some(policy) = self.state.policies.get_mut(policy) else { return };
        let learned = adapt::learn(policy, lesson, rate, now.wall);
        let about = About::policy(&policy.name).and_intervention(id);
        let (kind, severity) = match learned.size {
            Size::Small | Size::Notable => ("policy.adapted", super::Severity::Info),
            Size::Large => ("policy.change_held", super::Severity::Warning),
        };
        let number = |value: f64| serde_json::Value::from(value);
        let mut details: BTreeMap<String, serde_json::Value> = [
            ("effectiveness_before".to_owned(), number(learned.effectiveness.0)),
            ("effectiveness_after".to_owned(), number(learned.effectiveness.1)),
        ]
        .into();
        for (name, before, after) in &learned.moved {
            details.insert(format!("variables.{name}"), serde_json::json!([before, after]));
        }
        let name = policy.name.clone();
        self.event_with(kind, severity, about, &Cause::own(learned.justification), details, now);
        if !learned.moved.is_empty() && learned.size != Size::Large {
            self.look_again(&name);
        }
    }

    /// Whether a supervisor is to monitor. Not while hb ends: what would be begun now is begun by the next reign.
    pub(super) fn evaluates(&self, supervisor: &SupervisorId) -> bool {
        self.volatile.draining.is_none()
            && self.state.supervisors.get(supervisor).is_some_and(|one| one.wanted == WantedLifecycle::Active)
    }

    /// The policies of a supervisor in their order, made ready.
    fn on_duty(&mut self, supervisor: &SupervisorId) -> Vec<OnDuty> {
        let Some(supervisor) = self.state.supervisors.get(supervisor) else { return Vec::new() };
        let (policies, ready) = (&self.state.policies, &mut self.volatile.ready);
        let mut assigned: Vec<_> = supervisor.policies.iter().filter(|one| one.disabled_at.is_none()).collect();
        assigned.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.policy.cmp(&b.policy)));
        let on_duty = assigned.into_iter().filter_map(|assigned| {
            let policy = policies.get(&assigned.policy)?;
            let version = policy.in_force()?;
            let condition = made_ready(ready, policies, policy, version);
            let (of_occasion, by_itself) = (condition.looks_at(Pace::OfOccasion), condition.looks_at(Pace::ByItself));
            let (name, version) = (policy.name.clone(), version.version);
            Some(OnDuty { name, version, condition, of_occasion, by_itself, evaluated: 0, matched: 0 })
        });
        on_duty.collect()
    }

    /// Groups that came up while the supervisor was paused, and are still open.
    fn evaluate_left_over(&mut self, supervisor: &SupervisorId, now: Now) {
        let mine = |id: &&GroupId| self.state.groups.get(id).is_none_or(|group| group.supervisor == *supervisor);
        let waiting: Vec<GroupId> = self.volatile.unlooked.iter().filter(mine).cloned().collect();
        for id in waiting {
            self.volatile.unlooked.remove(&id);
            if let Some(group) = self.state.groups.get_mut(&id).filter(|group| group.resolved_at.is_none()) {
                group.unlooked = false;
                // A decision or a sweep may have set off meanwhile what the group would have.
                self.evaluate_group(&id, Fires::OnceItHolds, now);
            }
        }
    }

    /// The agents of a supervisor that changed since they were looked at; they count as looked at from here on.
    fn take_changed(&mut self, supervisor: &SupervisorId) -> BTreeSet<AgentId> {
        let mine = |id: &&AgentId| self.supervisor_of(id).as_ref() == Some(supervisor);
        let changed: BTreeSet<AgentId> = self.volatile.dirty.iter().filter(mine).cloned().collect();
        self.volatile.dirty.retain(|id| !changed.contains(id));
        changed.into_iter().filter(|id| self.state.agents.contains(id)).collect()
    }

    /// Whether an evaluation would come out otherwise than the one before.
    fn turns(&self, policy: &OnDuty, supervisor: &SupervisorId, agent: &AgentId, now: Now) -> bool {
        let subject = Subject {
            supervisor,
            agent: Some(agent),
            group: None,
            trigger: Occasion::Sweep,
            fires: Fires::OnceItHolds,
        };
        let latched = self.state.agents.get(agent).is_some_and(|agent| agent.latched.contains(&policy.name));
        policy.condition.holds(&self.context_of(subject, now)) != latched
    }

    fn context_of<'a>(&'a self, subject: Subject<'a>, now: Now) -> Context<'a> {
        let agent = subject.agent.and_then(|agent| self.state.agents.get(agent));
        let context = self.context(subject.supervisor, agent, subject.trigger, now.wall);
        match (agent, subject.group.and_then(|group| self.common_team(group))) {
            (None, Some(team)) => context.of_team(team),
            (Some(_), _) | (None, None) => context,
        }
    }

    /// The team that all agents of a group belong to.
    fn common_team(&self, group: &AlertGroup) -> Option<&super::super::tree::Team> {
        let mut teams = group.affected_agents.iter().map(|agent| self.state.agents.get(agent)?.team.as_ref());
        let first = teams.next()??;
        if teams.all(|team| team == Some(first)) { self.state.teams.get(first) } else { None }
    }

    /// One evaluation: into the log, once, with what comes of it.
    fn evaluate(&mut self, policy: &mut OnDuty, subject: Subject<'_>, now: Now) {
        let outcome = policy.condition.evaluate(&self.context_of(subject, now));
        policy.evaluated = policy.evaluated.saturating_add(1);
        policy.matched = policy.matched.saturating_add(u64::from(outcome.decision));
        let held_before = !policy.of_occasion && self.latch(policy, subject.agent, &outcome);
        let fires = outcome.decision && (subject.fires == Fires::Whenever || !held_before);
        let decision = outcome.decision;
        let evaluation = self.log(policy, subject, outcome, now);
        let (said, interventions) = match (decision, fires) {
            (false, _) => return,
            (true, false) => (vec!["nothing: it has held since it fired".to_owned()], Vec::new()),
            (true, true) => self.fire(policy, subject, evaluation, now),
        };
        // What an action set off may have been logged after it.
        let logged = self.evaluations.iter_mut().rev().find(|logged| logged.id == evaluation);
        if let Some(logged) = logged {
            logged.action_taken = said;
            logged.interventions = interventions;
        }
    }

    /// Sets or opens the latch of an agent; gives whether it was set.
    fn latch(&mut self, policy: &OnDuty, agent: Option<&AgentId>, outcome: &Outcome) -> bool {
        let Some(agent) = agent else { return false };
        let held = outcome.decision;
        let before = self.state.agents.get(agent).is_some_and(|agent| agent.latched.contains(&policy.name));
        if before != held
            && let Some(agent) = self.state.agents.get_mut(agent)
        {
            if held {
                agent.latched.insert(policy.name.clone())
            } else {
                agent.latched.remove(&policy.name)
            };
        }
        before
    }

    fn log(&mut self, policy: &OnDuty, subject: Subject<'_>, outcome: Outcome, now: Now) -> u64 {
        self.evaluation(|id| Evaluation {
            id,
            supervisor: subject.supervisor.clone(),
            policy: policy.name.clone(),
            version: policy.version,
            agent: subject.agent.cloned(),
            trigger: subject.trigger.as_str().to_owned(),
            group: subject.group.map(|group| group.id.clone()),
            context: outcome.looked_at,
            decision: outcome.decision,
            decision_path: outcome.path,
            action_taken: Vec::new(),
            interventions: Vec::new(),
            at: now.wall,
        })
    }

    /// Carries the actions of a policy out, in their order. Gives what was done, in words, and the interventions that came of it.
    fn fire(
        &mut self,
        policy: &OnDuty,
        subject: Subject<'_>,
        evaluation: u64,
        now: Now,
    ) -> (Vec<String>, Vec<InterventionId>) {
        let known = self.state.policies.get(&policy.name);
        let Some((known, version)) = known.and_then(|known| Some((known, known.version(policy.version)?))) else {
            return (vec!["nothing: the policy is gone".into()], Vec::new());
        };
        let context = self.context_of(subject, now);
        let actions: Vec<(ActionSpec, WouldDo)> = version
            .definition
            .actions
            .iter()
            .map(|action| (action.clone(), WouldDo::of(action, &context, &known.variables)))
            .collect();
        let matched = Matched {
            supervisor: subject.supervisor.clone(),
            policy: policy.name.clone(),
            version: policy.version,
            agent: subject.agent.cloned(),
            group: subject.group.map(|group| group.id.clone()),
            evaluation,
        };
        // Looked for once: the actions of one evaluation do not stand in one another's way.
        let begun = self.begun_by(&matched);
        let (mut said, mut interventions) = (Vec::new(), Vec::new());
        for (action, filled) in actions {
            let name = action.kind.as_str();
            match (filled.target, &begun) {
                (_, Some(begun)) if !action.kind.only_tells() => {
                    said.push(format!("{name}: not again, {begun} of this policy is about the same"));
                }
                (None, _) if !action.kind.only_tells() => {
                    said.push(format!("{name}: not done, `{}` is nobody here", action.target));
                }
                (target, _) => {
                    let target = target.unwrap_or_default();
                    let action = ActionSpec { target, reason: filled.reason, ..action };
                    let (done, id) = self.act_on(&action, &matched, now);
                    said.push(format!("{name}: {done}"));
                    interventions.extend(id);
                }
            }
        }
        (said, interventions)
    }

    /// What this policy has begun already: for the same group, or, still under way, for the same agent.
    fn begun_by(&self, matched: &Matched) -> Option<InterventionId> {
        let found = self.state.interventions.values().find(|one| {
            let mine = one.policy.as_ref().is_some_and(|(name, _)| *name == matched.policy);
            let same_group = matched.group.is_some() && one.group == matched.group;
            let about = |agent: &AgentId| one.plan.iter().any(|step| step.act.agent() == agent);
            mine && (same_group || (!one.status.is_over() && matched.agent.as_ref().is_some_and(about)))
        });
        found.map(|one| one.id.clone())
    }

    /// Counts what was evaluated; touches nothing when nothing was.
    fn count(&mut self, supervisor: &SupervisorId, policies: &[OnDuty], now: Now) {
        let evaluated = policies.iter().filter(|policy| policy.evaluated > 0);
        for policy in evaluated.clone() {
            if let Some(known) = self.state.policies.get_mut(&policy.name) {
                known.evaluations = known.evaluations.saturating_add(policy.evaluated);
                known.matches = known.matches.saturating_add(policy.matched);
            }
        }
        if evaluated.count() > 0
            && let Some(supervisor) = self.state.supervisors.get_mut(supervisor)
        {
            supervisor.last_policy_evaluation = Some(now.wall);
        }
    }
}

/// The condition as it was made ready before, where it is still the same. A name and a version may come back with another condition, and variables
/// move: so it is compared by what it was made from.
fn made_ready(
    ready: &mut BTreeMap<PolicyName, Ready>,
    policies: &Tracked<PolicyName, Policy>,
    policy: &Policy,
    version: &PolicyVersion,
) -> Arc<Compiled> {
    let source = &version.definition.condition;
    let same =
        |one: &&Ready| one.version == version.version && one.source == *source && one.variables == policy.variables;
    if let Some(known) = ready.get(&policy.name).filter(same) {
        return Arc::clone(&known.condition);
    }
    // Those of policies that are gone go with them, so that there are never more than policies (B1).
    ready.retain(|name, _| policies.contains(name));
    let condition = Arc::new(Compiled::new(source, &policy.variables));
    let (version, source, variables) = (version.version, source.clone(), policy.variables.clone());
    ready.insert(policy.name.clone(), Ready { version, source, variables, condition: Arc::clone(&condition) });
    condition
}
