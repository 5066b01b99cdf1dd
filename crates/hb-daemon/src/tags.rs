//! The streams in which the versions behind a watch's baseline tag stand: read along for promotions, and told of what the
//! watch learned by itself.
//!
//! These streams have many writers and no reign: each appends by compare-and-set and reads on when somebody was quicker (J2).

use hb_core::ids::{Epoch, NodeName, Seq, StreamName, WatchName};
use hb_core::journal::{FORMAT, Hash, Head, seal};
use hb_core::node::fact::{BaselineEvent, Body, Record, Sealed};
use hb_core::node::step::Learned;
use hb_core::watch::decision::BaselineRef;
use hb_store::port::{Appended, Journal, JournalError};
use hb_store::reader::Follower;

use crate::clock;

/// Most tries at an append while others are quicker (B1).
const RACES_MAX: usize = 64;

/// One tag's stream.
#[derive(Debug)]
pub(crate) struct Tag {
    stream: StreamName,
    follower: Follower,
    head: Option<Head>,
    /// The newest version made.
    pub(crate) newest: u32,
    /// The newest promotion, with who and why.
    pub(crate) promoted: Option<(BaselineRef, String)>,
    /// Whether that promotion still has to be taken up.
    pub(crate) owed: bool,
    /// What was learned and could not be noted yet.
    pub(crate) unnoted: Option<Box<Learned>>,
    known: Vec<Hash>,
}

impl Tag {
    pub(crate) fn new(watch: &WatchName, tag: &str) -> Self {
        let stream = StreamName::baseline(watch, tag);
        Self {
            follower: Follower::new(stream.clone(), Seq(0)),
            stream,
            head: None,
            newest: 0,
            promoted: None,
            owed: false,
            unnoted: None,
            known: Vec::new(),
        }
    }

    /// Reads what has come since.
    pub(crate) fn poll(&mut self, journal: &mut dyn Journal) -> Result<(), JournalError> {
        loop {
            let records = self.follower.poll(journal)?;
            if records.is_empty() {
                return Ok(());
            }
            records.iter().for_each(|sealed| self.take(sealed));
        }
    }

    fn take(&mut self, sealed: &Sealed) {
        self.head = Some(sealed.head());
        let Body::BaselineEvent(event) = &sealed.record.body else { return };
        match event {
            BaselineEvent::Learned { baseline, .. } => {
                self.newest = self.newest.max(baseline.version);
                self.known.push(baseline.hash);
            }
            BaselineEvent::Requested { .. } | BaselineEvent::Approved { .. } => {}
            BaselineEvent::Promoted { baseline, by, reason, .. } => {
                self.promoted = Some((baseline.clone(), format!("promoted by {by}: {reason}")));
                self.owed = true;
            }
        }
    }

