//! Everything that a supervisor stream adds up to, and the records in which it stands.
//!
//! **Invariants.** Each record holds the entities that its step touched, whole; so the state after a record is the state before it
//! with these put in, and nothing else (S1). What is not in here does not survive: timers and questions under way are made
//! anew from it by [`super::Supervision::open`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::agent::Agent;
use super::alert::{AlertGroup, Notification};
use super::event::Event;
use super::intervention::Intervention;
use super::policy::{Evaluation, Policy};
use super::tracked::Tracked;
use super::tree::{Supervisor, Team};
use crate::ids::{
    AgentId, CycleNo, Epoch, GroupId, InterventionId, NodeName, PolicyName, Seq, SupervisorId, TeamId, WatchName,
};
use crate::journal::{self, Head};
use crate::time::Stamp;

/// How far the decisions of a watch were taken in: each exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Newest record of the watch's stream that was taken in.
    pub seq: Seq,
    /// Its cycle.
    pub cycle: CycleNo,
}

/// Numbers that are given out, and what else there is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// The next event.
    pub event: u64,
    /// The next evaluation.
    pub evaluation: u64,
    /// The next intervention.
    pub intervention: u64,
    /// The next group of alerts.
    pub group: u64,
    /// Restarts of all agents.
    pub restarts: u64,
    /// Notifications that were dropped for want of room.
    pub notifications_dropped: u64,
}

/// The state of one stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Agents.
    pub agents: Tracked<AgentId, Agent>,
    /// Supervisors.
    pub supervisors: Tracked<SupervisorId, Supervisor>,
    /// Teams.
    pub teams: Tracked<TeamId, Team>,
    /// Policies.
    pub policies: Tracked<PolicyName, Policy>,
    /// Interventions: the open ones, and the newest that are over.
    pub interventions: Tracked<InterventionId, Intervention>,
    /// Groups of alerts: the open ones, and the newest that are closed.
    pub groups: Tracked<GroupId, AlertGroup>,
    /// Notifications under way, by key.
    pub notifications: Tracked<String, Notification>,
    /// How far each watch was taken in.
    pub cursors: Tracked<WatchName, Cursor>,
    /// Requests that were carried out under a name of their own, so that none is carried out twice.
    pub requests: Tracked<String, Remembered>,
    /// Numbers given out.
    pub counters: Counters,
    /// Whether the newest reign ended in good order, and how its children were left.
    pub ended: Option<Ended>,
}

/// A request that was carried out, and what was answered (S4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Grows from one to the next: the smallest is the oldest.
    pub number: u64,
    /// A digest of the request.
    pub of: String,
    /// When.
    pub at: Stamp,
    /// What it made or changed; absent where there was nothing more to say than that it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

/// What a request made or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its name.
    pub id: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What was said of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How a reign ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// In good order; running agents were left running.
    LeftRunning,
    /// In good order; all agents were stopped.
    AllStopped,
}

/// What a step changed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Agents; null for one that is gone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<AgentId, Option<Agent>>,
    /// Supervisors.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub supervisors: BTreeMap<SupervisorId, Option<Supervisor>>,
    /// Teams.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teams: BTreeMap<TeamId, Option<Team>>,
    /// Policies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<PolicyName, Option<Policy>>,
    /// Interventions; one that is gone has only left the state, not the database.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub interventions: BTreeMap<InterventionId, Option<Intervention>>,
    /// Groups of alerts; the same.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<GroupId, Option<AlertGroup>>,
    /// Notifications.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notifications: BTreeMap<String, Option<Notification>>,
    /// Cursors.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cursors: BTreeMap<WatchName, Option<Cursor>>,
    /// Requests that were carried out under a name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Option<Remembered>>,
    /// Numbers given out, after the step.
    pub counters: Counters,
}

/// What a record of a supervisor stream says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// A reign begins.
    EpochOpened {
        /// Who.
        node: NodeName,
        /// What gave it the lease.
        how: String,
        /// Why it was free.
        why: String,
        /// How the reign before ended; absent when it crashed.
        before: Option<Ended>,
        /// What the opening itself changed.
        changes: Changes,
        /// What happened.
        events: Vec<Event>,
        /// Policies that were evaluated.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        evaluations: Vec<Evaluation>,
    },
    /// Something changed.
    Changed {
        /// What.
        changes: Changes,
        /// What happened.
        events: Vec<Event>,
        /// Policies that were evaluated.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        evaluations: Vec<Evaluation>,
    },
    /// Everything as it stands, so that nothing older is needed.
    Snapshot {
        /// All entities.
        changes: Changes,
    },
    /// A reign ends in good order.
    EpochClosed {
        /// Why.
        reason: String,
        /// How the agents were left.
        ended: Ended,
        /// What the closing itself changed.
        changes: Changes,
        /// What happened.
        events: Vec<Event>,
        /// Policies that were evaluated.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        evaluations: Vec<Evaluation>,
    },
}

