//! A decided cycle in one line: what lists, the page and `/v1/watches/{name}/cycles` show.

use super::fact::{Body, Sealed};
use crate::ids::{CycleNo, Epoch, NodeName, Seq, WatchName};
use crate::journal::Hash;
use crate::time::Stamp;
use crate::watch::decision::Status;
use serde::{Deserialize, Serialize};

/// A decided cycle in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleLine {
    /// Watch.
    pub watch: WatchName,
    /// Cycle.
    pub cycle: CycleNo,
    /// Number of its record.
    pub seq: Seq,
    /// Epoch of its record.
    pub epoch: Epoch,
    /// Node that decided it.
    pub node: NodeName,
    /// What it came to.
    pub status: Status,
    /// Start of its span of event time.
    pub start_utc: Stamp,
    /// End of its span.
    pub end_utc: Stamp,
    /// Samples counted in it.
    pub samples: u64,
    /// Samples that came too late, told with this cycle.
    pub late: u64,
    /// Items dropped for other reasons, told with this cycle.
    pub dropped: u64,
    /// Hash of its record.
    pub hash: Hash,
    /// The status in one sentence.
    pub headline: String,
}

impl CycleLine {
    /// The line of a record, if it decides a cycle.
    #[must_use]
    pub fn of(sealed: &Sealed) -> Option<Self> {
        let Body::CycleDecided(decided) = &sealed.record.body else { return None };
        let decision = &decided.decision;
        Some(Self {
            watch: decided.watch.clone(),
            cycle: decision.cycle,
            seq: sealed.record.seq,
            epoch: sealed.record.epoch,
            node: sealed.record.node.clone(),
            status: decision.status,
            start_utc: decision.span.start,
            end_utc: decision.span.end,
            samples: decision.counts.window.samples,
            late: decision.counts.late,
            dropped: decision.counts.dropped(),
            hash: sealed.hash,
            headline: decision.headline.clone(),
        })
    }
}
