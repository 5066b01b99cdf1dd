//! Who lets things go wrong in the world: each fault of the plan again and again, until it is calm.

use std::rc::Rc;

use crate::check::Hangs;
use crate::fault::Fault;
use crate::kernel::{DRIFT_MAX, MS, Paused, SECOND};
use crate::node::{self, Errand};
use crate::stage::{Away, Path, Stage, Store, here};

/// Sets the faults of the plan going.
pub(crate) fn begin(stage: &Rc<Stage>) {
    for fault in stage.plan.mix.on().filter(|fault| !fault.strikes_requests()) {
        next(stage, fault);
    }
}

fn next(stage: &Rc<Stage>, fault: Fault) {
    let every = u64::from(stage.plan.mix.of(fault)) * MS;
    let after = stage.kernel.chance.borrow_mut().wait(every);
    stage.kernel.later(after, move || {
        let stage = here();
        if !stage.calm.get() {
            stage.note_struck(fault);
            strike(&stage, fault);
            next(&stage, fault);
        }
    });
}

fn any(stage: &Stage) -> usize {
    stage.kernel.chance.borrow_mut().index(stage.plan.nodes)
}

/// How long something lasts that should outlast a lease about every other time.
fn long(stage: &Stage) -> u64 {
    let ttl = u64::try_from(stage.plan.bounds.lease_ttl.as_nanos()).unwrap_or(SECOND);
    stage.kernel.chance.borrow_mut().between(200 * MS, ttl * 2)
}

fn strike(stage: &Rc<Stage>, fault: Fault) {
    let machine = any(stage);
    stage.say(|| format!("fault {} (n{machine})", fault.word()));
    match fault {
        Fault::Kill => stage.kernel.kill(machine),
        Fault::Reboot => reboot(stage, machine),
        Fault::PowerLoss => (0..stage.plan.nodes).for_each(|machine| reboot(stage, machine)),
        Fault::Stop => stop(stage, machine),
        Fault::Hang => hang(stage, machine),
        Fault::ClockJump => jump(stage, machine),
        Fault::ClockDrift => {
            let drift = i64::try_from(stage.kernel.chance.borrow_mut().below(2 * DRIFT_MAX.unsigned_abs() + 1));
            let drift = drift.unwrap_or(DRIFT_MAX) - DRIFT_MAX;
            stage.kernel.change_machine(machine, |one, now| one.clocks.drifts(drift, now));
        }
        Fault::CutJournal => cut(stage, machine, &[Store::Journal], Path { cut: true, mute: true }),
        Fault::CutLease => cut(stage, machine, &[Store::Lease], Path { cut: true, mute: true }),
        Fault::CutAnswers => cut(stage, machine, &[Store::Journal, Store::Lease], Path { cut: false, mute: true }),
        Fault::JournalAway => away(stage, Store::Journal),
        Fault::LeaseAway => away(stage, Store::Lease),
        Fault::Full => {
            stage.full.set(true);
            stage.kernel.later(long(stage), || here().full.set(false));
        }
        Fault::Switchover => {
            let to = stage.kernel.chance.borrow_mut().index(stage.plan.nodes + 1);
            node::ask(stage, machine, Errand::Switchover(Some(to).filter(|to| *to < stage.plan.nodes)));
        }
        Fault::Maintenance => {
            node::ask(stage, machine, Errand::Pause);
            stage.kernel.later(long(stage), move || node::ask(&here(), machine, Errand::Resume));
        }
        Fault::Reload => node::ask(stage, machine, Errand::Reload),
        Fault::Restart => node::ask(stage, machine, Errand::Stop),
        // Those strike requests.
        Fault::RequestLost
        | Fault::AnswerLost
        | Fault::EffectLate
        | Fault::EffectTwice
        | Fault::Refused
        | Fault::Slow
        | Fault::DieBefore
        | Fault::DieAfter
        | Fault::LeaseLies
        | Fault::SourceFails
        | Fault::SourceStalls
        | Fault::SinkFails
        | Fault::SinkForgets
        | Fault::DocumentFails
        | Fault::ViewFails => {}
    }
}

fn reboot(stage: &Stage, machine: usize) {
    stage.kernel.kill(machine);
    stage.kernel.change_machine(machine, |one, now| one.clocks.booted(now));
}

fn stop(stage: &Stage, machine: usize) {
    stage.kernel.pause(machine, Paused::Yes);
    stage.kernel.later(long(stage), move || here().kernel.pause(machine, Paused::No));
}

fn hang(stage: &Stage, machine: usize) {
    let Some(life) = stage.kernel.machine(machine, |one| one.life).filter(|life| stage.kernel.lives(machine, *life))
    else {
        return;
    };
    stage.kernel.hang(machine, Some("work"));
    stage.ledger.borrow_mut().lease.hangs(machine, life, Hangs::Yes);
    stage.kernel.later(long(stage), move || {
        let stage = here();
        // What came after that process has hangs of its own.
        if stage.kernel.lives(machine, life) {
            stage.ledger.borrow_mut().lease.hangs(machine, life, Hangs::No);
            stage.kernel.hang(machine, None);
        }
    });
}

fn jump(stage: &Stage, machine: usize) {
    let ahead = {
        let mut chance = stage.kernel.chance.borrow_mut();
        let size = chance.one_of([SECOND, 30 * SECOND, 600 * SECOND]);
        let ahead = i64::try_from(chance.below(size * 2 + 1)).unwrap_or(0);
        ahead - i64::try_from(size).unwrap_or(0)
    };
    stage.kernel.change_machine(machine, |one, _| one.clocks.jumps(ahead));
}

fn cut(stage: &Stage, machine: usize, stores: &'static [Store], path: Path) {
    lay(stage, machine, stores, path);
    stage.kernel.later(long(stage), move || lay(&here(), machine, stores, Path::default()));
}

fn lay(stage: &Stage, machine: usize, stores: &[Store], path: Path) {
    stage.change_host(machine, |host| {
        for store in stores {
            match store {
                Store::Journal => host.to_journal = path,
                Store::Lease => host.to_lease = path,
            }
        }
    });
    stage.kernel.wake_all(stage.lease_changed);
}

fn away(stage: &Stage, store: Store) {
    stage.set_away(store, Away::Yes);
    stage.kernel.later(long(stage), move || here().set_away(store, Away::No));
}

/// From now on nothing goes wrong any more: whatever was wrong is put right.
pub(crate) fn calm(stage: &Rc<Stage>) {
    stage.say(|| "it is calm from here on".into());
    stage.calm.set(true);
    stage.full.set(false);
    for store in [Store::Journal, Store::Lease] {
        stage.set_away(store, Away::No);
    }
    for machine in 0..stage.plan.nodes {
        lay(stage, machine, &[Store::Journal, Store::Lease], Path::default());
        let life = stage.kernel.machine(machine, |one| one.life).unwrap_or(0);
        stage.ledger.borrow_mut().lease.hangs(machine, life, Hangs::No);
        stage.kernel.hang(machine, None);
        stage.kernel.pause(machine, Paused::No);
        stage.kernel.change_machine(machine, |one, _| one.clocks.jumps(0));
    }
    // Somebody ends whatever pause there is, and asks until it is taken.
    for turn in 0..4 {
        stage.kernel.later(turn * 3 * SECOND, move || {
            let stage = here();
            (0..stage.plan.nodes).for_each(|machine| node::ask(&stage, machine, Errand::Resume));
        });
    }
}
