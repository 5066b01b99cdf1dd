//! Turns what is wrong into alerts, evaluations of policies, and interventions, and sees these through.
//!
//! | question | file |
//! |---|---|
//! | Which alerts are told as one? | `groups.rs` |
//! | Which policies are evaluated, and what of it? | `evaluate.rs` |
//! | What does a watch's decision say about an agent? | `readings.rs` |
//! | What is asked for, and who has to agree? | `interventions.rs`, `approval.rs` |
//! | How is a plan carried out, step by step? | `plan.rs` |
//! | What was begun before a crash? | `resume.rs` |
//! | Who is told? | `notify.rs` |
//! | What goes up the tree? | `escalation.rs` |
//! | What happens by the clock? | `upkeep.rs` |

mod approval;
mod escalation;
mod evaluate;
mod groups;
mod interventions;
mod notify;
mod plan;
mod readings;
mod resume;
mod upkeep;

pub(crate) use evaluate::Ready;

use super::alert::{Concern, Severity};
use super::{Cause, Supervision};
use crate::ids::AgentId;
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
    /// An agent changed: the next sweep looks at it.
    pub(super) fn touched(&mut self, agent: &AgentId) {
        self.volatile.dirty.insert(agent.clone());
    }

    /// Notes an alert of hb's own and raises it.
    #[expect(clippy::too_many_arguments, reason = "an alert has these parts, and each caller has them at hand")]
    pub(super) fn alert(&mut self, agent: &AgentId, concern: Concern, severity: Severity, cause: &Cause, now: Now) {
        let about = super::event::About::agent(agent);
        let event = self.event(&format!("alert.{}", concern.as_str()), severity, about, cause, now);
        let (agent, message) = (agent.clone(), cause.why.clone());
        self.concern(Alert { agent, concern, severity, message, event }, now);
    }
}

/// Seconds as nanoseconds; nothing for what is no time.
pub(crate) fn seconds_ns(seconds: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(seconds)
        .map_or(0, |duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}
