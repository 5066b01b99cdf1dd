//! What a node is built from. The binary picks the backends; nobody here knows their names.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hb_actuators::AlertSink;
use hb_core::ids::{NodeName, WatchName};
use hb_core::journal::Hash;
use hb_core::node::fact::Sealed;
use hb_core::node::view::View;
use hb_core::watch::baseline::Baseline;
use hb_core::watch::settings::WatchSettings;
use hb_sources::{Source, SourceError};
use hb_store::board::PRIORITY;
use hb_store::port::{Journal, Lease};

use crate::poster::Desk;

/// Opens a source anew.
pub type OpenSource = Box<dyn Fn() -> Result<Box<dyn Source>, SourceError> + Send>;

/// How long a node works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until it is told to stop.
    Serve,
    /// Until every source is complete, decided, shown and told.
    Once,
}

/// What a holder does whose lease store is out of sight, so that nobody can tell whether it still holds the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// It works on for as long as the journal shows that nobody else does, and takes its records.
    #[default]
    Keep,
    /// It stands by before the lease can have run out in anybody else's eyes.
    Yield,
}

/// Bounds and rhythms of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How long a holder may show no progress.
    pub lease_ttl: Duration,
    /// What a holder does that cannot see its lease.
    pub on_lost: OnLost,
    /// Which standby goes first: the largest. 0 never takes over and only reads along.
    pub priority: u8,
    /// How long a switchover may wait for the node that is to go on: before the holder hands over, and after it.
    pub switchover_max: Duration,
    /// How often a standby looks for new records.
    pub follow_every: Duration,
    /// How long the loop waits for events at most before it looks around: at silent sources, and at what it says of itself.
    pub turn_every: Duration,
    /// How long a source may not answer before it counts as failed.
    pub source_stall: Duration,
    /// How long a feeder rests that has found nothing new, without looking at its source; zero: it waits at the source. A node of
    /// hundreds of watches is awake for each of them so seldom.
    pub source_rest: Duration,
    /// How long a stop may take before it is forced.
    pub drain_max: Duration,
    /// Most records of a watch that stay in its journal …
    pub journal_records: u64,
    /// … and about how many bytes.
    pub journal_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(3),
            on_lost: OnLost::Keep,
            priority: PRIORITY,
            switchover_max: Duration::from_secs(10),
            follow_every: Duration::from_millis(200),
            turn_every: Duration::from_millis(500),
            source_stall: Duration::from_secs(10),
            source_rest: Duration::ZERO,
            drain_max: Duration::from_secs(20),
            journal_records: 10_000,
            journal_bytes: 1 << 30,
        }
    }
}

/// One alert sink of a watch.
pub struct SinkParts {
    /// Its name, as in the watch's settings.
    pub name: String,
    /// The sink.
    pub sink: Box<dyn AlertSink>,
    /// Tries before an alert is given up.
    pub tries_max: u32,
}

impl fmt::Debug for SinkParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkParts({})", self.name)
    }
}

/// One watch.
pub struct WatchParts {
    /// What it decides by.
    pub settings: Arc<WatchSettings>,
    /// Where its telemetry comes from.
    pub source: OpenSource,
    /// Where its alerts go.
    pub sinks: Vec<SinkParts>,
}

impl fmt::Debug for WatchParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchParts({})", self.settings.name)
    }
}

/// A view that could not be brought up to date. It stays readable as it was and is caught up from the journal later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewFault {
    /// Which view: `checkpoint`, `history`, `report`, `db`.
    pub view: String,
    /// What is wrong and what to do.
    pub what: String,
}

/// What people look at, built from records. Called by one thread only.
pub trait Views: Send {
    /// Brings what is behind or damaged up to date from the stream's records; called when this node becomes active.
    fn catch_up(&mut self, watch: &WatchName) -> Vec<ViewFault>;
    /// Shows a durable record, of whatever kind; they come in order. `baseline` is the one that a decided cycle was decided
    /// against.
    fn show(&mut self, watch: &WatchName, sealed: &Sealed, baseline: Option<&Baseline>) -> Vec<ViewFault>;
    /// Shows records of one watch that have come meanwhile, in order: what only tells of the newest may be written once.
    fn show_all(&mut self, watch: &WatchName, records: &[(&Sealed, Option<&Baseline>)]) -> Vec<ViewFault> {
        records.iter().flat_map(|(sealed, baseline)| self.show(watch, sealed, *baseline)).collect()
    }
    /// Notes what this node is.
    fn node(&mut self, view: &View);
    /// Whether every view could be written now; called every few seconds.
    fn check(&mut self) -> Vec<(String, Result<(), String>)>;
}

/// Where baseline documents are kept, by hash. Of many series they are large: one that is held anywhere is not read again.
pub trait Documents: Send {
    /// Makes a document durable.
    ///
    /// # Errors
    /// What went wrong and what to do.
    fn put(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), String>;
    /// The document of that hash, checked when it is read.
    ///
    /// # Errors
    /// What is wrong with it and what to do.
    fn get(&mut self, hash: Hash) -> Result<Arc<Baseline>, String>;
    /// Told of a document that is held already.
    fn lend(&mut self, hash: Hash, document: &Arc<Baseline>);
}

/// Everything that a node is built from.
pub struct Parts {
    /// Its name.
    pub node: NodeName,
    /// Its watches.
    pub watches: Vec<WatchParts>,
    /// Where decisions stand.
    pub journal: Box<dyn Journal>,
    /// The right to try.
    pub lease: Box<dyn Lease>,
    /// Where it lays out what it says of itself, and finds the other nodes; none where they do not tell each other.
    pub board: Option<Arc<Desk>>,
    /// Where baseline documents stand.
    pub documents: Box<dyn Documents>,
    /// What people look at.
    pub views: Box<dyn Views>,
    /// How long it works.
    pub mode: Mode,
    /// Bounds and rhythms.
    pub bounds: Bounds,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({}, {:?}, {:?})", self.node, self.mode, self.watches)
    }
}
