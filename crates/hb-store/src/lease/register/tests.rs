//! The lease over a register: lost answers, cut connections, meddled cells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hb_core::ids::Epoch;

use super::*;
use crate::register::CellVersion;
use crate::register::memory::{MemoryRegister, Mishap};

const TTL: Duration = Duration::from_millis(600);

fn over(register: &MemoryRegister, node: &str) -> RegisterLease {
    RegisterLease::new(Box::new(register.clone()), &node.into(), TTL, Names::MEMORY)
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

/// A register whose next swaps go wrong.
fn bad(register: &MemoryRegister, mishaps: &[Mishap]) -> Box<MemoryRegister> {
    let mut bad = register.clone();
    mishaps.iter().for_each(|mishap| bad.suffer(*mishap));
    Box::new(bad)
}

#[test]
fn a_claim_whose_answer_was_lost_is_found_and_gone_on_with() {
    let register = MemoryRegister::new();
    let mut a = RegisterLease::new(bad(&register, &[Mishap::DoneButUnknown]), &"a".into(), TTL, Names::MEMORY);
    let (_, why) = granted(a.acquire(TTL).unwrap());
    assert!(why.contains("no answer"), "{why}");
    a.renew(&holder("a", 1, 1)).unwrap();
    assert_eq!(over(&register, "b").acquire(TTL / 3).unwrap(), Waited::Held);
}

#[test]
fn a_claim_that_was_not_done_is_tried_again() {
    let register = MemoryRegister::new();
    let mut a = RegisterLease::new(bad(&register, &[Mishap::NotDoneAndUnknown]), &"a".into(), TTL, Names::MEMORY);
    assert_eq!(granted(a.acquire(TTL).unwrap()).1, "first start");
}

#[test]
fn a_renewal_that_is_not_known_is_read_back() {
    for mishap in [Mishap::DoneButUnknown, Mishap::NotDoneAndUnknown] {
        let register = MemoryRegister::new();
        let mut a = over(&register, "a");
        granted(a.acquire(TTL).unwrap());
        a.register = bad(&register, &[mishap]);
        a.renew(&holder("a", 1, 7)).unwrap();
        assert_eq!(over(&register, "b").holder().unwrap(), Some(holder("a", 1, 7)), "{mishap:?}");
    }
}

#[test]
fn a_holder_that_cannot_reach_the_register_is_told_and_goes_on_when_it_can() {
    let register = MemoryRegister::new();
    let mut a = over(&register, "a");
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 1)).unwrap();
    let mut cut = register.clone();
    cut.cut(Some("no route to host"));
    let reachable = std::mem::replace(&mut a.register, Box::new(cut));
    assert!(a.renew(&holder("a", 1, 2)).unwrap_err().0.contains("no route"));
    a.register = reachable;
    a.renew(&holder("a", 1, 3)).unwrap();
}

#[test]
fn a_release_that_did_not_go_through_is_made_up_for_before_anything_else() {
    let register = MemoryRegister::new();
    let mut a = over(&register, "a");
    granted(a.acquire(TTL).unwrap());
    let mut cut = register.clone();
    cut.cut(Some("no route to host"));
    let reachable = std::mem::replace(&mut a.register, Box::new(cut));
    a.release().unwrap_err();
    a.register = reachable;
    let (_, why) = granted(a.acquire(TTL).unwrap());
    assert_eq!(why, "a gave it back");
}

#[test]
fn one_that_took_over_and_never_worked_gives_the_lease_back_by_time() {
    let register = MemoryRegister::new();
    let (mut a, mut b) = (over(&register, "a"), over(&register, "b"));
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 3, 1)).unwrap();
    granted(b.acquire(TTL * 3).unwrap());
    let told = a.renew(&holder("a", 3, 2)).unwrap_err().0;
    assert!(told.contains("b (process") && told.contains("no larger epoch than 3"), "{told}");
    assert_eq!(b.holder().unwrap().unwrap().node, "b".into());
    let begun = boottime();
    while a.renew(&holder("a", 3, 3)).is_err() {
        assert!(boottime() < begun + TTL * 20, "it never came back");
        std::thread::sleep(TTL / 12);
    }
    b.renew(&holder("b", 2, 1)).unwrap_err();
    assert_eq!(b.holder().unwrap().unwrap().node, "a".into());
}

