//! Teams and who belongs to them.

use super::super::agent::Origin;
use super::super::alert::Severity;
use super::super::bounds::TEAMS_MAX;
use super::super::event::About;
use super::super::input::{NewMember, NewTeam};
use super::super::step::{Answer, Refusal, Reply, Why};
use super::super::tree::{MemberRole, Membership, Team, WantedLifecycle};
use super::super::{Cause, Supervision};
use super::declared::CONFIG;
use super::names::{check_id, check_name, id_of};
use super::supervisors::declared;
use crate::ids::{Actor, AgentId, TeamId};
use crate::time::Now;

impl Supervision {
    /// An agent that is known and in no team.
    pub(super) fn free_agent(&self, id: &AgentId) -> Result<(), Refusal> {
        let known = self.state.agents.get(id);
        let agent = known.ok_or_else(|| {
            Refusal::new(Why::NotFound, format!("there is no agent {id}")).field("agent", "a registered agent")
        })?;
        match &agent.team {
            None => Ok(()),
            Some(team) => Err(Refusal::new(
                Why::Conflict,
                format!("agent {id} is a member of team {team}: remove it there first"),
            )
            .field("agent", "an agent without a team")),
        }
    }

    pub(super) fn create_team(&mut self, by: &Actor, new: NewTeam, origin: Origin, now: Now) -> Reply {
        check_name("name", &new.name)?;
        if self.state.teams.len() >= TEAMS_MAX {
            return Err(Refusal::new(Why::TooMany, format!("there are {TEAMS_MAX} teams")));
        }
        let supervisor = new.supervisor_id.clone().or_else(|| self.first_root());
        let supervisor = supervisor.ok_or_else(|| {
            Refusal::new(Why::NotFound, "there is no supervisor").field("supervisor_id", "a known id")
        })?;
        if self.known_supervisor(&supervisor)?.wanted == WantedLifecycle::Terminated {
            return Err(Refusal::new(Why::Conflict, format!("supervisor {supervisor} is over"))
                .field("supervisor_id", "one that is not over"));
        }
        if self.state.teams.values().any(|team| team.supervisor == supervisor && team.name == new.name) {
            return Err(Refusal::new(Why::Conflict, format!("supervisor {supervisor} has a team `{}`", new.name))
                .field("name", "unique in its supervisor"));
        }
        let taken = |id: &str| self.state.teams.contains(&TeamId::from(id));
        let id = match &new.id {
            Some(id) => id.clone(),
            None => id_of(&new.name, taken).into(),
        };
        check_id("id", id.as_str())?;
        if taken(id.as_str()) {
            return Err(Refusal::new(Why::Conflict, format!("there is a team {id} already")).field("id", "unique"));
        }
        let mut seen = std::collections::BTreeSet::new();
        for member in &new.members {
            let agent = member.agent();
            self.free_agent(agent)?;
            if !seen.insert(agent.clone()) {
                return Err(Refusal::new(Why::Invalid, format!("agent {agent} is named twice"))
                    .field("members", "each agent once"));
            }
        }
        let team = Team {
            id: id.clone(),
            supervisor,
            name: new.name,
            description: new.description,
            objective: new.objective,
            origin,
            members: Vec::new(),
        };
        self.state.teams.insert(id.clone(), team);
        self.event("team.created", Severity::Info, About::team(&id), &Cause::by(by, "it was made"), now);
        for member in new.members {
            self.join(by, &id, member, now);
        }
        Ok(Answer::Made { id: id.to_string(), version: None, notes: Vec::new() })
    }

    pub(super) fn delete_team(&mut self, by: &Actor, id: &TeamId, now: Now) -> Reply {
        self.may_change_team(by, id)?;
        let members: Vec<AgentId> = self.known_team(id)?.open().map(|member| member.agent.clone()).collect();
        for agent in members {
            self.leave(by, id, &agent, now);
        }
        self.state.teams.remove(id);
        self.event("team.deleted", Severity::Info, About::team(id), &Cause::by(by, "it was deleted"), now);
        Ok(Answer::Done {})
    }

    pub(super) fn add_member(&mut self, by: &Actor, id: &TeamId, member: NewMember, now: Now) -> Reply {
        self.may_change_team(by, id)?;
        self.free_agent(member.agent())?;
        self.join(by, id, member, now);
        Ok(Answer::Done {})
    }

    pub(super) fn remove_member(&mut self, by: &Actor, id: &TeamId, agent: &AgentId, now: Now) -> Reply {
        self.may_change_team(by, id)?;
        if !self.known_team(id)?.open().any(|member| member.agent == *agent) {
            return Err(Refusal::new(Why::NotFound, format!("agent {agent} is no member of team {id}"))
                .field("agent", "an open member"));
        }
        self.leave(by, id, agent, now);
        Ok(Answer::Done {})
    }

    pub(super) fn known_team(&self, id: &TeamId) -> Result<&Team, Refusal> {
        let missing = || Refusal::new(Why::NotFound, format!("there is no team {id}")).field("team", "a known id");
        self.state.teams.get(id).ok_or_else(missing)
    }

