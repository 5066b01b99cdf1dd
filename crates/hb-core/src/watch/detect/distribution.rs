//! Distance of two distributions: the two-sample Kolmogorov-Smirnov statistic, right for ties.

/// Largest distance of the empirical distribution functions of two *sorted* samples; nothing where one is empty.
///
/// All equal values are passed on both sides before the functions are compared, so that samples of a discrete series do
/// not seem to differ by the order of their ties.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "samples are few")]
pub fn distance(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (step_a, step_b) = (1.0 / a.len() as f64, 1.0 / b.len() as f64);
    let (mut left, mut right) = (a, b);
    let mut largest = 0.0_f64;
    while let (Some(x), Some(y)) = (left.first(), right.first()) {
        let value = if x.total_cmp(y).is_le() { *x } else { *y };
        left = beyond(left, value);
        right = beyond(right, value);
        let gap = (a.len() - left.len()) as f64 * step_a - (b.len() - right.len()) as f64 * step_b;
        largest = largest.max(gap.abs());
    }
    Some(largest.min(1.0))
}

/// What is left of a sorted sample after everything up to and including `value`. Zero and minus zero are equal.
fn beyond(sorted: &[f64], value: f64) -> &[f64] {
    let passed = sorted.iter().take_while(|x| **x <= value || x.total_cmp(&&value).is_le()).count();
    sorted.get(passed..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(a: &[f64], b: &[f64]) -> f64 {
        distance(a, b).unwrap()
    }

    #[test]
    fn identical_discrete_samples_have_no_distance() {
        // The original found 1.0 and 1/3 here.
        assert!(d(&[1.0; 4], &[1.0; 4]).abs() < 1e-15);
        assert!(d(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).abs() < 1e-15);
        assert!(d(&[1.0, 1.0, 2.0], &[1.0, 1.0, 1.0, 1.0, 2.0, 2.0]).abs() < 1e-15);
        assert!(d(&[-0.0], &[0.0]).abs() < 1e-15);
    }

    #[test]
    fn distances_are_those_computed_by_hand() {
        assert!((d(&[1.0, 2.0], &[3.0, 4.0]) - 1.0).abs() < 1e-15);
        assert!((d(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]) - 0.5).abs() < 1e-15);
        assert!((d(&[0.0, 0.0, 1.0], &[0.0, 1.0, 1.0]) - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(distance(&[], &[1.0]), None);
    }

    #[test]
    fn it_is_symmetric_and_agrees_with_the_definition() {
        let mut state = 1_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f64::from(u32::try_from(state >> 60).unwrap())
        };
        for _ in 0..200 {
            let mut a: Vec<f64> = (0..7).map(|_| draw()).collect();
            let mut b: Vec<f64> = (0..11).map(|_| draw()).collect();
            a.sort_by(f64::total_cmp);
            b.sort_by(f64::total_cmp);
            let share = |s: &[f64], x: f64| s.iter().filter(|v| **v <= x).count() as f64 / s.len() as f64;
            let plain = (0..16).map(|x| (share(&a, f64::from(x)) - share(&b, f64::from(x))).abs()).fold(0.0, f64::max);
            assert!((d(&a, &b) - plain).abs() < 1e-12 && (d(&b, &a) - plain).abs() < 1e-12);
        }
    }
}
