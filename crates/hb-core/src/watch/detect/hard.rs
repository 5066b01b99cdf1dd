//! Hard rules: invariants on every reading, and the level above which a cycle fails. No statistics, no patience.

use super::finding::{Finding, Strength, direction, excess};
use crate::watch::decision::Rule;
use crate::watch::registry::Metric;
use crate::watch::summary::SeriesSummary;

/// What the hard rules of a metric find in a series that has readings.
#[expect(clippy::float_cmp, reason = "an invariant of equality means just that")]
pub fn test(row: &SeriesSummary, metric: &Metric, mut found: impl FnMut(Finding)) {
    if let Some(eq) = metric.invariant_eq {
        let furthest = if (row.max - eq).abs() >= (row.min - eq).abs() { row.max } else { row.min };
        if furthest != eq {
            found(broken(Rule::InvariantEq, furthest, eq));
        }
    }
    if let Some(min) = metric.invariant_min.filter(|min| row.min < *min) {
        found(broken(Rule::InvariantMin, row.min, min));
    }
    if let Some(max) = metric.invariant_max.filter(|max| row.max > *max) {
        found(broken(Rule::InvariantMax, row.max, max));
    }
    let current = row.aggregate(metric.aggregate);
    if let Some(fail) = metric.fail_above().filter(|fail| current > *fail) {
        found(broken(Rule::FailThreshold, current, fail));
    }
}

fn broken(rule: Rule, current: f64, limit: f64) -> Finding {
    Finding {
        direction: direction(current, limit),
        current: Some(current),
        limit: Some(limit),
        score: excess(current - limit, limit),
        ..Finding::plain(rule, Strength::Broken)
    }
}
