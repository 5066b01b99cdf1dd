//! Teams and who belongs to them.

use super::super::agent::Origin;
use super::super::alert::Severity;
use super::super::bounds::{MEMBERSHIPS_CLOSED_MAX, TEAMS_MAX};
use super::super::event::About;
use super::super::input::{NewMember, NewTeam};
use super::super::step::{Answer, Refusal, Reply, Why};
use super::super::tree::{MemberRole, Membership, Team, WantedLifecycle};
use super::super::{Cause, Supervision};
use super::names::{check_id, check_name, id_of};
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
        let members: Vec<AgentId> = self.known_team(id)?.open().map(|member| member.agent.clone()).collect();
        for agent in members {
            self.leave(by, id, &agent, now);
        }
        self.state.teams.remove(id);
        self.event("team.deleted", Severity::Info, About::team(id), &Cause::by(by, "it was deleted"), now);
        Ok(Answer::Done {})
    }

    pub(super) fn add_member(&mut self, by: &Actor, id: &TeamId, member: NewMember, now: Now) -> Reply {
        self.known_team(id)?;
        self.free_agent(member.agent())?;
        self.join(by, id, member, now);
        Ok(Answer::Done {})
    }

    pub(super) fn remove_member(&mut self, by: &Actor, id: &TeamId, agent: &AgentId, now: Now) -> Reply {
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

    fn join(&mut self, by: &Actor, id: &TeamId, member: NewMember, now: Now) {
        let (agent, role, metadata) = match member {
            NewMember::Agent(agent) => (agent, MemberRole::Member, std::collections::BTreeMap::new()),
            NewMember::Full { agent, role, metadata } => (agent, role, metadata),
        };
        if let Some(team) = self.state.teams.get_mut(id) {
            team.members.push(Membership { agent: agent.clone(), role, joined_at: now.wall, left_at: None, metadata });
        }
        if let Some(agent) = self.state.agents.get_mut(&agent) {
            agent.team = Some(id.clone());
        }
        self.reassess(by, id, &agent, "joined", now);
    }

    pub(super) fn leave(&mut self, by: &Actor, id: &TeamId, agent: &AgentId, now: Now) {
        if let Some(team) = self.state.teams.get_mut(id) {
            for member in team.members.iter_mut().filter(|member| member.agent == *agent && member.left_at.is_none()) {
                member.left_at = Some(now.wall);
            }
            let closed = team.members.iter().filter(|member| member.left_at.is_some()).count();
            let mut extra = closed.saturating_sub(MEMBERSHIPS_CLOSED_MAX);
            team.members.retain(|member| {
                let goes = extra > 0 && member.left_at.is_some();
                extra = extra.saturating_sub(usize::from(goes));
                !goes
            });
        }
        if let Some(agent) = self.state.agents.get_mut(agent) {
            agent.team = None;
        }
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
}
