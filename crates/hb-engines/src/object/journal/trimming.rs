//! The floor of a stream, and removing what lies below it (J6).

use hb_core::ids::Seq;
use hb_store::port::{Appended, Begun, Entry, JournalError};
use object_store::PutMode;

use super::{LIST_MAX, ObjectJournal, Page, Stream};
use crate::object::bucket::Put;
use crate::object::names;

/// Most records that one call of `trim` removes (B1); the next call goes on.
pub const TRIM_STEP: u64 = 1000;
/// How often a floor is put when others raise it at the same time, or answers are lost.
const RAISE_TRIES: u32 = 5;
const PREFIX: &str = "hb-floor ";

/// Reads a floor's object.
pub(super) fn decode(bytes: &[u8]) -> Result<Seq, String> {
    let text = String::from_utf8_lossy(bytes);
    let number = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix('\n')).and_then(|rest| rest.parse().ok());
    number.map(Seq).ok_or_else(|| {
        format!("it does not say `{PREFIX}NUMBER`: it is damaged; put back the version before, or the number of the oldest record")
    })
}

impl ObjectJournal {
    /// Reads the names of a whole stream: the smallest and the largest number. One request for each 1,000 names.
    pub(super) fn list(&self, stream: &mut Stream) -> Result<(), JournalError> {
        self.look_at_floor(stream)?;
        let names = self.bucket.list(&stream.dir, LIST_MAX).map_err(self.unavailable(&stream.dir))?;
        let numbers = || names.iter().filter_map(|name| names::number(name));
        stream.lowest = numbers().min().unwrap_or(stream.floor);
        // What a late writer left below the floor is not the head.
        let head = numbers().max().filter(|head| *head >= stream.floor);
        // A copy may have begun anew above what this handle had seen.
        stream.head = stream.head.filter(|head| *head >= stream.floor).max(head);
        Ok(())
    }

    pub(super) fn trim_to(&self, stream: &mut Stream, floor: Seq) -> Result<u64, JournalError> {
        self.look_at_floor(stream)?;
        let standing = stream.floor;
        if floor > standing {
            if stream.head.is_none_or(|head| head < floor) {
                self.gallop(stream)?;
            }
            if stream.head.is_none_or(|head| floor > head) {
                return Err(JournalError::Unavailable(format!(
                    "floor {floor} is above the newest record of {}: nothing was trimmed",
                    self.shown(&stream.dir)
                )));
            }
            self.raise(stream, floor)?;
        }
        if standing > stream.lowest {
            // Others have trimmed, or did not get to the end of it: what is left is looked up.
            self.list(stream)?;
        }
        self.remove_below(stream, floor.max(standing))
    }

    /// For copies: the stream goes on with `first` at `floor`, above its newest record, and forgets what lies below.
    ///
    /// A bucket changes one object at a time. So the floor goes first, which is the moment of the change, then the records, and what stood
    /// before is removed last: cut in between, the stream is empty and what stood before still lies in the bucket, below the
    /// floor. The next copying goes on from there.
    pub(super) fn begin_at(
        &mut self,
        stream: &mut Stream,
        (seen, floor): (Option<Seq>, Seq),
        first: &[Entry],
    ) -> Result<Begun, JournalError> {
        self.mark().map_err(JournalError::Unavailable)?;
        self.look_at_floor(stream)?;
        self.gallop(stream)?;
        if stream.head != seen || stream.floor > floor {
            return Ok(Begun::Moved(stream.head));
        }
        self.raise(stream, floor)?;
        // Whoever appended between the two looks may count on it: then nothing is removed, and a person has to look.
        let next = seen.map_or(Seq(0), Seq::next);
        let key = names::record(&stream.dir, next);
        if next < floor && self.bucket.get(&key).map_err(self.unavailable(&key))?.is_some() {
            return Ok(Begun::Moved(Some(next)));
        }
        stream.head = None;
        for (seq, bytes) in first {
            match self.append_to(stream, *seq, bytes) {
                Appended::Committed => {}
                Appended::Stopped(what) => return Err(JournalError::Stopped(what)),
                Appended::Failed(what) | Appended::Unknown(what) => return Err(JournalError::Unavailable(what)),
                Appended::Refused(_) => return Ok(Begun::Moved(Some(*seq))),
            }
        }
        // What is left below is looked up: a copy may have holes there.
        self.list(stream)?;
        while stream.lowest < floor {
            if self.remove_below(stream, floor)? == 0 {
                break;
            }
        }
        Ok(Begun::Done)
    }

    /// Makes the floor durable. It is raised only from what was read, so that it never falls.
    fn raise(&self, stream: &mut Stream, floor: Seq) -> Result<(), JournalError> {
        let key = names::floor(&stream.dir);
        let bytes = format!("{PREFIX}{}\n", floor.0);
        let mut last = String::new();
        for _ in 0..RAISE_TRIES {
            let found = self.bucket.get(&key).map_err(self.unavailable(&key))?;
            let mode = match &found {
                None => PutMode::Create,
                Some(found) => {
                    let there = decode(&found.bytes)
                        .map_err(|what| JournalError::Corrupt(format!("{}: {what}", self.shown(&key))))?;
                    if there >= floor {
                        return self.look_at_floor(stream);
                    }
                    PutMode::Update(found.version.clone())
                }
            };
            match self.bucket.put(&key, bytes.as_bytes(), mode) {
                Put::Done(_) => return self.look_at_floor(stream),
                Put::Refused(what) | Put::Unknown(what) => last = what,
                Put::NotDone(what) => {
                    return Err(JournalError::Unavailable(format!("{}: {what}", self.shown(&key))));
                }
            }
        }
        Err(JournalError::Unavailable(format!("{}: it could not be raised to {floor}: {last}", self.shown(&key))))
    }

    fn remove_below(&self, stream: &mut Stream, floor: Seq) -> Result<u64, JournalError> {
        let end = Seq(floor.0.min(stream.lowest.0.saturating_add(TRIM_STEP)));
        if end <= stream.lowest {
            return Ok(0);
        }
        let keys: Vec<String> =
            (stream.lowest.0..end.0).map(|number| names::record(&stream.dir, Seq(number))).collect();
        stream.page = Page::default();
        self.bucket.remove(&keys).map_err(self.unavailable(&stream.dir))?;
        let removed = end.0 - stream.lowest.0;
        stream.lowest = end;
        Ok(removed)
    }
}
