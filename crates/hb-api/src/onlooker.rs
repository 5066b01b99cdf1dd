//! What the pages and probes may see of a daemon.

use std::sync::Arc;

use hb_core::ids::WatchName;
use hb_core::node::view::View;

use crate::metrics::Metrics;
use crate::roster::NodeDoc;
use hb_core::node::cycle_line::CycleLine;

/// The daemon as onlookers see it.
///
/// Every method answers at once from a snapshot. None may take a lock that the daemon's work holds, read a disk that may
/// hang, or wait for anything: they are called on the one thread that serves all clients.
pub trait Onlooker: Send + Sync {
    /// The newest picture of the node.
    fn view(&self) -> Arc<View>;

    /// What readiness rests on: configuration, journal, database, sources … Names are stable (`config`, `db`, `journal`,
    /// `output_dir`, `source.NAME`). No checks at all counts as not ready.
    fn checks(&self) -> Vec<Check>;

    /// Whether the work loop makes progress.
    fn liveness(&self) -> Liveness;

    /// The counters of this process.
    fn metrics(&self) -> Metrics;

    /// Every node on the board of nodes, by name, this one included; empty where there is none.
    fn nodes(&self) -> Vec<NodeDoc> {
        Vec::new()
    }

    /// The newest `newest` cycles of a watch, oldest first; empty where there are none.
    fn recent(&self, watch: &WatchName, newest: usize) -> Vec<CycleLine>;
}

/// One thing that readiness rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Stable name.
    pub name: String,
    /// Whether it is usable.
    pub ok: bool,
    /// What is wrong and what to do; not shown while `ok`.
    pub what: String,
}

impl Check {
    /// A check that holds.
    #[must_use]
    pub fn passed(name: impl Into<String>) -> Self {
        Self { name: name.into(), ok: true, what: "ok".to_owned() }
    }

    /// A check that fails, and why.
    #[must_use]
    pub fn failed(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self { name: name.into(), ok: false, what: what.into() }
    }
}

/// Whether the work loop makes progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// Whether it does.
    pub alive: bool,
    /// Where it hangs, while it does not.
    pub reason: Option<String>,
    /// Milliseconds since it last made progress.
    pub since_progress_ms: u64,
    /// Milliseconds that it may take.
    pub bound_ms: u64,
}
