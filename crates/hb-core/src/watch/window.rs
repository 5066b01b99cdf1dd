//! The samples of one cycle, kept as moments: memory grows with series, never with samples.
//!
//! **Invariants.** What a window says depends only on the samples put in and their order; every sample put in is
//! counted in exactly one of [`WindowCounts`]'s fates.

use serde::{Deserialize, Serialize};

use crate::time::Stamp;

/// What became of the samples that fell into a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WindowCounts {
    /// Counted.
    pub samples: u64,
    /// Of those counted, older than the one before them in their series.
    pub out_of_order: u64,
    /// Dropped: NaN or infinite.
    pub not_finite: u64,
    /// Dropped: the same time and value as the sample before it in its series.
    pub repeated: u64,
    /// Dropped: a unit that cannot be converted to the series' own.
    pub unit: u64,
    /// Dropped: beyond the bound of series in one cycle.
    pub too_many_series: u64,
}

impl WindowCounts {
    /// All that fell into the window.
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.samples, self.not_finite, self.repeated, self.unit, self.too_many_series].iter().sum()
    }
}

/// Most samples kept as they are per series and cycle, for distribution tests.
pub const KEPT_MAX: usize = 256;

/// One series in one cycle. Sums are kept relative to the first value, so that large values with small spread lose nothing.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    /// Finite samples.
    pub n: u32,
    /// NaN and infinite ones.
    pub not_finite: u32,
    /// Samples dropped for their unit.
    pub unit_faults: u32,
    /// Times the value differed from the one before.
    pub changes: u32,
    /// Times the value fell.
    pub falls: u32,
    sum: f64,
    squares: f64,
    /// Smallest and largest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Value that came first.
    pub first: f64,
    /// Time of the value that came first.
    pub first_at: Stamp,
    /// Newest value by time; of equal times, the one that came last.
    pub last: f64,
    /// Time of the newest value.
    pub last_at: Stamp,
    /// What the value rose by, falls counted as counter resets (then the value itself is the rise).
    pub increase: f64,
    kept: Option<Box<Kept>>,
}

/// An unbiased choice of at most [`KEPT_MAX`] samples, the same on every node: algorithm R (Vitter 1985) with a generator
/// seeded by nothing but the count.
#[derive(Debug, Clone)]
struct Kept {
    state: u64,
    values: Vec<f64>,
}

impl Kept {
    fn offer(&mut self, n: u32, value: f64) {
        if self.values.len() < KEPT_MAX {
            self.values.push(value);
            return;
        }
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let draw = (z ^ (z >> 31)) % u64::from(n);
        if let Some(slot) = usize::try_from(draw).ok().and_then(|draw| self.values.get_mut(draw)) {
            *slot = value;
        }
    }
}

/// Whether a series' samples are kept for a distribution test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Moments only.
    #[default]
    Moments,
    /// Moments and a bounded choice of samples.
    Samples,
}

/// What became of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Counted,
    OutOfOrder,
    NotFinite,
    Repeated,
}

impl Moments {
    /// Whether anything fell here.
    #[must_use]
    pub fn touched(&self) -> bool {
        self.n > 0 || self.not_finite > 0 || self.unit_faults > 0
    }

    #[inline]
    fn push(&mut self, at: Stamp, value: f64, keep: Keep) -> Fate {
        if !value.is_finite() {
            self.not_finite = self.not_finite.saturating_add(1);
            return Fate::NotFinite;
        }
        if self.n == 0 {
            self.open(at, value, keep);
            return Fate::Counted;
        }
        if at == self.last_at && value.to_bits() == self.last.to_bits() {
            return Fate::Repeated;
        }
        self.n = self.n.saturating_add(1);
        let distance = value - self.first;
        self.sum += distance;
        self.squares += distance * distance;
        self.min = if value < self.min { value } else { self.min };
        self.max = if value > self.max { value } else { self.max };
        if let Some(kept) = &mut self.kept {
            kept.offer(self.n, value);
        }
        if at < self.last_at {
            return Fate::OutOfOrder;
        }
        self.follow(at, value);
        Fate::Counted
    }

    fn open(&mut self, at: Stamp, value: f64, keep: Keep) {
        (self.n, self.first, self.first_at, self.last, self.last_at) = (1, value, at, value, at);
        (self.min, self.max) = (value, value);
        self.kept = (keep == Keep::Samples).then(|| Box::new(Kept { state: 0, values: vec![value] }));
    }

    /// Without branches on the value: whether a reading rises or falls is what nobody can foresee.
    #[inline]
    fn follow(&mut self, at: Stamp, value: f64) {
        let rise = value - self.last;
        let changed = u32::from(rise != 0.0);
        let fell = changed & u32::from(rise.is_sign_negative());
        self.changes = self.changes.saturating_add(changed);
        self.falls = self.falls.saturating_add(fell);
        // As whole numbers, for which there is a choice without a jump.
        let after_reset = if value.is_sign_negative() { 0 } else { value.to_bits() };
        self.increase += f64::from_bits(if fell == 1 { after_reset } else { rise.to_bits() });
        (self.last, self.last_at) = (value, at);
    }

