//! What a cycle came to: status, drivers with their figures, faults of the data, counts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::sample::FaultCause;
use super::summary::SeriesTable;
use super::window::WindowCounts;
use crate::ids::CycleNo;
use crate::journal::Hash;
use crate::time::{Span, Stamp};

/// The status of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Behaves as the baseline did.
    Pass,
    /// Within its limits, but not as the baseline was.
    PassWithDrift,
    /// An invariant, a limit or a critical series failed.
    Fail,
    /// Nothing arrived in this cycle.
    NoData,
    /// Data, but nothing to compare it with.
    NoBaseline,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pass, Self::PassWithDrift, Self::Fail, Self::NoData, Self::NoBaseline];

    /// As it stands in documents: `PASS`, `PASS_WITH_DRIFT`, `FAIL`, `NO_DATA`, `NO_BASELINE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::PassWithDrift => "PASS_WITH_DRIFT",
            Self::Fail => "FAIL",
            Self::NoData => "NO_DATA",
            Self::NoBaseline => "NO_BASELINE",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much a driver weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// Early warning; does not change the status.
    Notice,
    /// Makes the cycle PASS_WITH_DRIFT.
    Drift,
    /// Makes the cycle FAIL.
    Fail,
}

/// The rule that a driver broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `invariant_eq`.
    InvariantEq,
    /// `invariant_min`.
    InvariantMin,
    /// `invariant_max`.
    InvariantMax,
    /// `fail_threshold`, or above zero for a critical series without one.
    FailThreshold,
    /// A critical series sent nothing usable.
    CriticalSilent,
    /// A series of the baseline sent nothing.
    Silent,
    /// Readings that are no numbers, or in a unit that cannot be converted.
    DataFault,
    /// `drift_threshold`: the distance to the baseline.
    DriftThreshold,
    /// `drift_percent`: the distance in per cent of the baseline.
    DriftPercent,
    /// The mean of the cycle against the means of the baseline's windows.
    Level,
    /// The spread within the cycle against the spreads of the baseline's windows.
    Spread,
    /// The number of readings against those of the baseline's windows.
    Rate,
    /// The distribution within the cycle against the baseline's (two-sample Kolmogorov-Smirnov).
    Distribution,
    /// A slow change against the series' own past (CUSUM).
    Trend,
}

impl Rule {
    /// The rule as it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvariantEq => "invariant_eq",
            Self::InvariantMin => "invariant_min",
            Self::InvariantMax => "invariant_max",
            Self::FailThreshold => "fail_threshold",
            Self::CriticalSilent => "critical_silent",
            Self::Silent => "silent",
            Self::DataFault => "data_fault",
            Self::DriftThreshold => "drift_threshold",
            Self::DriftPercent => "drift_percent",
            Self::Level => "level",
            Self::Spread => "spread",
            Self::Rate => "rate",
            Self::Distribution => "distribution",
            Self::Trend => "trend",
        }
    }
}

/// Which way a series went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Above what was expected.
    Up,
    /// Below.
    Down,
    /// Neither: silence, faults, shape.
    None,
}

/// A series that caused the status of a cycle, with its figures and reason. All figures are finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// The series.
    pub series: String,
    /// The rule that it broke.
    pub rule: Rule,
    /// What that makes of the cycle.
    pub severity: Severity,
    /// Which way.
    pub direction: Direction,
    /// Unit of `current`, `baseline`, `delta`, `limit`; empty where none is known.
    pub unit: String,
    /// The figure of this cycle that was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<f64>,
    /// What it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// `current - baseline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// `delta` in per cent of the baseline, where that is not zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// `delta` in standard deviations of the baseline's windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<f64>,
    /// Probability of so large a distance without any change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// The limit that was broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Cycle in which this episode was first seen.
    pub onset: CycleNo,
    /// Start of that cycle.
    pub onset_utc: Stamp,
    /// Cycles in a row, this one included, in which the rule was broken.
    pub persistence: u32,
    /// Rank within the decision: larger is worse.
    pub score: f64,
    /// The reason in one sentence.
    pub reason: String,
    /// What to look at next, in one sentence.
    pub next: String,
}

/// A fault of the data that the decision names (W5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFault {
    /// The series, or empty where it belongs to none.
    pub series: String,
    /// What is wrong, in one sentence with its count.
    pub what: String,
}

/// What became of everything that the source delivered up to this cycle's close (W4).
///
/// Over the life of a watch: `delivered_total` = all samples + late + dropped of all cycles + `pending`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// What fell into this cycle's window.
    #[serde(flatten)]
    pub window: WindowCounts,
    /// Samples that came after their own cycle had been decided, since the cycle before this one was closed.
    pub late: u64,
    /// Largest lateness among them, in nanoseconds behind the end of their cycle.
    pub late_max_ns: i64,
    /// Samples dated further into the future than allowed, since then.
    pub future: u64,
    /// Items that were no samples, by cause, since then.
    pub faults: BTreeMap<FaultCause, u64>,
    /// Everything that the source has delivered since the watch began, up to this cycle's close.
    pub delivered_total: u64,
    /// Of that, what waits in cycles that are not closed yet.
    pub pending: u64,
}

impl Counts {
    /// Everything dropped for a reason other than lateness.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let window = self.window.not_finite + self.window.repeated + self.window.unit + self.window.too_many_series;
        window + self.future + self.faults.values().sum::<u64>()
    }

    /// Everything that this cycle accounts for.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        self.window.samples + self.late + self.dropped()
    }
}

/// Which baseline a decision was made against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineRef {
    /// Tag by which the watch asks for it.
    pub tag: String,
    /// Version within the tag: 1, 2, 3 …
    pub version: u32,
    /// Hash of the baseline document's bytes.
    pub hash: Hash,
}

/// Most drivers and data faults that a decision names; the rest is counted.
pub const NAMED_MAX: usize = 100;

/// A cycle as decided. A pure function of samples, baseline, settings and carried state (W2): deciding again from the
/// recorded positions gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The cycle.
    pub cycle: CycleNo,
    /// Its span of event time.
    pub span: Span,
    /// What it came to.
    pub status: Status,
    /// The status in one sentence.
    pub headline: String,
    /// The worst first; at most [`NAMED_MAX`].
    pub drivers: Vec<Driver>,
    /// Drivers beyond those named.
    pub drivers_unnamed: u32,
    /// Faults of the data; at most [`NAMED_MAX`].
    pub faults: Vec<DataFault>,
    /// What became of the samples.
    pub counts: Counts,
    /// Baseline decided against.
    pub baseline: Option<BaselineRef>,
    /// Set when the baseline is older than allowed: its age in seconds of event time.
    pub baseline_stale_sec: Option<u64>,
    /// Cycles still to be seen before a baseline can be learned; set while learning.
    pub learning_left: Option<u32>,
    /// Hash of the settings decided under.
    pub settings: Hash,
    /// Figures of every series of the cycle.
    pub series: SeriesTable,
}
