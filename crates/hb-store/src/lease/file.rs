//! The lease for one host and for NFSv4: a lock on `output_dir/hb.lock`, and the holder's progress stamp beside it.
//!
//! The lock tells at once that a holder has ended: the kernel frees it and wakes the waiter. The stamp tells that a holder
//! hangs: when it has stood still for the TTL, a waiter takes over although the lock is held, and the journal fences.
//!
//! Orders of operators stand in `hb.orders`. A node that has to hold back (a pause, a switchover to another one, a place behind
//! others) does not wait in the kernel for the lock: it would be given it first, and others would have to wait until it gave it
//! back. It asks again and again instead.
//!
//! **Invariants.** Nothing blocks for ever: a lock that is held by a dead mount, a stamp that cannot be read, both count as
//! held for one TTL and no longer. The lease never says more than "you may try" (H1).

pub(crate) mod fuzzing;
mod orders;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hb_core::ids::NodeName;

use super::lock::{self, Asked, Lock, Waiter, Wake};
use super::orders::{Candidate, End, Hold, hold};
use super::stamp::{self, Seen, Stamp, Watch, boottime};
use crate::atomic::Disk;
use crate::port::{Holder, Lease, LeaseError, Order, Orders, Waited};

pub use orders::{ORDERS_FILE, ORDERS_LOCK};

/// File of the lock, in `output_dir`.
pub const LOCK_FILE: &str = "hb.lock";
/// How often a waiter asks where it cannot wait in the kernel.
const POLL: Duration = Duration::from_millis(100);
/// How much longer each place waits for a free lease.
pub const PLACE_STEP: Duration = Duration::from_millis(200);
/// How often one asks that has to hold back.
const HOLD_POLL: Duration = Duration::from_millis(50);
/// How long the lock may stay held after its holder said that it gave it back (a leaked descriptor).
const RELEASE_GRACE: Duration = Duration::from_millis(250);

/// A lease by a locked file.
#[derive(Debug)]
pub struct FileLease {
    dir: PathBuf,
    node: NodeName,
    ttl: Duration,
    disk: Disk,
    lock: Option<Lock>,
    waiter: Option<Waiter>,
    /// Granted by TTL: ours, although the lock is not.
    seized: bool,
    watch: Watch<Seen>,
    polls: bool,
    place: u32,
    /// As last read.
    orders: Orders,
    /// Since when the lock has been free, of the holder that left that stamp.
    free: Option<(Seen, Duration)>,
    /// Why we hold back, or cannot read the orders, as it was last told.
    told: Option<String>,
    /// The TTL of a holder that differs from ours, as it was last told.
    told_ttl: Option<Duration>,
}

/// Why a lease may be taken.
struct Free {
    how: &'static str,
    why: String,
    /// For how long it could have been taken.
    over: Duration,
    end: End,
    lock: Option<Lock>,
}

impl FileLease {
    /// Opens the lease of `output_dir` for a node. `ttl`: how long a holder may show no progress.
    ///
    /// # Errors
    /// When `output_dir` cannot be used.
    pub fn open(output_dir: &Path, node: &NodeName, ttl: Duration) -> Result<Self, LeaseError> {
        let disk = Disk::new();
        disk.create_dirs(output_dir).map_err(|fault| LeaseError(fault.to_string()))?;
        // A full or read-only disk must not keep a node from standing by.
        if let Err(fault) = disk.sweep(output_dir) {
            tracing::warn!(%fault, "temporary files of processes that died stay");
        }
        let polls = lock::must_poll(output_dir).map_err(LeaseError)?;
        Ok(Self {
            dir: output_dir.to_path_buf(),
            node: node.clone(),
            ttl,
            disk,
            lock: None,
            waiter: None,
            seized: false,
            watch: Watch::new(ttl),
            polls,
            place: 0,
            orders: Orders::default(),
            free: None,
            told: None,
            told_ttl: None,
        })
    }

    fn lock_path(&self) -> PathBuf {
        self.dir.join(LOCK_FILE)
    }

    fn look(&self) -> Result<Seen, LeaseError> {
        stamp::look(&self.disk, &self.dir).map_err(|fault| LeaseError(fault.to_string()))
    }

    /// How long that holder may show no progress: nodes whose settings differ go by the longer.
    fn ttl_of(&mut self, seen: &Seen) -> Duration {
        let Seen::Stamp(stamp) = seen else { return self.ttl };
        let Some(theirs) = stamp.ttl().filter(|theirs| *theirs != self.ttl) else { return self.ttl };
        if self.told_ttl.replace(theirs) != Some(theirs) {
            tracing::warn!(
                "{} has lease.ttl_sec {}, this node {}: the longer one counts; give all nodes the same",
                stamp.holder.node,
                theirs.as_secs_f64(),
                self.ttl.as_secs_f64()
            );
        }
        self.ttl.max(theirs)
    }

    /// How long one wait may last, so that the stamp is judged often enough.
    fn beat(&self) -> Duration {
        if self.polls { POLL } else { (self.ttl / 10).clamp(Duration::from_millis(5), Duration::from_millis(250)) }
    }

