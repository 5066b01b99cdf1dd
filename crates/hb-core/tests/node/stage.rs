//! A stage for nodes: a journal in memory, a source that can be read again, and a node between them, driven by hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hb_core::ids::{Seq, WatchName};
use hb_core::journal::{FORMAT, Hash, seal};
use hb_core::mark::Mark;
use hb_core::node::Node;
use hb_core::node::fact::{Body, Record, Sealed};
use hb_core::node::step::{Blob, Effect, Input, Step};
use hb_core::time::{Moment, Now, SECOND_NS, Stamp};
use hb_core::watch::baseline::Baseline;
use hb_core::watch::sample::{Batch, Fault, FaultCause, NewName, Sample};
use hb_core::watch::settings::WatchSettings;

/// What is written of a stage: the journal that survives everything.
#[derive(Debug, Default, Clone)]
pub(crate) struct Disk(pub(crate) Vec<Arc<Sealed>>, pub(crate) BTreeMap<Hash, Arc<Baseline>>);

impl Disk {
    /// Appends if the number is free.
    pub(crate) fn append(&mut self, sealed: &Arc<Sealed>) -> bool {
        let free = sealed.record.seq == Seq(self.0.len() as u64);
        if free {
            self.0.push(Arc::clone(sealed));
        }
        free
    }
}

/// One item of the source: a time and value, or nonsense.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item {
    At(i64, f64),
    Nonsense,
}

/// A node with what it has under way.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) node: Node,
    pub(crate) under_way: VecDeque<Arc<Sealed>>,
    /// Where the source is read on, once it is open.
    pub(crate) reading: Option<usize>,
    blobs: Vec<Blob>,
    announced: bool,
    read_records: usize,
}

pub(crate) fn watch() -> WatchName {
    "w".into()
}

pub(crate) fn settings() -> Arc<WatchSettings> {
    let mut settings = WatchSettings::named("w", 10 * SECOND_NS);
    settings.lateness_ns = 2 * SECOND_NS;
    settings.learn.cycles = 4;
    settings.learn.samples_min = 1;
    settings.learn.unstable_share_max = 1.0;
    settings.alert.sinks = vec!["page".into()];
    Arc::new(settings)
}

pub(crate) fn now(seconds: i64) -> Now {
    Now { moment: Moment(u64::try_from(seconds).unwrap() * 1_000_000_000), wall: Stamp(seconds * SECOND_NS) }
}

impl Actor {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            node: Node::new(name.into(), vec![settings()]),
            under_way: VecDeque::new(),
            reading: None,
            blobs: Vec::new(),
            announced: false,
            read_records: 0,
        }
    }

    /// Reads along, as a standby does.
    pub(crate) fn follow(&mut self, disk: &Disk, at: i64) {
        for sealed in &disk.0[self.read_records..] {
            let step = self.node.handle(Input::Record(&watch(), sealed), now(at));
            assert!(step.records.is_empty() && step.effects.is_empty());
        }
        self.read_records = disk.0.len();
    }

    pub(crate) fn handle(&mut self, input: Input<'_>, at: i64) -> Vec<Effect> {
        let step = self.node.handle(input, now(at));
        self.take(step)
    }

    fn take(&mut self, step: Step) -> Vec<Effect> {
        self.blobs.extend(step.blobs);
        self.under_way.extend(step.records.into_iter().map(|(_, sealed)| sealed));
        for effect in &step.effects {
            match effect {
                Effect::OpenSource(_, mark) => {
                    self.reading = Some(mark.as_ref().map_or(0, |mark| usize::try_from(mark.position).unwrap()));
                    self.announced = false;
                }
                // What is not durable is forgotten, and the journal is read again from its beginning.
                Effect::StandBy => {
                    self.under_way.clear();
                    self.reading = None;
                    self.read_records = 0;
                }
                Effect::Decided(..) | Effect::Deliver(..) | Effect::Learned(_) | Effect::Leave(_) => {}
            }
        }
        step.effects
    }

    pub(crate) fn granted(&mut self, disk: &Disk, at: i64) -> Vec<Effect> {
        self.follow(disk, at);
        self.documents(disk, at);
        let until = now(at + 1_000_000).moment;
        self.handle(Input::Granted { how: "file", why: "first start".into(), since: now(at).moment, until }, at)
    }

    /// Fetches the documents that the node asks for.
    pub(crate) fn documents(&mut self, disk: &Disk, at: i64) {
        for (_, reference) in self.node.wanted() {
            let document = disk.1.get(&reference.hash).cloned().ok_or_else(|| "it is gone".to_owned());
            let effects = self.handle(Input::Document(reference.hash, document), at);
            assert!(effects.is_empty());
        }
    }

    /// Appends the oldest record under way, and reports it.
    pub(crate) fn commit_one(&mut self, disk: &mut Disk, at: i64) -> Vec<Effect> {
        for blob in self.blobs.drain(..) {
            disk.1.insert(blob.hash, Arc::new(Baseline::from_bytes(&blob.bytes, blob.hash).unwrap()));
        }
        let Some(sealed) = self.under_way.pop_front() else { return Vec::new() };
        let seq = sealed.record.seq;
        if disk.append(&sealed) {
            self.read_records = disk.0.len();
            self.handle(Input::Committed(&watch(), seq), at)
        } else {
            self.under_way.clear();
            self.handle(Input::Refused(&watch(), seq), at)
        }
    }

    /// Reads up to `most` items from where the source stands.
    pub(crate) fn read(&mut self, source: &[Item], most: usize, at: i64) -> Vec<Effect> {
        let Some(from) = self.reading else { return Vec::new() };
        let end = source.len().min(from + most);
        let mark = |position: usize| Mark { position: position as u64, token: "t".into() };
        let mut batch = Batch { start: mark(from), end: mark(end), ..Batch::default() };
        if !self.announced {
            self.announced = true;
            batch.reset = true;
            batch.names = vec![NewName { name: "x".into(), unit: None }];
        }
        for (place, item) in source[from..end].iter().enumerate() {
            let offset = u32::try_from(place).unwrap();
            match item {
                Item::At(seconds, value) => {
                    let at = Stamp(seconds * SECOND_NS);
                    batch.samples.push(Sample { slot: 0, offset, at, value: *value });
                }
                Item::Nonsense => batch.faults.push(Fault { offset, cause: FaultCause::Malformed, quote: None }),
            }
        }
        self.reading = Some(end);
        self.handle(Input::Batch(&watch(), &batch), at)
    }
}

