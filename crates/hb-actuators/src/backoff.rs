//! How long to wait before the next try: exponential with full jitter, so that many that failed together do not come back
//! together (Brooker, "Exponential Backoff And Jitter", 2015).

use std::time::Duration;

/// First bound of the wait.
const FIRST: Duration = Duration::from_secs(1);
/// Largest bound of the wait.
const CAP: Duration = Duration::from_secs(300);
/// Shortest wait: full jitter may come out at nothing, and that would be no wait at all.
const FLOOR: Duration = Duration::from_millis(100);

/// Waits between tries of one thing. The same seed gives the same waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    state: u64,
    failures: u32,
}

impl Backoff {
    /// No failure yet. Give every sink of every node another seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed, failures: 0 }
    }

    /// Failures since the start or the last [`Backoff::reset`].
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// A try failed: how long to wait before the next. Evenly between nothing and 1 s, 2 s, 4 s … up to 5 min; never less
    /// than 0.1 s, nor than what the other side asked for.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let bound = FIRST.saturating_mul(factor).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let jittered = bound.mul_f64(self.fraction());
        jittered.max(FLOOR).max(asked.unwrap_or_default())
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Evenly distributed in 0..1: splitmix64 (Steele, Lea, Flood 2014), the upper 53 bits.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn fraction(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_are_spread() {
        let mut sums = [0.0; 12];
        for seed in 0..2_000 {
            let mut backoff = Backoff::new(seed);
            for (failure, sum) in sums.iter_mut().enumerate() {
                let bound = (1u64 << failure).min(300);
                let wait = backoff.wait(None);
                assert!(wait >= FLOOR && wait <= Duration::from_secs(bound), "{wait:?} of {bound}");
                *sum += wait.as_secs_f64();
            }
        }
        for (failure, sum) in sums.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let half = (1u64 << failure).min(300) as f64 / 2.0;
            assert!((sum / 2_000.0 / half - 1.0).abs() < 0.06, "mean {} against {half}", sum / 2_000.0);
        }
    }

    #[test]
    fn never_sooner_than_asked_and_anew_after_success() {
        let mut backoff = Backoff::new(1);
        assert!(backoff.wait(Some(Duration::from_secs(30))) >= Duration::from_secs(30));
        (0..100).for_each(|_| assert!(backoff.wait(None) <= CAP));
        backoff.reset();
        assert!(backoff.wait(None) <= FIRST);
        assert_eq!(Backoff::new(7).wait(None), Backoff::new(7).wait(None));
    }
}
