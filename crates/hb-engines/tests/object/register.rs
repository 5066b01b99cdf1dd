//! The laws of registers, and what becomes of them when the store fails or lies.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use hb_engines::object::ObjectRegister;
use hb_store::conformance::leases::{self, OverRegister};
use hb_store::conformance::registers;
use hb_store::lease::register::Names;
use hb_store::register::{Hears, Register, Swapped, Woken};

use super::bucket;
use super::server::{Fault, Lie, Server};

fn register(target: &str) -> Box<dyn Register> {
    Box::new(ObjectRegister::new(bucket(target)))
}

/// Puts every law to the places that `target` names by number.
pub(crate) fn every_law(target: impl Fn(u32) -> String) {
    let count = Cell::new(0);
    registers::all(|| {
        count.set(count.get() + 1);
        let target = target(count.get());
        move || register(&target)
    });
}

#[test]
fn the_lease_obeys_every_law() {
    let (server, count) = (Server::start(Lie::None), Cell::new(0));
    leases::all(|| {
        count.set(count.get() + 1);
        let target = server.target(&format!("leases/{}", count.get()));
        OverRegister::new(move || register(&target), Names::OBJECT)
    });
}

#[test]
fn memory_obeys_every_law() {
    every_law(|place| format!("memory:cells-{place}"));
}

#[test]
fn a_server_obeys_every_law() {
    let server = Server::start(Lie::None);
    server.pages_of(3);
    every_law(|place| server.target(&format!("cells/{place}")));
}

#[test]
fn every_law_holds_while_answers_are_lost_late_double_and_wrong() {
    let server = Server::start(Lie::None);
    server.pages_of(3);
    server.one_in(12, 0xD1B5_4A32_D192_ED03);
    every_law(|place| server.target(&format!("cells/{place}")));
    assert!(server.hurt() > 20, "only {} requests went wrong", server.hurt());
}

#[test]
fn negative_control_lying_servers_break_the_laws() {
    for lie in [Lie::CreatesAnyway, Lie::UpdatesAnyway, Lie::ChecksThenActs] {
        let server = Server::start(lie);
        let suite = || every_law(|place| server.target(&format!("cells/{place}")));
        assert!(catch_unwind(AssertUnwindSafe(suite)).is_err(), "{lie:?} passes the suite");
    }
}

#[test]
fn each_fault_of_a_change_ends_in_the_truth() {
    let faults = [
        Fault::LostAnswer,
        Fault::Cut,
        Fault::DoneLate(Duration::from_millis(50)),
        Fault::NotDone(503),
        Fault::NotDone(409),
        Fault::DoneBut(500),
        Fault::Twice,
    ];
    for fault in faults {
        let server = Server::start(Lie::None);
        let (mut mine, mut other) = (register(&server.target("p")), register(&server.target("p")));
        server.plan("PUT", [fault]);
        let Swapped::Done(first) = mine.swap("lease", None, b"1") else { panic!("{fault:?}") };
        server.plan("PUT", [fault]);
        let Swapped::Done(second) = mine.swap("lease", Some(&first), b"2") else { panic!("{fault:?}") };
        assert_eq!(other.read("lease").unwrap().unwrap().version, second, "{fault:?}");
        server.plan("PUT", [fault]);
        let lost = other.swap("lease", Some(&first), b"3");
        assert!(matches!(&lost, Swapped::Lost(Some(cell)) if cell.version == second), "{fault:?}: {lost:?}");
        server.plan("PUT", [fault]);
        assert_eq!(mine.remove("lease", &second), Swapped::Done(second.clone()), "{fault:?}");
        assert_eq!(other.read("lease").unwrap(), None);
        server.plan("PUT", [fault]);
        let again = other.swap("lease", None, b"1");
        assert!(matches!(&again, Swapped::Done(version) if *version != first), "{fault:?}: {again:?}");
    }
}

#[test]
fn a_change_that_was_done_and_replaced_is_not_called_lost() {
    let server = Server::start(Lie::None);
    let (mut mine, mut other) = (register(&server.target("p")), register(&server.target("p")));
    let Swapped::Done(first) = mine.swap("lease", None, b"1") else { panic!() };
    server.plan("PUT", [Fault::LostAnswer]);
    // The look that follows is late enough for somebody else to go on from what was done.
    server.plan("GET", [Fault::AnsweredLate(Duration::ZERO), Fault::Cut]);
    let Swapped::Done(second) = mine.swap("lease", Some(&first), b"2") else { panic!() };
    let Swapped::Done(third) = other.swap("lease", Some(&second), b"3") else { panic!() };
    assert_eq!(mine.read("lease").unwrap().unwrap().version, third);
    let late = mine.swap("lease", Some(&second), b"4");
    assert!(matches!(late, Swapped::Lost(Some(cell)) if cell.bytes == b"3"));
}

#[test]
fn a_renewal_is_one_request_and_so_is_a_look() {
    let server = Server::start(Lie::None);
    let (mut mine, mut other) = (register(&server.target("p")), register(&server.target("p")));
    let Swapped::Done(mut version) = mine.swap("lease", None, b"0") else { panic!() };
    server.seen();
    for _ in 0..5 {
        let Swapped::Done(next) = mine.swap("lease", Some(&version), b"0") else { panic!() };
        version = next;
        assert_eq!(other.read("lease").unwrap().unwrap().version, version);
    }
    let seen = server.seen();
    assert_eq!((seen.get("PUT"), seen.get("GET"), seen.len()), (Some(&5), Some(&5), 2));
    assert_eq!(mine.hears(), Hears::Asks);
}

#[test]
fn waiting_in_slices_asks_no_more_often_than_once_a_second() {
    let server = Server::start(Lie::None);
    let mut register = register(&server.target("p"));
    let Swapped::Done(version) = register.swap("lease", None, b"0") else { panic!() };
    server.seen();
    let began = std::time::Instant::now();
    for _ in 0..40 {
        let woken = register.wait("lease", Some(&version), Duration::from_millis(50)).unwrap();
        assert_eq!(woken, Woken::Patience);
    }
    // A slow machine takes longer and may ask more often for it.
    let most = 3 + began.elapsed().as_secs() + 1;
    let asked = server.seen()["GET"];
    assert!((2..=most).contains(&asked), "asked {asked} times in {:?}", began.elapsed());
}

#[test]
fn what_is_none_of_ours_can_be_read_and_replaced() {
    let server = Server::start(Lie::None);
    let mut register = register(&server.target("p"));
    server.plant("p/cells/lease", b"rubbish");
    let cell = register.read("lease").unwrap().unwrap();
    assert_eq!(cell.bytes, b"rubbish");
    let Swapped::Done(_) = register.swap("lease", Some(&cell.version), b"1") else { panic!() };
    assert_eq!(register.read("lease").unwrap().unwrap().bytes, b"1");
}
