//! A disk, a lease, hands and decisions in memory, and how tests wait: for states, with a bound that only a fault reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hb_core::ids::{AgentId, CycleNo, NodeName, Seq, StreamName, WatchName};
use hb_core::journal::Head;
use hb_core::supervise::Presence;
use hb_core::supervise::agent::{Agent, Identity};
use hb_core::supervise::alert::Notification;
use hb_core::supervise::input::{Command, Decision, Declared, Input, Person, Role};
use hb_core::supervise::spec::AgentSpec;
use hb_core::supervise::state::{Body, Fold, Sealed};
use hb_core::supervise::step::{Effect, Reply};
use hb_core::time::Stamp;
use hb_daemon::supervise::{Bounds, Follow, Hand, Keeper, Office, Running, SupervisorParts, start};
use hb_daemon::{Ended, clock};
use hb_store::port::{Appended, Holder, JournalError, Lease, LeaseError, Standing, Waited};
use serde_json::{Value, json};

/// Longest wait for anything: reached by a fault alone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it never came to this: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// How the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Full,
    /// It cannot be read, so many times.
    Unreadable(u32),
}

/// What is shared by all nodes of a site.
pub(crate) struct Shared {
    pub(crate) records: Vec<Sealed>,
    pub(crate) mood: Mood,
    pub(crate) holder: Option<NodeName>,
    pub(crate) lease_broken: bool,
    pub(crate) floors: Vec<Seq>,
    /// What happened, in its order: `commit 3`, `act spawn a`, `answer made a`.
    pub(crate) log: Vec<String>,
    pub(crate) decisions: BTreeMap<WatchName, Vec<Decision>>,
    /// Where decisions were asked from.
    pub(crate) asked: Vec<(WatchName, Option<Seq>)>,
    pub(crate) decisions_broken: bool,
    /// Decisions that were handed out.
    pub(crate) handed_out: usize,
    /// What the hands still tell before they end.
    pub(crate) last_words: usize,
    pids: u32,
}

#[derive(Clone)]
pub(crate) struct Site(Arc<Mutex<Shared>>);

impl Site {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Shared {
            records: Vec::new(),
            mood: Mood::Well,
            holder: None,
            lease_broken: false,
            floors: Vec::new(),
            log: Vec::new(),
            decisions: BTreeMap::new(),
            asked: Vec::new(),
            decisions_broken: false,
            handed_out: 0,
            last_words: 0,
            pids: 0,
        })))
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap()
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.get().mood = mood;
    }

    pub(crate) fn fold(&self) -> Fold {
        let mut fold = Fold::default();
        self.get().records.iter().for_each(|sealed| fold.push(sealed.clone()));
        fold
    }

    pub(crate) fn agent(&self, id: &str) -> Option<Agent> {
        self.fold().state.agents.get(&AgentId::from(id)).cloned()
    }

    pub(crate) fn openings(&self) -> usize {
        self.get().records.iter().filter(|one| matches!(one.record.body, Body::EpochOpened { .. })).count()
    }

    pub(crate) fn log(&self, line: impl Into<String>) {
        self.get().log.push(line.into());
    }

    pub(crate) fn place(&self, line: &str) -> Option<usize> {
        self.get().log.iter().position(|one| one.starts_with(line))
    }

    pub(crate) fn node(&self, name: &str) -> Node {
        self.node_with(name, Declared::default(), bounds())
    }

    pub(crate) fn node_with(&self, name: &str, declared: Declared, bounds: Bounds) -> Node {
        let site = self.clone();
        let parts = SupervisorParts {
            node: name.into(),
            stream: StreamName::supervisor("main"),
            keeper: Box::new(Disk(self.clone())),
            lease: Box::new(Right { site: self.clone(), me: name.into() }),
            hand: Box::new(move |emit| {
                site.log("hand");
                Ok(Box::new(Hands::start(site, emit)) as Box<dyn Hand>)
            }),
            sinks: ["pager".to_owned()].into(),
            declared,
            decisions: Box::new(Decided(self.clone())),
            bounds,
        };
        Node { running: start(parts).unwrap() }
    }

    /// Another node, of which nothing is known here, opens an epoch.
    pub(crate) fn usurp(&self) {
        let mut other = hb_core::supervise::Supervision::new("other".into(), StreamName::supervisor("main"));
        let mut shared = self.get();
        shared.records.iter().for_each(|sealed| other.follow(sealed.clone()));
        let record = other.open("granted", "it thinks so", clock::now()).record.unwrap();
        shared.records.push(Sealed::clone(&record));
    }
}

