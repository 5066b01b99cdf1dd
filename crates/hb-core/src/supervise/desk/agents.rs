//! Agents: made known, specified anew, started, stopped, released.

use std::sync::Arc;

use super::super::agent::{Next, Origin};
use super::super::alert::Severity;
use super::super::bounds::{AGENTS_MAX, SAID_MAX};
use super::super::event::About;
use super::super::input::Person;
use super::super::spec::{AgentSpec, Wanted};
use super::super::step::{Answer, Refusal, Reply, Why};
use super::super::{Cause, Supervision};
use super::names::check_id;
use super::supervisors::{declared, stale};
use crate::ids::{Actor, AgentId};
use crate::time::Now;

impl Supervision {
    pub(super) fn known_agent(&self, id: &AgentId) -> Result<&super::super::agent::Agent, Refusal> {
        let missing =
            || Refusal::new(Why::NotFound, format!("there is no agent {id}")).field("agent", "a registered agent");
        self.state.agents.get(id).ok_or_else(missing)
    }

    /// Whether a specification makes sense by itself and among the others.
    pub(super) fn check_spec(&self, spec: &AgentSpec) -> Result<(), Refusal> {
        check_id("id", spec.id.as_str())?;
        if let Some((path, what)) = spec.faults().into_iter().next() {
            return Err(Refusal::new(Why::Invalid, format!("{path}: {what}")).field(path, what));
        }
        match self.depend_faults(spec) {
            None => Ok(()),
            Some(what) => Err(Refusal::new(Why::Invalid, what.clone()).field("depends_on", what)),
        }
    }

    pub(super) fn register(&mut self, by: &Actor, spec: AgentSpec, origin: Origin, now: Now) -> Reply {
        let id = spec.id.clone();
        if self.state.agents.contains(&id) {
            return Err(Refusal::new(
                Why::Conflict,
                format!("there is an agent {id} already; PUT changes its specification"),
            )
            .field("id", "unique"));
        }
        if self.state.agents.len() >= AGENTS_MAX {
            return Err(Refusal::new(Why::TooMany, format!("there are {AGENTS_MAX} agents")));
        }
        self.check_spec(&spec)?;
        self.register_agent(Arc::new(spec), origin, &Cause::by(by, "it was made known"), now);
        Ok(Answer::Made { id: id.to_string(), version: Some(1), notes: Vec::new() })
    }

    pub(super) fn respecify(&mut self, person: &Person, spec: AgentSpec, expect: Option<u64>, now: Now) -> Reply {
        let agent = self.known_agent(&spec.id)?;
        let version = agent.spec_version;
        if agent.origin == Origin::Declared && person.actor.as_str() != "config" {
            return Err(declared("agent", spec.id.as_str()));
        }
        if expect.is_some_and(|expect| expect != version) {
            return Err(stale(version));
        }
        if *agent.spec == spec {
            return Ok(Answer::Made { id: spec.id.to_string(), version: Some(version), notes: Vec::new() });
        }
        self.check_spec(&spec)?;
        let id = spec.id.clone();
        let before = agent.spec.clone();
        let (watch, wanted) = (before.watch != spec.watch, (before.wanted != spec.wanted).then_some(spec.wanted));
        self.respecify_agent(Arc::new(spec), &Cause::by(&person.actor, "its specification was changed"), now);
        if watch {
            self.forget_readings(&id, now);
            if let Some(before) = &before.watch {
                self.unfollow(before);
            }
        }
        let mut notes = vec!["applies to a running process with its next start".to_owned()];
        match wanted {
            Some(Wanted::Up) => notes.extend(self.want_up(person, &id, now).err().map(|refusal| refusal.message)),
            // One that does not run has nothing to stop.
            Some(Wanted::Down) => drop(self.want_down(person, &id, now)),
            None => {}
        }
        let version = self.state.agents.get(&id).map(|agent| agent.spec_version);
        Ok(Answer::Made { id: id.to_string(), version, notes })
    }

    pub(super) fn want_up(&mut self, person: &Person, id: &AgentId, now: Now) -> Reply {
        self.known_agent(id)?;
        let cause = Cause::by(&person.actor, format!("{} wants it to run", person.actor));
        self.start_agent(id, &cause, now).map_err(|why| Refusal::new(Why::Conflict, why))?;
        Ok(Answer::Done {})
    }

    pub(super) fn want_down(&mut self, person: &Person, id: &AgentId, now: Now) -> Reply {
        self.known_agent(id)?;
        let cause = Cause::by(&person.actor, format!("{} wants it to stop", person.actor));
        self.stop_agent(id, Next::Stay, &cause, now).map_err(|why| Refusal::new(Why::Conflict, why))?;
        Ok(Answer::Done {})
    }

    pub(super) fn release(&mut self, person: &Person, id: &AgentId, evidence: &str, now: Now) -> Reply {
        self.known_agent(id)?;
        let evidence: String = evidence.chars().take(SAID_MAX).collect();
        if evidence.trim().is_empty() {
            let what = "say what makes you sure that it is well";
            return Err(Refusal::new(Why::Invalid, what).field("evidence", "some words"));
        }
        let cause = Cause::by(&person.actor, format!("released by {}: {evidence}", person.actor));
        self.release_agent(id, &cause, now).map_err(|why| Refusal::new(Why::Conflict, why))?;
        Ok(Answer::Done {})
    }

    pub(super) fn raise_alert(
        &mut self,
        person: &Person,
        id: &AgentId,
        (severity, message): (Severity, String),
        now: Now,
    ) -> Reply {
        self.known_agent(id)?;
        let message: String = message.chars().take(SAID_MAX).collect();
        self.alert(id, super::super::alert::Concern::Anomaly, severity, &Cause::by(&person.actor, message), now);
        Ok(Answer::Done {})
    }

    /// What was declared and is no longer: it becomes dynamic and is stopped, and the API may delete it.
    pub(super) fn undeclare_agent(&mut self, id: &AgentId, by: &Actor, now: Now) {
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        agent.origin = Origin::Dynamic;
        let cause = Cause::by(by, "it no longer stands in hb.yaml: stopped; DELETE forgets it");
        self.event("agent.undeclared", Severity::Warning, About::agent(id), &cause, now);
        if self.state.agents.get(id).is_some_and(|agent| agent.wanted == Wanted::Up) {
            // One that does not run has nothing to stop.
            drop(self.stop_agent(id, Next::Stay, &cause, now));
        }
    }
}
