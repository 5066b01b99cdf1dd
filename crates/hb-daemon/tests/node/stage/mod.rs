//! A stage for whole nodes: everything around them is in memory and does what the test says, when it says so.
//!
//! Nothing here sleeps for a fixed time: [`until`] waits for what is promised, with a deadline far beyond it.

mod desk;
mod gate;
mod onlookers;
mod tape;
mod wall;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hb_core::ids::{CycleNo, Seq, StreamName, WatchName};
use hb_core::journal::Hash;
use hb_core::node::fact::{AlertDelivered, Body, CycleDecided, Sealed};
use hb_core::node::view::Role;
use hb_core::time::SECOND_NS;
use hb_core::watch::settings::WatchSettings;
use hb_daemon::fleet::MakeParts;
use hb_daemon::turn::Running;
use hb_daemon::{Bounds, Control, Ended, Mode, Parts, Poster, Remote, SinkParts, WatchParts, start};
use hb_store::journal::memory::MemoryJournal;
use hb_store::reader::read_sound;

pub(crate) use desk::Desk;
pub(crate) use gate::{Gate, Pass, usurp};
pub(crate) use onlookers::{Archive, Pager, Screen};
pub(crate) use tape::Tape;
pub(crate) use wall::Wall;

/// How long anything may take before a test says that it never came.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < DEADLINE, "never came: {what}");
        thread::yield_now();
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// A value that threads share and wait for.
#[derive(Debug, Default)]
pub(crate) struct Cell<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Cell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new() }
    }

    pub(crate) fn look(&self) -> MutexGuard<'_, T> {
        // A test that panicked elsewhere must not hide its own message behind this one.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.look());
        self.changed.notify_all();
    }

    /// Waits while it holds, at most for `patience`.
    pub(crate) fn wait_while(&self, patience: Duration, holds: impl FnMut(&mut T) -> bool) -> MutexGuard<'_, T> {
        let waited = self.changed.wait_timeout_while(self.look(), patience, holds);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Settings whose cycles are so long that only the source's own time closes them.
pub(crate) fn settings(name: &str) -> WatchSettings {
    let mut settings = WatchSettings::named(name, 1_000 * SECOND_NS);
    settings.learn.auto = false;
    settings.alert.sinks = Vec::new();
    settings
}

/// Settings with cycles of a fifth of a second, which the wall clock closes.
pub(crate) fn brisk(name: &str) -> WatchSettings {
    let mut settings = settings(name);
    settings.interval_ns = SECOND_NS / 5;
    settings.silence_grace_ns = 0;
    settings.future_ns = 60 * SECOND_NS;
    settings
}

/// The world that nodes share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) journal: MemoryJournal,
    pub(crate) desk: Arc<Desk>,
    /// Where nodes tell each other of themselves, if they do.
    pub(crate) wall: Option<Arc<Wall>>,
    pub(crate) archive: Archive,
    pub(crate) watches: Vec<(WatchSettings, Arc<Tape>)>,
    /// Sinks that every watch has; the settings may name others.
    pub(crate) sinks: Vec<Arc<Pager>>,
    pub(crate) tries_max: u32,
    pub(crate) mode: Mode,
    pub(crate) bounds: Bounds,
}

impl Stage {
    /// One watch, `w`.
    pub(crate) fn new(settings: WatchSettings) -> Self {
        Self {
            journal: MemoryJournal::new(),
            desk: Arc::default(),
            wall: None,
            archive: Archive::default(),
            watches: vec![(settings, Arc::default())],
            sinks: Vec::new(),
            tries_max: 3,
            mode: Mode::Serve,
            bounds: Bounds { follow_every: Duration::from_millis(10), ..Bounds::default() },
        }
    }

    /// The only tape, or the first.
    pub(crate) fn tape(&self) -> &Arc<Tape> {
        &self.watches[0].1
    }

    /// Starts a node; it stands by until the desk gives it the lease.
    pub(crate) fn start(&self, name: &str) -> Actor {
        let gate = Gate::new(self.journal.clone());
        let screen = Screen::new(self.journal.clone());
        let watch = |(settings, tape): &(WatchSettings, Arc<Tape>)| WatchParts {
            settings: Arc::new(settings.clone()),
            source: Tape::open(tape, name),
            sinks: self.sinks.iter().map(|pager| self.sink(pager)).collect(),
        };
        let poster = self.wall.as_ref().map(|wall| wall.poster(name));
        let parts = Parts {
            node: name.into(),
            watches: self.watches.iter().map(watch).collect(),
            journal: Box::new(gate.journal()),
            lease: Desk::lease(&self.desk, name),
            board: poster.as_ref().map(Poster::desk),
            documents: Box::new(self.archive.clone()),
            views: screen.views(),
            mode: self.mode,
            bounds: self.bounds,
        };
        Actor { running: start(parts).unwrap(), gate, screen, poster }
    }

    /// Makes the parts of one watch of a node, with the lease that it is given.
    pub(crate) fn maker(&self, name: &str) -> MakeParts {
        let (journal, archive, watches) = (self.journal.clone(), self.archive.clone(), self.watches.clone());
        let (name, mode, bounds) = (name.to_owned(), self.mode, self.bounds);
        Box::new(move |watch, lease| {
            let (settings, tape) =
                watches.iter().find(|(settings, _)| settings.name == *watch).ok_or("no such watch")?;
            let parts =
                WatchParts { settings: Arc::new(settings.clone()), source: Tape::open(tape, &name), sinks: Vec::new() };
            Ok(Parts {
                node: name.as_str().into(),
                watches: vec![parts],
                journal: Box::new(Gate::new(journal.clone()).journal()),
                lease,
                board: None,
                documents: Box::new(archive.clone()),
                views: Screen::new(journal.clone()).views(),
                mode,
                bounds,
            })
        })
    }

