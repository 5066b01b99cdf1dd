//! Keeps the lease on a thread of its own, so that a store that hangs holds up no cycle.
//!
//! **Invariants.** Only this thread asks the lease. Progress is shown to others only as far as the work loop has got: the loop hands
//! over a number, and without a newer one nothing is renewed, so a loop that hangs loses its lease (H2). The loop learns of what came
//! of it by messages and never waits for them.
//!
//! Bounds (B1): [`TOLD_MAX`] messages wait for the loop; a keeper at the bound waits, which is as it should be: the loop hangs.
//! [`ORDERS_MAX`] orders of operators wait for the lease store; more are refused. At its end a node waits [`QUIT_MAX`] for a lease
//! that does not answer, and leaves its thread behind then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::{Epoch, NodeName};
use hb_core::time::Moment;
use hb_runtime::channel::{Receiver, Sender, bounded};
use hb_runtime::thread::{self, Thread};
use hb_runtime::{Monitor, world};
use hb_store::port::{Holder, Lease, Order, Orders, Waited};

use crate::clock;
use crate::inbox::Answer;
use crate::shared::Shared;

/// Most messages waiting for the loop.
const TOLD_MAX: usize = 64;
/// Most orders waiting for the lease store.
const ORDERS_MAX: usize = 16;
/// How long a node that ends waits for its lease to be given back.
const QUIT_MAX: Duration = Duration::from_secs(2);
/// How long one wait for the lease may take at most, before what the loop wants is looked at again.
const SEEK_MAX: Duration = Duration::from_secs(1);
/// How often one looks that has just given the lease back: by what it misses of the next holder's last progress, it takes over later.
const LOOK: Duration = Duration::from_millis(350);
/// How often a keeper that may not seek the lease looks at the orders.
const REST: Duration = Duration::from_millis(1_000);
/// How long a keeper waits before it asks a lease again that answered with an error.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// What the keeper tells the loop.
#[derive(Debug)]
pub(crate) enum Told {
    /// The lease is this node's.
    Granted { how: &'static str, why: String, since: Moment },
    /// Somebody else has it.
    Held { holder: Option<Holder> },
    /// Whether it is free cannot be told.
    OutOfSight { why: String },
    /// Progress was shown; asked for at that moment.
    Renewed { asked: Moment },
    /// It was not, or nobody can tell.
    NotRenewed { why: String },
    /// A larger epoch stands on the lease.
    Superseded { by: String },
    /// It was given back.
    Released,
    /// A renewal is due and there is no progress to show: where the loop only waits for events, another turn makes some.
    Due,
    /// What operators ask has changed.
    Orders(Box<Orders>),
}

/// What the loop wants.
#[derive(Debug)]
struct Wish {
    /// Behind how many others to seek the lease; none: not to seek it.
    seek: Option<u32>,
    /// Give it back first.
    release: bool,
    /// The loop's progress.
    me: Holder,
    orders: VecDeque<(Order, Answer)>,
    /// Progress is waited for: a renewal is due.
    hungry: bool,
    quit: bool,
}

/// The loop's handle on its keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    desk: Arc<Monitor<Wish>>,
    thread: Option<Thread<()>>,
}

impl Keeper {
    /// Starts keeping; it seeks nothing until it is told to.
    pub(crate) fn start(
        lease: Box<dyn Lease>,
        node: &NodeName,
        ttl: Duration,
        shared: &Arc<Shared>,
    ) -> std::io::Result<(Self, Receiver<Told>)> {
        let me = Holder { node: node.clone(), pid: world::pid(), epoch: Epoch(0), progress: 0 };
        let wish = Wish { seek: None, release: false, me, orders: VecDeque::new(), hungry: false, quit: false };
        let desk = Arc::new(Monitor::new(wish));
        let (out, told) = bounded(TOLD_MAX);
        let worker = Worker {
            lease,
            ttl,
            desk: Arc::clone(&desk),
            out,
            shared: Arc::clone(shared),
            holding: false,
            sought: false,
            shown: None,
            due: clock::moment(),
            asked: false,
            orders: None,
            holder: None,
            given_back: Moment(0),
        };
        let thread = thread::spawn("lease", move || worker.run())?;
        Ok((Self { desk, thread: Some(thread) }, told))
    }

