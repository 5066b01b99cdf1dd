//! Reads one source on a thread of its own and feeds the work loop.
//!
//! **Invariants.** What is fed carries the generation under which the source was opened, so that the loop can tell what was
//! read before it asked for another place. While standing by, what is read stays here ([`Warm`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hb_core::ids::WatchName;
use hb_core::mark::Mark;
use hb_core::time::Moment;
use hb_runtime::channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded};
use hb_runtime::thread::{self, Thread};
use hb_sources::{Polled, Rereads, Source, SourceError};

use crate::clock;
use crate::inbox::{Data, Fed};
use crate::parts::OpenSource;
use crate::warm::Warm;

/// Most orders waiting for a feeder.
const ORDERS_MAX: usize = 16;
/// How long a source may wait for something new before the feeder looks at its orders.
const PATIENCE: Duration = Duration::from_millis(100);
/// The same while it only reads along: it shall go on at once when this node takes over.
const WARM_PATIENCE: Duration = Duration::from_millis(20);
/// How often a source that cannot be read is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long a feeder with nothing to read waits for an order before it looks again.
const RESTING: Duration = Duration::from_secs(3_600);

/// What the loop asks of a feeder.
#[derive(Debug)]
pub(crate) enum Order {
    /// Read on from here and feed.
    Open { mark: Option<Mark>, generation: u64 },
    /// Read along from here and hold, where the source allows.
    Warm { mark: Option<Mark> },
    /// Nothing before this place is needed any more: it is in a durable record. Standing by, read along from there if that had
    /// not been possible before.
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
    /// The worker's end, to make room for an order that makes those before it void.
    unread: Receiver<Order>,
    fed: Arc<AtomicU64>,
    thread: Option<Thread<()>>,
}

impl Feeder {
    pub(crate) fn start(
        watch: &WatchName,
        open: OpenSource,
        out: Sender<Data>,
        rest: Duration,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = bounded(ORDERS_MAX);
        let worker = Worker { rest, ..Worker::new(watch, open, out, inbox.clone()) };
        let fed = Arc::clone(&worker.fed);
        let thread = thread::spawn(&format!("feed-{watch}"), move || worker.run())?;
        Ok(Self { orders, unread: inbox, fed, thread: Some(thread) })
    }

    /// Gives an order and never waits: a source may hang, the loop may not. A trim is left out when there is no room, the next
    /// one covers it; any other order makes void what waits before it.
    pub(crate) fn order(&self, order: Order) {
        match self.orders.try_send(order) {
            Ok(()) | Err(TrySendError::Full(Order::Trim { .. }) | TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(order)) => {
                while self.unread.try_recv().is_ok() {}
                // Only the loop gives orders, so there is room now.
                self.orders.try_send(order).unwrap_or_else(|error| tracing::error!("an order was lost: {error}"));
            }
        }
        if self.thread.as_ref().is_some_and(Thread::is_finished) {
            tracing::error!("a feeder has ended before its time; its source is not read any more");
        }
    }

    /// Events that the feeder has handed over, or is about to, since it was started.
    pub(crate) fn fed(&self) -> u64 {
        self.fed.load(Ordering::Acquire)
    }

