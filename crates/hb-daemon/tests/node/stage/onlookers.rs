//! Those who are told: views, sinks, and the archive of baseline documents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hb_actuators::{AlertSink, Delivery};
use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::journal::Hash;
use hb_core::node::fact::{Body, Sealed};
use hb_core::node::view::View;
use hb_core::watch::alert::Alert;
use hb_core::watch::baseline::Baseline;
use hb_daemon::parts::Documents;
use hb_daemon::{ViewFault, Views};
use hb_store::journal::memory::MemoryJournal;
use hb_store::port::Journal as _;
use hb_store::reader::read_sound;

use super::{Cell, DEADLINE};

/// What a node's views have shown.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    journal: MemoryJournal,
    picture: Arc<Cell<Picture>>,
}

/// See [`Screen`].
#[derive(Debug, Default)]
pub(crate) struct Picture {
    /// While set, nothing that is asked of the views comes back.
    pub(crate) held: bool,
    /// While set, nothing can be shown.
    pub(crate) faulty: bool,
    /// Records shown one by one, or caught up with.
    pub(crate) shown: BTreeMap<WatchName, BTreeSet<Seq>>,
    /// Kinds of the records that were shown one by one.
    pub(crate) kinds: BTreeSet<&'static str>,
    pub(crate) caught_up: u64,
}

impl Screen {
    pub(crate) fn new(journal: MemoryJournal) -> Self {
        Self { journal, picture: Arc::default() }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Picture)) {
        self.picture.change(change);
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Picture) -> T) -> T {
        look(&self.picture.look())
    }

    /// Whether every one of these records has been shown.
    pub(crate) fn shows(&self, records: &[Sealed]) -> bool {
        self.look(|picture| {
            records.iter().all(|sealed| {
                let mut streams = picture.shown.iter();
                streams.any(|(watch, seqs)| {
                    StreamName::watch(watch) == sealed.record.stream && seqs.contains(&sealed.record.seq)
                })
            })
        })
    }

    pub(crate) fn views(&self) -> Box<dyn Views> {
        Box::new(self.clone())
    }

    fn wait(&self) -> Vec<ViewFault> {
        let picture = self.picture.wait_while(DEADLINE * 2, |picture| picture.held);
        let fault = ViewFault { view: "screen".into(), what: "it is dark".into() };
        if picture.faulty { vec![fault] } else { Vec::new() }
    }
}

impl Views for Screen {
    fn catch_up(&mut self, watch: &WatchName) -> Vec<ViewFault> {
        let faults = self.wait();
        if faults.is_empty() {
            let stream = StreamName::watch(watch);
            let records = read_sound(&mut self.journal, &stream, Seq(0), usize::MAX >> 1).unwrap();
            self.picture.change(|picture| {
                picture.caught_up += 1;
                let shown = picture.shown.entry(watch.clone()).or_default();
                shown.extend(records.iter().map(|sealed| sealed.record.seq));
            });
        }
        faults
    }

    fn show(&mut self, watch: &WatchName, sealed: &Sealed, baseline: Option<&Baseline>) -> Vec<ViewFault> {
        let faults = self.wait();
        let stands = self.journal.read(&sealed.record.stream, sealed.record.seq, 1);
        // Trimmed records are durable, too: what is read then is a later one.
        let same = |(seq, bytes): &(Seq, Vec<u8>)| *seq > sealed.record.seq || *bytes == sealed.bytes;
        assert!(stands.is_ok_and(|found| found.first().is_some_and(same)), "W6: shown before it was durable");
        if let Body::CycleDecided(decided) = &sealed.record.body {
            let hash = baseline.map(|document| Hash::of(&document.to_bytes()));
            let against = decided.decision.baseline.as_ref().map(|reference| reference.hash);
            assert_eq!(hash, against, "shown with the baseline that it was decided against");
        }
        if faults.is_empty() {
            self.picture.change(|picture| {
                picture.kinds.insert(sealed.record.body.kind());
                picture.shown.entry(watch.clone()).or_default().insert(sealed.record.seq);
            });
        }
        faults
    }

    fn node(&mut self, _: &View) {
        drop(self.wait());
    }

    fn check(&mut self) -> Vec<(String, Result<(), String>)> {
        let state = if self.look(|picture| picture.faulty) { Err("it is dark".into()) } else { Ok(()) };
        vec![("view.screen".into(), state)]
    }
}

/// A sink, shared by all nodes.
#[derive(Debug)]
pub(crate) struct Pager {
    pub(crate) name: String,
    state: Cell<Pages>,
}

/// What a pager got, and what it answers.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// While set, no delivery comes back.
    pub(crate) held: bool,
    /// What the next deliveries are answered; afterwards they are done.
    pub(crate) answers: VecDeque<Delivery>,
    /// Keys of all tries.
    pub(crate) tries: Vec<String>,
    /// Keys of what was taken.
    pub(crate) taken: Vec<String>,
}

impl Pager {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.into(), state: Cell::default() })
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Pages)) {
        self.state.change(change);
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Pages) -> T) -> T {
        look(&self.state.look())
    }

    pub(crate) fn sink(pager: &Arc<Self>, journal: MemoryJournal) -> Box<dyn AlertSink> {
        Box::new(Paged { pager: Arc::clone(pager), journal, newest: Seq(0) })
    }
}

struct Paged {
    pager: Arc<Pager>,
    journal: MemoryJournal,
    /// Record of the newest alert; those of later ones come after it.
    newest: Seq,
}

impl AlertSink for Paged {
    fn name(&self) -> &str {
        &self.pager.name
    }

    fn deliver(&mut self, alert: &Alert, _: Option<&str>) -> Delivery {
        let stream = StreamName::watch(&alert.watch);
        let made = |sealed: &Sealed| match &sealed.record.body {
            Body::CycleDecided(decided) => decided.alert.as_ref() == Some(alert),
            _ => false,
        };
        let numbers = (self.newest.0..).map(Seq);
        let mut later = numbers.map_while(|seq| read_sound(&mut self.journal, &stream, seq, 1).unwrap().pop());
        let found = later.find(made);
        self.newest = found.unwrap_or_else(|| unreachable!("W6: {} was told before its record", alert.key)).record.seq;
        drop(self.pager.state.wait_while(DEADLINE * 2, |pages| pages.held));
        let mut pages = self.pager.state.look();
        pages.tries.push(alert.key.clone());
        let answer = pages.answers.pop_front().unwrap_or(Delivery::Done);
        if answer == Delivery::Done {
            pages.taken.push(alert.key.clone());
        }
        answer
    }
}

/// Baseline documents, shared by all nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Archive(Arc<Cell<BTreeMap<Hash, Vec<u8>>>>);

impl Archive {
    pub(crate) fn add(&self, bytes: &[u8]) {
        self.0.change(|all| drop(all.insert(Hash::of(bytes), bytes.to_vec())));
    }

    pub(crate) fn remove(&self, hash: Hash) {
        self.0.change(|all| drop(all.remove(&hash)));
    }
}

impl Documents for Archive {
    fn put(&mut self, _: Hash, bytes: &[u8]) -> Result<(), String> {
        self.add(bytes);
        Ok(())
    }

    fn get(&mut self, hash: Hash) -> Result<Arc<Baseline>, String> {
        let missing = || format!("document {} is not in the archive", hash.short());
        let bytes = self.0.look().get(&hash).cloned().ok_or_else(missing)?;
        Baseline::from_bytes(&bytes, hash).map(Arc::new)
    }

    fn lend(&mut self, _: Hash, _: &Arc<Baseline>) {}
}
