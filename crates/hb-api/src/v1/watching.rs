//! What the API needs of the watches of a node: what was decided before, the versions of their baselines, and the orders of operators. The
//! binary implements it over the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use hb_core::ids::{CycleNo, Epoch, NodeName, Seq, WatchName};
use hb_core::journal::Hash;
use hb_core::node::cycle_line::CycleLine;
use hb_core::node::fact::Sealed;
use hb_core::time::Stamp;
use hb_core::watch::baseline::{Baseline, Gate, Provenance};
use serde::Serialize;

use crate::report::Trend;

/// The watches of a node, as far as they stand in its journal. Asked on threads that may wait for a disk.
pub trait Watching: Send + Sync {
    /// Up to `most` cycles before this one, oldest first; the newest where none is named.
    ///
    /// # Errors
    /// [`Refusal`].
    fn cycles(&self, watch: &WatchName, before: Option<CycleNo>, most: usize) -> Result<Vec<CycleLine>, Refusal>;

    /// The record that decided a cycle, where it still stands.
    ///
    /// # Errors
    /// [`Refusal`].
    fn cycle(&self, watch: &WatchName, cycle: CycleNo) -> Result<Option<Sealed>, Refusal>;

    /// The document of a baseline.
    ///
    /// # Errors
    /// [`Refusal`].
    fn document(&self, hash: Hash) -> Result<Arc<Baseline>, Refusal>;

    /// What is remembered of the cycles up to this one: at most 60 with the figures of their series.
    ///
    /// # Errors
    /// [`Refusal`].
    fn trend(&self, watch: &WatchName, to: CycleNo) -> Result<Arc<Trend>, Refusal>;

    /// Who wrote a watch's records, and since when: the newest `most` reigns, oldest first.
    ///
    /// # Errors
    /// [`Refusal`].
    fn reigns(&self, watch: &WatchName, most: usize) -> Result<Vec<ReignDoc>, Refusal>;

    /// The versions behind a watch's baseline tag.
    ///
    /// # Errors
    /// [`Refusal`].
    fn baselines(&self, watch: &WatchName) -> Result<BaselinesDoc, Refusal>;

    /// Asks for a version, agrees to it, or puts it in force.
    ///
    /// # Errors
    /// [`Refusal`]: a gate is closed, somebody else has to agree, nobody has asked for it.
    fn rule(&self, watch: &WatchName, version: u32, step: BaselineStep, who: &Who) -> Result<BaselinesDoc, Refusal>;

    /// What operators ask of the nodes now.
    ///
    /// # Errors
    /// [`Refusal`].
    fn orders(&self) -> Result<OrdersDoc, Refusal>;

    /// Asks something of the nodes, whichever of them is active.
    ///
    /// # Errors
    /// [`Refusal`]: nobody could go on.
    fn order(&self, order: Order, who: &Who) -> Result<OrdersDoc, Refusal>;
}

/// Why something about watches is not given or done, in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is none.
    NotFound(String),
    /// It does not go with what there is.
    Conflict(String),
    /// What stands there is damaged.
    Corrupt(String),
    /// It may work later.
    Unavailable(String),
}

/// Who wants something, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// `token:NAME`.
    pub by: String,
    /// In their words.
    pub reason: String,
}

/// What is done with a version of a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaselineStep {
    /// Somebody asks for it to be put in force.
    Request,
    /// Somebody else agrees.
    Approve,
    /// It is put in force.
    Promote(Gates),
}

/// Whether closed gates and a missing agreement hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gates {
    /// They do.
    Hold,
    /// They are overridden, and the record says so.
    Override,
}

/// What is asked of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The active node hands over.
    Switchover {
        /// Whose watches move; the active node's where nothing is said.
        from: Option<NodeName>,
        /// To whom; to whoever stands first in line where nothing is said.
        to: Option<NodeName>,
    },
    /// Nobody takes over until it is resumed.
    Pause,
    /// Standbys take over again.
    Resume,
}

/// A node wrote the records of a watch for a while.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReignDoc {
    /// The node.
    pub node: NodeName,
    /// Its epoch.
    pub epoch: Epoch,
    /// When it opened the epoch, by its own clock.
    pub since: Stamp,
    /// When the next one did; absent for the present one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Stamp>,
    /// What gave the right to try: `file`, `file-ttl` …; absent where that record is not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// Why it changed hands; absent likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From the newest record of the writer before to this one's first, in seconds; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_seconds: Option<f64>,
    /// Number of its first record that is kept.
    pub from_seq: Seq,
}

/// The versions behind a baseline tag.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BaselinesDoc {
    /// The watch.
    pub watch: WatchName,
    /// The tag by which the watch asks for its baseline.
    pub tag: String,
    /// The version in force, if any.
    pub in_force: Option<u32>,
    /// Whether somebody else has to agree before a version is put in force.
    pub approval_required: bool,
    /// Oldest first.
    pub versions: Vec<BaselineVersionDoc>,
}

/// One version of a baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BaselineVersionDoc {
    /// From 1.
    pub version: u32,
    /// Hash of its document.
    pub hash: Hash,
    /// When it was made.
    pub made_utc: Stamp,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Series in it.
    pub series: u64,
    /// Its quality gates.
    pub gates: Vec<Gate>,
    /// Who asked for it, and why.
    pub requested: Option<(String, String)>,
    /// Who agreed, and why.
    pub approved: Vec<(String, String)>,
    /// How often it was put in force.
    pub promotions: u32,
}

/// What operators ask of the nodes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct OrdersDoc {
    /// Set while nobody is to take over: by whom, why, and since when.
    pub pause: Option<BTreeMap<String, String>>,
    /// Set while a switchover is asked for and not settled.
    pub switchover: Option<BTreeMap<String, String>>,
    /// How the newest switchover ended.
    pub settled: Option<BTreeMap<String, String>>,
}
