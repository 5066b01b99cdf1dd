//! Which versions does a policy have, and which of them is in force?
//!
//! **Invariants.** A version never changes once it is made, but for who agreed to it. Numbers grow by one and are never used again. At most
//! one version is active; a dangerous one only when somebody other than its author agreed. Putting a version in force begins its
//! figures and its effectiveness anew: what was learned about another version says nothing about this one.

use std::collections::BTreeMap;

use super::super::agent::Origin;
use super::super::bounds::POLICY_VERSIONS_MAX;
use super::super::input::NewPolicy;
use super::super::step::{Refusal, Why};
use super::{Policy, PolicyVersion, check};
use crate::ids::Actor;
use crate::time::Stamp;

/// The effectiveness of a version of which nothing is known.
pub const EFFECTIVENESS_START: f64 = 0.5;

/// What became of a version that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It was made, with this number.
    Made(u32),
    /// It says what the newest version says, whose number this is; nothing was made.
    Same(u32),
}

impl Accepted {
    /// The number.
    #[must_use]
    pub fn version(self) -> u32 {
        match self {
            Self::Made(version) | Self::Same(version) => version,
        }
    }
}

/// What putting a version in force came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activated {
    /// It is in force now, in place of the other.
    Now {
        /// The one that was.
        before: Option<u32>,
    },
    /// It was before.
    Already,
}

impl Policy {
    /// A policy without versions.
    #[must_use]
    pub fn empty(name: crate::ids::PolicyName, origin: Origin) -> Self {
        Self {
            name,
            origin,
            versions: Vec::new(),
            active: None,
            variables: BTreeMap::new(),
            effectiveness: EFFECTIVENESS_START,
            evaluations: 0,
            matches: 0,
            successes: 0,
            held: None,
            retired_at: None,
        }
    }

    /// One of its versions.
    #[must_use]
    pub fn version(&self, version: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|one| one.version == version)
    }

    /// The version in force.
    #[must_use]
    pub fn in_force(&self) -> Option<&PolicyVersion> {
        self.active.and_then(|version| self.version(version))
    }

    /// Makes a version of what was read and checked, unless it says what the newest one says. Beyond
    /// [`POLICY_VERSIONS_MAX`] the oldest one that is not in force goes.
    pub fn accept(&mut self, new: NewPolicy, by: &Actor, at: Stamp) -> Accepted {
        if let Some(newest) = self.versions.last().filter(|newest| says_the_same(newest, &new)) {
            return Accepted::Same(newest.version);
        }
        let version = self.versions.last().map_or(1, |newest| newest.version.saturating_add(1));
        while self.versions.len() >= POLICY_VERSIONS_MAX {
            let Some(oldest) = self.versions.iter().position(|one| Some(one.version) != self.active) else { break };
            self.versions.remove(oldest);
        }
        let dangerous = check::is_dangerous(&new.definition);
        self.versions.push(PolicyVersion {
            version,
            description: new.description,
            policy_type: new.policy_type,
            definition: new.definition,
            variables: new.variables,
            created_by: by.clone(),
            created_at: at,
            dangerous,
            approved_by: None,
        });
        Accepted::Made(version)
    }

    /// Notes that somebody agreed to a version.
    ///
    /// # Errors
    /// There is no such version, its author wants to agree, or somebody else has agreed.
    pub fn approve(&mut self, version: u32, by: &Actor) -> Result<(), Refusal> {
        let missing = self.no_version(version);
        let one = self.versions.iter_mut().find(|one| one.version == version).ok_or(missing)?;
        if one.created_by == *by {
            let message = format!("{by} made version {version} of {}; somebody else has to agree", self.name);
            return Err(Refusal::new(Why::Forbidden, message).field("approved_by", "not its author"));
        }
        match &one.approved_by {
            Some(before) if before != by => {
                let message = format!("{before} has agreed to version {version} of {} already", self.name);
                Err(Refusal::new(Why::Conflict, message))
            }
            Some(_) => Ok(()),
            None => {
                one.approved_by = Some(by.clone());
                Ok(())
            }
        }
    }

    /// Puts a version in force; an older one is a rollback.
    ///
    /// # Errors
    /// There is no such version, or it is dangerous and nobody but its author has agreed.
    pub fn activate(&mut self, version: u32) -> Result<Activated, Refusal> {
        let one = self.version(version).ok_or_else(|| self.no_version(version))?;
        let agreed = one.approved_by.as_ref().is_some_and(|by| *by != one.created_by);
        if one.dangerous && !agreed {
            let message = format!(
                "version {version} of {} acts on everything at once: somebody other than {} has to approve it first",
                self.name, one.created_by
            );
            return Err(Refusal::new(Why::Forbidden, message).field("approved_by", "a second person"));
        }
        if self.active == Some(version) {
            return Ok(Activated::Already);
        }
        self.variables = one.variables.clone();
        self.effectiveness = EFFECTIVENESS_START;
        self.held = None;
        Ok(Activated::Now { before: self.active.replace(version) })
    }

    /// Puts none in force; gives the one that was.
    pub fn deactivate(&mut self) -> Option<u32> {
        self.held = None;
        self.active.take()
    }

    fn no_version(&self, version: u32) -> Refusal {
        let known: Vec<String> = self.versions.iter().map(|one| one.version.to_string()).collect();
        let message = format!("{} has no version {version}; it has {}", self.name, known.join(", "));
        Refusal::new(Why::NotFound, message).field("version", format!("one of {}", known.join(", ")))
    }
}

