//! What the API needs of a supervisor. The binary implements it over the running one and its database.

use hb_core::ids::{Epoch, GroupId, InterventionId, NodeName};
use hb_core::node::latency::Latency;
use hb_core::supervise::alert::AlertGroup;
use hb_core::supervise::event::Event;
use hb_core::supervise::history::{EvaluationFilter, EventFilter, GroupFilter, InterventionFilter, Page};
use hb_core::supervise::input::{Beat, Command, OnStop, Person};
use hb_core::supervise::intervention::Intervention;
use hb_core::supervise::policy::Evaluation;
use hb_core::supervise::step::Reply;
use hb_core::supervise::{Presence, Supervision};
use hb_core::time::Now;
use serde::Serialize;

/// Takes an answer.
pub type Answered = Box<dyn FnOnce(Reply) + Send>;
/// Looks at the state.
pub type Look = Box<dyn FnOnce(&Supervision) + Send>;

/// A supervisor as the API sees it.
///
/// The first group of methods answers at once and never waits; the questions about history may wait for a disk and are asked on threads
/// that may.
pub trait Supervisors: Send + Sync {
    /// Both clocks.
    fn now(&self) -> Now;
    /// Wants something; `answered` is called when it is durable or refused, and is dropped when the supervisor ends before.
    ///
    /// # Errors
    /// [`NotTaken`]: nothing was changed.
    fn command(&self, person: Person, command: Command, answered: Answered) -> Result<(), NotTaken>;
    /// Hands a beat in.
    ///
    /// # Errors
    /// As above.
    fn beat(&self, beat: Beat, answered: Answered) -> Result<(), NotTaken>;
    /// Looks at the state, as it is durable.
    ///
    /// # Errors
    /// As above.
    fn look(&self, look: Look) -> Result<(), NotTaken>;
    /// What it is doing, from a picture.
    fn standing(&self) -> Standing;
    /// Whether it is at work, as [`Self::standing`] has it: asked before each change and each beat.
    fn presence(&self) -> Presence {
        self.standing().presence
    }
    /// The number that the next event will have.
    fn next_event(&self) -> u64;
    /// The node is to end.
    fn shutdown(&self, agents: OnStop, reason: &str);
    /// Which configuration is in force.
    fn config(&self) -> ConfigStanding;

    /// Where the active node of this supervisor can be asked, when it is another.
    fn elsewhere(&self) -> Option<Elsewhere>;
    /// Reads the configuration again, and waits for what comes of it.
    ///
    /// # Errors
    /// Why it is not taken; what was in force stays.
    fn reload(&self) -> Result<(), String>;
    /// Events, a page of them.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn events(&self, filter: &EventFilter, page: Page) -> Result<Vec<Event>, String>;
    /// One event.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn event(&self, id: u64) -> Result<Option<Event>, String>;
    /// Evaluations, a page of them.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn evaluations(&self, filter: &EvaluationFilter, page: Page) -> Result<Vec<Evaluation>, String>;
    /// One evaluation.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn evaluation(&self, id: u64) -> Result<Option<Evaluation>, String>;
    /// Interventions, a page of them, by the number in their names.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn interventions(&self, filter: &InterventionFilter, page: Page) -> Result<Vec<Intervention>, String>;
    /// One intervention, also one that is over long ago.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn intervention(&self, id: &InterventionId) -> Result<Option<Intervention>, String>;
    /// Groups of alerts, a page of them, by the number in their names.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn groups(&self, filter: &GroupFilter, page: Page) -> Result<Vec<AlertGroup>, String>;
    /// One group of alerts.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn group(&self, id: &GroupId) -> Result<Option<AlertGroup>, String>;
}

/// Nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// Too much waits already.
    Full,
    /// It has ended.
    Ended,
}

/// Which configuration is in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ConfigStanding {
    /// Its file; absent where hb goes by its built-in settings.
    pub file: Option<String>,
    /// A digest of what stood in it.
    pub hash: Option<String>,
    /// Why the file as it is now was not taken; the one before is in force then.
    pub refused: Option<String>,
}

/// Where another node can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// The node.
    pub node: NodeName,
    /// `http://ADDRESS:PORT`; absent when it serves nothing.
    pub address: Option<String>,
}

/// What a supervisor's process is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The node.
    pub node: NodeName,
    /// Whether it is at work.
    pub presence: Presence,
    /// Its reign.
    pub epoch: Epoch,
    /// Agents, by where they stand: `up`, `degraded`, `spawning`, `failed`, `quarantined`, `terminated`.
    pub agents: [(&'static str, u64); 6],
    /// Supervisors that are not over.
    pub supervisors: u64,
    /// Those of them that are paused.
    pub paused: u64,
    /// Interventions that wait or are under way.
    pub interventions_open: u64,
    /// Groups of alerts that are open.
    pub groups_open: u64,
    /// Restarts so far.
    pub restarts: u64,
    /// Evaluations so far.
    pub evaluations: u64,
    /// Events so far.
    pub events: u64,
    /// Notifications that were dropped for want of room.
    pub notifications_dropped: u64,
    /// What is not as it should be, each with why.
    pub troubles: Vec<(String, String)>,
    /// From the lease to the first record of the reign, in seconds.
    pub takeover_seconds: f64,
    /// From the lease until all agents were found, in seconds; absent until then.
    pub recovered_seconds: Option<f64>,
    /// How long commits took.
    pub commit_latency: Latency,
    /// Records made durable.
    pub commits: u64,
    /// Seconds since the process began.
    pub uptime_seconds: f64,
    /// Seconds since the loop last turned, while that is longer than it may be.
    pub hung_seconds: Option<f64>,
}