    /// Arithmetic mean; 0 without samples. Finite: sums that overflow are held at the largest number.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.n == 0 { 0.0 } else { held(self.first + self.sum / f64::from(self.n)) }
    }

    /// Sample standard deviation (n - 1); 0 for fewer than two samples. Finite.
    #[must_use]
    pub fn sd(&self) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        let n = f64::from(self.n);
        let variance = (self.squares - self.sum * self.sum / n) / (n - 1.0);
        // Rounding can leave a hair below zero, and inf - inf is not a number: neither is a spread.
        held(variance.max(0.0).sqrt())
    }

    /// The kept samples, in no particular order; empty unless asked for with [`Keep::Samples`].
    #[must_use]
    pub fn kept(&self) -> &[f64] {
        self.kept.as_ref().map_or(&[], |kept| &kept.values)
    }
}

/// The nearest finite number; documents cannot hold others.
#[must_use]
pub fn held(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}

/// One cycle's samples, by series index.
#[derive(Debug, Clone, Default)]
pub struct Window {
    series: Vec<Moments>,
    distinct: usize,
    /// The fates so far.
    pub counts: WindowCounts,
}

impl Window {
    /// Puts a sample of series `index` in; `limit` bounds the distinct series of one cycle (B1).
    #[inline]
    pub fn push(&mut self, index: usize, at: Stamp, value: f64, rule: Admission) {
        let Some(moments) = self.admit(index, rule.series_max) else { return };
        match moments.push(at, value, rule.keep) {
            Fate::Counted => self.counts.samples += 1,
            Fate::OutOfOrder => {
                self.counts.samples += 1;
                self.counts.out_of_order += 1;
            }
            Fate::NotFinite => self.counts.not_finite += 1,
            Fate::Repeated => self.counts.repeated += 1,
        }
    }

    /// Counts a sample whose unit cannot be converted.
    pub fn push_unit_fault(&mut self, index: usize, rule: Admission) {
        let Some(moments) = self.admit(index, rule.series_max) else { return };
        moments.unit_faults = moments.unit_faults.saturating_add(1);
        self.counts.unit += 1;
    }

    #[inline]
    fn admit(&mut self, index: usize, series_max: usize) -> Option<&mut Moments> {
        if index >= self.series.len() {
            self.series.resize_with(index.saturating_add(1), Moments::default);
        }
        let moments = self.series.get_mut(index)?;
        if !moments.touched() {
            if self.distinct >= series_max {
                self.counts.too_many_series += 1;
                return None;
            }
            self.distinct += 1;
        }
        Some(moments)
    }

    /// One series of the window, if anything fell there.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Moments> {
        self.series.get(index).filter(|moments| moments.touched())
    }

    /// Distinct series in it.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.distinct
    }

    /// Renumbers the series: `new_index[old]` is where each goes; those without a place are gone (they must be untouched).
    #[must_use]
    pub fn renumbered(mut self, new_index: &[Option<usize>], len: usize) -> Self {
        let mut series = vec![Moments::default(); len];
        for (moments, place) in self.series.drain(..).zip(new_index) {
            if let Some(slot) = place.and_then(|place| series.get_mut(place)) {
                *slot = moments;
            }
        }
        Self { series, ..self }
    }
}

/// How a window takes a sample in.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    /// Most distinct series in one cycle.
    pub series_max: usize,
    /// Whether samples are kept.
    pub keep: Keep,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Admission = Admission { series_max: 10, keep: Keep::Samples };

    fn window(values: &[(i64, f64)]) -> Window {
        let mut window = Window::default();
        values.iter().for_each(|(at, value)| window.push(0, Stamp(*at), *value, ALL));
        window
    }

    #[test]
    fn moments_are_exact_for_large_values_with_small_spread() {
        let window = window(&[(1, 1e9 + 1.0), (2, 1e9 + 2.0), (3, 1e9 + 3.0)]);
        let moments = window.get(0).unwrap();
        assert!((moments.mean() - (1e9 + 2.0)).abs() < 1e-6);
        assert!((moments.sd() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn w4_each_fate_is_counted_once() {
        let window = window(&[(5, 1.0), (5, 1.0), (5, 2.0), (3, 7.0), (6, f64::NAN), (7, f64::INFINITY)]);
        let expected =
            WindowCounts { samples: 3, out_of_order: 1, not_finite: 2, repeated: 1, ..WindowCounts::default() };
        assert_eq!(window.counts, expected);
        assert_eq!(window.counts.total(), 6);
        let moments = window.get(0).unwrap();
        assert_eq!((moments.last.to_bits(), moments.last_at), (2.0_f64.to_bits(), Stamp(5)));
    }

    #[test]
    fn b1_the_bound_of_series_is_counted() {
        let mut window = Window::default();
        (0..12).for_each(|index| window.push(index, Stamp(1), 1.0, ALL));
        assert_eq!((window.counts.samples, window.counts.too_many_series), (10, 2));
    }

    #[test]
    fn sums_that_overflow_stay_finite() {
        let window = window(&[(1, f64::MIN), (2, f64::MAX), (3, f64::MAX)]);
        assert!(window.get(0).unwrap().mean().is_finite() && window.get(0).unwrap().sd().is_finite());
    }

    #[test]
    fn counters_that_start_again_still_rise() {
        let window = window(&[(1, 10.0), (2, 15.0), (3, 2.0), (4, 4.0)]);
        let moments = window.get(0).unwrap();
        assert!((moments.increase - 9.0).abs() < 1e-12);
        assert_eq!((moments.falls, moments.changes), (1, 3));
    }
}
