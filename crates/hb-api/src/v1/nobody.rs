//! In place of a supervisor, on a node that watches and supervises nothing. No route that needs one is served there.

use hb_core::ids::{Epoch, GroupId, InterventionId, NodeName};
use hb_core::node::latency::Latency;
use hb_core::supervise::Presence;
use hb_core::supervise::alert::AlertGroup;
use hb_core::supervise::event::Event;
use hb_core::supervise::history::{EvaluationFilter, EventFilter, GroupFilter, InterventionFilter, Page};
use hb_core::supervise::input::{Beat, Command, OnStop, Person};
use hb_core::supervise::intervention::Intervention;
use hb_core::supervise::policy::Evaluation;
use hb_core::time::{Moment, Now, Stamp};

use super::seam::{Answered, ConfigStanding, Elsewhere, Look, NotTaken, Standing, Supervisors};

/// See the module.
pub(super) struct Nobody;

const NONE: &str = "nothing is supervised here";

impl Supervisors for Nobody {
    fn now(&self) -> Now {
        Now { wall: Stamp(0), moment: Moment(0) }
    }

    fn command(&self, _person: Person, _command: Command, _answered: Answered) -> Result<(), NotTaken> {
        Err(NotTaken::Ended)
    }

    fn beat(&self, _beat: Beat, _answered: Answered) -> Result<(), NotTaken> {
        Err(NotTaken::Ended)
    }

    fn look(&self, _look: Look) -> Result<(), NotTaken> {
        Err(NotTaken::Ended)
    }

    fn standing(&self) -> Standing {
        Standing {
            node: NodeName::from(""),
            presence: Presence::Standby,
            epoch: Epoch(0),
            agents: [("up", 0), ("degraded", 0), ("spawning", 0), ("failed", 0), ("quarantined", 0), ("terminated", 0)],
            supervisors: 0,
            paused: 0,
            interventions_open: 0,
            groups_open: 0,
            restarts: 0,
            evaluations: 0,
            events: 0,
            notifications_dropped: 0,
            troubles: Vec::new(),
            takeover_seconds: 0.0,
            recovered_seconds: None,
            commit_latency: Latency::default(),
            commits: 0,
            uptime_seconds: 0.0,
            hung_seconds: None,
        }
    }

    fn next_event(&self) -> u64 {
        0
    }

    fn shutdown(&self, _agents: OnStop, _reason: &str) {}

    fn config(&self) -> ConfigStanding {
        ConfigStanding::default()
    }

    fn elsewhere(&self) -> Option<Elsewhere> {
        None
    }

    fn reload(&self) -> Result<(), String> {
        Err(NONE.to_owned())
    }

    fn events(&self, _filter: &EventFilter, _page: Page) -> Result<Vec<Event>, String> {
        Err(NONE.to_owned())
    }

    fn event(&self, _id: u64) -> Result<Option<Event>, String> {
        Err(NONE.to_owned())
    }

    fn evaluations(&self, _filter: &EvaluationFilter, _page: Page) -> Result<Vec<Evaluation>, String> {
        Err(NONE.to_owned())
    }

    fn evaluation(&self, _id: u64) -> Result<Option<Evaluation>, String> {
        Err(NONE.to_owned())
    }

    fn interventions(&self, _filter: &InterventionFilter, _page: Page) -> Result<Vec<Intervention>, String> {
        Err(NONE.to_owned())
    }

    fn intervention(&self, _id: &InterventionId) -> Result<Option<Intervention>, String> {
        Err(NONE.to_owned())
    }

    fn groups(&self, _filter: &GroupFilter, _page: Page) -> Result<Vec<AlertGroup>, String> {
        Err(NONE.to_owned())
    }

    fn group(&self, _id: &GroupId) -> Result<Option<AlertGroup>, String> {
        Err(NONE.to_owned())
    }
}
