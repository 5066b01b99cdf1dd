//! Names met so far, by slot.
//!
//! **Invariants.** Slot n is the n-th name announced since the last reset; a name with its unit has one slot; there are
//! never more than `max` of them ([`crate::Limits::names_max`]).
//!
//! Telemetry repeats its names in the same order round after round, so each name remembers which one followed it the last
//! time. That guess is compared before anything is hashed.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use hb_core::watch::sample::{FaultCause, NAME_BYTES_MAX, NewName};

/// Why a name got no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no room: finish the batch, then [`Names::forget`].
    Full,
    /// It is not a name.
    Fault(FaultCause),
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    unit: Option<Arc<str>>,
    /// The slot that followed this one the last time.
    follower: u32,
    /// Whether the name stands in JSON and CSV as it is, without escapes or quotes.
    plain: bool,
}

/// Hashes short byte strings fast. Seeded by chance, so that nobody outside can choose names that collide; nothing that is
/// decided depends on it.
#[derive(Debug, Clone, Copy)]
struct Seed(u64);

impl Seed {
    fn new() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }
}

impl BuildHasher for Seed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(self.0)
    }
}

/// Folded multiplication of eight bytes at a time, as in wyhash (Wang Yi).
struct Folded(u64);

impl Folded {
    #[inline]
    fn mix(&mut self, word: u64) {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
        let product = u128::from(self.0 ^ word).wrapping_mul(u128::from(ODD ^ self.0.rotate_left(32)) | 1);
        let bytes = product.to_le_bytes();
        let (low, high) = bytes.split_at(8);
        self.0 = word_of(low) ^ word_of(high);
    }
}

/// At most eight bytes as a number.
#[inline]
fn word_of(bytes: &[u8]) -> u64 {
    match <[u8; 8]>::try_from(bytes) {
        Ok(bytes) => u64::from_le_bytes(bytes),
        Err(_) => bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    }
}