impl Body {
    /// The changes in it.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        match self {
            Self::EpochOpened { changes, .. }
            | Self::Changed { changes, .. }
            | Self::Snapshot { changes }
            | Self::EpochClosed { changes, .. } => changes,
        }
    }

    /// The events in it.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        match self {
            Self::EpochOpened { events, .. } | Self::Changed { events, .. } | Self::EpochClosed { events, .. } => {
                events
            }
            Self::Snapshot { .. } => &[],
        }
    }

    /// The evaluations in it.
    #[must_use]
    pub fn evaluations(&self) -> &[Evaluation] {
        match self {
            Self::EpochOpened { evaluations, .. }
            | Self::Changed { evaluations, .. }
            | Self::EpochClosed { evaluations, .. } => evaluations,
            Self::Snapshot { .. } => &[],
        }
    }
}

/// A record of a supervisor stream.
pub type Record = journal::Record<Body>;
/// The same with its bytes.
pub type Sealed = journal::Sealed<Body>;

/// Where a stream stands after its newest record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fold {
    /// The newest record.
    pub head: Option<Head>,
    /// The largest epoch.
    pub epoch: Epoch,
    /// The state.
    pub state: State,
}

impl Fold {
    /// Takes the next record. Chain and numbers have been checked by whoever read it.
    pub fn push(&mut self, sealed: Sealed) {
        self.head = Some(sealed.head());
        self.epoch = self.epoch.max(sealed.record.epoch);
        match sealed.record.body {
            Body::EpochOpened { changes, .. } => {
                self.state.ended = None;
                self.state.apply(changes);
            }
            Body::Changed { changes, .. } => self.state.apply(changes),
            Body::Snapshot { changes } => {
                // Everything is in it; what is not, is not.
                let ended = self.state.ended;
                self.state = State { ended, ..State::default() };
                self.state.apply(changes);
            }
            Body::EpochClosed { ended, changes, .. } => {
                self.state.apply(changes);
                self.state.ended = Some(ended);
            }
        }
    }
}

impl State {
    /// What was touched since the last call; `None` when nothing was.
    pub fn take(&mut self, counters_before: Counters) -> Option<Changes> {
        let touched = self.agents.is_touched()
            || self.supervisors.is_touched()
            || self.teams.is_touched()
            || self.policies.is_touched()
            || self.interventions.is_touched()
            || self.groups.is_touched()
            || self.notifications.is_touched()
            || self.cursors.is_touched()
            || self.requests.is_touched();
        (touched || self.counters != counters_before).then(|| Changes {
            agents: self.agents.take(),
            supervisors: self.supervisors.take(),
            teams: self.teams.take(),
            policies: self.policies.take(),
            interventions: self.interventions.take(),
            groups: self.groups.take(),
            notifications: self.notifications.take(),
            cursors: self.cursors.take(),
            requests: self.requests.take(),
            counters: self.counters,
        })
    }

    /// Everything, as changes to nothing.
    #[must_use]
    pub fn whole(&self) -> Changes {
        Changes {
            agents: self.agents.whole(),
            supervisors: self.supervisors.whole(),
            teams: self.teams.whole(),
            policies: self.policies.whole(),
            interventions: self.interventions.whole(),
            groups: self.groups.whole(),
            notifications: self.notifications.whole(),
            cursors: self.cursors.whole(),
            requests: self.requests.whole(),
            counters: self.counters,
        }
    }

    /// Takes over what was recorded.
    pub fn apply(&mut self, changes: Changes) {
        self.agents.apply(changes.agents);
        self.supervisors.apply(changes.supervisors);
        self.teams.apply(changes.teams);
        self.policies.apply(changes.policies);
        self.interventions.apply(changes.interventions);
        self.groups.apply(changes.groups);
        self.notifications.apply(changes.notifications);
        self.cursors.apply(changes.cursors);
        self.requests.apply(changes.requests);
        self.counters = changes.counters;
    }
}
