//! The lease over any register: PostgreSQL, etcd, Kubernetes, a bucket, a folder.
//!
//! One cell, `lease`, holds one document: who has it, how far it has come, and what operators ask. Every change of it is a
//! compare-and-set, so whoever changes it has seen what it replaces; nothing is ever removed, so nothing goes backwards.
//!
//! **Invariants.** A waiter compares only durations on this node's own clock that runs through suspend, from when *it* first saw the
//! holder's progress as it is. Orders are no progress. A document that cannot be read counts as held for one TTL; then it is
//! replaced by compare-and-set and its bytes are kept in `lease/unreadable`. An end that is not known is read back before
//! anything else. What engines say of a holder that is gone ([`Woken::Abandoned`]) is believed only of one that attended.
//!
//! **The holder's own margin.** Nobody counts from an earlier moment than when a renewal reached the register, and that is not before
//! the renewal was begun. So until one TTL after the beginning of the last renewal that went through nobody else can have been
//! granted the lease for want of progress. Behind that moment its holder, who counts that time itself, regards it as lost;
//! whether work goes on is for the journal to say (H1). Clocks of two nodes that run at rates which differ by one in ten thousand,
//! more than any quartz does, shorten a TTL of 3 s by 0.3 ms.

mod cadence;
mod document;
pub(crate) mod fuzzing;
mod holding;
mod judging;

use std::time::Duration;

use hb_core::ids::NodeName;

use self::cadence::Cadence;
use self::document::{Content, Document, Mark, Seen, Sight};
use self::holding::Mine;
use self::judging::Verdict;
use super::orders::check;
use super::stamp::{Watch, boottime};
use crate::port::{Holder, Lease, LeaseError, Order, Orders, Waited};
use crate::register::nonce::nonce;
use crate::register::{Cell, Hears, Register, RegisterError, Swapped, Woken};

/// The cell of the lease.
pub const LEASE_CELL: &str = "lease";
/// The cell in which a document that could not be read is kept.
pub const UNREADABLE_CELL: &str = "lease/unreadable";
/// How much longer each place waits where the engine tells of changes.
pub const PLACE_STEP: Duration = Duration::from_millis(200);
/// The same where it has to be asked: longer than two nodes' looks lie apart.
pub const PLACE_STEP_ASKS: Duration = Duration::from_millis(800);
/// Most tries of one change against others who change the cell (B1).
const TRIES: usize = 32;
/// For how many TTLs a waiter looks often for the release of a switchover to itself.
const HURRY_TTLS: u32 = 4;
/// For how many TTLs one that seeks the lease no more looks as often as if it did.
const REST_TTLS: u32 = 8;
/// How often it looks then.
const REST: Duration = Duration::from_secs(1);
/// How often a waiter judges in one TTL at least: more than twice as often as it would take itself for one that was paused.
const BEATS: u32 = 8;
/// Pause of a waiter that knows that the holder is gone, and holds back.
const HOLD_PAUSE: Duration = Duration::from_millis(100);

/// What a lease is called where it is said how it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// It was free: `postgres`.
    pub free: &'static str,
    /// Its holder showed no progress for one TTL: `postgres-ttl`.
    pub expired: &'static str,
}

impl Names {
    /// A register in PostgreSQL.
    pub const POSTGRES: Self = Self { free: "postgres", expired: "postgres-ttl" };
    /// A register in etcd.
    pub const ETCD: Self = Self { free: "etcd", expired: "etcd-ttl" };
    /// A register in the API of Kubernetes.
    pub const KUBERNETES: Self = Self { free: "kubernetes", expired: "kubernetes-ttl" };
    /// A register in an object store.
    pub const OBJECT: Self = Self { free: "object", expired: "object-ttl" };
    /// A register in a folder.
    pub const DIRECTORY: Self = Self { free: "directory", expired: "directory-ttl" };
    /// A register in memory.
    pub const MEMORY: Self = Self { free: "memory", expired: "memory-ttl" };
}

/// A lease over a register.
pub struct RegisterLease {
    register: Box<dyn Register>,
    node: NodeName,
    ttl: Duration,
    names: Names,
    place: u32,
    /// Begins the name of each of our sessions.
    me: String,
    sessions: u64,
    /// The newest look; none before the first.
    seen: Option<Seen>,
    orders: Orders,
    /// When the cell was looked at last.
    looked: Duration,
    /// When the lease was last sought or held.
    sought: Duration,
    /// The cell was looked at, or waited for, since orders were told last.
    fresh: bool,
    watch: Watch<Sight>,
    cadence: Cadence,
    /// Since when the engine says that the holder is gone, and in which words.
    abandoned: Option<(Duration, String)>,
    mine: Option<Mine>,
    /// We gave it back, and the register did not take it: what shows us as holder is to be changed first.
    letting_go: bool,
    /// Why we hold back, as it was last told.
    told: Option<String>,
    /// The switchover to us that is awaited, and since when.
    awaited: Option<(String, Duration)>,
}

