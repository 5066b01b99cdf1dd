//! Reads one source on a thread of its own and feeds the work loop.
//!
//! **Invariants.** What is fed carries the generation under which the source was opened, so that the loop can tell what was
//! read before it asked for another place. While standing by, what is read stays here ([`Warm`]).

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use hb_core::ids::WatchName;
use hb_core::mark::Mark;
use hb_sources::{Polled, Rereads, Source, SourceError};

use crate::clock;
use crate::inbox::{Data, Fed};
use crate::parts::OpenSource;
use crate::warm::Warm;

/// Most orders waiting for a feeder.
const ORDERS_MAX: usize = 16;
/// How long a source may wait for something new before the feeder looks at its orders.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often a source that cannot be read is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What the loop asks of a feeder.
#[derive(Debug)]
pub(crate) enum Order {
    /// Read on from here and feed.
    Open { mark: Option<Mark>, generation: u64 },
    /// Read along from here and hold, where the source allows.
    Warm { mark: Option<Mark> },
    /// Nothing before this place is needed any more; read along from there if that had not been possible before.
    Trim { mark: Mark },
    /// Stop reading.
    Close,
    /// End the thread.
    Quit,
}

/// The loop's handle on a feeder.
#[derive(Debug)]
pub(crate) struct Feeder {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Feeder {
    pub(crate) fn start(watch: &WatchName, open: OpenSource, out: Sender<Data>) -> std::io::Result<Self> {
        let (orders, inbox) = bounded(ORDERS_MAX);
        let watch = watch.clone();
        let worker = Worker {
            watch: watch.clone(),
            open,
            out,
            orders: inbox,
            source: None,
            state: State::Closed,
            warm: Warm::default(),
            failed_at: None,
        };
        let thread = thread::Builder::new().name(format!("feed-{watch}")).spawn(move || worker.run())?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Gives an order. A trim is left out when the feeder is busy: the next one covers it.
    pub(crate) fn order(&self, order: Order) {
        let lost = match order {
            Order::Trim { .. } => self.orders.try_send(order).is_err_and(|error| error.is_disconnected()),
            Order::Open { .. } | Order::Warm { .. } | Order::Close | Order::Quit => self.orders.send(order).is_err(),
        };
        if lost {
            tracing::error!("a feeder has ended before its time; its source is not read any more");
        }
    }

    /// Ends the thread. A source that hangs in a read is left behind after a second.
    pub(crate) fn quit(mut self) {
        self.order(Order::Quit);
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + Duration::from_secs(1);
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() && thread.join().is_err() {
            tracing::error!("a feeder panicked; please report it");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Warming,
    Feeding { generation: u64 },
    /// The source is complete; nothing more will be read.
    Complete,
}

struct Worker {
    watch: WatchName,
    open: OpenSource,
    out: Sender<Data>,
    orders: Receiver<Order>,
    source: Option<Box<dyn Source>>,
    state: State,
    warm: Warm,
    failed_at: Option<Instant>,
}

/// Whether the thread goes on.
#[derive(Debug, PartialEq, Eq)]
enum Go {
    On,
    End,
}

impl Worker {
    fn run(mut self) {
        while self.turn() == Go::On {}
    }

    fn turn(&mut self) -> Go {
        let busy = match self.state {
            State::Closed | State::Complete => false,
            State::Warming => !self.warm.full(),
            State::Feeding { .. } => true,
        };
        let wait = if busy { Duration::ZERO } else { Duration::from_secs(3_600) };
        match self.orders.recv_timeout(wait) {
            Ok(order) => return self.obey(order),
            Err(RecvTimeoutError::Disconnected) => return Go::End,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if busy { self.read() } else { Go::On }
    }

    fn obey(&mut self, order: Order) -> Go {
        match order {
            Order::Open { mark, generation } => return self.feed_from(mark.as_ref(), generation),
            Order::Warm { mark } => self.warm_from(mark.as_ref()),
            Order::Trim { mark } if self.state == State::Closed => self.warm_from(Some(&mark)),
            Order::Trim { mark } => self.warm.trim(mark.position),
            Order::Close => {
                self.state = State::Closed;
                self.source = None;
                self.warm.clear();
            }
            Order::Quit => return Go::End,
        }
        Go::On
    }

    /// Feeds what is held from the mark on; what is not held is sought in the source.
    fn feed_from(&mut self, mark: Option<&Mark>, generation: u64) -> Go {
        let held = if self.state == State::Warming { self.warm.take(mark) } else { None };
        self.state = State::Feeding { generation };
        match held {
            Some(batches) => {
                for batch in batches {
                    if self.send(Fed::Batch(batch)) == Go::End {
                        return Go::End;
                    }
                }
                Go::On
            }
            None => {
                self.warm.clear();
                self.seek(mark)
            }
        }
    }

    fn warm_from(&mut self, mark: Option<&Mark>) {
        self.warm.clear();
        self.state = State::Closed;
        let rereads = match self.source() {
            Ok(source) => source.rereads(),
            // A standby that cannot read the source says so when it has to.
            Err(_) => Rereads::No,
        };
        let worthwhile = match rereads {
            Rereads::Observes => true,
            Rereads::Yes => mark.is_some(),
            Rereads::No => false,
        };
        if worthwhile && self.source().is_ok_and(|source| source.seek(mark).is_ok()) {
            self.state = State::Warming;
        } else {
            self.source = None;
        }
    }

    fn source(&mut self) -> Result<&mut Box<dyn Source>, SourceError> {
        if self.source.is_none() {
            self.source = Some((self.open)()?);
        }
        self.source.as_mut().ok_or_else(|| SourceError::Retry("the source could not be opened".into()))
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Go {
        match self.source().and_then(|source| source.seek(mark)) {
            Ok(()) => Go::On,
            Err(error) => self.failed(&error.to_string(), mark),
        }
    }

    /// A source that could not even be sought is tried again until it can, or until there is another order.
    fn failed(&mut self, why: &str, mark: Option<&Mark>) -> Go {
        self.source = None;
        if self.send(Fed::Failed { looked_at: clock::wall(), why: why.to_owned() }) == Go::End {
            return Go::End;
        }
        match self.orders.recv_timeout(RETRY) {
            Ok(order) => self.obey(order),
            Err(RecvTimeoutError::Disconnected) => Go::End,
            Err(RecvTimeoutError::Timeout) => match self.state {
                State::Feeding { .. } => self.seek(mark),
                State::Closed | State::Warming | State::Complete => Go::On,
            },
        }
    }

    fn read(&mut self) -> Go {
        let looked_at = clock::wall();
        let polled = self.source().and_then(|source| source.next(PATIENCE));
        match (self.state, polled) {
            (State::Warming, Ok(Polled::Batch(batch))) => self.warm.push(batch),
            (State::Warming, Ok(Polled::Idle { .. })) => {}
            (State::Warming, Ok(Polled::End { .. })) => self.state = State::Complete,
            (State::Warming, Err(error)) => {
                // Its own account is asked for when this node becomes active.
                tracing::debug!("standing by, the source of {} cannot be read: {error}", self.watch);
                self.warm.clear();
                self.state = State::Closed;
            }
            (State::Feeding { .. }, Ok(Polled::Batch(batch))) => return self.send(Fed::Batch(batch)),
            (State::Feeding { .. }, Ok(Polled::Idle { looked_at, .. })) => return self.send(Fed::Idle(looked_at)),
            (State::Feeding { .. }, Ok(Polled::End { .. })) => {
                let go = self.send(Fed::Ended);
                self.state = State::Complete;
                return go;
            }
            (State::Feeding { .. }, Err(error)) => return self.broken(looked_at, &error),
            (State::Closed | State::Complete, _) => {}
        }
        Go::On
    }

    fn broken(&mut self, looked_at: hb_core::time::Stamp, error: &SourceError) -> Go {
        let due = self.failed_at.is_none_or(|at| at.elapsed() >= RETRY);
        if due {
            self.failed_at = Some(Instant::now());
            if self.send(Fed::Failed { looked_at, why: error.to_string() }) == Go::End {
                return Go::End;
            }
        }
        // The source answered at once: wait here rather than spin.
        match self.orders.recv_timeout(PATIENCE) {
            Ok(order) => self.obey(order),
            Err(RecvTimeoutError::Timeout) => Go::On,
            Err(RecvTimeoutError::Disconnected) => Go::End,
        }
    }

    /// Waits for room in the loop's inbox, but not past an order.
    fn send(&mut self, what: Fed) -> Go {
        let State::Feeding { generation } = self.state else { return Go::On };
        let mut data = Data { watch: self.watch.clone(), generation, what };
        loop {
            match self.out.send_timeout(data, Duration::from_millis(20)) {
                Ok(()) => return Go::On,
                Err(SendTimeoutError::Disconnected(_)) => return Go::End,
                Err(SendTimeoutError::Timeout(back)) => data = back,
            }
            if let Ok(order) = self.orders.try_recv() {
                // What was being sent belongs to the place that is being left; the new one reads it again if needed.
                return match order {
                    Order::Trim { .. } => continue,
                    Order::Open { .. } | Order::Warm { .. } | Order::Close | Order::Quit => self.obey(order),
                };
            }
        }
    }
}
