//! A watch in a test: windows from plain numbers, a baseline learned from them, decisions with what they carry.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file needs another part")]
#![expect(clippy::unwrap_used, reason = "only tests use this")]

use hb_core::ids::CycleNo;
use hb_core::journal::Hash;
use hb_core::time::{Span, Stamp};
use hb_core::watch::baseline::{Baseline, Learner, Material};
use hb_core::watch::decide::{Carry, Case, decide};
use hb_core::watch::decision::{BaselineRef, Counts, Decision, Driver, Rule, Severity, Status};
use hb_core::watch::registry::Metric;
use hb_core::watch::settings::WatchSettings;
use hb_core::watch::summary::{SeriesSummary, SeriesTable};
use hb_core::watch::window::{Admission, Keep, Window};

pub(crate) const SECOND: i64 = 1_000_000_000;

/// Length of a cycle.
pub(crate) const CYCLE: i64 = 10 * SECOND;

/// One series of a cycle.
pub(crate) type Readings<'a> = (&'a str, Vec<f64>);

pub(crate) struct World {
    pub(crate) settings: WatchSettings,
    pub(crate) cycle: u64,
    pub(crate) carry: Carry,
    pub(crate) baseline: Option<(Baseline, BaselineRef)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { settings: WatchSettings::named("w", CYCLE), cycle: 0, carry: Carry::default(), baseline: None }
    }

    pub(crate) fn with(metrics: &[(&str, Metric)]) -> Self {
        let mut world = Self::new();
        for (name, metric) in metrics {
            world.settings.registry.metrics.insert((*name).to_owned(), metric.clone());
        }
        world
    }

    pub(crate) fn span(&self) -> Span {
        let start = i64::try_from(self.cycle).unwrap() * CYCLE;
        Span { start: Stamp(start), end: Stamp(start + CYCLE) }
    }

    /// A table of readings, a tenth of a second apart.
    pub(crate) fn table(&self, series: &[Readings<'_>]) -> SeriesTable {
        let mut rows: Vec<SeriesSummary> = Vec::new();
        for (name, values) in series {
            let mut window = Window::default();
            let rule = Admission { series_max: 1, keep: Keep::Samples };
            for (tick, value) in (0_i64..).zip(values) {
                window.push(0, self.span().start.plus_ns(tick * SECOND / 10), *value, rule);
            }
            rows.extend(window.get(0).map(|moments| SeriesSummary::of((*name).into(), "".into(), moments)));
        }
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        SeriesTable { rows }
    }

    /// Learns from as many windows as asked; `of` gives the readings of each.
    pub(crate) fn learn<'a>(mut self, windows: u64, of: impl Fn(u64) -> Vec<Readings<'a>>) -> Self {
        let mut learner = Learner::default();
        for window in 0..windows {
            let series = self.table(&of(window));
            learner.push(Material { span: self.span(), series: &series, failed: false });
            self.cycle += 1;
        }
        let (baseline, _) = learner.finish("test", "test", &self.settings.learn);
        self.baseline = baseline.map(|baseline| {
            let hash = Hash::of(&baseline.to_bytes());
            (baseline, BaselineRef { tag: "golden".into(), version: 1, hash })
        });
        self
    }

    pub(crate) fn step(&mut self, series: &[Readings<'_>]) -> Decision {
        let table = self.table(series);
        self.step_table(table)
    }

    pub(crate) fn step_table(&mut self, series: SeriesTable) -> Decision {
        let (decision, carry) = self.try_table(series);
        self.carry = carry;
        self.cycle += 1;
        decision
    }

    pub(crate) fn try_table(&self, series: SeriesTable) -> (Decision, Carry) {
        let mut counts = Counts::default();
        counts.window.samples = series.rows.iter().map(|row| u64::from(row.n)).sum();
        let case = Case {
            cycle: CycleNo(self.cycle),
            span: self.span(),
            series,
            counts,
            faults: Vec::new(),
            baseline: self.baseline.as_ref().map(|(baseline, reference)| (baseline, reference.clone())),
            missing: None,
            learning_left: None,
            settings: (&self.settings, self.settings.hash()),
        };
        decide(case, &self.carry)
    }

    /// The statuses of several cycles of one series, one letter each: Pass, Drift, Fail, nothing (-), Unknown baseline.
    pub(crate) fn letters(&mut self, name: &str, cycles: &[Vec<f64>]) -> String {
        let step = |values: &Vec<f64>| {
            let series: Vec<Readings<'_>> = if values.is_empty() { Vec::new() } else { vec![(name, values.clone())] };
            letter(self.step(&series).status)
        };
        cycles.iter().map(step).collect()
    }
}

pub(crate) fn letter(status: Status) -> char {
    match status {
        Status::Pass => 'P',
        Status::PassWithDrift => 'D',
        Status::Fail => 'F',
        Status::NoData => '-',
        Status::NoBaseline => 'U',
    }
}

pub(crate) fn find(decision: &Decision, rule: Rule) -> Option<&Driver> {
    decision.drivers.iter().find(|driver| driver.rule == rule)
}

/// Series of the drivers that weigh as much.
pub(crate) fn named(decision: &Decision, severity: Severity) -> Vec<&str> {
    decision.drivers.iter().filter(|driver| driver.severity == severity).map(|driver| driver.series.as_str()).collect()
}

/// Readings around `level`, the same for the same window.
pub(crate) fn around(level: f64, window: u64) -> Vec<f64> {
    (0..50).map(|tick| level + wobble(window * 50 + tick)).collect()
}

/// Between -1 and 1, without pattern.
pub(crate) fn wobble(n: u64) -> f64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / f64::from(u32::MAX) * 2.0 - 1.0
}
