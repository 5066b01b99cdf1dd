//! One series of a cycle, beside all that is known of it, and what the tests find in it.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::iter::Peekable;
use std::slice;
use std::sync::Arc;

use super::baseline::{Baseline, BaselineSeries};
use super::decision::{Direction, Rule};
use super::detect::figure::{self, Standing, Width};
use super::detect::finding::{Finding, Strength, excess};
use super::detect::hysteresis::Track;
use super::detect::{distribution, hard, thresholds};
use super::registry::{DriftDirection, Metric, SeriesKind};
use super::settings::DriftSettings;
use super::summary::SeriesSummary;
use super::units::{self, Conversion};
use crate::time::Stamp;

/// Smallest ratio of two standard deviations that counts as another spread.
pub const SPREAD_RATIO_MIN: f64 = 1.2;

/// Smallest change in the number of readings that counts, as a share of the usual number …
pub const RATE_SHARE_MIN: f64 = 0.2;

/// … and in readings: one more or less at the edge of a cycle is nobody's fault.
pub const RATE_READINGS_MIN: f64 = 2.0;

/// Smallest distance of distributions that counts where no `ks_threshold` is given.
pub const DISTANCE_MIN: f64 = 0.15;

/// Below this share of a floor an episode begins to clear.
const CLEAR_SHARE: f64 = 0.5;

/// What a float cannot tell from nothing, beside figures of size one.
const RESOLUTION: f64 = 1e-9;

/// One name, and everything that goes by it.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The series' name.
    pub name: &'a str,
    /// Its cycle, where anything of it arrived.
    pub row: Option<&'a SeriesSummary>,
    /// What it was, and its place in the baseline.
    pub base: Option<(usize, &'a BaselineSeries)>,
    /// What is known beforehand.
    pub metric: Option<&'a Metric>,
    /// Its open tracks.
    pub tracks: &'a [Track],
    /// Newest reading of an earlier cycle, where this one has too few for a rise.
    pub before: Option<(f64, Stamp)>,
}

impl<'a> Line<'a> {
    /// Its cycle, where that has readings to judge.
    #[must_use]
    pub fn usable(&self) -> Option<&'a SeriesSummary> {
        self.row.filter(|row| row.n > 0)
    }

    /// Whether it is a counter with a single reading in this cycle, so that the next one needs that.
    #[must_use]
    pub fn reads_once(&self) -> bool {
        let once = self.row.is_some_and(|row| row.n == 1);
        once && self.base.is_some_and(|(_, base)| base.by_speed(self.said()))
    }

    /// What the registry says of its kind.
    #[must_use]
    pub fn said(&self) -> SeriesKind {
        self.metric.map_or(SeriesKind::Auto, |metric| metric.kind)
    }
}

/// All names of a cycle in order: four sorted sources, walked side by side.
#[derive(Debug)]
pub struct Lines<'a> {
    rows: Peekable<slice::Iter<'a, SeriesSummary>>,
    base: Peekable<std::iter::Enumerate<btree_map::Iter<'a, Arc<str>, BaselineSeries>>>,
    metrics: Peekable<btree_map::Iter<'a, String, Metric>>,
    tracks: Peekable<btree_map::Iter<'a, String, Vec<Track>>>,
}

impl<'a> Lines<'a> {
    /// The names of a cycle's rows, a baseline, a registry and the open tracks.
    #[must_use]
    pub fn of(
        rows: &'a [SeriesSummary],
        baseline: Option<&'a Baseline>,
        metrics: &'a BTreeMap<String, Metric>,
        tracks: &'a BTreeMap<String, Vec<Track>>,
    ) -> Self {
        static NONE: BTreeMap<Arc<str>, BaselineSeries> = BTreeMap::new();
        Self {
            rows: rows.iter().peekable(),
            base: baseline.map_or(&NONE, |baseline| &baseline.series).iter().enumerate().peekable(),
            metrics: metrics.iter().peekable(),
            tracks: tracks.iter().peekable(),
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let heads: [Option<&'a str>; 4] = [
            self.rows.peek().map(|row| &*row.name),
            self.base.peek().map(|(_, (name, _))| &***name),
            self.metrics.peek().map(|(name, _)| name.as_str()),
            self.tracks.peek().map(|(name, _)| name.as_str()),
        ];
        let name = heads.into_iter().flatten().min()?;
        Some(Line {
            name,
            row: self.rows.next_if(|row| &*row.name == name),
            base: self.base.next_if(|(_, (other, _))| &***other == name).map(|(place, (_, base))| (place, base)),
            metric: self.metrics.next_if(|(other, _)| other.as_str() == name).map(|(_, metric)| metric),
            tracks: self.tracks.next_if(|(other, _)| other.as_str() == name).map_or(&[], |(_, tracks)| tracks),
            before: None,
        })
    }
}

/// What holds for every series of a cycle.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// How drift is judged.
    pub drift: &'a DriftSettings,
    /// Length of the cycle as a share of the length of the baseline's windows.
    pub stretch: f64,
    /// Largest |t| that is certainly no discovery.
    pub sieve: f64,
    /// Windows behind the baseline.
    pub windows: u32,
    /// Where the rows are averages of several windows: of how many, by series.
    pub averaged: Option<&'a BTreeMap<Arc<str>, u32>>,
}

