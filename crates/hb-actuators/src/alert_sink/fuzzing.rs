//! See [`crate::fuzzing`].

use std::time::Duration;

use hb_core::time::Stamp;

use super::retry_after::{RETRY_AFTER_MAX, parse};

/// The wait of a `Retry-After` header, and the longest that there may be.
#[must_use]
pub fn retry_after(value: &str, now: Stamp) -> Option<(Duration, Duration)> {
    parse(value, now).map(|wait| (wait, RETRY_AFTER_MAX))
}
