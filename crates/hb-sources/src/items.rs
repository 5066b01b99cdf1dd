//! What a batch is filled with, line by line.

use std::fmt::Write as _;
use std::sync::Arc;

use hb_core::mark::Mark;
use hb_core::time::Stamp;
use hb_core::watch::sample::{Batch, Fault, FaultCause, NewName, Sample};

/// Longest quote of a fault, in bytes.
pub(crate) const QUOTE_BYTES_MAX: usize = 200;

/// The growing contents of a batch.
#[derive(Debug, Default)]
pub(crate) struct Items {
    pub(crate) reset: bool,
    pub(crate) names: Vec<NewName>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) faults: Vec<Fault>,
    quoted: Vec<FaultCause>,
}

impl Items {
    /// Makes room at once where many samples are to come.
    pub(crate) fn make_room(&mut self, samples_max: usize) {
        const ROOM_MAX: usize = 4_096;
        if self.samples.capacity() == 0 {
            self.samples.reserve_exact(samples_max.min(ROOM_MAX));
        }
    }

    /// The first items after a seek or a loss of names, when `reset` is set; it is taken.
    pub(crate) fn taking(reset: &mut bool) -> Self {
        Self { reset: std::mem::take(reset), ..Self::default() }
    }

    /// Samples and faults.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.samples.len() + self.faults.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(crate) fn sample(&mut self, slot: u32, offset: u32, at: Stamp, value: f64) {
        self.samples.push(Sample { slot, offset, at, value });
    }

    pub(crate) fn fault(&mut self, offset: u32, cause: FaultCause) {
        self.faults.push(Fault { offset, cause, quote: None });
    }

    /// Quotes those faults from number `from` on that are the first of their cause here.
    pub(crate) fn quote_from(&mut self, from: usize, mut place: impl FnMut() -> String, text: &[u8]) {
        for fault in self.faults.iter_mut().skip(from) {
            if fault.quote.is_none() && !self.quoted.contains(&fault.cause) {
                self.quoted.push(fault.cause);
                fault.quote = Some(quote(&place(), text));
            }
        }
    }

    /// The batch, between its two marks.
    pub(crate) fn into_batch(self, start: Mark, end: Mark) -> Batch {
        Batch { reset: self.reset, names: self.names, start, samples: self.samples, faults: self.faults, end }
    }
}

/// `PLACE: TEXT`, with everything that is not printable escaped, at most [`QUOTE_BYTES_MAX`] bytes.
pub(crate) fn quote(place: &str, text: &[u8]) -> Arc<str> {
    const ELLIPSIS: &str = "…";
    let mut out = String::with_capacity(QUOTE_BYTES_MAX);
    // A very long path keeps its end, where the line number is.
    let cut = place.len().saturating_sub(QUOTE_BYTES_MAX / 2);
    let cut = (cut..=place.len()).find(|at| place.is_char_boundary(*at)).unwrap_or(place.len());
    out.push_str(place.get(cut..).unwrap_or_default());
    out.push_str(": ");
    let room = QUOTE_BYTES_MAX - ELLIPSIS.len();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut one = String::new();
            if c.is_control() {
                one.extend(c.escape_default())
            } else {
                one.push(c)
            }
            if out.len() + one.len() > room {
                out.push_str(ELLIPSIS);
                return out.into();
            }
            out.push_str(&one);
        }
        for byte in chunk.invalid() {
            if out.len() + 4 > room {
                out.push_str(ELLIPSIS);
                return out.into();
            }
            write!(out, "\\x{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_escaped_and_short() {
        assert_eq!(&*quote("f:1", b"a\0\xff\tb"), "f:1: a\\u{0}\\xff\\tb");
        for text in [vec![b'x'; 1000], vec![0xff; 1000], vec![0; 1000], "ü".repeat(400).into_bytes()] {
            let long = quote(&"p".repeat(900), &text);
            assert!(long.len() <= QUOTE_BYTES_MAX && long.ends_with('…'), "{long}");
        }
    }

    #[test]
    fn the_first_of_each_cause_is_quoted() {
        let mut items = Items::default();
        for (line, cause) in [(0, FaultCause::Malformed), (1, FaultCause::Malformed), (2, FaultCause::NoTime)] {
            let from = items.faults.len();
            items.fault(line, cause);
            items.quote_from(from, || format!("f:{line}"), b"x");
        }
        let quotes: Vec<_> = items.faults.iter().map(|f| f.quote.as_deref()).collect();
        assert_eq!(quotes, [Some("f:0: x"), None, Some("f:2: x")]);
    }
}
