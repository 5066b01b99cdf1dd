//! What does the loop do? Stand by, take over, and then: take in, decide, keep, act, answer.
//!
//! **Invariants.** Only this thread touches the state, the database and the lease, and progress is shown from here only (H2). Nothing is done or
//! answered before its record is durable (S1), and nothing is done when the lease may have run out meanwhile without a look at whether somebody
//! else writes by now (H1).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem::discriminant;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hb_core::ids::{NodeName, Seq, WatchName};
use hb_core::supervise::alert::Severity;
use hb_core::supervise::input::{Declared, Input, Ticket};
use hb_core::supervise::state::{Body, Sealed};
use hb_core::supervise::step::{Effect, Refusal, Step, Why};
use hb_core::supervise::{Presence, Supervision};
use hb_core::time::Moment;
use hb_store::port::{Holder, JournalError, Lease, Waited};

use super::decisions::Decisions;
use super::keeping::{Keeping, Kept};
use super::office::{Answered, Look, Message, Office};
use super::parts::{Bounds, Follow, Hand, MakeHand, SupervisorParts};
use super::picture::Pictured;
use super::tray::Tray;
use crate::clock::{self, ns};
use crate::turn::Ended;

/// How long nobody wants anything until what need not be done at once is done.
const REST: Duration = Duration::from_millis(20);
/// How long until memory is given back: whoever comes soon after would have to ask for it again, page by page.
const QUIET: Duration = Duration::from_millis(500);
/// Most messages that share one record.
const TURN_MAX: usize = 2_048;
/// Messages at once that are a burst.
const BURST: usize = 2;
/// How long a turn waits in all for more of a burst: whoever sends it may be about to. That is a small part of what a write takes, which those who come
/// a moment later would otherwise have to wait for twice.
const LINGER: Duration = Duration::from_micros(50);
/// How often the picture is drawn anew.
const PICTURE_EVERY: Duration = Duration::from_millis(50);
/// The same while others wait for the loop: drawing looks at every agent.
const PICTURE_EVERY_BUSY: Duration = Duration::from_millis(250);

/// A supervisor at work.
#[derive(Debug)]
pub struct Running {
    /// For everybody who wants something of it.
    pub office: Office,
    thread: JoinHandle<Ended>,
}

