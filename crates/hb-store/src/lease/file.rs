//! The lease for one host and for NFSv4: a lock on `output_dir/hb.lock`, and the holder's progress stamp beside it.
//!
//! The lock tells at once that a holder has ended: the kernel frees it and wakes the waiter. The stamp tells that a holder
//! hangs: when it has stood still for the TTL, a waiter takes over although the lock is held, and the journal fences.
//!
//! **Invariants.** Nothing blocks for ever: a lock that is held by a dead mount, a stamp that cannot be read, both count as
//! held for one TTL and no longer. The lease never says more than "you may try" (H1).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hb_core::ids::NodeName;

use super::lock::{self, Asked, Lock, Waiter, Wake};
use super::stamp::{self, Seen, Stamp, Watch, boottime};
use crate::atomic::Disk;
use crate::port::{Holder, Lease, LeaseError, Waited};

/// File of the lock, in `output_dir`.
pub const LOCK_FILE: &str = "hb.lock";
/// How often a waiter asks where it cannot wait in the kernel.
const POLL: Duration = Duration::from_millis(100);
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
}

/// Why a lease may be taken.
struct Free {
    how: &'static str,
    why: String,
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
        })
    }

    fn lock_path(&self) -> PathBuf {
        self.dir.join(LOCK_FILE)
    }

    fn look(&self) -> Result<Seen, LeaseError> {
        stamp::look(&self.disk, &self.dir).map_err(|fault| LeaseError(fault.to_string()))
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
                Asked::Held if self.polls => {}
                Asked::Held => self.waiter = Some(Waiter::start(&self.lock_path()).map_err(LeaseError)?),
                Asked::Unsupported(why) => {
                    tracing::warn!(why, "going by the holder's progress stamp alone");
                    self.polls = true;
                }
            }
        }
        let Some(waiter) = &self.waiter else {
            std::thread::sleep(patience);
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
        let still = self.watch.judge(seen.clone(), boottime());
        let why = match seen {
            Seen::Nothing => "first start".to_owned(),
            Seen::Stamp(stamp) if stamp.released => format!("{} gave it back", stamp.holder.node),
            Seen::Stamp(stamp) if stamp.locked => format!("{} (process {}) ended", stamp.holder.node, stamp.holder.pid),
            Seen::Stamp(stamp) if still >= self.ttl => no_progress(&stamp.holder, still),
            Seen::Stamp(_) => {
                // Its holder took over without the lock, waits for it, and works: the lock is not for us.
                lock.free();
                std::thread::sleep(self.beat().min(POLL));
                return Ok(None);
            }
            Seen::Unreadable(_, bytes) => {
                self.keep_aside(&bytes)?;
                "the holder ended, its stamp cannot be read".to_owned()
            }
        };
        self.lock = Some(lock);
        Ok(Some(Free { how: "file", why }))
    }

    /// We do not have the lock: whether the stamp has stood still for long enough.
    fn without_lock(&mut self) -> Result<Option<Free>, LeaseError> {
        let seen = self.look()?;
        let still = self.watch.judge(seen.clone(), boottime());
        if let Seen::Stamp(stamp) = &seen
            && stamp.released
            && still >= RELEASE_GRACE
        {
            return Ok(Some(Free { how: "file", why: format!("{} gave it back", stamp.holder.node) }));
        }
        if still < self.ttl {
            return Ok(None);
        }
        let why = match seen {
            Seen::Stamp(stamp) => no_progress(&stamp.holder, still),
            Seen::Nothing => format!("the lock is held, but nobody showed progress for {:.1} s", still.as_secs_f64()),
            Seen::Unreadable(_, bytes) => {
                self.keep_aside(&bytes)?;
                format!("the holder's stamp cannot be read and did not change for {:.1} s", still.as_secs_f64())
            }
        };
        Ok(Some(Free { how: "file-ttl", why }))
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
            let left = until.map_or(POLL, |until| until.saturating_duration_since(Instant::now()));
            let free = match self.try_lock(left.min(self.beat()))? {
                Some(lock) => self.with_lock(lock)?,
                None => self.without_lock()?,
            };
            if let Some(Free { how, why }) = free {
                self.seized = self.lock.is_none();
                self.watch.forget();
                return Ok(Waited::Granted { how, why });
            }
            if left.is_zero() {
                return Ok(Waited::Held);
            }
        }
    }

    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError> {
        self.pick_up_lock();
        if let Seen::Stamp(other) = self.look()?
            && !self.is_mine(&other.holder)
            && other.holder.epoch > me.epoch
        {
            let Holder { node, pid, epoch, .. } = other.holder;
            let what = format!("{node} (process {pid}) works in epoch {epoch}, this node is in {}", me.epoch);
            return Err(LeaseError(what));
        }
        let stamp = Stamp { holder: me.clone(), locked: self.lock.is_some(), released: false };
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
}

