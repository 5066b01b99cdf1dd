//! Healthy telemetry of several kinds, from a seed, and faults put into it; run through windows, learner and decisions.
#![expect(clippy::cast_precision_loss, reason = "simulated figures")]
#![allow(dead_code, clippy::allow_attributes, reason = "each user needs another part")]

use std::sync::Arc;

use hb_core::ids::CycleNo;
use hb_core::journal::Hash;
use hb_core::time::{Span, Stamp};
use hb_core::watch::baseline::{Baseline, Learner, Material};
use hb_core::watch::decide::{Carry, Case, decide};
use hb_core::watch::decision::{BaselineRef, Counts, Decision, Severity};
use hb_core::watch::settings::WatchSettings;
use hb_core::watch::summary::{SeriesSummary, SeriesTable};
use hb_core::watch::window::{Admission, Keep, Window};

/// A generator of random numbers: SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Uniform in 0 < u <= 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    /// Poisson by multiplication (Knuth); for small means.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        let (limit, mut product, mut k) = ((-mean).exp(), self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            k += 1.0;
        }
        k
    }
}

/// A kind of healthy series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Iid,
    Ar5,
    Ar9,
    Lognormal,
    Poisson,
    Constant,
    NearZero,
    Season,
    Counter,
    /// Nearly constant, but wandering from window to window: not among those that the promise is about.
    Load,
}

impl Kind {
    /// Every kind that the promise is about.
    pub(crate) const ALL: [Self; 9] = [
        Self::Iid,
        Self::Ar5,
        Self::Ar9,
        Self::Lognormal,
        Self::Poisson,
        Self::Constant,
        Self::NearZero,
        Self::Season,
        Self::Counter,
    ];

    /// As it stands in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Iid => "iid",
            Self::Ar5 => "AR .5",
            Self::Ar9 => "AR .9",
            Self::Lognormal => "lognormal",
            Self::Poisson => "Poisson .3",
            Self::Constant => "constant",
            Self::NearZero => "mean near 0",
            Self::Season => "season",
            Self::Counter => "counter",
            Self::Load => "load average",
        }
    }
}

/// What is done to a series from some cycle on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// So many standard deviations of the readings are added.
    Step(f64),
    /// Distances from the mean are multiplied.
    Noise(f64),
    /// So many standard deviations are added per cycle, for ever.
    Ramp(f64),
}

/// One series.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    kind: Kind,
    random: Random,
    state: f64,
    tick: u64,
}

const MEAN: f64 = 10.0;

/// Readings of a season's period; the windows of 100 do not divide it.
const PERIOD: f64 = 730.0;

impl Source {
    /// A series of a kind; equal seeds are equal series.
    pub(crate) fn of(kind: Kind, seed: u64) -> Self {
        let mut random = Random(seed);
        let state = random.normal();
        Self { kind, random, state, tick: 0 }
    }

    /// The next reading, with `fault` since `since` cycles.
    pub(crate) fn next(&mut self, fault: Fault, since: u64) -> f64 {
        self.tick += 1;
        let noise = self.random.normal();
        let ar = |rho: f64, state: f64| rho * state + (1.0 - rho * rho).sqrt() * noise;
        let (mean, deviation, sd) = match self.kind {
            Kind::Iid => (MEAN, noise, 1.0),
            Kind::Counter => (0.0, 0.0, 1.0),
            Kind::Load => {
                self.state = ar(0.999, self.state);
                (2.0, 0.01 * self.state, 0.01)
            }
            Kind::Ar5 => {
                self.state = ar(0.5, self.state);
                (MEAN, self.state, 1.0)
            }
            Kind::Ar9 => {
                self.state = ar(0.9, self.state);
                (MEAN, self.state, 1.0)
            }
            Kind::Lognormal => {
                let mean = 0.5_f64.exp();
                (mean, noise.exp() - mean, ((1.0_f64.exp() - 1.0) * 1.0_f64.exp()).sqrt())
            }
            Kind::Poisson => (0.3, self.random.poisson(0.3) - 0.3, 0.3_f64.sqrt()),
            Kind::Constant => (MEAN, 0.0, 1.0),
            Kind::NearZero => (0.0, noise, 1.0),
            Kind::Season => {
                let phase = 2.0 * std::f64::consts::PI * self.tick as f64 / PERIOD;
                (MEAN, 2.0 * phase.sin() + 0.5 * noise, 1.5)
            }
        };
        if self.kind == Kind::Counter {
            let rate = match fault {
                Fault::Step(sd) => 5.0 + sd * 5.0_f64.sqrt(),
                Fault::Noise(0.0) => 0.0,
                Fault::None | Fault::Noise(_) | Fault::Ramp(_) => 5.0,
            };
            self.state = self.state.max(0.0).floor() + self.random.poisson(rate);
            return self.state;
        }
        match fault {
            Fault::None => mean + deviation,
            Fault::Step(size) => mean + deviation + size * sd,
            Fault::Noise(factor) => mean + deviation * factor,
            Fault::Ramp(size) => mean + deviation + size * sd * since as f64,
        }
    }
}

