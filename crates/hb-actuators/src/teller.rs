//! Delivers notifications: one thread per sink, so that a slow one holds up nobody else, with tries and waits between them.
//!
//! The outbox is the supervisor's state: a notification is under way from the step that made it until `Delivered` is recorded, whatever happens in
//! between. What waits here is only this process's work on it, at most [`WAITING_MAX`] per sink (B1).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use hb_core::supervise::alert::Notification;
use hb_core::supervise::bounds::NOTIFICATIONS_MAX;
use hb_core::supervise::input::Input;

use crate::alert_sink::{Delivery, NotificationSink};
use crate::backoff::Backoff;

/// Most notifications that wait at one sink: all that can be under way, and some.
pub const WAITING_MAX: usize = 2 * NOTIFICATIONS_MAX;
/// How long the end of a try is waited for when everything ends.
const QUIT_MAX: Duration = Duration::from_secs(1);

/// A sink with its rule.
pub struct TellerSink {
    /// The sink.
    pub sink: Box<dyn NotificationSink>,
    /// Tries after which a notification is given up, at least 1.
    pub tries_max: u32,
}

impl std::fmt::Debug for TellerSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TellerSink").field("name", &self.sink.name()).field("tries_max", &self.tries_max).finish()
    }
}

/// Where `Delivered` goes.
pub type Emit = Arc<dyn Fn(Input) + Send + Sync>;

/// All sinks of a supervisor.
pub struct Teller {
    sinks: BTreeMap<String, Line>,
    emit: Emit,
    over: Arc<AtomicBool>,
}

/// The way to one sink.
struct Line {
    out: Option<Sender<Arc<Notification>>>,
    trouble: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").field("sinks", &self.names()).finish_non_exhaustive()
    }
}

impl Teller {
    /// Starts a thread for each sink. `seed` spreads the waits; give each node and start another.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(sinks: Vec<TellerSink>, seed: u64, emit: Emit) -> std::io::Result<Self> {
        let mut lines = BTreeMap::new();
        let over = Arc::new(AtomicBool::new(false));
        for TellerSink { sink, tries_max } in sinks {
            let name = sink.name().to_owned();
            let (out, inbox) = bounded(WAITING_MAX);
            let trouble = Arc::new(Mutex::new(None));
            let seed = name.bytes().fold(seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
            let worker = Worker {
                name: name.clone(),
                sink,
                tries_max: tries_max.max(1),
                inbox,
                trouble: Arc::clone(&trouble),
                emit: Arc::clone(&emit),
                over: Arc::clone(&over),
                seed,
            };
            let thread = std::thread::Builder::new().name(format!("tell-{name}")).spawn(move || worker.run())?;
            lines.insert(name, Line { out: Some(out), trouble, thread: Some(thread) });
        }
        Ok(Self { sinks: lines, emit, over })
    }

    /// Names of the sinks, for `Input::Sinks`.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.sinks.keys().cloned().collect()
    }

    /// For `Effect::Notify`: hands a notification to these sinks. `Delivered` comes for each, also for one that there is not.
    pub fn tell(&self, notification: Notification, sinks: &BTreeSet<String>) {
        let notification = Arc::new(notification);
        for name in sinks {
            let out = self.sinks.get(name).and_then(|line| line.out.as_ref());
            let given_up = match out.map(|out| out.try_send(Arc::clone(&notification))) {
                Some(Ok(())) => continue,
                Some(Err(TrySendError::Full(_))) => {
                    format!("{WAITING_MAX} notifications are waiting for this sink already")
                }
                Some(Err(TrySendError::Disconnected(_))) => "the thread of this sink has ended".to_owned(),
                None => "there is no such sink any more".to_owned(),
            };
            self.give_up(&notification.key, name, given_up);
        }
    }

    /// Told from a thread of its own: whoever called may be the one who hears it, and must not wait for itself.
    fn give_up(&self, key: &str, sink: &str, why: String) {
        tracing::error!("sink {sink}: {key} was given up: {why}");
        let (emit, key, sink) = (Arc::clone(&self.emit), key.to_owned(), sink.to_owned());
        let told = std::thread::Builder::new()
            .name("given-up".into())
            .spawn(move || emit(Input::Delivered { key, sink, given_up: Some(why) }));
        if let Err(error) = told {
            tracing::error!("that could not be recorded; it is told again after the next start: {error}");
        }
    }

    /// What is wrong with each sink at the moment, for health and readiness; none when its newest try went well.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<String, Option<String>> {
        let of = |line: &Line| line.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.sinks.iter().map(|(name, line)| (name.clone(), of(line))).collect()
    }

    /// Ends the threads once their present tries are over; a sink that hangs is left behind after a second. What was not delivered is still under way
    /// in the supervisor's state.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.sinks.values_mut().for_each(|line| line.out = None);
        let until = Instant::now() + QUIT_MAX;
        for line in self.sinks.values_mut() {
            let Some(thread) = line.thread.take() else { continue };
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("the thread of a sink panicked; please report it");
            }
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker {
    name: String,
    sink: Box<dyn NotificationSink>,
    tries_max: u32,
    inbox: Receiver<Arc<Notification>>,
    trouble: Arc<Mutex<Option<String>>>,
    emit: Emit,
    over: Arc<AtomicBool>,
    seed: u64,
}