    fn sink(&self, pager: &Arc<Pager>) -> SinkParts {
        let sink = Pager::sink(pager, self.journal.clone());
        SinkParts { name: pager.name.clone(), sink, tries_max: self.tries_max }
    }

    /// Starts a node, gives it the lease, and waits until it works.
    pub(crate) fn start_active(&self, name: &str) -> Actor {
        let actor = self.start(name);
        self.activate(name, &actor);
        actor
    }

    pub(crate) fn activate(&self, name: &str, actor: &Actor) {
        self.desk.grant(name);
        until("the node is active", || actor.role() == Role::Active);
    }

    /// Everything that stands in the first watch's stream, checked for soundness (J1, J4).
    pub(crate) fn records(&self) -> Vec<Sealed> {
        self.records_of(&self.watches[0].0.name)
    }

    pub(crate) fn records_of(&self, watch: &WatchName) -> Vec<Sealed> {
        self.stream(&StreamName::watch(watch))
    }

    pub(crate) fn stream(&self, stream: &StreamName) -> Vec<Sealed> {
        read_sound(&mut self.journal.clone(), stream, Seq(0), usize::MAX >> 1).unwrap()
    }

    /// The decided cycles of the first watch, checked to be numbered without gaps (W1).
    pub(crate) fn cycles(&self) -> Vec<Arc<CycleDecided>> {
        cycles(&self.records())
    }

    pub(crate) fn digests(&self) -> Vec<Hash> {
        self.cycles().iter().map(|decided| decided.digest).collect()
    }

    pub(crate) fn deliveries(&self) -> Vec<AlertDelivered> {
        let delivery = |sealed: &Sealed| match &sealed.record.body {
            Body::AlertDelivered(delivered) => Some(delivered.clone()),
            _ => None,
        };
        self.records().iter().filter_map(delivery).collect()
    }

    /// Waits until that many cycles of the first watch are decided.
    pub(crate) fn decided(&self, count: usize) {
        until(&format!("{count} decided cycles"), || self.cycles().len() >= count);
    }

    /// What an undisturbed node decides of the same settings and tape: everything but the newest, open cycle.
    pub(crate) fn undisturbed(&self) -> Vec<Hash> {
        let (settings, tape) = &self.watches[0];
        let calm = Self::new(settings.clone());
        calm.tape().copy(tape);
        let node = calm.start_active("calm");
        until("the calm node has read everything", || calm.tape().read_by("calm") == tape.len());
        // What has been read is not decided yet, and a stop goes before data.
        until("the calm node has decided as much", || calm.cycles().len() >= self.cycles().len());
        assert_eq!(node.stop(), Ended::Drained);
        calm.digests()
    }
}

/// The decided cycles among records, checked to be numbered without gaps (W1).
pub(crate) fn cycles(records: &[Sealed]) -> Vec<Arc<CycleDecided>> {
    let mut all: Vec<Arc<CycleDecided>> = Vec::new();
    for sealed in records {
        let Body::CycleDecided(decided) = &sealed.record.body else { continue };
        if let Some(last) = all.last() {
            assert_eq!(decided.decision.cycle, last.decision.cycle.next(), "cycles are numbered without gaps");
        }
        all.push(Arc::clone(decided));
    }
    all
}

/// Kinds of records with their numbers.
pub(crate) fn kinds(records: &[Sealed]) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for sealed in records {
        *kinds.entry(sealed.record.body.kind()).or_insert(0) += 1;
    }
    kinds
}

/// A node on the stage.
#[derive(Debug)]
pub(crate) struct Actor {
    running: Running,
    pub(crate) gate: Gate,
    pub(crate) screen: Screen,
    poster: Option<Poster>,
}

impl Actor {
    pub(crate) fn shared(&self) -> &hb_daemon::shared::Shared {
        &self.running.shared
    }

    pub(crate) fn role(&self) -> Role {
        self.shared().role()
    }

    /// Newest decided cycle that the node knows of its first watch.
    pub(crate) fn cycle(&self) -> Option<CycleNo> {
        self.shared().view().watches.first().and_then(|watch| watch.cycle)
    }

    /// Whether a check holds; none that has not been made.
    pub(crate) fn check(&self, name: &str) -> Option<bool> {
        self.shared().checks().get(name).map(|state| state.ok)
    }

    pub(crate) fn what(&self, name: &str) -> String {
        self.shared().checks().get(name).map(|state| state.what.clone()).unwrap_or_default()
    }

    pub(crate) fn appends(&self, end: &str) -> u64 {
        self.shared().stats().appends.get(end).copied().unwrap_or(0)
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.running.remote
    }

    pub(crate) fn control(&self, control: Control) {
        assert!(self.running.remote.send(control), "the node has ended");
    }

    pub(crate) fn ask_to_stop(&self) {
        self.control(Control::Stop { reason: "the test is over".into() });
    }

    pub(crate) fn stop(self) -> Ended {
        self.ask_to_stop();
        self.end()
    }

    /// Waits for the end.
    pub(crate) fn end(self) -> Ended {
        let (out, ended) = mpsc::channel();
        let running = self.running;
        thread::spawn(move || out.send(running.join()));
        let ended = ended.recv_timeout(DEADLINE).expect("the node ends in time");
        self.poster.into_iter().for_each(Poster::quit);
        ended
    }
}