    fn change(&self, change: impl FnOnce(&mut Wish)) {
        change(&mut self.desk.lock());
        self.desk.tell();
    }

    /// Hands over how far the loop has got.
    pub(crate) fn progress(&self, progress: u64, epoch: Epoch) {
        let mut wish = self.desk.lock();
        let wakes = wish.hungry || wish.me.epoch != epoch;
        (wish.me.progress, wish.me.epoch) = (progress, epoch);
        drop(wish);
        if wakes {
            self.desk.tell();
        }
    }

    /// Seeks the lease behind that many others, or not at all.
    pub(crate) fn seek(&self, behind: Option<u32>) {
        if self.desk.lock().seek != behind {
            self.change(|wish| wish.seek = behind);
        }
    }

    /// Gives the lease back, before anything else.
    pub(crate) fn release(&self) {
        self.change(|wish| (wish.seek, wish.release) = (None, true));
    }

    /// Changes what is asked of the nodes; the answer is told when it is known.
    pub(crate) fn order(&self, order: Order, answer: Answer) {
        let mut wish = self.desk.lock();
        if wish.orders.len() >= ORDERS_MAX {
            drop(wish);
            answer.tell(Err(format!("{ORDERS_MAX} orders wait for the lease store already: it does not answer")));
            return;
        }
        wish.orders.push_back((order, answer));
        drop(wish);
        self.desk.tell();
    }

    /// Gives the lease back and ends. A lease that hangs is left behind.
    pub(crate) fn quit(mut self) {
        self.change(|wish| (wish.quit, wish.release) = (true, true));
        let Some(thread) = self.thread.take() else { return };
        match thread.join_within(QUIT_MAX) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("the thread of the lease panicked; please report it"),
            Err(_) => tracing::error!("the lease does not answer; others take over once it has run out"),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.change(|wish| (wish.quit, wish.release) = (true, true));
    }
}

struct Worker {
    lease: Box<dyn Lease>,
    ttl: Duration,
    desk: Arc<Monitor<Wish>>,
    out: Sender<Told>,
    shared: Arc<Shared>,
    holding: bool,
    /// Whether the lease was sought since it was last given back: it may wait in the kernel.
    sought: bool,
    /// What was last shown.
    shown: Option<(u64, Epoch)>,
    /// When the next renewal is due.
    due: Moment,
    /// The loop was asked for progress since then.
    asked: bool,
    /// What the loop knows of the orders; none until it was told.
    orders: Option<Orders>,
    /// Whom the loop knows as the holder; the outer one is none until it was told.
    holder: Option<Option<NodeName>>,
    /// When this node last gave it back.
    given_back: Moment,
}

/// What is to be done next.
enum Next {
    Order(Order, Answer),
    Release,
    Quit,
    Seek(u32),
    Renew(Holder),
    /// A renewal is due, and the loop has made no progress.
    Ask,
    /// Nothing, for so long or until something changes.
    Wait(Duration),
}

/// Whether the thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    End,
}

impl Worker {
    fn run(mut self) {
        if self.first_orders() == Go::On {
            while self.turn() == Go::On {}
        }
    }

    /// Nothing is sought before it is known whether operators ask for a pause. Orders that cannot be read for a whole TTL are taken
    /// for none: nothing that cannot be read may keep nodes from working for ever.
    fn first_orders(&mut self) -> Go {
        let until = clock::after(self.ttl);
        loop {
            match self.lease.orders() {
                Ok(orders) => return self.tell_orders(orders),
                Err(error) if clock::moment() < until && !self.desk.lock().quit => {
                    let told =
                        self.tell(Told::OutOfSight { why: format!("what operators ask cannot be read: {error}") });
                    if told == Go::End {
                        return Go::End;
                    }
                    self.rest(AFTER_ERROR.min(self.ttl / 3));
                }
                Err(error) => {
                    tracing::warn!("what operators ask cannot be read, and is taken for nothing: {error}");
                    return self.tell_orders(Orders::default());
                }
            }
        }
    }

