//! The laws of registers and leases.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hb_engines::etcd::{EtcdRegister, EtcdTarget};
use hb_engines::target::Manner;
use hb_store::conformance::leases::{self, OverRegister};
use hb_store::conformance::registers;
use hb_store::lease::register::Names;
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

#[test]
fn every_law_of_leases_is_kept() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let fresh = AtomicU32::new(0);
    leases::all(|| {
        let prefix = format!("leases/{}", fresh.fetch_add(1, Ordering::SeqCst));
        let target = EtcdTarget::parse(&address(&[etcd.port(0)], &prefix)).unwrap();
        let open = move || Box::new(EtcdRegister::open(&target, patient()).unwrap()) as Box<dyn Register>;
        OverRegister::new(open, Names::ETCD)
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
