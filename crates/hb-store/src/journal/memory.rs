//! The journal in memory: for tests, shared by everybody who holds a clone, with outcomes on demand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hb_core::ids::{Seq, StreamName};

use crate::port::{Appended, Begun, Entry, Journal, JournalError, Standing, new_floor};

/// What shall become of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inject {
    /// It is done, but answered as unknown.
    UnknownButDone,
    /// It is not done, and answered as unknown.
    UnknownNotDone,
    /// It is not done, and answered so.
    Failed,
    /// It goes its way.
    Go,
}

#[derive(Debug, Default)]
struct State {
    streams: BTreeMap<StreamName, Stream>,
    inject: VecDeque<Inject>,
    unreadable: Option<String>,
}

#[derive(Debug, Default)]
struct Stream {
    floor: Seq,
    records: BTreeMap<Seq, Vec<u8>>,
}

/// A handle on a journal in memory; clones see the same records.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    state: Arc<Mutex<State>>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What shall become of the next appends, in order; afterwards they go their way.
    pub fn inject(&self, outcomes: impl IntoIterator<Item = Inject>) {
        self.lock().inject.extend(outcomes);
    }

    /// Lets every reading fail with that reason, until it is called with nothing.
    pub fn unreadable(&self, why: Option<String>) {
        self.lock().unreadable = why;
    }

    /// Replaces or removes a record behind everybody's back, as a failing disk would.
    pub fn damage(&self, stream: &StreamName, seq: Seq, bytes: Option<Vec<u8>>) {
        let mut state = self.lock();
        let records = &mut state.streams.entry(stream.clone()).or_default().records;
        match bytes {
            Some(bytes) => records.insert(seq, bytes),
            None => records.remove(&seq),
        };
    }

    /// Sets a floor as it must never be set.
    #[cfg(test)]
    pub(crate) fn set_floor(&self, stream: &StreamName, floor: Seq) {
        self.lock().streams.entry(stream.clone()).or_default().floor = floor;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere must not hide its own message behind this one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readable(&self) -> Result<MutexGuard<'_, State>, JournalError> {
        let state = self.lock();
        match &state.unreadable {
            Some(why) => Err(JournalError::Unavailable(why.clone())),
            None => Ok(state),
        }
    }
}

impl Stream {
    fn head(&self) -> Option<Seq> {
        self.records.last_key_value().map(|(seq, _)| *seq)
    }

    fn append(&mut self, seq: Seq, bytes: &[u8]) -> Appended {
        if seq < self.floor {
            return Appended::Refused(Standing::BelowFloor(self.floor));
        }
        if let Some(there) = self.records.get(&seq) {
            return if there == bytes {
                Appended::Committed
            } else {
                Appended::Refused(Standing::Taken(there.clone()))
            };
        }
        if seq != self.head().map_or(self.floor, Seq::next) {
            return Appended::Failed(format!("record {seq} would leave a gap"));
        }
        self.records.insert(seq, bytes.to_vec());
        Appended::Committed
    }
}

impl Journal for MemoryJournal {
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
        Ok(self.readable()?.streams.get(stream).and_then(Stream::head))
    }

    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        let mut state = self.lock();
        let inject = state.inject.pop_front().unwrap_or(Inject::Go);
        let stream = state.streams.entry(stream.clone()).or_default();
        match inject {
            Inject::Go => stream.append(seq, bytes),
            Inject::Failed => Appended::Failed("asked to fail".to_owned()),
            Inject::UnknownNotDone => Appended::Unknown("asked not to be known".to_owned()),
            Inject::UnknownButDone => match stream.append(seq, bytes) {
                Appended::Committed => Appended::Unknown("asked not to be known".to_owned()),
                other @ (Appended::Refused(_) | Appended::Unknown(_) | Appended::Failed(_) | Appended::Stopped(_)) => {
                    other
                }
            },
        }
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        let state = self.readable()?;
        let Some(found) = state.streams.get(stream) else { return Ok(Vec::new()) };
        let Some(head) = found.head() else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        let mut next = from.max(found.floor);
        while out.len() < most && next <= head {
            let Some(bytes) = found.records.get(&next) else {
                return Err(JournalError::Corrupt(format!("stream {stream}, record {next} is missing")));
            };
            out.push((next, bytes.clone()));
            next = next.next();
        }
        Ok(out)
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        let mut state = self.readable()?;
        let found = state.streams.entry(stream.clone()).or_default();
        if floor > found.floor {
            if found.head().is_none_or(|head| floor > head) {
                return Err(JournalError::Unavailable(format!(
                    "floor {floor} is above the newest record of {stream}: nothing was trimmed"
                )));
            }
            found.floor = floor;
        }
        let kept = found.records.split_off(&found.floor);
        let removed = std::mem::replace(&mut found.records, kept);
        Ok(u64::try_from(removed.len()).unwrap_or(u64::MAX))
    }

    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError> {
        Ok(self.readable()?.streams.get(stream).map_or(Seq(0), |found| found.floor))
    }

    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, first: &[Entry]) -> Result<Begun, JournalError> {
        let floor = new_floor(stream, seen, first)?;
        let mut state = self.readable()?;
        let found = state.streams.entry(stream.clone()).or_default();
        if found.head() != seen || found.floor > floor {
            return Ok(Begun::Moved(found.head()));
        }
        found.floor = floor;
        found.records = first.iter().cloned().collect();
        Ok(Begun::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn memory_obeys_every_law() {
        conformance::all(|| {
            let journal = MemoryJournal::new();
            move || Box::new(journal.clone()) as Box<dyn Journal>
        });
    }

    #[test]
    fn j6_copies_go_on_above_their_newest_record() {
        conformance::of_copies(|| {
            let journal = MemoryJournal::new();
            move || Box::new(journal.clone()) as Box<dyn Journal>
        });
    }

    #[test]
    fn j5_outcomes_on_demand() {
        let mut journal = MemoryJournal::new();
        let name = "watch/a".into();
        journal.inject([Inject::UnknownNotDone, Inject::Failed, Inject::UnknownButDone, Inject::Go]);
        assert!(matches!(journal.append(&name, Seq(0), b"x"), Appended::Unknown(_)));
        assert!(matches!(journal.append(&name, Seq(0), b"x"), Appended::Failed(_)));
        assert_eq!(journal.head(&name), Ok(None));
        assert!(matches!(journal.append(&name, Seq(0), b"x"), Appended::Unknown(_)));
        assert_eq!(journal.head(&name), Ok(Some(Seq(0))));
        assert_eq!(journal.append(&name, Seq(0), b"x"), Appended::Committed);
    }
}