/// A run of one watch over many series of one kind.
pub(crate) struct Bench {
    pub(crate) settings: WatchSettings,
    pub(crate) samples: u64,
    sources: Vec<Source>,
    names: Vec<Arc<str>>,
    cycle: u64,
    baseline: Option<(Baseline, BaselineRef)>,
    carry: Carry,
    keep: Keep,
}

const SECOND: i64 = 1_000_000_000;

impl Bench {
    /// `series` series of a kind, with `samples` readings in each window.
    pub(crate) fn new(kind: Kind, series: u64, samples: u64, seed: u64, settings: WatchSettings) -> Self {
        let sources =
            (0..series).map(|n| Source::of(kind, seed.wrapping_mul(1_000_003).wrapping_add(n * 7919))).collect();
        let keep = if settings.drift.distribution { Keep::Samples } else { Keep::Moments };
        let names = (0..series).map(|n| format!("series_{n:05}").into()).collect();
        Self { settings, samples, sources, names, cycle: 0, baseline: None, carry: Carry::default(), keep }
    }

    fn span(&self) -> Span {
        let length = i64::try_from(self.samples).unwrap_or(i64::MAX) * SECOND;
        let start = i64::try_from(self.cycle).unwrap_or(i64::MAX) * length;
        Span { start: Stamp(start), end: Stamp(start + length) }
    }

    /// The next window of all series, with a fault in the first `faulty` of them.
    pub(crate) fn table(&mut self, fault: Fault, faulty: usize, since: u64) -> SeriesTable {
        let span = self.span();
        let mut window = Window::default();
        let rule = Admission { series_max: usize::MAX, keep: self.keep };
        for (index, source) in self.sources.iter_mut().enumerate() {
            let fault = if index < faulty { fault } else { Fault::None };
            for tick in 0..i64::try_from(self.samples).unwrap_or(i64::MAX) {
                window.push(index, span.start.plus_ns(tick * SECOND), source.next(fault, since), rule);
            }
        }
        let summary = |(index, name): (usize, &Arc<str>)| {
            Some(SeriesSummary::of(Arc::clone(name), "".into(), window.get(index)?))
        };
        SeriesTable { rows: self.names.iter().enumerate().filter_map(summary).collect() }
    }

    /// Learns the baseline from as many cycles as the settings ask for.
    pub(crate) fn learn(&mut self) {
        let mut learner = Learner::default();
        for _ in 0..self.settings.learn.cycles {
            let series = self.table(Fault::None, 0, 0);
            learner.push(Material { span: self.span(), series: &series, failed: false });
            self.cycle += 1;
        }
        let (baseline, _) = learner.finish("simulation", "test", &self.settings.learn);
        let baseline = baseline.unwrap_or_else(|| unreachable!("windows were taken"));
        let hash = Hash::of(&baseline.to_bytes());
        self.baseline = Some((baseline, BaselineRef { tag: "golden".into(), version: 1, hash }));
        self.carry = Carry::default();
    }

