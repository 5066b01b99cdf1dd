//! Many watches on many nodes: shared out, moved on failure and when asked, each cycle decided once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hb_core::ids::{StreamName, WatchName};
use hb_core::node::fact::Body;
use hb_daemon::fleet::{Fleet, FleetBounds, FleetParts};
use hb_store::register::memory::MemoryRegister;
use hb_store::register::{Cell, CellVersion, Register, RegisterError, Swapped, Woken};

use super::stage::{Stage, cycles, settings, until};

const TTL: Duration = Duration::from_millis(1_600);

/// A way to the register that can be cut.
#[derive(Debug, Clone)]
struct Line {
    register: MemoryRegister,
    cut: Arc<AtomicBool>,
}

impl Line {
    fn ask<T>(
        &mut self,
        ask: impl FnOnce(&mut MemoryRegister) -> Result<T, RegisterError>,
    ) -> Result<T, RegisterError> {
        if self.cut.load(Ordering::Acquire) { Err(RegisterError("no route".into())) } else { ask(&mut self.register) }
    }
}

impl Register for Line {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        self.ask(|register| register.read(name))
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        self.ask(|register| Ok(register.swap(name, seen, bytes))).unwrap_or_else(|error| Swapped::Failed(error.0))
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        self.ask(|register| Ok(register.remove(name, seen))).unwrap_or_else(|error| Swapped::Failed(error.0))
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        self.ask(|register| register.list(prefix, most))
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        self.ask(|register| register.wait(name, seen, patience))
    }
}

/// A world of many watches.
struct World {
    stage: Stage,
    register: MemoryRegister,
    bounds: FleetBounds,
    told: i64,
}

struct Member {
    fleet: Fleet,
    cut: Arc<AtomicBool>,
}

impl Member {
    fn held(&self) -> usize {
        self.fleet.seats().held.len()
    }
}

impl World {
    fn new(watches: usize) -> Self {
        let mut stage = Stage::new(settings("w0"));
        stage.watches = (0..watches).map(|number| (settings(&format!("w{number}")), Arc::default())).collect();
        stage.bounds.lease_ttl = TTL;
        let bounds = FleetBounds { lease_ttl: TTL, watches_max: 1_000, warm_max: 64, priority: 50 };
        Self { stage, register: MemoryRegister::new(), bounds, told: 0 }
    }

    fn names(&self) -> BTreeSet<WatchName> {
        self.stage.watches.iter().map(|(settings, _)| settings.name.clone()).collect()
    }

    fn start(&self, node: &str) -> Member {
        let cut = Arc::<AtomicBool>::default();
        let line = Line { register: self.register.clone(), cut: Arc::clone(&cut) };
        let parts = FleetParts {
            node: node.into(),
            watches: self.names(),
            make: self.stage.maker(node),
            register: Box::new(line),
            bounds: self.bounds,
        };
        Member { fleet: Fleet::start(parts).unwrap(), cut }
    }

    /// More cycles of every watch; all but the newest are decided, each once.
    fn cycles(&mut self, more: i64) {
        for (_, tape) in &self.stage.watches {
            tape.cycles(self.told..self.told + more);
        }
        self.told += more;
        let all = usize::try_from(self.told - 1).unwrap();
        for name in self.names() {
            until("every cycle of every watch is decided", || cycles(&self.stage.records_of(&name)).len() >= all);
        }
    }

    fn writers(&self) -> BTreeSet<String> {
        let newest = |name: &WatchName| self.stage.stream(&StreamName::watch(name)).pop();
        self.names().iter().filter_map(newest).map(|sealed| sealed.record.node.to_string()).collect()
    }
}

#[test]
fn watches_are_shared_out_move_when_a_node_is_cut_off_and_no_cycle_is_lost() {
    let mut world = World::new(24);
    let members = [world.start("a"), world.start("b"), world.start("c")];
    until("they share the watches out", || members.iter().all(|member| member.held() == 8));
    world.cycles(3);
    assert_eq!(world.writers().len(), 3);
    let next = || members.iter().map(|member| member.fleet.seats().next.len()).sum::<usize>();
    until("one is next in line for each", || next() == 24);

    // Cut off from the register alone, a node works on until others take over: the journal fences it.
    members[0].cut.store(true, Ordering::Release);
    until("the others have its watches", || members[1].held() == 12 && members[2].held() == 12);
    world.cycles(3);
    until("the journal shows the others alone", || !world.writers().contains("a"));
    assert!(members[0].fleet.seats().trouble.is_some());

    // Back again it gets nothing until somebody asks for it.
    members[0].cut.store(false, Ordering::Release);
    until("it knows that it holds nothing", || members[0].held() == 0 && members[0].fleet.seats().trouble.is_none());
    let before = members[0].fleet.seats().rounds;
    until("some rounds have passed", || members[0].fleet.seats().rounds > before + 3);
    assert_eq!(members[0].held(), 0);
    members[1].fleet.rebalance("ada".into(), "a is back".into());
    until("they are spread evenly", || members.iter().all(|member| member.held() == 8));
    world.cycles(3);
    assert_eq!(world.writers().len(), 3);
    let moved = world.names().iter().any(|name| {
        let records = world.stage.records_of(name);
        let told = |body: &Body| matches!(body, Body::EpochClosed { reason } if reason.contains("by ada: a is back"));
        records.iter().any(|sealed| told(&sealed.record.body))
    });
    assert!(moved, "the reason is on record");

    for member in members {
        member.fleet.stop("the test is over");
    }
    assert!(world.register.list("fleet/session/", 10).unwrap().is_empty(), "sessions are taken down");
}

#[test]
fn a_node_that_ends_hands_its_watches_on_at_once() {
    let mut world = World::new(12);
    let (first, second) = (world.start("a"), world.start("b"));
    until("they share the watches out", || first.held() == 6 && second.held() == 6);
    world.cycles(2);
    first.fleet.stop("new kernel");
    until("the other one has all", || second.held() == 12);
    world.cycles(2);
    assert_eq!(world.writers(), BTreeSet::from(["b".to_owned()]));
    let reasons: Vec<String> = world
        .names()
        .iter()
        .flat_map(|name| world.stage.records_of(name))
        .filter_map(|sealed| match &sealed.record.body {
            Body::EpochOpened { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons.iter().filter(|reason| *reason == "a handed it over").count(), 6, "{reasons:?}");
    second.fleet.stop("the test is over");
}

#[test]
fn b1_limits_hold_what_has_no_room_is_told_and_a_pause_lets_nobody_take_over() {
    let mut world = World::new(10);
    world.bounds.watches_max = 4;
    let first = world.start("a");
    until("it has as many as it may", || first.held() == 4 && first.fleet.seats().unplaced == 6);
    first.fleet.pause("ada".into(), "new disks".into());
    until("the pause is known", || first.fleet.seats().paused.is_some());
    world.bounds.watches_max = 100;
    let second = world.start("b");
    // Of what was nobody's nothing is taken over: that is worked for, paused or not.
    until("the rest is worked for", || second.held() == 6);
    first.cut.store(true, Ordering::Release);
    let rounds = second.fleet.seats().rounds;
    until("its session has run out for long", || second.fleet.seats().rounds > rounds + 9);
    assert_eq!(second.held(), 6, "nobody takes over while that is asked");
    second.fleet.resume();
    until("now it does", || second.held() == 10);
    first.cut.store(false, Ordering::Release);
    world.cycles(2);
    second.fleet.stop("the test is over");
    first.fleet.stop("the test is over");
}
