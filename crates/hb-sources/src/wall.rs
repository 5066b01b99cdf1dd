//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use hb_core::time::Stamp;

/// What the wall clock shows.
#[must_use]
pub(crate) fn now() -> Stamp {
    let ns = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    };
    Stamp(ns)
}
