//! What many watches on several nodes take: `cargo run -p hb-daemon --example many_watches -- [WATCHES] [NODES] [SECONDS]`.
//!
//! All nodes run in this process, on a register and a journal in memory, each watch with cycles of one second that the wall clock closes.
//! After a while one node is cut off from register and journal, as if its machine had gone. Told: threads and memory for each
//! watch, how long others took to take its watches over, and whether every cycle was decided on time.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement tells its figures on stdout and ends when something is not as it should be"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::journal::Hash;
use hb_core::mark::Mark;
use hb_core::node::fact::{Body, Sealed};
use hb_core::node::view::{Role, View};
use hb_core::time::{SECOND_NS, Stamp};
use hb_core::watch::baseline::Baseline;
use hb_core::watch::sample::{Batch, NewName, Sample};
use hb_core::watch::settings::WatchSettings;
use hb_daemon::fleet::{Fleet, FleetBounds, FleetParts, MakeParts};
use hb_daemon::parts::Documents;
use hb_daemon::{Bounds, Mode, Parts, ViewFault, Views, WatchParts, clock};
use hb_sources::{Polled, Rereads, Source, SourceError};
use hb_store::journal::memory::MemoryJournal;
use hb_store::port::{Appended, Journal, JournalError};
use hb_store::reader::read_sound;
use hb_store::register::memory::MemoryRegister;
use hb_store::register::{Cell, CellVersion, Register, RegisterError, Swapped, Woken};

const TTL: Duration = Duration::from_secs(3);

/// A reading every half second.
struct Ticks {
    next: i64,
    fresh: bool,
}

const EVERY: i64 = SECOND_NS / 2;

impl Ticks {
    fn mark(&self) -> Mark {
        Mark { position: u64::try_from(self.next / EVERY).unwrap_or(0), token: "tick".into() }
    }
}

impl Source for Ticks {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let now = clock::wall();
        let until = self.next - now.0;
        if until > 0 {
            let rest = Duration::from_nanos(u64::try_from(until).unwrap_or(0)).min(patience);
            thread::sleep(rest);
            if i64::try_from(rest.as_nanos()).unwrap_or(i64::MAX) < until {
                return Ok(Polled::Idle { mark: self.mark(), looked_at: now });
            }
        }
        let (start, at) = (self.mark(), Stamp(self.next));
        self.next += EVERY;
        let names = if self.fresh { vec![NewName { name: "x".into(), unit: None }] } else { Vec::new() };
        let samples = vec![Sample { slot: 0, offset: 0, at, value: 1.0 }];
        let batch = Batch {
            reset: std::mem::take(&mut self.fresh),
            names,
            samples,
            start,
            end: self.mark(),
            ..Batch::default()
        };
        Ok(Polled::Batch(batch))
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        let position =
            mark.map_or_else(|| clock::wall().0 / EVERY + 1, |mark| i64::try_from(mark.position).unwrap_or(0));
        (self.next, self.fresh) = (position * EVERY, true);
        Ok(())
    }

    fn rereads(&self) -> Rereads {
        Rereads::Yes
    }
}

#[derive(Debug)]
struct Nothing;

impl Views for Nothing {
    fn catch_up(&mut self, _watch: &WatchName) -> Vec<ViewFault> {
        Vec::new()
    }
    fn show(&mut self, _watch: &WatchName, _sealed: &Sealed, _baseline: Option<&Baseline>) -> Vec<ViewFault> {
        Vec::new()
    }
    fn node(&mut self, _view: &View) {}
    fn check(&mut self) -> Vec<(String, Result<(), String>)> {
        Vec::new()
    }
}

