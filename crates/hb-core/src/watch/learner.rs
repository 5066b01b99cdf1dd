//! Learns what normal is from cycles as they come.
//!
//! **Invariants.** Memory grows with series, never with cycles: of each series a few running sums are kept (Welford
//! 1962), and where samples are compared a pool of at most [`super::pool::POOL_MAX`]. What was learned depends only on the cycles and
//! their order. Cycles that failed teach nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::baseline::{BASELINE_FORMAT, Baseline, BaselineSeries, Provenance};
use super::lesson::Lesson;
use super::settings::LearnSettings;
use super::summary::SeriesTable;
use crate::time::{SECOND_NS, Span};

/// One quality gate and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// `windows`, `samples`, `span`, `stability`, `failures`.
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

/// Most series that a baseline learns; what comes beyond is counted and closes the gate `samples` (B1).
pub const LEARNED_MAX: usize = 200_000;

/// Largest share of series that may have fewer samples than asked.
const THIN_SHARE_MAX: f64 = 0.1;

/// Largest share of cycles that may have failed.
const FAILED_SHARE_MAX: f64 = 0.1;

/// Learns a baseline from cycles as they come; memory grows with series, not with cycles.
#[derive(Debug, Clone, Default)]
pub struct Learner {
    windows: u32,
    failed: u32,
    clean_since: u32,
    other_length: u32,
    beyond: u64,
    samples: u64,
    window_ns: i64,
    span: Option<Span>,
    /// Span of the first window.
    first: Option<Span>,
    /// Sorted by name. Not a tree: filled in order, as it is, a tree's nodes stay half empty, and lessons are large.
    series: Vec<(Arc<str>, Lesson)>,
}

impl Learner {
    /// Takes one more cycle with data. A failed one is counted, but nothing is learned from it; nor from one of another
    /// length than the first.
    pub fn push(&mut self, material: Material<'_>) {
        if material.failed {
            self.failed = self.failed.saturating_add(1);
            self.clean_since = 0;
            return;
        }
        if material.series.rows.iter().all(|row| row.n == 0) {
            return;
        }
        let length = material.span.end.since_ns(material.span.start);
        if self.windows == 0 {
            (self.window_ns, self.first) = (length, Some(material.span));
        } else if length != self.window_ns {
            self.other_length = self.other_length.saturating_add(1);
            return;
        }
        self.windows = self.windows.saturating_add(1);
        self.clean_since = self.clean_since.saturating_add(1);
        let span = self.span.get_or_insert(material.span);
        (span.start, span.end) = (span.start.min(material.span.start), span.end.max(material.span.end));
        let since = self.first.map_or(0, |first| material.span.start.since_ns(first.start));
        let number = since.checked_div(length).and_then(|number| usize::try_from(number).ok());
        self.learn(material.series, number.unwrap_or(usize::MAX));
    }

