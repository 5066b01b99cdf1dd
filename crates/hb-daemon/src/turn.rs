//! The work loop: gather, decide, make durable, act; and around it the changes of role.
//!
//! **Invariants.** Only this thread touches the node, the journal that is written and the lease. Progress is shown to others
//! from here only, so a loop that hangs loses its lease (H2). No data is taken while a record waits to become durable.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hb_core::ids::{NodeName, Seq, WatchName};
use hb_core::node::Node;
use hb_core::node::cycle_line::CycleLine;
use hb_core::node::step::{Effect, Input, Leave, Step};
use hb_core::node::view::Role;
use hb_core::time::Moment;
use hb_core::watch::baseline::Baseline;
use hb_core::watch::decision::BaselineRef;
use hb_core::watch::sample::{Batch, FaultCause};
use hb_store::port::{Holder, Journal, JournalError, Lease, Waited};

use crate::clock::{self, ns};
use crate::committer::{Committer, End, stream_of};
use crate::doer::Doer;
use crate::feeder::{Feeder, Order};
use crate::inbox::{Control, Data, Fed, Inbox, Next, Remote};
use crate::parts::{Bounds, Documents, Mode, Parts, WatchParts};
use crate::shared::{RECENT_MAX, Shared};
use crate::standby::Reading;
use crate::tags::Tag;
use crate::viewer::Viewer;

/// How long the loop waits for events before it turns anyway.
const IDLE_TURN: Duration = Duration::from_millis(200);
/// How long it waits before it tries again to make something durable.
const HELD_TURN: Duration = Duration::from_millis(100);
/// How often the baseline tags are read.
const TAGS_EVERY: Duration = Duration::from_millis(500);
/// How often a bad line is quoted, per cause.
const QUOTE_EVERY: Duration = Duration::from_secs(3_600);
/// How many cycles may pass between two trims of the journal.
const TRIM_EVERY: u64 = 64;
/// Fewest records of a stream that stay, whatever their size: more than a learner or an outbox can need.
const RECORDS_MIN: u64 = 500;

/// How a node ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop, or its sources are complete; everything is written.
    Drained,
    /// Another node goes on with a higher epoch.
    Fenced(String),
    /// What is stored cannot be gone on from.
    Corrupt(String),
    /// It was told to stop, but something could not be made durable in time.
    Unfinished(String),
}

/// A node at work.
#[derive(Debug)]
pub struct Running {
    /// The picture for onlookers.
    pub shared: Arc<Shared>,
    /// For control events.
    pub remote: Remote,
    thread: JoinHandle<Ended>,
}

