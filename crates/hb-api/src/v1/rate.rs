//! How often: what a flood of requests may cost the supervisor, whoever sends it.
//!
//! Bounds (B1): per second and kind of request as in [`BOUNDS`], with a burst of the same size; beyond them 429, and counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;

use super::problem::Problem;

/// Kinds of requests, by what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Looks.
    Read,
    /// Changes: each is a durable record.
    Change,
    /// Beats: 20,000 agents that beat every 5 seconds.
    Beat,
    /// Evaluates without effect.
    Simulate,
}

/// Requests of each kind in one second.
const BOUNDS: [(Kind, f64); 4] =
    [(Kind::Read, 2_000.0), (Kind::Change, 500.0), (Kind::Beat, 4_000.0), (Kind::Simulate, 100.0)];

#[derive(Debug)]
struct Bucket {
    kind: Kind,
    bound: f64,
    /// What is left, and when that was counted.
    left: Mutex<(f64, Instant)>,
}

/// What is left of each kind.
#[derive(Debug)]
pub(crate) struct Rates {
    buckets: Vec<Bucket>,
    refused: AtomicU64,
}

impl Default for Rates {
    fn default() -> Self {
        let now = Instant::now();
        let buckets =
            BOUNDS.iter().map(|(kind, bound)| Bucket { kind: *kind, bound: *bound, left: (*bound, now).into() });
        Self { buckets: buckets.collect(), refused: AtomicU64::new(0) }
    }
}

impl Rates {
    /// One more of this kind.
    pub(crate) fn take(&self, kind: Kind, now: Instant) -> Result<(), Problem> {
        let Some(bucket) = self.buckets.iter().find(|bucket| bucket.kind == kind) else { return Ok(()) };
        let mut held = bucket.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = *held;
        let left = (left + now.saturating_duration_since(at).as_secs_f64() * bucket.bound).min(bucket.bound);
        if left >= 1.0 {
            *held = (left - 1.0, now.max(at));
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        let message = format!("more than {} such requests in a second: try again in one", bucket.bound);
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message)
            .field("rate", format!("at most {} in a second", bucket.bound)))
    }

    /// Requests refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_is_refused_and_a_second_later_heard_again() {
        let (rates, start) = (Rates::default(), Instant::now() + Duration::from_secs(1));
        let heard = (0..150).filter(|_| rates.take(Kind::Simulate, start).is_ok()).count();
        assert_eq!((heard, rates.refused()), (100, 50));
        assert!(rates.take(Kind::Beat, start).is_ok(), "beats are counted apart");
        assert!(rates.take(Kind::Simulate, start + Duration::from_millis(20)).is_ok());
        let later = start + Duration::from_secs(60);
        assert_eq!((0..150).filter(|_| rates.take(Kind::Simulate, later).is_ok()).count(), 100);
    }
}
