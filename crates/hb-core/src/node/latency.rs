//! How long something took, as a histogram of fixed bounds.

/// Upper bounds of the buckets, in seconds: 0.1 ms to 10 s.
const BOUNDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A histogram of durations in seconds. Plain data: its owner records, onlookers get a copy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency {
    /// How many durations fell into each bucket (not cumulative).
    counts: [u64; BOUNDS.len()],
    /// Sum of all durations.
    sum_seconds: f64,
    /// Number of all durations, those above the last bound included.
    count: u64,
}

impl Latency {
    /// Takes one duration. One that is not finite or negative counts as zero: a clock's fault is no latency.
    pub fn record(&mut self, seconds: f64) {
        let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
        self.sum_seconds += seconds;
        self.count = self.count.saturating_add(1);
        if let Some((_, held)) = BOUNDS.iter().zip(&mut self.counts).find(|(bound, _)| seconds <= **bound) {
            *held = held.saturating_add(1);
        }
    }

    /// Takes in all durations of another.
    pub fn add(&mut self, other: &Self) {
        for (held, more) in self.counts.iter_mut().zip(other.counts) {
            *held = held.saturating_add(more);
        }
        self.sum_seconds += other.sum_seconds;
        self.count = self.count.saturating_add(other.count);
    }

    /// Durations taken.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        self.sum_seconds
    }

    /// Upper bounds with the number of durations at or below each, as Prometheus wants them.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let mut below = 0u64;
        BOUNDS.iter().zip(self.counts).map(move |(bound, held)| {
            below = below.saturating_add(held);
            (*bound, below)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_the_rest_is_counted() {
        let mut latency = Latency::default();
        for seconds in [0.0001, 0.0002, 0.003, 60.0, f64::NAN, -1.0] {
            latency.record(seconds);
        }
        let cumulative: Vec<_> = latency.cumulative().collect();
        assert_eq!(cumulative[0], (0.0001, 3));
        assert_eq!(cumulative[1], (0.00025, 4));
        assert_eq!(cumulative[5], (0.005, 5));
        assert_eq!(cumulative[15], (10.0, 5));
        assert_eq!(latency.count(), 6);
        assert!((latency.sum_seconds() - 60.0033).abs() < 1e-9);
        let mut both = latency.clone();
        both.add(&latency);
        assert_eq!((both.count(), both.cumulative().last().map(|(_, count)| count)), (12, Some(10)));
    }
}