impl Running {
    /// Waits for the end.
    ///
    /// # Panics
    /// With the work loop's own panic, which is a fault of hb.
    #[must_use]
    pub fn join(self) -> Ended {
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Starts a node.
///
/// # Errors
/// When a thread cannot be started.
pub fn start(parts: Parts) -> io::Result<Running> {
    // Renewal hangs on the loop, so a loop that is silent for a TTL has lost its lease: that is the bound.
    let shared = Shared::new(parts.bounds.lease_ttl.max(Duration::from_secs(1)) * 2);
    let inbox = Inbox::new();
    let remote = inbox.remote();
    let picture = Arc::clone(&shared);
    let worker = Loop::new(parts, inbox, picture)?;
    let thread = thread::Builder::new().name("work".into()).spawn(move || worker.run())?;
    Ok(Running { shared, remote, thread })
}

/// One watch from the loop's side.
#[derive(Debug)]
struct Work {
    feeder: Feeder,
    doers: Vec<Doer>,
    generation: u64,
    /// Events taken of what the feeder has fed.
    taken: u64,
    heard: Moment,
    open: bool,
    complete: bool,
    since_trim: u64,
    tag: Tag,
    /// When a bad line was last quoted, by cause.
    quoted: BTreeMap<FaultCause, Moment>,
}

impl Work {
    /// Quotes what is bad in a batch with file and line: of each cause one now and then, the others are only counted.
    fn quote(&mut self, watch: &WatchName, batch: &Batch, now: Moment) {
        for fault in &batch.faults {
            let (Some(quote), cause) = (&fault.quote, fault.cause.as_str()) else { continue };
            let due = self.quoted.get(&fault.cause).is_none_or(|at| now.since_ns(*at) >= ns(QUOTE_EVERY));
            if due {
                self.quoted.insert(fault.cause, now);
                tracing::warn!("watch {watch}: left out ({cause}): {quote}; more of this kind are counted, not quoted");
            } else {
                tracing::debug!("watch {watch}: left out ({cause}): {quote}");
            }
        }
    }
}

struct Loop {
    name: NodeName,
    node: Node,
    inbox: Inbox,
    journal: Box<dyn Journal>,
    lease: Box<dyn Lease>,
    documents: Box<dyn Documents>,
    shared: Arc<Shared>,
    viewer: Viewer,
    committer: Committer,
    watches: BTreeMap<WatchName, Work>,
    reading: Reading,
    bounds: Bounds,
    mode: Mode,
    turns: u64,
    renew_at: Moment,
    tags_at: Moment,
    held: Option<String>,
    stopping: Option<Instant>,
    granted_at: Option<Instant>,
    shown: Option<(Role, Instant)>,
    ended: Option<Ended>,
}

impl Loop {
    fn new(parts: Parts, inbox: Inbox, shared: Arc<Shared>) -> io::Result<Self> {
        let settings = parts.watches.iter().map(|watch| Arc::clone(&watch.settings)).collect();
        let viewer = Viewer::start(parts.views, parts.mode, &shared)?;
        let mut watches = BTreeMap::new();
        for watch in parts.watches {
            watches.insert(watch.settings.name.clone(), work(watch, &inbox, &shared)?);
        }
        let node = Node::new(parts.node.clone(), settings);
        let this = Self {
            name: parts.node,
            node,
            inbox,
            journal: parts.journal,
            lease: parts.lease,
            documents: parts.documents,
            shared,
            viewer,
            committer: Committer::default(),
            watches,
            reading: Reading::default(),
            bounds: parts.bounds,
            mode: parts.mode,
            turns: 0,
            renew_at: Moment(0),
            tags_at: Moment(0),
            held: None,
            stopping: None,
            granted_at: None,
            shown: None,
            ended: None,
        };
        Ok(this)
    }

    fn run(mut self) -> Ended {
        let ended = loop {
            self.turn();
            if let Some(ended) = self.ended.take() {
                break ended;
            }
        };
        tracing::info!("node {} ends: {ended:?}", self.name);
        self.close();
        ended
    }

    fn turn(&mut self) {
        self.turns = self.turns.saturating_add(1);
        self.shared.beat(clock::moment(), self.inbox.depth());
        match self.node.role() {
            Role::Standby => self.stand_by(),
            Role::TakingOver | Role::Active | Role::Draining => self.work(),
            Role::Fenced => {}
        }
        self.show();
        self.give_up_when_overdue();
    }

    // ------------------------------------------------------------------ standing by

    /// Waits for the lease, and meanwhile reads along.
    fn stand_by(&mut self) {
        while let Next::Control(control) = self.inbox.control_only(Duration::ZERO) {
            self.obey(control);
        }
        if self.ended.is_some() {
            return;
        }
        let waited = self.lease.acquire(self.bounds.follow_every);
        let read = self.read_along();
        match (waited, read) {
            (Ok(Waited::Granted { how, why }), Ok(())) => self.take_over(how, why),
            (Ok(Waited::Held), Ok(())) => self.shared.check("lease", Ok(())),
            (Err(error), _) => {
                self.shared.check("lease", Err(error.to_string()));
                // It answered at once: wait here rather than spin.
                if let Next::Control(control) = self.inbox.control_only(self.bounds.follow_every) {
                    self.obey(control);
                }
            }
            (Ok(granted), Err(error)) => {
                if matches!(granted, Waited::Granted { .. }) {
                    self.unreadable(&error);
                }
            }
        }
    }

    /// With the lease but without a readable journal nobody can work: give the lease back, or end if it never will.
    fn unreadable(&mut self, error: &JournalError) {
        if let Err(error) = self.lease.release() {
            tracing::warn!("the lease could not be given back: {error}");
        }
        match error {
            JournalError::Corrupt(what) => self.ended = Some(Ended::Corrupt(what.clone())),
            JournalError::Stopped(what) => self.ended = Some(Ended::Unfinished(what.clone())),
            JournalError::Unavailable(_) => thread::sleep(self.bounds.follow_every),
        }
    }

    fn read_along(&mut self) -> Result<(), JournalError> {
        let names: Vec<WatchName> = self.watches.keys().cloned().collect();
        let read = names.iter().try_for_each(|watch| self.read_stream(watch));
        self.shared.check("journal", read.clone().map_err(|error| error.to_string()));
        read
    }

    fn read_stream(&mut self, watch: &WatchName) -> Result<(), JournalError> {
        let mut moved = false;
        loop {
            let records = self.reading.poll(watch, &mut *self.journal)?;
            if records.is_empty() {
                break;
            }
            moved = true;
            for sealed in &records {
                let step = self.node.handle(Input::Record(watch, sealed), clock::now());
                self.carry_out(step);
            }
        }
        if moved || self.watches.get(watch).is_some_and(|work| !work.open) {
            self.warm(watch);
        }
        Ok(())
    }

    /// Lets the feeder read along, or drop what is decided.
    fn warm(&mut self, watch: &WatchName) {
        let mark = self.node.fold(watch).and_then(|fold| fold.last.as_ref()).map(|last| last.resume.mark.clone());
        let Some(work) = self.watches.get_mut(watch) else { return };
        if work.open {
            if let Some(mark) = mark {
                work.feeder.order(Order::Trim { mark });
            }
        } else {
            work.open = true;
            work.feeder.order(Order::Warm { mark });
        }
    }

    // ------------------------------------------------------------------ taking over

    fn take_over(&mut self, how: &'static str, why: String) {
        tracing::info!("node {} takes over ({how}): {why}", self.name);
        self.granted_at = Some(Instant::now());
        self.load_documents();
        for watch in self.watches.keys().cloned().collect::<Vec<_>>() {
            if let Err(why) = self.read_versions(&watch) {
                self.shared.check(&format!("baseline.{watch}"), Err(why));
            }
        }
        let now = clock::now();
        let until = now.moment.plus_ns(ns(self.bounds.lease_ttl));
        self.renew_at = Moment(0);
        let step = self.node.handle(Input::Granted { how, why, until }, now);
        self.carry_out(step);
    }

    fn load_documents(&mut self) {
        for (watch, reference) in self.node.wanted() {
            let document = self.document(&reference).map_err(|why| {
                format!("watch {watch}: baseline {} version {}: {why}", reference.tag, reference.version)
            });
            let step = self.node.handle(Input::Document(reference.hash, document), clock::now());
            self.carry_out(step);
        }
    }

    fn document(&mut self, reference: &BaselineRef) -> Result<Arc<Baseline>, String> {
        let bytes = self.documents.get(reference.hash)?;
        Baseline::from_bytes(&bytes, reference.hash).map(Arc::new)
    }

    // ------------------------------------------------------------------ working

    fn work(&mut self) {
        self.renew();
        if !self.committer.is_empty() {
            self.commit();
        }
        if self.ended.is_some() {
            return;
        }
        // Before data: what was promoted while this node was not at work holds for the first cycle that it decides.
        self.read_tags();
        let held = !self.committer.is_empty() || !self.node.may_work(clock::moment());
        let next = if held { self.inbox.control_only(HELD_TURN) } else { self.inbox.next(IDLE_TURN) };
        match next {
            Next::Control(control) => self.obey(control),
            Next::Data(data) => self.take(data),
            Next::Nothing => {}
        }
        self.watch_sources();
        self.finish_once();
    }

    /// Shows progress, four times per TTL.
    fn renew(&mut self) {
        let now = clock::now();
        if now.moment < self.renew_at {
            return;
        }
        let ttl = ns(self.bounds.lease_ttl);
        self.renew_at = now.moment.plus_ns(ttl / 4);
        let me =
            Holder { node: self.name.clone(), pid: std::process::id(), epoch: self.node.epoch(), progress: self.turns };
        match self.lease.renew(&me) {
            Ok(()) => {
                self.shared.check("lease", Ok(()));
                let until = now.moment.plus_ns(ttl);
                let step = self.node.handle(Input::Renewed { until }, now);
                self.carry_out_later(step);
            }
            Err(error) => self.not_renewed(&error.to_string(), &me),
        }
    }

    /// Somebody else may go on; or progress just could not be written. Whether anybody does is the journal's to say, so work
    /// goes on until it refuses (losing sight of the lease does not demote a holder that can still append).
    fn not_renewed(&mut self, why: &str, me: &Holder) {
        let other = self.lease.holder().ok().flatten().filter(|other| other.epoch > me.epoch);
        let now = clock::now();
        let step = match other {
            Some(other) => {
                let by = format!("node {} opened epoch {}", other.node, other.epoch);
                self.node.handle(Input::Superseded { by }, now)
            }
            None => {
                self.shared.check("lease", Err(why.to_owned()));
                let until = now.moment.plus_ns(ns(self.bounds.lease_ttl));
                self.node.handle(Input::Renewed { until }, now)
            }
        };
        self.carry_out_later(step);
    }

    fn take(&mut self, data: Data) {
        let now = clock::now();
        let Some(work) = self.watches.get_mut(&data.watch) else { return };
        work.taken = work.taken.wrapping_add(1);
        if work.generation != data.generation {
            return;
        }
        work.heard = now.moment;
        let name = format!("source.{}", data.watch);
        let begun = Instant::now();
        let step = match &data.what {
            Fed::Batch(batch) => {
                work.quote(&data.watch, batch, now.moment);
                self.node.handle(Input::Batch(&data.watch, batch), now)
            }
            Fed::Idle(looked_at) => self.node.handle(Input::Idle(&data.watch, *looked_at), now),
            Fed::Ended => {
                work.complete = true;
                self.node.handle(Input::Ended(&data.watch), now)
            }
            Fed::Failed { looked_at, why } => {
                self.shared.check(&name, Err(why.clone()));
                self.node.handle(Input::SourceFailed(&data.watch, *looked_at, why), now)
            }
        };
        if !matches!(data.what, Fed::Failed { .. }) {
            self.shared.check(&name, Ok(()));
        }
        if !step.records.is_empty() {
            self.shared.count(|stats| stats.decide_latency.record(begun.elapsed().as_secs_f64()));
        }
        self.carry_out(step);
    }

    /// A source that does not even say that it has nothing counts as failed: silence is decided too (W3).
    fn watch_sources(&mut self) {
        let now = clock::now();
        let bound = ns(self.bounds.source_stall);
        // What has been fed but not taken has been answered in time: then it is this loop that is slow.
        let stalled = |work: &Work| {
            let silent = now.moment.since_ns(work.heard) > bound && work.feeder.fed() == work.taken;
            work.open && !work.complete && silent
        };
        if !self.committer.is_empty() || self.node.role() != Role::Active {
            return;
        }
        let names: Vec<WatchName> =
            self.watches.iter().filter(|(_, work)| stalled(work)).map(|(name, _)| name.clone()).collect();
        for watch in names {
            let why =
                format!("the source has not answered for {:.0} s: it hangs", self.bounds.source_stall.as_secs_f64());
            self.shared.check(&format!("source.{watch}"), Err(why.clone()));
            let step = self.node.handle(Input::SourceFailed(&watch, now.wall, &why), now);
            self.carry_out(step);
        }
    }

    /// Adopts what was promoted meanwhile.
    fn read_tags(&mut self) {
        let now = clock::moment();
        if now < self.tags_at || self.node.role() != Role::Active || !self.committer.is_empty() {
            return;
        }
        self.tags_at = now.plus_ns(ns(TAGS_EVERY));
        let names: Vec<WatchName> = self.watches.keys().cloned().collect();
        for watch in names {
            if let Err(why) = self.read_tag(&watch) {
                self.shared.check(&format!("baseline.{watch}"), Err(why));
            } else {
                self.shared.check(&format!("baseline.{watch}"), Ok(()));
            }
        }
    }

    fn read_tag(&mut self, watch: &WatchName) -> Result<(), String> {
        self.read_versions(watch)?;
        let Some(work) = self.watches.get_mut(watch) else { return Ok(()) };
        work.tag.settle(&self.name, &mut *self.journal)?;
        let Some((reference, reason)) = work.tag.promoted.clone().filter(|_| work.tag.owed) else { return Ok(()) };
        if self.node.baseline(watch).is_none_or(|(_, in_force)| in_force != reference) {
            // Owed until its document can be had.
            let document = self.document(&reference)?;
            let had = Input::Document(reference.hash, Ok(Arc::clone(&document)));
            let step = self.node.handle(had, clock::now());
            self.carry_out(step);
            let step = self.node.handle(Input::Promoted { watch, reference, document, reason }, clock::now());
            self.carry_out(step);
        }
        if let Some(work) = self.watches.get_mut(watch) {
            work.tag.owed = false;
        }
        Ok(())
    }

    /// Reads a watch's tag, so that the next version gets a number of its own.
    fn read_versions(&mut self, watch: &WatchName) -> Result<(), String> {
        let Some(work) = self.watches.get_mut(watch) else { return Ok(()) };
        work.tag.poll(&mut *self.journal).map_err(|error| error.to_string())?;
        let step = self.node.handle(Input::Versions(watch, work.tag.newest), clock::now());
        self.carry_out(step);
        Ok(())
    }

    /// A node that reads recordings ends when all of them are decided, shown and told.
    fn finish_once(&mut self) {
        if self.mode == Mode::Serve || self.stopping.is_some() || !self.committer.is_empty() {
            return;
        }
        let decided = self.watches.values().all(|work| work.complete);
        let told = self.node.view(clock::now()).watches.iter().all(|watch| watch.undelivered == 0);
        if decided && told && self.node.role() == Role::Active {
            self.stop("the sources are complete".into());
        }
    }

    // ------------------------------------------------------------------ making durable

    fn commit(&mut self) {
        loop {
            let end = self.committer.advance(&mut *self.journal, &mut *self.documents, &self.shared);
            match end {
                End::Nothing => break,
                End::Stored => {}
                End::Committed(watch, sealed) => {
                    let step = self.node.handle(Input::Committed(&watch, sealed.record.seq), clock::now());
                    let baseline = self.node.baseline(&watch);
                    self.viewer.show(&watch, sealed, baseline);
                    self.carry_out_later(step);
                }
                End::Refused(watch, seq) => {
                    let step = self.node.handle(Input::Refused(&watch, seq), clock::now());
                    self.carry_out_later(step);
                }
                End::Stopped(why) => {
                    // Another node, or this one started anew, goes on from what is durable.
                    tracing::error!("{why}");
                    self.committer.clear();
                    self.ended = Some(Ended::Unfinished(why));
                    return;
                }
                End::Held(why) => {
                    if self.held.as_ref() != Some(&why) {
                        tracing::warn!("a record waits to become durable: {why}");
                    }
                    self.shared.check("journal", Err(why.clone()));
                    self.held = Some(why);
                    return;
                }
            }
            if self.ended.is_some() {
                return;
            }
            self.shared.beat(clock::moment(), self.inbox.depth());
            self.renew();
        }
        if self.held.take().is_some() {
            tracing::info!("what waited is durable");
        }
        self.shared.check("journal", Ok(()));
    }

    fn carry_out(&mut self, step: Step) {
        self.carry_out_later(step);
        if !self.committer.is_empty() && self.held.is_none() {
            self.commit();
        }
    }

    fn carry_out_later(&mut self, step: Step) {
        self.committer.push(step.blobs, step.records);
        for effect in step.effects {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::OpenSource(watch, mark) => {
                if let Some(work) = self.watches.get_mut(&watch) {
                    work.generation = work.generation.saturating_add(1);
                    work.open = true;
                    work.complete = false;
                    work.heard = clock::moment();
                    work.feeder.order(Order::Open { mark, generation: work.generation });
                }
                self.note_takeover();
                self.viewer.catch_up(&watch);
            }
            Effect::Decided(watch, sealed) => {
                self.note_cycle(&watch, &sealed);
                self.trim(&watch, sealed.bytes.len());
            }
            Effect::Deliver(watch, under_way) => {
                self.hand_over(&watch);
                self.give_up_missing(&watch, &under_way);
            }
            Effect::Learned(learned) => {
                if let Some(work) = self.watches.get_mut(&learned.watch) {
                    work.tag.unnoted = Some(learned);
                    self.tags_at = Moment(0);
                }
            }
            Effect::StandBy => {
                tracing::info!("another node was quicker; standing by");
                self.committer.clear();
                self.reading.forget();
                self.watches.values_mut().for_each(|work| {
                    work.open = false;
                    work.feeder.order(Order::Close);
                });
                if let Err(error) = self.lease.release() {
                    tracing::warn!("the lease could not be given back: {error}");
                }
            }
            Effect::Leave(Leave::Drained) => self.ended = Some(Ended::Drained),
            Effect::Leave(Leave::Fenced { what }) => {
                self.committer.clear();
                self.ended = Some(Ended::Fenced(what));
            }
        }
    }

    /// Hands durable alerts to their sinks, as far as there is room; the others stay in the journal's list until there is.
    fn hand_over(&mut self, watch: &WatchName) {
        let Some((work, fold)) = self.watches.get_mut(watch).zip(self.node.fold(watch)) else { return };
        for doer in &mut work.doers {
            if let Some(left) = doer.top_up(&fold.undelivered) {
                let what = format!("too many alerts wait: {} and later ones stay in the journal", left.key);
                self.shared.check(&format!("sink.{}", doer.name()), Err(what));
            }
        }
    }

    /// An alert for a sink that is not configured any more would be under way for ever.
    fn give_up_missing(&mut self, watch: &WatchName, under_way: &hb_core::node::fact::Undelivered) {
        let Some(work) = self.watches.get(watch) else { return };
        let known = |sink: &String| work.doers.iter().any(|doer| doer.name() == sink);
        let missing: Vec<String> = under_way.sinks.iter().filter(|sink| !known(sink)).cloned().collect();
        for sink in missing {
            let input = Input::Delivered {
                watch,
                cycle: under_way.alert.cycle,
                sink: &sink,
                tries: 0,
                given_up: Some("no sink of that name is configured any more".into()),
            };
            let step = self.node.handle(input, clock::now());
            self.carry_out_later(step);
        }
    }

    fn note_takeover(&mut self) {
        if let Some(at) = self.granted_at.take() {
            self.shared.count(|stats| {
                stats.takeovers += 1;
                stats.takeover_seconds = at.elapsed().as_secs_f64();
            });
        }
    }

    fn note_cycle(&self, watch: &WatchName, sealed: &hb_core::node::fact::Sealed) {
        let hb_core::node::fact::Body::CycleDecided(decided) = &sealed.record.body else { return };
        let decision = &decided.decision;
        let Some(line) = CycleLine::of(sealed) else { return };
        self.shared.count(|stats| {
            *stats.cycles.entry((watch.clone(), decision.status.as_str())).or_insert(0) += 1;
            let window = &decision.counts.window;
            let reasons = [
                ("not_finite", window.not_finite),
                ("repeated", window.repeated),
                ("unit", window.unit),
                ("too_many_series", window.too_many_series),
                ("future", decision.counts.future),
            ];
            let faults = decision.counts.faults.iter().map(|(cause, count)| (cause.as_str(), *count));
            for (reason, count) in reasons.into_iter().chain(faults).filter(|(_, count)| *count > 0) {
                *stats.dropped.entry((watch.clone(), reason)).or_insert(0) += count;
            }
            let all = stats.recent.entry(watch.clone()).or_default();
            all.push_back(line);
            let excess = all.len().saturating_sub(RECENT_MAX);
            all.drain(..excess);
        });
    }

    /// Keeps the newest records of a watch in the journal. Every decided cycle is a snapshot, so nothing older is needed.
    fn trim(&mut self, watch: &WatchName, record_bytes: usize) {
        let Some(work) = self.watches.get_mut(watch) else { return };
        work.since_trim = work.since_trim.saturating_add(1);
        if work.since_trim < TRIM_EVERY {
            return;
        }
        work.since_trim = 0;
        let Some(head) = self.node.fold(watch).and_then(|fold| fold.head) else { return };
        let fit = self.bounds.journal_bytes / (record_bytes as u64).max(1);
        let keep = fit.clamp(RECORDS_MIN, self.bounds.journal_records.max(RECORDS_MIN));
        let floor = Seq(head.seq.0.saturating_sub(keep));
        if floor == Seq(0) {
            return;
        }
        match self.journal.trim(&stream_of(watch), floor) {
            Ok(gone) => self.shared.count(|stats| stats.trimmed = stats.trimmed.saturating_add(gone)),
            Err(error) => self.shared.check("journal", Err(format!("the journal could not be trimmed: {error}"))),
        }
    }

    // ------------------------------------------------------------------ control

    fn obey(&mut self, control: Control) {
        match control {
            Control::Stop { reason } => self.stop(reason),
            Control::Reload(settings) => {
                for settings in settings {
                    let step = self.node.handle(Input::Reload(settings), clock::now());
                    self.carry_out(step);
                }
            }
            Control::Delivered { watch, cycle, sink, tries, given_up } => {
                if let Some(why) = &given_up {
                    tracing::error!("alert {watch}/{cycle} was given up by {sink}: {why}");
                }
                let input = Input::Delivered { watch: &watch, cycle, sink: &sink, tries, given_up };
                let step = self.node.handle(input, clock::now());
                self.carry_out(step);
                if self.node.role() == Role::Active {
                    self.hand_over(&watch);
                }
            }
        }
    }

    fn stop(&mut self, reason: String) {
        if self.stopping.is_none() {
            tracing::info!("node {} stops: {reason}", self.name);
            self.stopping = Some(Instant::now());
            let step = self.node.handle(Input::Drain { reason: &reason }, clock::now());
            self.carry_out(step);
        }
    }

    /// A stop that cannot be finished (a full disk) is not waited for without end.
    fn give_up_when_overdue(&mut self) {
        let overdue = self.stopping.is_some_and(|since| since.elapsed() > self.bounds.drain_max);
        if overdue && self.ended.is_none() {
            let why = self.held.clone().unwrap_or_else(|| "the last records could not be written".into());
            self.ended = Some(Ended::Unfinished(why));
        }
    }

    /// Shows onlookers how things are, after every turn that may have changed it.
    fn show(&mut self) {
        let view = self.node.view(clock::now());
        let role = view.role;
        self.shared.show(view);
        let due = self.shown.is_none_or(|(was, at)| was != role || at.elapsed() > Duration::from_secs(2));
        if due {
            self.shown = Some((role, Instant::now()));
            self.viewer.node(self.shared.view());
        }
    }

    fn close(mut self) {
        self.show();
        for (_, work) in std::mem::take(&mut self.watches) {
            work.feeder.quit();
            work.doers.into_iter().for_each(Doer::quit);
        }
        let patience = match self.mode {
            Mode::Once => Duration::from_secs(600),
            Mode::Serve => self.bounds.drain_max,
        };
        self.viewer.quit(patience);
        if let Err(error) = self.lease.release() {
            tracing::warn!("the lease could not be given back: {error}");
        }
    }
}

fn work(parts: WatchParts, inbox: &Inbox, shared: &Arc<Shared>) -> io::Result<Work> {
    let watch = &parts.settings.name;
    let doer = |sink| Doer::start(watch, sink, inbox.remote().0, Arc::clone(shared));
    Ok(Work {
        feeder: Feeder::start(watch, parts.source, inbox.data_sender())?,
        doers: parts.sinks.into_iter().map(doer).collect::<io::Result<_>>()?,
        generation: 0,
        taken: 0,
        heard: clock::moment(),
        open: false,
        complete: false,
        since_trim: 0,
        tag: Tag::new(watch, &parts.settings.baseline_tag),
        quoted: BTreeMap::new(),
    })
}
