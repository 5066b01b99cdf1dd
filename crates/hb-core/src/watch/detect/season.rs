//! A level that comes and goes with a period of its own: found in a baseline's windows, foretold for a cycle.
//!
//! The windows' figures are fitted by a mean and up to [`HARMONICS_MAX`] harmonics of one frequency (least squares by
//! Gauss and Newton, the frequency being one of the unknowns, so that its error is known, too). What remains is the scatter
//! that a cycle is judged by. As time goes by, the error of the period becomes an error of the phase; the scatter grows by
//! what that is worth, until the season says nothing any more ([`PHASE_ERROR_MAX`]) and the level is judged without it.
//!
//! A season is believed if at least [`PERIODS_MIN`] periods were seen, if it leaves less than half of the variance, and if
//! what the first two thirds of the windows say foretells the last third as well.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::{figure, solve};
use crate::time::{SECOND_NS, Span, Stamp};
use crate::watch::baseline::Figure;

/// Most windows that a season is looked for in; longer ones are not found.
pub const WINDOWS_MAX: usize = 128;

/// Fewest periods that must have been seen.
pub const PERIODS_MIN: f64 = 3.0;

/// Most harmonics of a season.
pub const HARMONICS_MAX: usize = 4;

/// Error of the phase, in radians, beyond which a season foretells nothing.
pub const PHASE_ERROR_MAX: f64 = 0.5;

/// Fewest windows of one period: of shorter ones a window holds too much to tell its phase.
const PERIOD_MIN: f64 = 5.0;

/// Fewest windows in all.
const WINDOWS_MIN: usize = 15;

/// Largest share of the variance that may remain.
const REST_MAX: f64 = 0.5;

/// Steps of the search per resolvable frequency.
const OVERSAMPLED: f64 = 4.0;

/// Rounds of Gauss and Newton: it is quadratic from a start within a quarter of a resolvable frequency.
const ROUNDS: usize = 6;

/// What a further harmonic must explain, as an F statistic with two degrees of freedom: about one in 10,000 by chance.
const HARMONIC_F: f64 = 12.0;

/// Periods that are exact, since the sun and the week make them: one that cannot be told from these is one of them.
const EXACT_SECONDS: [f64; 2] = [86_400.0, 604_800.0];

/// A season, and what is left without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Season {
    /// Its period in seconds.
    pub period_sec: f64,
    /// Standard error of that, as a share of it.
    pub period_error: f64,
    /// Moment at which its phase is zero: the middle of the windows that it was found in.
    pub anchor: Stamp,
    /// Amplitudes of cosine and sine, by harmonic.
    pub waves: Vec<[f64; 2]>,
    /// The windows' figures less the season. Its `k` is the degrees of freedom left, and one.
    pub rest: Figure,
}

impl Season {
    /// What is usual in a cycle; nothing where too much time has gone by to tell.
    #[must_use]
    pub fn at(&self, span: Span) -> Option<Figure> {
        let seconds = Span { start: self.anchor, end: span.start }.seconds() + span.seconds() / 2.0;
        let phase = TAU * seconds / self.period_sec;
        let error = phase.abs() * self.period_error;
        if !phase.is_finite() || error > PHASE_ERROR_MAX {
            return None;
        }
        let [value, slope, bend] = wave(&self.waves, phase);
        // Taylor to the second order: at a peak there is no slope, but the peak itself may be elsewhere.
        let unsure = (slope * error).hypot(bend * error * error / 2.0);
        let Figure { k, mean, sd, min, max, memory } = self.rest;
        let (wide, total) = (2.0 * unsure, sd.hypot(unsure));
        // An error of the phase is there in the next cycle, too.
        let lasting = if total > 0.0 { (unsure / total).powi(2) } else { 0.0 };
        let memory = memory + (1.0 - memory) * lasting;
        let (min, max) = (min + value - wide, max + value + wide);
        let figure = Figure { k, mean: mean + value, sd: total, min, max, memory };
        [figure.mean, figure.sd, figure.min, figure.max].iter().all(|x| x.is_finite()).then_some(figure)
    }
}

