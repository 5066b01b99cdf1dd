//! A figure of one cycle against the same figure of the baseline's windows.
//!
//! The windows are as long as the cycle, so their scatter holds whatever happens within a window, autocorrelation
//! included (batch means). A new window differs from the mean of `k` old ones by `sd * sqrt(1 + 1/k)` (prediction
//! interval of a normal sample), which is what the distance is measured in.

use super::student;
use crate::watch::baseline::Figure;

/// Fewest windows that a figure can be judged by. With so few the t distribution's tails are long and only gross changes
/// are found, but nothing is claimed that does not hold.
pub const WINDOWS_MIN: u32 = 4;

/// Where a value stands among those of the baseline's windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Distance in predictive standard deviations.
    pub t: f64,
    /// Distance in standard deviations of a window.
    pub distance: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// Whether it lies outside the range that the windows had, widened.
    pub outside: bool,
}

impl Standing {
    /// Probability of so large a distance either way without any change.
    #[must_use]
    pub fn p(&self) -> f64 {
        student::two_sided(self.t, self.df)
    }
}

/// How a comparison is widened.
#[derive(Debug, Clone, Copy)]
pub struct Width {
    /// Smallest standard deviation that is believed.
    pub floor: f64,
    /// Factor on the standard deviation and on the range.
    pub factor: f64,
    /// Factor on the range alone.
    pub range: f64,
    /// Windows that the value is the average of; 1 for a cycle.
    pub averaged: f64,
}

/// Where `x` stands; nothing with fewer than [`WINDOWS_MIN`] windows.
#[must_use]
pub fn stand(figure: &Figure, x: f64, width: Width) -> Option<Standing> {
    if figure.k < WINDOWS_MIN {
        return None;
    }
    let k = f64::from(figure.k);
    let distance = finite((x - figure.mean) / scale(figure, width));
    let t = finite(distance / (1.0 / width.averaged + 1.0 / k).sqrt());
    // An average of several windows ranges less far than one.
    let narrower = ((1.0 / width.averaged + 1.0 / k) / (1.0 + 1.0 / k)).sqrt();
    let centre = f64::midpoint(figure.min, figure.max);
    let half = (figure.max - figure.min) / 2.0 * width.factor * width.range * narrower;
    let outside = (x - centre).abs() > half + width.floor;
    Some(Standing { t, distance, df: k - 1.0, outside })
}

/// The standard deviation of a window that distances are measured in.
#[must_use]
pub fn scale(figure: &Figure, width: Width) -> f64 {
    figure.sd.max(width.floor).max(f64::MIN_POSITIVE) * width.factor
}

fn finite(distance: f64) -> f64 {
    if distance.is_nan() { 0.0 } else { distance.clamp(-1e12, 1e12) }
}

/// Where `cycles` cycles of a mean `distance` stand, taken together. What the windows remember of one another counts in
/// full here, corrected for the bias of a short course (Kendall 1954), in the mean of the cycles, in that of the windows,
/// and in the degrees of freedom of their scatter.
#[must_use]
pub fn stand_together(figure: &Figure, distance: f64, cycles: usize, width: Width) -> Option<Standing> {
    let k = f64::from(figure.k.max(1));
    let memory = (figure.memory + (1.0 + 3.0 * figure.memory) / k).clamp(0.0, 0.95);
    let averaged = effective(cycles, memory);
    let x = figure.mean + distance * scale(figure, width);
    let standing = stand(figure, x, Width { averaged, ..width })?;
    let error = averaged.recip() + (1.0 + memory) / (1.0 - memory) / k;
    let square = memory * memory;
    let df = (k * (1.0 - square) / (1.0 + square) - 1.0).max(1.0);
    Some(Standing { t: finite(distance / error.sqrt()), df, ..standing })
}