    /// Goes through known series and rows side by side: both are sorted by name.
    fn learn(&mut self, table: &SeriesTable, window: usize) {
        let room = LEARNED_MAX.saturating_sub(self.series.len());
        let mut fresh: Vec<(Arc<str>, Lesson)> = Vec::new();
        let mut known = self.series.iter_mut().peekable();
        for row in table.rows.iter().filter(|row| row.n > 0) {
            self.samples = self.samples.saturating_add(u64::from(row.n));
            while known.next_if(|(name, _)| *name < row.name).is_some() {}
            match known.peek_mut() {
                Some((name, lesson)) if *name == row.name => lesson.push(row, window),
                Some(_) | None if fresh.len() < room => {
                    fresh.push((Arc::clone(&row.name), Lesson::default().with(row, window)));
                }
                Some(_) | None => self.beyond = self.beyond.saturating_add(1),
            }
        }
        if self.series.is_empty() {
            self.series = fresh;
        } else if !fresh.is_empty() {
            self.series.reserve_exact(fresh.len());
            self.series.append(&mut fresh);
            // Two sorted runs: a stable sort merges them.
            self.series.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
    }

    /// Cycles learned from so far.
    #[must_use]
    pub fn windows(&self) -> u32 {
        self.windows
    }

    /// The baseline of what was taken, whether its gates are open or not (nothing only where nothing was taken), and its
    /// quality gates.
    #[must_use]
    pub fn finish(&self, from: &str, by: &str, settings: &LearnSettings) -> (Option<Baseline>, Vec<Gate>) {
        let series: BTreeMap<_, _> =
            self.series.iter().map(|(name, lesson)| (Arc::clone(name), lesson.finish(name, self.first))).collect();
        let gates = self.gates(&series, settings);
        let baseline = self.span.map(|span| Baseline {
            format: BASELINE_FORMAT,
            provenance: Provenance {
                from: from.to_owned(),
                span,
                windows: self.windows,
                window_ns: self.window_ns,
                samples: self.samples,
                by: by.to_owned(),
            },
            series,
        });
        (baseline, gates)
    }

    #[expect(clippy::cast_precision_loss, reason = "shares only")]
    fn gates(&self, series: &BTreeMap<Arc<str>, BaselineSeries>, settings: &LearnSettings) -> Vec<Gate> {
        let gate = |name: &str, passed: bool, detail: String| Gate { name: name.to_owned(), passed, detail };
        let all = series.len();
        let share = |some: usize| some as f64 / all.max(1) as f64;
        let thin = series.values().filter(|series| series.samples < settings.samples_min).count();
        let moving = series.values().filter(|series| !series.stable).count();
        let span_ns = self.span.map_or(0, |span| span.end.since_ns(span.start));
        let seconds = |ns: i64| ns as f64 / SECOND_NS as f64;
        let cycles = self.windows.saturating_add(self.failed);
        let failed_share = f64::from(self.failed) / f64::from(cycles.max(1));
        // A failure is resolved when twice as many clean cycles have followed it as there were failures in all.
        let resolved = self.failed == 0 || self.clean_since >= self.failed.saturating_mul(2);
        vec![
            gate(
                "windows",
                self.windows >= settings.cycles,
                format!(
                    "{} cycles learned from, {} asked; {} of another length left out",
                    self.windows, settings.cycles, self.other_length
                ),
            ),
            gate(
                "samples",
                all > 0 && self.beyond == 0 && share(thin) <= THIN_SHARE_MAX,
                format!(
                    "{thin} of {all} series have fewer than {} samples, at most {:.0} % may; {} readings of series beyond {LEARNED_MAX}",
                    settings.samples_min,
                    THIN_SHARE_MAX * 100.0,
                    self.beyond
                ),
            ),
            gate(
                "span",
                span_ns >= settings.span_min_ns,
                format!("{} s of event time, {} s asked", seconds(span_ns), seconds(settings.span_min_ns)),
            ),
            gate(
                "stability",
                all > 0 && share(moving) <= settings.unstable_share_max,
                format!(
                    "{moving} of {all} series moved from one level to another meanwhile, at most {:.0} % may",
                    settings.unstable_share_max * 100.0
                ),
            ),
            gate(
                "failures",
                resolved && failed_share <= FAILED_SHARE_MAX,
                format!("{} of {cycles} cycles failed, {} clean ones since", self.failed, self.clean_since),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Stamp;
    use crate::watch::baseline::LearnedKind;
    use crate::watch::pool::POOL_MAX;
    use crate::watch::summary::SeriesSummary;
    use crate::watch::window::{Admission, Keep, Window};

    const LENGTH: i64 = 50 * SECOND_NS;

    fn span(window: i64) -> Span {
        Span { start: Stamp(window * LENGTH), end: Stamp((window + 1) * LENGTH) }
    }

    fn table(window: i64, name: &str, value: &dyn Fn(i64) -> f64) -> SeriesTable {
        let mut samples = Window::default();
        for tick in 0..50 {
            let at = span(window).start.plus_ns(tick * SECOND_NS);
            samples.push(0, at, value(window * 50 + tick), Admission { series_max: 1, keep: Keep::Samples });
        }
        SeriesTable { rows: vec![SeriesSummary::of(name.into(), "ms".into(), samples.get(0).unwrap())] }
    }

    fn learned(name: &str, value: impl Fn(i64) -> f64) -> (BaselineSeries, Vec<Gate>) {
        let mut learner = Learner::default();
        for window in 0..30 {
            learner.push(Material { span: span(window), series: &table(window, name, &value), failed: false });
        }
        let (baseline, gates) = learner.finish("test", "me", &LearnSettings::default());
        (baseline.unwrap().series.remove(name).unwrap(), gates)
    }

    /// Between 0 and 1, without pattern.
    fn noise(n: i64) -> f64 {
        let mut z = u64::try_from(n).unwrap().wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        f64::from(u32::try_from((z ^ (z >> 27)) >> 32).unwrap()) / f64::from(u32::MAX)
    }

    fn closed(gates: &[Gate]) -> Vec<&str> {
        gates.iter().filter(|gate| !gate.passed).map(|gate| gate.name.as_str()).collect()
    }

    #[test]
    fn figures_are_those_of_the_windows() {
        let (series, gates) = learned("a", noise);
        assert_eq!(closed(&gates), Vec::<&str>::new());
        let all: Vec<f64> = (0..1500).map(noise).collect();
        let means: Vec<f64> = all.chunks(50).map(|window| window.iter().sum::<f64>() / 50.0).collect();
        let mean = means.iter().sum::<f64>() / 30.0;
        let sd = (means.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 29.0).sqrt();
        let lag: f64 = means.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
        let memory = lag / (sd * sd * 29.0);
        assert!((series.level.mean - mean).abs() < 1e-12 && (series.level.sd - sd).abs() < 1e-12);
        assert!((series.level.memory - memory).abs() < 1e-9, "{} {memory}", series.level.memory);
        assert!((series.sd_within - (1.0_f64 / 12.0).sqrt()).abs() < 0.01);
        assert_eq!((series.level.k, series.samples, &*series.unit), (30, 1500, "ms"));
        assert_eq!((series.rate.mean.to_bits(), series.rate.sd.to_bits()), (50_f64.to_bits(), 0));
        assert_eq!((series.kept.len(), series.distance.unwrap().k), (POOL_MAX, 25));
        assert!(series.kept.is_sorted());
    }

    #[test]
    fn kinds_are_learned() {
        let kind = |name: &str, value: &dyn Fn(i64) -> f64| learned(name, value).0.kind;
        let whole = |n: i64| (noise(n) * 5.0).floor();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let rise = |n: i64| n as f64 * 3.0;
        assert_eq!(kind("a", &|_| 7.0), LearnedKind::Constant);
        assert_eq!(kind("a", &noise), LearnedKind::Gauge);
        assert_eq!(kind("a", &whole), LearnedKind::Discrete);
        assert_eq!(kind("a", &rise), LearnedKind::Counter);
        assert_eq!(kind("a", &|n| rise(n % 700)), LearnedKind::Counter);
        assert_eq!(
            kind("errors_total", &|n| f64::from(u8::from(n > 600)) + f64::from(u8::from(n > 900))),
            LearnedKind::Counter
        );
        assert_eq!(kind("a", &|n| 100.0 - rise(n)), LearnedKind::Discrete);
        assert_eq!(kind("fs.used", &|n| 40.0 + rise(n) / 1e4), LearnedKind::Gauge);
        assert_eq!(kind("cpu_seconds_total", &|n| rise(n) / 8.0), LearnedKind::Counter);
        let (counter, _) = learned("a", rise);
        assert!((counter.speed.unwrap().mean - 3.0).abs() < 1e-9 && counter.stable);
    }

    #[test]
    fn a_counter_that_is_read_once_a_cycle_is_learned_too() {
        let mut learner = Learner::default();
        for window in 0..30 {
            let mut samples = Window::default();
            let rule = Admission { series_max: 1, keep: Keep::Moments };
            samples.push(0, span(window).start, f64::from(i32::try_from(window).unwrap()) * 100.0, rule);
            let row = SeriesSummary::of("a".into(), "".into(), samples.get(0).unwrap());
            learner.push(Material { span: span(window), series: &SeriesTable { rows: vec![row] }, failed: false });
        }
        let (baseline, gates) = learner.finish("", "", &LearnSettings::default());
        let series = &baseline.unwrap().series["a"];
        assert_eq!((series.kind, series.stable, closed(&gates)), (LearnedKind::Counter, true, vec![]));
        assert!((series.speed.unwrap().mean - 2.0).abs() < 1e-12);
    }

    #[test]
    fn gates_gate() {
        let (_, gates) = learned("a", |n| noise(n) + if n > 750 { 1.0 } else { 0.0 });
        assert_eq!(closed(&gates), ["stability"]);
        let strict =
            LearnSettings { cycles: 31, samples_min: 1501, span_min_ns: 31 * LENGTH, ..LearnSettings::default() };
        let mut learner = Learner::default();
        for window in 0..30 {
            learner.push(Material { span: span(window), series: &table(window, "a", &noise), failed: false });
        }
        assert_eq!(closed(&learner.finish("", "", &strict).1), ["windows", "samples", "span"]);
        let (nothing, gates) = Learner::default().finish("", "", &LearnSettings::default());
        assert!(nothing.is_none());
        assert_eq!(closed(&gates), ["windows", "samples", "stability"]);
    }

    #[test]
    fn failed_cycles_teach_nothing_and_close_the_gate_until_they_are_resolved() {
        let mut learner = Learner::default();
        let push = |learner: &mut Learner, window: i64, failed: bool| {
            learner.push(Material {
                span: span(window),
                series: &table(window, "a", &|n| if failed { 99.0 } else { noise(n) }),
                failed,
            });
        };
        (0..30).for_each(|window| push(&mut learner, window, false));
        push(&mut learner, 30, true);
        let (baseline, gates) = learner.finish("", "", &LearnSettings::default());
        assert!(baseline.unwrap().series["a"].level.max < 1.0);
        assert_eq!((closed(&gates), learner.windows()), (vec!["failures"], 30));
        (31..33).for_each(|window| push(&mut learner, window, false));
        assert_eq!(closed(&learner.finish("", "", &LearnSettings::default()).1), Vec::<&str>::new());
    }

    #[test]
    fn windows_of_another_length_are_left_out() {
        let mut learner = Learner::default();
        learner.push(Material { span: span(0), series: &table(0, "a", &noise), failed: false });
        let long = Span { start: Stamp(LENGTH), end: Stamp(9 * LENGTH) };
        learner.push(Material { span: long, series: &table(1, "a", &noise), failed: false });
        learner.push(Material { span: span(9), series: &SeriesTable::default(), failed: false });
        assert_eq!(learner.windows(), 1);
    }

    #[test]
    fn a_series_is_learned_in_bounded_memory() {
        assert!(size_of::<Lesson>() <= 384, "{}", size_of::<Lesson>());
        let mut learner = Learner::default();
        for window in 0..500 {
            learner.push(Material { span: span(window), series: &table(window, "a", &noise), failed: false });
        }
        let pool = learner.series[0].1.pool.as_ref().unwrap();
        assert_eq!((pool.values.len(), pool.values.capacity() <= 2 * POOL_MAX), (POOL_MAX, true));
    }
}
