//! Reading a folder's records in order, and what it means when one is not there.

use hb_core::ids::Seq;

use super::{DirJournal, Stream, unavailable};
use crate::journal::names;
use crate::port::JournalError;

enum Missing {
    End,
    Arrived,
    Trimmed(Seq),
}

impl DirJournal {
    fn record(&self, stream: &Stream, seq: Seq) -> Result<Option<Vec<u8>>, JournalError> {
        self.disk.read(&stream.dir.join(names::record_file(seq))).map_err(unavailable)
    }

    /// What it means that record `seq` is not there: nothing (the end), or a reason to look again, or damage.
    fn missing(&self, stream: &mut Stream, seq: Seq) -> Result<Missing, JournalError> {
        let floor = self.floor_in(&stream.dir)?;
        if seq < floor {
            return Ok(Missing::Trimmed(floor));
        }
        let later = stream.head.is_some_and(|head| head > seq) || self.has(stream, seq.next())?;
        if !later {
            return Ok(Missing::End);
        }
        // The neighbour stands: either both have just been appended, or this one is gone.
        if self.has(stream, seq)? {
            return Ok(Missing::Arrived);
        }
        let floor = self.floor_in(&stream.dir)?;
        if seq < floor {
            return Ok(Missing::Trimmed(floor));
        }
        self.list(stream)?;
        if stream.head.is_none_or(|head| head < seq) {
            return Ok(Missing::End);
        }
        Err(JournalError::Corrupt(format!(
            "{} is missing although later records stand; restore it from a copy, or see docs/ops/repair.md",
            stream.dir.join(names::record_file(seq)).display()
        )))
    }

    pub(super) fn read_from(
        &self,
        stream: &mut Stream,
        from: Seq,
        most: usize,
    ) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        let mut out = Vec::new();
        let mut next = from.max(self.floor_in(&stream.dir)?);
        while out.len() < most {
            if let Some(bytes) = self.record(stream, next)? {
                stream.head = stream.head.max(Some(next));
                out.push((next, bytes));
                next = next.next();
                continue;
            }
            match self.missing(stream, next)? {
                Missing::End => break,
                Missing::Arrived => {}
                // Trimmed while being read: what was read is no longer joined to what follows.
                Missing::Trimmed(floor) => {
                    out.clear();
                    next = floor;
                }
            }
        }
        Ok(out)
    }
}
