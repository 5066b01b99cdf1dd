//! What onlookers see: a picture of the node, rebuilt after every turn that changed something, never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fact::CycleDecided;
use crate::ids::{CycleNo, Epoch, NodeName, Seq, WatchName};
use crate::time::Stamp;
use crate::watch::decision::{BaselineRef, Status};

/// What a node is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads along, may not act.
    #[default]
    Standby,
    /// Has the lease, is opening its epoch.
    TakingOver,
    /// Decides.
    Active,
    /// Stops of its own will.
    Draining,
    /// A higher epoch exists; does nothing any more.
    Fenced,
}

impl Role {
    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::TakingOver => "taking_over",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Fenced => "fenced",
        }
    }
}

/// State of a watch's source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SourceView {
    /// Not opened: this node stands by.
    #[default]
    Closed,
    /// Delivers, or has nothing new.
    Open,
    /// Came to its end.
    Ended,
    /// Cannot be read.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

/// A watch as onlookers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchView {
    /// Its name.
    pub name: WatchName,
    /// Newest decided cycle.
    pub cycle: Option<CycleNo>,
    /// Its status.
    pub status: Option<Status>,
    /// The newest decided cycle in full.
    #[serde(skip)]
    pub last: Option<Arc<CycleDecided>>,
    /// Newest record.
    pub seq: Option<Seq>,
    /// Epoch of the newest record.
    pub epoch: Epoch,
    /// How far the end of the newest decided cycle is behind the newest sample's event clock, in seconds.
    pub lag_seconds: f64,
    /// Its source.
    pub source: SourceView,
    /// Baseline in force.
    pub baseline: Option<BaselineRef>,
    /// Alerts that have not reached every sink.
    pub undelivered: u64,
    /// Totals since the watch began.
    pub totals: Totals,
}

/// Totals since a watch began, but for `since_start`, which this process counted itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Everything that the source delivered.
    pub delivered: u64,
    /// Samples that this process has put into windows.
    pub samples_since_start: u64,
    /// Samples late since this process started.
    pub late_since_start: u64,
    /// Items dropped since this process started.
    pub dropped_since_start: u64,
}

/// Something that should not be, and stays visible until it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Stable name: `journal`, `view.checkpoint`, `view.db`, `source.NAME`, `impossible` …
    pub name: String,
    /// What is wrong and what to do.
    pub what: String,
    /// Since when.
    pub since: Stamp,
    /// How often it has been raised.
    pub count: u64,
}

/// The node as onlookers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct View {
    /// Its name.
    pub node: Option<NodeName>,
    /// What it is.
    pub role: Role,
    /// Largest epoch that it has opened or read.
    pub epoch: Epoch,
    /// Watches by name.
    pub watches: Vec<WatchView>,
    /// What should not be.
    pub alarms: Vec<Alarm>,
    /// The newest takeover that the journal tells of, by whichever node.
    #[serde(default)]
    pub takeover: Option<Takeover>,
    /// Set while operators have asked that nobody takes over: by whom and why.
    #[serde(default)]
    pub paused: Option<String>,
    /// Where each watch has a lease of its own: which node works for which, as last seen. Nothing where a node works for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holders: Option<BTreeMap<WatchName, NodeName>>,
}

impl View {
    /// Whether this node works for that watch.
    #[must_use]
    pub fn works_for(&self, watch: &WatchName) -> bool {
        match &self.holders {
            Some(holders) => {
                self.role == Role::Active && holders.get(watch) == self.node.as_ref() && self.node.is_some()
            }
            None => self.role == Role::Active && self.watches.iter().any(|known| known.name == *watch),
        }
    }
}

/// A change of the writer, as the journal tells of it: a first start, a restart, a takeover and a switchover alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Takeover {
    /// When its epoch was opened, by its own wall clock.
    pub at: Stamp,
    /// Who took over.
    pub node: NodeName,
    /// Its epoch.
    pub epoch: Epoch,
    /// Who wrote before, where that still stands in the journal.
    pub from: Option<Reign>,
    /// What gave the right to try: `file`, `file-ttl`, `external` …
    pub how: String,
    /// Why it changed hands, in words.
    pub why: String,
    /// From the grant of the lease to the first append, in seconds; known to the node that took over alone.
    pub took_seconds: Option<f64>,
    /// From the newest record of the writer before to the first of this one, in seconds, by the two nodes' wall clocks.
    pub gap_seconds: Option<f64>,
}

/// Who wrote, and in which epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reign {
    /// The node.
    pub node: NodeName,
    /// Its epoch.
    pub epoch: Epoch,
}
