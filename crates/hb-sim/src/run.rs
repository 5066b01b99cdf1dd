//! One world from its beginning to its end, and the verdict on it.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use hb_core::ids::StreamName;
use hb_runtime::world;

use crate::director;
use crate::fault::Fault;
use crate::kernel::{BEGIN, Kernel, SECOND, Trace, catch_panics};
use crate::node;
use crate::plan::Plan;
use crate::promise::{Breach, Promise};
use crate::stage::{Stage, here};

/// What became of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Broken promises, the first one first.
    pub breaches: Vec<Breach>,
    /// A hash over all that happened.
    pub trace: u64,
    /// All that happened in words, where they were asked for.
    pub words: Vec<String>,
    /// Steps that tasks took.
    pub steps: u64,
    /// How long it was, in nanoseconds of its own time.
    pub lasted: u64,
    /// How often each fault struck, in the order of [`Fault::ALL`].
    pub struck: Vec<u64>,
    /// States and transitions that were reached, and how often.
    pub reached: BTreeMap<&'static str, u64>,
}

/// Whether the words are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// All of them.
    Kept,
    /// Those from that time on, in nanoseconds since the world began.
    Since(u64),
    /// The hash alone.
    Left,
}

/// Runs the world of a plan.
#[must_use]
pub fn run(plan: &Plan, words: Words) -> Verdict {
    catch_panics();
    let trace = match words {
        Words::Kept => Trace::in_words(0),
        Words::Since(since) => Trace::in_words(since),
        Words::Left => Trace::default(),
    };
    play(plan, trace).0
}

/// The verdict, and what would still be there if a world left something behind.
fn play(plan: &Plan, trace: Trace) -> (Verdict, Weak<Stage>, Weak<Kernel>) {
    let (stage, _set) = Stage::set(plan, trace);
    let _entered = world::enter(Rc::<Kernel>::clone(&stage.kernel));
    stage.say(|| plan.line());
    stage.kernel.when_dead(Rc::new(|machine, life| node::died(&here(), machine, life)));
    (0..plan.nodes).for_each(|machine| node::start(&stage, machine));
    director::begin(&stage);
    go_on(&stage, plan.rough);
    director::calm(&stage);
    go_on(&stage, plan.end());
    judge_end(&stage);
    close(&stage);
    (verdict(&stage), Rc::downgrade(&stage), Rc::downgrade(&stage.kernel))
}

/// How many handles there are on the stage and the kernel of a world that is over.
#[cfg(test)]
pub(crate) fn left_behind(plan: &Plan) -> (usize, usize) {
    catch_panics();
    let (_, stage, kernel) = play(plan, Trace::default());
    (stage.strong_count(), kernel.strong_count())
}

/// Runs until then, or until the first promise is broken.
fn go_on(stage: &Stage, until: u64) {
    while stage.kernel.now() < until && stage.breaches().is_empty() && stage.kernel.panics().is_empty() {
        let slice = stage.kernel.now().saturating_add(SECOND).min(until);
        stage.kernel.run_until(slice);
    }
}

/// What holds once it has been calm for long enough.
fn judge_end(stage: &Stage) {
    for panicked in stage.kernel.panics() {
        stage.breach(Promise::Panic, || format!("task {} of n{}: {}", panicked.task, panicked.machine, panicked.what));
    }
    if !stage.breaches().is_empty() {
        return;
    }
    let ledger = stage.ledger.borrow();
    stage.judge(ledger.streams.compared(&mut *stage.journal.borrow_mut()));
    let bound = stage.plan.bounds.journal_records.max(500) * 2 + 1_000;
    if ledger.streams.longest() > bound {
        stage.breach(Promise::B1, || format!("a stream has {} records", ledger.streams.longest()));
    }
    for cycles in &ledger.cycles {
        let next = cycles.last().map(|last| last.resume.next_start);
        let now = BEGIN.plus_ns(i64::try_from(stage.kernel.now()).unwrap_or(i64::MAX));
        let owed = stage.plan.interval + stage.plan.lateness + 30 * SECOND;
        let due = now.plus_ns(-i64::try_from(owed).unwrap_or(i64::MAX));
        if next.is_none_or(|next| next < due) {
            let next = next.map_or_else(|| "nothing".to_owned(), |next| next.to_string());
            let what =
                format!("{}: after all that time of calm it is decided up to {next}, and it is {now}", cycles.stream);
            stage.breach(Promise::H3, || what);
        }
    }
}

/// Ends everybody.
fn close(stage: &Rc<Stage>) {
    stage.closing.set(true);
    (0..stage.plan.nodes).for_each(|machine| stage.kernel.kill(machine));
    stage.kernel.forget_events();
}

fn verdict(stage: &Stage) -> Verdict {
    let ledger = stage.ledger.borrow();
    let mut reached = stage.counts.borrow().clone();
    let mut add = |what: &'static str, count: u64| {
        reached.insert(what, count);
    };
    add("cycles decided again", ledger.cycles.iter().map(|cycles| cycles.again).sum());
    add("lease changed hands", ledger.lease.grants);
    add("alerts repeated", ledger.alerts.repeated());
    add("alerts under way at the end", ledger.alerts.under_way() as u64);
    let epochs = ledger.cycles.iter().map(|cycles| ledger.streams.epoch(&StreamName::clone(&cycles.stream)).0).sum();
    add("epochs", epochs);
    Verdict {
        breaches: stage.breaches(),
        trace: stage.kernel.trace.hash(),
        words: stage.kernel.trace.words(),
        steps: stage.kernel.steps(),
        lasted: stage.kernel.now(),
        struck: stage.struck().to_vec(),
        reached,
    }
}

impl Verdict {
    /// Whether no promise was broken.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.breaches.is_empty()
    }

    /// How often that fault struck.
    #[must_use]
    pub fn struck(&self, fault: Fault) -> u64 {
        self.struck.get(fault as usize).copied().unwrap_or(0)
    }
}
