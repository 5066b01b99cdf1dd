//! Bringing a copy up to date, stream by stream, page by page.
//!
//! **Invariants.** Whenever it ends, also by a crash, the copy is a sound beginning of the source's stream, from some floor on;
//! running it again goes on from there. Memory does not grow with the length of a stream (B1).

use std::collections::BTreeSet;

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::journal::{ChainCheck, Hash};
use serde::{Deserialize, Serialize};

use super::{PAGE_RECORDS, Raw, Relation, Side, SyncError, Written, relate};
use crate::reader::decode;

/// Most documents that are remembered as copied in one go (B1); one that was forgotten is asked for again.
const DOCUMENTS_MAX: usize = 4_096;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The stream.
    pub stream: &'a StreamName,
    /// The newest record that the copy has, where it has one.
    pub at: Option<Seq>,
    /// The newest record of the source, as it was at the beginning.
    pub to: Option<Seq>,
    /// Records appended.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The stream.
    pub stream: StreamName,
    /// Records appended.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Documents put.
    pub documents: u64,
    /// Documents that records name and the source does not have: their baselines cannot be decided against.
    pub documents_missing: Vec<Hash>,
    /// The floor at which the copy began anew, where it did: what lies below had been trimmed at the source.
    pub began_at: Option<Seq>,
    /// Records that were let go because the source has let them go.
    pub trimmed: u64,
    /// The newest record of the copy.
    pub head: Option<Written>,
}

/// The streams of a watch among those that a side lists, and the one of a tag in any case: baselines first, because
/// the watch's own names them.
#[must_use]
pub fn of_watch(watch: &WatchName, tag: &str, listed: Option<&[StreamName]>) -> Vec<StreamName> {
    let prefix = StreamName::baseline(watch, "").to_string();
    let mut streams: BTreeSet<StreamName> = BTreeSet::from([StreamName::baseline(watch, tag)]);
    let tags = listed.unwrap_or_default().iter().filter(|stream| {
        // A tag is a name without `/`; another watch may be called by a longer name.
        stream.as_str().strip_prefix(&prefix).is_some_and(|tag| !tag.is_empty() && !tag.contains('/'))
    });
    streams.extend(tags.cloned());
    streams.into_iter().chain([StreamName::watch(watch)]).collect()
}

/// Appends to a stream of `target` what it lacks of `source`. `tell` is called after each page, and may stop it.
///
/// # Errors
/// [`SyncError`]; what was appended before stands.
pub fn copy(
    source: &mut dyn Side,
    target: &mut dyn Side,
    stream: &StreamName,
    tell: &mut dyn FnMut(&Progress<'_>) -> Result<(), SyncError>,
) -> Result<Copied, SyncError> {
    let relation = relate(source, target, stream)?;
    let mut copying = Copying {
        stream,
        done: Copied {
            stream: stream.clone(),
            records: 0,
            bytes: 0,
            documents: 0,
            documents_missing: Vec::new(),
            began_at: None,
            trimmed: 0,
            head: None,
        },
        to: source.standing(stream)?.head.map(|head| head.seq),
        documents: BTreeSet::new(),
        check: None,
        source,
        target,
    };
    match relation {
        Relation::Even => {}
        Relation::Behind(next) => copying.run(next, Place::Follows, tell)?,
        Relation::From(floor) => copying.run(floor, Place::Anew, tell)?,
    }
    copying.finish()
}

/// Brings the whole of a stream beside the history of its own that the target has, which stands untouched: [`Side::swap`] puts
/// it in its place. What an earlier try brought there is gone on from, where it still belongs to it.
///
/// # Errors
/// [`SyncError`].
pub fn copy_beside(
    source: &mut dyn Side,
    target: &mut dyn Side,
    stream: &StreamName,
    tell: &mut dyn FnMut(&Progress<'_>) -> Result<(), SyncError>,
) -> Result<Copied, SyncError> {
    match copy(source, &mut *target.beside(stream)?, stream, tell) {
        Err(SyncError::Diverged(_) | SyncError::Ahead(_) | SyncError::Corrupt(_)) => {
            target.forget_beside(stream)?;
            copy(source, &mut *target.beside(stream)?, stream, tell)
        }
        copied => copied,
    }
}

/// How the next page stands to what the copy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It follows the newest record.
    Follows,
    /// It takes the place of everything: what lies between has gone at the source.
    Anew,
}

/// One stream on its way.
struct Copying<'a> {
    source: &'a mut dyn Side,
    target: &'a mut dyn Side,
    stream: &'a StreamName,
    to: Option<Seq>,
    done: Copied,
    documents: BTreeSet<Hash>,
    check: Option<ChainCheck>,
}

