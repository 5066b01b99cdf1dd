//! Reading records in order, several at a time, and what it means when one is not there.
//!
//! Readers of `hb` go record by record, forwards or backwards. In a bucket each would be a round trip, so what lies in the
//! direction of travel is fetched along with it, in growing pages, once two steps have shown the direction.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hb_core::ids::Seq;
use hb_store::port::JournalError;

use super::{ObjectJournal, Stream};
use crate::object::bucket::Got;
use crate::object::names;

/// Most records of one page (B1).
const PAGE_MAX: u64 = 32;
/// About how many bytes of records one page may have (B1).
const PAGE_BYTES: u64 = 8 << 20;
/// How long a page is good for. Records never change; only their trimming would be seen that much later.
const PAGE_FRESH: Duration = Duration::from_secs(1);
/// How many records are followed one by one before the stream is listed instead.
const GALLOP_MAX: u32 = 8;
/// How often reading starts again because the stream was trimmed meanwhile (B1).
const TURNS_MAX: u32 = 16;

/// What was fetched ahead.
#[derive(Debug, Default)]
pub(super) struct Page {
    records: BTreeMap<Seq, Vec<u8>>,
    at: Option<Instant>,
    /// The record that was asked for last, and the size of the page then.
    last: Option<(Seq, u64)>,
    /// Bytes of the largest record that was seen.
    largest: u64,
}

impl Page {
    /// Takes what was fetched ahead, if it is still good. Going back and forth costs nothing meanwhile.
    fn take(&mut self, seq: Seq) -> Option<Vec<u8>> {
        if self.at?.elapsed() > PAGE_FRESH {
            self.records.clear();
            return None;
        }
        let bytes = self.records.get(&seq)?.clone();
        self.last = self.last.map(|(_, size)| (seq, size));
        Some(bytes)
    }

    /// Which records to fetch when `seq` is asked for: itself, and in the direction of travel as many as seem wanted.
    fn span(&mut self, seq: Seq, floor: Seq, head: Option<Seq>) -> (Seq, Seq) {
        let room = (PAGE_BYTES / self.largest.max(1)).clamp(1, PAGE_MAX);
        let (forwards, backwards, size) = match self.last {
            Some((last, size)) => (last.next() == seq, seq.next() == last, size),
            None => (false, false, 1),
        };
        let size = if forwards || backwards { size.saturating_mul(4).min(room) } else { 1 };
        self.last = Some((seq, size));
        if backwards {
            let first = Seq(seq.0.saturating_sub(size - 1)).max(floor);
            return (first.min(seq), seq);
        }
        let last = Seq(seq.0.saturating_add(size - 1));
        (seq, last.min(head.unwrap_or(seq)).max(seq))
    }
}

impl ObjectJournal {
    /// Goes on from the remembered head to the newest record.
    pub(super) fn gallop(&self, stream: &mut Stream) -> Result<(), JournalError> {
        for _ in 0..TURNS_MAX {
            let next = stream.head.map_or(stream.floor, Seq::next);
            let mut steps = 0;
            let mut at = next;
            while self.one(stream, at)?.is_some() {
                stream.head = Some(at);
                at = at.next();
                steps += 1;
                if steps == GALLOP_MAX {
                    self.list(stream)?;
                    at = stream.head.map_or(at, |head| head.next().max(at));
                }
            }
            // Records may have been trimmed from under the search: then the floor has moved beyond it.
            self.look_at_floor(stream)?;
            if stream.floor <= at {
                return Ok(());
            }
            self.list(stream)?;
        }
        Err(JournalError::Unavailable(format!(
            "{} is trimmed faster than its head can be found",
            self.shown(&stream.dir)
        )))
    }

    fn one(&self, stream: &Stream, seq: Seq) -> Result<Option<Vec<u8>>, JournalError> {
        let key = names::record(&stream.dir, seq);
        Ok(self.bucket.get(&key).map_err(self.unavailable(&key))?.map(|got| got.bytes))
    }

    /// Records `first..=last` side by side.
    fn many(&self, stream: &Stream, first: Seq, last: Seq) -> Result<Vec<Option<Got>>, JournalError> {
        let keys: Vec<String> = (first.0..=last.0).map(|number| names::record(&stream.dir, Seq(number))).collect();
        self.bucket.get_many(&keys).map_err(self.unavailable(&stream.dir))
    }

