//! See [`crate::fuzzing`].

use super::stamp::{Seen, read};
use crate::port::Holder;

/// Reads a stamp, and writes it again: who, whether the lock is held, whether it was given back, and the TTL.
#[must_use]
pub fn stamp(bytes: &[u8]) -> Option<(Holder, bool, bool, Option<std::time::Duration>, Vec<u8>)> {
    match read(bytes.to_vec()) {
        Seen::Nothing | Seen::Unreadable(..) => None,
        Seen::Stamp(stamp) => {
            let (ttl, written) = (stamp.ttl(), stamp.to_bytes());
            Some((stamp.holder, stamp.locked, stamp.released, ttl, written))
        }
    }
}
