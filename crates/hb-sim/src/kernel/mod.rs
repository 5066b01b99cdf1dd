//! Time, machines and tasks of a simulated world: who runs next, and when it is.
//!
//! **Invariants.** Everything runs on one thread, one task at a time; what runs next is picked by the seed's chance among those that can.
//! Time passes between steps only: a little with every step, and by leaps when nobody can run. Nothing here looks at the machine's own
//! clocks, addresses or randomness. A task of a machine that has died is unwound before anything else runs, and reaches nothing.

mod clock;
mod schedule;
mod trace;
mod world;

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use hb_core::time::Stamp;
use hb_runtime::world::{End, Key, Task};

use crate::chance::Chance;
use crate::fiber::Fiber;
pub(crate) use clock::{Clocks, DRIFT_MAX};
pub(crate) use schedule::{Paused, catch_panics};
pub(crate) use trace::Trace;

/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// When worlds begin: 2023-11-14T22:13:20Z, a multiple of every interval used.
pub(crate) const BEGIN: Stamp = Stamp(1_700_000_000_000_000_000);

/// What is to be done at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The task looks again, if it still waits as it did then.
    Wake(u64, u64),
    /// Something happens in the world.
    Event(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    Waiting,
    Ended,
}

struct Slot {
    machine: usize,
    life: u64,
    name: String,
    fiber: Option<Fiber>,
    state: State,
    /// Counts its waits, so that what was meant for an earlier one is known.
    waits: u64,
    keys: Vec<Key>,
    end: Key,
    ended: Option<End>,
}

/// One machine, on which at most one process of hb lives at a time.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) clocks: Clocks,
    /// Counts its processes; the number of the one that lives, or lived last.
    pub(crate) life: u64,
    pub(crate) alive: bool,
    /// Nothing of it runs: stopped by a signal, or suspended.
    pub(crate) paused: bool,
    /// Tasks of that name do not get on.
    pub(crate) hung: Option<&'static str>,
    /// The task whose end is the end of the process.
    main: Option<u64>,
    /// Tasks that could run if the machine did.
    frozen: Vec<u64>,
    /// Tasks of the process that lives.
    tasks: Vec<u64>,
}

/// A process that ended by a panic, which is a fault of hb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panicked {
    pub(crate) machine: usize,
    pub(crate) task: String,
    pub(crate) what: String,
}

/// The simulated world's time and tasks.
pub(crate) struct Kernel {
    now: Cell<u64>,
    pub(crate) chance: RefCell<Chance>,
    tasks: RefCell<Vec<Slot>>,
    ready: RefCell<Vec<u64>>,
    timers: RefCell<BinaryHeap<Reverse<(u64, u64, Due)>>>,
    events: RefCell<BTreeMap<u64, Box<dyn FnOnce()>>>,
    /// By key, who waits for it.
    waiting: RefCell<Vec<Vec<u64>>>,
    machines: RefCell<Vec<Machine>>,
    current: Cell<Option<u64>>,
    /// Counts what is due, so that of two things due at once the earlier ordered comes first.
    ordered: Cell<u64>,
    nonces: Cell<u64>,
    steps: Cell<u64>,
    panics: RefCell<Vec<Panicked>>,
    when_dead: RefCell<Option<Mourner>>,
    pub(crate) trace: Trace,
}

/// Told when a process has died: of which machine, and which.
type Mourner = Rc<dyn Fn(usize, u64)>;