/// Value, slope and bend of a season at a phase.
fn wave(waves: &[[f64; 2]], phase: f64) -> [f64; 3] {
    let mut all = [0.0; 3];
    for ([a, b], h) in waves.iter().zip(1_u32..) {
        let h = f64::from(h);
        let (sin, cos) = (h * phase).sin_cos();
        let [value, slope, bend] = &mut all;
        *value += a * cos + b * sin;
        *slope += h * (b * cos - a * sin);
        *bend -= h * h * (a * cos + b * sin);
    }
    all
}

/// The season of windows of one length in a row, as distances from `origin` and NaN where there was none; `first` is the span
/// of the first.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "within the span that was learned over"
)]
pub fn find(values: &[f32], origin: f64, first: Span) -> Option<Season> {
    let last = values.iter().rposition(|value| value.is_finite())?;
    let middle = f64::from(u32::try_from(last).ok()?) / 2.0;
    let at = |index: usize| f64::from(u32::try_from(index).unwrap_or(u32::MAX)) - middle;
    let points: Vec<[f64; 2]> = values
        .iter()
        .enumerate()
        .filter(|(_, value)| value.is_finite())
        .map(|(index, value)| [at(index), f64::from(*value)])
        .collect();
    if points.len() < WINDOWS_MIN {
        return None;
    }
    let fit = Fit::search(&points, middle * 2.0 + 1.0)?.with_harmonics(&points);
    let freedom = points.len().checked_sub(fit.unknowns()).filter(|freedom| *freedom >= points.len() / 2)?;
    if fit.rest > REST_MAX * scatter(&points) || !foretells(&fit, &points) {
        return None;
    }
    let rest = fit.rest(&points, freedom, origin);
    let sd_omega = fit.unit_error * rest.sd * figure::wander(&rest);
    let window_sec = first.seconds();
    let (mut period_sec, mut period_error) = (TAU / fit.omega * window_sec, sd_omega / fit.omega);
    if let Some(exact) = EXACT_SECONDS.iter().find(|exact| (period_sec / *exact - 1.0).abs() <= 2.0 * period_error) {
        (period_sec, period_error) = (*exact, 0.0);
    }
    let anchor = first.start.plus_ns(((middle + 0.5) * window_sec * SECOND_NS as f64) as i64);
    let known = period_sec.is_finite() && period_error.is_finite() && rest.sd.is_finite();
    known.then_some(Season { period_sec, period_error, anchor, waves: fit.waves, rest })
}

/// Sum of squares about the mean.
fn scatter(points: &[[f64; 2]]) -> f64 {
    let mean = mean(points);
    points.iter().map(|[_, x]| (x - mean).powi(2)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "at most WINDOWS_MAX")]
fn mean(points: &[[f64; 2]]) -> f64 {
    points.iter().map(|[_, x]| x).sum::<f64>() / points.len().max(1) as f64
}

/// Whether the season of the first two thirds of the windows is that of the last third.
fn foretells(fit: &Fit, points: &[[f64; 2]]) -> bool {
    let (known, unknown) = points.split_at(points.len() * 2 / 3);
    let Some(early) = fit.clone().refined(known) else { return false };
    let missed: f64 = unknown.iter().map(|point| early.miss(point).powi(2)).sum();
    let mean = mean(known);
    missed <= REST_MAX * unknown.iter().map(|[_, x]| (x - mean).powi(2)).sum::<f64>()
}

/// A mean and harmonics of one frequency.
#[derive(Debug, Clone)]
struct Fit {
    /// Radians a window.
    omega: f64,
    mean: f64,
    waves: Vec<[f64; 2]>,
    /// Sum of squares that remains.
    rest: f64,
    /// Standard error of `omega` where the rest has a standard deviation of one.
    unit_error: f64,
}

impl Fit {
    /// The frequency that explains most, refined: a periodogram from [`PERIODS_MIN`] periods in all windows on.
    fn search(points: &[[f64; 2]], windows: f64) -> Option<Self> {
        let (lowest, highest) = (TAU * PERIODS_MIN / windows, TAU / PERIOD_MIN);
        let step = TAU / (windows * OVERSAMPLED);
        let mean = mean(points);
        let mut best = (0.0, 0.0);
        let mut omega = lowest;
        while omega <= highest {
            let add = |[a, b]: [f64; 2], [at, x]: &[f64; 2]| {
                let (sin, cos) = (omega * at).sin_cos();
                [a + (x - mean) * cos, b + (x - mean) * sin]
            };
            let [a, b] = points.iter().fold([0.0; 2], add);
            let power = a * a + b * b;
            if power > best.0 {
                best = (power, omega);
            }
            omega += step;
        }
        let start = Self { omega: best.1, mean, waves: vec![[0.0; 2]], rest: f64::INFINITY, unit_error: 0.0 };
        let fit = if best.0 > 0.0 { start.refined(points)? } else { return None };
        // Half a step beyond the lowest is as good as on it.
        (lowest - step..=highest + step).contains(&fit.omega).then_some(fit)
    }

