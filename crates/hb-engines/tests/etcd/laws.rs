//! The laws of registers, and how fast they are kept.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hb_engines::etcd::{EtcdRegister, EtcdTarget};
use hb_engines::target::Manner;
use hb_store::conformance::{leases, registers};
use hb_store::lease::register::{LEASE_CELL, Names, RegisterLease};
use hb_store::port::{Holder, Lease, Waited};
use hb_store::register::{Register, Swapped, Woken};

use crate::server::{Etcd, address};

fn patient() -> Manner {
    Manner { patience: Duration::from_secs(20) }
}

#[test]
fn every_law_of_registers_is_kept() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let fresh = AtomicU32::new(0);
    registers::all(|| {
        let prefix = format!("laws/{}", fresh.fetch_add(1, Ordering::SeqCst));
        let target = EtcdTarget::parse(&address(&[etcd.port(0)], &prefix)).unwrap();
        move || Box::new(EtcdRegister::open(&target, patient()).unwrap()) as Box<dyn Register>
    });
}

#[test]
fn lists_go_over_many_pages_and_leave_out_other_keys() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let target = EtcdTarget::parse(&address(&[etcd.port(0)], "many")).unwrap();
    let mut register = EtcdRegister::open(&target, patient()).unwrap();
    let mut neighbour =
        EtcdRegister::open(&EtcdTarget::parse(&address(&[etcd.port(0)], "many0")).unwrap(), patient()).unwrap();
    assert!(matches!(neighbour.swap("node/x", None, b"x"), Swapped::Done(_)));
    for number in 0..200 {
        assert!(matches!(register.swap(&format!("node/{number:03}"), None, b"x"), Swapped::Done(_)));
    }
    let names: Vec<String> = register.list("node/", 1000).unwrap().into_iter().map(|(name, _)| name).collect();
    let expected: Vec<String> = (0..200).map(|number| format!("node/{number:03}")).collect();
    assert_eq!(names, expected);
    assert_eq!(register.list("node/", 130).unwrap().len(), 130);
}

/// A lease over such a register.
struct Staged<F>(F);

impl<F: Fn() -> Box<dyn Register> + Sync> leases::Stage for Staged<F> {
    fn open(&self, node: &str) -> Box<dyn Lease> {
        Box::new(RegisterLease::new((self.0)(), &node.into(), self.ttl(), Names::ETCD))
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn garble(&self) -> bool {
        let mut register = (self.0)();
        let cell = register.read(LEASE_CELL).unwrap().unwrap();
        matches!(register.swap(LEASE_CELL, Some(&cell.version), b"\0garbage"), Swapped::Done(_))
    }
}

#[test]
fn every_law_of_leases_is_kept() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let fresh = AtomicU32::new(0);
    leases::all(|| {
        let prefix = format!("leases/{}", fresh.fetch_add(1, Ordering::SeqCst));
        let target = EtcdTarget::parse(&address(&[etcd.port(0)], &prefix)).unwrap();
        Staged(move || Box::new(EtcdRegister::open(&target, patient()).unwrap()) as Box<dyn Register>)
    });
}

#[test]
fn handles_share_a_connection_and_nothing_else() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let target = EtcdTarget::parse(&address(&[etcd.port(0)], "shared")).unwrap();
    let mut one = EtcdRegister::open(&target, patient()).unwrap();
    let mut others: Vec<_> = (0..50).map(|_| one.another()).collect();
    let Swapped::Done(first) = one.swap("a", None, b"1") else { panic!("not made") };
    std::thread::scope(|scope| {
        let waiting: Vec<_> = others
            .iter_mut()
            .map(|other| scope.spawn(|| other.wait("a", Some(&first), Duration::from_secs(60))))
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        assert!(matches!(one.swap("a", Some(&first), b"2"), Swapped::Done(_)));
        for woken in waiting {
            assert_eq!(woken.join().unwrap(), Ok(Woken::Changed));
        }
    });
}

/// Prints what a swap and a wake-up take; run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn measure_swaps_and_wake_ups() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let target = EtcdTarget::parse(&address(&[etcd.port(0)], "speed")).unwrap();
    let mut writer = EtcdRegister::open(&target, patient()).unwrap();
    let mut waiter = EtcdRegister::open(&target, patient()).unwrap();
    let Swapped::Done(mut version) = writer.swap("cell", None, b"0") else { panic!("no first swap") };
    let (mut swaps, mut wakes) = (Vec::new(), Vec::new());
    for round in 0..200_u32 {
        let seen = version.clone();
        let (end, woken) = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let woken = waiter.wait("cell", Some(&seen), Duration::from_secs(20));
                (woken, Instant::now())
            });
            std::thread::sleep(Duration::from_millis(15));
            let began = Instant::now();
            let end = writer.swap("cell", Some(&version), &round.to_le_bytes());
            let done = Instant::now();
            swaps.push(done - began);
            let (woken, at) = waiting.join().unwrap();
            wakes.push(at - began);
            (end, woken)
        });
        assert_eq!(woken, Ok(Woken::Changed));
        let Swapped::Done(now) = end else { panic!("{end:?}") };
        version = now;
    }
    for (what, mut times) in [("swap", swaps), ("from the begin of a swap to the waiter's wake-up", wakes)] {
        times.sort_unstable();
        println!("{what}: median {:?}, 99 % {:?}, worst {:?}", times[100], times[197], times[199]);
    }
}

/// Prints what a takeover takes after a release and after a crash; run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn measure_takeovers() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    for (what, ttl_ms, crash) in [("release", 3000, None), ("crash", 1000, Some(())), ("crash", 3000, Some(()))] {
        let ttl = Duration::from_millis(ttl_ms);
        let mut times: Vec<Duration> =
            (0..10).map(|round| takeover(&etcd, &format!("t{what}{ttl_ms}{round}"), ttl, crash)).collect();
        times.sort_unstable();
        println!("TTL {ttl_ms} ms, {what} to grant: median {:?}, worst {:?}", times[5], times[9]);
    }
}

/// From the end of a holder, which renews three times per TTL, to the grant of the other one.
fn takeover(etcd: &Etcd, prefix: &str, ttl: Duration, crash: Option<()>) -> Duration {
    let target = EtcdTarget::parse(&address(&[etcd.port(0)], prefix)).unwrap();
    let open = |node: &str| {
        RegisterLease::new(Box::new(EtcdRegister::open(&target, patient()).unwrap()), &node.into(), ttl, Names::ETCD)
    };
    let (mut holder, mut other) = (open("a"), open("b"));
    while holder.acquire(ttl).unwrap() == Waited::Held {}
    std::thread::scope(|scope| {
        let granted = scope.spawn(move || {
            while other.acquire(Duration::from_millis(100)).unwrap() == Waited::Held {}
            Instant::now()
        });
        for progress in 1..=4 {
            let epoch = hb_core::ids::Epoch(1);
            holder.renew(&Holder { node: "a".into(), pid: 1, epoch, progress }).unwrap();
            std::thread::sleep(ttl / 3);
        }
        let ended = Instant::now();
        match crash {
            Some(()) => drop(holder),
            None => holder.release().unwrap(),
        }
        granted.join().unwrap() - ended
    })
}
