//! Policies: made, approved, put in force, put on duty.
//!
//! What stands in `hb.yaml` is changed there: the API may approve it and settle what it has learned, but neither add versions to it nor
//! take it off duty. Who made a version can never be the one who approves it.

use super::super::agent::Origin;
use super::super::alert::Severity;
use super::super::bounds::POLICIES_MAX;
use super::super::event::About;
use super::super::input::{Command, NewPolicy, Person};
use super::super::policy::adapt::Verdict;
use super::super::policy::versions::{Accepted, Activated};
use super::super::policy::{Assignment, Policy, adapt, check, fault};
use super::super::step::{Answer, Refusal, Reply, Why};
use super::super::tree::WantedLifecycle;
use super::super::{Cause, Supervision};
use super::names::check_id;
use crate::ids::{PolicyName, SupervisorId};
use crate::time::Now;

impl Supervision {
    /// A command about policies.
    pub(super) fn policy_command(&mut self, person: &Person, command: Command, now: Now) -> Reply {
        if let Command::AcceptPolicy(new) = command {
            return self.accept_policy(person, *new, now);
        }
        if let Command::RevisePolicy { new, expect } = command {
            self.unchanged(&new.name, expect)?;
            return self.accept_policy(person, *new, now);
        }
        if let Command::RetirePolicy { name, expect } = command {
            self.unchanged(&name, expect)?;
            return self.retire_policy(person, &name, now);
        }
        if let Command::ApprovePolicy { name, version } = command {
            return self.approve_policy(person, &name, version, now);
        }
        if let Command::ActivatePolicy { name, version } = command {
            return self.activate_policy(person, &name, version, now);
        }
        if let Command::DeactivatePolicy(name) = command {
            return self.deactivate_policy(person, &name, now);
        }
        if let Command::SettleHeld { name, accept } = command {
            let verdict = if accept { Verdict::TakeOver } else { Verdict::Drop };
            return self.settle_held(person, &name, verdict, now);
        }
        if let Command::AssignPolicy { supervisor, policy, priority, enabled } = command {
            let priority = enabled.then_some(priority);
            return self.assign_policy(person, (&supervisor, &policy), priority, now);
        }
        Err(Refusal::new(Why::Invalid, "this is no command about policies"))
    }

    /// A new version of a policy; the first makes it. It is not in force by that.
    pub(super) fn accept_policy(&mut self, person: &Person, new: NewPolicy, now: Now) -> Reply {
        let name = new.name.clone();
        if self.state.policies.get(&name).is_some_and(|policy| policy.origin == Origin::Declared) {
            return Err(in_the_file(&name));
        }
        let (accepted, dangerous) = self.take_version(person, new, Origin::Dynamic, now)?;
        let version = accepted.version();
        let mut notes = Vec::new();
        if let Accepted::Same(version) = accepted {
            notes.push(format!("it says what version {version} says: nothing was made"));
        }
        if dangerous {
            notes
                .push(format!("it acts on everything at once: somebody other than {} has to approve it", person.actor));
        }
        if self.state.policies.get(&name).is_some_and(|policy| policy.active != Some(version)) {
            notes.push(format!("it is not in force before version {version} is activated"));
        }
        Ok(Answer::Made { id: name.to_string(), version: Some(u64::from(version)), notes })
    }

    /// Somebody other than its author agrees to a version. One of `hb.yaml` that only waited for this is in force then.
    pub(super) fn approve_policy(&mut self, person: &Person, name: &PolicyName, version: u32, now: Now) -> Reply {
        let mut policy = self.policy(name)?.clone();
        policy.approve(version, &person.actor)?;
        let newest = policy.versions.last().map(|newest| newest.version);
        let waited = policy.origin == Origin::Declared && newest == Some(version) && policy.active != newest;
        self.state.policies.insert(name.clone(), policy);
        let cause = Cause::by(&person.actor, format!("version {version} of {name} was approved"));
        self.event("policy.approved", Severity::Info, About::policy(name), &cause, now);
        if waited {
            self.put_in_force(person, name, version, now)?;
        }
        Ok(Answer::Done {})
    }

