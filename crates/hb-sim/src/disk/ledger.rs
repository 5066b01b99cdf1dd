//! What was promised while a workload ran, and what therefore has to stand on any disk that it is cut off on.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;

use super::SimDisk;

/// Something that is done to the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Deed {
    /// A record is appended.
    Append {
        /// Its stream.
        stream: StreamName,
        /// Its number.
        seq: Seq,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Everything below a floor is let go.
    Trim {
        /// Its stream.
        stream: StreamName,
        /// The floor.
        floor: Seq,
    },
    /// A document is kept.
    Keep {
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A cell of a register gets other bytes; none: it is removed.
    Swap {
        /// Its name.
        cell: String,
        /// What it gets.
        bytes: Option<Vec<u8>>,
    },
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The store said that it is done: it has to stand from here on.
    Done,
    /// The store said that it certainly was not done.
    NotDone,
}

/// One thing after the other. What was begun and not ended may be there or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// These are begun.
    Begun(Vec<Deed>),
    /// They came to that.
    Ended(Vec<Deed>, End),
}

/// The events, told to the disk as they come, so that each cut knows how far it was.
#[derive(Debug, Clone)]
pub struct Ledger {
    events: Vec<Event>,
    disk: SimDisk,
}

/// What has to stand.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Every content that a number may have; one that is certain is alone.
    pub(super) records: BTreeMap<StreamName, BTreeMap<Seq, Vec<Vec<u8>>>>,
    /// Numbers that have to be there.
    pub(super) certain: BTreeSet<(StreamName, Seq)>,
    /// Smallest and largest floor.
    pub(super) floors: BTreeMap<StreamName, (Seq, Seq)>,
    /// Documents that have to be there.
    pub(super) documents: BTreeMap<Hash, Vec<u8>>,
    /// Everything that a cell may hold.
    pub(super) cells: BTreeMap<String, BTreeSet<Option<Vec<u8>>>>,
}

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new(disk: &SimDisk) -> Self {
        Self::after(&[], disk)
    }

    /// One that goes on after these events, on another disk.
    #[must_use]
    pub fn after(events: &[Event], disk: &SimDisk) -> Self {
        disk.noted(events.len());
        Self { events: events.to_vec(), disk: disk.clone() }
    }

    /// Everything so far.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Notes one more.
    pub fn note(&mut self, event: Event) {
        self.events.push(event);
        self.disk.noted(self.events.len());
    }

    /// Tells one ledger from another.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.events.hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        for event in &self.events {
            match event {
                Event::Begun(deeds) => deeds.iter().for_each(|deed| expected.begun(deed)),
                Event::Ended(deeds, End::Done) => deeds.iter().for_each(|deed| expected.done(deed)),
                Event::Ended(deeds, End::NotDone) => deeds.iter().for_each(|deed| expected.not_done(deed)),
            }
        }
        expected
    }
}

impl Expected {
    fn contents(&mut self, stream: &StreamName, seq: Seq) -> &mut Vec<Vec<u8>> {
        self.records.entry(stream.clone()).or_default().entry(seq).or_default()
    }

    fn begun(&mut self, deed: &Deed) {
        match deed {
            Deed::Append { stream, seq, bytes } => {
                if !self.certain.contains(&(stream.clone(), *seq)) {
                    self.contents(stream, *seq).push(bytes.clone());
                }
            }
            Deed::Trim { stream, floor } => {
                let (_, most) = self.floors.entry(stream.clone()).or_default();
                *most = (*most).max(*floor);
            }
            Deed::Keep { .. } => {}
            Deed::Swap { cell, bytes } => {
                let cell = self.cells.entry(cell.clone()).or_insert_with(|| BTreeSet::from([None]));
                cell.insert(bytes.clone());
            }
        }
    }

    fn done(&mut self, deed: &Deed) {
        match deed {
            Deed::Append { stream, seq, bytes } => {
                *self.contents(stream, *seq) = vec![bytes.clone()];
                self.certain.insert((stream.clone(), *seq));
            }
            Deed::Trim { stream, floor } => {
                let (least, most) = self.floors.entry(stream.clone()).or_default();
                *least = (*least).max(*floor);
                *most = (*most).max(*floor);
            }
            Deed::Keep { bytes } => {
                self.documents.insert(Hash::of(bytes), bytes.clone());
            }
            Deed::Swap { cell, bytes } => {
                self.cells.insert(cell.clone(), BTreeSet::from([bytes.clone()]));
            }
        }
    }

    fn not_done(&mut self, deed: &Deed) {
        match deed {
            Deed::Append { stream, seq, bytes } => {
                if !self.certain.contains(&(stream.clone(), *seq)) {
                    let contents = self.contents(stream, *seq);
                    // Begun twice, it may stand from the first time.
                    if let Some(at) = contents.iter().rposition(|content| content == bytes) {
                        contents.remove(at);
                    }
                }
            }
            // A floor that was refused may have been published, and a swap is told apart by what stands.
            Deed::Trim { .. } | Deed::Keep { .. } | Deed::Swap { .. } => {}
        }
    }
}
