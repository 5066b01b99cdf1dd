//! The decision of a cycle: hard rules first, then statistics with control of false alarms, then hysteresis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::decision::{BaselineRef, Counts, DataFault, Decision, Status};
use super::settings::WatchSettings;
use super::summary::SeriesTable;
use crate::ids::CycleNo;
use crate::journal::Hash;
use crate::time::Span;

/// Everything that a decision depends on.
#[derive(Debug)]
pub struct Case<'a> {
    /// The cycle.
    pub cycle: CycleNo,
    /// Its span.
    pub span: Span,
    /// Its series.
    pub series: SeriesTable,
    /// What became of its samples.
    pub counts: Counts,
    /// Faults that the intake found (aliases that clash, unknown units), at most [`super::decision::NAMED_MAX`].
    pub faults: Vec<DataFault>,
    /// The baseline in force, with its reference.
    pub baseline: Option<(&'a Baseline, BaselineRef)>,
    /// Cycles still to be seen before a baseline can be learned, while learning.
    pub learning_left: Option<u32>,
    /// Settings and their hash.
    pub settings: (&'a WatchSettings, Hash),
}

/// What detectors carry from cycle to cycle. Bounded by series; in every cycle's record, so that the newest one is enough.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Carry {
    /// Placeholder for the detectors' state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub series: BTreeMap<String, String>,
}

/// Decides a cycle.
#[must_use]
pub fn decide(case: Case<'_>, carry: &Carry) -> (Decision, Carry) {
    let status = if case.counts.window.samples == 0 {
        Status::NoData
    } else if case.baseline.is_none() {
        Status::NoBaseline
    } else {
        Status::Pass
    };
    let decision = Decision {
        cycle: case.cycle,
        span: case.span,
        status,
        headline: status.to_string(),
        drivers: Vec::new(),
        drivers_unnamed: 0,
        faults: case.faults,
        counts: case.counts,
        baseline: case.baseline.map(|(_, reference)| reference),
        baseline_stale_sec: None,
        learning_left: case.learning_left,
        settings: case.settings.1,
        series: case.series,
    };
    (decision, carry.clone())
}
