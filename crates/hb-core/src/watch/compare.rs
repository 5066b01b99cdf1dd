//! Two recordings side by side: whether the second behaves as the first did.
//!
//! The first is learned like any baseline, window by window; the second is averaged over its windows and judged once, by
//! the same rules as a cycle. What takes patience in a watch is told at once here, since there is no next cycle; in
//! exchange the average of many windows is judged more closely than a single one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::baseline::{Baseline, Learner, Material};
use super::decide::{Carry, Case, decide_averages};
use super::decision::{BaselineRef, Counts, DataFault, Decision, Severity, Status};
use super::settings::WatchSettings;
use super::summary::{SeriesSummary, SeriesTable};
use super::window::held;
use crate::ids::CycleNo;
use crate::journal::Hash;
use crate::time::{SECOND_NS, Span};

/// Most samples of one series that are compared as a distribution.
const KEPT_MAX: usize = 1024;

/// Compares the windows of a recording with those of another that is taken for normal. Windows should be of one length;
/// those of `before` that are not as long as its first are left out.
///
/// The decision has cycle 0 and the span of all of `after`. Its table holds the *average* window of `after`: means of
/// means, counts and rises, the geometric mean of standard deviations, but the smallest and largest reading of all.
#[must_use]
pub fn compare(
    before: &[(Span, SeriesTable)],
    after: &[(Span, SeriesTable)],
    settings: (&WatchSettings, Hash),
) -> Decision {
    let mut learner = Learner::default();
    before.iter().for_each(|(span, series)| learner.push(Material { span: *span, series, failed: false }));
    let (baseline, _) = learner.finish("the first recording", "compare", &settings.0.learn);
    let baseline = baseline.as_ref().map(|baseline| {
        let reference =
            BaselineRef { tag: "first recording".to_owned(), version: 1, hash: Hash::of(&baseline.to_bytes()) };
        (baseline, reference)
    });
    compare_with(baseline, after, settings)
}

/// Compares the windows of a recording with a baseline.
#[must_use]
pub fn compare_with(
    baseline: Option<(&Baseline, BaselineRef)>,
    after: &[(Span, SeriesTable)],
    settings: (&WatchSettings, Hash),
) -> Decision {
    let (series, averaged) = average(after);
    let whole = whole(after);
    let mut counts = Counts::default();
    counts.window.samples = sum(after, |row| row.n);
    counts.window.not_finite = sum(after, |row| row.not_finite);
    counts.window.unit = sum(after, |row| row.unit_faults);
    counts.delivered_total = counts.window.total();
    let windows = baseline.as_ref().map(|(baseline, _)| baseline.provenance.windows);
    let at_once = at_once(settings.0);
    // The average is that of one window, so it is judged as one.
    let length = after.first().map_or(0, |(span, _)| span.end.since_ns(span.start));
    let case = Case {
        cycle: CycleNo(0),
        span: Span { start: whole.start, end: whole.start.plus_ns(length) },
        series,
        counts,
        faults: Vec::new(),
        baseline,
        missing: None,
        learning_left: None,
        settings: (&at_once, settings.1),
    };
    let (mut decision, _) = decide_averages(case, &Carry::default(), Some(&averaged));
    decision.span = whole;
    if decision.status == Status::Pass && !judged(&decision, windows, settings.0) {
        decision.status = Status::NoBaseline;
        decision.headline =
            "NO_BASELINE: the first recording is too short for statistics, and no limits are set".to_owned();
        decision.faults.push(DataFault {
            series: String::new(),
            what: "nothing could be judged: give a longer first recording, shorter windows, or limits".to_owned(),
        });
    }
    decision
}

/// Whether anything at all was judged, so that a PASS means something (W5).
fn judged(decision: &Decision, windows: Option<u32>, settings: &WatchSettings) -> bool {
    let statistics = settings.drift.statistics && windows.unwrap_or(0) >= super::detect::figure::WINDOWS_MIN;
    let limits = |row: &SeriesSummary| {
        let metric = settings.registry.metrics.get(&*row.name);
        metric.is_some_and(|metric| {
            metric.has_limits() || metric.critical || metric.drift_threshold.is_some() || metric.drift_percent.is_some()
        })
    };
    let told = decision.drivers.iter().any(|driver| driver.severity != Severity::Notice);
    statistics || told || decision.series.rows.iter().any(limits)
}

/// The settings without any patience.
fn at_once(settings: &WatchSettings) -> WatchSettings {
    let mut settings = settings.clone();
    (settings.drift.raise_m, settings.drift.raise_of) = (1, 1);
    settings.drift.trend = false;
    settings.registry.metrics.values_mut().for_each(|metric| metric.drift_persistence = None);
    settings
}

