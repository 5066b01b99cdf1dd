//! When? Event time becomes cycles: which cycle a sample belongs to, and when a cycle is closed.
//!
//! **Invariants.** Cycles are closed in order, each once, without gaps in number or (but for leaps) in time. Whatever is
//! decided here depends only on positions, event times and recorded horizons, so reading a source again from
//! [`Resume`] closes the same cycles at the same positions with the same samples in them (W1, W2, W4).

mod collector;
mod lag;

pub use collector::{Closing, Collector, Collects, Grid, HORIZONS_MAX, Place, REREAD_INTERVALS, Tally};

use serde::{Deserialize, Serialize};

use crate::mark::Mark;
use crate::time::Stamp;

/// What closed a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// The source moved on: its watermark passed the end.
    Watermark,
    /// The source fell silent and the wall clock passed the end.
    Clock,
    /// The source came to its end.
    End,
}

/// Where a watch is read on from after a decided cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// The earliest place that any later cycle needs.
    pub mark: Mark,
    /// Everything before this position has been accounted for; what a later cycle needs of it is read again and not
    /// counted again.
    pub closed: u64,
    /// How far the source was behind the wall clock of whoever decided, in nanoseconds.
    pub lag_ns: i64,
    /// Whether a sample has ever been placed; until then the first one says where the grid begins.
    pub anchored: bool,
    /// End of the cycle just decided; the next one starts there.
    pub next_start: Stamp,
    /// How far ahead samples could be dated, by the position from which it held; oldest first, at most
    /// `HORIZONS_MAX` of them.
    pub horizons: Vec<(u64, Stamp)>,
    /// Set when the source was complete and has been read to its end.
    pub ended: bool,
    /// Set when the clock closed the cycle before all that belonged to it was read again: up to where reading had come then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reread: Option<u64>,
    /// Set on the first cycle after the settings were changed on the way: the wall clock then, which says how far ahead samples could be dated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened: Option<Stamp>,
}