    /// Tries for the lock for at most `patience`.
    fn try_lock(&mut self, patience: Duration) -> Result<Option<Lock>, LeaseError> {
        if self.waiter.is_none() {
            match lock::ask(&self.lock_path()).map_err(LeaseError)? {
                Asked::Got(lock) => return Ok(Some(lock)),
                Asked::Held if self.polls || !self.is_first() => {}
                Asked::Held => self.waiter = Some(Waiter::start(&self.lock_path()).map_err(LeaseError)?),
                Asked::Unsupported(why) => {
                    tracing::warn!(why, "going by the holder's progress stamp alone");
                    self.polls = true;
                }
            }
        }
        let Some(waiter) = &self.waiter else {
            std::thread::sleep(if self.is_first() { patience } else { patience.min(HOLD_POLL) });
            return Ok(None);
        };
        match waiter.wait(patience) {
            Wake::Waiting => Ok(None),
            Wake::Got(lock) => {
                self.waiter = None;
                Ok(Some(lock))
            }
            Wake::Broken(why) => {
                self.waiter = None;
                tracing::warn!(why, "asking for the lock again and again instead of waiting for it");
                self.polls = true;
                Ok(None)
            }
        }
    }

    /// We have the lock: whether the stamp lets us believe it.
    fn with_lock(&mut self, lock: Lock) -> Result<Option<Free>, LeaseError> {
        let seen = self.look()?;
        let now = boottime();
        let still = self.watch.judge(seen.clone(), now);
        let ttl = self.ttl_of(&seen);
        if self.free.as_ref().is_none_or(|(of, _)| *of != seen) {
            self.free = Some((seen.clone(), now));
        }
        let over = self.free.as_ref().map_or(Duration::ZERO, |(_, since)| now.saturating_sub(*since));
        let (end, why) = match seen {
            Seen::Nothing => (End::Other, "first start".to_owned()),
            Seen::Stamp(stamp) if stamp.released => (End::Released, format!("{} gave it back", stamp.holder.node)),
            Seen::Stamp(stamp) if stamp.locked => {
                (End::Other, format!("{} (process {}) ended", stamp.holder.node, stamp.holder.pid))
            }
            Seen::Stamp(stamp) if still >= ttl => (End::Other, no_progress(&stamp.holder, still)),
            Seen::Stamp(_) => {
                // Its holder took over without the lock, waits for it, and works: the lock is not for us.
                lock.free();
                std::thread::sleep(self.beat().min(POLL));
                return Ok(None);
            }
            Seen::Unreadable(_, bytes) => {
                self.keep_aside(&bytes)?;
                (End::Other, "the holder ended, its stamp cannot be read".to_owned())
            }
        };
        Ok(Some(Free { how: "file", why, over, end, lock: Some(lock) }))
    }

    /// We do not have the lock: whether the stamp has stood still for long enough.
    fn without_lock(&mut self) -> Result<Option<Free>, LeaseError> {
        let seen = self.look()?;
        let still = self.watch.judge(seen.clone(), boottime());
        if let Seen::Stamp(stamp) = &seen
            && stamp.released
            && let Some(over) = still.checked_sub(RELEASE_GRACE)
        {
            let why = format!("{} gave it back", stamp.holder.node);
            return Ok(Some(Free { how: "file", why, over, end: End::Released, lock: None }));
        }
        let Some(over) = still.checked_sub(self.ttl_of(&seen)) else { return Ok(None) };
        let why = match seen {
            Seen::Stamp(stamp) => no_progress(&stamp.holder, still),
            Seen::Nothing => format!("the lock is held, but nobody showed progress for {:.1} s", still.as_secs_f64()),
            Seen::Unreadable(_, bytes) => {
                self.keep_aside(&bytes)?;
                format!("the holder's stamp cannot be read and did not change for {:.1} s", still.as_secs_f64())
            }
        };
        Ok(Some(Free { how: "file-ttl", why, over, end: End::Other, lock: None }))
    }

    /// How long this node holds back from a lease whose holder ended so.
    fn hold(&self, end: End) -> Hold {
        let last = match self.look() {
            Ok(Seen::Stamp(stamp)) => Some(stamp.holder.node),
            Ok(Seen::Nothing | Seen::Unreadable(..)) | Err(_) => None,
        };
        let (node, place, ttl) = (&self.node, self.place, self.ttl);
        hold(&self.orders, &Candidate { node, last: last.as_ref(), place, step: PLACE_STEP, ttl }, end)
    }

    /// Whether this node would take the lease the moment it is given back.
    fn is_first(&self) -> bool {
        self.hold(End::Released) == Hold::For(Duration::ZERO)
    }

    /// Takes the lease, unless others go first.
    fn take(&mut self, free: Free) -> Option<Waited> {
        let wait = match self.hold(free.end) {
            Hold::For(hold) if free.over >= hold => {
                self.seized = free.lock.is_none();
                self.lock = free.lock;
                self.watch.forget();
                (self.free, self.told) = (None, None);
                return Some(Waited::Granted { how: free.how, why: free.why });
            }
            Hold::For(hold) => hold.saturating_sub(free.over).min(HOLD_POLL),
            Hold::Paused(why) => {
                self.tell(&why);
                HOLD_POLL
            }
        };
        // Somebody else may be waiting for it in the kernel.
        if let Some(lock) = free.lock {
            lock.free();
        }
        std::thread::sleep(wait);
        None
    }