fn sum(tables: &[(Span, SeriesTable)], of: impl Fn(&SeriesSummary) -> u32) -> u64 {
    tables.iter().flat_map(|(_, table)| &table.rows).map(|row| u64::from(of(row))).sum()
}

fn whole(tables: &[(Span, SeriesTable)]) -> Span {
    let start = tables.iter().map(|(span, _)| span.start).min().unwrap_or_default();
    let end = tables.iter().map(|(span, _)| span.end).max().unwrap_or_default();
    Span { start, end }
}

/// Sums on the way to an average window.
struct Sums {
    row: SeriesSummary,
    windows: u32,
    readings: u64,
    means: f64,
    spreads: (u32, f64),
    speeds: (u32, f64),
}

impl Sums {
    fn of(row: &SeriesSummary) -> Self {
        let row = SeriesSummary {
            kept: Vec::new(),
            n: 0,
            not_finite: 0,
            unit_faults: 0,
            changes: 0,
            falls: 0,
            ..row.clone()
        };
        Self { row, windows: 0, readings: 0, means: 0.0, spreads: (0, 0.0), speeds: (0, 0.0) }
    }

    fn push(&mut self, row: &SeriesSummary) {
        let all = &mut self.row;
        all.not_finite = all.not_finite.saturating_add(row.not_finite);
        all.unit_faults = all.unit_faults.saturating_add(row.unit_faults);
        if row.n == 0 {
            return;
        }
        if self.windows == 0 {
            (all.min, all.max, all.first, all.first_at) = (row.min, row.max, row.first, row.first_at);
        }
        (all.min, all.max) = (all.min.min(row.min), all.max.max(row.max));
        (all.last, all.last_at) = (row.last, row.last_at);
        all.changes = all.changes.saturating_add(row.changes);
        all.falls = all.falls.saturating_add(row.falls);
        all.kept.extend_from_slice(&row.kept);
        self.windows = self.windows.saturating_add(1);
        self.readings = self.readings.saturating_add(u64::from(row.n));
        self.means = held(self.means + (row.mean - self.means) / f64::from(self.windows));
        let add = |(count, mean): &mut (u32, f64), x: f64| {
            *count = count.saturating_add(1);
            *mean = held(*mean + (x - *mean) / f64::from(*count));
        };
        row.ln_spread().into_iter().for_each(|spread| add(&mut self.spreads, spread));
        row.speed().into_iter().for_each(|speed| add(&mut self.speeds, speed));
    }

    fn finish(self) -> (SeriesSummary, u32) {
        let mut row = self.row;
        let windows = self.windows.max(1);
        // A series that was heard has at least one reading in its average window.
        let readings = self.readings.div_ceil(u64::from(windows));
        row.n = u32::try_from(readings).unwrap_or(u32::MAX);
        row.mean = self.means;
        row.sd = if self.spreads.0 > 0 && self.spreads.1 > f64::MIN_POSITIVE.ln() {
            held(self.spreads.1.exp())
        } else {
            0.0
        };
        row.increase = held(self.speeds.1 * Span { start: row.first_at, end: row.last_at }.seconds());
        row.kept.sort_unstable_by(f64::total_cmp);
        let step = row.kept.len().div_ceil(KEPT_MAX).max(1);
        row.kept = row.kept.into_iter().skip(step / 2).step_by(step).collect();
        (row, windows)
    }
}

/// The average window, and of how many windows each series' average is.
fn average(tables: &[(Span, SeriesTable)]) -> (SeriesTable, BTreeMap<Arc<str>, u32>) {
    let mut all: BTreeMap<Arc<str>, Sums> = BTreeMap::new();
    for row in tables.iter().flat_map(|(_, table)| &table.rows) {
        all.entry(Arc::clone(&row.name)).or_insert_with(|| Sums::of(row)).push(row);
    }
    let (mut rows, mut averaged) = (Vec::with_capacity(all.len()), BTreeMap::new());
    for (name, sums) in all {
        let (row, windows) = sums.finish();
        rows.push(row);
        averaged.insert(name, windows);
    }
    (SeriesTable { rows }, averaged)
}

