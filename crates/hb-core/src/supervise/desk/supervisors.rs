//! Supervisors: made, configured, paused, resumed, stopped, forgotten; and the shape of their tree.

use super::super::agent::Origin;
use super::super::alert::Severity;
use super::super::bounds::SUPERVISORS_MAX;
use super::super::event::About;
use super::super::input::{NewMember, NewSupervisor, NewTeam, Person};
use super::super::step::{Answer, Refusal, Reply, Why};
use super::super::tree::{Supervisor, SupervisorConfig, SupervisorStatus, WantedLifecycle};
use super::super::{Cause, Supervision};
use super::names::{check_id, check_name, id_of};
use crate::ids::{Actor, AgentId, SupervisorId};
use crate::time::Now;

/// The settings with their ranges; refuses the first that is outside.
pub(super) fn check_config(config: &SupervisorConfig) -> Result<(), Refusal> {
    let ranges = [
        ("heartbeat_interval", config.heartbeat_interval, 1.0, 300.0),
        ("policy_evaluation_interval", config.policy_evaluation_interval, 1.0, 60.0),
        ("alert_correlation_window", config.alert_correlation_window, 1.0, 3600.0),
        ("max_hierarchy_depth", f64::from(config.max_hierarchy_depth), 1.0, 10.0),
        ("intervention_timeout", config.intervention_timeout, 1.0, 3600.0),
        ("policy_learning_rate", config.policy_learning_rate, 0.01, 0.5),
        ("max_concurrent_interventions", f64::from(config.max_concurrent_interventions), 1.0, 100.0),
        ("max_interventions_per_hour", f64::from(config.max_interventions_per_hour), 1.0, 100_000.0),
        ("approval_agents", f64::from(config.approval_agents), 1.0, 10_000.0),
        ("approval_timeout", config.approval_timeout, 1.0, 86_400.0),
        ("mass_agents", f64::from(config.mass_agents), 2.0, 10_000.0),
        ("mass_window", config.mass_window, 0.0, 60.0),
    ];
    for (key, value, min, max) in ranges {
        if !(value >= min && value <= max) {
            let what = format!("{key} is {value}, outside {min} to {max}");
            return Err(Refusal::new(Why::Invalid, what).field(format!("config.{key}"), format!("{min} to {max}")));
        }
    }
    Ok(())
}

impl Supervision {
    pub(super) fn known_supervisor(&self, id: &SupervisorId) -> Result<&Supervisor, Refusal> {
        let missing =
            || Refusal::new(Why::NotFound, format!("there is no supervisor {id}")).field("supervisor", "a known id");
        self.state.supervisors.get(id).ok_or_else(missing)
    }

    pub(super) fn create_supervisor(&mut self, by: &Actor, new: NewSupervisor, origin: Origin, now: Now) -> Reply {
        check_name("name", &new.name)?;
        check_config(&new.config)?;
        if self.state.supervisors.len() >= SUPERVISORS_MAX {
            return Err(Refusal::new(Why::TooMany, format!("there are {SUPERVISORS_MAX} supervisors")));
        }
        let level = self.level_below(new.parent_id.as_ref())?;
        self.unique_below(new.parent_id.as_ref(), &new.name, None)?;
        let taken = |id: &str| self.state.supervisors.contains(&SupervisorId::from(id));
        let id = match &new.id {
            Some(id) => id.clone(),
            None => id_of(&new.name, taken).into(),
        };
        check_id("id", id.as_str())?;
        if taken(id.as_str()) {
            return Err(
                Refusal::new(Why::Conflict, format!("there is a supervisor {id} already")).field("id", "unique")
            );
        }
        for agent in &new.agents {
            self.free_agent(agent)?;
        }
        let supervisor = Supervisor {
            id: id.clone(),
            name: new.name.clone(),
            description: new.description,
            origin,
            parent: new.parent_id,
            level,
            wanted: WantedLifecycle::Active,
            status: SupervisorStatus::Spawning,
            config: new.config,
            config_version: 1,
            policies: Vec::new(),
            failure_reason: None,
            created_at: now.wall,
            updated_at: now.wall,
            last_heartbeat: None,
            last_policy_evaluation: None,
            begun: Vec::new(),
        };
        self.state.supervisors.insert(id.clone(), supervisor);
        let cause = Cause::by(by, format!("supervisor {} was made", new.name));
        self.event("supervisor.created", Severity::Info, About::supervisor(&id), &cause, now);
        if !new.agents.is_empty() {
            let members = new.agents.into_iter().map(NewMember::Agent).collect();
            let team = NewTeam {
                id: None,
                supervisor_id: Some(id.clone()),
                name: new.name,
                description: String::new(),
                objective: String::new(),
                members,
            };
            self.create_team(by, team, origin, now)?;
        }
        // Everything that it needs is there: it monitors from this record on.
        self.set_status(&id, SupervisorStatus::Active, "supervisor.started", &Cause::by(by, "it is monitoring"), now);
        self.keep_up(&id, now);
        Ok(Answer::Made { id: id.to_string(), version: Some(1), notes: Vec::new() })
    }

