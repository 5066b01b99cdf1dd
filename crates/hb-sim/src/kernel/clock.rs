//! The clocks of a machine, which are never right: its own one runs a little too fast or too slow, and its wall clock jumps besides.

use hb_core::time::{Moment, Stamp};

use super::BEGIN;

/// Largest drift, in parts of a million; quartz does better.
pub(crate) const DRIFT_MAX: i64 = 200;

/// Both clocks of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Clocks {
    /// What its own clock said when its rate was set last, and what time it really was.
    moment: u64,
    since: u64,
    /// How much faster than time it runs, in parts of a million.
    drift: i64,
    /// How far ahead its wall clock is.
    wall_ahead: i64,
}

impl Clocks {
    /// Clocks of a machine that was booted so long before the world began.
    pub(crate) fn new(booted_before: u64, drift: i64, wall_ahead: i64) -> Self {
        Self { moment: booted_before, since: 0, drift, wall_ahead }
    }

    /// Its own clock, which runs through suspend.
    pub(crate) fn moment(&self, now: u64) -> Moment {
        let passed = i128::from(now.saturating_sub(self.since));
        let own = passed + passed * i128::from(self.drift) / 1_000_000;
        Moment(self.moment.saturating_add(u64::try_from(own).unwrap_or(0)))
    }

    /// Its wall clock.
    pub(crate) fn wall(&self, now: u64) -> Stamp {
        let ns = i64::try_from(now).unwrap_or(i64::MAX);
        BEGIN.plus_ns(ns).plus_ns(self.wall_ahead)
    }

    /// When its own clock will say that, in the world's own time, or a little later.
    pub(crate) fn when(&self, moment: Moment) -> u64 {
        let own = i128::from(moment.0.saturating_sub(self.moment));
        let passed = own * 1_000_000 / i128::from(1_000_000 + self.drift);
        self.since.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)).saturating_add(2)
    }

    /// Its own clock runs at another rate from now on.
    pub(crate) fn drifts(&mut self, drift: i64, now: u64) {
        (self.moment, self.since, self.drift) = (self.moment(now).0, now, drift.clamp(-DRIFT_MAX, DRIFT_MAX));
    }

    /// Its wall clock jumps.
    pub(crate) fn jumps(&mut self, ahead: i64) {
        self.wall_ahead = ahead;
    }

    /// It is booted again: its own clock begins anew.
    pub(crate) fn booted(&mut self, now: u64) {
        (self.moment, self.since) = (1_000_000_000, now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::SECOND;
    use super::*;

    #[test]
    fn a_clock_that_drifts_gets_to_any_moment_when_it_says_so() {
        let mut clocks = Clocks::new(77 * SECOND, 150, -SECOND.cast_signed());
        assert_eq!(clocks.moment(0), Moment(77 * SECOND));
        assert_eq!(clocks.moment(1_000_000 * SECOND).0, 1_000_077 * SECOND + 150 * SECOND);
        assert_eq!(clocks.wall(SECOND), BEGIN);
        for drift in [0, -200, 200, 13] {
            clocks.drifts(drift, 5_000 * SECOND);
            for ahead in [1, 999, SECOND, 86_400 * SECOND] {
                let moment = clocks.moment(5_000 * SECOND).plus_ns(ahead);
                let when = clocks.when(moment);
                assert!(clocks.moment(when) >= moment && clocks.moment(when).since_ns(moment) < 10, "{drift} {ahead}");
            }
        }
    }
}