/// Cuts a span into windows of one length for [`compare`]: the length that gives at least `windows` of them, in whole
/// seconds where that is possible.
#[must_use]
pub fn window_length(span: Span, windows: u32) -> i64 {
    let length = span.end.since_ns(span.start).max(1) / i64::from(windows.max(1));
    if length >= SECOND_NS { length / SECOND_NS * SECOND_NS } else { length.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Stamp;
    use crate::watch::decision::Rule;
    use crate::watch::registry::Metric;
    use crate::watch::window::{Admission, Keep, Window};

    fn tables(count: i64, value: impl Fn(i64, i64) -> f64) -> Vec<(Span, SeriesTable)> {
        let table = |window: i64| {
            let start = Stamp(window * 50 * SECOND_NS);
            let mut samples = Window::default();
            for tick in 0..50 {
                let at = start.plus_ns(tick * SECOND_NS);
                samples.push(0, at, value(window, tick), Admission { series_max: 9, keep: Keep::Samples });
            }
            let row = SeriesSummary::of("a".into(), "".into(), samples.get(0).unwrap());
            (Span { start, end: start.plus_ns(50 * SECOND_NS) }, SeriesTable { rows: vec![row] })
        };
        (0..count).map(table).collect()
    }

    fn noise(window: i64, tick: i64) -> f64 {
        let x = u64::try_from(window * 1009 + tick).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        f64::from(u32::try_from(x >> 40).unwrap()) / f64::from(1 << 24)
    }

    fn run(before: &[(Span, SeriesTable)], after: &[(Span, SeriesTable)], metric: Metric) -> Decision {
        let mut settings = WatchSettings::named("compare", 50 * SECOND_NS);
        settings.registry.metrics.insert("a".into(), metric);
        compare(before, after, (&settings, Hash::of(b"settings")))
    }

    #[test]
    fn equal_recordings_pass_and_shifted_ones_drift() {
        let before = tables(20, noise);
        let same = run(&before, &tables(20, |w, t| noise(w + 77, t)), Metric::default());
        assert_eq!(same.status, Status::Pass, "{}", same.headline);
        // A tenth of a standard deviation in each window would be nothing, over twenty it is plain; the floor lets it go.
        let small = run(&before, &tables(20, |w, t| noise(w + 77, t) + 0.01), Metric::default());
        assert_eq!(small.status, Status::Pass, "{}", small.headline);
        let shifted = run(&before, &tables(20, |w, t| noise(w + 77, t) + 0.1), Metric::default());
        assert_eq!((shifted.status, shifted.drivers[0].rule), (Status::PassWithDrift, Rule::Level));
        assert_eq!(shifted.counts.window.samples, 1000);
        assert_eq!(shifted.span.end, Stamp(1000 * SECOND_NS));
    }

    #[test]
    fn distributions_of_equal_mean_are_told_apart() {
        let asked = Metric { ks_threshold: Some(0.1), ..Metric::default() };
        let before = tables(20, noise);
        let two_valued = tables(20, |w, t| if noise(w + 50, t) > 0.5 { 0.789 } else { 0.211 });
        let decision = run(&before, &two_valued, asked.clone());
        assert!(decision.drivers.iter().any(|driver| driver.rule == Rule::Distribution), "{}", decision.headline);
        assert_eq!(run(&before, &tables(20, |w, t| noise(w + 99, t)), asked).status, Status::Pass);
    }

    #[test]
    fn w5_recordings_too_short_to_compare_are_no_pass() {
        let (one, other) = (tables(1, noise), tables(1, |w, t| noise(w + 3, t)));
        assert_eq!(run(&one, &other, Metric::default()).status, Status::NoBaseline);
        assert_eq!(run(&[], &other, Metric::default()).status, Status::NoBaseline);
        assert_eq!(run(&one, &[], Metric::default()).status, Status::NoData);
        let limited = Metric { drift_percent: Some(50.0), ..Metric::default() };
        assert_eq!(run(&one, &other, limited.clone()).status, Status::Pass);
        let doubled = run(&one, &tables(1, |w, t| noise(w, t) * 2.0), limited);
        assert_eq!((doubled.status, doubled.drivers[0].rule), (Status::PassWithDrift, Rule::DriftPercent));
    }

    #[test]
    fn invariants_hold_for_every_reading() {
        let capped = Metric { invariant_max: Some(5.0), ..Metric::default() };
        let spike = tables(20, |w, t| if (w, t) == (7, 7) { 6.0 } else { noise(w, t) });
        assert_eq!(run(&tables(20, noise), &spike, capped).status, Status::Fail);
    }

    #[test]
    fn windows_are_cut_in_whole_seconds() {
        let span = |ns| Span { start: Stamp(0), end: Stamp(ns) };
        assert_eq!(window_length(span(1_234 * SECOND_NS), 30), 41 * SECOND_NS);
        assert_eq!(window_length(span(90), 30), 3);
        assert_eq!(window_length(span(0), 0), 1);
    }
}
