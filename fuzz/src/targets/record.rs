//! Records of the journal: only what was sealed is read, and it is read as it was.

use hb_core::journal::{Hash, Record};
use hb_core::node::fact;
use hb_core::supervise::state;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes as they are, and once more with the hash that belongs to them.
///
/// # Panics
/// When damage is read as data, or what was read is not what is written.
pub fn run(data: &[u8]) {
    drop(Record::<fact::Body>::decode(data));
    drop(Record::<state::Body>::decode(data));
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let bytes = [line, b"\nblake3:", Hash::of(line).to_string().as_bytes(), b"\n"].concat();
    both::<fact::Body>(&bytes, data);
    both::<state::Body>(&bytes, data);
}

fn both<B: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8], data: &[u8]) {
    match Record::<B>::decode(bytes) {
        Ok(sealed) => {
            assert_eq!(sealed.bytes, bytes, "the bytes stay");
            // What is written of it reads back to the same.
            let again = hb_core::journal::seal(sealed.record);
            let read = Record::<B>::decode(&again.bytes).expect("what was sealed is read");
            assert_eq!(read, again, "what was read is what is written");
            // A bit that flips is seen.
            let mut bent = bytes.to_vec();
            let bit = data.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
            let at = bit % (bent.len() * 8);
            if let Some(byte) = bent.get_mut(at / 8) {
                *byte ^= 1 << (at % 8);
            }
            assert!(Record::<B>::decode(&bent).is_err(), "bit {at} flipped");
        }
        Err(damage) => assert!(!damage.to_string().is_empty()),
    }
}
