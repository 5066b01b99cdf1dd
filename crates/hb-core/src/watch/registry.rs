//! The metric registry: what is known of a series beforehand. Aliases, units, limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which figure of a cycle the limits of a metric look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Mean of the cycle's samples.
    #[default]
    Mean,
    /// Newest by event time.
    Last,
    /// Smallest.
    Min,
    /// Largest.
    Max,
}

/// Which way a change counts as drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftDirection {
    /// Up and down.
    #[default]
    Both,
    /// Only above the baseline.
    Up,
    /// Only below the baseline.
    Down,
}

/// How a series' readings are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    /// Learned with the baseline.
    #[default]
    Auto,
    /// A level.
    Gauge,
    /// Only rises, starts again at zero: judged by its rate per second.
    Counter,
}

/// What is known of one metric. All limits are in the metric's own unit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Metric {
    /// Other names for it.
    pub aliases: Vec<String>,
    /// Its own unit; readings in other units are converted.
    pub unit: Option<String>,
    /// Factors for units that are not generally known: 1 of that unit = factor of `unit`.
    pub unit_map: BTreeMap<String, f64>,
    /// How to understand its readings.
    pub kind: SeriesKind,
    /// Which figure the limits look at.
    pub aggregate: Aggregate,
    /// Drift when further than this from the baseline.
    pub drift_threshold: Option<f64>,
    /// Drift when further than this many per cent from the baseline.
    pub drift_percent: Option<f64>,
    /// No drift of any kind below this distance.
    pub min_effect: Option<f64>,
    /// Which way counts.
    pub drift_direction: DriftDirection,
    /// Cycles in a row before `drift_threshold` and `drift_percent` raise; the watch's m of n where not given.
    pub drift_persistence: Option<u32>,
    /// FAIL above this.
    pub fail_threshold: Option<f64>,
    /// Must be heard in every cycle; without `fail_threshold`, above zero is FAIL (as the original has it) when no invariant is given.
    pub critical: bool,
    /// FAIL when any reading is below.
    pub invariant_min: Option<f64>,
    /// FAIL when any reading is above.
    pub invariant_max: Option<f64>,
    /// FAIL when any reading differs.
    pub invariant_eq: Option<f64>,
    /// Compare distributions too, with at least this two-sample KS distance.
    pub ks_threshold: Option<f64>,
}

/// Everything known beforehand, by the metrics' own names, for one operating mode.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Registry {
    /// By name.
    pub metrics: BTreeMap<String, Metric>,
}
