//! Who runs next.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use hb_runtime::world::{End, Key};

use super::{Due, Kernel, Panicked, State, index};
use crate::fiber::{Stepped, give_way};

/// How long a step takes at most, in nanoseconds.
const STEP_MAX: u64 = 20_000;

thread_local! {
    static SIMULATES: Cell<bool> = const { Cell::new(false) };
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on, what panics in a task of this thread's world is kept, and not printed.
pub(crate) fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if SIMULATES.get() {
                PANICKED.set(Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "something else than text".into())
}

impl Kernel {
    /// Runs the world until that time.
    pub(crate) fn run_until(&self, end: u64) {
        while self.now.get() < end {
            self.fire();
            if let Some(task) = self.pick() {
                self.run(task);
                let took = self.chance.borrow_mut().between(500, STEP_MAX);
                self.now.set(self.now.get().saturating_add(took));
                continue;
            }
            let next = self.timers.borrow().peek().map_or(end, |Reverse((at, ..))| *at);
            self.now.set(next.clamp(self.now.get(), end));
        }
    }

    /// Does what is due by now.
    fn fire(&self) {
        loop {
            let due = {
                let mut timers = self.timers.borrow_mut();
                match timers.peek() {
                    Some(Reverse((at, ..))) if *at <= self.now.get() => timers.pop(),
                    Some(_) | None => None,
                }
            };
            let Some(Reverse((_, _, due))) = due else { return };
            match due {
                Due::Wake(task, waits) => {
                    if self.tasks.borrow().get(index(task)).is_some_and(|slot| slot.waits == waits) {
                        self.wake(task);
                    }
                }
                Due::Event(number) => {
                    let event = self.events.borrow_mut().remove(&number);
                    if let Some(happen) = event {
                        self.trace.note(2, number, self.now.get());
                        happen();
                    }
                }
            }
        }
    }

    /// Picks one of those that can run, and sets aside whose machine does not.
    fn pick(&self) -> Option<u64> {
        loop {
            let task = {
                let mut ready = self.ready.borrow_mut();
                if ready.is_empty() {
                    return None;
                }
                let place = self.chance.borrow_mut().index(ready.len());
                ready.swap_remove(place)
            };
            let tasks = self.tasks.borrow();
            let Some(slot) = tasks.get(index(task)).filter(|slot| slot.state == State::Ready) else { continue };
            let mut machines = self.machines.borrow_mut();
            let Some(machine) = machines.get_mut(slot.machine) else { continue };
            if machine.paused || machine.hung.is_some_and(|name| name == slot.name) {
                machine.frozen.push(task);
                continue;
            }
            return Some(task);
        }
    }

    fn run(&self, task: u64) {
        let Some(mut fiber) = self.take(task) else { return };
        self.steps.set(self.steps.get() + 1);
        self.trace.note(3, task, self.now.get());
        self.current.set(Some(task));
        let before = SIMULATES.replace(true);
        let stepped = catch_unwind(AssertUnwindSafe(|| fiber.step()));
        SIMULATES.set(before);
        self.current.set(None);
        let end = match stepped {
            Ok(Stepped::GaveWay) => None,
            Ok(Stepped::Ended) => Some(End::Done),
            Err(panic) => Some(self.note_panic(task, panic)),
        };
        match end {
            Some(end) => {
                drop(fiber);
                self.end(task, Some(end));
            }
            None => {
                if let Some(slot) = self.tasks.borrow_mut().get_mut(index(task)) {
                    slot.fiber = Some(fiber);
                }
            }
        }
    }

    fn take(&self, task: u64) -> Option<crate::fiber::Fiber> {
        let mut tasks = self.tasks.borrow_mut();
        let slot = tasks.get_mut(index(task))?;
        slot.state = State::Running;
        slot.fiber.take()
    }

    fn note_panic(&self, task: u64, panic: Box<dyn Any + Send>) -> End {
        let told = PANICKED.take();
        let known = self.tasks.borrow().get(index(task)).map(|slot| (slot.machine, slot.name.clone()));
        // A panic that is passed on was told of where it began.
        if let (Some((machine, task)), Some(told)) = (known, told) {
            let what = format!("{told}; {}", words(&*panic));
            self.panics.borrow_mut().push(Panicked { machine, task, what });
        }
        End::Panicked(panic)
    }

    /// The task has ended; with a main task ends its process.
    fn end(&self, task: u64, end: Option<End>) {
        let told = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(slot) = tasks.get_mut(index(task)) else { return };
            (slot.state, slot.ended) = (State::Ended, end);
            slot.keys.clear();
            (slot.end, slot.machine, slot.life)
        };
        let (key, machine, life) = told;
        self.trace.note(4, task, self.now.get());
        self.wake_all(key);
        let is_main = self.machine(machine, |one| one.main == Some(task) && one.life == life && one.alive);
        if is_main == Some(true) {
            self.kill(machine);
        }
    }

    /// Lets a task look again that waits.
    pub(super) fn wake(&self, task: u64) {
        let keys = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(slot) = tasks.get_mut(index(task)).filter(|slot| slot.state == State::Waiting) else { return };
            slot.state = State::Ready;
            std::mem::take(&mut slot.keys)
        };
        let mut waiting = self.waiting.borrow_mut();
        for Key(key) in keys {
            if let Some(waiters) = waiting.get_mut(index(key)) {
                waiters.retain(|waiter| *waiter != task);
            }
        }
        drop(waiting);
        self.ready.borrow_mut().push(task);
    }

    /// Lets the running task wait, in the world's own time.
    pub(super) fn wait_until(&self, keys: &[Key], until: Option<u64>) {
        let Some(task) = self.current.get() else { return };
        let waits = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(slot) = tasks.get_mut(index(task)) else { return };
            slot.state = State::Waiting;
            slot.waits += 1;
            slot.keys.extend_from_slice(keys);
            slot.waits
        };
        let mut waiting = self.waiting.borrow_mut();
        for Key(key) in keys {
            if let Some(waiters) = waiting.get_mut(index(*key)) {
                waiters.push(task);
            }
        }
        drop(waiting);
        if let Some(until) = until {
            self.timers.borrow_mut().push(Reverse((until, self.order(), Due::Wake(task, waits))));
        }
        give_way();
    }

    /// Ends the process of a machine where it stands: nothing of it runs any more.
    pub(crate) fn kill(&self, machine: usize) {
        let mut tasks = Vec::new();
        let mut died = None;
        self.change_machine(machine, |one, _| {
            died = one.alive.then_some(one.life);
            one.alive = false;
            one.main = None;
            one.paused = false;
            one.hung = None;
            one.frozen.clear();
            tasks = std::mem::take(&mut one.tasks);
        });
        for task in tasks {
            let Some(fiber) = self.take_of_the_dead(task) else { continue };
            self.current.set(Some(task));
            let before = SIMULATES.replace(true);
            drop(fiber);
            SIMULATES.set(before);
            self.current.set(None);
            self.end(task, None);
        }
        let told = self.when_dead.borrow().clone();
        if let (Some(life), Some(told)) = (died, told) {
            told(machine, life);
        }
    }

    fn take_of_the_dead(&self, task: u64) -> Option<crate::fiber::Fiber> {
        let mut tasks = self.tasks.borrow_mut();
        let slot = tasks.get_mut(index(task)).filter(|slot| slot.state != State::Ended)?;
        slot.state = State::Running;
        slot.fiber.take()
    }

    /// Stops a machine, or lets it go on.
    pub(crate) fn pause(&self, machine: usize, paused: Paused) {
        self.change_machine(machine, |one, _| one.paused = paused == Paused::Yes);
        self.thaw(machine);
    }

    /// Lets tasks of that name not get on, or none.
    pub(crate) fn hang(&self, machine: usize, name: Option<&'static str>) {
        self.change_machine(machine, |one, _| one.hung = name);
        self.thaw(machine);
    }

    fn thaw(&self, machine: usize) {
        let mut thawed = Vec::new();
        self.change_machine(machine, |one, _| thawed = std::mem::take(&mut one.frozen));
        self.ready.borrow_mut().append(&mut thawed);
    }

    /// The running task's process ends here and now, as if the power had failed: this does not come back.
    pub(crate) fn die_here(self: &std::rc::Rc<Self>) {
        let Some((machine, life)) = self.here() else { return };
        let kernel = std::rc::Rc::clone(self);
        self.later(0, move || {
            if kernel.lives(machine, life) {
                kernel.kill(machine);
            }
        });
        while self.can_wait() {
            self.wait_until(&[], None);
        }
    }
}

/// Whether a machine is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paused {
    /// Nothing of it runs.
    Yes,
    /// It goes on.
    No,
}
