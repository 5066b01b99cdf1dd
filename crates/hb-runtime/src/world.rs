//! What stands in the place of the machine when a node is simulated.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hb_core::time::{Moment, Stamp};

/// One task of a world, in place of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task(pub u64);

/// Something that can be waited for: a channel, a monitor. Numbered in the order in which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

/// How a task ended.
pub enum End {
    /// By itself.
    Done,
    /// It panicked, with this.
    Panicked(Box<dyn Any + Send>),
}

/// A simulated world. All of it runs on one thread, one task at a time; a task gives way only in [`World::wait`].
pub trait World {
    /// The own clock of the node whose task asks.
    fn moment(&self) -> Moment;

    /// The wall clock of the node whose task asks.
    fn wall(&self) -> Stamp;

    /// The process number of the node whose task asks.
    fn pid(&self) -> u32;

    /// A number that nobody else has got, nor can guess where that matters.
    fn nonce(&self) -> u64;

    /// Begins another task of the node whose task asks.
    fn spawn(&self, name: &str, run: Box<dyn FnOnce()>) -> Task;

    /// How it ended, once: none while it runs, or when it was told before.
    fn ended(&self, task: Task) -> Option<End>;

    /// Whether it has ended.
    fn has_ended(&self, task: Task) -> bool;

    /// What is told when the task ends ([`World::wait`] may wait for it).
    fn end_of(&self, task: Task) -> Key;

    /// Another thing that can be waited for.
    fn key(&self) -> Key;

    /// Says that whoever waits for it should look again.
    fn tell(&self, key: Key);

    /// Gives way until one of the keys is told, or until then on the node's own clock. It may return sooner, as waits do; and at once
    /// where a task is unwound because its node has died. What was told between the last step of this task and this call counts.
    fn wait(&self, keys: &[Key], until: Option<Moment>);
}

thread_local! {
    static SIMULATED: Cell<bool> = const { Cell::new(false) };
    static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
}

/// The world that stands in the machine's place on this thread, if one does.
#[inline]
pub(crate) fn here() -> Option<Rc<dyn World>> {
    if SIMULATED.get() { WORLD.with_borrow(Clone::clone) } else { None }
}

/// Puts a world in the place of the machine, for this thread, until what is returned is dropped.
#[must_use]
pub fn enter(world: Rc<dyn World>) -> Entered {
    let before = WORLD.replace(Some(world));
    SIMULATED.set(true);
    Entered { before }
}

/// As long as this lives, the thread runs in a world.
pub struct Entered {
    before: Option<Rc<dyn World>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        SIMULATED.set(before.is_some());
        WORLD.set(before);
    }
}

/// The number of this process.
#[must_use]
pub fn pid() -> u32 {
    here().map_or_else(std::process::id, |world| world.pid())
}

/// In a simulated world, a number that nobody else has got; none elsewhere, where the caller asks the machine.
#[must_use]
pub fn simulated_nonce() -> Option<u64> {
    here().map(|world| world.nonce())
}