impl Running {
    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// With the loop's own panic, which is a fault of hb.
    #[must_use]
    pub fn join(self) -> Ended {
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Starts a supervisor.
///
/// # Errors
/// When a thread cannot be started.
pub fn start(parts: SupervisorParts) -> io::Result<Running> {
    let picture = Arc::new(Pictured::new(parts.bounds.lease_ttl.max(Duration::from_secs(1)) * 2));
    let (office, inbox) = Office::new(Arc::clone(&picture));
    let mut follow = parts.decisions;
    let began = begin(&mut *follow, &parts.declared);
    let decisions = Decisions::start(follow, office.clone(), parts.bounds.decisions_every)?;
    let crank = Crank {
        supervision: Supervision::new(parts.node.clone(), parts.stream),
        node: parts.node,
        keeping: Keeping::new(parts.keeper, Arc::clone(&picture), parts.bounds),
        lease: parts.lease,
        make_hand: Some(parts.hand),
        hand: None,
        office: office.clone(),
        decisions,
        inbox,
        picture,
        bounds: parts.bounds,
        declared: parts.declared,
        began,
        sinks: parts.sinks,
        tickets: BTreeMap::new(),
        next_ticket: 0,
        until: Moment(0),
        renew_at: Moment(0),
        turns: 0,
        granted_at: None,
        heard_at: Instant::now(),
        drawn_at: None,
        drawn: None,
        undrawn: false,
        told_standby: false,
    };
    // Beside reading the state back: this waits for the kernel.
    thread::Builder::new().name("room".into()).spawn(hb_actuators::process::make_room)?;
    let thread = thread::Builder::new().name("supervise".into()).spawn(move || crank.run())?;
    Ok(Running { office, thread })
}

/// Where the watches stand that declared agents name; what cannot be read now is looked for again when it is followed.
fn begin(follow: &mut dyn Follow, declared: &Declared) -> BTreeMap<WatchName, Seq> {
    let named = declared.agents.iter().filter_map(|agent| agent.watch.as_ref());
    named.filter_map(|watch| Some((watch.clone(), follow.begin(watch).ok()?))).collect()
}

struct Crank {
    node: NodeName,
    supervision: Supervision,
    keeping: Keeping,
    lease: Box<dyn Lease>,
    make_hand: Option<MakeHand>,
    hand: Option<Box<dyn Hand>>,
    office: Office,
    decisions: Decisions,
    inbox: Tray<Message>,
    picture: Arc<Pictured>,
    bounds: Bounds,
    declared: Declared,
    /// Where watches stood that declared agents name, before any watch of this node was started.
    began: BTreeMap<WatchName, Seq>,
    sinks: std::collections::BTreeSet<String>,
    tickets: BTreeMap<Ticket, Answered>,
    next_ticket: u64,
    /// Until when the lease is good on this node's own clock.
    until: Moment,
    renew_at: Moment,
    turns: u64,
    granted_at: Option<Instant>,
    /// When somebody wanted something last.
    heard_at: Instant,
    drawn_at: Option<Instant>,
    /// What it was doing then.
    drawn: Option<Presence>,
    /// Something has changed since.
    undrawn: bool,
    told_standby: bool,
}

impl Crank {
    fn run(mut self) -> Ended {
        let ended = loop {
            self.turns = self.turns.saturating_add(1);
            self.picture.beat();
            let ended = if self.supervision.presence() == Presence::Standby { self.stand_by() } else { self.work() };
            if let Some(ended) = ended {
                break ended;
            }
        };
        tracing::info!("the supervisor of node {} ends: {ended:?}", self.node);
        self.draw();
        if let Err(error) = self.lease.release() {
            tracing::warn!("the lease of the supervisor could not be given back: {error}");
        }
        // Nobody reads on: whoever waits for room or for an answer is let go before their threads are waited for.
        self.inbox.close();
        self.tickets.clear();
        if let Some(mut hand) = self.hand.take() {
            hand.stop();
        }
        self.decisions.stop();
        ended
    }

    // ------------------------------------------------------------------ standing by

    fn stand_by(&mut self) -> Option<Ended> {
        if self.office.hear_stop().is_some() {
            return Some(Ended::Drained);
        }
        for message in self.inbox.take(usize::MAX) {
            self.while_standing_by(message);
        }
        let waited = self.lease.acquire(self.bounds.follow_every);
        let read = self.read_along();
        self.picture
            .change(|picture| picture.trouble("database", read.as_ref().map(drop).map_err(ToString::to_string)));
        self.draw();
        match (waited, read) {
            (Ok(Waited::Granted { how, why }), Ok(())) => self.take_over(how, &why),
            (Ok(Waited::Granted { .. }), Err(error)) => self.unreadable(error),
            (Ok(Waited::Held), _) => {
                self.picture.change(|picture| picture.trouble("lease", Ok(())));
                if !std::mem::replace(&mut self.told_standby, true) {
                    tracing::info!("the supervisor of node {} stands by", self.node);
                }
                None
            }
            (Err(error), _) => {
                self.picture.change(|picture| picture.trouble("lease", Err(error.to_string())));
                thread::sleep(self.bounds.follow_every);
                None
            }
        }
    }

    /// What cannot be read cannot be taken over; what may be readable later is tried again, by whoever has the lease then.
    fn unreadable(&mut self, error: JournalError) -> Option<Ended> {
        drop(self.lease.release());
        self.picture.change(|picture| picture.trouble("database", Err(error.to_string())));
        match error {
            JournalError::Corrupt(what) => Some(Ended::Corrupt(what)),
            JournalError::Stopped(what) => Some(Ended::Unfinished(what)),
            JournalError::Unavailable(_) => {
                thread::sleep(self.bounds.follow_every);
                None
            }
        }
    }

    fn while_standing_by(&mut self, message: Message) {
        match message {
            Message::Declared(declared) => self.declared = *declared,
            Message::Look(look) => look(&self.supervision),
            Message::Command(_, _, answered) | Message::Beat(_, answered) => answered(Err(standing_by())),
            // Of an earlier reign of this process: whoever is active asks the world itself.
            Message::World(_) | Message::Wake => {}
        }
    }

    fn read_along(&mut self) -> Result<(), JournalError> {
        let head = self.supervision.head();
        let supervision = &mut self.supervision;
        self.keeping.keeper().follow(head, &mut |sealed| supervision.follow(sealed))
    }

    fn take_over(&mut self, how: &str, why: &str) -> Option<Ended> {
        self.granted_at = Some(Instant::now());
        // Somebody may have written between the last look and the lease.
        if let Err(error) = self.read_along() {
            return self.unreadable(error);
        }
        self.told_standby = false;
        tracing::info!("the supervisor of node {} takes over ({how}): {why}", self.node);
        self.renew_at = Moment(0);
        if let Some(ended) = self.renew() {
            return Some(ended);
        }
        // Known before the opening: what it finds in doubt is told at once.
        self.supervision.handle(Input::Sinks(self.sinks.clone()), clock::now());
        let step = self.supervision.open(how, why, clock::now());
        if let Some(ended) = self.carry_out(step, Vec::new()) {
            return Some(ended);
        }
        if let Some(at) = self.granted_at {
            self.picture.change(|picture| picture.takeover_seconds = at.elapsed().as_secs_f64());
        }
        let now = clock::now();
        self.supervision.handle(Input::Sinks(self.sinks.clone()), now);
        // In the record that makes the agents known: there is no moment at which a watch is named and its place is not on record.
        for watch in self.declared.agents.iter().filter_map(|agent| agent.watch.as_ref()) {
            if let Some(after) = self.began.get(watch) {
                self.supervision.handle(Input::Following { watch: watch.clone(), after: *after }, now);
            }
        }
        self.supervision.handle(Input::Declared(Box::new(self.declared.clone())), now);
        self.finish_turn(Vec::new())
    }

    /// From here on this node acts: whatever another one's hand still wanted to start, it cannot any more. Not before the reign is on record: a
    /// node that is refused must not have taken the hand of the one that goes on.
    fn take_hand(&mut self) -> io::Result<()> {
        if let Some(make) = self.make_hand.take() {
            let office = self.office.clone();
            self.hand = Some(make(Arc::new(move |input| office.world(input)))?);
        }
        Ok(())
    }

    // ------------------------------------------------------------------ working

    fn work(&mut self) -> Option<Ended> {
        if let Some(ended) = self.renew() {
            return Some(ended);
        }
        let mut looks = Vec::new();
        let patience = self.patience();
        let first = self.inbox.wait(TURN_MAX, patience);
        let rest = first.is_empty() && self.until_rest() == Some(Duration::ZERO);
        self.take_burst(first, &mut looks);
        if let Some((agents, reason)) = self.office.hear_stop() {
            self.supervision.handle(Input::Drain { agents, reason }, clock::now());
        }
        let ended = self.give_up_when_overdue().or_else(|| self.finish_turn(looks));
        if rest { ended.or_else(|| self.rest()) } else { ended }
    }

    /// What comes meanwhile shares the record: a burst is durable with one write rather than two. One message alone waits for nobody.
    fn take_burst(&mut self, mut messages: VecDeque<Message>, looks: &mut Vec<Look>) {
        let (mut taken, mut waited) = (0, Duration::ZERO);
        if !messages.is_empty() {
            self.heard_at = Instant::now();
        }
        while !messages.is_empty() {
            taken += messages.len();
            messages.into_iter().for_each(|message| self.take(message, looks));
            messages = self.inbox.take(TURN_MAX.saturating_sub(taken));
            while messages.is_empty() && (BURST..TURN_MAX).contains(&taken) && waited < LINGER {
                let begun = Instant::now();
                thread::yield_now();
                waited += begun.elapsed();
                messages = self.inbox.take(TURN_MAX.saturating_sub(taken));
            }
        }
    }

    /// How long to wait for a message: until the next thing is due, and no longer, so that nothing is done while nothing happens. A renewal of the lease
    /// is due four times per TTL, which shows progress too.
    fn patience(&self) -> Duration {
        let now = clock::moment();
        let until = |at: Moment| Duration::from_nanos(at.since_ns(now));
        let due = self.supervision.wake_at().map_or(self.renew_at, |at| at.min(self.renew_at));
        let drawn_at = self.drawn_at.filter(|_| self.undrawn);
        let to_draw = drawn_at.map_or(Duration::MAX, |at| PICTURE_EVERY.saturating_sub(at.elapsed()));
        until(due).min(to_draw).min(self.until_rest().unwrap_or(Duration::MAX))
    }

    /// How long nobody may want anything any more until there is something to be done at rest; nothing when there is not.
    fn until_rest(&self) -> Option<Duration> {
        let rest = if self.keeping.wants_snapshot_at_rest() {
            REST
        } else if self.keeping.wants_give_back() {
            QUIET
        } else {
            return None;
        };
        Some(rest.saturating_sub(self.heard_at.elapsed()))
    }

    /// Nobody wants anything at the moment: what others would have to wait for is done now.
    fn rest(&mut self) -> Option<Ended> {
        if self.keeping.wants_snapshot_at_rest() {
            return self.write_snapshot();
        }
        self.keeping.give_back();
        None
    }

    fn take(&mut self, message: Message, looks: &mut Vec<Look>) {
        let now = clock::now();
        match message {
            Message::World(input) => {
                self.supervision.handle(input, now);
            }
            Message::Command(person, command, answered) => {
                let ticket = self.ticket(answered);
                self.supervision.handle(Input::Command { ticket, person, command }, now);
            }
            Message::Beat(beat, answered) => {
                let ticket = self.ticket(answered);
                self.supervision.handle(Input::Beat { ticket, beat }, now);
            }
            Message::Look(look) => looks.push(look),
            Message::Declared(declared) => {
                self.declared = (*declared).clone();
                self.supervision.handle(Input::Declared(declared), now);
            }
            Message::Wake => {}
        }
    }

    fn ticket(&mut self, answered: Answered) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        let ticket = Ticket(self.next_ticket);
        self.tickets.insert(ticket, answered);
        ticket
    }

    fn finish_turn(&mut self, looks: Vec<Look>) -> Option<Ended> {
        let step = self.supervision.take(clock::now());
        self.carry_out(step, looks)
    }

    /// Makes the step durable, then acts, answers and lets people look.
    fn carry_out(&mut self, step: Step, looks: Vec<Look>) -> Option<Ended> {
        if let Some(record) = &step.record
            && let Some(ended) = self.keep(record)
        {
            return Some(ended);
        }
        if let Err(error) = self.take_hand() {
            return Some(Ended::Unfinished(format!("agents cannot be acted on: {error}")));
        }
        let mut ended = None;
        if !step.effects.is_empty() && clock::moment() >= self.until {
            // This process may have been stopped for longer than the lease: whether somebody else writes by now is the database's to say.
            ended = self.prove_reign();
        }
        if ended.is_some() {
            step.record.iter().for_each(|record| log(record));
            return ended;
        }
        let Some(hand) = &self.hand else { return ended };
        for effect in step.effects {
            match effect {
                Effect::Leave => ended = Some(Ended::Drained),
                Effect::Notify { notification, sinks } => hand.tell(notification, &sinks),
                effect @ (Effect::Spawn { .. }
                | Effect::Look { .. }
                | Effect::Adopt { .. }
                | Effect::Signal { .. }
                | Effect::CheckReady { .. }
                | Effect::Probe { .. }
                | Effect::Measure(_)
                | Effect::Call { .. }
                | Effect::Forget(_)) => hand.act(effect),
            }
        }
        for (ticket, reply) in step.replies {
            if let Some(answered) = self.tickets.remove(&ticket) {
                answered(reply);
            }
        }
        for look in looks {
            look(&self.supervision);
        }
        // Neither agents nor people wait for whoever reads the log.
        step.record.iter().for_each(|record| log(record));
        self.picture.events(self.supervision.state().counters.event);
        // Only a record that holds agents can change whom a watch speaks for; the first of a reign finds all of them.
        let first = step.record.as_ref().is_some_and(|one| matches!(one.record.body, Body::EpochOpened { .. }));
        if first || step.record.as_ref().is_some_and(|one| !one.record.body.changes().agents.is_empty()) {
            self.follow_watches();
        }
        self.undrawn |= step.record.is_some();
        self.draw_when_due();
        ended.or_else(|| self.snapshot_when_due())
    }

    fn keep(&mut self, record: &Arc<Sealed>) -> Option<Ended> {
        let (picture, office, drain_max) = (Arc::clone(&self.picture), self.office.clone(), self.bounds.drain_max);
        let kept = self.keeping.keep(record, || {
            picture.beat();
            office.stop_wanted().is_none_or(|at| at.elapsed() < drain_max)
        });
        match kept {
            Kept::Durable => None,
            Kept::Fenced(what) => Some(Ended::Fenced(what)),
            Kept::Stopped(why) => Some(Ended::Unfinished(why)),
        }
    }

    /// Writes a record that changes nothing: it is refused when somebody else has taken over.
    fn prove_reign(&mut self) -> Option<Ended> {
        tracing::warn!("the supervisor was away for longer than its lease: looking whether somebody else is active");
        let record = self.supervision.snapshot(clock::now());
        let ended = self.keep(&record);
        if ended.is_none() {
            self.keeping.snapshot_kept(&record);
            // It was ours to write just now: that is worth as much as a renewal, which may not be possible at the moment.
            self.until = clock::moment().plus_ns(ns(self.bounds.lease_ttl));
            self.renew_at = Moment(0);
        }
        ended.or_else(|| self.renew())
    }

    fn snapshot_when_due(&mut self) -> Option<Ended> {
        if self.keeping.wants_snapshot() { self.write_snapshot() } else { None }
    }

    fn write_snapshot(&mut self) -> Option<Ended> {
        if self.supervision.presence() == Presence::Standby {
            return None;
        }
        let record = self.supervision.snapshot(clock::now());
        let ended = self.keep(&record);
        if ended.is_none() {
            self.keeping.snapshot_kept(&record);
        }
        ended
    }

    /// Watches that agents name are followed from where the state says.
    fn follow_watches(&self) {
        let state = self.supervision.state();
        let named = state.agents.values().filter_map(|agent| agent.spec.watch.clone());
        let wanted = named.map(|watch| {
            let after = state.cursors.get(&watch).map(|cursor| cursor.seq);
            (watch, after)
        });
        self.decisions.watch(wanted.collect());
    }

    // ------------------------------------------------------------------ lease, stop, picture

    /// Shows progress, four times per TTL.
    fn renew(&mut self) -> Option<Ended> {
        let now = clock::moment();
        if now < self.renew_at {
            return None;
        }
        let ttl = ns(self.bounds.lease_ttl);
        let me = Holder {
            node: self.node.clone(),
            pid: std::process::id(),
            epoch: self.supervision.epoch(),
            progress: self.turns,
        };
        self.renew_at = now.plus_ns(ttl / 4);
        match self.lease.renew(&me) {
            Ok(()) => {
                self.until = now.plus_ns(ttl);
                self.picture.change(|picture| picture.trouble("lease", Ok(())));
                None
            }
            Err(error) => {
                // Losing sight of the lease does not demote a holder that can still append: the database says who is.
                self.picture.change(|picture| picture.trouble("lease", Err(error.to_string())));
                let other = self.lease.holder().ok().flatten().filter(|other| other.epoch > me.epoch);
                other.map(|other| Ended::Fenced(format!("node {} opened epoch {}", other.node, other.epoch)))
            }
        }
    }

    fn give_up_when_overdue(&mut self) -> Option<Ended> {
        let at = self.office.stop_wanted()?;
        let overdue = at.elapsed() > self.bounds.drain_max;
        overdue.then(|| Ended::Unfinished("agents were still being stopped when the time for it was over".into()))
    }

    /// Draws when there is something new to be seen, at once where this process does something else by now.
    fn draw_when_due(&mut self) {
        let presence = self.supervision.presence();
        let turned = self.drawn.is_none_or(|drawn| discriminant(&drawn) != discriminant(&presence));
        self.undrawn |= self.drawn != Some(presence);
        let every = if self.inbox.is_empty() { PICTURE_EVERY } else { PICTURE_EVERY_BUSY };
        let due = self.drawn_at.is_none_or(|at| at.elapsed() >= every);
        if turned || (self.undrawn && due) {
            self.draw();
        }
    }

    fn draw(&mut self) {
        self.drawn_at = Some(Instant::now());
        (self.drawn, self.undrawn) = (Some(self.supervision.presence()), false);
        let (supervision, granted) = (&self.supervision, self.granted_at);
        self.picture.change(|picture| {
            picture.look(supervision);
            if picture.presence == Presence::Running && picture.recovered_seconds.is_none() {
                picture.recovered_seconds = granted.map(|at| at.elapsed().as_secs_f64());
            }
        });
    }
}

/// What happened, for those who read the log; all of it stands in the database.
fn log(record: &Sealed) {
    for event in record.record.body.events() {
        let about = event.about.agent.as_ref().map(ToString::to_string);
        let about = about.or_else(|| event.about.supervisor.as_ref().map(ToString::to_string)).unwrap_or_default();
        let (kind, message) = (&event.kind, &event.message);
        match event.severity {
            Severity::Info => tracing::info!("{about} {kind}: {message}"),
            Severity::Warning => tracing::warn!("{about} {kind}: {message}"),
            Severity::Error | Severity::Critical => tracing::error!("{about} {kind}: {message}"),
        }
    }
}

/// The answer of a standby.
fn standing_by() -> Refusal {
    Refusal::new(Why::Conflict, "this node stands by: ask the active one (hb status names it)")
}
