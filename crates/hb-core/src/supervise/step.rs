//! What comes out of a supervisor: the record to be made durable, and what may be done and answered once it is.
//!
//! The shell's duties, in this order: append the record (with the tables it changes, in one transaction); when that is committed,
//! carry out the effects and send the replies; when it is refused, do neither and leave (H1); when it failed, try again before anything
//! else. So an act never outruns the record that explains it (S1), and no answer promises what a crash could take back.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::agent::Identity;
use super::alert::Notification;
use super::input::Ticket;
use super::spec::{AgentSpec, Check, Control, ReadyBy};
use super::state::Sealed;
use crate::ids::{AgentId, InterventionId};

/// What a turn came to.
#[derive(Debug, Default)]
pub struct Step {
    /// The record; none when nothing durable changed.
    pub record: Option<Arc<Sealed>>,
    /// To be carried out once it is durable.
    pub effects: Vec<Effect>,
    /// To be sent once it is durable.
    pub replies: Vec<(Ticket, Reply)>,
}

/// Something to be done in the world. Each ends in an [`super::Input`], but for those that say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Start a process: `Spawned` or `SpawnFailed`. Its environment gets `HB_SPAWN_KEY`, `HB_AGENT`, `HB_INCARNATION`; and `HB_RECOVERY=1`
    /// when it follows a failure.
    Spawn {
        /// Whose.
        agent: AgentId,
        /// Which incarnation.
        incarnation: u64,
        /// By which it is found again.
        key: String,
        /// What to start.
        spec: Arc<AgentSpec>,
        /// It follows a failure.
        recovering: bool,
    },
    /// Find the process with this key, and watch it: `Found`.
    Look {
        /// Whose.
        agent: AgentId,
        /// Which incarnation.
        incarnation: u64,
        /// By which it is found.
        key: String,
        /// What was started.
        spec: Arc<AgentSpec>,
    },
    /// Watch a process that runs already: `Adopted`, or `Exited` when it is gone or is somebody else by now.
    Adopt {
        /// Whose.
        agent: AgentId,
        /// Who it is.
        identity: Identity,
        /// What was started.
        spec: Arc<AgentSpec>,
    },
    /// Send a signal to the process's whole group, through a pidfd so that nobody else can get it. No answer but `Exited`, later.
    Signal {
        /// Whose.
        agent: AgentId,
        /// Who it is.
        identity: Identity,
        /// `TERM`, `KILL`, …
        signal: String,
    },
    /// Look whether it is up, once: `ReadyChecked`.
    CheckReady {
        /// Whose.
        agent: AgentId,
        /// Which incarnation.
        incarnation: u64,
        /// By what.
        by: ReadyBy,
    },
    /// Ask once: `Probed`.
    Probe {
        /// Whose.
        agent: AgentId,
        /// What is asked.
        check: Check,
        /// Nanoseconds until it counts as unanswered.
        timeout_ns: u64,
    },
    /// Measure what these processes use: `Used`.
    Measure(Vec<(AgentId, Identity)>),
    /// Call the control of an agent: `Called`.
    Call {
        /// Whose step.
        intervention: InterventionId,
        /// Which.
        step: usize,
        /// Idempotency key.
        key: String,
        /// About whom.
        agent: AgentId,
        /// How.
        control: Control,
        /// What it is to do.
        verb: String,
    },
    /// Tell these sinks: `Delivered` for each.
    Notify {
        /// What.
        notification: Notification,
        /// Whom.
        sinks: BTreeSet<String>,
    },
    /// Nothing of this agent is watched or asked any more. No answer.
    Forget(AgentId),
    /// Everything is written; the process may end.
    Leave,
}

/// What somebody who asked is told.
pub type Reply = Result<Answer, Refusal>;

/// It was done, and is durable.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Nothing more to say.
    Done {},
    /// Something was made or changed: its name and version.
    Made {
        /// Its name.
        id: String,
        /// Its version, where it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// What is not as one might think: a declared agent goes by the file, a version waits for a second person.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// A beat was heard.
    Beat {
        /// Whose.
        agent_id: AgentId,
        /// Which.
        sequence_number: u64,
        /// Always true: what was not taken is a refusal.
        received: bool,
        /// Gaps and repetitions, in words.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
}

/// It was not done, and nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub why: Why,
    /// In words, with what to do.
    pub message: String,
    /// The field at fault.
    pub field: Option<String>,
    /// What it had to be.
    pub constraint: Option<String>,
}

/// Kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is none of that name.
    NotFound,
    /// It makes no sense.
    Invalid,
    /// It does not go with what there is.
    Conflict,
    /// Not for them.
    Forbidden,
    /// It was changed meanwhile.
    Stale,
    /// A bound was reached.
    TooMany,
}

impl Refusal {
    /// A refusal of this kind.
    #[must_use]
    pub fn new(why: Why, message: impl Into<String>) -> Self {
        Self { why, message: message.into(), field: None, constraint: None }
    }

    /// Because of this field, which had to be so.
    #[must_use]
    pub fn field(self, field: impl Into<String>, constraint: impl Into<String>) -> Self {
        Self { field: Some(field.into()), constraint: Some(constraint.into()), ..self }
    }
}
