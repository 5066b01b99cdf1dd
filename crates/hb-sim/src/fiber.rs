//! One task that can give way in the middle of a call: a coroutine with a stack of its own. The only `unsafe` of this crate is here.
//!
//! **Invariants.** Fibers do not nest: one runs at a time on a thread, started by [`Fiber::step`]. A fiber gives way only where nothing
//! panics. Stacks are kept for the next fibers, at most [`STACKS_MAX`] of them (B1).

use std::cell::{Cell, RefCell};
use std::ptr::null;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

type Way = Yielder<(), ()>;

/// Bytes of a stack; only what is touched costs memory.
const STACK: usize = 1 << 20;
/// Most stacks kept for later.
const STACKS_MAX: usize = 256;

thread_local! {
    /// How the fiber gives way that runs at the moment; null: none does.
    static RUNNING: Cell<*const Way> = const { Cell::new(null()) };
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// A task with a stack of its own.
pub(crate) struct Fiber {
    routine: Option<Coroutine<(), (), ()>>,
    /// Where its body stands ready to give way; null before it began.
    way: Rc<Cell<*const Way>>,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// It gave way.
    GaveWay,
    /// It has ended.
    Ended,
}

/// Puts back what ran before, also when the fiber panics.
struct Running(*const Way);

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(self.0);
    }
}

impl Fiber {
    /// A fiber that will run that.
    pub(crate) fn new(run: Box<dyn FnOnce()>) -> Self {
        let way = Rc::new(Cell::new(null()));
        let mine = Rc::clone(&way);
        let kept = STACKS.with_borrow_mut(Vec::pop);
        let stack = kept.unwrap_or_else(|| DefaultStack::new(STACK).expect("the machine has room for another stack"));
        let routine = Coroutine::with_stack(stack, move |here: &Way, ()| {
            mine.set(here);
            RUNNING.set(here);
            run();
        });
        Self { routine: Some(routine), way }
    }

    /// Lets it run until it gives way or ends. A panic of its body comes out here.
    pub(crate) fn step(&mut self) -> Stepped {
        let Some(routine) = &mut self.routine else { return Stepped::Ended };
        let _before = Running(RUNNING.replace(self.way.get()));
        match routine.resume(()) {
            CoroutineResult::Yield(()) => Stepped::GaveWay,
            CoroutineResult::Return(()) => Stepped::Ended,
        }
    }

    /// Ends it where it stands: everything on its stack is dropped.
    pub(crate) fn unwind(&mut self) {
        if let Some(routine) = &mut self.routine {
            let _before = Running(RUNNING.replace(self.way.get()));
            routine.force_unwind();
        }
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        self.unwind();
        let Some(routine) = self.routine.take().filter(Coroutine::done) else { return };
        let stack = routine.into_stack();
        STACKS.with_borrow_mut(|stacks| {
            if stacks.len() < STACKS_MAX {
                stacks.push(stack);
            }
        });
    }
}

/// Gives way to whoever stepped the running fiber. Elsewhere, and while something panics, it does nothing.
#[expect(
    unsafe_code,
    reason = "a yielder is lent to the body of its coroutine, and this is called from deep within it"
)]
pub(crate) fn give_way() {
    let way = RUNNING.get();
    if way.is_null() || std::thread::panicking() {
        return;
    }
    // SAFETY: `way` was set by `step` or by the running fiber's own body, and points at the yielder that lives on that fiber's stack for as long
    // as its body runs. The body runs now, for this is called by it: `step` puts the pointer back when the fiber gives way or ends.
    let way = unsafe { &*way };
    way.suspend(());
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    struct Told(Rc<Cell<u32>>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 100);
            give_way();
        }
    }

    fn counting(count: &Rc<Cell<u32>>) -> Fiber {
        let count = Rc::clone(count);
        Fiber::new(Box::new(move || {
            let _told = Told(Rc::clone(&count));
            for _ in 0..3 {
                count.set(count.get() + 1);
                give_way();
            }
        }))
    }

    #[test]
    fn fibers_take_turns_end_and_leave_their_stacks() {
        let (a, b) = (Rc::default(), Rc::default());
        let (mut one, mut other) = (counting(&a), counting(&b));
        assert_eq!((one.step(), other.step(), one.step()), (Stepped::GaveWay, Stepped::GaveWay, Stepped::GaveWay));
        assert_eq!((a.get(), b.get()), (2, 1));
        drop(other);
        assert_eq!(b.get(), 101, "what is on a stack is dropped with it, without giving way");
        // The third step, the drop that gives way, and the end.
        assert_eq!((one.step(), one.step(), one.step()), (Stepped::GaveWay, Stepped::GaveWay, Stepped::Ended));
        assert_eq!(a.get(), 103);
        drop(one);
        assert!(STACKS.with_borrow(Vec::len) >= 2);
    }

    #[test]
    fn a_panic_comes_out_of_the_step() {
        let mut fiber = Fiber::new(Box::new(|| {
            give_way();
            std::panic::resume_unwind(Box::new(7_u32));
        }));
        assert_eq!(fiber.step(), Stepped::GaveWay);
        let panic = catch_unwind(AssertUnwindSafe(|| fiber.step())).unwrap_err();
        assert_eq!(panic.downcast_ref::<u32>(), Some(&7));
        give_way();
    }
}
