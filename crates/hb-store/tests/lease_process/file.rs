//! The file lease.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hb_core::ids::Epoch;
use hb_store::lease::file::FileLease;
use hb_store::port::{Holder, Lease, Waited};
use nix::sys::signal::Signal;

use crate::holding::{BOUND, Holding, folder, granted, hold};

const TTL: Duration = Duration::from_millis(600);

fn lease(dir: &Path, node: &str) -> FileLease {
    FileLease::open(dir, &node.into(), TTL).unwrap()
}

/// Not a test of its own: the holder that the others start, stop and kill.
#[test]
fn file_holder() {
    if let Some(dir) = folder() {
        hold(&mut lease(Path::new(&dir), "holder"), TTL);
    }
}

fn start(dir: &Path) -> Holding {
    Holding::start("file::file_holder", dir)
}

#[test]
fn h3_the_kernel_wakes_the_waiter_when_the_holder_is_killed() {
    let mut times = Vec::new();
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let holding = start(dir.path());
        let mut standby = lease(dir.path(), "standby");
        assert_eq!(standby.acquire(Duration::from_millis(50)).unwrap(), Waited::Held);
        let waiter = std::thread::spawn(move || (granted(&mut standby), Instant::now()));
        let killed = Instant::now();
        holding.signal(Signal::SIGKILL);
        let ((how, why), at) = waiter.join().unwrap();
        // Told by the lock: whoever waits out the TTL says another word.
        assert_eq!(how, "file");
        assert!(why.contains("holder (process") && why.contains("ended"), "{why}");
        times.push(at.duration_since(killed));
    }
    times.sort();
    println!("takeover after kill -9: median {:?}, worst {:?}", times[times.len() / 2], times[times.len() - 1]);
}

#[test]
fn h1_h2_a_stopped_holder_is_replaced_after_its_ttl_and_learns_it_when_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut holding = start(dir.path());
    let mut standby = lease(dir.path(), "standby");
    assert_eq!(standby.acquire(TTL * 2).unwrap(), Waited::Held, "it shows progress");
    holding.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    let (how, why) = granted(&mut standby);
    assert_eq!(how, "file-ttl");
    assert!(why.contains("no progress"), "{why}");
    assert!(stopped.elapsed() > TTL / 2, "it was shown shortly before, so one TTL from then");
    let me = Holder { node: "standby".into(), pid: std::process::id(), epoch: Epoch(2), progress: 1 };
    standby.renew(&me).unwrap();
    holding.signal(Signal::SIGCONT);
    let lost = holding.lost();
    assert!(lost.contains("epoch 2"), "{lost}");
    // It has ended and its lock with it: the lock comes to the one that works.
    holding.child.wait().unwrap();
    standby.renew(&Holder { progress: 2, ..me }).unwrap();
    assert_eq!(lease(dir.path(), "third").acquire(TTL / 2).unwrap(), Waited::Held);
}

#[test]
fn a_child_of_the_holder_does_not_inherit_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = lease(dir.path(), "standby");
    granted(&mut first);
    // It lives for longer than anybody waits for the lock.
    let mut child = Command::new("sleep").arg((BOUND * 2).as_secs().to_string()).spawn().unwrap();
    drop(first);
    // By the lock alone: it is no matter of time.
    assert_eq!(granted(&mut lease(dir.path(), "other")).0, "file");
    child.kill().unwrap();
    child.wait().unwrap();
}
