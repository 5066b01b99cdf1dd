//! See [`crate::fuzzing`].

use super::cell::Envelope;
use super::names;

/// Reads an object of the register: whether it is one of ours, its bytes, and what is written for it.
#[must_use]
pub fn cell(object: &[u8]) -> (bool, Vec<u8>, Vec<u8>) {
    let envelope = Envelope::decode(object.to_vec(), Some("e"));
    let written = envelope.encode();
    (envelope.id.number > 0, envelope.bytes, written)
}

/// The number in the last segment of a record's key, and the key of that number.
#[must_use]
pub fn record_number(name: &str) -> Option<(u64, String)> {
    let seq = names::number(name)?;
    Some((seq.0, names::record("d", seq)))
}