    /// The level below a parent, if the tree may grow there.
    fn level_below(&self, parent: Option<&SupervisorId>) -> Result<u32, Refusal> {
        let Some(parent) = parent else { return Ok(0) };
        let above = self.state.supervisors.get(parent).ok_or_else(|| {
            Refusal::new(Why::NotFound, format!("there is no supervisor {parent}")).field("parent_id", "a known id")
        })?;
        if above.wanted == WantedLifecycle::Terminated {
            return Err(Refusal::new(Why::Conflict, format!("supervisor {parent} is over"))
                .field("parent_id", "one that is not over"));
        }
        let level = above.level.saturating_add(1);
        let most = self.root_of(parent).map_or(5, |root| root.config.max_hierarchy_depth);
        if level >= most {
            let what = format!(
                "the tree may have {most} levels (max_hierarchy_depth of its root), this would be level {}",
                level.saturating_add(1)
            );
            return Err(Refusal::new(Why::Invalid, what).field("parent_id", format!("at most level {most}")));
        }
        Ok(level)
    }

    fn root_of(&self, id: &SupervisorId) -> Option<&Supervisor> {
        let mut one = self.state.supervisors.get(id)?;
        // A parent exists before its child and never changes: this ends at a root.
        while let Some(above) = one.parent.as_ref().and_then(|parent| self.state.supervisors.get(parent)) {
            one = above;
        }
        Some(one)
    }

