//! Processes of hb on simulated machines: started, started again, and told by operators.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hb_daemon::{Control, Ended, Mode, Parts, SinkParts, WatchParts};

use crate::kernel::{MS, SECOND};
use crate::ports::line::Line;
use crate::ports::{documents, journal, lease, sink, tape, views};
use crate::promise::Promise;
use crate::stage::{Stage, Store, here};

/// How long an operator waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name of a node.
pub(crate) fn name(machine: usize) -> String {
    format!("n{machine}")
}

fn parts(stage: &Stage, machine: usize, life: u64) -> Parts {
    let to_journal = Line { machine, life, store: Store::Journal };
    let to_lease = Line { store: Store::Lease, ..to_journal };
    let limits = stage.hosts.borrow().get(machine).map_or(0, |host| host.limits);
    let watch = |watch: usize| WatchParts {
        settings: Arc::new(stage.plan.settings(watch, limits)),
        source: tape::open(to_journal, watch),
        sinks: vec![SinkParts { name: "pager".into(), sink: Box::new(sink::Port::new(to_journal)), tries_max: 20 }],
    };
    Parts {
        node: name(machine).as_str().into(),
        watches: (0..stage.plan.watches).map(watch).collect(),
        journal: Box::new(journal::Port::new(to_journal)),
        lease: Box::new(lease::Port::new(to_lease, &name(machine), stage.plan.bounds.lease_ttl)),
        board: None,
        documents: Box::new(documents::Port::new(to_journal)),
        views: Box::new(views::Port::new(to_journal)),
        mode: Mode::Serve,
        bounds: stage.plan.bounds,
    }
}

/// Starts a process on a machine where none lives.
pub(crate) fn start(stage: &Rc<Stage>, machine: usize) {
    if stage.closing.get() || stage.kernel.machine(machine, |one| one.alive) != Some(false) {
        return;
    }
    stage.kernel.begin(machine, move || live(machine));
    stage.reached("process started");
}

/// What the main task of a process does.
fn live(machine: usize) {
    let stage = here();
    let life = stage.kernel.machine(machine, |one| one.life).unwrap_or(0);
    stage.say(|| format!("n{machine} starts, process {life}"));
    match hb_daemon::start(parts(&stage, machine, life)) {
        Ok(running) => {
            stage.change_host(machine, |host| host.remote = Some(running.remote.clone()));
            let ended = running.join();
            note_end(&stage, machine, life, &ended);
        }
        Err(error) => stage.breach(Promise::Panic, || format!("n{machine} cannot be started: {error}")),
    }
}

fn note_end(stage: &Stage, machine: usize, life: u64, ended: &Ended) {
    stage.say(|| format!("n{machine} ends: {ended:?}"));
    match ended {
        Ended::Drained => {
            stage.reached("ended drained");
            if stage.plan.mix.leaves_the_lease_alone() {
                stage.judge(stage.ledger.borrow().lease.drained(machine, life));
            }
        }
        Ended::Fenced(_) => stage.reached("ended fenced"),
        Ended::Unfinished(_) => stage.reached("ended unfinished"),
        Ended::Corrupt(what) => {
            stage.reached("ended corrupt");
            stage.breach(Promise::J4, || format!("n{machine} takes a sound journal for damaged: {what}"));
        }
    }
}

/// What happens around a process that has died, however.
pub(crate) fn died(stage: &Rc<Stage>, machine: usize, life: u64) {
    stage.say(|| format!("n{machine} is gone, process {life}"));
    stage.change_host(machine, |host| host.remote = None);
    stage.ledger.borrow_mut().streams.forget(machine);
    let (noticed, again) = {
        let mut chance = stage.kernel.chance.borrow_mut();
        (chance.between(MS, 400 * MS), chance.between(200 * MS, 9 * SECOND))
    };
    stage.kernel.later(noticed, move || {
        let stage = here();
        stage.cells.borrow_mut().gone(machine, life);
        stage.kernel.wake_all(stage.lease_changed);
    });
    stage.kernel.later(again, move || start(&here(), machine));
}

/// An order of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    Switchover(Option<usize>),
    Pause,
    Resume,
    Reload,
    Stop,
}

/// Somebody asks something of a node, from its own machine.
pub(crate) fn ask(stage: &Rc<Stage>, machine: usize, errand: Errand) {
    let remote = stage.hosts.borrow().get(machine).and_then(|host| host.remote.clone());
    let Some(remote) = remote.filter(|_| stage.kernel.machine(machine, |one| one.alive) == Some(true)) else { return };
    if errand == Errand::Reload {
        stage.change_host(machine, |host| host.limits += 1);
    }
    stage.say(|| format!("n{machine} is asked: {errand:?}"));
    let asking = move || {
        let by = || "operator".to_owned();
        let done = match errand {
            Errand::Switchover(to) => {
                let to = to.map(|to| name(to).as_str().into());
                remote.switchover(to, by(), "as rehearsed".into(), PATIENCE).is_ok()
            }
            Errand::Pause => remote.pause(by(), "as rehearsed".into(), PATIENCE).is_ok(),
            Errand::Resume => remote.resume(by(), PATIENCE).is_ok(),
            Errand::Reload => {
                let stage = here();
                let limits = stage.hosts.borrow().get(machine).map_or(0, |host| host.limits);
                let settings = (0..stage.plan.watches).map(|watch| Arc::new(stage.plan.settings(watch, limits)));
                remote.send(Control::Reload(settings.collect()))
            }
            Errand::Stop => remote.send(Control::Stop { reason: "as rehearsed".into() }),
        };
        here().reached(if done { "order taken" } else { "order refused" });
    };
    stage.kernel.start(machine, "operator", Box::new(asking));
}
