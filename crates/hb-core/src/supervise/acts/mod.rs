//! Turns what is wrong into alerts, evaluations of policies, and interventions, and sees these through.
//!
//! What other rooms use of it: `concern`, `settled`, `touched`, [`Supervision::intervene`]; and for the frame `called`, `delivered`, `sinks`,
//! `decided`, `act_due`, `resume_acts`.

use std::collections::BTreeSet;

use super::alert::{Concern, Severity};
use super::input::{Called, Decision, NewIntervention, Person};
use super::step::{Refusal, Why};
use super::timers::Timer;
use super::{Cause, Supervision};
use crate::ids::{AgentId, InterventionId};
use crate::time::Now;

/// One alert, before it is grouped.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// About whom.
    pub agent: AgentId,
    /// What is wrong.
    pub concern: Concern,
    /// How bad.
    pub severity: Severity,
    /// In words.
    pub message: String,
    /// Number of its event.
    pub event: u64,
}

/// What became of something that was asked of `agents/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is up, in this incarnation.
    Up(u64),
    /// It is stopped, as was asked.
    Down,
    /// It was started or stopped in vain, with the reason.
    Failed(String),
}

impl Supervision {
    /// Something is wrong with an agent. `event` is the number of the event that tells it.
    pub(super) fn concern(&mut self, _alert: Alert, _now: Now) {}

    /// What was wrong with an agent is well again: its open groups of this kind are resolved.
    pub(super) fn relieved(&mut self, _agent: &AgentId, _concern: Concern, _now: Now) {}

    /// Something that was asked of an agent has come about, or failed.
    pub(super) fn settled(&mut self, _agent: &AgentId, _settled: &Settled, _now: Now) {}

    /// An agent changed: the next sweep looks at it.
    pub(super) fn touched(&mut self, agent: &AgentId) {
        self.volatile.dirty.insert(agent.clone());
    }

    /// Somebody, or a policy, wants an intervention.
    pub(super) fn intervene(
        &mut self,
        _person: &Person,
        _wanted: NewIntervention,
        _now: Now,
    ) -> Result<InterventionId, Refusal> {
        Err(Refusal::new(Why::Invalid, "not yet"))
    }

    /// A call came to an end.
    pub(super) fn called(&mut self, _intervention: &InterventionId, _step: usize, _outcome: Called, _now: Now) {}

    /// A sink took a notification, or gave it up.
    pub(super) fn delivered(&mut self, _key: &str, _sink: &str, _given_up: Option<String>, _now: Now) {}

    /// The sinks that there are.
    pub(super) fn sinks(&mut self, sinks: BTreeSet<String>, _now: Now) {
        self.volatile.sinks = sinks;
    }

    /// A watch decided a cycle.
    pub(super) fn decided(&mut self, _decision: &Decision, _now: Now) {}

    /// A timer of this room is due.
    pub(super) fn act_due(&mut self, _timer: Timer, _now: Now) {}

    /// A reign begins: what was begun is looked at (S4), windows and deadlines go on.
    pub(super) fn resume_acts(&mut self, _now: Now) {}

    /// Notes an alert of hb's own and raises it.
    #[expect(clippy::too_many_arguments, reason = "an alert has these parts, and each caller has them at hand")]
    pub(super) fn alert(&mut self, agent: &AgentId, concern: Concern, severity: Severity, cause: &Cause, now: Now) {
        let about = super::event::About::agent(agent);
        let event = self.event(&format!("alert.{}", concern.as_str()), severity, about, cause, now);
        let (agent, message) = (agent.clone(), cause.why.clone());
        self.concern(Alert { agent, concern, severity, message, event }, now);
    }
}
