//! See [`crate::fuzzing`].

use super::stamp::{Seen, read};

/// Reads a stamp, and gives it in words with the bytes that it is written as.
#[must_use]
pub fn stamp(bytes: &[u8]) -> Option<(String, Vec<u8>)> {
    match read(bytes.to_vec()) {
        Seen::Nothing | Seen::Unreadable(..) => None,
        Seen::Stamp(stamp) => Some((format!("{stamp:?} {:?}", stamp.ttl()), stamp.to_bytes())),
    }
}
