//! The file lease between processes: `kill -9`, stopped and resumed holders, inherited descriptors.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hb_core::ids::Epoch;
use hb_store::lease::file::FileLease;
use hb_store::port::{Holder, Lease, Waited};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const HOLDER_DIR: &str = "HB_TEST_LEASE_DIR";
const TTL: Duration = Duration::from_millis(600);

/// Not a test of its own: the holder that the others start, stop and kill.
#[test]
fn holder_process() {
    let Ok(dir) = std::env::var(HOLDER_DIR) else { return };
    let mut lease = FileLease::open(Path::new(&dir), &"holder".into(), TTL).unwrap();
    assert!(matches!(lease.acquire(TTL).unwrap(), Waited::Granted { .. }));
    let mut me = Holder { node: "holder".into(), pid: std::process::id(), epoch: Epoch(1), progress: 0 };
    loop {
        me.progress += 1;
        match lease.renew(&me) {
            Ok(()) if me.progress == 1 => println!("holding"),
            Ok(()) => {}
            Err(error) => {
                println!("lost: {error}");
                return;
            }
        }
        std::thread::sleep(TTL / 6);
    }
}

struct Holding {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Holding {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "holder_process", "--nocapture"])
            .env(HOLDER_DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("holding")), "the holder never held");
        Self { child, lines }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn standby(dir: &Path) -> FileLease {
    FileLease::open(dir, &"standby".into(), TTL).unwrap()
}

#[test]
fn h3_the_kernel_wakes_the_waiter_when_the_holder_is_killed() {
    let mut times = Vec::new();
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let holding = Holding::start(dir.path());
        let mut lease = standby(dir.path());
        assert_eq!(lease.acquire(Duration::from_millis(50)).unwrap(), Waited::Held);
        let waiter = std::thread::spawn(move || {
            let waited = lease.acquire(Duration::from_secs(10)).unwrap();
            (waited, Instant::now())
        });
        std::thread::sleep(Duration::from_millis(20));
        let killed = Instant::now();
        holding.signal(Signal::SIGKILL);
        let (waited, at) = waiter.join().unwrap();
        let Waited::Granted { how, why } = waited else { panic!("held") };
        assert_eq!(how, "file");
        assert!(why.contains("holder (process") && why.contains("ended"), "{why}");
        times.push(at.duration_since(killed));
    }
    times.sort();
    println!("takeover after kill -9: median {:?}, worst {:?}", times[times.len() / 2], times[times.len() - 1]);
    assert!(times[times.len() / 2] < Duration::from_millis(50), "{times:?}");
}

#[test]
fn h1_h2_a_stopped_holder_is_replaced_after_its_ttl_and_learns_it_when_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut holding = Holding::start(dir.path());
    let mut lease = standby(dir.path());
    assert_eq!(lease.acquire(TTL * 2).unwrap(), Waited::Held, "it shows progress");
    holding.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    let Waited::Granted { how, why } = lease.acquire(TTL * 5).unwrap() else { panic!("held") };
    assert_eq!(how, "file-ttl");
    assert!(why.contains("no progress"), "{why}");
    let took = stopped.elapsed();
    assert!(took > TTL / 2 && took < TTL * 2, "{took:?}");
    let me = Holder { node: "standby".into(), pid: std::process::id(), epoch: Epoch(2), progress: 1 };
    lease.renew(&me).unwrap();
    holding.signal(Signal::SIGCONT);
    let lost = holding.lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("lost"))).unwrap().unwrap();
    assert!(lost.contains("epoch 2"), "{lost}");
    // It has ended and its lock with it: the lock comes to the one that works.
    holding.child.wait().unwrap();
    lease.renew(&Holder { progress: 2, ..me }).unwrap();
    let mut third = FileLease::open(dir.path(), &"third".into(), TTL).unwrap();
    assert_eq!(third.acquire(TTL / 2).unwrap(), Waited::Held);
}

#[test]
fn a_child_of_the_holder_does_not_inherit_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut lease = standby(dir.path());
    assert!(matches!(lease.acquire(TTL).unwrap(), Waited::Granted { .. }));
    let mut child = Command::new("sleep").arg("30").spawn().unwrap();
    drop(lease);
    let mut other = FileLease::open(dir.path(), &"other".into(), TTL).unwrap();
    let begun = Instant::now();
    assert!(matches!(other.acquire(TTL).unwrap(), Waited::Granted { how: "file", .. }));
    assert!(begun.elapsed() < TTL / 2);
    child.kill().unwrap();
    child.wait().unwrap();
}