impl Worker {
    fn run(mut self) {
        while let Ok(notification) = self.inbox.recv() {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let Some(given_up) = self.deliver(&notification) else { return };
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = given_up.clone();
            let (key, sink) = (notification.key.clone(), self.name.clone());
            (self.emit)(Input::Delivered { key, sink, given_up });
        }
    }

    /// Tries until it is taken or given up: gives why it was given up, or nothing at all when everything ends.
    fn deliver(&mut self, notification: &Notification) -> Option<Option<String>> {
        self.seed = self.seed.wrapping_add(1);
        let mut backoff = Backoff::new(self.seed);
        loop {
            let (why, after) = match self.sink.tell(notification) {
                Delivery::Done => return Some(None),
                Delivery::GiveUp { why } => return Some(Some(why)),
                Delivery::Retry { why, after } => (why, after),
            };
            if backoff.failures() + 1 >= self.tries_max {
                return Some(Some(format!("given up after {} tries: {why}", self.tries_max)));
            }
            let wait = backoff.wait(after);
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(format!("{why}; tried again in {:.1} s", wait.as_secs_f64()));
            if !self.rest(wait) {
                return None;
            }
        }
    }

    /// Waits; what comes meanwhile stays in the channel. Gives whether to go on.
    fn rest(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if self.over.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert_sink::notification::tests::notification;

    /// Fails as often as it says, then takes everything.
    struct Shaky {
        failures: u32,
        taken: Sender<String>,
    }

    impl NotificationSink for Shaky {
        fn name(&self) -> &'static str {
            "shaky"
        }

        fn tell(&mut self, notification: &Notification) -> Delivery {
            if self.failures > 0 {
                self.failures -= 1;
                return Delivery::Retry { why: "not now".into(), after: None };
            }
            self.taken.send(notification.key.clone()).unwrap();
            Delivery::Done
        }
    }

    fn teller(failures: u32, tries_max: u32) -> (Teller, Receiver<String>, Receiver<Input>) {
        let (taken, takes) = crossbeam_channel::unbounded();
        let (told, tells) = crossbeam_channel::unbounded();
        let sinks = vec![TellerSink { sink: Box::new(Shaky { failures, taken }), tries_max }];
        let emit: Emit = Arc::new(move |input| told.send(input).unwrap());
        (Teller::start(sinks, 7, emit).unwrap(), takes, tells)
    }

    fn delivered(tells: &Receiver<Input>) -> (String, String, Option<String>) {
        let told = tells.recv_timeout(Duration::from_secs(60)).unwrap();
        let Input::Delivered { key, sink, given_up } = told else { panic!("{told:?}") };
        (key, sink, given_up)
    }

    #[test]
    fn tries_again_in_order_and_says_when_it_was_taken() {
        let (teller, takes, tells) = teller(2, 5);
        let sinks = teller.names();
        teller.tell(notification(1), &sinks);
        teller.tell(notification(2), &sinks);
        assert_eq!(delivered(&tells), ("group/g-1".into(), "shaky".into(), None));
        assert_eq!(delivered(&tells), ("group/g-2".into(), "shaky".into(), None));
        assert_eq!(takes.try_iter().collect::<Vec<_>>(), ["group/g-1", "group/g-2"]);
        assert_eq!(teller.troubles()["shaky"], None);
    }

    #[test]
    fn gives_up_after_its_tries_and_for_unknown_sinks_at_once() {
        let (teller, _takes, tells) = teller(1, 1);
        teller.tell(notification(1), &["gone".to_owned()].into());
        assert!(delivered(&tells).2.unwrap().contains("no such sink"));
        teller.tell(notification(1), &teller.names());
        assert!(delivered(&tells).2.unwrap().contains("given up after 1 tries: not now"));
        assert!(teller.troubles()["shaky"].is_some());
    }

    #[test]
    fn ends_in_the_middle_of_a_wait() {
        let (teller, takes, tells) = teller(u32::MAX, u32::MAX);
        teller.tell(notification(1), &teller.names());
        while teller.troubles()["shaky"].is_none() {
            std::thread::yield_now();
        }
        teller.stop();
        assert!(takes.is_empty() && tells.is_empty());
    }
}