pub(crate) fn bounds() -> Bounds {
    let ms = Duration::from_millis;
    Bounds {
        follow_every: ms(5),
        decisions_every: ms(5),
        drain_max: PATIENCE,
        lease_ttl: ms(60_000),
        ..Bounds::default()
    }
}

/// A running node.
pub(crate) struct Node {
    pub(crate) running: Running,
}

impl Node {
    pub(crate) fn office(&self) -> &Office {
        &self.running.office
    }

    /// Waits until it works.
    pub(crate) fn works(self) -> Self {
        until("it works", || self.running.office.picture().get().presence == Presence::Running);
        self
    }

    pub(crate) fn want(&self, command: Command) -> Receiver<Reply> {
        let (tell, told) = channel();
        let person = Person { actor: "token:ada".into(), role: Role::Admin };
        // Where the node has ended meanwhile nothing is ever told.
        let taken = self.office().command(person, command, move |reply| drop(tell.send(reply)));
        assert!(taken.is_ok() || self.running.has_ended(), "{taken:?}");
        told
    }

    pub(crate) fn ask(&self, command: Command) -> Reply {
        self.want(command).recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn trouble(&self, what: &str) -> Option<String> {
        let troubles = self.office().picture().get().troubles;
        troubles.into_iter().find(|(name, _)| name == what).map(|(_, why)| why)
    }

    /// How it ends; a loop that hangs is a fault.
    pub(crate) fn ends(self) -> Ended {
        until("it ends", || self.running.has_ended());
        self.running.join()
    }

    pub(crate) fn stop(self) -> Ended {
        self.office().stop(hb_core::supervise::input::OnStop::Leave, "asked to");
        self.ends()
    }
}

/// Whether whoever waits for an answer has been let go without one.
pub(crate) fn let_go(told: &Receiver<Reply>) -> bool {
    matches!(told.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected))
}

pub(crate) fn spec(id: &str, mut rest: Value) -> AgentSpec {
    rest["id"] = json!(id);
    serde_json::from_value(rest).unwrap()
}

pub(crate) fn process(id: &str) -> Command {
    Command::RegisterAgent(Box::new(spec(id, json!({"process": {"command": ["x"]}}))))
}

// ---------------------------------------------------------------------- the parts

struct Disk(Site);

impl Keeper for Disk {
    fn follow(&mut self, head: Option<Head>, each: &mut dyn FnMut(Sealed)) -> Result<(), JournalError> {
        let mut shared = self.0.get();
        if let Mood::Unreadable(times) = shared.mood {
            shared.mood = if times > 1 { Mood::Unreadable(times - 1) } else { Mood::Well };
            return Err(JournalError::Unavailable("locked".into()));
        }
        let from = match head {
            Some(head) => head.seq.next(),
            None => {
                let snapshots = shared.records.iter().rev();
                let found = snapshots.map(|one| &one.record).find(|one| matches!(one.body, Body::Snapshot { .. }));
                found.map_or(Seq(0), |record| record.seq)
            }
        };
        shared.records.iter().filter(|one| one.record.seq >= from).for_each(|one| each(one.clone()));
        Ok(())
    }

    fn commit(&mut self, records: &[Arc<Sealed>]) -> Appended {
        let mut shared = self.0.get();
        if shared.mood == Mood::Full {
            return Appended::Failed("no space".into());
        }
        for record in records {
            let seq = record.record.seq;
            let next = shared.records.last().map_or(Seq(0), |last| last.record.seq.next());
            if seq != next {
                return Appended::Refused(Standing::Taken(b"somebody else's".to_vec()));
            }
            shared.records.push(Sealed::clone(record));
            shared.log.push(format!("commit {}", seq.0));
        }
        Appended::Committed
    }