    /// Whether both read the same stream.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.stream == other.stream
    }

    /// Whether this version of the tag is not noted, and no person has promoted any.
    pub(crate) fn lacks(&self, reference: &BaselineRef) -> bool {
        let mine = self.stream.as_str().rsplit('/').next() == Some(&*reference.tag);
        mine && self.promoted.is_none() && !self.known.contains(&reference.hash)
    }

    /// Notes what was learned, if it is not noted yet.
    pub(crate) fn settle(&mut self, node: &NodeName, journal: &mut dyn Journal) -> Result<(), String> {
        let Some(learned) = self.unnoted.take() else { return Ok(()) };
        let noted = self.note(&learned, node, journal);
        if noted.is_err() {
            self.unnoted = Some(learned);
        }
        noted
    }

    /// Notes a baseline that the watch learned by itself and has adopted; done already when its hash is known.
    fn note(&mut self, learned: &Learned, node: &NodeName, journal: &mut dyn Journal) -> Result<(), String> {
        let made = BaselineEvent::Learned {
            baseline: learned.reference.clone(),
            provenance: learned.provenance.clone(),
            series: learned.series,
            gates: learned.gates.clone(),
        };
        let promoted = BaselineEvent::Promoted {
            baseline: learned.reference.clone(),
            by: "auto".into(),
            reason: learned.reason.clone(),
            forced: Vec::new(),
        };
        for _ in 0..RACES_MAX {
            self.poll(journal).map_err(|error| error.to_string())?;
            let event = if !self.known.contains(&learned.reference.hash) {
                made.clone()
            } else if self.promoted.as_ref().is_none_or(|(reference, _)| *reference != learned.reference) {
                promoted.clone()
            } else {
                return Ok(());
            };
            let sealed = self.next(event, node);
            match journal.append(&self.stream, sealed.record.seq, &sealed.bytes) {
                // The poll of the next round reads it back, or what somebody else wrote.
                Appended::Committed | Appended::Refused(_) | Appended::Unknown(_) => {}
                Appended::Failed(why) | Appended::Stopped(why) => return Err(why),
            }
        }
        Err(format!("{} could not be appended to in {RACES_MAX} tries: others are always quicker", self.stream))
    }

    fn next(&self, event: BaselineEvent, node: &NodeName) -> Sealed {
        seal(Record {
            format: FORMAT,
            stream: self.stream.clone(),
            seq: self.head.map_or(Seq(0), |head| head.seq.next()),
            epoch: Epoch(0),
            at: clock::wall(),
            node: node.clone(),
            prev: self.head.map_or(Hash::ZERO, |head| head.hash),
            body: Body::BaselineEvent(event),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hb_core::time::{Span, Stamp};
    use hb_core::watch::baseline::Provenance;
    use hb_store::journal::memory::{Inject, MemoryJournal};
    use hb_store::reader::read_sound;
    use std::thread;

    fn learned(version: u32, by: &str) -> Learned {
        let provenance = Provenance {
            from: "cycles 0..3 of w".into(),
            span: Span { start: Stamp(0), end: Stamp(1) },
            windows: 4,
            window_ns: 1,
            samples: 4,
            by: by.into(),
        };
        let hash = Hash::of(format!("{by} {version}").as_bytes());
        let reference = BaselineRef { tag: "golden".into(), version, hash };
        let reason = "learned".into();
        Learned { watch: "w".into(), reference, provenance, series: 1, gates: Vec::new(), reason }
    }

    fn made(journal: &MemoryJournal) -> Vec<Hash> {
        let stream = StreamName::baseline(&"w".into(), "golden");
        let records = read_sound(&mut journal.clone(), &stream, Seq(0), 10_000).unwrap();
        let hash = |sealed: &Sealed| {
            let Body::BaselineEvent(BaselineEvent::Learned { baseline, .. }) = &sealed.record.body else { return None };
            Some(baseline.hash)
        };
        records.iter().filter_map(hash).collect()
    }

    #[test]
    fn j2_two_writers_of_one_tag_both_get_through() {
        let journal = MemoryJournal::new();
        let write = |by: &'static str| {
            let mut journal = journal.clone();
            move || {
                let mut tag = Tag::new(&"w".into(), "golden");
                for version in 1..=50 {
                    tag.note(&learned(version, by), &by.into(), &mut journal).unwrap();
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(write("a"));
            scope.spawn(write("b"));
        });
        let all = made(&journal);
        for (by, version) in ["a", "b"].into_iter().flat_map(|by| (1..=50).map(move |version| (by, version))) {
            let hash = learned(version, by).reference.hash;
            assert_eq!(all.iter().filter(|one| **one == hash).count(), 1, "{by} {version} stands once");
        }
    }

    #[test]
    fn j5_unknown_appends_are_read_back_and_failed_ones_stay_owed() {
        let mut journal = MemoryJournal::new();
        let mut tag = Tag::new(&"w".into(), "golden");
        journal.inject([Inject::UnknownButDone, Inject::UnknownNotDone, Inject::Failed]);
        tag.unnoted = Some(Box::new(learned(1, "a")));
        assert!(tag.settle(&"a".into(), &mut journal).is_err());
        assert!(tag.unnoted.is_some());
        tag.settle(&"a".into(), &mut journal).unwrap();
        assert!(tag.unnoted.is_none());
        assert_eq!(made(&journal), [learned(1, "a").reference.hash]);
        // Noting it again changes nothing.
        let mut another = Tag::new(&"w".into(), "golden");
        another.note(&learned(1, "a"), &"b".into(), &mut journal).unwrap();
        assert_eq!(made(&journal).len(), 1);
        assert_eq!((another.newest, another.promoted.map(|(one, _)| one.version)), (1, Some(1)));
    }
}