/// What the judge needs to know of one test.
struct Test {
    rule: Rule,
    current: f64,
    expected: f64,
    /// Whether the effect is beyond the floor, and beyond the share of it at which an episode clears.
    effect: [bool; 2],
    sd: f64,
}

impl Judge<'_> {
    /// Everything that the tests find in one series, and how many of them were statistical. The level's distance is for
    /// the trend.
    pub fn judge(&self, line: &Line<'_>, mut found: impl FnMut(Finding)) -> (usize, Option<f64>) {
        let mut keep = |finding: Finding| {
            if finding.strength != Strength::Clean || line.tracks.iter().any(|track| track.rule == finding.rule) {
                found(finding);
            }
        };
        let Some(row) = line.usable() else {
            silence(line, self.windows, keep);
            return (0, None);
        };
        if let Some(metric) = line.metric {
            hard::test(row, metric, &mut keep);
        }
        let Some((_, base)) = line.base else { return (0, None) };
        if !same_unit(&row.unit, &base.unit) {
            keep(Finding { current: Some(0.0), ..Finding::plain(Rule::DataFault, Strength::Broken) });
            return (0, None);
        }
        if let Some(metric) = line.metric {
            let by_speed = base.by_speed(metric.kind);
            let current = if by_speed { row.speed_since(line.before) } else { Some(row.aggregate(metric.aggregate)) };
            if let (Some(current), Some(usual)) = (current, base.usual(metric.kind, metric.aggregate)) {
                thresholds::test(metric, current, usual, &mut keep);
            }
        }
        if self.drift.statistics {
            return self.statistics(line, row, base, keep);
        }
        (0, None)
    }

    fn statistics(
        &self,
        line: &Line<'_>,
        row: &SeriesSummary,
        base: &BaselineSeries,
        mut found: impl FnMut(Finding),
    ) -> (usize, Option<f64>) {
        let mut tests = 0_usize;
        let mut tell = |standing: Option<(Standing, Test)>| {
            if let Some((standing, test)) = standing {
                tests += 1;
                found(self.weigh(standing, &test));
            }
        };
        let level = self.level(line, row, base);
        let t = level.as_ref().map(|(standing, _)| standing.t);
        tell(level);
        if !base.by_speed(line.said()) {
            tell(self.spread(line.metric, row, base));
            tell(self.distribution(line.metric, row, base));
        }
        tell(self.rate(row, base));
        (tests, t)
    }

    /// A test with its place among the windows becomes a finding.
    fn weigh(&self, standing: Standing, test: &Test) -> Finding {
        let [effect, lingering] = test.effect;
        let finding = Finding::of(test.rule, Strength::Clean, test.current, test.expected);
        if !lingering || standing.t.abs() < self.sieve {
            return finding;
        }
        let p = standing.p();
        let strength = if effect && standing.outside { Strength::IfDiscovered } else { Strength::Lingering };
        let sigmas = (test.sd > 0.0).then(|| (test.current - test.expected) / test.sd);
        Finding { strength, p: Some(p), sigmas, score: excess(standing.t, 1.0), ..finding }
    }

    fn width(&self, row: &SeriesSummary, floor: f64, factor: f64) -> Width {
        let averaged = self.averaged.and_then(|averaged| averaged.get(&row.name)).copied().unwrap_or(1).max(1);
        Width { floor, factor, range: self.drift.range_factor, averaged: f64::from(averaged) }
    }

    fn shorter(&self) -> f64 {
        // The mean of a shorter window scatters more.
        self.stretch.recip().sqrt().max(1.0)
    }

    fn level(&self, line: &Line<'_>, row: &SeriesSummary, base: &BaselineSeries) -> Option<(Standing, Test)> {
        let usual = base.judged(line.said())?;
        let by_speed = base.by_speed(line.said());
        let current = if by_speed { row.speed_since(line.before)? } else { row.mean };
        let floor = RESOLUTION * usual.mean.abs().max(current.abs());
        let width = self.width(row, floor, figure::wander(usual) * self.shorter());
        let standing = figure::stand(usual, current, width)?;
        let delta = current - usual.mean;
        let direction = line.metric.map_or(DriftDirection::Both, |metric| metric.drift_direction);
        let sd_within = if by_speed { 0.0 } else { base.sd_within };
        let effect = [1.0, CLEAR_SHARE].map(|share| {
            let distance = delta.abs() / share;
            let in_sd = sd_within > 0.0 && distance >= self.drift.effect_sd * sd_within;
            let in_percent = usual.mean != 0.0 && distance >= self.drift.effect_percent / 100.0 * usual.mean.abs();
            let from_nothing = usual.mean == 0.0 && sd_within == 0.0;
            // A level that moved already while it was learned must move by both measures to be news.
            let enough = if base.stable { in_sd || in_percent } else { (in_sd || sd_within == 0.0) && in_percent };
            (enough || from_nothing) && beyond_own_floor(line.metric, distance) && thresholds::counts(direction, delta)
        });
        Some((standing, Test { rule: Rule::Level, current, expected: usual.mean, effect, sd: usual.sd }))
    }

    fn spread(&self, metric: Option<&Metric>, row: &SeriesSummary, base: &BaselineSeries) -> Option<(Standing, Test)> {
        let current = row.ln_spread()?;
        let width = self.width(row, 0.02, self.shorter());
        let standing = figure::stand(&base.spread, current, width)?;
        let sd = |ln: f64| if ln <= f64::MIN_POSITIVE.ln() { 0.0 } else { ln.exp() };
        let (now, before) = (sd(current), sd(base.spread.mean));
        let effect = [1.0, CLEAR_SHARE].map(|share| {
            let ratio = (current - base.spread.mean).abs() / share;
            ratio >= SPREAD_RATIO_MIN.ln() && beyond_own_floor(metric, (now - before).abs() / share)
        });
        Some((standing, Test { rule: Rule::Spread, current: now, expected: before, effect, sd: 0.0 }))
    }

    fn rate(&self, row: &SeriesSummary, base: &BaselineSeries) -> Option<(Standing, Test)> {
        let readings = f64::from(row.n);
        let width = self.width(row, 0.5, self.shorter());
        let standing = figure::stand(&base.rate, readings / self.stretch, width)?;
        let expected = base.rate.mean * self.stretch;
        let effect = [1.0, CLEAR_SHARE]
            .map(|share| (readings - expected).abs() / share >= (RATE_SHARE_MIN * expected).max(RATE_READINGS_MIN));
        let sd = base.rate.sd * self.stretch;
        Some((standing, Test { rule: Rule::Rate, current: readings, expected, effect, sd }))
    }

    fn distribution(
        &self,
        metric: Option<&Metric>,
        row: &SeriesSummary,
        base: &BaselineSeries,
    ) -> Option<(Standing, Test)> {
        let asked = metric.and_then(|metric| metric.ks_threshold);
        if asked.is_none() && !self.drift.distribution {
            return None;
        }
        let distances = base.distance.as_ref()?;
        let current = distribution::distance(&row.kept, &base.kept)?;
        let width = Width { averaged: 1.0, ..self.width(row, RESOLUTION, 1.0) };
        let mut standing = figure::stand(distances, current, width).unwrap_or(Standing {
            // Too few windows to say how far apart they are by themselves: the threshold that was asked for decides.
            t: if asked.is_some() { 1e12 } else { 0.0 },
            df: 1.0,
            outside: true,
        });
        // Closer than usual is no drift.
        standing.t = standing.t.max(0.0);
        let floor = asked.unwrap_or(DISTANCE_MIN);
        let moved = (row.mean - base.level.mean).abs().max((row.sd - base.sd_within).abs());
        let effect = [1.0, 0.9].map(|share| current > floor * share && beyond_own_floor(metric, moved / share));
        Some((standing, Test { rule: Rule::Distribution, current, expected: distances.mean, effect, sd: distances.sd }))
    }
}

