//! Running sums of one figure over the windows of a baseline: its mean and scatter, and how its values follow one another.

use super::baseline::Figure;
use super::detect::student;
use super::window::held;

/// Running mean and sum of squares of one figure over the windows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub(super) k: u32,
    pub(super) mean: f64,
    squares: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { k: 0, mean: 0.0, squares: 0.0, min: f64::MAX, max: f64::MIN }
    }
}

impl Tally {
    pub(super) fn push(&mut self, x: f64) {
        self.k = self.k.saturating_add(1);
        let before = x - self.mean;
        self.mean = held(self.mean + before / f64::from(self.k));
        self.squares = held(self.squares + before * (x - self.mean));
        (self.min, self.max) = (self.min.min(x), self.max.max(x));
    }

    pub(super) fn figure(&self, memory: f64) -> Figure {
        if self.k == 0 {
            return Figure::default();
        }
        let sd = if self.k < 2 { 0.0 } else { (self.squares.max(0.0) / f64::from(self.k - 1)).sqrt() };
        Figure { k: self.k, mean: self.mean, sd: held(sd), min: self.min, max: self.max, memory }
    }
}

/// A tally that also knows how its values follow one another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Path {
    pub(super) tally: Tally,
    /// Sum of (window number - its mean) x (value - its mean).
    slope: f64,
    pub(super) first: f64,
    pub(super) previous: f64,
    /// Sum of products of neighbours, relative to the first value.
    products: f64,
}

impl Path {
    pub(super) fn push(&mut self, x: f64) {
        let before = x - self.tally.mean;
        if self.tally.k == 0 {
            self.first = x;
        } else {
            self.products = held(self.products + (x - self.first) * (self.previous - self.first));
        }
        self.tally.push(x);
        let k = f64::from(self.tally.k);
        self.slope = held(self.slope + before * (k - 1.0) / 2.0);
        self.previous = x;
    }

    pub(super) fn figure(&self) -> Figure {
        self.tally.figure(self.memory())
    }

    /// Correlation at lag 1.
    pub(super) fn memory(&self) -> f64 {
        if self.tally.k < 4 || self.tally.squares <= 0.0 {
            return 0.0;
        }
        let k = f64::from(self.tally.k);
        let mean = self.tally.mean - self.first;
        let last = self.previous - self.first;
        let sum = self.products - mean * (2.0 * k * mean - last) + (k - 1.0) * mean * mean;
        let memory = sum / self.tally.squares;
        if memory.is_finite() { memory.clamp(-1.0, 1.0) } else { 0.0 }
    }

    /// What the values changed by along a straight line through all windows, and how likely that is by chance.
    pub(super) fn trend(&self) -> (f64, f64) {
        let k = f64::from(self.tally.k);
        let numbers = k * (k * k - 1.0) / 12.0;
        if self.tally.k < 8 || self.tally.squares <= 0.0 {
            return (0.0, 1.0);
        }
        let r2 = (self.slope * self.slope / (numbers * self.tally.squares)).min(1.0);
        let t = (r2 * (k - 2.0) / (1.0 - r2).max(1e-12)).sqrt();
        (held(self.slope / numbers * (k - 1.0)), student::two_sided(t, k - 2.0))
    }
}

/// Whether a figure shows no trend that is both beyond chance and worth a word: half a standard deviation of the
/// readings, or a twentieth of its level.
pub(super) fn steady(path: &Path, sd_within: f64) -> bool {
    let (change, p) = path.trend();
    let worth = (sd_within > 0.0 && change.abs() >= 0.5 * sd_within) || change.abs() >= 0.05 * path.tally.mean.abs();
    !(p < 0.001 && worth)
}
