//! Slow change, as an early warning: two-sided CUSUM (Page 1954) of each series' level against its baseline.
//!
//! Sums are carried in sixteenths as small whole numbers, aligned with the baseline's series, so that a thousand of them
//! take a few kilobytes of a record and read back exactly.

use super::finding::{Finding, Strength};
use crate::watch::decision::{Direction, Rule};

/// Fewest windows of a baseline: with fewer, the error of its mean alone drives the sums.
pub const WINDOWS_MIN: u32 = 50;

/// Half the shift that is looked for, in standard deviations of a window.
const SLACK: f64 = 0.5;

/// Where a sum warns; about 100,000 cycles between warnings without any change.
const WARN: f64 = 11.0;

/// Sums stop here, so that they come back in bounded time.
const CEILING: f64 = 16.0;

/// No single window adds more than this: one outlier is not a trend.
const CLIP: f64 = 3.0;

const STEPS: f64 = 16.0;

/// The sums of one series: upwards and downwards.
pub type Sums = [u16; 2];

/// Takes a distance in standard deviations in; a finding when a sum is beyond its limit.
#[must_use]
pub fn step(sums: Sums, t: f64) -> (Sums, Option<Finding>) {
    let z = t.clamp(-CLIP, CLIP);
    let [up, down] = sums;
    let next = |sum: u16, z: f64| (f64::from(sum) / STEPS + z - SLACK).clamp(0.0, CEILING);
    let (up, down) = (next(up, z), next(down, -z));
    let (sum, direction) = if up >= down { (up, Direction::Up) } else { (down, Direction::Down) };
    let finding = (sum >= WARN).then(|| Finding {
        direction,
        limit: Some(WARN),
        score: sum / WARN,
        ..Finding::plain(Rule::Trend, Strength::Broken)
    });
    ([stored(up), stored(down)], finding)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 ..= CEILING * STEPS")]
fn stored(sum: f64) -> u16 {
    (sum.clamp(0.0, CEILING) * STEPS).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(t: &[f64]) -> (Sums, Option<Finding>) {
        t.iter().fold(([0, 0], None), |(sums, _), t| step(sums, *t))
    }

    #[test]
    fn a_lasting_small_shift_warns_and_an_outlier_does_not() {
        assert_eq!(run(&[1e9, -1e9, f64::INFINITY, 0.0]).1, None);
        assert_eq!(run(&[0.4; 1000]).0, [0, 0]);
        assert_eq!(run(&[1.5; 10]).1, None);
        let warned = run(&[1.5; 11]).1.unwrap();
        assert_eq!((warned.rule, warned.direction), (Rule::Trend, Direction::Up));
        assert_eq!(run(&[-1.5; 11]).1.unwrap().direction, Direction::Down);
    }

    #[test]
    fn sums_come_back() {
        let far = vec![3.0; 1000];
        let back = [far, vec![0.0; 12]].concat();
        assert_eq!(run(&back).1, None);
    }
}