#[test]
fn a_removed_or_garbled_cell_is_put_back_by_whoever_holds_it() {
    let register = MemoryRegister::new();
    let mut a = over(&register, "a");
    granted(a.acquire(TTL).unwrap());
    let mut meddler = register.clone();
    let cell = meddler.read(LEASE_CELL).unwrap().unwrap();
    assert!(matches!(meddler.remove(LEASE_CELL, &cell.version), Swapped::Done(_)));
    a.renew(&holder("a", 1, 1)).unwrap();
    let cell = meddler.read(LEASE_CELL).unwrap().unwrap();
    assert!(matches!(meddler.swap(LEASE_CELL, Some(&cell.version), b"garbage"), Swapped::Done(_)));
    a.renew(&holder("a", 1, 2)).unwrap();
    assert_eq!(a.holder().unwrap(), Some(holder("a", 1, 2)));
    assert_eq!(meddler.read(UNREADABLE_CELL).unwrap().unwrap().bytes, b"garbage");
}

#[test]
fn one_that_neither_holds_nor_seeks_sees_what_operators_ask() {
    let register = MemoryRegister::new();
    let (mut a, mut never) = (over(&register, "a"), over(&register, "never"));
    granted(a.acquire(TTL).unwrap());
    assert_eq!(never.orders().unwrap(), Orders::default());
    let pause = crate::port::Pause { by: "ada".into(), reason: "disks".into(), at: hb_core::time::Stamp::default() };
    a.order(Order::Pause(pause.clone())).unwrap();
    assert_eq!(never.orders().unwrap().pause, Some(pause));
    a.order(Order::Resume).unwrap();
    assert_eq!(never.orders().unwrap().pause, None);
}

#[test]
fn one_that_does_not_know_what_became_of_its_claim_attends_to_nothing() {
    let register = MemoryRegister::new();
    let mut cut = bad(&register, &[Mishap::NotDoneAndUnknown]);
    cut.cut_after_swaps(1, "no route to host");
    let mut a = RegisterLease::new(cut, &"a".into(), TTL, Names::MEMORY);
    assert!(a.acquire(TTL).unwrap_err().0.contains("no route"));
    let mut b = over(&register, "b");
    granted(b.acquire(TTL * 2).unwrap());
    assert!(b.seen().document().unwrap().attended, "nobody else stands in its way");
}

#[test]
fn a_lease_that_is_not_held_cannot_be_renewed_and_is_given_back_in_vain() {
    let mut a = over(&MemoryRegister::new(), "a");
    assert!(a.renew(&holder("a", 1, 1)).unwrap_err().0.contains("does not hold"));
    a.release().unwrap();
    assert_eq!(a.holder(), Ok(None));
}

/// A register that counts what it is asked, and tells of changes with what they made of the cell.
#[derive(Debug)]
struct Counted {
    inner: MemoryRegister,
    hears: Hears,
    reads: Arc<AtomicU32>,
    attends: Arc<AtomicU32>,
}

impl Register for Counted {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read(name)
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        self.inner.swap(name, seen, bytes)
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        self.inner.remove(name, seen)
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        self.inner.list(prefix, most)
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        self.inner.wait(name, seen, patience)
    }

    fn told(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        self.inner.read(name)
    }

    fn hears(&self) -> Hears {
        self.hears
    }

    fn attend(&mut self, name: &str) -> Result<(), RegisterError> {
        self.attends.fetch_add(1, Ordering::Relaxed);
        self.inner.attend(name)
    }
}

fn counted(register: &MemoryRegister, hears: Hears) -> (RegisterLease, Arc<AtomicU32>) {
    let reads = Arc::new(AtomicU32::new(0));
    let counted = Counted { inner: register.clone(), hears, reads: Arc::clone(&reads), attends: Arc::default() };
    (RegisterLease::new(Box::new(counted), &"b".into(), TTL, Names::MEMORY), reads)
}

