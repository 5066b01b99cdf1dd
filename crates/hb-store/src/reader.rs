//! Reading records as data: decoded, checked for damage, and checked to follow one another (J4).
//!
//! **Invariants.** Nothing is given back that was not sealed as it stands, under the stream and number that it claims,
//! after the record that it names as its predecessor.

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{self, Break, ChainCheck, Head, sound_hash};
use hb_core::node::fact::Sealed;
use serde::de::DeserializeOwned;

use crate::port::{Journal, JournalError};

/// Most records that a follower takes in one go (B1).
pub const FOLLOW_MOST: usize = 256;

/// About how many bytes of records are read in one go: memory does not grow with the size of records.
pub const PAGE_BYTES: usize = 8 << 20;

/// Decodes one record and checks that it is what stands at that place. `B` is as much of its body as is wanted.
///
/// # Errors
/// [`JournalError::Corrupt`] naming stream and number.
pub fn decode<B: DeserializeOwned>(
    stream: &StreamName,
    seq: Seq,
    bytes: Vec<u8>,
) -> Result<journal::Sealed<B>, JournalError> {
    let sealed = journal::Record::decode_owned(bytes).map_err(|damage| corrupt(stream, seq, &damage.to_string()))?;
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

/// The bytes of the first record from `from` on, if there is one.
fn raw(journal: &mut dyn Journal, stream: &StreamName, from: Seq) -> Result<Option<(Seq, Vec<u8>)>, JournalError> {
    Ok(journal.read(stream, from, 1)?.pop())
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
    let mut next = Seq(from.0.saturating_sub(1));
    let mut check = ChainCheck::from(next);
    let mut out: Vec<Sealed> = Vec::new();
    // One by one: records may be large, and their bytes are not needed all at once.
    while out.len() < most {
        let Some((seq, bytes)) = raw(journal, stream, next)? else { break };
        if seq != next && (check.head().is_none() || journal.floor(stream)? >= seq) {
            // What lies before has been trimmed away, perhaps just now. Any other gap is told below.
            check = ChainCheck::from(seq);
            out.clear();
        }
        next = seq.next();
        if seq < from {
            // Only its hash is needed, for the link; of its epoch nothing is known then.
            let hash = sound_hash(&bytes).map_err(|damage| corrupt(stream, seq, &damage.to_string()))?;
            check = ChainCheck::after(Head { seq, hash, epoch: Epoch(0) });
            continue;
        }
        let sealed = decode(stream, seq, bytes)?;
        check.push(&sealed).map_err(|broken| corrupt(stream, seq, &broken.to_string()))?;
        out.push(sealed);
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

/// Shows the records of a stream from the newest back, checked, until there are enough of them. One at a time is held, and of
/// that only what `B` takes.
///
/// # Errors
/// As [`read_sound`].
pub fn look_back<B: DeserializeOwned>(
    journal: &mut dyn Journal,
    stream: &StreamName,
    mut show: impl FnMut(&journal::Sealed<B>) -> Look,
) -> Result<(), JournalError> {
    let Some(head) = journal.head(stream)? else { return Ok(()) };
    let mut found = raw(journal, stream, head)?;
    let mut after: Option<(Seq, Epoch)> = None;
    while let Some((seq, bytes)) = found {
        let mut sealed = decode::<B>(stream, seq, bytes)?;
        sealed.bytes = Vec::new();
        let epoch = sealed.record.epoch;
        if let Some((seq, found)) = after.filter(|(_, after)| *after < epoch) {
            return Err(corrupt(stream, seq, &Break::EpochFell { seq, found, before: epoch }.to_string()));
        }
        found = before(journal, stream, seq)?;
        link(stream, &sealed, found.as_ref())?;
        if show(&sealed) == Look::Enough {
            return Ok(());
        }
        after = Some((seq, epoch));
    }
    Ok(())
}

/// The bytes of the record before, where it still stands.
fn before(journal: &mut dyn Journal, stream: &StreamName, seq: Seq) -> Result<Option<(Seq, Vec<u8>)>, JournalError> {
    let Some(before) = seq.0.checked_sub(1).map(Seq) else { return Ok(None) };
    Ok(raw(journal, stream, before)?.filter(|(seq, _)| *seq == before))
}

/// Checks that a record follows the one before it.
fn link<B>(
    stream: &StreamName,
    sealed: &journal::Sealed<B>,
    before: Option<&(Seq, Vec<u8>)>,
) -> Result<(), JournalError> {
    let mut check = match before {
        Some((seq, bytes)) => {
            let hash = sound_hash(bytes).map_err(|damage| corrupt(stream, *seq, &damage.to_string()))?;
            ChainCheck::after(Head { seq: *seq, hash, epoch: Epoch(0) })
        }
        None => ChainCheck::from(sealed.record.seq),
    };
    check.push(sealed).map_err(|broken| corrupt(stream, sealed.record.seq, &broken.to_string()))
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

    /// The sound records that have come since, at most [`FOLLOW_MOST`] and about [`PAGE_BYTES`], without their bytes; ask
    /// again while it is not empty.
    ///
    /// # Errors
    /// [`JournalError`]; the follower stays where it was.
    pub fn poll(&mut self, journal: &mut dyn Journal) -> Result<Vec<Sealed>, JournalError> {
        let (mut check, mut next, mut skipped) = (self.check, self.next, self.skipped);
        let (mut out, mut taken) = (Vec::new(), 0_usize);
        while out.len() < FOLLOW_MOST && taken < PAGE_BYTES {
            let Some((seq, bytes)) = raw(journal, &self.stream, next)? else { break };
            let jumped = seq.0.saturating_sub(next.0);
            if jumped > 0 && !out.is_empty() {
                // Trimmed just now: that is for the next call to tell.
                break;
            }
            skipped = skipped.saturating_add(jumped);
            taken = taken.saturating_add(bytes.len());
            let mut sealed = decode(&self.stream, seq, bytes)?;
            let mut link = check.filter(|_| jumped == 0).unwrap_or_else(|| ChainCheck::from(seq));
            link.push(&sealed).map_err(|broken| corrupt(&self.stream, seq, &broken.to_string()))?;
            check = Some(link);
            next = seq.next();
            sealed.bytes = Vec::new();
            out.push(sealed);
        }
        (self.check, self.next, self.skipped) = (check, next, skipped);
        Ok(out)
    }
}