    /// The baseline in force.
    pub(crate) fn baseline(&self) -> &Baseline {
        &self.baseline.as_ref().unwrap_or_else(|| unreachable!("learned first")).0
    }

    /// What the newest decision carries into the next one.
    pub(crate) fn carry(&self) -> &Carry {
        &self.carry
    }

    /// Decides a table.
    pub(crate) fn decide(&mut self, series: SeriesTable) -> Decision {
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
            settings: (&self.settings, Hash::of(b"settings")),
        };
        let (decision, carry) = decide(case, &self.carry);
        self.carry = carry;
        self.cycle += 1;
        decision
    }

    /// The next cycle, decided.
    pub(crate) fn step(&mut self, fault: Fault, faulty: usize, since: u64) -> Decision {
        let table = self.table(fault, faulty, since);
        self.decide(table)
    }
}

/// Series named as drifting or failing in a decision.
pub(crate) fn alarmed(decision: &Decision) -> std::collections::BTreeSet<String> {
    let severe = decision.drivers.iter().filter(|driver| driver.severity != Severity::Notice);
    severe.map(|driver| driver.series.clone()).collect()
}

/// What a run over healthy series came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quiet {
    /// Series x cycles decided.
    pub(crate) series_cycles: u64,
    /// Of those, with an alarm standing.
    pub(crate) alarms: u64,
    /// Cycles with any alarm.
    pub(crate) cycles_alarmed: u64,
    /// Series x cycles with a notice (trend).
    pub(crate) notices: u64,
}

impl Quiet {
    /// Alarms per 1,000 series-cycles.
    pub(crate) fn per_1000(&self) -> f64 {
        self.alarms as f64 * 1000.0 / self.series_cycles.max(1) as f64
    }
}

/// Size of a simulation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Independent baselines.
    pub(crate) runs: u64,
    /// Series in each.
    pub(crate) series: u64,
    /// Cycles decided against each baseline.
    pub(crate) cycles: u64,
    /// Readings in a window.
    pub(crate) samples: u64,
}

/// Runs healthy series and counts alarms.
pub(crate) fn quiet(kind: Kind, size: Size, seed: u64, settings: &WatchSettings) -> Quiet {
    let mut sum = Quiet::default();
    for run in 0..size.runs {
        let mut bench = Bench::new(kind, size.series, size.samples, seed + run * 101, settings.clone());
        bench.learn();
        for _ in 0..size.cycles {
            let decision = bench.step(Fault::None, 0, 0);
            let alarms = alarmed(&decision).len() as u64 + u64::from(decision.drivers_unnamed);
            let notices = decision.drivers.iter().filter(|driver| driver.severity == Severity::Notice).count() as u64;
            sum.series_cycles += size.series;
            sum.alarms += alarms;
            sum.notices += notices;
            sum.cycles_alarmed += u64::from(alarms > 0);
        }
    }
    sum
}

/// Puts a fault into a fifth of the series; for each cycle since, the share of faulty series that are alarmed.
pub(crate) fn detection(kind: Kind, fault: Fault, size: Size, seed: u64, settings: &WatchSettings) -> Vec<f64> {
    let faulty = usize::try_from(size.series / 5).unwrap_or(1).max(1);
    let mut found = vec![0_usize; usize::try_from(size.cycles).unwrap_or(0)];
    for run in 0..size.runs {
        let mut bench = Bench::new(kind, size.series, size.samples, seed + run * 101, settings.clone());
        bench.learn();
        (0..3).for_each(|_| drop(bench.step(Fault::None, 0, 0)));
        let mut ever = std::collections::BTreeSet::new();
        for (since, slot) in (1_u64..).zip(found.iter_mut()) {
            let decision = bench.step(fault, faulty, since);
            let names: Vec<Arc<str>> = bench.names.iter().take(faulty).cloned().collect();
            ever.extend(alarmed(&decision).into_iter().filter(|name| names.iter().any(|other| **other == **name)));
            *slot += ever.len();
        }
    }
    let all = faulty as f64 * size.runs as f64;
    found.into_iter().map(|count| count as f64 / all).collect()
}
