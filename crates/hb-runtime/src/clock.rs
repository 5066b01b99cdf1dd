//! Who reads the clock: this file and nobody else.

use std::time::Duration;

use hb_core::time::{Moment, Now, Stamp};
use nix::time::{ClockId, clock_gettime};

use crate::world;

fn nanoseconds(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |time| {
        let seconds = time.tv_sec().saturating_mul(1_000_000_000);
        seconds.saturating_add(time.tv_nsec())
    })
}

/// This node's own clock, which runs through suspend.
#[must_use]
pub fn moment() -> Moment {
    match world::here() {
        None => Moment(u64::try_from(nanoseconds(ClockId::CLOCK_BOOTTIME)).unwrap_or(0)),
        Some(world) => world.moment(),
    }
}

/// The wall clock.
#[must_use]
pub fn wall() -> Stamp {
    match world::here() {
        None => Stamp(nanoseconds(ClockId::CLOCK_REALTIME)),
        Some(world) => world.wall(),
    }
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

/// The moment that lies so far ahead.
#[must_use]
pub fn after(duration: Duration) -> Moment {
    moment().plus_ns(ns(duration))
}

/// How long it is until then; zero when it has been.
#[must_use]
pub fn until(moment: Moment) -> Duration {
    Duration::from_nanos(moment.since_ns(self::moment()))
}

/// How long ago that was; zero when it is still to come.
#[must_use]
pub fn since(moment: Moment) -> Duration {
    Duration::from_nanos(self::moment().since_ns(moment))
}
