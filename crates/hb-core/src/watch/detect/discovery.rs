//! Control of false discoveries over the many series of one cycle.

/// The largest p that may still be called a discovery when `tests` were made and `share` of the discoveries may be
/// false: step-up procedure of Benjamini and Hochberg (1995). `small` are the p values worth looking at, in any order;
/// it must hold every p up to `share`, the rest only counts. Nothing where there is no discovery.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "tests are few")]
pub fn threshold(small: &mut [f64], tests: usize, share: f64) -> Option<f64> {
    small.sort_unstable_by(f64::total_cmp);
    let per_test = share / tests.max(1) as f64;
    small.iter().enumerate().rev().find(|(at, p)| **p <= per_test * (at + 1) as f64).map(|(_, p)| *p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_worked_example_of_the_paper() {
        // Benjamini and Hochberg 1995, section 3.2: fifteen tests, q = 0.05, the first four are discoveries.
        let mut p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
            0.7590, 1.0,
        ];
        p.reverse();
        assert_eq!(threshold(&mut p, 15, 0.05), Some(0.0095));
    }

    #[test]
    fn what_is_not_small_only_counts() {
        assert_eq!(threshold(&mut [0.04, 0.0009], 100, 0.05), None);
        assert_eq!(threshold(&mut [0.04, 0.0004], 100, 0.05), Some(0.0004));
        assert_eq!(threshold(&mut [], 100, 0.05), None);
        assert_eq!(threshold(&mut [0.05], 0, 0.05), Some(0.05));
    }
}
