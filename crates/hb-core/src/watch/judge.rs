//! What the tests find in one series of a cycle, beside all that is known of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::baseline::{BaselineSeries, Figure};
use super::decision::{Direction, Rule};
use super::detect::figure::{self, Standing, Width};
use super::detect::finding::{Finding, Strength, excess};
use super::detect::{distribution, hard, recent, thresholds};
use super::line::Line;
use super::registry::{DriftDirection, Metric};
use super::settings::DriftSettings;
use super::summary::SeriesSummary;
use super::units::{self, Conversion};
use crate::time::Span;

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

/// What holds for every series of a cycle.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// How drift is judged.
    pub drift: &'a DriftSettings,
    /// Span of the cycle.
    pub span: Span,
    /// Length of the cycle as a share of the length of the baseline's windows.
    pub stretch: f64,
    /// Largest |t| that is certainly no discovery.
    pub sieve: f64,
    /// Windows behind the baseline.
    pub windows: u32,
    /// Where the rows are averages of several windows: of how many, by series.
    pub averaged: Option<&'a BTreeMap<Arc<str>, u32>>,
}

/// What was judged of one series.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judged {
    /// Statistical tests made of the cycle by itself.
    pub tests: usize,
    /// Whether the newest cycles were judged together, too.
    pub together: bool,
    /// The level's distance in predictive standard deviations, for the trend.
    pub t: Option<f64>,
    /// The level's distance in standard deviations of a window, for the cycles to come.
    pub distance: Option<f64>,
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

/// The level of a series beside what it usually is.
struct Level {
    usual: Figure,
    width: Width,
    standing: Standing,
    test: Test,
}

impl Judge<'_> {
    /// Everything that the tests find in one series, given its distances in the cycles `before`.
    pub fn judge(&self, line: &Line<'_>, before: &[i8], mut found: impl FnMut(Finding)) -> Judged {
        let mut keep = |finding: Finding| {
            let clean = finding.strength == Strength::Clean && finding.together.is_none();
            if !clean || line.tracks.iter().any(|track| track.rule == finding.rule) {
                found(finding);
            }
        };
        let Some(row) = line.usable() else {
            silence(line, self.windows, keep);
            return Judged::default();
        };
        if let Some(metric) = line.metric {
            hard::test(row, metric, &mut keep);
        }
        let Some((_, base)) = line.base else { return Judged::default() };
        if !same_unit(&row.unit, &base.unit) {
            keep(Finding { current: Some(0.0), ..Finding::plain(Rule::DataFault, Strength::Broken) });
            return Judged::default();
        }
        if let Some(metric) = line.metric {
            let by_speed = base.by_speed(metric.kind);
            let current = if by_speed { row.speed_since(line.before) } else { Some(row.aggregate(metric.aggregate)) };
            if let (Some(current), Some(usual)) = (current, base.usual(metric.kind, metric.aggregate)) {
                thresholds::test(metric, current, usual, &mut keep);
            }
        }
        if self.drift.statistics { self.statistics(line, base, before, keep) } else { Judged::default() }
    }

    fn statistics(
        &self,
        line: &Line<'_>,
        base: &BaselineSeries,
        before: &[i8],
        mut found: impl FnMut(Finding),
    ) -> Judged {
        let Some(row) = line.usable() else { return Judged::default() };
        let mut judged = Judged::default();
        let level = self.level(line, row, base);
        if let Some(level) = level {
            judged = Judged {
                tests: 1,
                together: !before.is_empty(),
                t: Some(level.standing.t),
                distance: Some(level.standing.distance),
            };
            let together = self.together(&level, line, base, before);
            found(Finding { together, ..self.weigh(level.standing, &level.test) });
        }
        let mut tell = |standing: Option<(Standing, Test)>| {
            if let Some((standing, test)) = standing {
                judged.tests += 1;
                found(self.weigh(standing, &test));
            }
        };
        if !base.by_speed(line.said()) {
            tell(self.spread(line.metric, row, base));
            tell(self.distribution(line.metric, row, base));
        }
        tell(self.rate(row, base));
        judged
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

    fn level(&self, line: &Line<'_>, row: &SeriesSummary, base: &BaselineSeries) -> Option<Level> {
        // A season is one of windows of a length, and no average over many of them has a phase.
        let in_phase = self.averaged.is_none() && (self.stretch - 1.0).abs() < 0.01;
        let usual = if in_phase { base.expected(line.said(), self.span)? } else { *base.judged(line.said())? };
        let current = if base.by_speed(line.said()) { row.speed_since(line.before)? } else { row.mean };
        let floor = RESOLUTION * usual.mean.abs().max(current.abs());
        let width = self.width(row, floor, figure::wander(&usual) * self.shorter());
        let standing = figure::stand(&usual, current, width)?;
        let delta = current - usual.mean;
        let effect = [1.0, CLEAR_SHARE].map(|share| self.matters(line, base, &usual, delta / share));
        let test = Test { rule: Rule::Level, current, expected: usual.mean, effect, sd: usual.sd };
        Some(Level { usual, width, standing, test })
    }

    /// Probability of the newest cycles taken together, where their mean lies as far off as that of one would have to.
    fn together(&self, level: &Level, line: &Line<'_>, base: &BaselineSeries, before: &[i8]) -> Option<f64> {
        if before.is_empty() {
            return None;
        }
        let mean = recent::mean(before, level.standing.distance, self.drift.raise_m)?;
        let standing = figure::stand_together(&level.usual, mean, before.len() + 1, level.width)?;
        let delta = mean * figure::scale(&level.usual, level.width);
        // A mean of many readings that scatter widely moves by some per cent all the time: here that alone is nothing.
        let far = standing.outside && standing.t.abs() >= self.sieve && self.in_sd(line, base, delta) != Some(false);
        (far && self.matters(line, base, &level.usual, delta)).then(|| standing.p())
    }

    /// Whether a level so far off its usual one is worth a word.
    fn matters(&self, line: &Line<'_>, base: &BaselineSeries, usual: &Figure, delta: f64) -> bool {
        let distance = delta.abs();
        let direction = line.metric.map_or(DriftDirection::Both, |metric| metric.drift_direction);
        let in_sd = self.in_sd(line, base, delta);
        let in_percent = usual.mean != 0.0 && distance >= self.drift.effect_percent / 100.0 * usual.mean.abs();
        let from_nothing = usual.mean == 0.0 && in_sd.is_none();
        // A level that moved already while it was learned, or that wanders from window to window, must move by both
        // measures to be news: what it did so far is not all that it does.
        let settled = base.stable && figure::wander(usual) <= 1.0;
        let enough = if settled { in_sd == Some(true) || in_percent } else { in_sd.unwrap_or(true) && in_percent };
        (enough || from_nothing) && beyond_own_floor(line.metric, distance) && thresholds::counts(direction, delta)
    }

    /// Whether a distance is large beside the scatter of the readings; nothing where they have none.
    fn in_sd(&self, line: &Line<'_>, base: &BaselineSeries, delta: f64) -> Option<bool> {
        let sd_within = if base.by_speed(line.said()) { 0.0 } else { base.sd_within };
        (sd_within > 0.0).then(|| delta.abs() >= self.drift.effect_sd * sd_within)
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
            distance: 0.0,
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