impl std::fmt::Debug for RegisterLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held = self.mine.is_some();
        f.debug_struct("RegisterLease")
            .field("node", &self.node)
            .field("names", &self.names)
            .field("held", &held)
            .finish()
    }
}

fn failed(RegisterError(why): RegisterError) -> LeaseError {
    LeaseError(why)
}

impl RegisterLease {
    /// The lease of a register for a node. `ttl`: how long a holder may show no progress. Nothing is asked yet.
    #[must_use]
    pub fn new(register: Box<dyn Register>, node: &NodeName, ttl: Duration, names: Names) -> Self {
        Self {
            register,
            node: node.clone(),
            ttl,
            names,
            place: 0,
            me: nonce(),
            sessions: 0,
            seen: None,
            orders: Orders::default(),
            looked: Duration::ZERO,
            sought: boottime(),
            fresh: false,
            watch: Watch::new(ttl),
            cadence: Cadence::new(ttl),
            abandoned: None,
            mine: None,
            letting_go: false,
            told: None,
            awaited: None,
        }
    }

    /// Takes in what stands in the cell.
    fn observe(&mut self, cell: Option<Cell>) {
        self.observe_at(cell, boottime());
    }

    fn observe_at(&mut self, cell: Option<Cell>, now: Duration) {
        let seen = Seen::of(cell);
        if let Some(document) = seen.document() {
            self.orders = document.orders.clone();
        }
        self.watch.judge(seen.sight(), now);
        self.cadence.looked(seen.document().and_then(Document::working), now);
        self.abandoned = None;
        self.fresh = true;
        self.looked = now;
        self.seen = Some(seen);
    }

    fn look(&mut self) -> Result<(), LeaseError> {
        let cell = self.register.read(LEASE_CELL).map_err(failed)?;
        self.observe(cell);
        Ok(())
    }

    fn seen(&self) -> Seen {
        self.seen.clone().unwrap_or(Seen { version: None, content: Content::Nothing })
    }

    /// Looks, waits and sleeps until something may have changed, at most that long.
    fn pass(&mut self, left: Duration, due: Option<Duration>) -> Result<(), LeaseError> {
        let now = boottime();
        let until_due = due.map_or(left, |due| due.saturating_sub(now));
        // Never so long that this node, or a busy machine, would take it for one that was paused.
        let patience = left.min(until_due).min(self.ttl / BEATS).max(Duration::from_millis(1));
        match self.register.hears() {
            Hears::Asks => self.pass_asking(patience, now),
            Hears::Told => self.pass_told(patience),
        }
    }

    fn pass_told(&mut self, patience: Duration) -> Result<(), LeaseError> {
        let version = self.seen().version;
        match self.register.wait(LEASE_CELL, version.as_ref(), patience).map_err(failed)? {
            Woken::Changed => {
                let cell = self.register.told(LEASE_CELL).map_err(failed)?;
                self.observe(cell);
            }
            Woken::Patience => self.abandoned = None,
            Woken::Abandoned(why) if self.abandoned.is_none() => self.abandoned = Some((boottime(), why)),
            // It is known, and not for us: nothing to be told of wakes us, so this is asked again and again.
            Woken::Abandoned(_) => hb_runtime::thread::sleep(patience.min(HOLD_PAUSE)),
        }
        Ok(())
    }

    fn pass_asking(&mut self, patience: Duration, now: Duration) -> Result<(), LeaseError> {
        if self.hurries(now) {
            self.cadence.hurry(now);
        }
        let until_look = self.cadence.next().saturating_sub(now);
        hb_runtime::thread::sleep(patience.min(until_look));
        let now = boottime();
        if now >= self.cadence.next() {
            self.cadence.begun(now);
            self.look()?;
        }
        Ok(())
    }

