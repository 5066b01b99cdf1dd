//! What goes into a node and what comes out of it: the contract between the core and the shell.
//!
//! The shell's duties, in this order:
//! 1. make every blob of a [`Step`] durable;
//! 2. append its records in order, each at its own number, and report each end with [`Input::Committed`] or [`Input::Refused`]
//!    (an unknown end is read back first; a failed one is tried again before anything else);
//! 3. carry out effects as they come. The node holds back what depends on a record until the record is durable (W6).

use std::sync::Arc;

use super::fact::{Sealed, Undelivered};
use crate::ids::{CycleNo, Seq, WatchName};
use crate::journal::Hash;
use crate::mark::Mark;
use crate::time::{Moment, Stamp};
use crate::watch::baseline::{Baseline, Gate, Provenance};
use crate::watch::decision::BaselineRef;
use crate::watch::sample::Batch;
use crate::watch::settings::WatchSettings;

/// Something that happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// A standby read the next record of a watch's stream.
    Record(&'a WatchName, &'a Sealed),
    /// The document of a baseline that the node asked for with [`super::Node::wanted`], or why it cannot be had.
    Document(Hash, Result<Arc<Baseline>, String>),
    /// The lease was granted. Every stream has been read to its head before.
    Granted {
        /// What gave it.
        how: &'static str,
        /// Why it was free.
        why: String,
        /// When it was granted.
        since: Moment,
        /// Good until.
        until: Moment,
    },
    /// Progress was shown.
    Renewed {
        /// Good until.
        until: Moment,
    },
    /// The lease may be somebody else's by now, and nothing proves otherwise: stand by again. What is not durable is forgotten;
    /// whether it became durable after all is read in the journal.
    Lapsed,
    /// Another node is to go on: close the epochs, give the lease back, stand by again. Open cycles are left as they are.
    HandOver {
        /// Why.
        reason: &'a str,
    },
    /// The lease has a larger epoch on it.
    Superseded {
        /// By whom, in words.
        by: String,
    },
    /// A record is durable.
    Committed(&'a WatchName, Seq),
    /// A record's number is taken by somebody else's, or trimmed away.
    Refused(&'a WatchName, Seq),
    /// A source delivered.
    Batch(&'a WatchName, &'a Batch),
    /// A source had nothing more at this wall time.
    Idle(&'a WatchName, Stamp),
    /// A source is complete.
    Ended(&'a WatchName),
    /// A source could not be read at this wall time.
    SourceFailed(&'a WatchName, Stamp, &'a str),
    /// A sink took an alert, or gave it up.
    Delivered {
        /// The watch.
        watch: &'a WatchName,
        /// The alert's cycle.
        cycle: CycleNo,
        /// The sink.
        sink: &'a str,
        /// Tries that it took.
        tries: u32,
        /// Why it was given up.
        given_up: Option<String>,
    },
    /// A version of the watch's baseline tag was put in force by a person.
    Promoted {
        /// The watch.
        watch: &'a WatchName,
        /// Which.
        reference: BaselineRef,
        /// Its document.
        document: Arc<Baseline>,
        /// By whom and why.
        reason: String,
    },
    /// The newest version made of a watch's baseline tag, as its stream says.
    Versions(&'a WatchName, u32),
    /// A watch's settings have changed.
    Reload(Arc<WatchSettings>),
    /// Stop working.
    Drain {
        /// Why.
        reason: &'a str,
    },
}

/// A document that must be durable before the records of its step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Hash of the bytes; its name.
    pub hash: Hash,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Something to do outside.
#[derive(Debug)]
pub enum Effect {
    /// Open a watch's source (again) at this place and deliver from there on.
    OpenSource(WatchName, Option<Mark>),
    /// Bring the views up to this decided cycle.
    Decided(WatchName, Arc<Sealed>),
    /// Deliver an alert to these sinks, at least once each.
    Deliver(WatchName, Undelivered),
    /// Note in the tag's stream that a baseline was learned and put in force.
    Learned(Box<Learned>),
    /// Give the lease back and read along again.
    StandBy,
    /// End the process.
    Leave(Leave),
}

/// A baseline that a watch learned by itself.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The watch.
    pub watch: WatchName,
    /// Which.
    pub reference: BaselineRef,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Series in it.
    pub series: u64,
    /// Its gates.
    pub gates: Vec<Gate>,
    /// Why it was put in force.
    pub reason: String,
}

/// Why the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// Asked to; everything is written.
    Drained,
    /// A larger epoch exists: another node goes on.
    Fenced {
        /// What was met.
        what: String,
    },
}

/// What the shell must now do.
#[derive(Debug, Default)]
pub struct Step {
    /// Make these durable first,
    pub blobs: Vec<Blob>,
    /// then append these, in order,
    pub records: Vec<(WatchName, Arc<Sealed>)>,
    /// and do these; none of them depends on the records above.
    pub effects: Vec<Effect>,
}