    /// More harmonics, as long as each explains more than chance would.
    fn with_harmonics(mut self, points: &[[f64; 2]]) -> Self {
        while self.waves.len() < HARMONICS_MAX && self.omega * (harmonic(self.waves.len()) + 1.0) < TAU / 2.0 {
            let mut waves = self.waves.clone();
            waves.push([0.0; 2]);
            let Some(more) = (Self { waves, ..self.clone() }).refined(points) else { break };
            let freedom = points.len().saturating_sub(more.unknowns());
            let gained = (self.rest - more.rest) / 2.0 / (more.rest / harmonic(freedom)).max(f64::MIN_POSITIVE);
            if gained.is_nan() || gained < HARMONIC_F {
                break;
            }
            self = more;
        }
        self
    }

    /// Mean, frequency, and two amplitudes of each harmonic.
    fn unknowns(&self) -> usize {
        2 + 2 * self.waves.len()
    }

    fn miss(&self, [at, x]: &[f64; 2]) -> f64 {
        let [value, ..] = wave(&self.waves, self.omega * at);
        x - self.mean - value
    }

    /// Least squares by Gauss and Newton. Amplitudes and mean are solved for anew in each round, the frequency is stepped.
    fn refined(mut self, points: &[[f64; 2]]) -> Option<Self> {
        let start = self.omega;
        for round in 0..ROUNDS {
            // Without amplitudes nothing says which way the frequency should go.
            let unknowns = self.unknowns() - usize::from(round == 0);
            let mut normal = solve::Normal::new(unknowns);
            let mut row = vec![0.0; unknowns];
            for [at, x] in points {
                self.row(*at, &mut row);
                normal.add(&row, *x);
            }
            let (solution, last_error) = normal.solve()?;
            let (mean, rest) = solution.split_first()?;
            self.mean = *mean;
            self.waves.iter_mut().flatten().zip(rest).for_each(|(own, new)| *own = *new);
            self.unit_error = last_error;
            self.omega += rest.get(2 * self.waves.len()).copied().unwrap_or(0.0);
            // It may not run away to another peak.
            if !(self.omega.is_finite() && (self.omega - start).abs() <= start / 4.0) {
                return None;
            }
        }
        self.rest = points.iter().map(|point| self.miss(point).powi(2)).sum();
        self.rest.is_finite().then_some(self)
    }

    /// The model's derivatives by its unknowns: mean, amplitudes, frequency.
    fn row(&self, at: f64, row: &mut [f64]) {
        let phase = self.omega * at;
        let harmonics = (1..=self.waves.len()).flat_map(|h| {
            let (sin, cos) = (harmonic(h) * phase).sin_cos();
            [cos, sin]
        });
        let [_, slope, _] = wave(&self.waves, phase);
        for (cell, value) in row.iter_mut().zip([1.0].into_iter().chain(harmonics).chain([at * slope])) {
            *cell = value;
        }
    }