/// Whether figures in two units can be compared as they are; an unknown unit is taken for the other.
pub(super) fn same_unit(a: &str, b: &str) -> bool {
    a == b
        || a.is_empty()
        || b.is_empty()
        || units::conversion(a, b, &BTreeMap::new()).is_ok_and(|conversion| conversion == Conversion::IDENTITY)
}

fn beyond_own_floor(metric: Option<&Metric>, distance: f64) -> bool {
    metric.and_then(|metric| metric.min_effect).is_none_or(|min| distance >= min)
}

/// A series that sent nothing usable.
fn silence(line: &Line<'_>, windows: u32, mut found: impl FnMut(Finding)) {
    let unusable = line.row.map(|row| f64::from(row.not_finite) + f64::from(row.unit_faults));
    let usual = line.base.map(|(_, base)| base.rate.mean);
    let finding = |rule| Finding {
        direction: Direction::None,
        current: unusable.or(Some(0.0)),
        baseline: usual,
        ..Finding::plain(rule, Strength::Broken)
    };
    if line.metric.is_some_and(|metric| metric.critical) {
        found(finding(Rule::CriticalSilent));
    }
    if unusable.is_some() {
        if line.metric.is_some() || line.base.is_some() {
            found(finding(Rule::DataFault));
        }
    } else if line.base.is_some_and(|(_, base)| is_regular(base, windows)) {
        found(finding(Rule::Silent));
    }
}

/// Whether a series was in practically all windows of its baseline, so that its silence says something.
fn is_regular(base: &BaselineSeries, windows: u32) -> bool {
    u64::from(base.rate.k) * 50 >= u64::from(windows) * 49
}
