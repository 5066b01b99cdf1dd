//! What happened, in order: a hash over all of it, and for people the words.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::chance::mixed;

/// Most lines kept (B1); of more the oldest go.
const LINES_MAX: usize = 200_000;

/// A record of all that happened.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Cell<u64>,
    lines: Option<RefCell<VecDeque<String>>>,
    /// Words of what happened before are not kept.
    since: u64,
}

impl Trace {
    /// One that keeps the words as well, from that time on.
    pub(crate) fn in_words(since: u64) -> Self {
        Self { hash: Cell::new(0), lines: Some(RefCell::default()), since }
    }

    /// Takes down what has no words.
    pub(crate) fn note(&self, kind: u64, a: u64, b: u64) {
        let before = self.hash.get().rotate_left(23);
        self.hash.set(mixed(before ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mixed(a ^ b.rotate_left(32))));
    }

    /// Takes down bytes.
    pub(crate) fn note_bytes(&self, kind: u64, bytes: &[u8]) {
        let word = |chunk: &[u8]| chunk.iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
        bytes.chunks(8).for_each(|chunk| self.note(kind, word(chunk), chunk.len() as u64));
    }

    /// Takes down words, if words are kept.
    pub(crate) fn say(&self, now: u64, words: impl FnOnce() -> String) {
        let Some(lines) = self.lines.as_ref().filter(|_| now >= self.since) else { return };
        let line = format!("{:>12.6} {}", std::time::Duration::from_nanos(now).as_secs_f64(), words());
        let mut lines = lines.borrow_mut();
        if lines.len() >= LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The hash over everything so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.get()
    }

    /// The words.
    pub(crate) fn words(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| lines.borrow().iter().cloned().collect()).unwrap_or_default()
    }
}
