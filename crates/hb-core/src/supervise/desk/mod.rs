//! Answers people and `hb.yaml`: makes, changes and forgets supervisors, teams, agents and policies; checks who may.

use super::Supervision;
use super::input::{Command, Declared, Person};
use super::step::{Refusal, Reply, Why};
use crate::time::Now;

impl Supervision {
    /// What `hb.yaml` declares is put in force: new things are made, changed ones changed, those no longer declared become dynamic and stop.
    pub(super) fn declared(&mut self, _declared: Declared, _now: Now) {}

    /// Somebody wants something.
    pub(super) fn command(&mut self, person: &Person, command: Command, _now: Now) -> Reply {
        if person.role < command.needs() {
            let needs = format!("{:?}", command.needs()).to_uppercase();
            return Err(Refusal::new(
                Why::Forbidden,
                format!("this needs the role {needs}; {} has less", person.actor),
            ));
        }
        Err(Refusal::new(Why::Invalid, "not yet"))
    }
}
