//! J1 to J6 and H1: what stands at every number, and who put it there.

use std::collections::BTreeMap;

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{Hash, Head};
use hb_core::node::fact::{Body, Record, Sealed};
use hb_store::port::{Appended, Journal};

use super::Found;
use crate::ports::line::Line;
use crate::promise::Promise;

#[derive(Debug, Default)]
struct Stream {
    floor: Seq,
    records: BTreeMap<Seq, Hash>,
    head: Option<Head>,
    /// Whose reign it is; none before the first and after it was closed.
    reign: Option<(usize, u64)>,
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: BTreeMap<StreamName, Stream>,
    /// What a process was told that is done.
    acknowledged: BTreeMap<(StreamName, Seq), Hash>,
    /// What it was told that nobody knows.
    unknown: BTreeMap<(Line, StreamName), Seq>,
}

/// Whether a stream has one writer at a time; those of baseline tags have many, by design.
fn has_reigns(stream: &StreamName) -> bool {
    stream.as_str().starts_with("watch/")
}

impl Streams {
    /// The store took that as done. Gives the record where it is new.
    pub(crate) fn appended(
        &mut self,
        by: Line,
        stream: &StreamName,
        seq: Seq,
        bytes: &[u8],
    ) -> Result<Option<Sealed>, (Promise, String)> {
        let sealed = Record::decode(bytes).map_err(|damage| (Promise::J4, format!("{stream} {seq}: {damage}")))?;
        let known = self.streams.entry(stream.clone()).or_default();
        match known.records.get(&seq) {
            Some(hash) if *hash == sealed.hash => return Ok(None),
            Some(_) => return Err((Promise::J1, format!("number {seq} of {stream} has another content than before"))),
            None if seq < known.floor => {
                return Err((Promise::J6, format!("number {seq} of {stream} was given again below {}", known.floor)));
            }
            None => {}
        }
        let next = known.head.map_or(Seq(0), |head| head.seq.next());
        if seq != next {
            return Err((Promise::J1, format!("number {seq} of {stream} was given where {next} is next")));
        }
        known.chained(stream, &sealed)?;
        if has_reigns(stream) {
            known.reigned(by, stream, &sealed)?;
        }
        known.records.insert(seq, sealed.hash);
        known.head = Some(sealed.head());
        Ok(Some(sealed))
    }

