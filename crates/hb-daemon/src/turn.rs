//! The work loop: gather, decide, make durable, act; and around it the changes of role.
//!
//! **Invariants.** Only this thread touches the node and the journal that is written. The lease is kept on another thread, which shows
//! others this loop's progress and no other, so a loop that hangs loses its lease (H2). No data is taken while a record waits to become durable.

mod acting;
mod baselines;
mod leasing;
mod orders;
mod standing_by;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::{NodeName, WatchName};
use hb_core::node::Node;
use hb_core::node::step::{Input, Step};
use hb_core::node::view::{Role, View};
use hb_core::time::Moment;
use hb_core::watch::sample::{Batch, FaultCause};
use hb_runtime::thread::{self, Thread};
use hb_store::board::Watches;
use hb_store::port::Journal;

use crate::clock::{self, ns};
use crate::committer::{Committer, End};
use crate::doer::Doer;
use crate::feeder::Feeder;
use crate::inbox::{Control, Data, Fed, Inbox, Next, Remote};
use crate::keeper::Keeper;
use crate::parts::{Bounds, Documents, Mode, Parts, WatchParts};
use crate::poster::{Desk, Seen};
use crate::shared::Shared;
use crate::standby::Reading;
use crate::tags::Tag;
use crate::viewer::Viewer;
use leasing::Leasing;
use orders::Asked;

/// How long it waits before it tries again to make something durable.
const HELD_TURN: Duration = Duration::from_millis(100);
/// How often a bad line is quoted, per cause.
const QUOTE_EVERY: Duration = Duration::from_secs(3_600);

/// How often the node's card is made anew.
const CARD_EVERY: Duration = Duration::from_millis(500);
/// How long a standby may not have read the journal to its head before it says that it is behind.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// How long a node that ends shows what it has decided, before it gives the lease back.
const VIEWS_MAX: Duration = Duration::from_secs(3);

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
    pub(crate) thread: Thread<Ended>,
}

impl Running {
    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end; nothing where the loop panicked.
    pub(crate) fn try_join(self) -> Result<Ended, ()> {
        self.thread.join().map_err(drop)
    }

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
    let thread = thread::spawn("work", move || worker.run())?;
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
    keeper: Keeper,
    board: Option<Arc<Desk>>,
    leasing: Leasing,
    asked: Asked,
    documents: Box<dyn Documents>,
    shared: Arc<Shared>,
    viewer: Viewer,
    committer: Committer,
    watches: BTreeMap<WatchName, Work>,
    reading: Reading,
    bounds: Bounds,
    mode: Mode,
    turns: u64,
    tags_at: Moment,
    /// When the journal is read along next; none: at once.
    follow_at: Option<Moment>,
    /// When it was last read to its head.
    read_at: Option<Moment>,
    carded: Option<Moment>,
    held: Option<String>,
    stopping: Option<Moment>,
    shown: Option<(Role, Moment)>,
    ended: Option<Ended>,
}

