//! How far a source is behind the wall clock: what silence is judged by.
//!
//! It is measured by the newest sample, when that is met. What had to wait to be read (while nobody worked, or the source could not be reached) makes
//! it look longer than it is until the next one is met.
//!
//! **Invariants.** The wall clock may be set: while one process reads, what counts is how much time has passed by the clock that cannot be set.

use crate::time::{Moment, Now, Stamp};

/// The lag of a source.
#[derive(Debug)]
pub(super) struct Lag {
    ns: i64,
    /// Whether it was ever measured on the way of samples to this wall clock, or is to be measured by the next one.
    known: bool,
    /// What both clocks showed last.
    clocks: Option<Now>,
}

impl Lag {
    /// Of a source that has given nothing yet.
    pub(super) fn unknown() -> Self {
        Self { ns: 0, known: false, clocks: None }
    }

    /// As a record says, whose writer may have had another wall clock. A source that comes about as it is dated has about the same lag for
    /// whoever goes on, `least..=most`; one beyond goes by a time of its own, such as a recording, and is measured anew.
    pub(super) fn recorded(ns: i64, least: i64, most: i64) -> Self {
        Self { ns, known: (least..=most).contains(&ns), ..Self::unknown() }
    }

    /// In nanoseconds.
    pub(super) fn ns(&self) -> i64 {
        self.ns
    }

    /// Something newer than all before was met.
    pub(super) fn met(&mut self, newest: Stamp, now: Now) {
        self.follow(now);
        self.ns = now.wall.since_ns(newest);
        self.known = true;
    }

    /// The source was looked at then, and gave nothing more. Gives when that was by the source's own time.
    pub(super) fn looked(&mut self, looked_at: Stamp, now: Now) -> Stamp {
        self.follow(now);
        // Set back meanwhile: it was then by a clock that nobody goes by any more.
        let looked_at = if runs(now) { looked_at.min(now.wall) } else { looked_at };
        looked_at.plus_ns(self.ns.saturating_neg())
    }

    /// Where the wall clock was set since the last look, everything that was reckoned by it moves along. Of a source that was never heard
    /// nobody knows better than the wall clock, which may have been put right.
    fn follow(&mut self, now: Now) {
        if !runs(now) {
            return;
        }
        if let Some(before) = self.clocks.replace(now).filter(|_| self.known) {
            let passed = i64::try_from(now.moment.since_ns(before.moment)).unwrap_or(i64::MAX);
            let set_by = now.wall.since_ns(before.wall).saturating_sub(passed);
            self.ns = self.ns.saturating_add(set_by);
        }
    }
}

/// Whether there is a clock that cannot be set: whoever decides recorded cycles again has none.
fn runs(now: Now) -> bool {
    now.moment != Moment(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(moment: u64, wall: i64) -> Now {
        Now { moment: Moment(moment), wall: Stamp(wall) }
    }

    #[test]
    fn a_recording_goes_by_its_own_time_also_for_whoever_goes_on() {
        let mut lag = Lag::unknown();
        lag.met(Stamp(100), at(5_000, 5_000));
        assert_eq!(lag.ns(), 4_900);
        let mut next = Lag::recorded(lag.ns(), -5, 20);
        assert_eq!(next.looked(Stamp(5_010), at(5_010, 5_010)), Stamp(110));
        next.met(Stamp(101), at(5_600, 5_600));
        assert_eq!(next.ns(), 5_499, "the time in which nobody worked is not its own");
        // A writer whose wall clock was far behind: no source is ahead of time.
        let mut next = Lag::recorded(-600, -5, 20);
        next.met(Stamp(100), at(101, 101));
        assert_eq!(next.ns(), 1);
    }

    #[test]
    fn until_a_source_was_heard_it_goes_by_the_wall_clock() {
        let mut lag = Lag::unknown();
        assert_eq!(lag.looked(Stamp(10), at(50, 10)), Stamp(10));
        assert_eq!(lag.looked(Stamp(9_010), at(51, 9_011)), Stamp(9_010));
    }

    #[test]
    fn w3_the_wall_clock_may_be_set_while_a_source_is_read() {
        for jump in [600, -600] {
            let mut lag = Lag::unknown();
            lag.met(Stamp(1_000), at(50, 1_001));
            assert_eq!(lag.looked(Stamp(1_010), at(60, 1_011)), Stamp(1_009));
            // It is set amid two looks: what was looked at before that is no later for it.
            assert!(lag.looked(Stamp(1_012), at(62, 1_013 + jump)) <= Stamp(1_012));
            assert_eq!(lag.looked(Stamp(1_020 + jump), at(70, 1_021 + jump)), Stamp(1_019));
            lag.met(Stamp(1_030), at(80, 1_031 + jump));
            assert_eq!(lag.ns(), 1 + jump);
            assert_eq!(lag.looked(Stamp(1_040 + jump), at(90, 1_041 + jump)), Stamp(1_039));
        }
    }
}
