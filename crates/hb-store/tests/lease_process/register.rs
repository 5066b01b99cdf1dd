//! The lease over a register in a folder.

use std::path::Path;
use std::time::{Duration, Instant};

use hb_core::ids::Epoch;
use hb_store::lease::register::{Names, RegisterLease};
use hb_store::port::{Holder, Lease, Waited};
use hb_store::register::dir::DirRegister;
use nix::sys::signal::Signal;

use crate::holding::{Holding, folder, granted, hold};

const TTL: Duration = Duration::from_millis(1000);

fn lease(dir: &Path, node: &str) -> RegisterLease {
    RegisterLease::new(Box::new(DirRegister::open(dir).unwrap()), &node.into(), TTL, Names::DIRECTORY)
}

/// Not a test of its own: the holder that the others start, stop and kill.
#[test]
fn register_holder() {
    if let Some(dir) = folder() {
        hold(&mut lease(Path::new(&dir), "holder"), TTL);
    }
}

fn start(dir: &Path) -> Holding {
    Holding::start("register::register_holder", dir)
}

#[test]
fn h3_a_killed_holder_is_replaced_after_its_ttl() {
    let mut times = Vec::new();
    for _ in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let holding = start(dir.path());
        let mut standby = lease(dir.path(), "standby");
        assert_eq!(standby.acquire(TTL / 4).unwrap(), Waited::Held);
        let killed = Instant::now();
        holding.signal(Signal::SIGKILL);
        let (how, why) = granted(&mut standby);
        assert_eq!(how, "directory-ttl");
        assert!(why.contains("holder (process") && why.contains("no progress"), "{why}");
        times.push(killed.elapsed());
    }
    times.sort();
    println!("takeover after kill -9, TTL {TTL:?}: median {:?}, worst {:?}", times[times.len() / 2], times[7]);
    assert!(times[0] > TTL / 2, "it was shown shortly before, so one TTL from then: {times:?}");
}

#[test]
fn h1_h2_a_stopped_holder_is_replaced_and_learns_it_when_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut holding = start(dir.path());
    let mut standby = lease(dir.path(), "standby");
    assert_eq!(standby.acquire(TTL * 2).unwrap(), Waited::Held, "it shows progress");
    holding.signal(Signal::SIGSTOP);
    let (how, why) = granted(&mut standby);
    assert_eq!(how, "directory-ttl");
    assert!(why.contains("no progress"), "{why}");
    let me = Holder { node: "standby".into(), pid: std::process::id(), epoch: Epoch(2), progress: 1 };
    standby.renew(&me).unwrap();
    holding.signal(Signal::SIGCONT);
    let lost = holding.lost();
    assert!(lost.contains("standby (process") && lost.contains("epoch 2"), "{lost}");
    holding.child.wait().unwrap();
    standby.renew(&Holder { progress: 2, ..me }).unwrap();
    assert_eq!(lease(dir.path(), "third").acquire(TTL / 2).unwrap(), Waited::Held);
}

#[test]
fn a_holder_that_is_stopped_at_any_moment_never_keeps_others_from_the_register() {
    // Whatever it was amid when it was stopped: there is no lock that it could have taken along.
    for round in 0..6_u32 {
        let dir = tempfile::tempdir().unwrap();
        let holding = start(dir.path());
        std::thread::sleep(TTL / 40 * round);
        holding.signal(Signal::SIGSTOP);
        let mut standby = lease(dir.path(), "standby");
        granted(&mut standby);
        standby.renew(&Holder { node: "standby".into(), pid: 1, epoch: Epoch(2), progress: 1 }).unwrap();
    }
}