fn says_the_same(version: &PolicyVersion, new: &NewPolicy) -> bool {
    version.description == new.description
        && version.policy_type == new.policy_type
        && version.definition == new.definition
        && version.variables == new.variables
}

#[cfg(test)]
mod tests {
    use super::super::testing::policy;
    use super::*;
    use serde_json::json;

    fn new(score: f64) -> NewPolicy {
        policy(json!({
            "name": "p",
            "when": format!("agent.anomaly_score >= {score}"),
            "actions": [{"type": "restart_agent"}],
            "variables": {"limit": {"value": score, "min": 0, "max": 1, "adaptive": true}},
        }))
    }

    fn empty() -> Policy {
        Policy::empty("p".into(), Origin::Dynamic)
    }

    #[test]
    fn versions_are_numbered_kept_within_their_bound_and_not_doubled() {
        let (mut policy, ada) = (empty(), "operator:ada".into());
        for at in 1..=60_u32 {
            assert_eq!(policy.accept(new(f64::from(at) / 100.0), &ada, Stamp(0)), Accepted::Made(at));
            if at == 2 {
                policy.activate(2).unwrap();
            }
        }
        assert_eq!(policy.accept(new(0.6), &ada, Stamp(0)), Accepted::Same(60));
        assert_eq!(policy.versions.len(), POLICY_VERSIONS_MAX);
        assert!(policy.in_force().is_some(), "the one in force stays, however old it is");
        assert_eq!(policy.versions.iter().map(|one| one.version).take(3).collect::<Vec<_>>(), [2, 12, 13]);
    }

    #[test]
    fn activation_and_rollback_begin_figures_anew() {
        let (mut policy, ada) = (empty(), "operator:ada".into());
        policy.accept(new(0.5), &ada, Stamp(0));
        policy.accept(new(0.7), &ada, Stamp(0));
        assert_eq!(policy.activate(2).unwrap(), Activated::Now { before: None });
        policy.effectiveness = 0.9;
        policy.variables.get_mut("limit").unwrap().value = 0.99;
        assert_eq!(policy.activate(2).unwrap(), Activated::Already);
        assert!(policy.variables["limit"].value > 0.98, "what was learned stays while it is in force");
        assert_eq!(policy.activate(1).unwrap(), Activated::Now { before: Some(2) });
        assert_eq!((policy.variables["limit"].value, policy.effectiveness), (0.5, 0.5));
        assert_eq!(policy.activate(7).unwrap_err().message, "p has no version 7; it has 1, 2");
        assert_eq!((policy.deactivate(), policy.active), (Some(1), None));
    }

    #[test]
    fn a_dangerous_version_needs_somebody_else() {
        let (mut policy, ada, bob): (_, Actor, Actor) = (empty(), "operator:ada".into(), "operator:bob".into());
        let all = super::super::testing::policy(
            json!({"name": "p", "when": "alert.kind == 'mass'", "actions": [{"type": "restart_all"}]}),
        );
        policy.accept(all, &ada, Stamp(0));
        assert!(policy.versions[0].dangerous);
        assert_eq!(policy.activate(1).unwrap_err().why, Why::Forbidden);
        assert_eq!(policy.approve(1, &ada).unwrap_err().why, Why::Forbidden);
        assert_eq!(policy.activate(1).unwrap_err().why, Why::Forbidden);
        policy.approve(1, &bob).unwrap();
        policy.approve(1, &bob).unwrap();
        assert_eq!(policy.approve(1, &"operator:eve".into()).unwrap_err().why, Why::Conflict);
        assert_eq!(policy.activate(1).unwrap(), Activated::Now { before: None });
    }
}
