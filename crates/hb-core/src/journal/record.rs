//! One fact of the journal, and its bytes.
//!
//! The bytes of a record are two lines: a JSON object, and `blake3:` with the hash of the bytes of the first line (its
//! newline not counted). So a person reads it with any pager, and a check needs no canonical form of JSON.
//!
//! **Invariants.** [`Record::decode`] gives back only what [`seal`] wrote: every single changed, missing or added byte
//! is a [`Damage`] (J4).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::hash::Hash;
use crate::ids::{Epoch, NodeName, Seq, StreamName};
use crate::time::Stamp;

/// Version of the record's bytes that this program writes.
pub const FORMAT: u32 = 1;

/// One fact in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record<B> {
    /// Version of the bytes.
    pub format: u32,
    /// Stream that it belongs to.
    pub stream: StreamName,
    /// Place in the stream.
    pub seq: Seq,
    /// Reign of the writer.
    pub epoch: Epoch,
    /// Wall clock of the writer; information only.
    pub at: Stamp,
    /// The writer.
    pub node: NodeName,
    /// Hash of the record before, [`Hash::ZERO`] for the first.
    pub prev: Hash,
    /// What it says.
    pub body: B,
}

/// Where a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the newest record.
    pub seq: Seq,
    /// Its hash.
    pub hash: Hash,
    /// Its epoch.
    pub epoch: Epoch,
}

/// A record with the bytes that are appended, ready to be put at its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Sealed<B> {
    /// The record.
    pub record: Record<B>,
    /// Hash of the first line of `bytes`.
    pub hash: Hash,
    /// What is stored.
    pub bytes: Vec<u8>,
}

impl<B> Sealed<B> {
    /// The stream's head once this record stands.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.record.seq, hash: self.hash, epoch: self.record.epoch }
    }
}

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The second line is missing or not of the form `blake3:HEX\n`.
    #[error("the record is cut short or has no hash line; restore it from a copy, or see docs/ops/repair.md")]
    Cut,
    /// The first line is not what was hashed.
    #[error("the record's bytes do not match their hash; restore it from a copy, or see docs/ops/repair.md")]
    Flipped,
    /// Written by a newer program.
    #[error("the record has format {found}, this program reads up to {FORMAT}: use a newer hb")]
    Newer {
        /// What it says.
        found: u64,
    },
    /// The hash holds, but the JSON is not a record: written by something else.
    #[error("not a record of hb: {0}")]
    Foreign(String),
}

const HASH_PREFIX: &[u8] = b"blake3:";

/// Gives a record its bytes and hash.
///
/// # Panics
/// Never: a record holds nothing that JSON cannot hold.
#[must_use]
pub fn seal<B: Serialize>(record: Record<B>) -> Sealed<B> {
    seal_about(record, 0)
}

/// The same for a record of about so many bytes: that of many series is too large to be copied again and again as it grows.
///
/// # Panics
/// Never, as [`seal`].
#[must_use]
pub fn seal_about<B: Serialize>(record: Record<B>, size: usize) -> Sealed<B> {
    let mut bytes = Vec::with_capacity(room(size));
    serde_json::to_writer(&mut bytes, &record).expect("records are plain data with string keys");
    let hash = Hash::of(&bytes);
    bytes.push(b'\n');
    bytes.extend_from_slice(HASH_PREFIX);
    bytes.extend_from_slice(hash.to_string().as_bytes());
    bytes.push(b'\n');
    Sealed { record, hash, bytes }
}

/// Bytes from which on a buffer gets memory pages of its own: what is larger than 32 MB the C library gives back to the system as
/// soon as it is dropped, smaller ones it keeps, in pieces that the next large one may not fit into.
const OWN_PAGES: usize = 33 << 20;
/// Buffers of fewer bytes than this are left to the C library.
const LARGE: usize = 1 << 20;

/// How much room to ask for, for a buffer of so many bytes. Pages that are never written to take no memory.
#[must_use]
pub fn room(bytes: usize) -> usize {
    if bytes < LARGE { bytes } else { bytes.max(OWN_PAGES) }
}