    /// Ends the thread. A source that hangs in a read is left behind after a second.
    pub(crate) fn quit(mut self) {
        self.order(Order::Quit);
        let Some(thread) = self.thread.take() else { return };
        if matches!(thread.join_within(Duration::from_secs(1)), Ok(Err(_))) {
            tracing::error!("a feeder panicked; please report it");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Warming,
    /// On the way to the place where feeding begins.
    Seeking {
        generation: u64,
    },
    Feeding {
        generation: u64,
    },
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
    /// Where to, while seeking, and when to try.
    goal: Option<Mark>,
    seek_at: Moment,
    failed_at: Option<Moment>,
    fed: Arc<AtomicU64>,
    /// How long it rests when there was nothing; zero: it waits at the source.
    rest: Duration,
}

/// Whether the thread goes on.
#[derive(Debug, PartialEq, Eq)]
enum Go {
    On,
    End,
}

impl Worker {
    fn new(watch: &WatchName, open: OpenSource, out: Sender<Data>, orders: Receiver<Order>) -> Self {
        Self {
            watch: watch.clone(),
            open,
            out,
            orders,
            source: None,
            state: State::Closed,
            warm: Warm::default(),
            goal: None,
            seek_at: clock::moment(),
            failed_at: None,
            fed: Arc::default(),
            rest: Duration::ZERO,
        }
    }

    fn run(mut self) {
        while self.turn() == Go::On {}
    }

    fn turn(&mut self) -> Go {
        let wait = match self.state {
            State::Closed | State::Complete => RESTING,
            State::Warming if self.warm.full() => RESTING,
            State::Warming | State::Feeding { .. } => Duration::ZERO,
            State::Seeking { .. } => clock::until(self.seek_at),
        };
        match self.orders.recv_timeout(wait) {
            Ok(order) => return self.obey(order),
            Err(RecvTimeoutError::Disconnected) => return Go::End,
            Err(RecvTimeoutError::Timeout) => {}
        }
        match self.state {
            State::Seeking { generation } => self.seek(generation),
            State::Warming if self.warm.full() => Go::On,
            State::Warming | State::Feeding { .. } => self.read(),
            State::Closed | State::Complete => Go::On,
        }
    }

    fn obey(&mut self, order: Order) -> Go {
        match order {
            Order::Open { mark, generation } => return self.feed_from(mark.as_ref(), generation),
            Order::Warm { mark } => self.warm_from(mark.as_ref()),
            Order::Trim { mark } => self.trim(&mark),
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
        let Some(batches) = held else {
            self.warm.clear();
            self.goal = mark.cloned();
            self.seek_at = clock::moment();
            self.state = State::Seeking { generation };
            return Go::On;
        };
        let feeding = State::Feeding { generation };
        self.state = feeding;
        for batch in batches {
            if self.send(Fed::Batch(batch)) == Go::End {
                return Go::End;
            }
            if self.state != feeding {
                // Another order came while there was no room: the rest belongs to a place that has been left.
                break;
            }
        }
        Go::On
    }

    fn trim(&mut self, mark: &Mark) {
        match self.state {
            State::Closed => self.warm_from(Some(mark)),
            State::Warming => self.warm.trim(mark.position),
            State::Feeding { .. } => {
                if let Some(source) = &mut self.source {
                    source.release(mark);
                }
            }
            State::Seeking { .. } | State::Complete => {}
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

    /// A source that cannot even be sought is tried again until it can, or until there is another order.
    fn seek(&mut self, generation: u64) -> Go {
        let looked_at = clock::wall();
        let goal = self.goal.clone();
        match self.source().and_then(|source| source.seek(goal.as_ref())) {
            Ok(()) => {
                self.state = State::Feeding { generation };
                Go::On
            }
            Err(error) => {
                self.source = None;
                self.seek_at = clock::after(RETRY);
                self.send(Fed::Failed { looked_at, why: error.to_string() })
            }
        }
    }

    fn read(&mut self) -> Go {
        let looked_at = clock::wall();
        let patience = match self.state {
            _ if !self.rest.is_zero() => Duration::ZERO,
            State::Warming => WARM_PATIENCE,
            State::Closed | State::Seeking { .. } | State::Feeding { .. } | State::Complete => PATIENCE,
        };
        let polled = self.source().and_then(|source| source.next(patience));
        match (self.state, polled) {
            (State::Warming, Ok(Polled::Batch(batch))) => self.warm.push(batch),
            (State::Warming, Ok(Polled::Idle { .. })) => return self.rest(),
            (State::Warming, Ok(Polled::End { .. })) => self.state = State::Complete,
            (State::Warming, Err(error)) => {
                // Its own account is asked for when this node becomes active.
                tracing::debug!("standing by, the source of {} cannot be read: {error}", self.watch);
                self.warm.clear();
                self.state = State::Closed;
            }
            (State::Feeding { .. }, Ok(Polled::Batch(batch))) => return self.send(Fed::Batch(batch)),
            (State::Feeding { .. }, Ok(Polled::Idle { looked_at, .. })) => {
                let (feeding, go) = (self.state, self.send(Fed::Idle(looked_at)));
                return if go == Go::On && self.state == feeding { self.rest() } else { go };
            }
            (State::Feeding { .. }, Ok(Polled::End { .. })) => {
                let feeding = self.state;
                let go = self.send(Fed::Ended);
                if self.state == feeding {
                    self.state = State::Complete;
                }
                return go;
            }
            (State::Feeding { .. }, Err(error)) => return self.broken(looked_at, &error),
            (State::Closed | State::Seeking { .. } | State::Complete, _) => {}
        }
        Go::On
    }

    /// Rests, but not past an order.
    fn rest(&mut self) -> Go {
        if self.rest.is_zero() {
            return Go::On;
        }
        match self.orders.recv_timeout(self.rest) {
            Ok(order) => self.obey(order),
            Err(RecvTimeoutError::Timeout) => Go::On,
            Err(RecvTimeoutError::Disconnected) => Go::End,
        }
    }

    fn broken(&mut self, looked_at: hb_core::time::Stamp, error: &SourceError) -> Go {
        let due = self.failed_at.is_none_or(|at| clock::since(at) >= RETRY);
        if due {
            self.failed_at = Some(clock::moment());
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
        let (State::Feeding { generation } | State::Seeking { generation }) = self.state else { return Go::On };
        let mut data = Data { watch: self.watch.clone(), generation, what };
        self.fed.fetch_add(1, Ordering::AcqRel);
        loop {
            match self.out.send_timeout(data, Duration::from_millis(20)) {
                Ok(()) => return Go::On,
                Err(SendTimeoutError::Disconnected(_)) => return Go::End,
                Err(SendTimeoutError::Timeout(back)) => data = back,
            }
            match self.orders.try_recv() {
                Ok(Order::Trim { .. }) | Err(_) => {}
                Ok(order) => {
                    // What was being sent belongs to the place that is being left; the new one reads it again if needed.
                    self.fed.fetch_sub(1, Ordering::AcqRel);
                    return self.obey(order);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    use hb_core::watch::sample::Batch;

    fn mark(position: u64) -> Mark {
        Mark { position, token: "t".into() }
    }

    /// A source in which there is nothing, but that tells where it was sought.
    struct Empty(Sender<Option<u64>>);

    impl Source for Empty {
        fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
            let looked_at = clock::wall();
            thread::sleep(patience);
            Ok(Polled::Idle { mark: mark(0), looked_at })
        }

        fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
            self.0.send(mark.map(|mark| mark.position)).map_err(|_| SourceError::Invalid("nobody listens".into()))
        }

        fn rereads(&self) -> Rereads {
            Rereads::Observes
        }
    }

    fn empty(sought: Sender<Option<u64>>) -> OpenSource {
        Box::new(move || Ok(Box::new(Empty(sought.clone()))))
    }

    #[test]
    fn w4_what_is_held_for_a_place_that_is_left_is_not_fed_under_the_next() {
        let ((sought, seeks), (out, data)) = (bounded(1_000), bounded(1));
        let (orders, inbox) = bounded(ORDERS_MAX);
        let mut worker = Worker::new(&"w".into(), empty(sought), out, inbox);
        worker.state = State::Warming;
        for from in (0..80).step_by(10) {
            worker.warm.push(Batch { start: mark(from), end: mark(from + 10), ..Batch::default() });
        }
        orders.send(Order::Open { mark: Some(mark(0)), generation: 1 }).unwrap();
        let thread = thread::spawn("feed", move || worker.run()).unwrap();
        // The first one says that there is room for no more; then the place is left while the second one waits.
        let first = data.recv().unwrap();
        assert!(matches!((first.generation, &first.what), (1, Fed::Batch(_))));
        orders.send(Order::Open { mark: Some(mark(30)), generation: 2 }).unwrap();
        assert_eq!(seeks.recv_timeout(Duration::from_secs(60)), Ok(Some(30)));
        let later = iter::from_fn(|| data.recv()).find(|data| data.generation == 2).unwrap();
        assert!(matches!(later.what, Fed::Idle(_)), "fed from the place before: {:?}", later.what);
        drop(orders);
        drop(data);
        thread.join().unwrap();
    }

    #[test]
    fn b1_an_order_never_waits_and_makes_void_what_waits_before_it() {
        let (orders, unread) = bounded(ORDERS_MAX);
        // Nobody works these off: as if the source hung for ever.
        let feeder = Feeder { orders, unread, fed: Arc::default(), thread: None };
        for position in 0..100 {
            feeder.order(Order::Trim { mark: mark(position) });
        }
        feeder.order(Order::Open { mark: Some(mark(7)), generation: 3 });
        let waiting: Vec<Order> = iter::from_fn(|| feeder.unread.try_recv().ok()).collect();
        assert!(matches!(&waiting[..], [Order::Open { generation: 3, .. }]), "{waiting:?}");
        for generation in 0..100 {
            feeder.order(Order::Open { mark: None, generation });
        }
        let newest = iter::from_fn(|| feeder.unread.try_recv().ok()).last();
        assert!(matches!(newest, Some(Order::Open { generation: 99, .. })));
    }
}
