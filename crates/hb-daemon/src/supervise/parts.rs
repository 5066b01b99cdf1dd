//! What a supervisor is built from. The binary picks the backends; nobody here knows their names.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::{NodeName, Seq, StreamName, WatchName};
use hb_core::journal::Head;
use hb_core::supervise::alert::Notification;
use hb_core::supervise::input::{Decision, Declared, Input};
use hb_core::supervise::state::Sealed;
use hb_core::supervise::step::Effect;
use hb_store::port::{Appended, JournalError, Lease};

/// The database of a supervisor: its stream and its tables, changed in one transaction.
pub trait Keeper: Send {
    /// Shows the records after `head` (or everything that is needed to start from, when there is no head), in order, checked.
    ///
    /// # Errors
    /// [`JournalError`].
    fn follow(&mut self, head: Option<Head>, each: &mut dyn FnMut(Sealed)) -> Result<(), JournalError>;
    /// Makes records durable with the tables they change; all or nothing.
    fn commit(&mut self, records: &[Arc<Sealed>]) -> Appended;
    /// Removes records below `floor`, and rows beyond their bounds; a little at a time. Gives how much went.
    ///
    /// # Errors
    /// [`JournalError`].
    fn trim(&mut self, floor: Seq) -> Result<u64, JournalError>;
}

/// Carries out what the core wants done; each end comes back as an [`Input`]. Never blocks.
pub trait Hand: Send {
    /// Begins it.
    fn act(&self, effect: Effect);
    /// Tells sinks; a [`Input::Delivered`] comes for each.
    fn tell(&self, notification: Notification, sinks: &BTreeSet<String>);
    /// Ends its threads. What runs goes on running.
    fn stop(&mut self);
}

/// Decisions of a watch after a position, in order, each with its number.
pub trait Follow: Send {
    /// Where a watch is begun whose decisions were never taken in: after which record.
    ///
    /// # Errors
    /// As [`Self::poll`].
    fn begin(&mut self, watch: &WatchName) -> Result<Seq, String>;
    /// Those that have come since; empty when there is nothing new.
    ///
    /// # Errors
    /// Why it could not be read, in words; it is tried again.
    fn poll(&mut self, watch: &WatchName, after: Option<Seq>) -> Result<Vec<Decision>, String>;
}

/// Bounds and rhythms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How long a holder may show no progress.
    pub lease_ttl: Duration,
    /// How often a standby looks for new records.
    pub follow_every: Duration,
    /// How often decisions of watches are looked for.
    pub decisions_every: Duration,
    /// How long a stop may take before it is forced.
    pub drain_max: Duration,
    /// Bytes of records after which everything is written as one, so that a start reads little.
    pub snapshot_bytes: u64,
    /// Records before a snapshot that stay.
    pub keep_records: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(3),
            follow_every: Duration::from_millis(200),
            decisions_every: Duration::from_millis(200),
            drain_max: Duration::from_secs(90),
            snapshot_bytes: 4 << 20,
            keep_records: 10_000,
        }
    }
}

/// Makes the hand, given where its outcomes go; called when this node takes over, and from then on no other node's hand starts anything.
pub type MakeHand = Box<dyn FnOnce(Arc<dyn Fn(Input) + Send + Sync>) -> std::io::Result<Box<dyn Hand>> + Send>;

/// Everything that a supervisor is built from.
pub struct SupervisorParts {
    /// The node.
    pub node: NodeName,
    /// Its stream.
    pub stream: StreamName,
    /// Its database.
    pub keeper: Box<dyn Keeper>,
    /// The right to try.
    pub lease: Box<dyn Lease>,
    /// Makes the hand.
    pub hand: MakeHand,
    /// Names of the sinks that it can tell.
    pub sinks: BTreeSet<String>,
    /// What `hb.yaml` declares.
    pub declared: Declared,
    /// Where decisions of watches are read.
    pub decisions: Box<dyn Follow>,
    /// Bounds and rhythms.
    pub bounds: Bounds,
}

impl fmt::Debug for SupervisorParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SupervisorParts({}, {})", self.node, self.stream)
    }
}
