//! What many watches on several nodes take: `cargo run -p hb-daemon --example many_watches -- [WATCHES] [NODES] [SECONDS]`.
//!
//! All nodes run in this process, on a register and a journal in memory, each watch with cycles of one second that the wall clock closes.
//! After a while one node is cut off from register and journal, as if its machine had gone. Told: threads and memory for each
//! watch, how long others took to take its watches over, and whether every cycle was decided on time.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a measurement tells its figures on stdout and ends when something is not as it should be"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::journal::Hash;
use hb_core::mark::Mark;
use hb_core::node::fact::{Body, Sealed};
use hb_core::node::view::{Role, View};
use hb_core::time::SECOND_NS;
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
        let (start, at) = (self.mark(), hb_core::time::Stamp(self.next));
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
struct Line(MemoryRegister, Arc<AtomicBool>, Arc<std::sync::atomic::AtomicU64>);

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

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().expect("a number"));
    let (watches, nodes, seconds) = (args.next().unwrap_or(1_000), args.next().unwrap_or(3), args.next().unwrap_or(10));
    let names: BTreeSet<WatchName> = (0..watches).map(|number| format!("watch-{number}").into()).collect();
    let (register, journal) = (MemoryRegister::new(), MemoryJournal::new());
    let (bare, bare_threads) = (status("VmRSS"), status("Threads"));
    let requests = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut fleets = Vec::new();
    for number in 0..nodes {
        let (node, cut) = (format!("node-{number}"), Arc::new(AtomicBool::new(false)));
        let bounds = FleetBounds { lease_ttl: TTL, watches_max: 100_000, warm_max: 64, priority: 50 };
        let line = Box::new(Line(register.clone(), Arc::clone(&cut), Arc::clone(&requests)));
        let make = maker(node.clone(), journal.clone(), Arc::clone(&cut));
        let parts = FleetParts { node: node.as_str().into(), watches: names.clone(), make, register: line, bounds };
        fleets.push((Fleet::start(parts).expect("threads can be started"), cut));
    }
    let all =
        |fleets: &[(Fleet, Arc<AtomicBool>)]| fleets.iter().map(|(fleet, _)| fleet.seats().held.len()).sum::<usize>();
    let begun = Instant::now();
    while all(&fleets) < watches {
        thread::sleep(Duration::from_millis(10));
    }
    println!("{watches} watches are claimed by {nodes} nodes after {:.1} s", begun.elapsed().as_secs_f64());
    thread::sleep(Duration::from_secs(2));
    let (busy, asked, since) = (processor(), requests.load(Ordering::Relaxed), Instant::now());
    thread::sleep(Duration::from_secs(seconds as u64));
    let spent = since.elapsed().as_secs_f64();
    let (threads, kilobytes) = (status("Threads") - bare_threads, status("VmRSS") - bare);
    println!(
        "all nodes together: {threads} threads, {:.0} MB more; {:.1} KB for each watch",
        kilobytes as f64 / 1024.0,
        kilobytes as f64 / watches as f64
    );
    println!(
        "processor: {:.1} % of one core; register: {:.2} requests/s for each node",
        (processor() - busy) / spent * 100.0,
        (requests.load(Ordering::Relaxed) - asked) as f64 / spent / nodes as f64
    );

    let (dead, cut) = fleets.remove(0);
    let orphans = dead.seats().held;
    let (died, killed_at) = (Instant::now(), clock::wall());
    cut.store(true, Ordering::Release);
    while all(&fleets) < watches {
        thread::sleep(Duration::from_millis(5));
    }
    println!(
        "a node of {} watches died; the others had claimed them after {:.2} s",
        orphans.len(),
        died.elapsed().as_secs_f64()
    );
    thread::sleep(Duration::from_secs(5));
    let (mut gaps, mut late) = (Vec::new(), Vec::new());
    for watch in &names {
        let stream = StreamName::watch(watch);
        let records = read_sound(&mut journal.clone(), &stream, Seq(0), usize::MAX >> 1).expect("the journal is sound");
        let cycles = records.iter().filter_map(|sealed| match &sealed.record.body {
            Body::CycleDecided(decided) => Some((sealed.record.at, decided)),
            _ => None,
        });
        let mut next = 0;
        for (at, decided) in cycles {
            assert_eq!(decided.decision.cycle.0, next, "a cycle of {watch} is missing or twice");
            next += 1;
            let after = at.since_ns(decided.decision.span.end) as f64 / 1e9;
            if next > 1 {
                late.push(after);
            }
        }
        let taken = records.iter().find(|sealed| {
            orphans.contains(watch)
                && sealed.record.at > killed_at
                && matches!(sealed.record.body, Body::EpochOpened { .. })
        });
        gaps.extend(taken.map(|sealed| sealed.record.at.since_ns(killed_at) as f64 / 1e9));
    }
    let tell = |what: &str, figures: &mut Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        let at =
            |part: f64| figures.get(((figures.len().max(1) - 1) as f64 * part) as usize).copied().unwrap_or(f64::NAN);
        println!(
            "{what}: median {:.2} s, 99 % {:.2} s, worst {:.2} s of {}",
            at(0.5),
            at(0.99),
            at(1.0),
            figures.len()
        );
    };
    tell("from the death to the first record of the next node", &mut gaps);
    tell("from the end of a cycle to its record, the death included", &mut late);
    println!(
        "the one that was cut off works for {} watches",
        dead.views().values().filter(|view| view.role == Role::Active).count()
    );
    for (fleet, _) in fleets {
        fleet.stop("measured");
    }
}