    fn tell(&mut self, why: &str) {
        if self.told.as_deref() != Some(why) {
            tracing::warn!(why, "this node does not take the lease as it would");
            self.told = Some(why.to_owned());
        }
    }

    /// Orders that cannot be read stay as they were: nothing blocks for them, and no pause ends by them.
    fn read_orders(&mut self) {
        match orders::read(&self.disk, &self.dir) {
            Ok(orders) => self.orders = orders,
            Err(LeaseError(why)) => self.tell(&why),
        }
    }

    fn keep_aside(&self, bytes: &[u8]) -> Result<(), LeaseError> {
        let name = format!("{}.unreadable", stamp::STAMP_FILE);
        let kept = self.disk.replace(&self.dir, &name, bytes, crate::atomic::Durability::View);
        kept.map_err(|fault| LeaseError(fault.to_string()))
    }

    /// Takes the lock when it has come in the meantime.
    fn pick_up_lock(&mut self) {
        let Some(waiter) = &self.waiter else { return };
        match waiter.look() {
            Wake::Waiting => {}
            Wake::Got(lock) => {
                self.lock = Some(lock);
                self.waiter = None;
            }
            Wake::Broken(why) => {
                tracing::warn!(why, "the lease goes on by its progress stamp alone");
                self.waiter = None;
            }
        }
    }

    fn is_mine(&self, holder: &Holder) -> bool {
        holder.node == self.node && holder.pid == std::process::id()
    }
}

fn no_progress(holder: &Holder, still: Duration) -> String {
    format!("{} (process {}) showed no progress for {:.1} s", holder.node, holder.pid, still.as_secs_f64())
}

impl Lease for FileLease {
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError> {
        if self.lock.is_some() || self.seized {
            return Ok(Waited::Granted { how: "file", why: "it is ours already".to_owned() });
        }
        let until = Instant::now().checked_add(patience);
        loop {
            self.read_orders();
            let left = until.map_or(POLL, |until| until.saturating_duration_since(Instant::now()));
            let free = match self.try_lock(left.min(self.beat()))? {
                Some(lock) => self.with_lock(lock)?,
                None => self.without_lock()?,
            };
            if let Some(granted) = free.and_then(|free| self.take(free)) {
                return Ok(granted);
            }
            if left.is_zero() {
                return Ok(Waited::Held);
            }
        }
    }

    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError> {
        self.pick_up_lock();
        let ttl_ms = u64::try_from(self.ttl.as_millis()).ok();
        let stamp = Stamp { holder: me.clone(), locked: self.lock.is_some(), released: false, ttl_ms };
        if stamp::count_on(&self.disk, &self.dir, &stamp) {
            return Ok(());
        }
        if let Seen::Stamp(other) = self.look()?
            && !self.is_mine(&other.holder)
            && other.holder.epoch > me.epoch
        {
            let Holder { node, pid, epoch, .. } = other.holder;
            let what = format!("{node} (process {pid}) works in epoch {epoch}, this node is in {}", me.epoch);
            return Err(LeaseError(what));
        }
        stamp::show(&self.disk, &self.dir, &stamp).map_err(|fault| LeaseError(fault.to_string()))?;
        Ok(())
    }

    fn release(&mut self) -> Result<(), LeaseError> {
        self.pick_up_lock();
        let stamped = match self.look() {
            // Somebody else's stamp is left alone: it may be at work already.
            Ok(Seen::Stamp(stamp)) if self.is_mine(&stamp.holder) => {
                let stamp = Stamp { released: true, ..stamp };
                stamp::show(&self.disk, &self.dir, &stamp).map_err(|fault| LeaseError(fault.to_string()))
            }
            Ok(Seen::Stamp(_) | Seen::Nothing | Seen::Unreadable(..)) => Ok(()),
            Err(error) => Err(error),
        };
        // The lock goes whatever became of the stamp.
        if let Some(lock) = self.lock.take() {
            lock.free();
        }
        self.waiter = None;
        self.seized = false;
        self.watch.forget();
        stamped
    }

    fn holder(&mut self) -> Result<Option<Holder>, LeaseError> {
        Ok(match self.look()? {
            Seen::Stamp(stamp) if !stamp.released => Some(stamp.holder),
            Seen::Stamp(_) | Seen::Nothing | Seen::Unreadable(..) => None,
        })
    }

    fn orders(&mut self) -> Result<Orders, LeaseError> {
        self.orders = orders::read(&self.disk, &self.dir)?;
        Ok(self.orders.clone())
    }

    fn order(&mut self, order: Order) -> Result<Orders, LeaseError> {
        self.orders = orders::change(&self.disk, &self.dir, order)?;
        Ok(self.orders.clone())
    }

    fn stand_behind(&mut self, others: u32) {
        self.place = others;
    }
}

#[cfg(test)]
mod tests;
