//! The way of a request to a store and back, with all that can become of it.

use std::rc::Rc;
use std::time::Duration;

use crate::fault::Fault;
use crate::kernel::{MS, SECOND};
use crate::stage::{Stage, Store, here};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How much later what is done late is done, at most.
const LATE_MAX: u64 = 12 * SECOND;

/// Who asks: a process on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) machine: usize,
    pub(crate) life: u64,
    pub(crate) store: Store,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    /// The store's answer.
    Told(T),
    /// None: it may be done, or be done yet.
    Unknown(&'static str),
    /// It was certainly not done.
    Refused(&'static str),
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// It only reads.
    Reads,
    /// It changes something: it may be done late, or twice.
    Changes,
}

/// How long a way takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Usual,
    Slow,
}

impl Line {
    /// Whether the process lives.
    pub(crate) fn lives(&self) -> bool {
        !std::thread::panicking() && here().kernel.lives(self.machine, self.life)
    }

    /// Sends a request that does `done` at the store.
    pub(crate) fn ask<T: 'static>(&self, does: Does, done: impl Fn(&Stage) -> T + 'static) -> Answer<T> {
        if !self.lives() {
            return Answer::Unknown("the process has ended");
        }
        let stage = here();
        if stage.strikes(Fault::DieBefore) {
            stage.kernel.die_here();
            return Answer::Unknown("the process has ended");
        }
        let pace = if stage.strikes(Fault::Slow) { Pace::Slow } else { Pace::Usual };
        self.travel(&stage, pace);
        if stage.is_away(self.store) {
            return Answer::Refused("connection refused");
        }
        if stage.path(self.machine, self.store).cut || stage.strikes(Fault::RequestLost) {
            return self.silence("no answer came");
        }
        if stage.strikes(Fault::Refused) {
            return Answer::Refused("too many requests");
        }
        if does == Does::Changes && stage.strikes(Fault::EffectLate) {
            self.again(&stage, Rc::new(done));
            return self.silence("no answer came in time");
        }
        let done = Rc::new(done);
        let given = done(&stage);
        if does == Does::Changes && stage.strikes(Fault::EffectTwice) {
            self.again(&stage, done);
        }
        if stage.strikes(Fault::DieAfter) {
            stage.kernel.die_here();
            return Answer::Unknown("the process has ended");
        }
        self.travel(&stage, pace);
        let path = stage.path(self.machine, self.store);
        if path.cut || path.mute || stage.strikes(Fault::AnswerLost) {
            return self.silence("the answer was lost");
        }
        Answer::Told(given)
    }

    fn again<T: 'static>(&self, stage: &Rc<Stage>, done: Rc<impl Fn(&Stage) -> T + 'static>) {
        let after = stage.kernel.chance.borrow_mut().between(MS, LATE_MAX);
        stage.kernel.later(after, move || drop(done(&here())));
    }

    /// One way.
    fn travel(&self, stage: &Stage, pace: Pace) {
        let took = {
            let mut chance = stage.kernel.chance.borrow_mut();
            match pace {
                Pace::Slow => chance.between(50 * MS, 4 * SECOND),
                Pace::Usual => chance.wait(MS),
            }
        };
        stage.kernel.rest(took);
    }

    /// No answer comes: whoever asks waits in vain.
    fn silence<T>(&self, why: &'static str) -> Answer<T> {
        hb_runtime::thread::sleep(PATIENCE);
        Answer::Unknown(why)
    }
}