    /// What stands in `hb.yaml` is changed there.
    fn may_change_team(&self, by: &Actor, id: &TeamId) -> Result<(), Refusal> {
        let of_file = self.known_team(id)?.origin == Origin::Declared;
        if of_file && by.as_str() != CONFIG { Err(declared("team", id.as_str())) } else { Ok(()) }
    }

    /// A team that is there already, as the file has it now. Its members are seen to apart from this.
    pub(super) fn redeclare_team(&mut self, by: &Actor, id: &TeamId, new: &NewTeam, now: Now) -> Result<(), Refusal> {
        let known = self.known_team(id)?;
        let supervisor = new.supervisor_id.clone().unwrap_or_else(|| known.supervisor.clone());
        let same = known.supervisor == supervisor
            && known.name == new.name
            && known.description == new.description
            && known.objective == new.objective;
        if same && known.origin == Origin::Declared {
            return Ok(());
        }
        check_name("name", &new.name)?;
        if self.known_supervisor(&supervisor)?.wanted == WantedLifecycle::Terminated {
            return Err(Refusal::new(Why::Conflict, format!("supervisor {supervisor} is over")));
        }
        let taken = |team: &&Team| team.id != *id && team.supervisor == supervisor && team.name == new.name;
        if let Some(other) = self.state.teams.values().find(taken) {
            return Err(Refusal::new(Why::Conflict, format!("team {} of {supervisor} is called so already", other.id)));
        }
        let members: Vec<AgentId> = self.known_team(id)?.open().map(|member| member.agent.clone()).collect();
        self.monitored_anew(&members, now, |it| {
            if let Some(team) = it.state.teams.get_mut(id) {
                team.supervisor.clone_from(&supervisor);
                team.name.clone_from(&new.name);
                team.description.clone_from(&new.description);
                team.objective.clone_from(&new.objective);
                team.origin = Origin::Declared;
            }
        });
        members.iter().for_each(|agent| self.touched(agent));
        let cause = Cause::by(by, format!("it is as hb.yaml has it, and belongs to supervisor {supervisor}"));
        self.event("team.changed", Severity::Info, About::team(id), &cause, now);
        Ok(())
    }

    /// The role of a member is another.
    pub(super) fn take_role(&mut self, by: &Actor, id: &TeamId, member: &NewMember, now: Now) {
        let role = member.role();
        let other = |one: &&Membership| one.agent == *member.agent() && one.role != role;
        if self.state.teams.get(id).is_none_or(|team| team.open().find(other).is_none()) {
            return;
        }
        if let Some(team) = self.state.teams.get_mut(id) {
            let open = team.members.iter_mut().filter(|one| one.left_at.is_none());
            open.filter(|one| one.agent == *member.agent()).for_each(|one| one.role = role);
        }
        self.reassess(by, id, member.agent(), "has another role in", now);
    }

    fn join(&mut self, by: &Actor, id: &TeamId, member: NewMember, now: Now) {
        let (agent, role, metadata) = match member {
            NewMember::Agent(agent) => (agent, MemberRole::Member, std::collections::BTreeMap::new()),
            NewMember::Full { agent, role, metadata } => (agent, role, metadata),
        };
        if let Some(team) = self.state.teams.get_mut(id) {
            team.members.push(Membership { agent: agent.clone(), role, joined_at: now.wall, left_at: None, metadata });
        }
        self.monitored_anew(std::slice::from_ref(&agent), now, |it| {
            if let Some(agent) = it.state.agents.get_mut(&agent) {
                agent.team = Some(id.clone());
            }
        });
        self.reassess(by, id, &agent, "joined", now);
    }

    pub(super) fn leave(&mut self, by: &Actor, id: &TeamId, agent: &AgentId, now: Now) {
        if let Some(team) = self.state.teams.get_mut(id) {
            team.close(agent, now.wall);
        }
        self.monitored_anew(std::slice::from_ref(agent), now, |it| {
            if let Some(agent) = it.state.agents.get_mut(agent) {
                agent.team = None;
            }
        });
        self.reassess(by, id, agent, "left", now);
    }

    /// A change of membership has the agent looked at anew.
    #[expect(clippy::too_many_arguments, reason = "a change of membership has these parts")]
    fn reassess(&mut self, by: &Actor, id: &TeamId, agent: &AgentId, what: &str, now: Now) {
        let about = About { agent: Some(agent.clone()), ..About::team(id) };
        let why = format!("agent {agent} {what} team {id}: its supervision is assessed anew");
        self.event("team.reassessment", Severity::Info, about, &Cause::by(by, why), now);
        self.touched(agent);
    }
}

impl NewMember {
    /// Who.
    #[must_use]
    pub fn agent(&self) -> &AgentId {
        match self {
            Self::Agent(agent) | Self::Full { agent, .. } => agent,
        }
    }

    /// As what.
    #[must_use]
    pub fn role(&self) -> MemberRole {
        match self {
            Self::Agent(_) => MemberRole::default(),
            Self::Full { role, .. } => *role,
        }
    }
}