    /// A process is about to append.
    pub(crate) fn asked(&self, by: Line, stream: &StreamName, seq: Seq) -> Found {
        match self.unknown.get(&(by, stream.clone())) {
            Some(unknown) if has_reigns(stream) => {
                let what = format!("n{} appends {seq} to {stream} and has not read back {unknown}", by.machine);
                Err((Promise::J5, what))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A process has been told what became of its append.
    pub(crate) fn answered(
        &mut self,
        by: Line,
        (stream, seq): (&StreamName, Seq),
        bytes: &[u8],
        what: &Appended,
    ) -> Found {
        match what {
            Appended::Unknown(_) => drop(self.unknown.insert((by, stream.clone()), seq)),
            Appended::Committed => {
                let hash = hb_core::journal::sound_hash(bytes).unwrap_or(Hash::ZERO);
                if !self.stands(stream, seq, hash) {
                    let what =
                        format!("number {seq} of {stream} was acknowledged to n{} and does not stand", by.machine);
                    return Err((Promise::J3, what));
                }
                self.acknowledged.insert((stream.clone(), seq), hash);
            }
            Appended::Refused(_) | Appended::Failed(_) | Appended::Stopped(_) => {}
        }
        Ok(())
    }

    /// A process has read up to so many records of a stream from there on. One that reads on from behind a number knows what stands at it.
    pub(crate) fn read(&mut self, by: Line, stream: &StreamName, from: Seq, most: usize) {
        let end = from.0.saturating_add(most as u64);
        if self.unknown.get(&(by, stream.clone())).is_some_and(|unknown| unknown.0 < end) {
            self.unknown.remove(&(by, stream.clone()));
        }
    }

    /// Whether a process was told of that append that nobody knows its end.
    pub(crate) fn is_unknown(&self, by: Line, stream: &StreamName, seq: Seq) -> bool {
        self.unknown.get(&(by, stream.clone())) == Some(&seq)
    }

    /// A process has ended.
    pub(crate) fn forget(&mut self, machine: usize) {
        self.unknown.retain(|(line, _), _| line.machine != machine);
    }

    /// The store has trimmed a stream.
    pub(crate) fn trimmed(&mut self, stream: &StreamName, head: Option<Seq>, floor: Seq) -> Found {
        let known = self.streams.entry(stream.clone()).or_default();
        if floor < known.floor {
            return Err((Promise::J6, format!("the floor of {stream} fell from {} to {floor}", known.floor)));
        }
        let newest = known.head.map(|head| head.seq);
        if head != newest {
            return Err((Promise::J6, format!("trimming {stream} took its newest record {newest:?} away")));
        }
        known.floor = floor;
        known.records = known.records.split_off(&floor);
        self.acknowledged.retain(|(of, seq), _| of != stream || *seq >= floor);
        Ok(())
    }

    /// Whether that record stands, or has been trimmed.
    pub(crate) fn stands(&self, stream: &StreamName, seq: Seq, hash: Hash) -> bool {
        let known = self.streams.get(stream);
        known.is_some_and(|known| seq < known.floor || known.records.get(&seq) == Some(&hash))
    }

    /// Compares with what really stands in the store.
    pub(crate) fn compared(&self, journal: &mut dyn Journal) -> Found {
        for (stream, known) in &self.streams {
            let read = journal.read(stream, known.floor, usize::MAX >> 1);
            let read = read.map_err(|error| (Promise::J3, format!("{stream}: {error}")))?;
            let stand: BTreeMap<Seq, Hash> = read
                .iter()
                .filter_map(|(seq, bytes)| Some((*seq, hb_core::journal::sound_hash(bytes).ok()?)))
                .collect();
            if stand != known.records {
                return Err((Promise::J3, format!("{stream} does not hold what was appended to it")));
            }
        }
        let lost = self.acknowledged.iter().find(|((stream, seq), hash)| !self.stands(stream, *seq, **hash));
        match lost {
            Some(((stream, seq), _)) => {
                Err((Promise::J3, format!("number {seq} of {stream} was acknowledged and is gone")))
            }
            None => Ok(()),
        }
    }

    /// The longest stream.
    pub(crate) fn longest(&self) -> u64 {
        self.streams.values().map(|known| known.records.len() as u64).max().unwrap_or(0)
    }

    /// The newest epoch of a stream.
    pub(crate) fn epoch(&self, stream: &StreamName) -> Epoch {
        self.streams.get(stream).and_then(|known| known.head).map_or(Epoch(0), |head| head.epoch)
    }
}

impl Stream {
    /// J4: each record says which one it comes after.
    fn chained(&self, stream: &StreamName, sealed: &Sealed) -> Found {
        let before = self.head.map_or(Hash::ZERO, |head| head.hash);
        let Record { prev, stream: of, seq, .. } = &sealed.record;
        if of != stream || *prev != before {
            return Err((Promise::J4, format!("record {seq} of {of} does not continue {stream}")));
        }
        Ok(())
    }

    /// H1: one process for each epoch, and none after it.
    fn reigned(&mut self, by: Line, stream: &StreamName, sealed: &Sealed) -> Found {
        let (epoch, seq) = (sealed.record.epoch, sealed.record.seq);
        let newest = self.head.map_or(Epoch(0), |head| head.epoch);
        let me = (by.machine, by.life);
        let told = |what: String| Err((Promise::H1, format!("record {seq} of {stream} by n{}: {what}", by.machine)));
        match &sealed.record.body {
            Body::EpochOpened { .. } if epoch <= newest => return told(format!("opens epoch {epoch} after {newest}")),
            Body::EpochOpened { .. } => self.reign = Some(me),
            _ if epoch != newest => return told(format!("is of epoch {epoch}, the stream in {newest}")),
            _ if self.reign != Some(me) => return told(format!("epoch {epoch} is not this process's")),
            Body::EpochClosed { .. } => self.reign = None,
            Body::CycleDecided(_) | Body::AlertDelivered(_) | Body::BaselineAdopted(_) | Body::BaselineEvent(_) => {}
        }
        Ok(())
    }
}
