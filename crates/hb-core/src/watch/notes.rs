//! Faults of a cycle's data, in sentences: what was left out, and what could not be judged for want of knowledge (W5).

use super::baseline::Baseline;
use super::decide::Case;
use super::decision::{BaselineRef, DataFault, NAMED_MAX};
use super::detect::figure::WINDOWS_MIN;
use super::line::Lines;
use super::wording::list;

/// Names told in one sentence.
const EXAMPLES: usize = 5;

/// The intake's faults and the cycle's own; at most [`NAMED_MAX`], the last of which tells how many more there are.
pub(super) fn faults(case: &Case<'_>, baseline: Option<&Baseline>) -> Vec<DataFault> {
    let mut faults = Vec::new();
    if let Some(BaselineRef { tag, version, .. }) = case.missing {
        let what = format!("baseline {tag} version {version} is in force and cannot be read: decided without it");
        faults.push(DataFault { series: String::new(), what });
    }
    faults.extend_from_slice(&case.faults);
    faults.extend(about_series(case, baseline));
    for row in &case.series.rows {
        if row.not_finite > 0 {
            let total = row.n.saturating_add(row.not_finite);
            let what = format!("{} of {total} readings are NaN or infinite and were left out", row.not_finite);
            faults.push(DataFault { series: row.name.to_string(), what });
        }
        if row.unit_faults > 0 {
            let what =
                format!("{} readings came in a unit that cannot be converted and were left out", row.unit_faults);
            faults.push(DataFault { series: row.name.to_string(), what });
        }
    }
    let more = faults.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        faults.truncate(NAMED_MAX - 1);
        faults.push(DataFault { series: String::new(), what: format!("{} more faults of the data", more + 1) });
    }
    faults
}

/// What concerns many series at once, each in one sentence: such notes come first, so that they are never crowded out.
fn about_series(case: &Case<'_>, baseline: Option<&Baseline>) -> Vec<DataFault> {
    let (mut unknown, mut unheard) = (Vec::new(), Vec::new());
    let (mut unknown_count, mut unheard_count) = (0_usize, 0_usize);
    let none = std::collections::BTreeMap::new();
    for line in Lines::of(&case.series.rows, baseline, &case.settings.0.registry.metrics, &none) {
        if baseline.is_some() && line.base.is_none() && line.usable().is_some() {
            unknown_count += 1;
            if unknown.len() < EXAMPLES {
                unknown.push(line.name);
            }
        }
        // A critical one that is silent is a driver, and so is one of the baseline.
        let limits = line.metric.is_some_and(|metric| metric.has_limits() && !metric.critical);
        if limits && line.row.is_none() && line.base.is_none() && !case.series.rows.is_empty() {
            unheard_count += 1;
            if unheard.len() < EXAMPLES {
                unheard.push(line.name);
            }
        }
    }
    let mut notes = Vec::new();
    let mut note = |what: String| notes.push(DataFault { series: String::new(), what });
    if unknown_count > 0 {
        let names = list(&unknown, unknown_count);
        note(format!("{unknown_count} series not in the baseline, so only their limits were judged: {names}"));
    }
    if unheard_count > 0 {
        let names = list(&unheard, unheard_count);
        note(format!("{unheard_count} metrics with limits sent nothing, so these were not checked: {names}"));
    }
    if let Some(baseline) = baseline {
        let windows = baseline.provenance.windows;
        if windows < WINDOWS_MIN && case.settings.0.drift.statistics {
            note(format!("the baseline has {windows} windows, statistics need {WINDOWS_MIN}: only limits were judged"));
        }
        let (cycle, window) = (case.span.end.since_ns(case.span.start), baseline.provenance.window_ns);
        if cycle != window && !case.series.rows.is_empty() {
            let seconds = |ns: i64| std::time::Duration::from_nanos(ns.unsigned_abs()).as_secs_f64();
            let (cycle, window) = (seconds(cycle), seconds(window));
            note(format!("a cycle of {cycle} s against a baseline of {window} s windows: judged more widely"));
        }
    }
    notes
}