#[cfg(test)]
mod tests {
    use hb_core::ids::Epoch;

    use super::*;

    const TTL: Duration = Duration::from_millis(600);

    fn lease(dir: &Path, node: &str) -> FileLease {
        FileLease::open(dir, &node.into(), TTL).unwrap()
    }

    fn holder(node: &str, epoch: u64, progress: u64) -> Holder {
        Holder { node: node.into(), pid: std::process::id(), epoch: Epoch(epoch), progress }
    }

    fn granted(waited: Waited) -> (&'static str, String) {
        match waited {
            Waited::Granted { how, why } => (how, why),
            Waited::Held => panic!("held"),
        }
    }

    #[test]
    fn first_start_held_then_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
        assert_eq!(granted(a.acquire(TTL).unwrap()), ("file", "first start".to_owned()));
        a.renew(&holder("a", 1, 1)).unwrap();
        assert_eq!(b.acquire(TTL / 3).unwrap(), Waited::Held);
        assert_eq!(b.holder().unwrap().unwrap().node, "a".into());
        a.release().unwrap();
        assert_eq!(granted(b.acquire(TTL).unwrap()), ("file", "a gave it back".to_owned()));
    }

    #[test]
    fn h2_a_holder_without_progress_loses_the_lease_although_it_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
        granted(a.acquire(TTL).unwrap());
        a.renew(&holder("a", 1, 1)).unwrap();
        assert_eq!(b.acquire(TTL / 2).unwrap(), Waited::Held);
        a.renew(&holder("a", 1, 2)).unwrap();
        assert_eq!(b.acquire(TTL * 4 / 5).unwrap(), Waited::Held, "progress starts the TTL anew");
        let (how, why) = granted(b.acquire(TTL * 2).unwrap());
        assert_eq!(how, "file-ttl");
        assert!(why.contains("a (process") && why.contains("no progress"), "{why}");
        b.renew(&holder("b", 2, 1)).unwrap();
        let error = a.renew(&holder("a", 1, 3)).unwrap_err().to_string();
        assert!(error.contains("epoch 2"), "{error}");
    }

    #[test]
    fn a_stamp_that_cannot_be_read_counts_as_held_for_one_ttl_and_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
        granted(a.acquire(TTL).unwrap());
        std::fs::write(dir.path().join("hb.lease"), b"\0garbage").unwrap();
        assert_eq!(b.acquire(TTL / 2).unwrap(), Waited::Held);
        assert_eq!(granted(b.acquire(TTL * 2).unwrap()).0, "file-ttl");
        assert_eq!(std::fs::read(dir.path().join("hb.lease.unreadable")).unwrap(), b"\0garbage");
    }

    #[test]
    fn where_the_kernel_is_not_to_be_waited_in_the_lock_is_asked_for_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
        b.polls = true;
        granted(a.acquire(TTL).unwrap());
        a.renew(&holder("a", 1, 1)).unwrap();
        assert_eq!(b.acquire(TTL / 3).unwrap(), Waited::Held);
        assert!(b.waiter.is_none());
        drop(a);
        let (how, why) = granted(b.acquire(TTL).unwrap());
        assert_eq!(how, "file");
        assert!(why.contains("ended"), "{why}");
    }

    #[test]
    fn a_third_node_does_not_take_the_lock_from_one_that_took_over_by_ttl() {
        let dir = tempfile::tempdir().unwrap();
        let (mut a, mut b, mut c) = (lease(dir.path(), "a"), lease(dir.path(), "b"), lease(dir.path(), "c"));
        granted(a.acquire(TTL).unwrap());
        a.renew(&holder("a", 1, 1)).unwrap();
        assert_eq!(granted(b.acquire(TTL * 2).unwrap()).0, "file-ttl");
        b.renew(&holder("b", 2, 1)).unwrap();
        assert_eq!(c.acquire(TTL / 3).unwrap(), Waited::Held);
        drop(a);
        for progress in 2..8 {
            assert_eq!(c.acquire(TTL / 3).unwrap(), Waited::Held);
            b.renew(&holder("b", 2, progress)).unwrap();
        }
        assert!(b.lock.is_some(), "the one that works has the lock in the end");
        drop(b);
        assert_eq!(granted(c.acquire(TTL * 2).unwrap()).0, "file");
    }
}