    fn turn(&mut self) -> Go {
        match self.next() {
            Next::Order(order, answer) => self.order(order, &answer),
            Next::Release => self.release(),
            Next::Quit => {
                if self.holding || self.sought {
                    self.release();
                }
                Go::End
            }
            Next::Seek(behind) => self.seek(behind),
            Next::Renew(me) => self.renew(&me),
            Next::Ask => {
                self.asked = true;
                self.tell(Told::Due)
            }
            Next::Wait(rest) => self.wait(rest),
        }
    }

    fn next(&self) -> Next {
        let mut wish = self.desk.lock();
        if wish.quit {
            return Next::Quit;
        }
        if std::mem::take(&mut wish.release) {
            return Next::Release;
        }
        if let Some((order, answer)) = wish.orders.pop_front() {
            return Next::Order(order, answer);
        }
        if self.holding {
            let now = (wish.me.progress, wish.me.epoch);
            let (newer, epoch) = (Some(now) != self.shown, self.shown.is_none_or(|(_, epoch)| epoch != now.1));
            let left = clock::until(self.due);
            return match (newer, epoch || left.is_zero()) {
                (true, true) => Next::Renew(wish.me.clone()),
                (_, false) => Next::Wait(left),
                (false, true) if !self.asked => Next::Ask,
                // The loop hands over its progress and wakes this thread.
                (false, true) => Next::Wait(REST),
            };
        }
        match wish.seek {
            Some(behind) => Next::Seek(behind),
            None if self.sought => Next::Release,
            // Often enough that the holder's age is known when this node may seek again.
            None if clock::since(self.given_back) < self.ttl * 2 => Next::Wait(LOOK.min(self.ttl / 4)),
            None => Next::Wait(REST.min(self.ttl / 4)),
        }
    }

    /// Waits until the loop wants something else, at most that long. The progress of a loop whose renewal is not due is nothing new.
    fn wait(&mut self, rest: Duration) -> Go {
        let until = clock::after(rest);
        let mut wish = self.desk.lock();
        loop {
            let left = clock::until(until);
            let starved = self.holding && self.shown != Some((wish.me.progress, wish.me.epoch));
            let epoch = self.shown.is_some_and(|(_, epoch)| epoch != wish.me.epoch);
            let due = self.holding && starved && (epoch || self.due <= clock::moment());
            let seeks = !self.holding && wish.seek.is_some();
            if left.is_zero() || wish.quit || wish.release || !wish.orders.is_empty() || due || seeks {
                break;
            }
            wish.hungry = self.holding && !starved && self.asked;
            let soon = if starved { left.min(clock::until(self.due)) } else { left };
            let soon = soon.max(Duration::from_millis(1));
            wish = wish.wait(soon);
        }
        wish.hungry = false;
        drop(wish);
        if self.holding { Go::On } else { self.read_orders() }
    }

    /// A loop that does not listen any more is about to end, and shows first what it has decided: until it says that it has ended the
    /// lease stays held. One that panicked says so too.
    fn tell(&self, told: Told) -> Go {
        let _gone = self.out.send(told);
        Go::On
    }

