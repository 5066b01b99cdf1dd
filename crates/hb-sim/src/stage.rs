//! One simulated world: its kernel, what stands in its stores, what its sources give, what its people see, and what watches over it.
//!
//! **Invariants.** There is at most one per thread, found by [`here`]. Nothing in it is borrowed while a task gives way.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use hb_core::journal::Hash;
use hb_daemon::Remote;
use hb_runtime::world::Key;
use hb_store::journal::memory::MemoryJournal;

use crate::check::Ledger;
use crate::fault::Fault;
use crate::kernel::{Clocks, Kernel, SECOND, Trace};
use crate::plan::Plan;
use crate::planted::Planted;
use crate::ports::cells::Cells;
use crate::ports::tape::Tape;
use crate::promise::{Breach, Promise};

thread_local! {
    static HERE: RefCell<Option<Rc<Stage>>> = const { RefCell::new(None) };
}

/// The stores that nodes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Store {
    Journal,
    Lease,
}

/// Whether a store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    Yes,
    No,
}

/// What lies between a node and a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Path {
    /// No question arrives.
    pub(crate) cut: bool,
    /// No answer does.
    pub(crate) mute: bool,
}

/// One node: what it is when it does not run.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) to_journal: Path,
    pub(crate) to_lease: Path,
    /// For orders of operators, while a process runs.
    pub(crate) remote: Option<Remote>,
    /// How often its configuration was changed.
    pub(crate) limits: u64,
}

/// The world.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) kernel: Rc<Kernel>,
    pub(crate) hosts: RefCell<Vec<Host>>,
    pub(crate) journal: RefCell<MemoryJournal>,
    pub(crate) documents: RefCell<BTreeMap<Hash, Vec<u8>>>,
    pub(crate) cells: RefCell<Cells>,
    pub(crate) tapes: Vec<Tape>,
    pub(crate) ledger: RefCell<Ledger>,
    /// Stores that are away for all.
    away: RefCell<BTreeMap<Store, bool>>,
    pub(crate) full: Cell<bool>,
    /// Nothing goes wrong any more.
    pub(crate) calm: Cell<bool>,
    /// Nobody is started any more.
    pub(crate) closing: Cell<bool>,
    struck: RefCell<[u64; Fault::ALL.len()]>,
    pub(crate) counts: RefCell<BTreeMap<&'static str, u64>>,
    breaches: RefCell<Vec<Breach>>,
    /// Told whenever the cell of the lease may look otherwise.
    pub(crate) lease_changed: Key,
}

/// The world of this thread.
pub(crate) fn here() -> Rc<Stage> {
    HERE.with_borrow(Clone::clone).expect("ports are used within a world only")
}

/// As long as this lives, the stage is the world of this thread.
pub(crate) struct Set(());

impl Drop for Set {
    fn drop(&mut self) {
        HERE.set(None);
    }
}

/// Most breaches that are told of one world (B1); one is enough.
const BREACHES_MAX: usize = 16;

impl Stage {
    /// Sets up the world of a plan.
    pub(crate) fn set(plan: &Plan, trace: Trace) -> (Rc<Self>, Set) {
        let kernel = Rc::new(Kernel::new(plan.seed, trace));
        for _ in 0..plan.nodes {
            let mut chance = kernel.chance.borrow_mut();
            let booted = chance.between(SECOND, 1_000_000 * SECOND);
            let drift = i64::try_from(chance.below(401)).unwrap_or(200) - 200;
            let ahead = i64::try_from(chance.below(100_000_000)).unwrap_or(0) - 50_000_000;
            drop(chance);
            let drift = if plan.mix.of(Fault::ClockDrift) > 0 { drift } else { drift / 20 };
            kernel.add_machine(Clocks::new(booted, drift, ahead));
        }
        let lease_changed = kernel.new_key();
        let stage = Rc::new(Self {
            plan: plan.clone(),
            hosts: RefCell::new((0..plan.nodes).map(|_| Host::default()).collect()),
            journal: RefCell::default(),
            documents: RefCell::default(),
            cells: RefCell::default(),
            tapes: (0..plan.watches).map(|watch| Tape::recorded(plan, watch)).collect(),
            ledger: RefCell::new(Ledger::new(plan)),
            away: RefCell::default(),
            full: Cell::new(false),
            calm: Cell::new(false),
            closing: Cell::new(false),
            struck: RefCell::new([0; Fault::ALL.len()]),
            counts: RefCell::default(),
            breaches: RefCell::default(),
            lease_changed,
            kernel,
        });
        HERE.set(Some(Rc::clone(&stage)));
        (stage, Set(()))
    }

    /// Whether a fault strikes this request.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        let often = self.plan.mix.of(fault);
        let hit = often > 0 && !self.calm.get() && self.kernel.chance.borrow_mut().hits(often);
        if hit {
            self.note_struck(fault);
        }
        hit
    }

    /// Counts that a fault has struck.
    pub(crate) fn note_struck(&self, fault: Fault) {
        if let Some(count) = self.struck.borrow_mut().get_mut(fault as usize) {
            *count += 1;
        }
        self.kernel.trace.note(5, fault as u64, self.kernel.now());
    }

    /// How often each fault has struck.
    pub(crate) fn struck(&self) -> [u64; Fault::ALL.len()] {
        *self.struck.borrow()
    }

    /// Counts a state or transition that was reached.
    pub(crate) fn reached(&self, what: &'static str) {
        *self.counts.borrow_mut().entry(what).or_insert(0) += 1;
    }

    /// Whether that fault of hb is planted.
    pub(crate) fn planted(&self, planted: Planted) -> bool {
        self.plan.planted == Some(planted)
    }

    /// Tells of a broken promise.
    pub(crate) fn breach(&self, promise: Promise, what: impl FnOnce() -> String) {
        let mut breaches = self.breaches.borrow_mut();
        if breaches.len() < BREACHES_MAX {
            let breach = Breach { promise, at: self.kernel.now(), what: what() };
            self.kernel.trace.say(self.kernel.now(), || format!("BREACH {breach}"));
            breaches.push(breach);
        }
    }

    /// Takes in what a checker found.
    pub(crate) fn judge(&self, found: Result<(), (Promise, String)>) {
        if let Err((promise, what)) = found {
            self.breach(promise, || what);
        }
    }

    /// What was broken so far.
    pub(crate) fn breaches(&self) -> Vec<Breach> {
        self.breaches.borrow().clone()
    }

    /// Takes down what happened.
    pub(crate) fn say(&self, words: impl FnOnce() -> String) {
        self.kernel.trace.say(self.kernel.now(), words);
    }

    /// Whether a store is away for all.
    pub(crate) fn is_away(&self, store: Store) -> bool {
        self.away.borrow().get(&store).copied().unwrap_or(false)
    }

    /// A store goes away, or comes back.
    pub(crate) fn set_away(&self, store: Store, away: Away) {
        self.away.borrow_mut().insert(store, away == Away::Yes);
        self.kernel.wake_all(self.lease_changed);
    }

    /// What lies between a node and a store.
    pub(crate) fn path(&self, machine: usize, store: Store) -> Path {
        let hosts = self.hosts.borrow();
        let host = hosts.get(machine);
        host.map(|host| if store == Store::Journal { host.to_journal } else { host.to_lease }).unwrap_or_default()
    }

    /// Changes a node's surroundings.
    pub(crate) fn change_host(&self, machine: usize, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.hosts.borrow_mut().get_mut(machine) {
            change(host);
        }
    }
}
