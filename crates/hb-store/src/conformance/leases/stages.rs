//! The leases of this crate, put through the suite; and leases that bend one law each, which the suite must not pass.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::{OverRegister, Stage, all};
use crate::lease::file::FileLease;
use crate::lease::register::Names;
use crate::port::{Holder, Lease, LeaseError, Order, Orders, Waited};
use crate::register::dir::DirRegister;
use crate::register::memory::MemoryRegister;
use crate::register::{Cell, CellVersion, Hears, Register, RegisterError, Swapped, Woken};

const TTL: Duration = Duration::from_millis(1000);

struct InFolder(tempfile::TempDir);

impl Stage for InFolder {
    fn open(&self, node: &str) -> Box<dyn Lease> {
        Box::new(FileLease::open(self.0.path(), &node.into(), TTL).unwrap())
    }

    fn ttl(&self) -> Duration {
        TTL
    }

    fn garble(&self) -> bool {
        std::fs::write(self.0.path().join("hb.lease"), b"\0garbage").unwrap();
        true
    }
}

#[test]
fn the_lease_by_lock_and_stamp_obeys_every_law() {
    all(|| InFolder(tempfile::tempdir().unwrap()));
}

fn in_memory() -> OverRegister<impl Fn() -> Box<dyn Register> + Sync> {
    let register = Mutex::new(MemoryRegister::new());
    OverRegister::new(move || Box::new(register.lock().unwrap().clone()) as Box<dyn Register>, Names::MEMORY)
}

#[test]
fn the_lease_over_a_register_in_memory_obeys_every_law() {
    all(in_memory);
}

fn open_dir(dir: &Path) -> Box<dyn Register> {
    Box::new(DirRegister::open(dir).unwrap())
}

#[test]
fn the_lease_over_a_register_in_a_folder_obeys_every_law() {
    all(|| {
        let dir = tempfile::tempdir().unwrap();
        OverRegister::new(move || open_dir(dir.path()), Names::DIRECTORY)
    });
}

/// A register that has to be asked.
struct Asked(MemoryRegister);

impl Register for Asked {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        self.0.read(name)
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        self.0.swap(name, seen, bytes)
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        self.0.remove(name, seen)
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        self.0.list(prefix, most)
    }

    fn wait(&mut self, _: &str, _: Option<&CellVersion>, _: Duration) -> Result<Woken, RegisterError> {
        panic!("a lease asks a register like this at moments of its own")
    }

    fn hears(&self) -> Hears {
        Hears::Asks
    }
}

#[test]
fn the_lease_over_a_register_that_has_to_be_asked_obeys_every_law() {
    all(|| {
        let register = Mutex::new(MemoryRegister::new());
        OverRegister::new(move || Box::new(Asked(register.lock().unwrap().clone())) as Box<dyn Register>, Names::OBJECT)
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Everybody is granted it.
    GrantsAll,
    /// H2: a renewal is progress, whatever it shows.
    AnyRenewalIsProgress,
    /// A release is never shown.
    ReleasesNothing,
    /// A holder that was replaced is not told.
    TellsNothing,
    /// Nobody has a place.
    NoPlaces,
    /// Orders are acknowledged and forgotten.
    ForgetsOrders,
}

struct Bent {
    inner: Box<dyn Lease>,
    how: How,
    renewed: u64,
}

impl Lease for Bent {
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError> {
        match (self.how, self.inner.acquire(patience)?) {
            (How::GrantsAll, Waited::Held) => Ok(Waited::Granted { how: "memory", why: "why not".into() }),
            (_, waited) => Ok(waited),
        }
    }

    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError> {
        self.renewed += 1;
        match self.how {
            How::AnyRenewalIsProgress => self.inner.renew(&Holder { progress: self.renewed + 1000, ..me.clone() }),
            How::TellsNothing => {
                drop(self.inner.renew(me));
                Ok(())
            }
            How::GrantsAll | How::ReleasesNothing | How::NoPlaces | How::ForgetsOrders => self.inner.renew(me),
        }
    }

    fn release(&mut self) -> Result<(), LeaseError> {
        if self.how == How::ReleasesNothing { Ok(()) } else { self.inner.release() }
    }

    fn holder(&mut self) -> Result<Option<Holder>, LeaseError> {
        self.inner.holder()
    }

    fn orders(&mut self) -> Result<Orders, LeaseError> {
        self.inner.orders()
    }

    fn order(&mut self, order: Order) -> Result<Orders, LeaseError> {
        if self.how == How::ForgetsOrders { Ok(Orders::default().after(order)) } else { self.inner.order(order) }
    }

    fn stand_behind(&mut self, others: u32) {
        if self.how != How::NoPlaces {
            self.inner.stand_behind(others);
        }
    }
}

struct BentStage<S>(S, How);

impl<S: Stage> Stage for BentStage<S> {
    fn open(&self, node: &str) -> Box<dyn Lease> {
        Box::new(Bent { inner: self.0.open(node), how: self.1, renewed: 0 })
    }

    fn ttl(&self) -> Duration {
        self.0.ttl()
    }
}

/// The laws that each bends, so that the control takes seconds and not minutes.
#[test]
fn negative_control_every_bent_law_is_caught() {
    let law = |how: How| match how {
        How::GrantsAll => super::one_holder_while_it_works,
        How::AnyRenewalIsProgress | How::TellsNothing => super::a_holder_that_stands_still_loses_it,
        How::ReleasesNothing => super::a_release_is_seen,
        How::NoPlaces => super::each_place_waits_longer,
        How::ForgetsOrders => super::a_pause_keeps_everybody_but_the_last_holder_away,
    };
    std::thread::scope(|scope| {
        for how in [
            How::GrantsAll,
            How::AnyRenewalIsProgress,
            How::ReleasesNothing,
            How::TellsNothing,
            How::NoPlaces,
            How::ForgetsOrders,
        ] {
            let law: fn(&dyn Stage) = law(how);
            scope.spawn(move || {
                let stage = BentStage(in_memory(), how);
                let passed = catch_unwind(AssertUnwindSafe(|| law(&stage))).is_ok();
                assert!(!passed, "{how:?} passes the suite");
            });
        }
    });
}
