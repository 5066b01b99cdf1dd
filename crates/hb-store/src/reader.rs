//! Reading records as data: decoded, checked for damage, and checked to follow one another (J4).
//!
//! **Invariants.** Nothing is given back that was not sealed as it stands, under the stream and number that it claims,
//! after the record that it names as its predecessor.

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{ChainCheck, Head, sound_hash};
use hb_core::node::fact::{Record, Sealed};

use crate::port::{Journal, JournalError};

/// Most records that a follower takes in one go (B1).
pub const FOLLOW_MOST: usize = 256;

/// Decodes one record and checks that it is what stands at that place.
///
/// # Errors
/// [`JournalError::Corrupt`] naming stream and number.
pub fn decode(stream: &StreamName, seq: Seq, bytes: Vec<u8>) -> Result<Sealed, JournalError> {
    let sealed = Record::decode_owned(bytes).map_err(|damage| corrupt(stream, seq, &damage.to_string()))?;
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
        if seq < from {
            // Only its hash is needed, for the link; of its epoch nothing is known then.
            let hash = sound_hash(&bytes).map_err(|damage| corrupt(stream, seq, &damage.to_string()))?;
            check = ChainCheck::after(Head { seq, hash, epoch: Epoch(0) });
            continue;
        }
        let sealed = decode(stream, seq, bytes)?;
        check.push(&sealed).map_err(|broken| corrupt(stream, seq, &broken.to_string()))?;
        if out.len() < most {
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

/// Whether to look further back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// On to the record before.
    Further,
    /// This is far enough.
    Enough,
}

/// Shows the records of a stream from the newest back, checked, until there are enough of them. Pages grow from one record
/// while they stay below [`PAGE_BYTES`], so that memory does not grow with the size of records.
///
/// # Errors
/// As [`read_sound`].
pub fn look_back(
    journal: &mut dyn Journal,
    stream: &StreamName,
    mut show: impl FnMut(&Sealed) -> Look,
) -> Result<(), JournalError> {
    let Some(head) = journal.head(stream)? else { return Ok(()) };
    let floor = journal.floor(stream)?;
    let mut page = Page::default();
    let mut end = head.next();
    while end > floor {
        let from = Seq(end.0.saturating_sub(page.records as u64).max(floor.0));
        let most = usize::try_from(end.0.saturating_sub(from.0)).unwrap_or(usize::MAX);
        let records = read_sound(journal, stream, from, most)?;
        if records.iter().rev().any(|sealed| show(sealed) == Look::Enough) {
            return Ok(());
        }
        page.learn(records.iter().map(|sealed| sealed.bytes.len()).sum());
        end = from;
    }
    Ok(())
}

/// About how many bytes of records are read in one go.
pub const PAGE_BYTES: usize = 8 << 20;

/// How many records are read in one go: more while they are small, fewer while they are large.
#[derive(Debug, Clone, Copy)]
struct Page {
    records: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { records: 1 }
    }
}

impl Page {
    /// A page of so many bytes has been read.
    fn learn(&mut self, bytes: usize) {
        if bytes > PAGE_BYTES {
            self.records = (self.records / 2).max(1);
        } else if bytes <= PAGE_BYTES / 2 {
            self.records = self.records.saturating_mul(2).min(FOLLOW_MOST);
        }
    }
}

/// Reads a stream as it grows, for a standby. Asking when nothing is new costs a few failed look-ups.
#[derive(Debug, Clone)]
pub struct Follower {
    stream: StreamName,
    next: Seq,
    check: Option<ChainCheck>,
    skipped: u64,
    page: Page,
}

impl Follower {
    /// Follows `stream` from record `next` on.
    #[must_use]
    pub fn new(stream: StreamName, next: Seq) -> Self {
        Self { stream, next, check: None, skipped: 0, page: Page::default() }
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
        let raw = journal.read(&self.stream, self.next, self.page.records)?;
        let Some((first, _)) = raw.first() else { return Ok(Vec::new()) };
        self.page.learn(raw.iter().map(|(_, bytes)| bytes.len()).sum());
        let jumped = first.0.saturating_sub(self.next.0);
        let mut check = self.check.filter(|_| jumped == 0).unwrap_or_else(|| ChainCheck::from(*first));
        let mut next = *first;
        let mut out = Vec::with_capacity(raw.len());
        for (seq, bytes) in raw {
            let sealed = decode(&self.stream, seq, bytes)?;
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
