//! Brings the supervisor's notifications to their sinks: one thread a sink, so that a slow one holds up nobody else.
//!
//! The outbox is the supervisor's state: a notification stays in it until every sink has taken it or given it up, and is handed over again after a
//! start. What waits here is only this process's work on it, at most [`WAITING_MAX`] a sink (B1); beyond that a notification is given up for
//! that sink, which is told as an event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use hb_actuators::{Backoff, Delivery, NotificationSink, Secret, SinkSpec, alert_sink};
use hb_core::supervise::alert::Notification;
use hb_core::supervise::input::Input;

use super::{TRIES_MAX, secret};
use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::SinkConfig;
use crate::exit::Exit;

/// Most notifications that wait for one sink.
const WAITING_MAX: usize = 1_000;

/// Where outcomes go.
type Emit = Arc<dyn Fn(Input) + Send + Sync>;

/// One sink's thread.
struct Teller {
    out: Option<Sender<Notification>>,
    thread: Option<JoinHandle<()>>,
}

/// All of them, by name.
pub(super) struct Tellers {
    all: BTreeMap<String, Teller>,
    emit: Emit,
}

impl Tellers {
    /// What is to be started.
    pub(super) fn specs(config: &Config) -> Result<Vec<(String, SinkSpec)>, Failure> {
        let spec = |sink: &SinkConfig| {
            let spec = match sink {
                SinkConfig::Stdout => SinkSpec::Stdout,
                SinkConfig::File(path) => SinkSpec::File { path: path.clone() },
                SinkConfig::Webhook { url, secret_file } => SinkSpec::Webhook {
                    url: Secret::new(url.as_str()),
                    secret: secret_file.as_deref().map(secret).transpose()?,
                    timeout: alert_sink::WEBHOOK_TIMEOUT,
                },
            };
            Ok((sink.name().to_owned(), spec))
        };
        let specs = config.sinks.iter().map(spec).collect::<Result<Vec<_>, Failure>>()?;
        for (name, spec) in &specs {
            alert_sink::notification::build(name, spec)
                .map_err(|error| Failure::new(Exit::Config, format!("sink {name}: {error}")))?;
        }
        Ok(specs)
    }

    /// Starts a thread for each.
    pub(super) fn start(specs: Vec<(String, SinkSpec)>, emit: &Emit) -> std::io::Result<Self> {
        let mut all = BTreeMap::new();
        for (name, spec) in specs {
            let sink = alert_sink::notification::build(&name, &spec).map_err(std::io::Error::other)?;
            let (out, inbox) = bounded(WAITING_MAX);
            let worker = Worker { name: name.clone(), sink, inbox, emit: Arc::clone(emit) };
            let thread = std::thread::Builder::new().name(format!("tell-{name}")).spawn(move || worker.run())?;
            all.insert(name, Teller { out: Some(out), thread: Some(thread) });
        }
        Ok(Self { all, emit: Arc::clone(emit) })
    }

    /// Hands a notification over.
    pub(super) fn tell(&self, notification: &Notification, sinks: &BTreeSet<String>) {
        for name in sinks {
            let out = self.all.get(name).and_then(|teller| teller.out.as_ref());
            if out.is_none_or(|out| out.try_send(notification.clone()).is_err()) {
                let why = format!("{WAITING_MAX} notifications wait for it already, or it is not there");
                self.give_up(notification, name, why);
            }
        }
    }

    /// Told from a thread of its own: the loop that called must not wait for itself.
    fn give_up(&self, notification: &Notification, sink: &str, why: String) {
        tracing::error!("sink {sink}: {} was given up: {why}", notification.key);
        let (emit, key, sink) = (Arc::clone(&self.emit), notification.key.clone(), sink.to_owned());
        let told = std::thread::Builder::new().name("given-up".into()).spawn(move || {
            emit(Input::Delivered { key, sink, given_up: Some(why) });
        });
        if let Err(error) = told {
            tracing::error!("that could not be recorded: {error}");
        }
    }

    /// Ends the threads once their present tries are over; one that hangs is left behind.
    pub(super) fn stop(&mut self, patience: Duration) {
        self.all.values_mut().for_each(|teller| teller.out = None);
        let until = Instant::now() + patience;
        for thread in self.all.values_mut().filter_map(|teller| teller.thread.take()) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("the thread of a sink panicked; please report it");
            }
        }
    }
}

struct Worker {
    name: String,
    sink: Box<dyn NotificationSink>,
    inbox: Receiver<Notification>,
    emit: Emit,
}

impl Worker {
    fn run(mut self) {
        let mut waiting = VecDeque::new();
        loop {
            let next = match waiting.pop_front() {
                Some(next) => Some(next),
                None => self.inbox.recv().ok(),
            };
            let Some(notification) = next else { return };
            let Some(given_up) = self.deliver(&notification, &mut waiting) else { return };
            (self.emit)(Input::Delivered { key: notification.key, sink: self.name.clone(), given_up });
        }
    }

    /// Tries until it is taken or given up; `None` when the process ends meanwhile.
    fn deliver(&mut self, notification: &Notification, waiting: &mut VecDeque<Notification>) -> Option<Option<String>> {
        let mut backoff = Backoff::new(seed(&notification.key));
        for tries in 1_u32.. {
            let (why, after) = match self.sink.tell(notification) {
                Delivery::Done => return Some(None),
                Delivery::GiveUp { why } => return Some(Some(why)),
                Delivery::Retry { why, after } => (why, after),
            };
            if tries >= TRIES_MAX {
                return Some(Some(format!("given up after {tries} tries: {why}")));
            }
            let wait = backoff.wait(after);
            tracing::warn!("sink {}: {why}; tried again in {:.1} s", self.name, wait.as_secs_f64());
            if !self.rest(wait, waiting) {
                return None;
            }
        }
        None
    }

    /// Waits, taking in what comes; gives whether the process goes on.
    fn rest(&self, wait: Duration, waiting: &mut VecDeque<Notification>) -> bool {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if waiting.len() >= WAITING_MAX {
                // Full: wait without taking in, a little at a time.
                std::thread::sleep(left.min(Duration::from_millis(100)));
                continue;
            }
            match self.inbox.recv_timeout(left) {
                Ok(notification) => waiting.push_back(notification),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }
}

/// Spreads the waits of different notifications.
fn seed(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