    fn trim(&mut self, floor: Seq) -> Result<u64, JournalError> {
        let mut shared = self.0.get();
        shared.floors.push(floor);
        shared.records.retain(|one| one.record.seq >= floor);
        Ok(0)
    }
}

struct Right {
    site: Site,
    me: NodeName,
}

impl Lease for Right {
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError> {
        {
            let mut shared = self.site.get();
            if shared.holder.as_ref().is_none_or(|holder| *holder == self.me) {
                shared.holder = Some(self.me.clone());
                return Ok(Waited::Granted { how: "memory", why: "free".into() });
            }
        }
        thread::sleep(patience);
        Ok(Waited::Held)
    }

    fn renew(&mut self, _: &Holder) -> Result<(), LeaseError> {
        if self.site.get().lease_broken { Err(LeaseError("out of sight".into())) } else { Ok(()) }
    }

    fn release(&mut self) -> Result<(), LeaseError> {
        let mut shared = self.site.get();
        if shared.holder.as_ref() == Some(&self.me) {
            shared.holder = None;
        }
        Ok(())
    }

    fn holder(&mut self) -> Result<Option<Holder>, LeaseError> {
        Ok(None)
    }
}

/// Starts what is to be started, adopts what is asked about, and tells so from a thread of its own.
struct Hands {
    site: Site,
    out: Option<std::sync::mpsc::Sender<Input>>,
    thread: Option<JoinHandle<()>>,
}

impl Hands {
    fn start(site: Site, emit: Arc<dyn Fn(Input) + Send + Sync>) -> Self {
        let (out, inbox) = channel();
        let words = site.clone();
        let tell = move || {
            for input in inbox {
                emit(input);
            }
            // As when much happens at the end: what is told now finds a full house.
            let words = words.get().last_words;
            (0..words).for_each(|_| emit(Input::Used(Vec::new())));
        };
        Self { site, out: Some(out), thread: Some(thread::spawn(tell)) }
    }
}

impl Hand for Hands {
    fn act(&self, effect: Effect) {
        let answer = match effect {
            Effect::Spawn { agent, incarnation, .. } => {
                self.site.log(format!("act spawn {agent}"));
                let pid = {
                    let mut shared = self.site.get();
                    shared.pids += 1;
                    shared.pids
                };
                let identity = Identity { pid, start_ticks: 1, boot: "boot".into() };
                Input::Spawned { agent, incarnation, identity }
            }
            Effect::Adopt { agent, identity, .. } => {
                self.site.log(format!("act adopt {agent}"));
                Input::Adopted { agent, identity }
            }
            _ => return,
        };
        if let Some(out) = &self.out {
            out.send(answer).unwrap();
        }
    }

    fn tell(&self, notification: Notification, _: &BTreeSet<String>) {
        self.site.log(format!("tell {}", notification.key));
    }

    fn stop(&mut self) {
        self.out = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Decided(Site);

impl Follow for Decided {
    /// At what was decided last, as the journal's newest record is by then.
    fn begin(&mut self, watch: &WatchName) -> Result<Seq, String> {
        let shared = self.0.get();
        if shared.decisions_broken {
            return Err("a record is damaged".into());
        }
        Ok(shared.decisions.get(watch).and_then(|all| all.last()).map_or(Seq(0), |last| last.seq))
    }

    fn poll(&mut self, watch: &WatchName, after: Option<Seq>) -> Result<Vec<Decision>, String> {
        let mut shared = self.0.get();
        shared.asked.push((watch.clone(), after));
        if shared.decisions_broken {
            return Err("a record is damaged".into());
        }
        let all = shared.decisions.get(watch).cloned().unwrap_or_default();
        let new: Vec<Decision> = all.into_iter().filter(|one| after.is_none_or(|after| one.seq > after)).collect();
        shared.handed_out += new.len();
        Ok(new)
    }
}

pub(crate) fn decision(seq: u64, status: &str) -> Decision {
    Decision {
        watch: "w".into(),
        seq: Seq(seq),
        cycle: CycleNo(seq),
        status: status.into(),
        end: Stamp(0),
        drivers: Vec::new(),
    }
}