/// How many independent windows so many windows in a row are worth when each resembles the one before: variance of the mean
/// of an AR(1) process with that correlation.
#[must_use]
pub fn effective(cycles: usize, memory: f64) -> f64 {
    let cycles = f64::from(u32::try_from(cycles.max(1)).unwrap_or(u32::MAX));
    let (mut sum, mut lag, mut power) = (1.0, 1.0, memory);
    while lag < cycles {
        sum += 2.0 * (1.0 - lag / cycles) * power;
        (lag, power) = (lag + 1.0, power * memory);
    }
    cycles / sum
}

/// How much wider than their number says the windows must be taken because each resembles the one before: the factor on
/// the standard error of an AR(1) process with that correlation. What `k` independent windows show by chance (two
/// standard errors, `2/sqrt(k)`) is taken off first.
#[must_use]
pub fn wander(figure: &Figure) -> f64 {
    let chance = 2.0 / f64::from(figure.k.max(1)).sqrt();
    let memory = (figure.memory - chance).clamp(0.0, 0.9);
    ((1.0 + memory) / (1.0 - memory)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Width = Width { floor: 0.0, factor: 1.0, range: 1.5, averaged: 1.0 };

    fn figure() -> Figure {
        Figure { k: 25, mean: 10.0, sd: 1.0, min: 8.0, max: 12.0, memory: 0.0 }
    }

    #[test]
    fn distances_are_those_of_a_prediction_interval() {
        let standing = stand(&figure(), 13.5, PLAIN).unwrap();
        assert!((standing.t - 3.5 / 1.04_f64.sqrt()).abs() < 1e-12);
        assert!(standing.outside && !stand(&figure(), 13.0, PLAIN).unwrap().outside);
        assert_eq!(stand(&Figure { k: 3, ..figure() }, 99.0, PLAIN), None);
    }

    #[test]
    fn an_average_of_many_windows_is_judged_more_closely() {
        let single = stand(&figure(), 11.5, PLAIN).unwrap();
        let many = stand(&figure(), 11.5, Width { averaged: 25.0, ..PLAIN }).unwrap();
        assert!(!single.outside && many.outside);
        assert!((many.t - 1.5 / 0.08_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn windows_in_a_row_are_worth_less_the_more_they_resemble_one_another() {
        assert!((effective(3, 0.0) - 3.0).abs() < 1e-12 && (effective(3, 1.0) - 1.0).abs() < 1e-12);
        // By hand: (3 + 2 * (2 * 0.5 + 0.25)) / 9 of the variance of one.
        assert!((effective(3, 0.5) - 9.0 / 5.5).abs() < 1e-12);
        assert!((effective(0, 0.5) - 1.0).abs() < 1e-12);
        let three = stand_together(&figure(), 2.0, 3, PLAIN).unwrap();
        // No memory was found in 25 windows, which would be found of a little, too.
        let plain = 2.0 / (1.0 / 3.0 + 0.04_f64).sqrt();
        assert!((0.9 * plain..plain).contains(&three.t) && three.outside && three.df < 24.0, "{three:?}");
        let wandering = stand_together(&Figure { memory: 0.6, ..figure() }, 2.0, 3, PLAIN).unwrap();
        assert!(wandering.t < 0.7 * plain && wandering.df < 12.0, "{wandering:?}");
        assert!(!stand_together(&figure(), 1.7, 3, PLAIN).unwrap().outside);
    }

    #[test]
    fn a_constant_that_changes_is_far_off_and_one_that_does_not_is_at_home() {
        let constant = Figure { k: 30, mean: 5.0, sd: 0.0, min: 5.0, max: 5.0, memory: 0.0 };
        assert!(stand(&constant, 5.0, PLAIN).unwrap().t.abs() < 1e-12);
        let moved = stand(&constant, 5.1, PLAIN).unwrap();
        assert!(moved.outside && moved.p() < 1e-100 && moved.p() > 0.0);
    }

    #[test]
    fn a_wandering_series_is_taken_wider() {
        assert!((wander(&figure()) - 1.0).abs() < 1e-12);
        assert!((wander(&Figure { memory: 0.3, ..figure() }) - 1.0).abs() < 1e-12);
        assert!(wander(&Figure { memory: 0.9, ..figure() }) > 1.7);
    }
}