    /// What remains, as a figure.
    fn rest(&self, points: &[[f64; 2]], freedom: usize, origin: f64) -> Figure {
        let mean = origin + self.mean;
        let misses: Vec<f64> = points.iter().map(|point| self.miss(point)).collect();
        let products: f64 = misses.windows(2).map(|pair| pair.iter().product::<f64>()).sum();
        let memory = if self.rest > 0.0 { (products / self.rest).clamp(-1.0, 1.0) } else { 0.0 };
        Figure {
            k: u32::try_from(freedom.saturating_add(1)).unwrap_or(u32::MAX),
            mean,
            sd: (self.rest / harmonic(freedom.max(1))).sqrt(),
            min: mean + misses.iter().copied().fold(f64::INFINITY, f64::min),
            max: mean + misses.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            memory,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn harmonic(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: i64 = 100 * SECOND_NS;

    fn span(window: i64) -> Span {
        Span { start: Stamp(window * LENGTH), end: Stamp((window + 1) * LENGTH) }
    }

    /// Standard normal, without pattern (Irwin and Hall).
    fn noise(n: u32) -> f64 {
        let draw = |m: u32| {
            let mut z = u64::from(n * 12 + m + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            f64::from(u32::try_from((z ^ (z >> 27)) >> 32).unwrap()) / f64::from(u32::MAX)
        };
        (0..12).map(draw).sum::<f64>() - 6.0
    }

    fn found(windows: u32, value: impl Fn(f64, u32) -> f64) -> Option<Season> {
        #[expect(clippy::cast_possible_truncation, reason = "as it is stored")]
        let values: Vec<f32> = (0..windows).map(|n| value(f64::from(n) + 0.5, n) as f32).collect();
        find(&values, 50.0, span(0))
    }

    fn sine(at: f64, period: f64) -> f64 {
        (TAU * at / period).sin()
    }

    #[test]
    fn a_season_is_found_and_foretold_until_its_error_has_grown() {
        let truth = |at: f64| 2.0 * sine(at, 7.3) + 0.5 * sine(at, 3.65);
        let season = found(30, |at, n| truth(at) + 0.05 * noise(n)).unwrap();
        assert!((season.period_sec - 730.0).abs() < 3.0 * 730.0 * season.period_error && season.period_error < 0.01);
        assert_eq!(season.waves.len(), 2);
        assert!((0.03..0.08).contains(&season.rest.sd), "{season:?}");
        for window in 30..60 {
            let usual = season.at(span(window)).unwrap();
            let off = usual.mean - 50.0 - truth(f64::from(i32::try_from(window).unwrap()) + 0.5);
            assert!(off.abs() < 4.0 * usual.sd && usual.sd < 0.3 && usual.min < usual.mean && usual.mean < usual.max);
        }
        assert!(season.at(span(60)).unwrap().sd > season.rest.sd);
        assert_eq!(season.at(span(100_000)), None);
        let text = serde_json::to_string(&season).unwrap();
        assert_eq!(serde_json::from_str::<Season>(&text).unwrap(), season);
    }

    #[test]
    fn a_day_is_a_day() {
        let hour = Span { start: Stamp(0), end: Stamp(3_600 * SECOND_NS) };
        #[expect(clippy::cast_possible_truncation, reason = "as it is stored")]
        let values: Vec<f32> = (0..96).map(|n| (sine(f64::from(n), 24.0) + 0.3 * noise(n)) as f32).collect();
        let season = find(&values, 0.0, hour).unwrap();
        assert_eq!((season.period_sec.to_bits(), season.period_error.to_bits()), (86_400_f64.to_bits(), 0));
        let after = Span { start: Stamp(i64::MAX / 2), end: Stamp(i64::MAX / 2 + 3_600 * SECOND_NS) };
        assert!(season.at(after).is_some());
    }

    #[test]
    fn gaps_are_no_readings() {
        let gappy = |at: f64, n: u32| if n % 7 == 3 { f64::NAN } else { sine(at, 8.0) + 0.05 * noise(n) };
        let season = found(40, gappy).unwrap();
        assert!((season.period_sec - 800.0).abs() < 10.0 && season.rest.k < 34);
    }

    #[test]
    fn what_has_no_season_is_given_none() {
        assert_eq!(found(30, |_, n| noise(n)), None);
        assert_eq!(found(30, |_, _| 7.0), None);
        assert_eq!(found(30, |_, _| f64::NAN), None);
        assert_eq!(found(0, |_, _| 0.0), None);
        assert_eq!(found(30, |at, _| at), None);
        // Fewer than three periods, or one that stopped.
        assert_eq!(found(30, |at, n| sine(at, 14.0) + 0.05 * noise(n)), None);
        assert_eq!(found(30, |at, n| if n < 20 { sine(at, 6.0) } else { 0.0 } + 0.05 * noise(n)), None);
        // A walk wanders and comes back; it has no period.
        let walk = |n: u32, seed: u32| (0..=n).map(|step| noise(step + seed * 1000)).sum::<f64>();
        let taken = (0..200).filter(|seed| found(30, |_, n| walk(n, *seed)).is_some()).count();
        assert!(taken <= 10, "{taken} of 200 walks");
    }
}
