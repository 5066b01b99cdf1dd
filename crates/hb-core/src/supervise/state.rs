//! Everything that a supervisor stream adds up to, and the records in which it stands.
//!
//! **Invariants.** Each record holds the entities that its step touched, whole; so the state after a record is the state before it
//! with these put in, and nothing else (S1). What is not in here does not survive: timers and questions under way are made
//! anew from it by [`super::Supervision::open`].

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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

/// What a record of a supervisor stream says. In JSON its kind comes first: see its `Deserialize`.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
        #[serde(skip_serializing_if = "Vec::is_empty")]
        evaluations: Vec<Evaluation>,
    },
    /// Something changed.
    Changed {
        /// What.
        changes: Changes,
        /// What happened.
        events: Vec<Event>,
        /// Policies that were evaluated.
        #[serde(skip_serializing_if = "Vec::is_empty")]
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
        #[serde(skip_serializing_if = "Vec::is_empty")]
        evaluations: Vec<Evaluation>,
    },
}

/// Reads straight into place. The derived way reads all of a tagged value into a tree first, to look for its kind in it, which took most of
/// what a start with many agents needs.
impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what a record of a supervisor says, its `kind` first")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let kind: String = match map.next_key::<String>()? {
            Some(key) if key == "kind" => map.next_value()?,
            Some(key) => return Err(A::Error::custom(format!("it begins with `{key}` instead of its `kind`"))),
            None => return Err(A::Error::missing_field("kind")),
        };
        let fields = MapAccessDeserializer::new(map);
        Ok(match kind.as_str() {
            "epoch_opened" => {
                let Opened { node, how, why, before, changes, events, evaluations } = Opened::deserialize(fields)?;
                Body::EpochOpened { node, how, why, before, changes, events, evaluations }
            }
            "changed" => {
                let Changed { changes, events, evaluations } = Changed::deserialize(fields)?;
                Body::Changed { changes, events, evaluations }
            }
            "snapshot" => {
                let Whole { changes } = Whole::deserialize(fields)?;
                Body::Snapshot { changes }
            }
            "epoch_closed" => {
                let Closed { reason, ended, changes, events, evaluations } = Closed::deserialize(fields)?;
                Body::EpochClosed { reason, ended, changes, events, evaluations }
            }
            other => return Err(A::Error::custom(format!("`{other}` is no kind of record that this version knows"))),
        })
    }
}

/// The fields of [`Body::EpochOpened`].
#[derive(Deserialize)]
struct Opened {
    node: NodeName,
    how: String,
    why: String,
    before: Option<Ended>,
    changes: Changes,
    events: Vec<Event>,
    #[serde(default)]
    evaluations: Vec<Evaluation>,
}

/// The fields of [`Body::Changed`].
#[derive(Deserialize)]
struct Changed {
    changes: Changes,
    events: Vec<Event>,
    #[serde(default)]
    evaluations: Vec<Evaluation>,
}

/// The fields of [`Body::Snapshot`].
#[derive(Deserialize)]
struct Whole {
    changes: Changes,
}

/// The fields of [`Body::EpochClosed`].
#[derive(Deserialize)]
struct Closed {
    reason: String,
    ended: Ended,
    changes: Changes,
    events: Vec<Event>,
    #[serde(default)]
    evaluations: Vec<Evaluation>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j4_every_kind_is_read_back_as_it_was_written() {
        let (changes, events, evaluations) = (Changes::default(), Vec::new(), Vec::new());
        let changed = || (changes.clone(), events.clone(), evaluations.clone());
        let bodies = [
            {
                let (changes, events, evaluations) = changed();
                let (node, how, why, before) = ("a".into(), "file".into(), "first".into(), Some(Ended::LeftRunning));
                Body::EpochOpened { node, how, why, before, changes, events, evaluations }
            },
            {
                let (changes, events, evaluations) = changed();
                Body::Changed { changes, events, evaluations }
            },
            Body::Snapshot { changes: changes.clone() },
            {
                let (changes, events, evaluations) = changed();
                Body::EpochClosed { reason: "told".into(), ended: Ended::AllStopped, changes, events, evaluations }
            },
        ];
        for body in bodies {
            let text = serde_json::to_string(&body).unwrap();
            assert!(text.starts_with(r#"{"kind":""#), "{text}");
            assert_eq!(serde_json::from_str::<Body>(&text).unwrap(), body);
        }
    }

    #[test]
    fn what_is_no_body_is_told() {
        let told = |text: &str| serde_json::from_str::<Body>(text).unwrap_err().to_string();
        assert!(told("{}").contains("missing field `kind`"));
        assert!(told(r#"{"changes":{},"kind":"snapshot"}"#).contains("begins with `changes`"));
        assert!(told(r#"{"kind":"unheard_of"}"#).contains("`unheard_of` is no kind"));
        assert!(told(r#"{"kind":"changed","changes":{}}"#).contains("missing field `events`"));
    }
}