impl Kernel {
    /// A world in which nothing has happened yet.
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        Self {
            now: Cell::new(0),
            chance: RefCell::new(Chance::new(seed)),
            tasks: RefCell::default(),
            ready: RefCell::default(),
            timers: RefCell::default(),
            events: RefCell::default(),
            waiting: RefCell::default(),
            machines: RefCell::default(),
            current: Cell::new(None),
            ordered: Cell::new(0),
            nonces: Cell::new(0),
            steps: Cell::new(0),
            panics: RefCell::default(),
            when_dead: RefCell::default(),
            trace,
        }
    }

    /// What time it really is: nanoseconds since the world began.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Steps taken by tasks.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Adds a machine with those clocks.
    pub(crate) fn add_machine(&self, clocks: Clocks) -> usize {
        let mut machines = self.machines.borrow_mut();
        machines.push(Machine { clocks, ..Machine::default() });
        machines.len() - 1
    }

    /// Looks at a machine.
    pub(crate) fn machine<T>(&self, machine: usize, look: impl FnOnce(&Machine) -> T) -> Option<T> {
        self.machines.borrow().get(machine).map(look)
    }

    /// Changes a machine's clocks or the like.
    pub(crate) fn change_machine(&self, machine: usize, change: impl FnOnce(&mut Machine, u64)) {
        if let Some(machine) = self.machines.borrow_mut().get_mut(machine) {
            change(machine, self.now.get());
        }
    }

    /// Whether that process of that machine lives.
    pub(crate) fn lives(&self, machine: usize, life: u64) -> bool {
        self.machine(machine, |one| one.alive && one.life == life).unwrap_or(false)
    }

    /// The machine and process whose task runs.
    pub(crate) fn here(&self) -> Option<(usize, u64)> {
        let current = self.current.get()?;
        let tasks = self.tasks.borrow();
        tasks.get(index(current)).map(|slot| (slot.machine, slot.life))
    }

    /// What panicked.
    pub(crate) fn panics(&self) -> Vec<Panicked> {
        self.panics.borrow().clone()
    }

    /// Whom to tell when a process has died.
    pub(crate) fn when_dead(&self, told: Mourner) {
        self.when_dead.replace(Some(told));
    }

    /// Nothing that was to happen happens any more.
    pub(crate) fn forget_events(&self) {
        self.timers.take();
        let events = self.events.take();
        drop(events);
        self.when_dead.take();
    }

    /// Lets something happen in the world in so many nanoseconds.
    pub(crate) fn later(&self, after: u64, happen: impl FnOnce() + 'static) {
        let number = self.order();
        self.events.borrow_mut().insert(number, Box::new(happen));
        self.timers.borrow_mut().push(Reverse((self.now.get().saturating_add(after), number, Due::Event(number))));
    }

    fn order(&self) -> u64 {
        let number = self.ordered.get();
        self.ordered.set(number + 1);
        number
    }

    /// Starts a process on a machine whose last one has ended: that is its main task.
    pub(crate) fn begin(&self, machine: usize, run: impl FnOnce() + 'static) -> u64 {
        self.change_machine(machine, |one, _| {
            one.life += 1;
            one.alive = true;
        });
        let main = self.start(machine, "main", Box::new(run));
        self.change_machine(machine, |one, _| one.main = Some(main.0));
        self.machine(machine, |one| one.life).unwrap_or(0)
    }

    /// Starts a task on a machine.
    pub(crate) fn start(&self, machine: usize, name: &str, run: Box<dyn FnOnce()>) -> Task {
        let end = self.make_key();
        let mut tasks = self.tasks.borrow_mut();
        let number = tasks.len() as u64;
        let life = self.machine(machine, |one| one.life).unwrap_or(0);
        let (name, fiber) = (name.to_owned(), Some(Fiber::new(run)));
        let state = State::Ready;
        tasks.push(Slot { machine, life, name, fiber, state, waits: 0, keys: Vec::new(), end, ended: None });
        drop(tasks);
        self.change_machine(machine, |one, _| one.tasks.push(number));
        self.ready.borrow_mut().push(number);
        self.trace.note(1, number, machine as u64);
        Task(number)
    }

    fn make_key(&self) -> Key {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(Vec::new());
        Key(waiting.len() as u64 - 1)
    }

    /// Lets the running task rest for so many nanoseconds of the world's own time.
    pub(crate) fn rest(&self, nanoseconds: u64) {
        let until = self.now.get().saturating_add(nanoseconds);
        while self.now.get() < until && self.can_wait() {
            self.wait_until(&[], Some(until));
        }
    }

    /// Lets the running task wait for a key, at most until then in the world's own time.
    pub(crate) fn wait_for(&self, key: Key, until: u64) {
        if self.now.get() < until && self.can_wait() {
            self.wait_until(&[key], Some(until));
        }
    }

    fn can_wait(&self) -> bool {
        self.current.get().is_some() && !std::thread::panicking()
    }

    /// A key that is no channel's and no monitor's.
    pub(crate) fn new_key(&self) -> Key {
        self.make_key()
    }

    /// Lets everybody look again who waits for a key.
    pub(crate) fn wake_all(&self, key: Key) {
        let woken = self.waiting.borrow_mut().get_mut(index(key.0)).map(std::mem::take).unwrap_or_default();
        for task in woken {
            self.wake(task);
        }
    }
}

/// Numbers of tasks and keys are places in lists.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
