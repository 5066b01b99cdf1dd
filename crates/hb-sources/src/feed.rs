//! Bytes become lines, lines become items.
//!
//! **Invariants.** Every byte belongs to exactly one line; a line is handed on once, whole, or told as too long once, at its
//! start; `position` is always the start of a line. Memory is bounded by the longest line plus one chunk.

use std::io;

use crate::format::{Decoder, NamesFull};
use crate::items::Items;
use hb_core::watch::sample::FaultCause;

/// Bytes asked for at once. Small enough to stay in the cache between reading and parsing.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// A batch ends before its offsets could outgrow 32 bits.
const OFFSET_MAX: u64 = 1 << 31;

/// Why draining stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    /// There is no whole line left.
    Dry,
    /// The batch must be finished first.
    Full,
}

/// Where a batch is being filled from.
pub(crate) struct Batching<'a> {
    pub(crate) decoder: &'a mut Decoder,
    pub(crate) items: &'a mut Items,
    /// Position at which the batch starts.
    pub(crate) start: u64,
    /// Position at or behind which it ends.
    pub(crate) stop: u64,
    /// Most items.
    pub(crate) items_max: usize,
    /// Says, for people, where a position is. Gets the position and the lines ended before it since the restart.
    pub(crate) place: &'a mut dyn FnMut(u64, u64) -> String,
}

/// The unread part of a stream.
#[derive(Debug)]
pub(crate) struct Feed {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    /// Up to where the buffer holds no end of line.
    searched: usize,
    /// Stream position of `buffer[from]`; while skipping, of the line's start.
    position: u64,
    /// Bytes of an overlong line that are gone already.
    skipped: u64,
    line_max: usize,
    /// First bytes of an overlong line, for its quote.
    head: Vec<u8>,
    /// Lines ended since the last restart.
    lines: u64,
}

