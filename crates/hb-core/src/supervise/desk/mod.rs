//! Answers people and `hb.yaml`: makes, changes and forgets supervisors, teams, agents and policies; checks who may.

mod agents;
mod declared;
pub(crate) mod names;
mod once;
mod policies;
pub(super) mod supervisors;
mod teams;

use std::collections::BTreeMap;

use super::agent::Origin;
use super::alert::Severity;
use super::bounds::SAID_MAX;
use super::event::{self, About};
use super::input::{Command, Person};
use super::step::{Answer, Refusal, Reply, Why};
use super::{Cause, Supervision};
use crate::time::Now;

impl Supervision {
    /// Somebody wants something.
    pub(super) fn command(&mut self, person: &Person, command: Command, now: Now) -> Reply {
        if person.role < command.needs() {
            let needs = format!("{:?}", command.needs()).to_uppercase();
            return Err(Refusal::new(
                Why::Forbidden,
                format!("this needs the role {needs}; {} has less", person.actor),
            ));
        }
        let by = &person.actor;
        match command {
            Command::CreateSupervisor(new) => self.create_supervisor(by, new, Origin::Dynamic, now),
            Command::ConfigureSupervisor { id, description, config, expect } => {
                self.configure_supervisor(person, &id, (description, config), expect, now)
            }
            Command::PauseSupervisor(id) => self.pause_supervisor(person, &id, now),
            Command::ResumeSupervisor(id) => self.resume_supervisor(person, &id, now),
            Command::StopSupervisor(id) => self.stop_supervisor(person, &id, now),
            Command::RestartSupervisor(id) => self.restart_supervisor(person, &id, now),
            Command::DeleteSupervisor(id) => self.delete_supervisor(person, &id, now),
            Command::CreateTeam(new) => self.create_team(by, new, Origin::Dynamic, now),
            Command::DeleteTeam(id) => self.delete_team(by, &id, now),
            Command::AddMember { team, member } => self.add_member(by, &team, member, now),
            Command::RemoveMember { team, agent } => self.remove_member(by, &team, &agent, now),
            Command::RegisterAgent(spec) => self.register(by, *spec, Origin::Dynamic, now),
            Command::RespecifyAgent { spec, expect } => self.respecify(person, *spec, expect, now),
            Command::StartAgent(id) => self.want_up(person, &id, now),
            Command::StopAgent(id) => self.want_down(person, &id, now),
            Command::ReleaseAgent { agent, evidence } => self.release(person, &agent, &evidence, now),
            Command::RaiseAlert { agent, severity, message } => {
                self.raise_alert(person, &agent, (severity, message), now)
            }
            Command::ResolveGroup(id) => self.resolve_group(person, &id, now),
            Command::Intervene(new) => self.intervene(person, new, now).map(|id| Answer::Made {
                notes: self.approval_note(&id),
                id: id.to_string(),
                version: None,
            }),
            Command::ApproveIntervention { id, reason } => self.approve_intervention(person, &id, reason, now),
            Command::RejectIntervention { id, reason } => self.reject_intervention(person, &id, reason, now),
            Command::SettleIntervention { id, done, reason } => {
                self.settle_intervention(person, &id, (done, reason), now)
            }
            Command::RollBackIntervention { id, reason } => self.roll_back(person, &id, reason, now),
            Command::AcknowledgeEvent { id, note } => self.acknowledge_event(person, id, &note, now),
            Command::Once { key, command } => self.once(person, &key, *command, now),
            Command::AcceptPolicy(_)
            | Command::RevisePolicy { .. }
            | Command::RetirePolicy { .. }
            | Command::ApprovePolicy { .. }
            | Command::ActivatePolicy { .. }
            | Command::DeactivatePolicy(_)
            | Command::SettleHeld { .. }
            | Command::AssignPolicy { .. } => self.policy_command(person, command, now),
        }
    }

    fn resolve_group(&mut self, person: &Person, id: &crate::ids::GroupId, now: Now) -> Reply {
        match self.state.groups.get(id) {
            None => Err(Refusal::new(Why::NotFound, format!("there is no group {id}, or it was closed long ago"))),
            Some(group) if group.resolved_at.is_some() => Ok(Answer::Done {}),
            Some(_) => {
                self.resolve(id, &Cause::by(&person.actor, format!("closed by {}", person.actor)), now);
                Ok(Answer::Done {})
            }
        }
    }

    /// Somebody has taken note of an event: that is an event too, and names it.
    fn acknowledge_event(&mut self, person: &Person, id: u64, note: &str, now: Now) -> Reply {
        if id >= self.state.counters.event {
            let refusal = Refusal::new(Why::NotFound, format!("there is no event {id} yet"));
            return Err(refusal.field("event", "the number of an event"));
        }
        let said: String = note.chars().take(SAID_MAX).collect();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let cause = Cause::by(&person.actor, format!("{} has taken note of event {id}{said}", person.actor));
        let details = BTreeMap::from([(event::ACKNOWLEDGED.1.to_owned(), id.into())]);
        self.event_with(event::ACKNOWLEDGED.0, Severity::Info, About::default(), &cause, details, now);
        Ok(Answer::Done {})
    }

    fn approval_note(&self, id: &crate::ids::InterventionId) -> Vec<String> {
        let reasons = self.state.interventions.get(id).map(|one| one.approval_reasons.clone()).unwrap_or_default();
        if reasons.is_empty() {
            Vec::new()
        } else {
            vec![format!("waits for approval by somebody else: {}", reasons.join("; "))]
        }
    }
}
