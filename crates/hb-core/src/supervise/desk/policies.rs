//! Policies: made, approved, put in force, put on duty.

use super::super::Supervision;
use super::super::input::{Command, NewPolicy, Person};
use super::super::step::{Refusal, Reply, Why};
use crate::ids::{PolicyName, SupervisorId};
use crate::time::Now;

impl Supervision {
    /// A command about policies.
    pub(super) fn policy_command(&mut self, _person: &Person, _command: Command, _now: Now) -> Reply {
        Err(Refusal::new(Why::Invalid, "not yet"))
    }

    /// A policy of `hb.yaml`: a new version when it is another than the newest, put in force.
    pub(super) fn declare_version(&mut self, _person: &Person, _new: NewPolicy, _now: Now) -> Result<(), Refusal> {
        Err(Refusal::new(Why::Invalid, "not yet"))
    }

    /// On duty for exactly these supervisors.
    pub(super) fn put_on_duty(
        &mut self,
        _policy: &PolicyName,
        _supervisors: &[SupervisorId],
        _priority: i32,
        _now: Now,
    ) -> Result<(), Refusal> {
        Err(Refusal::new(Why::Invalid, "not yet"))
    }

    /// It no longer stands in `hb.yaml`: off duty and not in force; its versions stay.
    pub(super) fn undeclare_policy(&mut self, _policy: &PolicyName, _now: Now) {}
}