impl Feed {
    pub(crate) fn new(line_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            from: 0,
            to: 0,
            searched: 0,
            position: 0,
            skipped: 0,
            line_max: line_max.max(1),
            head: Vec::new(),
            lines: 0,
        }
    }

    /// Forgets what is buffered and goes on at `position`.
    pub(crate) fn restart(&mut self, position: u64) {
        (self.from, self.to, self.searched, self.skipped, self.lines) = (0, 0, 0, 0, 0);
        self.position = position;
    }

    /// Keeps what is buffered, but counts on from `position`.
    pub(crate) fn move_to(&mut self, position: u64) {
        self.position = position;
    }

    /// Start of the first line not yet handed on.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Position behind everything read so far.
    pub(crate) fn read_to(&self) -> u64 {
        self.position.saturating_add(self.skipped).saturating_add((self.to - self.from) as u64)
    }

    /// Asks `read` for more. Gives the number of bytes that came.
    pub(crate) fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        if self.from == self.to {
            (self.from, self.to, self.searched) = (0, 0, 0);
        } else if self.from > 0 && self.buffer.len() - self.to < CHUNK_BYTES {
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.searched = self.searched.saturating_sub(self.from);
            self.from = 0;
        }
        if self.buffer.len() - self.to < CHUNK_BYTES {
            // At most one line of the longest kind and one chunk: `drain` gives up longer lines.
            self.buffer.resize(self.to + CHUNK_BYTES, 0);
        }
        let room = self.buffer.get_mut(self.to..self.to + CHUNK_BYTES).unwrap_or_default();
        let count = read(room)?.min(CHUNK_BYTES);
        self.to += count;
        Ok(count)
    }

    /// Hands whole lines on until none is left or the batch is full.
    pub(crate) fn drain(&mut self, b: &mut Batching<'_>) -> Drained {
        loop {
            if self.position >= b.stop || b.items.len() >= b.items_max || self.position - b.start > OFFSET_MAX {
                return Drained::Full;
            }
            if self.skipped > 0 {
                if !self.skip_on() {
                    return Drained::Dry;
                }
                let head = std::mem::take(&mut self.head);
                self.too_long(b, &head);
                continue;
            }
            if self.usual(b) {
                continue;
            }
            let offset = u32::try_from(self.position - b.start).expect("batches end before 2^31");
            let unread = self.buffer.get(self.from..self.to).unwrap_or_default();
            let searched = self.searched.saturating_sub(self.from);
            let found = unread.get(searched..).and_then(|rest| memchr::memchr(b'\n', rest)).map(|at| searched + at);
            match found {
                Some(end) if end <= self.line_max => {
                    if self.hand_on(offset, end, b).is_err() {
                        return Drained::Full;
                    }
                    self.took(end + 1);
                }
                Some(end) => {
                    let head = self.first_bytes();
                    self.skipped = end as u64 + 1;
                    self.from += end + 1;
                    self.too_long(b, &head);
                }
                None if unread.len() > self.line_max => {
                    self.head = self.first_bytes();
                    self.skipped = unread.len() as u64;
                    (self.from, self.to, self.searched) = (0, 0, 0);
                    return Drained::Dry;
                }
                None => {
                    self.searched = self.to;
                    return Drained::Dry;
                }
            }
        }
    }

    /// Hands on lines of the usual shape as far as they reach, and says whether there was one. Places are counted in variables of
    /// its own, written back once: the next line waits for nothing but the end of this one.
    fn usual(&mut self, b: &mut Batching<'_>) -> bool {
        let unread = self.buffer.get(self.from..self.to).unwrap_or_default();
        let first = self.position - b.start;
        let most = (b.stop - self.position).min((OFFSET_MAX + 1).saturating_sub(first));
        let (mut taken, mut lines) = (0, 0);
        while (taken as u64) < most && b.items.len() < b.items_max {
            let rest = unread.get(taken..).unwrap_or_default();
            let reach = rest.get(..self.line_max.saturating_add(1)).unwrap_or(rest);
            let Ok(offset) = u32::try_from(first + taken as u64) else { break };
            let Some(count) = b.decoder.fast(reach, offset, b.items) else { break };
            taken += count;
            lines += 1;
        }
        self.from += taken;
        self.position += taken as u64;
        self.lines += lines;
        lines > 0
    }

    /// Hands on the last line of a source that is complete, if there is one.
    pub(crate) fn finish(&mut self, b: &mut Batching<'_>) -> Drained {
        let offset = match u32::try_from(self.position - b.start) {
            Ok(offset) if b.items.len() < b.items_max => offset,
            Ok(_) | Err(_) => return Drained::Full,
        };
        if self.skipped > 0 {
            let head = std::mem::take(&mut self.head);
            self.skipped += (self.to - self.from) as u64;
            (self.from, self.to, self.searched) = (0, 0, 0);
            self.too_long(b, &head);
            return Drained::Dry;
        }
        let count = self.to - self.from;
        if count == 0 {
            return Drained::Dry;
        }
        let faults = b.items.faults.len();
        if self.hand_on(offset, count, b).is_err() {
            return Drained::Full;
        }
        for fault in b.items.faults.iter_mut().skip(faults) {
            fault.cause = FaultCause::CutShort;
        }
        self.took(count);
        Drained::Dry
    }

    fn took(&mut self, count: usize) {
        self.from += count;
        self.position += count as u64;
        self.lines += 1;
    }

    /// Gives a line of `length` bytes to the decoder, and quotes its faults.
    fn hand_on(&mut self, offset: u32, length: usize, b: &mut Batching<'_>) -> Result<(), NamesFull> {
        let line = self.buffer.get(self.from..self.from + length).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let faults = b.items.faults.len();
        let mut read = b.decoder.line(line, offset, b.items);
        if read == Err(NamesFull) {
            if !b.items.is_empty() {
                return Err(NamesFull);
            }
            // An empty batch may begin anew with its names.
            b.decoder.forget_names();
            b.items.names.clear();
            b.items.reset = true;
            read = b.decoder.line(line, offset, b.items);
        }
        if b.items.faults.len() > faults {
            let (position, lines) = (self.position, self.lines);
            b.items.quote_from(faults, || (b.place)(position, lines), line);
        }
        read
    }

    /// Skips to the end of an overlong line; `false` when it has not come yet.
    fn skip_on(&mut self) -> bool {
        let unread = self.buffer.get(self.from..self.to).unwrap_or_default();
        match memchr::memchr(b'\n', unread) {
            Some(end) => {
                self.skipped += end as u64 + 1;
                self.from += end + 1;
                self.searched = self.from;
                true
            }
            None => {
                self.skipped += unread.len() as u64;
                (self.from, self.to, self.searched) = (0, 0, 0);
                false
            }
        }
    }

    fn too_long(&mut self, b: &mut Batching<'_>, head: &[u8]) {
        let faults = b.items.faults.len();
        let offset = u32::try_from(self.position - b.start).expect("batches end before 2^31");
        b.items.fault(offset, FaultCause::LineTooLong);
        let (position, lines) = (self.position, self.lines);
        b.items.quote_from(faults, || (b.place)(position, lines), head);
        self.position += std::mem::take(&mut self.skipped);
        self.lines += 1;
    }

    fn first_bytes(&self) -> Vec<u8> {
        let unread = self.buffer.get(self.from..self.to).unwrap_or_default();
        unread.get(..crate::items::QUOTE_BYTES_MAX).unwrap_or(unread).to_vec()
    }
}
