//! `hb.yaml` put in force: what is new is made, what changed is changed, what is no longer there becomes dynamic and is stopped.
//!
//! The file wins over the API: the API may start, stop and judge what is declared, but not change what it is.

use std::collections::BTreeSet;

use super::super::agent::Origin;
use super::super::alert::Severity;
use super::super::event::About;
use super::super::input::{Declared, DeclaredPolicy, NewMember, NewSupervisor, NewTeam, Person, Role};
use super::super::spec::Wanted;
use super::super::step::{Refusal, Why};
use super::super::tree::SupervisorConfig;
use super::super::{Cause, Supervision};
use crate::ids::{AgentId, PolicyName, SupervisorId, TeamId};
use crate::time::Now;

/// Who `hb.yaml` is.
pub(super) const CONFIG: &str = "config";
/// The supervisor that there is when none is declared.
const MAIN: &str = "main";

impl Supervision {
    /// What `hb.yaml` declares is put in force.
    pub(in super::super) fn declared(&mut self, declared: Declared, now: Now) {
        let person = Person { actor: CONFIG.into(), role: Role::Admin };
        let Declared { supervisors, agents, teams, policies } = declared;
        let named = supervisors.iter().filter_map(|one| one.id.clone()).collect::<BTreeSet<SupervisorId>>();
        for new in supervisors {
            self.declare_supervisor(&person, new, now);
        }
        if self.state.supervisors.is_empty() {
            self.declare_supervisor(&person, main_supervisor(), now);
        }
        let known: BTreeSet<AgentId> = agents.iter().map(|spec| spec.id.clone()).collect();
        for spec in super::super::agents::in_start_order(agents) {
            self.declare_agent(&person, std::sync::Arc::unwrap_or_clone(spec), now);
        }
        let kept: BTreeSet<TeamId> = teams.iter().filter_map(|team| team.id.clone()).collect();
        for team in teams {
            self.declare_team(&person, team, now);
        }
        let wanted: BTreeSet<PolicyName> = policies.iter().map(|one| one.policy.name.clone()).collect();
        for policy in policies {
            self.declare_policy(&person, policy, now);
        }
        self.undeclare(&person, (&named, &known, &kept, &wanted), now);
    }

    fn declare_supervisor(&mut self, person: &Person, new: NewSupervisor, now: Now) {
        let Some(id) = new.id.clone() else { return };
        let same =
            self.state.supervisors.get(&id).map(|one| (one.config == new.config, one.description == new.description));
        let done = match same {
            None => self.create_supervisor(&person.actor, new, Origin::Declared, now).map(drop),
            Some((true, true)) => self.stands_where(&id, &new),
            Some(_) => {
                let placed = self.stands_where(&id, &new);
                let settings = (Some(new.description), Some(new.config));
                self.configure_supervisor(person, &id, settings, None, now).and(placed)
            }
        };
        if let Some(one) = self.state.supervisors.get(&id)
            && one.origin != Origin::Declared
            && let Some(one) = self.state.supervisors.get_mut(&id)
        {
            one.origin = Origin::Declared;
        }
        self.told(done, About::supervisor(&id), &format!("supervisor {id}"), now);
    }

    /// A supervisor is where it was made, under the name that it got.
    fn stands_where(&self, id: &SupervisorId, new: &NewSupervisor) -> Result<(), Refusal> {
        let known = self.known_supervisor(id)?;
        if known.parent == new.parent_id && known.name == new.name {
            return Ok(());
        }
        let above = known.parent.as_ref().map_or_else(|| "below nobody".to_owned(), |above| format!("below {above}"));
        let what = format!(
            "it is called `{}` and stands {above}, which cannot be changed: delete it, or declare one with another id",
            known.name
        );
        Err(Refusal::new(Why::Conflict, what))
    }

    fn declare_agent(&mut self, person: &Person, spec: super::super::spec::AgentSpec, now: Now) {
        let (id, up) = (spec.id.clone(), spec.wanted == Wanted::Up);
        let mut done = if self.state.agents.contains(&id) {
            self.respecify(person, spec, None, now).map(drop)
        } else {
            self.register(&person.actor, spec, Origin::Declared, now).map(drop)
        };
        if self.state.agents.get(&id).is_some_and(|agent| agent.origin != Origin::Declared)
            && let Some(agent) = self.state.agents.get_mut(&id)
        {
            agent.origin = Origin::Declared;
            // It may have been stopped because it no longer stood in the file, or by whoever had it before.
            if up && agent.wanted == Wanted::Down && done.is_ok() {
                done = self.want_up(person, &id, now).map(drop);
            }
        }
        self.told(done, About::agent(&id), &format!("agent {id}"), now);
    }

