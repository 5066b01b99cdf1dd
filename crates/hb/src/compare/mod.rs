//! Two recordings, series by series: has anything changed between them?
//!
//! Each is read once, in a thread of its own, in memory that grows with series only. Hard limits of a registry hold first;
//! then means are compared by blocks of samples, which is honest for telemetry that remembers (batch means), and false
//! discoveries are controlled over all series.

mod blocks;
pub mod html;
mod judge;
mod side;

use serde::Serialize;

use hb_core::watch::decision::{Severity, Status};

pub use judge::{Finding, Rule, compare};
pub use side::{Side, read};

/// What the comparison came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of this document.
    pub format: u32,
    /// The status of B against A.
    pub status: Status,
    /// The status in one sentence.
    pub headline: String,
    /// A.
    pub a: Recording,
    /// B.
    pub b: Recording,
    /// What is different, the worst first.
    pub findings: Vec<Finding>,
    /// Every series of both.
    pub series: Vec<Row>,
}

/// One recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recording {
    /// Its file.
    pub path: String,
    /// Samples counted.
    pub samples: u64,
    /// Items that were no samples, or not counted, by cause.
    pub dropped: std::collections::BTreeMap<String, u64>,
    /// The first of each cause, with file and line.
    pub quotes: Vec<String>,
    /// Series in it.
    pub series: u64,
    /// Time of its first and of its newest sample.
    pub span: Option<hb_core::time::Span>,
}

/// One series of both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub series: String,
    /// Its unit; empty where none is known.
    pub unit: String,
    /// In A.
    pub a: Option<Figures>,
    /// In B.
    pub b: Option<Figures>,
    /// Mean of B less mean of A.
    pub delta: Option<f64>,
    /// The same in per cent of A, where that is not zero.
    pub percent: Option<f64>,
    /// Probability of so large a distance without any change (t test over blocks); none where there are too few.
    pub p: Option<f64>,
    /// Two-sample Kolmogorov-Smirnov distance over a bounded choice of samples.
    pub ks: Option<f64>,
}

/// Figures of one series in one recording.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Samples.
    pub n: u32,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

/// The status that findings make.
fn status(findings: &[Finding], a: &Side, b: &Side) -> Status {
    let worst = findings.iter().map(|finding| finding.severity).max();
    match worst {
        Some(Severity::Fail) => Status::Fail,
        _ if b.series.is_empty() => Status::NoData,
        _ if a.series.is_empty() => Status::NoBaseline,
        Some(Severity::Drift) => Status::PassWithDrift,
        Some(Severity::Notice) | None => Status::Pass,
    }
}