    fn seek(&mut self, behind: u32) -> Go {
        self.sought = true;
        self.lease.stand_behind(behind);
        match self.lease.acquire((self.ttl / 3).min(SEEK_MAX)) {
            Ok(Waited::Granted { how, why }) => {
                let since = clock::moment();
                (self.holding, self.shown, self.holder) = (true, None, None);
                (self.due, self.asked) = (clock::moment(), false);
                // Before the grant, so that a takeover knows what it was asked for.
                if self.read_orders() == Go::End {
                    return Go::End;
                }
                self.tell(Told::Granted { how, why, since })
            }
            Ok(Waited::Held) => {
                let go = self.tell_holder();
                if go == Go::End { go } else { self.read_orders() }
            }
            Err(error) => {
                self.shared.count(|stats| stats.lease_errors = stats.lease_errors.saturating_add(1));
                if self.tell(Told::OutOfSight { why: error.to_string() }) == Go::End {
                    return Go::End;
                }
                // It answered at once: wait here rather than spin.
                self.rest(AFTER_ERROR.min(self.ttl / 3))
            }
        }
    }

    /// Waits, but not past the end.
    fn rest(&self, rest: Duration) -> Go {
        let until = clock::after(rest);
        let mut wish = self.desk.lock();
        while !wish.quit && clock::moment() < until {
            let left = clock::until(until);
            wish = wish.wait(left);
        }
        Go::On
    }

    /// Tells who has the lease, when that is news.
    fn tell_holder(&mut self) -> Go {
        if self.holder.is_some() {
            return self.tell(Told::Held { holder: None });
        }
        let holder = self.lease.holder().ok().flatten();
        self.holder = Some(holder.as_ref().map(|one| one.node.clone()));
        self.tell(Told::Held { holder })
    }

    fn renew(&mut self, me: &Holder) -> Go {
        let asked = clock::moment();
        (self.due, self.asked) = (clock::after(self.ttl / 4), false);
        let begun = clock::moment();
        let renewed = self.lease.renew(me);
        let took = clock::since(begun).as_secs_f64();
        self.shown = Some((me.progress, me.epoch));
        self.shared.count(|stats| {
            stats.lease_latency.record(took);
            let errors = u64::from(renewed.is_err());
            stats.lease_errors = stats.lease_errors.saturating_add(errors);
        });
        let told = match renewed {
            Ok(()) => Told::Renewed { asked },
            Err(error) => self.not_renewed(&error.to_string(), me),
        };
        if self.tell(told) == Go::End { Go::End } else { self.read_orders() }
    }

    /// Somebody else may go on; or progress just could not be shown.
    fn not_renewed(&mut self, why: &str, me: &Holder) -> Told {
        match self.lease.holder().ok().flatten().filter(|other| other.epoch > me.epoch) {
            Some(other) => Told::Superseded { by: format!("node {} opened epoch {}", other.node, other.epoch) },
            None => Told::NotRenewed { why: why.to_owned() },
        }
    }

    fn release(&mut self) -> Go {
        let held = std::mem::take(&mut self.holding);
        (self.sought, self.shown, self.holder) = (false, None, None);
        if let Err(error) = self.lease.release()
            && held
        {
            tracing::warn!("the lease could not be given back: {error}; others take over once it has run out");
        }
        if held {
            self.given_back = clock::moment();
            self.tell(Told::Released)
        } else {
            Go::On
        }
    }

    fn order(&mut self, order: Order, answer: &Answer) -> Go {
        match self.lease.order(order) {
            Ok(orders) => {
                answer.tell(Ok(orders.clone()));
                self.tell_orders(orders)
            }
            Err(error) => {
                answer.tell(Err(error.to_string()));
                Go::On
            }
        }
    }

    /// Tells what operators ask, when that has changed. What cannot be read stays as it was: the lease's own errors are told.
    fn read_orders(&mut self) -> Go {
        match self.lease.orders() {
            Ok(orders) => self.tell_orders(orders),
            Err(error) => {
                tracing::debug!("the orders cannot be read: {error}");
                Go::On
            }
        }
    }

    fn tell_orders(&mut self, orders: Orders) -> Go {
        if self.orders.as_ref() == Some(&orders) {
            return Go::On;
        }
        self.orders = Some(orders.clone());
        self.tell(Told::Orders(Box::new(orders)))
    }
}