    /// Whether the release for a switchover to us may come any moment: not for longer than its holder may take for it (B1).
    fn hurries(&mut self, now: Duration) -> bool {
        let id = self.orders.switchover.as_ref().map(|switchover| switchover.id.clone()).filter(|_| self.is_next());
        let Some(id) = id else {
            self.awaited = None;
            return false;
        };
        if self.awaited.as_ref().is_none_or(|(awaited, _)| *awaited != id) {
            self.awaited = Some((id, now));
        }
        let since = self.awaited.as_ref().map_or(now, |(_, since)| *since);
        now.saturating_sub(since) < self.ttl.saturating_mul(HURRY_TTLS)
    }

    /// Whether nothing but orders is looked for, and that has just been done: whoever has not sought the lease for long need not know to
    /// a part of the TTL how old it is.
    fn rests(&self, now: Duration) -> bool {
        let long = now.saturating_sub(self.sought) > self.ttl.saturating_mul(REST_TTLS);
        long && now.saturating_sub(self.looked) < REST
    }

    /// Says why we hold back, once.
    fn tell(&mut self, why: Option<String>) {
        if let Some(why) = &why
            && self.told.as_ref() != Some(why)
        {
            tracing::warn!(why, "the lease is free, and this node does not take it");
        }
        self.told = why;
    }
}

impl Lease for RegisterLease {
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError> {
        if self.mine.is_some() {
            return Ok(Waited::Granted { how: self.names.free, why: "it is ours already".to_owned() });
        }
        let begun = boottime();
        if self.seen.is_none() {
            self.look()?;
        }
        // From here on what changes is noticed.
        (self.fresh, self.sought) = (true, boottime());
        loop {
            if self.letting_go {
                self.let_go()?;
            }
            let verdict = self.judge(boottime());
            let due = match verdict {
                Verdict::Ours => return Ok(self.adopt()),
                Verdict::Free(free) => match self.claim(&free)? {
                    Some(granted) => return Ok(granted),
                    None => None,
                },
                Verdict::Held { due } => {
                    self.tell(None);
                    due
                }
                Verdict::Paused(why) => {
                    self.tell(Some(why));
                    None
                }
            };
            let left = patience.saturating_sub(boottime().saturating_sub(begun));
            if left.is_zero() {
                return Ok(Waited::Held);
            }
            self.pass(left, due)?;
        }
    }

    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError> {
        self.show(me)
    }

    fn release(&mut self) -> Result<(), LeaseError> {
        if self.mine.is_none() {
            return Ok(());
        }
        self.letting_go = true;
        let done = self.let_go();
        self.sought = boottime();
        self.register.leave(LEASE_CELL);
        self.mine = None;
        self.watch.forget();
        // What is known is this node's own last word: who goes on is to be looked for.
        self.fresh = false;
        done
    }

    fn holder(&mut self) -> Result<Option<Holder>, LeaseError> {
        self.look()?;
        Ok(self.seen().document().and_then(Document::working).map(Mark::to_holder))
    }

    fn orders(&mut self) -> Result<Orders, LeaseError> {
        // Whoever neither holds nor seeks the lease (a node that never takes over) sees nothing by the way.
        let blind = self.mine.is_none() && !self.fresh;
        if self.seen.is_none() || (blind && !self.rests(boottime())) {
            self.look()?;
        }
        self.fresh = false;
        Ok(self.orders.clone())
    }

    fn order(&mut self, order: Order) -> Result<Orders, LeaseError> {
        check(&order)?;
        self.look()?;
        for _ in 0..TRIES {
            let seen = self.seen();
            let mut document = match seen.content {
                Content::Nothing => Document::new(self.ttl_ms()),
                Content::Document(document) => *document,
                Content::Unreadable(_) => {
                    let what = "what stands in the lease cannot be read; a node that stands by replaces it after one TTL, then try again";
                    return Err(LeaseError(what.to_owned()));
                }
            };
            let wanted = document.orders.clone().after(order.clone());
            if document.orders == wanted {
                return Ok(wanted);
            }
            document.orders = wanted;
            let bytes = document.to_bytes();
            match self.register.swap(LEASE_CELL, seen.version.as_ref(), &bytes) {
                Swapped::Failed(why) => return Err(LeaseError(why)),
                Swapped::Done(version) => self.observe(Some(Cell { bytes, version })),
                // Somebody was quicker. What it put there came with the answer: a look of its own would only let others be quicker again.
                Swapped::Lost(cell) => self.observe(cell),
                // What became of it, a look shows.
                Swapped::Unknown(_) => self.look()?,
            }
        }
        Err(LeaseError("the lease changes faster than an order can be put into it; try again".to_owned()))
    }

    fn stand_behind(&mut self, others: u32) {
        self.place = others;
    }
}

#[cfg(test)]
mod tests;
