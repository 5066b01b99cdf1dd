//! Distance of two distributions: the two-sample Kolmogorov-Smirnov statistic, right for ties.

/// Largest distance of the empirical distribution functions of two *sorted* samples; nothing where one is empty.
///
/// Between two neighbouring values of the smaller sample its function is flat and the other's only rises, so the distance
/// is largest just before or at one of its values. All equal values are passed on both sides before the functions are
/// compared, so that samples of a discrete series do not seem to differ by the order of their ties.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "samples are few")]
pub fn distance(a: &[f64], b: &[f64]) -> Option<f64> {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let (step_few, step_many) = (1.0 / few.len() as f64, 1.0 / many.len() as f64);
    let (mut left, mut right) = (few, many);
    let mut largest = 0.0_f64;
    while let Some(value) = left.first().copied() {
        right = beyond(right, |y| y < value);
        let before = gap(few.len() - left.len(), many.len() - right.len(), step_few, step_many);
        right = beyond(right, |y| y <= value);
        // The value itself is always passed, so that this ends even on what is no number.
        left = beyond(left.get(1..).unwrap_or_default(), |x| x <= value);
        let at = gap(few.len() - left.len(), many.len() - right.len(), step_few, step_many);
        largest = largest.max(before).max(at);
    }
    (!few.is_empty()).then_some(largest.min(1.0))
}

#[expect(clippy::cast_precision_loss, reason = "samples are few")]
fn gap(few: usize, many: usize, step_few: f64, step_many: f64) -> f64 {
    (few as f64 * step_few - many as f64 * step_many).abs()
}

/// What is left of a sorted sample after all that `passed` holds for: in strides, since most steps are short.
fn beyond(mut sorted: &[f64], passed: impl Fn(f64) -> bool) -> &[f64] {
    const STRIDE: usize = 16;
    while sorted.get(STRIDE - 1).is_some_and(|last| passed(*last)) {
        sorted = sorted.get(STRIDE..).unwrap_or_default();
    }
    let near = sorted.get(..STRIDE).unwrap_or(sorted);
    sorted.get(near.partition_point(|x| passed(*x))..).unwrap_or_default()
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
            let mut a: Vec<f64> = (0..23).map(|_| draw()).collect();
            let mut b: Vec<f64> = (0..91).map(|_| draw()).collect();
            a.sort_by(f64::total_cmp);
            b.sort_by(f64::total_cmp);
            let share = |s: &[f64], x: f64| s.iter().filter(|v| **v <= x).count() as f64 / s.len() as f64;
            let plain = (0..16).map(|x| (share(&a, f64::from(x)) - share(&b, f64::from(x))).abs()).fold(0.0, f64::max);
            assert!((d(&a, &b) - plain).abs() < 1e-12 && (d(&b, &a) - plain).abs() < 1e-12);
        }
    }
}