impl Loop {
    fn new(parts: Parts, mut inbox: Inbox, shared: Arc<Shared>) -> io::Result<Self> {
        let settings = parts.watches.iter().map(|watch| Arc::clone(&watch.settings)).collect();
        let viewer = Viewer::start(parts.views, parts.mode, parts.bounds.lease_ttl, &shared)?;
        let mut watches = BTreeMap::new();
        for watch in parts.watches {
            watches.insert(watch.settings.name.clone(), work(watch, &inbox, &shared, parts.bounds.source_rest)?);
        }
        let node = Node::new(parts.node.clone(), settings);
        let (keeper, told) = Keeper::start(parts.lease, &parts.node, parts.bounds.lease_ttl, &shared)?;
        inbox.listen(told);
        let this = Self {
            name: parts.node,
            node,
            inbox,
            journal: parts.journal,
            keeper,
            board: parts.board,
            leasing: Leasing::default(),
            asked: Asked::default(),
            documents: parts.documents,
            shared,
            viewer,
            committer: Committer::default(),
            watches,
            reading: Reading::default(),
            bounds: parts.bounds,
            mode: parts.mode,
            turns: 0,
            tags_at: Moment(0),
            follow_at: None,
            read_at: None,
            carded: None,
            held: None,
            stopping: None,
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
        self.beat();
        match self.node.role() {
            Role::Standby => self.stand_by(),
            Role::TakingOver | Role::Active | Role::Draining => self.work(),
            Role::Fenced => {}
        }
        self.show();
        self.give_up_when_overdue();
    }

    /// Another step is done: whoever looks at this loop's progress sees it, and so does the lease.
    fn beat(&mut self) {
        self.turns = self.turns.saturating_add(1);
        self.shared.beat(clock::moment(), self.inbox.depth());
        self.keeper.progress(self.turns, self.node.epoch());
    }

    // ------------------------------------------------------------------ working

    fn work(&mut self) {
        self.hear();
        self.keep();
        if self.ended.is_some() || self.node.role() == Role::Standby {
            return;
        }
        if !self.committer.is_empty() {
            self.commit();
        }
        if self.ended.is_some() {
            return;
        }
        self.heed();
        // Before data: what was promoted while this node was not at work holds for the first cycle that it decides.
        self.read_tags();
        let held = !self.committer.is_empty() || !self.node.may_work(clock::moment());
        let next = if held { self.inbox.control_only(HELD_TURN) } else { self.inbox.next(self.idle_turn()) };
        match next {
            Next::Told(told) => self.told(told),
            Next::Control(control) => self.obey(control),
            Next::Data(data) => self.take(data),
            Next::Nothing => {}
        }
        self.watch_sources();
        self.finish_once();
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
        let begun = clock::moment();
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
            self.shared.count(|stats| stats.decide_latency.record(clock::since(begun).as_secs_f64()));
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
            if !self.committer.is_empty() && !self.lease_is_good() {
                self.hear();
                // What is known by now does not do: the next turn asks the journal, or stands by.
                if !self.lease_is_good() {
                    return;
                }
            }
            let end = self.committer.advance(&mut *self.journal, &mut *self.documents, &self.shared);
            match end {
                End::Nothing => break,
                End::Stored => {}
                End::Committed(watch, sealed) => {
                    let baseline = self.node.decided_against(&sealed);
                    let step = self.node.handle(Input::Committed(&watch, sealed.record.seq), clock::now());
                    self.viewer.show(&watch, sealed, baseline);
                    self.carry_out_later(step);
                }
                End::Refused(watch, seq) => {
                    if self.node.role() == Role::TakingOver {
                        self.rest();
                    }
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
            self.beat();
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

    // ------------------------------------------------------------------ control

    fn obey(&mut self, control: Control) {
        match control {
            Control::Stop { reason } => self.stop(reason),
            Control::Reload(settings) => {
                for settings in settings {
                    self.follow_tag(&settings);
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
            asked @ (Control::Switchover { .. } | Control::Pause { .. } | Control::Resume { .. }) => {
                self.pass_on(asked)
            }
        }
    }

    fn stop(&mut self, reason: String) {
        if self.stopping.is_none() {
            tracing::info!("node {} stops: {reason}", self.name);
            self.stopping = Some(clock::moment());
            let step = self.node.handle(Input::Drain { reason: &reason }, clock::now());
            self.carry_out(step);
        }
    }

    /// A stop that cannot be finished (a full disk) is not waited for without end.
    fn give_up_when_overdue(&mut self) {
        let overdue = self.stopping.is_some_and(|since| clock::since(since) > self.bounds.drain_max);
        if overdue && self.ended.is_none() {
            let why = self.held.clone().unwrap_or_else(|| "the last records could not be written".into());
            self.ended = Some(Ended::Unfinished(why));
        }
    }

    /// Shows onlookers how things are, after every turn that may have changed it.
    fn show(&mut self) {
        let mut view = self.node.view(clock::now());
        view.paused = self.paused();
        let role = view.role;
        self.post(&view);
        self.shared.show(view);
        let due = self.shown.is_none_or(|(was, at)| was != role || clock::since(at) > Duration::from_secs(2));
        if due {
            self.shown = Some((role, clock::moment()));
            self.viewer.node(self.shared.view());
        }
    }

    /// Tells the board what this node is, now and then and whenever its role changes.
    fn post(&mut self, view: &View) {
        let changed = self.shown.is_none_or(|(was, _)| was != view.role);
        let due = changed || self.carded.is_none_or(|at| clock::since(at) > CARD_EVERY);
        let Some(board) = self.board.clone().filter(|_| due) else { return };
        self.carded = Some(clock::moment());
        let standing_by = view.role == Role::Standby;
        let all = view.watches.len() as u64;
        let active = if view.role == Role::Active { all } else { 0 };
        let records = view.watches.iter().filter_map(|watch| watch.seq).map(|seq| seq.0.saturating_add(1)).sum();
        let lag_seconds = self.read_at.filter(|_| standing_by).map_or(0.0, |at| clock::since(at).as_secs_f64());
        let trouble = self.trouble(view.role);
        board.tell(|account| {
            (account.role, account.epoch, account.priority) = (view.role, view.epoch, self.bounds.priority);
            account.progress = self.turns;
            let max = account.watches.max;
            account.watches = Watches { active, standing_by: all.saturating_sub(active), max, records, lag_seconds };
            account.takeover.clone_from(&view.takeover);
            account.trouble = trouble;
        });
        self.note_board(&board.seen());
    }

    /// Nothing that works rests on the board: what is wrong with it is told, and the node stays ready.
    fn note_board(&self, seen: &Seen) {
        self.shared.count(|stats| stats.board_errors = seen.errors);
        match &seen.trouble {
            None => self.shared.check("board", Ok(())),
            Some(why) => self.shared.note("board", format!("degraded: the board of nodes cannot be used: {why}")),
        }
    }

    /// Why this node could not take over, or work, at the moment.
    fn trouble(&self, role: Role) -> Option<String> {
        let behind = role == Role::Standby && self.read_at.is_none_or(|at| clock::since(at) > BEHIND_MAX);
        if behind {
            return Some("it has not read the journal to its head for a while".into());
        }
        let checks = self.shared.checks();
        let failing = ["journal", "lease"].iter().filter_map(|name| Some((name, checks.get(*name)?)));
        failing.filter(|(_, state)| !state.ok).map(|(name, state)| format!("{name}: {}", state.what)).next()
    }

    fn close(mut self) {
        self.inbox.deafen();
        self.show();
        for (_, work) in std::mem::take(&mut self.watches) {
            work.feeder.quit();
            work.doers.into_iter().for_each(Doer::quit);
        }
        let patience = match self.mode {
            Mode::Once => Duration::from_secs(600),
            // The other node waits for the lease; what is not shown by then it shows.
            Mode::Serve => VIEWS_MAX,
        };
        self.viewer.quit(patience);
        self.keeper.quit();
    }
}

fn work(parts: WatchParts, inbox: &Inbox, shared: &Arc<Shared>, rest: Duration) -> io::Result<Work> {
    let watch = &parts.settings.name;
    let doer = |sink| Doer::start(watch, sink, inbox.remote().0, Arc::clone(shared));
    Ok(Work {
        feeder: Feeder::start(watch, parts.source, inbox.data_sender(), rest)?,
        doers: parts.sinks.into_iter().map(doer).collect::<io::Result<_>>()?,
        generation: 0,
        taken: 0,
        heard: clock::moment(),
        open: false,
        complete: false,
        // A node that works for a short while only trims too.
        since_trim: u64::MAX,
        tag: Tag::new(watch, &parts.settings.baseline_tag),
        quoted: BTreeMap::new(),
    })
}