impl Documents for Nothing {
    fn put(&mut self, _hash: Hash, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn get(&mut self, hash: Hash) -> Result<Arc<Baseline>, String> {
        Err(format!("nothing keeps {hash}"))
    }
    fn lend(&mut self, _hash: Hash, _document: &Arc<Baseline>) {}
}

/// A way to the register that can be cut, and that counts requests.
#[derive(Debug)]
struct Line(MemoryRegister, Arc<AtomicBool>, Arc<AtomicU64>);

impl Line {
    fn open(&self) -> Result<(), RegisterError> {
        self.2.fetch_add(1, Ordering::Relaxed);
        if self.1.load(Ordering::Acquire) { Err(RegisterError("cut".into())) } else { Ok(()) }
    }
}

impl Register for Line {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        self.open().and_then(|()| self.0.read(name))
    }
    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        self.open().map_or_else(|error| Swapped::Failed(error.0), |()| self.0.swap(name, seen, bytes))
    }
    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        self.open().map_or_else(|error| Swapped::Failed(error.0), |()| self.0.remove(name, seen))
    }
    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        self.open().and_then(|()| self.0.list(prefix, most))
    }
    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        self.open().and_then(|()| self.0.wait(name, seen, patience))
    }
}

/// A way to the journal that can be cut.
struct Wire(MemoryJournal, Arc<AtomicBool>);

impl Wire {
    fn open(&self) -> Result<(), JournalError> {
        if self.1.load(Ordering::Acquire) { Err(JournalError::Unavailable("cut".into())) } else { Ok(()) }
    }
}

impl Journal for Wire {
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
        self.open().and_then(|()| self.0.head(stream))
    }
    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        self.open().map_or_else(|error| Appended::Failed(error.to_string()), |()| self.0.append(stream, seq, bytes))
    }
    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.open().and_then(|()| self.0.read(stream, from, most))
    }
    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        self.open().and_then(|()| self.0.trim(stream, floor))
    }
    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError> {
        self.open().and_then(|()| self.0.floor(stream))
    }
}

fn maker(node: String, journal: MemoryJournal, cut: Arc<AtomicBool>) -> MakeParts {
    Box::new(move |watch, lease| {
        let mut settings = WatchSettings::named(watch.as_str(), SECOND_NS);
        (settings.learn.auto, settings.alert.sinks) = (false, Vec::new());
        let source = Box::new(|| Ok(Box::new(Ticks { next: 0, fresh: true }) as Box<dyn Source>));
        Ok(Parts {
            node: node.as_str().into(),
            watches: vec![WatchParts { settings: Arc::new(settings), source, sinks: Vec::new() }],
            journal: Box::new(Wire(journal.clone(), Arc::clone(&cut))),
            lease,
            board: None,
            documents: Box::new(Nothing),
            views: Box::new(Nothing),
            mode: Mode::Serve,
            bounds: Bounds { lease_ttl: TTL, ..Bounds::default() },
        })
    })
}

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux tells of its processes");
    let line = text.lines().find(|line| line.starts_with(key)).expect("every process has it");
    line.split_whitespace().nth(1).and_then(|figure| figure.parse().ok()).expect("it is a figure")
}

fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux tells of its processes");
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// The nodes, with what cuts each off.
type Nodes = Vec<(Fleet, Arc<AtomicBool>)>;

/// What all nodes share.
#[derive(Default)]
struct World {
    names: BTreeSet<WatchName>,
    register: MemoryRegister,
    journal: MemoryJournal,
    requests: Arc<AtomicU64>,
}

impl World {
    fn start(&self, nodes: usize) -> Nodes {
        let start = |number: usize| {
            let (node, cut) = (format!("node-{number}"), Arc::<AtomicBool>::default());
            let bounds = FleetBounds { lease_ttl: TTL, watches_max: 100_000, warm_max: 64, priority: 50 };
            let line = Line(self.register.clone(), Arc::clone(&cut), Arc::clone(&self.requests));
            let make = maker(node.clone(), self.journal.clone(), Arc::clone(&cut));
            let (node, watches) = (node.as_str().into(), self.names.clone());
            let parts = FleetParts { node, watches, make, register: Box::new(line), bounds };
            (Fleet::start(parts).expect("threads can be started"), cut)
        };
        (0..nodes).map(start).collect()
    }

    /// Waits until every watch is somebody's; gives how long that took.
    fn claimed(&self, nodes: &Nodes) -> f64 {
        let begun = Instant::now();
        let held = || nodes.iter().map(|(fleet, _)| fleet.seats().held.len()).sum::<usize>();
        while held() < self.names.len() {
            thread::sleep(Duration::from_millis(5));
        }
        begun.elapsed().as_secs_f64()
    }

