//! Delivers alerts: one thread per sink, so that a slow one holds up nobody else (W6).
//!
//! The outbox is the journal: an alert is under way from its cycle's record until an `AlertDelivered` record, whatever
//! happens in between. What waits here is only this process's work on it, at most [`WAITING_MAX`] per sink (B1); beyond that
//! alerts stay in the journal's list and are taken up again when there is room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hb_actuators::{AlertSink, Backoff, Delivery};
use hb_core::ids::{CycleNo, WatchName};
use hb_core::node::fact::Undelivered;
use hb_core::watch::alert::Alert;
use hb_runtime::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use hb_runtime::thread::{self, Thread};

use crate::clock;
use crate::inbox::Control;
use crate::parts::SinkParts;
use crate::shared::Shared;

/// Most alerts waiting at one sink.
const WAITING_MAX: usize = 256;

/// How often one that waits for its next try looks whether it is still to try.
const GLANCE: Duration = Duration::from_millis(250);

/// An alert, and in which reign of this node it was handed over.
#[derive(Debug)]
struct Task {
    alert: Alert,
    reign: u64,
}

/// The loop's handle on a sink.
#[derive(Debug)]
pub(crate) struct Doer {
    name: String,
    out: Option<Sender<Task>>,
    /// Whose work it is: grows whenever everything before is to be left alone.
    reign: Arc<AtomicU64>,
    /// Cycle of the newest alert handed over; alerts are handed over in order.
    newest: Option<CycleNo>,
    thread: Option<Thread<()>>,
}

impl Doer {
    pub(crate) fn start(
        watch: &WatchName,
        parts: SinkParts,
        back: Sender<Control>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let (out, inbox) = bounded(WAITING_MAX);
        let name = parts.name.clone();
        let seed = clock::moment().0;
        let reign = Arc::<AtomicU64>::default();
        let worker = Worker {
            watch: watch.clone(),
            name: parts.name,
            sink: parts.sink,
            tries_max: parts.tries_max.max(1),
            inbox,
            back,
            shared,
            seed,
            reign: Arc::clone(&reign),
        };
        let thread = thread::spawn(&format!("tell-{name}"), move || worker.run())?;
        Ok(Self { name, out: Some(out), reign, newest: None, thread: Some(thread) })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Leaves alone what was handed over so far: another node delivers it. A try that is under way is not cut short.
    pub(crate) fn forget(&mut self) {
        self.reign.fetch_add(1, Ordering::AcqRel);
        self.newest = None;
    }

    /// Hands over what is under way to this sink and has not been handed over yet, oldest first. Gives the first alert for
    /// which there was no room.
    pub(crate) fn top_up<'a>(&mut self, under_way: &'a [Undelivered]) -> Option<&'a Alert> {
        let out = self.out.as_ref()?;
        for Undelivered { alert, sinks } in under_way {
            let mine = sinks.contains(&self.name) && self.newest.is_none_or(|newest| alert.cycle > newest);
            if !mine {
                continue;
            }
            let task = Task { alert: alert.clone(), reign: self.reign.load(Ordering::Acquire) };
            if out.try_send(task).is_err() {
                return Some(alert);
            }
            self.newest = Some(alert.cycle);
        }
        None
    }

    /// Ends the thread once its present try is over; a sink that hangs is left behind after a second.
    pub(crate) fn quit(mut self) {
        self.out = None;
        let Some(thread) = self.thread.take() else { return };
        if matches!(thread.join_within(Duration::from_secs(1)), Ok(Err(_))) {
            tracing::error!("the thread of a sink panicked; please report it");
        }
    }
}

struct Worker {
    watch: WatchName,
    name: String,
    sink: Box<dyn AlertSink>,
    tries_max: u32,
    inbox: Receiver<Task>,
    back: Sender<Control>,
    shared: Arc<Shared>,
    seed: u64,
    reign: Arc<AtomicU64>,
}

impl Worker {
    fn run(mut self) {
        let mut waiting: VecDeque<Task> = VecDeque::new();
        loop {
            let task = match waiting.pop_front() {
                Some(task) => task,
                None => match self.inbox.recv() {
                    Some(task) => task,
                    None => return,
                },
            };
            if !self.deliver(&task, &mut waiting) {
                return;
            }
        }
    }

    /// Tries until it is taken or given up, or is another node's. Gives whether the thread goes on.
    fn deliver(&mut self, task: &Task, waiting: &mut VecDeque<Task>) -> bool {
        let alert = &task.alert;
        self.seed = self.seed.wrapping_add(1);
        let mut backoff = Backoff::new(self.seed);
        let mut tries = 0;
        loop {
            if self.reign.load(Ordering::Acquire) != task.reign {
                self.shared.forget(&self.check_name());
                return true;
            }
            tries += 1;
            let (why, after) = match self.sink.deliver(alert, None) {
                Delivery::Done => return self.report(alert, tries, None),
                Delivery::GiveUp { why } => return self.report(alert, tries, Some(why)),
                Delivery::Retry { why, after } => (why, after),
            };
            self.note("retried");
            if tries >= self.tries_max {
                return self.report(alert, tries, Some(format!("given up after {tries} tries: {why}")));
            }
            let wait = backoff.wait(after);
            self.shared.check(&self.check_name(), Err(format!("{why}; tried again in {:.1} s", wait.as_secs_f64())));
            if !self.rest(wait, task.reign, waiting) {
                return false;
            }
        }
    }

    /// Waits, taking in what comes, and stops waiting when the node ends, or when this is no more its work.
    fn rest(&self, wait: Duration, reign: u64, waiting: &mut VecDeque<Task>) -> bool {
        let until = clock::after(wait);
        loop {
            let left = clock::until(until);
            if left.is_zero() || self.reign.load(Ordering::Acquire) != reign {
                return true;
            }
            // Full: wait without taking in.
            if waiting.len() >= WAITING_MAX {
                thread::sleep(left.min(GLANCE));
                continue;
            }
            match self.inbox.recv_timeout(left.min(GLANCE)) {
                Ok(task) => waiting.push_back(task),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn check_name(&self) -> String {
        format!("sink.{}", self.name)
    }

    fn note(&self, outcome: &'static str) {
        self.shared.count(|stats| *stats.deliveries.entry((self.name.clone(), outcome)).or_insert(0) += 1);
    }

    fn report(&self, alert: &Alert, tries: u32, given_up: Option<String>) -> bool {
        self.note(if given_up.is_some() { "given_up" } else { "delivered" });
        let state = given_up.clone().map_or(Ok(()), Err);
        self.shared.check(&self.check_name(), state);
        let control = Control::Delivered {
            watch: self.watch.clone(),
            cycle: alert.cycle,
            sink: self.name.clone(),
            tries,
            given_up,
        };
        self.back.send(control).is_ok()
    }
}