#[test]
fn one_that_is_told_of_every_change_asks_for_none() {
    let register = MemoryRegister::new();
    let mut a = over(&register, "a");
    granted(a.acquire(TTL).unwrap());
    let (mut b, reads) = counted(&register, Hears::Told);
    for progress in 1..=20 {
        a.renew(&holder("a", 1, progress)).unwrap();
        assert_eq!(b.acquire(Duration::from_millis(5)).unwrap(), Waited::Held);
        b.orders().unwrap();
    }
    assert_eq!(b.seen().last().map(|mark| mark.progress), Some(20), "it saw the newest");
    assert_eq!(reads.load(Ordering::Relaxed), 1, "the first look, and none for a change that was told");
}

#[test]
fn what_is_seen_while_nobody_seeks_the_lease_counts_for_whoever_seeks_it_then() {
    let register = MemoryRegister::new();
    let (mut a, mut b) = (over(&register, "a"), over(&register, "b"));
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 1)).unwrap();
    let cell = register.clone().read(LEASE_CELL).unwrap();
    // As a node that has just handed over looks for orders, and the other one's machine is gone meanwhile.
    let begun = boottime();
    for look in 0..=4 {
        b.observe_at(cell.clone(), begun + TTL / 4 * look);
    }
    assert!(matches!(b.judge(begun + TTL), Verdict::Free(_)), "one TTL since it saw the last of it, and not two");
}

#[test]
fn h2_whoever_gave_it_back_looks_for_the_next_holder_with_the_next_question() {
    let register = MemoryRegister::new();
    let (mut b, reads) = counted(&register, Hears::Told);
    granted(b.acquire(TTL).unwrap());
    b.renew(&holder("b", 1, 1)).unwrap();
    b.release().unwrap();
    let mut a = over(&register, "a");
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 2, 1)).unwrap();
    let before = reads.load(Ordering::Relaxed);
    b.orders().unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), before + 1);
    assert_eq!(b.seen().last().map(|mark| mark.progress), Some(1), "from now on its TTL is counted");
}

#[test]
fn one_that_seeks_the_lease_no_more_asks_seldom_what_operators_ask() {
    let register = MemoryRegister::new();
    let (mut never, reads) = counted(&register, Hears::Told);
    never.orders().unwrap();
    let now = boottime();
    assert!(!never.rests(now), "it may be about to seek it");
    never.sought = Duration::ZERO;
    never.looked = now;
    assert!(never.rests(now + REST / 2) && !never.rests(now + REST));
    let before = reads.load(Ordering::Relaxed);
    never.looked = now + REST * 1000;
    never.orders().unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), before);
}

#[test]
fn one_that_is_named_in_a_switchover_looks_for_the_release_all_the_time_where_it_has_to_ask() {
    let register = MemoryRegister::new();
    let mut a = over(&register, "a");
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 1)).unwrap();
    let (mut b, _) = counted(&register, Hears::Asks);
    b.look().unwrap();
    let unhurried = b.cadence.next();
    let (id, by, reason, at) = ("1".into(), "operator:ada".into(), "kernel".into(), hb_core::time::Stamp::default());
    let switchover = crate::port::Switchover { id, from: "a".into(), to: Some("b".into()), by, reason, at };
    a.order(Order::Switchover(switchover)).unwrap();
    b.look().unwrap();
    b.pass_asking(Duration::from_millis(1), boottime()).unwrap();
    assert!(b.cadence.next() <= boottime() + Duration::from_millis(60), "{:?} {unhurried:?}", b.cadence.next());
}

#[test]
fn the_lease_of_a_machine_that_is_gone_is_not_held_up_by_what_the_engine_keeps_for_it() {
    let register = MemoryRegister::new();
    let mut a = over(&register, "a");
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 1)).unwrap();
    let attends = Arc::new(AtomicU32::new(0));
    let reads = Arc::default();
    let counted = Counted { inner: register, hears: Hears::Told, reads, attends: Arc::clone(&attends) };
    let mut b = RegisterLease::new(Box::new(counted), &"b".into(), TTL, Names::MEMORY);
    // The handle of `a` lives on, and attends as far as the engine knows.
    granted(b.acquire(TTL * 20).unwrap());
    assert_eq!(attends.load(Ordering::Relaxed), 0, "who takes over for want of progress claims before it attends");
    b.renew(&holder("b", 2, 1)).unwrap();
    assert_eq!(attends.load(Ordering::Relaxed), 1, "and attends as soon as it works");
}