    /// Looks at every stream: how late each cycle was decided, and how long after `death` each orphan was written to again.
    fn look(&self, orphans: &BTreeSet<WatchName>, death: Stamp) -> (Vec<f64>, Vec<f64>) {
        let (mut late, mut gaps) = (Vec::new(), Vec::new());
        for watch in &self.names {
            let stream = StreamName::watch(watch);
            let records = read_sound(&mut self.journal.clone(), &stream, Seq(0), usize::MAX >> 1);
            let records = records.expect("the journal is sound");
            let mut next = 0;
            for sealed in &records {
                let Body::CycleDecided(decided) = &sealed.record.body else { continue };
                assert_eq!(decided.decision.cycle.0, next, "a cycle of {watch} is missing or twice");
                next += 1;
                if next > 1 {
                    late.push(sealed.record.at.since_ns(decided.decision.span.end) as f64 / 1e9);
                }
            }
            let opened =
                |sealed: &&Sealed| matches!(sealed.record.body, Body::EpochOpened { .. }) && sealed.record.at > death;
            let taken = records.iter().find(opened).filter(|_| orphans.contains(watch));
            gaps.extend(taken.map(|sealed| sealed.record.at.since_ns(death) as f64 / 1e9));
        }
        (late, gaps)
    }
}

fn tell(what: &str, mut figures: Vec<f64>) {
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1) as f64;
    let at = |part: f64| figures.get((last * part) as usize).copied().unwrap_or(f64::NAN);
    let (median, most, worst, count) = (at(0.5), at(0.99), at(1.0), figures.len());
    println!("{what}: median {median:.2} s, 99 % {most:.2} s, worst {worst:.2} s of {count}");
}

/// What it takes while nothing happens.
fn rest(world: &World, seconds: u64, nodes: usize, bare: (u64, u64)) {
    thread::sleep(Duration::from_secs(2));
    let (busy, asked, since) = (processor(), world.requests.load(Ordering::Relaxed), Instant::now());
    thread::sleep(Duration::from_secs(seconds));
    let spent = since.elapsed().as_secs_f64();
    let (threads, kilobytes) = (status("Threads") - bare.0, (status("VmRSS") - bare.1) as f64);
    let (megabytes, each) = (kilobytes / 1024.0, kilobytes / world.names.len() as f64);
    println!("all nodes together: {threads} threads, {megabytes:.0} MB more; {each:.1} KB for each watch");
    let busy = (processor() - busy) / spent * 100.0;
    let asked = (world.requests.load(Ordering::Relaxed) - asked) as f64 / spent / nodes as f64;
    println!("processor: {busy:.1} % of one core; register: {asked:.2} requests/s for each node");
}

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().expect("a number"));
    let (watches, nodes, seconds) = (args.next().unwrap_or(1_000), args.next().unwrap_or(3), args.next().unwrap_or(10));
    let names = (0..watches).map(|number| format!("watch-{number}").into()).collect();
    let world = World { names, ..World::default() };
    let bare = (status("Threads"), status("VmRSS"));
    let mut fleets = world.start(nodes);
    println!("{watches} watches are claimed by {nodes} nodes after {:.1} s", world.claimed(&fleets));
    rest(&world, seconds as u64, nodes, bare);

    let (dead, cut) = fleets.remove(0);
    let (orphans, death) = (dead.seats().held, clock::wall());
    cut.store(true, Ordering::Release);
    let took = world.claimed(&fleets);
    println!("a node of {} watches is cut off; the others had claimed them after {took:.2} s", orphans.len());
    thread::sleep(Duration::from_secs(8));
    let (late, gaps) = world.look(&orphans, death);
    tell("from the cut to the first record of the next node", gaps);
    tell("from the end of a cycle to its record, the cut included", late);
    let works = dead.views().values().filter(|view| view.role == Role::Active).count();
    println!("the one that was cut off works for {works} watches");
    for (fleet, _) in fleets {
        fleet.stop("measured");
    }
}