    /// Roots are siblings of one another.
    fn unique_below(
        &self,
        parent: Option<&SupervisorId>,
        name: &str,
        but: Option<&SupervisorId>,
    ) -> Result<(), Refusal> {
        let same = |one: &&Supervisor| one.parent.as_ref() == parent && one.name == name && Some(&one.id) != but;
        match self.state.supervisors.values().find(same) {
            None => Ok(()),
            Some(other) => {
                let what = format!("{} below the same parent is called `{name}` already", other.id);
                Err(Refusal::new(Why::Conflict, what).field("name", "unique below its parent"))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a change of status has these parts")]
    fn set_status(&mut self, id: &SupervisorId, status: SupervisorStatus, kind: &str, cause: &Cause, now: Now) {
        let Some(one) = self.state.supervisors.get_mut(id) else { return };
        one.status = status;
        one.updated_at = now.wall;
        if status == SupervisorStatus::Active {
            one.failure_reason = None;
        }
        self.event(kind, Severity::Info, About::supervisor(id), cause, now);
    }

    #[expect(clippy::too_many_arguments, reason = "a change has these parts")]
    pub(super) fn configure_supervisor(
        &mut self,
        person: &Person,
        id: &SupervisorId,
        (description, config): (Option<String>, Option<SupervisorConfig>),
        expect: Option<u64>,
        now: Now,
    ) -> Reply {
        let one = self.known_supervisor(id)?;
        let version = one.config_version;
        if one.origin == Origin::Declared && person.actor.as_str() != "config" {
            return Err(declared("supervisor", id.as_str()));
        }
        if expect.is_some_and(|expect| expect != version) {
            return Err(stale(version));
        }
        if let Some(config) = &config {
            check_config(config)?;
        }
        let Some(one) = self.state.supervisors.get_mut(id) else { return Ok(Answer::Done {}) };
        let next = version.saturating_add(1);
        one.config_version = next;
        one.updated_at = now.wall;
        one.description = description.unwrap_or_else(|| std::mem::take(&mut one.description));
        one.config = config.unwrap_or_else(|| one.config.clone());
        let cause = Cause::by(&person.actor, format!("its settings are now version {next}"));
        self.event("supervisor.configured", Severity::Info, About::supervisor(id), &cause, now);
        self.keep_up(id, now);
        Ok(Answer::Made { id: id.to_string(), version: Some(next), notes: Vec::new() })
    }

    pub(super) fn pause_supervisor(&mut self, person: &Person, id: &SupervisorId, now: Now) -> Reply {
        match self.known_supervisor(id)?.wanted {
            WantedLifecycle::Terminated => Err(over(id)),
            WantedLifecycle::Paused => Ok(Answer::Done {}),
            WantedLifecycle::Active => {
                self.want(id, WantedLifecycle::Paused);
                let cause = Cause::by(&person.actor, "paused: it beats, but neither monitors nor intervenes");
                self.set_status(id, SupervisorStatus::Paused, "supervisor.paused", &cause, now);
                self.keep_up(id, now);
                Ok(Answer::Done {})
            }
        }
    }

    pub(super) fn resume_supervisor(&mut self, person: &Person, id: &SupervisorId, now: Now) -> Reply {
        match self.known_supervisor(id)?.wanted {
            WantedLifecycle::Terminated => Err(over(id)),
            WantedLifecycle::Active => Ok(Answer::Done {}),
            WantedLifecycle::Paused => {
                self.activate(id, "supervisor.resumed", &Cause::by(&person.actor, "resumed"), now);
                Ok(Answer::Done {})
            }
        }
    }

    fn want(&mut self, id: &SupervisorId, wanted: WantedLifecycle) {
        if let Some(one) = self.state.supervisors.get_mut(id) {
            one.wanted = wanted;
        }
    }

    pub(super) fn stop_supervisor(&mut self, person: &Person, id: &SupervisorId, now: Now) -> Reply {
        let one = self.known_supervisor(id)?;
        if one.wanted == WantedLifecycle::Terminated {
            return Ok(Answer::Done {});
        }
        self.nobody_below(id)?;
        self.want(id, WantedLifecycle::Terminated);
        let cause = Cause::by(&person.actor, "stopped for ever; its agents were left as they are");
        self.set_status(id, SupervisorStatus::Terminated, "supervisor.stopped", &cause, now);
        self.keep_up(id, now);
        self.refuse_waiting(id, now);
        Ok(Answer::Done {})
    }

    /// Whoever is over must have nobody below who is not: those would be looked after by nobody.
    pub(in super::super) fn nobody_below(&self, id: &SupervisorId) -> Result<(), Refusal> {
        let below =
            |other: &&Supervisor| other.parent.as_ref() == Some(id) && other.wanted != WantedLifecycle::Terminated;
        let Some(child) = self.state.supervisors.values().find(below) else { return Ok(()) };
        let what = format!("{} is below it and not over: stop that first", child.id);
        Err(Refusal::new(Why::Conflict, what).field("id", "one with nothing below it"))
    }

    pub(super) fn restart_supervisor(&mut self, person: &Person, id: &SupervisorId, now: Now) -> Reply {
        let one = self.known_supervisor(id)?;
        if one.status != SupervisorStatus::Failed {
            let what = format!("supervisor {id} is {}: only one that is FAILED can be restarted", one.status.as_str());
            return Err(Refusal::new(Why::Conflict, what));
        }
        self.activate(id, "supervisor.restarted", &Cause::by(&person.actor, "restarted"), now);
        Ok(Answer::Done {})
    }

    /// It monitors again, and with it whoever is below it.
    fn activate(&mut self, id: &SupervisorId, kind: &str, cause: &Cause, now: Now) {
        let everybody: Vec<AgentId> = self.state.agents.keys().cloned().collect();
        self.monitored_anew(&everybody, now, |it| {
            it.want(id, WantedLifecycle::Active);
            it.set_status(id, SupervisorStatus::Active, kind, cause, now);
        });
        self.keep_up(id, now);
        // What its policies asked for before may begin.
        self.volatile.room = true;
    }

    /// Makes a change; whoever of these agents is looked after by it, and was not before, is gone on with.
    pub(super) fn monitored_anew(&mut self, agents: &[AgentId], now: Now, change: impl FnOnce(&mut Self)) {
        let is_seen = |it: &Self, id: &&AgentId| it.state.agents.get(id).is_some_and(|agent| it.is_monitored(agent));
        let unseen: Vec<&AgentId> = agents.iter().filter(|id| !is_seen(self, id)).collect();
        change(self);
        let seen: Vec<AgentId> = unseen.into_iter().filter(|id| is_seen(self, id)).cloned().collect();
        if !seen.is_empty() {
            self.monitoring_resumed(&seen, now);
        }
    }

    pub(super) fn delete_supervisor(&mut self, person: &Person, id: &SupervisorId, now: Now) -> Reply {
        let one = self.known_supervisor(id)?;
        if one.origin == Origin::Declared && person.actor.as_str() != "config" {
            return Err(declared("supervisor", id.as_str()));
        }
        let below = self
            .state
            .supervisors
            .values()
            .find(|other| other.parent.as_ref() == Some(id))
            .map(|one| one.id.to_string());
        let teams =
            self.state.teams.values().find(|team| team.supervisor == *id).map(|team| format!("team {}", team.id));
        if let Some(what) = below.or(teams) {
            return Err(Refusal::new(Why::Conflict, format!("{what} belongs to it: delete that first")));
        }
        let under_way = |other: &&crate::ids::InterventionId| {
            self.state.interventions.get(other).is_some_and(|one| one.supervisor == *id)
        };
        if let Some(open) = self.volatile.open_interventions.iter().find(under_way) {
            return Err(Refusal::new(Why::Conflict, format!("{open} is not over")));
        }
        self.state.supervisors.remove(id);
        self.keep_up(id, now);
        self.event(
            "supervisor.deleted",
            Severity::Info,
            About::supervisor(id),
            &Cause::by(&person.actor, "deleted"),
            now,
        );
        Ok(Answer::Done {})
    }
}

/// The refusal for what stands in `hb.yaml`.
pub(in super::super) fn declared(what: &str, id: &str) -> Refusal {
    Refusal::new(Why::Conflict, format!("{what} {id} is declared in hb.yaml, which wins: change it there and reload"))
        .field("id", "one that was made by the API")
}

/// The refusal for a change of something that was changed meanwhile.
pub(super) fn stale(version: u64) -> Refusal {
    Refusal::new(Why::Stale, format!("it was changed meanwhile: it has version {version}; read it again"))
        .field("version", version.to_string())
}

fn over(id: &SupervisorId) -> Refusal {
    Refusal::new(Why::Conflict, format!("supervisor {id} is TERMINATED, for ever: make another"))
}
