//! Spans of time of agents: what is left of one, and how a fleet is spread over one.

use crate::ids::AgentId;
use crate::time::Stamp;

/// Nanoseconds left of a span that began at `since`, by the wall clock: never more than the span, whatever the clock did.
pub(super) fn left_ns(since: Stamp, span_ns: u64, now: Stamp) -> u64 {
    match u64::try_from(now.since_ns(since)) {
        Ok(passed) => span_ns.saturating_sub(passed),
        Err(_) => span_ns,
    }
}

/// A number from 0 up to 1 that is always the same for this agent and number, and looks like chance over many of them.
#[expect(clippy::cast_precision_loss, reason = "53 bits are kept, which a float holds")]
pub(super) fn fraction(agent: &AgentId, number: u64) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(agent.as_str().as_bytes()).update(&number.to_le_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(hasher.finalize().as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
    (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

/// This share of a span.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a span of days is exact to a microsecond, and a cast of floats saturates"
)]
pub(super) fn share_ns(span_ns: u64, share: f64) -> u64 {
    (span_ns as f64 * share) as u64
}

/// Nanoseconds as seconds for people: `0.5 s`, `30 s`.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn in_words(ns: u64) -> String {
    let seconds = ns as f64 / 1e9;
    if seconds >= 10.0 { format!("{seconds:.0} s") } else { format!("{} s", (seconds * 1000.0).round() / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_a_stepped_clock_cannot_stretch_a_wait() {
        assert_eq!(left_ns(Stamp(100), 50, Stamp(120)), 30);
        assert_eq!(left_ns(Stamp(100), 50, Stamp(500)), 0);
        assert_eq!(left_ns(Stamp(100), 50, Stamp(-10_000)), 50);
    }

    #[test]
    fn a_fleet_is_spread_evenly_and_always_the_same() {
        let all: Vec<f64> = (0..1000).map(|n| fraction(&format!("agent-{n}").into(), 3)).collect();
        assert!(all.iter().all(|one| (0.0..1.0).contains(one)));
        let mean = all.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!((fraction(&"a".into(), 1) - fraction(&"a".into(), 1)).abs() < f64::EPSILON);
        assert!((fraction(&"a".into(), 1) - fraction(&"a".into(), 2)).abs() > f64::EPSILON);
    }

    #[test]
    fn spans_are_told_as_one_would() {
        assert_eq!(
            [in_words(500_000_000), in_words(30_000_000_000), in_words(5_300_000_000)],
            ["0.5 s", "30 s", "5.3 s"]
        );
    }
}
