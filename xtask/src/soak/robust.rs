//! Figures of a line that a few wild readings do not move.

use super::history::Line;

/// Most readings of a line that go into [`slope`]; longer lines are thinned evenly. All pairs of them are looked at.
const READINGS_MAX: usize = 800;

/// Median of the slopes between all pairs of readings (Theil 1950, Sen 1968), per second; none where there are less than two times.
pub(crate) fn slope(line: &[(f64, f64)]) -> Option<f64> {
    let step = line.len().div_ceil(READINGS_MAX).max(1);
    let thin: Line = line.iter().step_by(step).copied().collect();
    let mut slopes = Vec::with_capacity(thin.len() * thin.len() / 2);
    for (number, (at, value)) in thin.iter().enumerate() {
        let later = thin.iter().skip(number + 1).filter(|(later, _)| later > at);
        slopes.extend(later.map(|(later, other)| (other - value) / (later - at)));
    }
    quantile(&mut slopes, 0.5)
}

/// The value below which this share of them lies (between neighbours in proportion); none of nothing.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let place = share * f64::from(u32::try_from(values.len().checked_sub(1)?).ok()?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list, rounded down")]
    let below = place.floor() as usize;
    let (low, high) = (values.get(below)?, values.get(below + 1).or(values.last())?);
    Some(low + (high - low) * place.fract())
}

/// The values of readings within a span of time.
pub(crate) fn within(line: &[(f64, f64)], from: f64, to: f64) -> Vec<f64> {
    line.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, value)| *value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: impl Fn(f64) -> f64) -> Line {
        (0..200_u32).map(f64::from).map(|at| (at, value(at))).collect()
    }

    #[test]
    fn a_slope_is_found_among_wild_readings() {
        let wild = line(|at| if at % 5.0 == 0.0 { 1e6 } else { 100.0 + 0.5 * at });
        assert!((slope(&wild).unwrap() - 0.5).abs() < 0.01);
        assert_eq!(slope(&line(|_| 7.0)), Some(0.0));
        assert_eq!(slope(&[(1.0, 2.0)]), None);
        assert_eq!(slope(&[(1.0, 2.0), (1.0, 9.0)]), None, "at one time there is no slope");
    }

    #[test]
    fn long_lines_are_thinned_not_cut() {
        let bent: Line = (0..10_000_u32).map(f64::from).map(|at| (at, at.max(5_000.0))).collect();
        assert!(slope(&bent).unwrap() > 0.3, "their second half counts");
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&mut [1.0, 2.0], 0.5), Some(1.5));
        assert_eq!(quantile(&mut [5.0], 0.99), Some(5.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }

    #[test]
    fn a_span_of_time_has_its_beginning_and_not_its_end() {
        assert_eq!(within(&[(1.0, 10.0), (2.0, 20.0), (3.0, 30.0)], 1.0, 3.0), [10.0, 20.0]);
    }
}