/// Another node's word in the journal.
pub(crate) fn usurp(disk: &mut Disk, at: i64) {
    let last = disk.0.last().unwrap();
    let record = Record {
        format: FORMAT,
        stream: last.record.stream.clone(),
        seq: last.record.seq.next(),
        epoch: last.record.epoch.next(),
        at: now(at).wall,
        node: "usurper".into(),
        prev: last.hash,
        body: Body::EpochOpened { lease: "file-ttl".into(), reason: "no progress".into() },
    };
    disk.0.push(Arc::new(seal(record)));
}

/// A record in one line.
pub(crate) fn describe(sealed: &Sealed) -> String {
    let record = &sealed.record;
    let mut text = format!("record {} e{} {} {}", record.seq, record.epoch, record.node, record.body.kind());
    match &record.body {
        Body::CycleDecided(decided) => {
            let decision = &decided.decision;
            let (start, end) = (decision.span.start.0 / SECOND_NS, decision.span.end.0 / SECOND_NS);
            let counts = &decision.counts;
            text += &format!(
                " {} {start}..{end} {} by {:?}: samples {} late {} dropped {} pending {}; read on from {}, counted to {}",
                decision.cycle,
                decision.status,
                decided.closed_by,
                counts.window.samples,
                counts.late,
                counts.dropped(),
                counts.pending,
                decided.resume.mark.position,
                decided.resume.closed
            );
            if decided.without_its_baseline() {
                text += "; without its baseline";
            }
            if let Some(reopened) = decided.resume.reopened {
                text += &format!("; read anew at {}", reopened.0 / SECOND_NS);
            }
            if let Some(alert) = &decided.alert {
                text += &format!("; alert {} {:?}", alert.key, alert.cause);
            }
        }
        Body::BaselineAdopted(adopted) => {
            text += &format!(" version {} from cycle {}", adopted.baseline.version, adopted.from_cycle);
        }
        Body::AlertDelivered(delivered) => {
            text += &format!(" {} to {}", delivered.cycle, delivered.sink);
        }
        Body::EpochOpened { reason, .. } | Body::EpochClosed { reason } => {
            text += &format!(" ({reason})");
        }
        Body::BaselineEvent(_) => panic!("no node writes these into a watch's stream"),
    }
    text
}

/// An effect in one line.
pub(crate) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::OpenSource(_, mark) => format!("open source at {:?}", mark.as_ref().map(|mark| mark.position)),
        Effect::Decided(_, sealed) => format!("show record {}", sealed.record.seq),
        Effect::Deliver(_, under_way) => format!("deliver {} to {}", under_way.alert.key, under_way.sinks.join(" ")),
        Effect::Learned(learned) => format!("note baseline version {}", learned.reference.version),
        Effect::StandBy => "stand by".into(),
        Effect::Leave(leave) => format!("leave: {leave:?}"),
    }
}