    pub(super) fn read_from(
        &self,
        stream: &mut Stream,
        from: Seq,
        most: usize,
    ) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        if most == 0 {
            return Ok(Vec::new());
        }
        for _ in 0..TURNS_MAX {
            let start = from.max(stream.floor);
            let found = if most == 1 { self.read_one(stream, start)? } else { self.read_page(stream, start, most)? };
            // Asked for after reading: what lay below the floor by then may be a late writer's.
            if !found.fresh
                && let Err(error) = self.look_at_floor(stream)
            {
                stream.page = Page::default();
                return Err(error);
            }
            if stream.floor > start {
                continue;
            }
            if found.records.is_empty() && stream.head.is_some_and(|head| head >= start) {
                return Err(self.is_missing(stream, start));
            }
            return Ok(found.records);
        }
        Err(JournalError::Unavailable(format!("{} is trimmed faster than it can be read", self.shown(&stream.dir))))
    }

    /// One record, and those in the direction of travel into the page.
    fn read_one(&self, stream: &mut Stream, seq: Seq) -> Result<Found, JournalError> {
        if let Some(bytes) = stream.page.take(seq) {
            return Ok(Found { records: vec![(seq, bytes)], fresh: true });
        }
        let (first, last) = stream.page.span(seq, stream.floor, stream.head);
        let asked = Instant::now();
        let got = self.many(stream, first, last)?;
        let mut records = BTreeMap::new();
        for (number, got) in (first.0..).zip(got) {
            if let Some(got) = got {
                let length = u64::try_from(got.bytes.len()).unwrap_or(u64::MAX);
                stream.page.largest = stream.page.largest.max(length);
                records.insert(Seq(number), got.bytes);
            }
        }
        stream.head = stream.head.max(records.last_key_value().map(|(seq, _)| *seq));
        let wanted = records.get(&seq).cloned();
        if last > first {
            // Good only together with the floor that is asked for next; a floor that has moved throws the page away.
            (stream.page.records, stream.page.at) = (records, Some(asked));
        }
        Ok(Found { records: wanted.map(|bytes| (seq, bytes)).into_iter().collect(), fresh: false })
    }

    /// Up to `most` records from `start` on: first as far as the head is known, then as far as there are any.
    fn read_page(&self, stream: &mut Stream, start: Seq, most: usize) -> Result<Found, JournalError> {
        let mut records: Vec<(Seq, Vec<u8>)> = Vec::new();
        let mut next = start;
        let mut beyond = 1;
        while records.len() < most {
            let left = u64::try_from(most - records.len()).unwrap_or(u64::MAX);
            let known = stream.head.filter(|head| *head >= next).map(|head| head.0 - next.0 + 1);
            let size = known.unwrap_or(beyond).min(left).min(PAGE_MAX);
            beyond = (beyond * 2).min(PAGE_MAX);
            let got = self.many(stream, next, Seq(next.0.saturating_add(size - 1)))?;
            let newest = (next.0..).zip(&got).filter(|(_, got)| got.is_some()).map(|(number, _)| Seq(number)).last();
            stream.head = stream.head.max(newest);
            let run: Vec<Vec<u8>> = got.into_iter().map_while(|got| got.map(|got| got.bytes)).collect();
            let whole = u64::try_from(run.len()).ok() == Some(size);
            for bytes in run {
                records.push((next, bytes));
                next = next.next();
            }
            if !whole && (known.is_some() || stream.head.is_none_or(|head| head < next)) {
                break;
            }
        }
        Ok(Found { records, fresh: false })
    }

    fn is_missing(&self, stream: &Stream, seq: Seq) -> JournalError {
        JournalError::Corrupt(format!(
            "{} is missing although later records stand; restore it from a copy (or an older version, where the bucket keeps \
             those), or see docs/ops/repair.md",
            self.shown(&names::record(&stream.dir, seq))
        ))
    }
}

struct Found {
    records: Vec<(Seq, Vec<u8>)>,
    /// From a page whose floor was checked when it was fetched.
    fresh: bool,
}