impl Hasher for Folded {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            self.mix(word_of(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The names of one source.
#[derive(Debug)]
pub(crate) struct Names {
    entries: Vec<Entry>,
    index: HashMap<Box<[u8]>, u32, Seed>,
    key: Vec<u8>,
    max: usize,
    last: u32,
}

impl Names {
    pub(crate) fn new(max: usize) -> Self {
        // One name at least, or no batch could ever be finished.
        Self {
            entries: Vec::new(),
            index: HashMap::with_hasher(Seed::new()),
            key: Vec::new(),
            max: max.max(1),
            last: 0,
        }
    }

    /// Voids all slots.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
        self.index.clear();
        self.last = 0;
    }

    /// Most names that there may be.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// The name that is likely to come next, when it can be compared with raw input.
    #[inline]
    pub(crate) fn guess(&self) -> Option<(u32, &[u8])> {
        let slot = self.entries.get(self.last as usize)?.follower;
        let entry = self.entries.get(slot as usize)?;
        entry.plain.then(|| (slot, entry.name.as_bytes()))
    }

    /// Takes a guess as true, if its unit is `unit`.
    #[inline]
    pub(crate) fn confirm(&mut self, slot: u32, unit: Option<&[u8]>) -> Option<u32> {
        let entry = self.entries.get(slot as usize)?;
        let same = match (&entry.unit, unit) {
            (None, None) => true,
            (Some(known), Some(unit)) => known.as_bytes() == unit,
            (None, Some(_)) | (Some(_), None) => false,
        };
        if same {
            self.last = slot;
        }
        same.then_some(slot)
    }

    /// The slot of a name; a new one is announced in `fresh`. An empty unit is no unit.
    pub(crate) fn slot(&mut self, name: &[u8], unit: Option<&[u8]>, fresh: &mut Vec<NewName>) -> Result<u32, Refused> {
        let unit = unit.filter(|unit| !unit.is_empty());
        if let Some(slot) = self.find(name, unit) {
            self.follow(slot);
            return Ok(slot);
        }
        self.announce(name, unit, fresh)
    }

    fn find(&mut self, name: &[u8], unit: Option<&[u8]>) -> Option<u32> {
        match unit {
            None => self.index.get(name).copied(),
            Some(unit) => {
                self.key.clear();
                join(&mut self.key, name, unit);
                self.index.get(self.key.as_slice()).copied()
            }
        }
    }

    fn follow(&mut self, slot: u32) {
        if let Some(entry) = self.entries.get_mut(self.last as usize) {
            entry.follower = slot;
        }
        self.last = slot;
    }

    fn announce(&mut self, name: &[u8], unit: Option<&[u8]>, fresh: &mut Vec<NewName>) -> Result<u32, Refused> {
        let text = std::str::from_utf8(name).map_err(|_| Refused::Fault(FaultCause::NotUtf8))?;
        let unit_text =
            unit.map(|unit| std::str::from_utf8(unit).map_err(|_| Refused::Fault(FaultCause::NotUtf8))).transpose()?;
        if text.is_empty() {
            return Err(Refused::Fault(FaultCause::NoName));
        }
        if name.len() > NAME_BYTES_MAX || unit.is_some_and(|unit| unit.len() > NAME_BYTES_MAX) {
            return Err(Refused::Fault(FaultCause::NameTooLong));
        }
        if name.contains(&0) || unit.is_some_and(|unit| unit.contains(&0)) {
            return Err(Refused::Fault(FaultCause::NulByte));
        }
        let slot = u32::try_from(self.entries.len()).map_err(|_| Refused::Full)?;
        if self.entries.len() >= self.max {
            return Err(Refused::Full);
        }
        let name: Arc<str> = text.into();
        let unit: Option<Arc<str>> = unit_text.map(Arc::from);
        let mut key = name.as_bytes().to_vec();
        if let Some(unit) = &unit {
            key.clear();
            join(&mut key, name.as_bytes(), unit.as_bytes());
        }
        self.index.insert(key.into(), slot);
        let plain = name.bytes().all(|b| b >= b' ' && !matches!(b, b'"' | b'\\' | b',')) && name.trim() == &*name;
        self.entries.push(Entry { name: Arc::clone(&name), unit: unit.clone(), follower: slot.wrapping_add(1), plain });
        self.follow(slot);
        fresh.push(NewName { name, unit });
        Ok(slot)
    }
}

/// A key for a name with a unit. 0xFF stands in no UTF-8 text, so no two pairs share a key.
fn join(key: &mut Vec<u8>, name: &[u8], unit: &[u8]) {
    key.extend_from_slice(name);
    key.push(0xFF);
    key.extend_from_slice(unit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_its_unit_has_one_slot() {
        let mut names = Names::new(10);
        let mut fresh = Vec::new();
        let slots: Vec<_> =
            [("a", None), ("b", None), ("a", Some("ms")), ("a", None), ("a", Some("ms")), ("b", Some(""))]
                .into_iter()
                .map(|(name, unit)| names.slot(name.as_bytes(), unit.map(str::as_bytes), &mut fresh).unwrap())
                .collect();
        assert_eq!(slots, [0, 1, 2, 0, 2, 1]);
        assert_eq!(fresh.len(), 3);
    }

    #[test]
    fn the_guess_is_what_followed_the_last_time() {
        let mut names = Names::new(10);
        let mut fresh = Vec::new();
        for name in ["a", "b", "c", "a"] {
            names.slot(name.as_bytes(), None, &mut fresh).unwrap();
        }
        assert_eq!(names.guess(), Some((1, b"b".as_slice())));
        assert_eq!(names.confirm(1, Some(b"ms")), None);
        assert_eq!(names.confirm(1, None), Some(1));
        assert_eq!(names.guess(), Some((2, b"c".as_slice())));
    }

    #[test]
    fn b1_names_are_bounded_and_checked() {
        let mut names = Names::new(2);
        let mut fresh = Vec::new();
        assert_eq!(names.slot(b"", None, &mut fresh), Err(Refused::Fault(FaultCause::NoName)));
        assert_eq!(names.slot(&[b'x'; 513], None, &mut fresh), Err(Refused::Fault(FaultCause::NameTooLong)));
        assert_eq!(names.slot(b"\xff", None, &mut fresh), Err(Refused::Fault(FaultCause::NotUtf8)));
        assert_eq!(names.slot(b"a\0", None, &mut fresh), Err(Refused::Fault(FaultCause::NulByte)));
        assert!(fresh.is_empty());
        names.slot(b"a", None, &mut fresh).unwrap();
        names.slot(b"b", None, &mut fresh).unwrap();
        assert_eq!(names.slot(b"c", None, &mut fresh), Err(Refused::Full));
        names.forget();
        assert_eq!(names.slot(b"c", None, &mut fresh), Ok(0));
    }
}