    /// Puts a version in force; an older one is a rollback.
    pub(super) fn activate_policy(&mut self, person: &Person, name: &PolicyName, version: u32, now: Now) -> Reply {
        self.changeable(name)?;
        self.in_service(name)?;
        self.put_in_force(person, name, version, now)?;
        Ok(Answer::Made { id: name.to_string(), version: Some(u64::from(version)), notes: self.nobody_has_it(name) })
    }

    /// That it exists, and that nobody has made another version since the sender looked.
    fn unchanged(&self, name: &PolicyName, expect: Option<u64>) -> Result<(), Refusal> {
        let newest = self.policy(name)?.versions.last().map_or(0, |newest| u64::from(newest.version));
        match expect {
            Some(expect) if expect != newest => {
                let message = format!("its newest version is {newest}, not {expect}: read it again");
                Err(Refusal::new(Why::Stale, message).field("version", newest.to_string()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Out of force, off duty everywhere, and kept: what was decided by it can still be explained.
    fn retire_policy(&mut self, person: &Person, name: &PolicyName, now: Now) -> Reply {
        self.changeable(name)?;
        if self.policy(name)?.retired_at.is_some() {
            return Ok(Answer::Done {});
        }
        self.put_out_of_force(person, name, now);
        for id in self.state.supervisors.keys().cloned().collect::<Vec<_>>() {
            self.duty(person, &id, name, None, now);
        }
        if let Some(policy) = self.state.policies.get_mut(name) {
            policy.retired_at = Some(now.wall);
        }
        let cause = Cause::by(&person.actor, format!("{name} is retired: another version of it would bring it back"));
        self.event("policy.retired", Severity::Info, About::policy(name), &cause, now);
        Ok(Answer::Done {})
    }

    /// That it is not retired.
    fn in_service(&self, name: &PolicyName) -> Result<(), Refusal> {
        if self.policy(name)?.retired_at.is_none() {
            return Ok(());
        }
        let message = format!("{name} is retired: make a version of it first, which brings it back");
        Err(Refusal::new(Why::Conflict, message).field("name", "a policy that is not retired"))
    }

    /// Puts none in force.
    pub(super) fn deactivate_policy(&mut self, person: &Person, name: &PolicyName, now: Now) -> Reply {
        self.changeable(name)?;
        self.put_out_of_force(person, name, now);
        Ok(Answer::Done {})
    }

    /// Takes a held change over, or drops it.
    pub(super) fn settle_held(&mut self, person: &Person, name: &PolicyName, verdict: Verdict, now: Now) -> Reply {
        let mut policy = self.policy(name)?.clone();
        let held = adapt::settle(&mut policy, verdict)?;
        self.state.policies.insert(name.clone(), policy);
        let done = if verdict == Verdict::TakeOver { "taken over" } else { "dropped" };
        let cause = Cause::by(&person.actor, format!("the held change was {done}: {}", held.justification));
        self.event("policy.change_settled", Severity::Info, About::policy(name), &cause, now);
        self.look_again(name);
        Ok(Answer::Done {})
    }

    /// Puts a policy on duty with a priority, changes that, or takes it off duty (`None`). There is one assignment of a policy to a
    /// supervisor, however often it is asked for.
    pub(super) fn assign_policy(
        &mut self,
        person: &Person,
        (supervisor, name): (&SupervisorId, &PolicyName),
        priority: Option<i32>,
        now: Now,
    ) -> Reply {
        self.changeable(name)?;
        let Some(known) = self.state.supervisors.get(supervisor) else {
            let refusal = Refusal::new(Why::NotFound, format!("there is no supervisor {supervisor}"));
            return Err(refusal.field("supervisor", "one that exists"));
        };
        if priority.is_some() && known.wanted == WantedLifecycle::Terminated {
            return Err(Refusal::new(Why::Conflict, format!("supervisor {supervisor} is over; it takes no policies")));
        }
        if priority.is_some() {
            self.in_service(name)?;
        }
        self.duty(person, supervisor, name, priority, now);
        let in_force = self.state.policies.get(name).is_some_and(|policy| policy.active.is_some());
        let note = format!("no version of {name} is in force: activate one");
        let notes = if priority.is_some() && !in_force { vec![note] } else { Vec::new() };
        Ok(Answer::Made { id: name.to_string(), version: None, notes })
    }

    /// A policy of `hb.yaml`: a new version when it is another than the newest, put in force. One that needs a second person stays out of
    /// force until it is approved; what was in force before goes on.
    pub(super) fn declare_version(&mut self, person: &Person, new: NewPolicy, now: Now) -> Result<(), Refusal> {
        let name = new.name.clone();
        let (accepted, dangerous) = self.take_version(person, new, Origin::Declared, now)?;
        let version = accepted.version();
        if self.state.policies.get(&name).is_some_and(|policy| policy.origin != Origin::Declared)
            && let Some(policy) = self.state.policies.get_mut(&name)
        {
            policy.origin = Origin::Declared;
        }
        let agreed = |policy: &Policy| policy.version(version).is_some_and(|one| one.approved_by.is_some());
        if dangerous && !self.state.policies.get(&name).is_some_and(agreed) {
            let why =
                format!("version {version} of {name} acts on everything at once: it waits for somebody to approve it");
            self.event(
                "policy.unapproved",
                Severity::Warning,
                About::policy(&name),
                &Cause::by(&person.actor, why),
                now,
            );
            return Ok(());
        }
        self.put_in_force(person, &name, version, now)
    }

    /// On duty for exactly these supervisors.
    ///
    /// # Errors
    /// Names those that do not exist; the others have it on duty all the same.
    pub(super) fn put_on_duty(
        &mut self,
        policy: &PolicyName,
        supervisors: &[SupervisorId],
        priority: i32,
        now: Now,
    ) -> Result<(), Refusal> {
        let person = Person { actor: "config".into(), role: super::super::input::Role::Admin };
        for id in self.state.supervisors.keys().cloned().collect::<Vec<_>>() {
            let priority = supervisors.contains(&id).then_some(priority);
            self.duty(&person, &id, policy, priority, now);
        }
        let unknown = supervisors.iter().filter(|id| !self.state.supervisors.contains(id));
        let unknown: Vec<&str> = unknown.map(SupervisorId::as_str).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let message = format!("{policy} cannot be on duty for {}: there is no such supervisor", unknown.join(", "));
        Err(Refusal::new(Why::NotFound, message).field("supervisors", "supervisors that exist"))
    }

    /// It no longer stands in `hb.yaml`: off duty and not in force; its versions stay.
    pub(super) fn undeclare_policy(&mut self, name: &PolicyName, now: Now) {
        let person = Person { actor: "config".into(), role: super::super::input::Role::Admin };
        self.put_out_of_force(&person, name, now);
        for id in self.state.supervisors.keys().cloned().collect::<Vec<_>>() {
            self.duty(&person, &id, name, None, now);
        }
        let Some(policy) = self.state.policies.get_mut(name) else { return };
        policy.origin = Origin::Dynamic;
        let cause = Cause::by(&person.actor, format!("{name} no longer stands in hb.yaml: it is out of force"));
        self.event("policy.undeclared", Severity::Warning, About::policy(name), &cause, now);
    }

    /// Makes the version, after another look at whether it is sound; gives whether it is dangerous.
    fn take_version(
        &mut self,
        person: &Person,
        new: NewPolicy,
        origin: Origin,
        now: Now,
    ) -> Result<(Accepted, bool), Refusal> {
        check_id("name", new.name.as_str())?;
        let faults = check::definition(&new.definition, &new.variables);
        if !faults.is_empty() {
            return Err(fault::refusal(&faults));
        }
        let name = new.name.clone();
        let known = self.state.policies.get(&name).cloned();
        if known.is_none() && self.state.policies.len() >= POLICIES_MAX {
            return Err(Refusal::new(
                Why::TooMany,
                format!("there are {POLICIES_MAX} policies already, and that is all"),
            ));
        }
        let mut policy = known.unwrap_or_else(|| Policy::empty(name.clone(), origin));
        let dangerous = check::is_dangerous(&new.definition);
        let back = policy.retired_at.take().is_some();
        let accepted = policy.accept(new, &person.actor, now.wall);
        if back || matches!(accepted, Accepted::Made(_)) {
            self.state.policies.insert(name.clone(), policy);
        }
        if back {
            let cause = Cause::by(&person.actor, format!("{name} is no longer retired"));
            self.event("policy.brought_back", Severity::Info, About::policy(&name), &cause, now);
        }
        if let Accepted::Made(version) = accepted {
            let note = if dangerous { "; it acts on everything at once" } else { "" };
            let cause = Cause::by(&person.actor, format!("version {version} of {name} was made{note}"));
            self.event("policy.made", Severity::Info, About::policy(&name), &cause, now);
        }
        Ok((accepted, dangerous))
    }

    fn put_in_force(&mut self, person: &Person, name: &PolicyName, version: u32, now: Now) -> Result<(), Refusal> {
        let mut policy = self.policy(name)?.clone();
        let Activated::Now { before } = policy.activate(version)? else { return Ok(()) };
        self.state.policies.insert(name.clone(), policy);
        let how = match before {
            Some(before) if before > version => {
                format!("version {version} of {name} is in force: rolled back from {before}")
            }
            Some(before) => format!("version {version} of {name} is in force, in place of {before}"),
            None => format!("version {version} of {name} is in force"),
        };
        let cause = Cause::by(&person.actor, how);
        self.event("policy.activated", Severity::Info, About::policy(name), &cause, now);
        self.unlatch(name);
        self.look_again(name);
        Ok(())
    }

    fn put_out_of_force(&mut self, person: &Person, name: &PolicyName, now: Now) {
        if self.state.policies.get(name).is_none_or(|policy| policy.active.is_none()) {
            return;
        }
        let before = self.state.policies.get_mut(name).and_then(Policy::deactivate).unwrap_or_default();
        let cause =
            Cause::by(&person.actor, format!("version {before} of {name} is out of force, and no other is in it"));
        self.event("policy.deactivated", Severity::Info, About::policy(name), &cause, now);
        self.unlatch(name);
    }

    /// On duty with this priority, or off duty. Nothing happens when it is so already.
    #[expect(clippy::too_many_arguments, reason = "an assignment has these parts")]
    fn duty(&mut self, person: &Person, supervisor: &SupervisorId, name: &PolicyName, priority: Option<i32>, now: Now) {
        let Some(one) = self.state.supervisors.get(supervisor) else { return };
        let known = one.policies.iter().find(|one| one.policy == *name);
        let on_duty = known.filter(|known| known.disabled_at.is_none()).map(|known| known.priority);
        if on_duty == priority {
            return;
        }
        let Some(one) = self.state.supervisors.get_mut(supervisor) else { return };
        let known = one.policies.iter_mut().find(|one| one.policy == *name);
        let did = match (known, priority) {
            (Some(known), Some(priority)) => {
                if known.disabled_at.take().is_some() {
                    known.enabled_at = now.wall;
                }
                known.priority = priority;
                format!("{name} is on duty with priority {priority}")
            }
            (None, Some(priority)) => {
                let policy = name.clone();
                one.policies.push(Assignment { policy, priority, enabled_at: now.wall, disabled_at: None });
                format!("{name} is on duty with priority {priority}")
            }
            (Some(known), None) => {
                known.disabled_at = Some(now.wall);
                format!("{name} is off duty")
            }
            (None, None) => return,
        };
        let about = About { policy: Some(name.clone()), ..About::supervisor(supervisor) };
        self.event("policy.assigned", Severity::Info, about, &Cause::by(&person.actor, did), now);
        self.look_again(name);
    }

    fn policy(&self, name: &PolicyName) -> Result<&Policy, Refusal> {
        let missing =
            || Refusal::new(Why::NotFound, format!("there is no policy {name}")).field("name", "one that exists");
        self.state.policies.get(name).ok_or_else(missing)
    }

    /// That it exists, and that the API may change it.
    fn changeable(&self, name: &PolicyName) -> Result<(), Refusal> {
        if self.policy(name)?.origin == Origin::Declared { Err(in_the_file(name)) } else { Ok(()) }
    }

    /// A hint when no supervisor has it on duty.
    fn nobody_has_it(&self, name: &PolicyName) -> Vec<String> {
        let on_duty = self.state.supervisors.values().any(|one| one.has_on_duty(name));
        if on_duty { Vec::new() } else { vec!["it is on duty for no supervisor: assign it".into()] }
    }
}

fn in_the_file(name: &PolicyName) -> Refusal {
    let message = format!("{name} stands in hb.yaml, which wins over the API: change it there and reload");
    Refusal::new(Why::Conflict, message).field("name", "a policy that was made by the API")
}
