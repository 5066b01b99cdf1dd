//! The registry's own limits on the distance to the baseline, absolute and in per cent.
//!
//! Either limit breaks on its own; `min_effect` holds both back; both are strict. A baseline of zero has no per cent: any
//! change from it is beyond every percentage.

use super::finding::{Finding, Strength, excess};
use crate::watch::decision::Rule;
use crate::watch::registry::{DriftDirection, Metric};

/// Below this share of its limit an episode begins to clear.
const CLEAR_SHARE: f64 = 0.9;

/// What the distance limits of a metric find; clean findings too, for episodes that are being cleared.
pub fn test(metric: &Metric, current: f64, expected: f64, mut found: impl FnMut(Finding)) {
    let delta = (current - expected).clamp(f64::MIN, f64::MAX);
    let held_back = metric.min_effect.is_some_and(|min| delta.abs() < min) || !counts(metric.drift_direction, delta);
    let strength = |distance: f64, limit: f64| {
        if held_back || distance <= limit * CLEAR_SHARE {
            Strength::Clean
        } else if distance > limit {
            Strength::Broken
        } else {
            Strength::Lingering
        }
    };
    if let Some(limit) = metric.drift_threshold {
        let finding = Finding::of(Rule::DriftThreshold, strength(delta.abs(), limit), current, expected);
        found(Finding { limit: Some(limit), score: excess(delta, limit), ..finding });
    }
    if let Some(limit) = metric.drift_percent {
        let percent = if delta == 0.0 { 0.0 } else { (delta / expected * 100.0).abs() };
        let finding = Finding::of(Rule::DriftPercent, strength(percent, limit), current, expected);
        found(Finding { limit: Some(limit), score: excess(percent, limit), ..finding });
    }
}

/// Whether a change that way counts as drift.
#[must_use]
pub fn counts(direction: DriftDirection, delta: f64) -> bool {
    match direction {
        DriftDirection::Both => true,
        DriftDirection::Up => delta > 0.0,
        DriftDirection::Down => delta < 0.0,
    }
}
