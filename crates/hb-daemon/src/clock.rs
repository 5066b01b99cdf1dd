//! Who reads the clock: this file and nobody else.

use std::time::Duration;

use hb_core::time::{Moment, Now, Stamp};
use nix::time::{ClockId, clock_gettime};

fn nanoseconds(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |time| {
        let seconds = time.tv_sec().saturating_mul(1_000_000_000);
        seconds.saturating_add(time.tv_nsec())
    })
}

/// This node's own clock, which runs through suspend.
#[must_use]
pub fn moment() -> Moment {
    Moment(u64::try_from(nanoseconds(ClockId::CLOCK_BOOTTIME)).unwrap_or(0))
}

/// The wall clock.
#[must_use]
pub fn wall() -> Stamp {
    Stamp(nanoseconds(ClockId::CLOCK_REALTIME))
}

/// Both clocks.
#[must_use]
pub fn now() -> Now {
    Now { moment: moment(), wall: wall() }
}

/// A duration in nanoseconds, as the core counts.
#[must_use]
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