/// What is looked at in a record: the documents that it names.
#[derive(Debug, Default, Deserialize)]
struct Names {
    baseline: Option<Named>,
    decision: Option<Decision>,
    carry: Option<Carry>,
}

#[derive(Debug, Deserialize)]
struct Decision {
    baseline: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Carry {
    baseline: Option<Hash>,
}

#[derive(Debug, Deserialize)]
struct Named {
    hash: Hash,
}

impl Names {
    fn hashes(self) -> impl Iterator<Item = Hash> {
        let decided = self.decision.and_then(|decision| decision.baseline).map(|named| named.hash);
        let carried = self.carry.and_then(|carry| carry.baseline);
        self.baseline.map(|named| named.hash).into_iter().chain(decided).chain(carried)
    }
}

impl Copying<'_> {
    fn run(
        &mut self,
        mut next: Seq,
        mut place: Place,
        tell: &mut dyn FnMut(&Progress<'_>) -> Result<(), SyncError>,
    ) -> Result<(), SyncError> {
        loop {
            let page = self.source.read(self.stream, next, PAGE_RECORDS)?;
            let Some(first) = page.first().map(|raw| raw.seq) else { return Ok(()) };
            if first != next {
                // The source has been trimmed meanwhile, further than the copy has come.
                place = Place::Anew;
            }
            if place == Place::Anew {
                self.check = Some(ChainCheck::from(first));
            }
            let page = self.checked(page)?;
            next = page.last().map_or(next, |raw| raw.seq.next());
            let (records, bytes) = (page.len(), page.iter().map(|raw| raw.bytes.len()).sum::<usize>());
            match std::mem::replace(&mut place, Place::Follows) {
                Place::Follows => self.target.append(self.stream, page)?,
                Place::Anew => {
                    let seen = self.target.standing(self.stream)?.head.map(|head| head.seq);
                    self.target.begin(self.stream, seen, page)?;
                    self.done.began_at = Some(first);
                }
            }
            self.done.records = self.done.records.saturating_add(u64::try_from(records).unwrap_or(u64::MAX));
            self.done.bytes = self.done.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
            let at = next.0.checked_sub(1).map(Seq);
            let (records, bytes) = (self.done.records, self.done.bytes);
            tell(&Progress { stream: self.stream, at, to: self.to.max(at), records, bytes })?;
        }
    }

    /// Checks a page, so that damage is told as the source's own, and puts the documents that it names first.
    fn checked(&mut self, page: Vec<Raw>) -> Result<Vec<Raw>, SyncError> {
        let side = self.source.name().to_owned();
        let damaged = |what: String| SyncError::Corrupt(format!("{side}: {what}"));
        let mut out = Vec::with_capacity(page.len());
        for raw in page {
            let sealed = decode::<Names>(self.stream, raw.seq, raw.bytes).map_err(|e| damaged(e.to_string()))?;
            // The first link is checked by the copy, against its own newest record.
            let mut check = self.check.unwrap_or_else(|| ChainCheck::from(raw.seq));
            check
                .push(&sealed)
                .map_err(|broken| damaged(format!("stream {}, record {}: {broken}", self.stream, raw.seq)))?;
            self.check = Some(check);
            for hash in sealed.record.body.hashes() {
                self.put(hash)?;
            }
            out.push(Raw { seq: raw.seq, bytes: sealed.bytes });
        }
        Ok(out)
    }

    fn put(&mut self, hash: Hash) -> Result<(), SyncError> {
        if self.documents.contains(&hash) {
            return Ok(());
        }
        if !self.target.has_document(hash)? {
            match self.source.document(hash)? {
                Some(bytes) => {
                    self.target.keep(hash, &bytes)?;
                    self.done.documents = self.done.documents.saturating_add(1);
                }
                None => self.done.documents_missing.push(hash),
            }
        }
        if self.documents.len() >= DOCUMENTS_MAX {
            self.documents.clear();
        }
        self.documents.insert(hash);
        Ok(())
    }

    /// Lets go what the source has let go.
    fn finish(mut self) -> Result<Copied, SyncError> {
        let floor = self.source.standing(self.stream)?.floor;
        let copy = self.target.standing(self.stream)?;
        if let Some(head) = &copy.head {
            let floor = floor.min(head.seq);
            if floor > copy.floor {
                self.done.trimmed = self.target.trim(self.stream, floor)?;
            }
        }
        self.done.head = copy.head;
        Ok(self.done)
    }
}
