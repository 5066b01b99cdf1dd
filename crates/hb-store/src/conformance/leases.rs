//! What every lease must obey, as checks that any backend can be put through.
//!
//! Each check panics with what was bent. Times are only ever asserted from below; from above there are bounds that a machine under
//! load does not reach. Leases go by this host's own clock that runs through suspend, so no check depends on the wall clock:
//! the stamps in orders are set to the ends of time here, and change nothing.

mod holding;
mod ordering;
#[cfg(test)]
mod stages;

pub use holding::{
    a_crash_is_seen, a_holder_that_stands_still_loses_it, a_release_is_seen, one_holder_while_it_works,
    what_cannot_be_read_never_blocks,
};
pub use ordering::{
    a_pause_keeps_everybody_but_the_last_holder_away, a_switchover_goes_to_the_named_node, each_place_waits_longer,
    orders_survive_holders, others_take_what_the_named_node_does_not,
};

use std::time::{Duration, Instant};

use hb_core::ids::Epoch;
use hb_core::time::Stamp;

use crate::lease::register::{LEASE_CELL, Names, RegisterLease};
use crate::port::{Holder, Lease, Pause, Switchover, Waited};
use crate::register::{Register, Swapped};

/// One lease that several nodes share, and how what happens to it is played.
pub trait Stage: Sync {
    /// Opens the lease for a node, as a process of its own would.
    fn open(&self, node: &str) -> Box<dyn Lease>;

    /// The TTL of the leases that are opened; half a second or more, or the checks rest on the scheduler.
    fn ttl(&self) -> Duration;

    /// Ends the process of a node without a word. Dropping the lease is the same for a lock, and for a connection.
    fn crash(&self, lease: Box<dyn Lease>) {
        drop(lease);
    }

    /// Puts bytes that are no lease where the lease stands; answers whether that can be played here.
    fn garble(&self) -> bool {
        false
    }

    /// How much longer each place waits.
    fn place_step(&self) -> Duration {
        crate::lease::register::PLACE_STEP
    }
}

/// The lease over a register, as a stage: `open` opens one more handle on cells of its own.
pub struct OverRegister<F> {
    open: F,
    names: Names,
}

impl<F: Fn() -> Box<dyn Register> + Sync> OverRegister<F> {
    /// A stage whose registers `open` opens.
    pub fn new(open: F, names: Names) -> Self {
        Self { open, names }
    }
}

impl<F: Fn() -> Box<dyn Register> + Sync> Stage for OverRegister<F> {
    fn open(&self, node: &str) -> Box<dyn Lease> {
        Box::new(RegisterLease::new((self.open)(), &node.into(), self.ttl(), self.names))
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn garble(&self) -> bool {
        let mut register = (self.open)();
        let cell = register.read(LEASE_CELL).expect("the register can be read").expect("the lease stands there");
        matches!(register.swap(LEASE_CELL, Some(&cell.version), b"\0garbage"), Swapped::Done(_))
    }
}

/// Puts a backend through every law; `fresh` makes a stage on which nobody ever held the lease.
pub fn all<S: Stage>(fresh: impl Fn() -> S) {
    one_holder_while_it_works(&fresh());
    a_release_is_seen(&fresh());
    a_crash_is_seen(&fresh());
    a_holder_that_stands_still_loses_it(&fresh());
    what_cannot_be_read_never_blocks(&fresh());
    a_pause_keeps_everybody_but_the_last_holder_away(&fresh());
    a_switchover_goes_to_the_named_node(&fresh());
    others_take_what_the_named_node_does_not(&fresh());
    each_place_waits_longer(&fresh());
    orders_survive_holders(&fresh());
}

/// TTLs after which something that has to happen will not happen any more.
const PATIENCE_TTLS: u32 = 40;

/// How a node shows itself.
fn show(node: &str, epoch: u64, progress: u64) -> Holder {
    Holder { node: node.into(), pid: std::process::id(), epoch: Epoch(epoch), progress }
}

fn renew(lease: &mut dyn Lease, me: &Holder) {
    lease.renew(me).unwrap_or_else(|error| panic!("{} cannot renew: {error}", me.node));
}

/// Waits until a lease is granted; how and why, and how long it took.
fn granted(lease: &mut dyn Lease, stage: &dyn Stage) -> (&'static str, String, Duration) {
    let begun = Instant::now();
    loop {
        match lease.acquire(stage.ttl() / 5) {
            Ok(Waited::Granted { how, why }) => return (how, why, begun.elapsed()),
            Ok(Waited::Held) => {}
            Err(error) => panic!("the lease cannot be told: {error}"),
        }
        assert!(begun.elapsed() < stage.ttl() * PATIENCE_TTLS, "the lease was never granted");
    }
}

/// Waits for a lease that must not be granted meanwhile.
fn held_for(lease: &mut dyn Lease, time: Duration, what: &str) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        match lease.acquire(left.min(Duration::from_millis(200))) {
            Ok(Waited::Held) => {}
            Ok(Waited::Granted { how, why }) => panic!("{what}: granted by {how}: {why}"),
            Err(error) => panic!("{what}: the lease cannot be told: {error}"),
        }
    }
}

/// A node that holds the lease and has shown it.
fn holding(stage: &dyn Stage, node: &str, epoch: u64) -> Box<dyn Lease> {
    let mut lease = stage.open(node);
    granted(&mut *lease, stage);
    renew(&mut *lease, &show(node, epoch, 1));
    lease
}

fn pause() -> Pause {
    Pause { by: "operator:ada".into(), reason: "new disks".into(), at: Stamp(i64::MAX) }
}

fn switchover(from: &str, to: Option<&str>) -> Switchover {
    let (by, reason) = ("operator:ada".into(), "a new kernel".into());
    Switchover { id: format!("{from}-1"), from: from.into(), to: to.map(Into::into), by, reason, at: Stamp(i64::MIN) }
}
