//! Reading records as data: decoded, checked for damage, and checked to follow one another (J4).
//!
//! **Invariants.** Nothing is given back that was not sealed as it stands, under the stream and number that it claims,
//! after the record that it names as its predecessor.

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::ChainCheck;
use hb_core::node::fact::{Record, Sealed};

use crate::port::{Journal, JournalError};

/// Most records that a follower takes in one go (B1).
pub const FOLLOW_MOST: usize = 256;

/// Decodes one record and checks that it is what stands at that place.
///
/// # Errors
/// [`JournalError::Corrupt`] naming stream and number.
pub fn decode(stream: &StreamName, seq: Seq, bytes: &[u8]) -> Result<Sealed, JournalError> {
    let sealed = Record::decode(bytes).map_err(|damage| corrupt(stream, seq, &damage.to_string()))?;
    if sealed.record.stream != *stream {
        let what = format!("it belongs to stream {}; put it back where it came from", sealed.record.stream);
        return Err(corrupt(stream, seq, &what));
    }
    if sealed.record.seq != seq {
        let what = format!("it is record {}: the file was renamed; give it its own name back", sealed.record.seq);
        return Err(corrupt(stream, seq, &what));
    }
    Ok(sealed)
}

fn corrupt(stream: &StreamName, seq: Seq, what: &str) -> JournalError {
    JournalError::Corrupt(format!("stream {stream}, record {seq} (file {:020}.rec): {what}", seq.0))
}

/// Up to `most` sound records from `from` on. The record before `from` is read too where it still stands, so that the
/// first link is checked as well.
///
/// # Errors
/// [`JournalError`]; damage names stream and number.
pub fn read_sound(
    journal: &mut dyn Journal,
    stream: &StreamName,
    from: Seq,
    most: usize,
) -> Result<Vec<Sealed>, JournalError> {
    let start = Seq(from.0.saturating_sub(1));
    let raw = journal.read(stream, start, most.saturating_add(1))?;
    let mut check = ChainCheck::from(raw.first().map_or(start, |(seq, _)| *seq));
    let mut out = Vec::with_capacity(raw.len());
    for (seq, bytes) in raw {
        let sealed = decode(stream, seq, &bytes)?;
        check.push(&sealed).map_err(|broken| corrupt(stream, seq, &broken.to_string()))?;
        if seq >= from && out.len() < most {
            out.push(sealed);
        }
    }
    Ok(out)
}

/// The newest `n` records, oldest first; fewer when there are fewer.
///
/// # Errors
/// As [`read_sound`].
pub fn newest(journal: &mut dyn Journal, stream: &StreamName, n: usize) -> Result<Vec<Sealed>, JournalError> {
    let Some(head) = journal.head(stream)? else { return Ok(Vec::new()) };
    let back = u64::try_from(n).unwrap_or(u64::MAX);
    let from = Seq(head.0.saturating_add(1).saturating_sub(back));
    read_sound(journal, stream, from, n)
}

/// Reads a stream as it grows, for a standby. Asking when nothing is new costs a few failed look-ups.
#[derive(Debug, Clone)]
pub struct Follower {
    stream: StreamName,
    next: Seq,
    check: Option<ChainCheck>,
    skipped: u64,
}

impl Follower {
    /// Follows `stream` from record `next` on.
    #[must_use]
    pub fn new(stream: StreamName, next: Seq) -> Self {
        Self { stream, next, check: None, skipped: 0 }
    }

    /// Number of the record that comes next.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.next
    }

    /// Records that were trimmed away before they were read.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The sound records that have come since, at most [`FOLLOW_MOST`]; ask again while it is not empty.
    ///
    /// # Errors
    /// [`JournalError`]; the follower stays where it was.
    pub fn poll(&mut self, journal: &mut dyn Journal) -> Result<Vec<Sealed>, JournalError> {
        let raw = journal.read(&self.stream, self.next, FOLLOW_MOST)?;
        let Some((first, _)) = raw.first() else { return Ok(Vec::new()) };
        let jumped = first.0.saturating_sub(self.next.0);
        let mut check = self.check.filter(|_| jumped == 0).unwrap_or_else(|| ChainCheck::from(*first));
        let mut next = *first;
        let mut out = Vec::with_capacity(raw.len());
        for (seq, bytes) in raw {
            let sealed = decode(&self.stream, seq, &bytes)?;
            check.push(&sealed).map_err(|broken| corrupt(&self.stream, seq, &broken.to_string()))?;
            next = seq.next();
            out.push(sealed);
        }
        self.next = next;
        self.check = Some(check);
        self.skipped = self.skipped.saturating_add(jumped);
        Ok(out)
    }
}