    fn declare_team(&mut self, person: &Person, new: NewTeam, now: Now) {
        let Some(id) = new.id.clone() else { return };
        let wanted: Vec<NewMember> = new.members.clone();
        let done = if self.state.teams.contains(&id) {
            self.redeclare_team(&person.actor, &id, &new, now)
        } else {
            let empty = NewTeam { members: Vec::new(), ..new };
            self.create_team(&person.actor, empty, Origin::Declared, now).map(drop)
        };
        self.told(done, About::team(&id), &format!("team {id}"), now);
        let present: BTreeSet<AgentId> = self
            .state
            .teams
            .get(&id)
            .map(|team| team.open().map(|member| member.agent.clone()).collect())
            .unwrap_or_default();
        let named: BTreeSet<AgentId> = wanted.iter().map(|member| member.agent().clone()).collect();
        for agent in present.difference(&named) {
            self.leave(&person.actor, &id, agent, now);
        }
        if !self.state.teams.contains(&id) {
            return;
        }
        for member in wanted {
            let agent = member.agent().clone();
            if present.contains(&agent) {
                self.take_role(&person.actor, &id, &member, now);
                continue;
            }
            if let Some(other) = self.state.agents.get(&agent).and_then(|agent| agent.team.clone()) {
                self.leave(&person.actor, &other, &agent, now);
            }
            let joined = self.add_member(&person.actor, &id, member, now).map(drop);
            self.told(joined, About::team(&id), &format!("member {agent} of team {id}"), now);
        }
    }

    fn declare_policy(&mut self, person: &Person, declared: DeclaredPolicy, now: Now) {
        let name = declared.policy.name.clone();
        let done = self.declare_version(person, declared.policy, now);
        let roots = || {
            let roots = self.state.supervisors.values().filter(|one| one.parent.is_none());
            roots.map(|one| one.id.clone()).collect::<Vec<SupervisorId>>()
        };
        let wanted = if declared.supervisors.is_empty() { roots() } else { declared.supervisors };
        let done = done.and_then(|()| self.put_on_duty(&name, &wanted, declared.priority, now));
        self.told(done, About::policy(&name), &format!("policy {name}"), now);
    }

    fn undeclare(
        &mut self,
        person: &Person,
        (supervisors, agents, teams, policies): (
            &BTreeSet<SupervisorId>,
            &BTreeSet<AgentId>,
            &BTreeSet<TeamId>,
            &BTreeSet<PolicyName>,
        ),
        now: Now,
    ) {
        let gone: Vec<AgentId> = self
            .state
            .agents
            .values()
            .filter(|agent| agent.origin == Origin::Declared && !agents.contains(agent.id()))
            .map(|agent| agent.id().clone())
            .collect();
        for id in gone {
            self.undeclare_agent(&id, &person.actor, now);
        }
        let gone: Vec<TeamId> = self
            .state
            .teams
            .values()
            .filter(|team| team.origin == Origin::Declared && !teams.contains(&team.id))
            .map(|team| team.id.clone())
            .collect();
        for id in gone {
            let done = self.delete_team(&person.actor, &id, now).map(drop);
            self.told(done, About::team(&id), &format!("team {id}"), now);
        }
        let gone: Vec<PolicyName> = self
            .state
            .policies
            .values()
            .filter(|policy| policy.origin == Origin::Declared && !policies.contains(&policy.name))
            .map(|policy| policy.name.clone())
            .collect();
        for name in gone {
            self.undeclare_policy(&name, now);
        }
        let gone: Vec<SupervisorId> = self
            .state
            .supervisors
            .values()
            .filter(|one| one.origin == Origin::Declared && !supervisors.contains(&one.id))
            .filter(|one| one.id.as_str() != MAIN || !supervisors.is_empty())
            .map(|one| one.id.clone())
            .collect();
        for id in gone {
            if let Some(one) = self.state.supervisors.get_mut(&id) {
                one.origin = Origin::Dynamic;
            }
            let cause = Cause::by(&person.actor, "it no longer stands in hb.yaml: it goes on as one made by the API");
            self.event("supervisor.undeclared", Severity::Warning, About::supervisor(&id), &cause, now);
        }
    }

    /// A document of `hb.yaml` that does not go with what there is: told, and everything else is put in force.
    fn told(&mut self, done: Result<(), Refusal>, about: About, what: &str, now: Now) {
        if let Err(refusal) = done {
            let cause = Cause::by(&CONFIG.into(), format!("{what} of hb.yaml is not in force: {}", refusal.message));
            self.event("config.refused", Severity::Error, about, &cause, now);
        }
    }
}

fn main_supervisor() -> NewSupervisor {
    NewSupervisor {
        id: Some(MAIN.into()),
        name: MAIN.into(),
        description: "looks after everything that no other supervisor does".into(),
        parent_id: None,
        config: SupervisorConfig::default(),
        agents: Vec::new(),
    }
}