/// The hash of a record's bytes, if they are what was hashed; what it says is not looked at.
///
/// # Errors
/// [`Damage::Cut`] or [`Damage::Flipped`].
pub fn sound_hash(bytes: &[u8]) -> Result<Hash, Damage> {
    let trailer = HASH_PREFIX.len().saturating_add(65);
    let cut = bytes.len().checked_sub(trailer.saturating_add(1)).ok_or(Damage::Cut)?;
    let (line, tail) = bytes.split_at(cut);
    let hash = parse_trailer(tail).ok_or(Damage::Cut)?;
    if Hash::of(line) == hash { Ok(hash) } else { Err(Damage::Flipped) }
}

impl<B: DeserializeOwned> Record<B> {
    /// Reads what [`seal`] wrote.
    ///
    /// # Errors
    /// [`Damage`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Sealed<B>, Damage> {
        Self::decode_owned(bytes.to_vec())
    }

    /// The same for bytes that are kept as they are: a record of many series is large.
    ///
    /// # Errors
    /// [`Damage`] for anything else.
    pub fn decode_owned(bytes: Vec<u8>) -> Result<Sealed<B>, Damage> {
        let hash = sound_hash(&bytes)?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let read: Result<Self, _> = serde_json::from_slice(line);
        // Looked at apart only where it need be: reading everything twice would take most of a start.
        let found = match &read {
            Ok(record) => u64::from(record.format),
            Err(_) => serde_json::from_slice::<FormatOnly>(line).map_err(|e| Damage::Foreign(e.to_string()))?.format,
        };
        if found > u64::from(FORMAT) {
            return Err(Damage::Newer { found });
        }
        let record = read.map_err(|e| Damage::Foreign(e.to_string()))?;
        Ok(Sealed { record, hash, bytes })
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u64,
}

fn parse_trailer(tail: &[u8]) -> Option<Hash> {
    let hex = tail.strip_prefix(b"\n")?.strip_prefix(HASH_PREFIX)?.strip_suffix(b"\n")?;
    // Only what `seal` writes: upper case would be another byte for the same hash.
    let text = std::str::from_utf8(hex).ok()?;
    Hash::parse(text).filter(|hash| hash.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sealed<String> {
        seal(Record {
            format: FORMAT,
            stream: "watch/bench".into(),
            seq: Seq(3),
            epoch: Epoch(2),
            at: Stamp(1_700_000_000_123_000_000),
            node: "a".into(),
            prev: Hash::of(b"x"),
            body: "a fact".into(),
        })
    }

    #[test]
    fn j4_every_flipped_bit_and_every_cut_is_damage() {
        let sealed = sample();
        assert_eq!(Record::decode(&sealed.bytes).unwrap(), sealed);
        for cut in 0..sealed.bytes.len() {
            assert!(Record::<String>::decode(&sealed.bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..sealed.bytes.len() * 8 {
            let mut bytes = sealed.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::<String>::decode(&bytes).is_err(), "bit {bit}");
        }
        let mut longer = sealed.bytes.clone();
        longer.push(b'\n');
        assert!(Record::<String>::decode(&longer).is_err());
    }

    #[test]
    fn newer_formats_are_refused_with_advice() {
        let line = br#"{"format":99,"anything":true}"#;
        let bytes = [line.as_slice(), b"\nblake3:", Hash::of(line).to_string().as_bytes(), b"\n"].concat();
        let damage = Record::<String>::decode(&bytes).unwrap_err();
        assert_eq!(damage, Damage::Newer { found: 99 });
        assert!(damage.to_string().contains("newer hb"));
        // One that could be read all the same may mean something else.
        let mut newer = sample().record;
        newer.format = FORMAT + 1;
        let damage = Record::<String>::decode(&seal(newer).bytes).unwrap_err();
        assert_eq!(damage, Damage::Newer { found: u64::from(FORMAT) + 1 });
    }
}
