//! A holder in a process of its own, to be stopped and killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use hb_core::ids::Epoch;
use hb_store::port::{Holder, Lease, Waited};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// In the environment of a holder: where its lease is.
const FOLDER: &str = "HB_TEST_LEASE_DIR";
/// What no machine takes, however loaded.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Where this process is to hold a lease, if it is a holder.
pub(crate) fn folder() -> Option<String> {
    std::env::var(FOLDER).ok()
}

/// Takes the lease and shows progress until it is lost.
pub(crate) fn hold(lease: &mut dyn Lease, ttl: Duration) {
    granted(lease);
    let mut me = Holder { node: "holder".into(), pid: std::process::id(), epoch: Epoch(1), progress: 0 };
    loop {
        me.progress += 1;
        match lease.renew(&me) {
            Ok(()) if me.progress == 1 => tell("holding"),
            Ok(()) => {}
            Err(error) => {
                tell(&format!("lost: {error}"));
                return;
            }
        }
        std::thread::sleep(ttl / 8);
    }
}

/// A line for whoever started this process.
#[expect(clippy::print_stdout, reason = "it is read by the test that started this process")]
fn tell(line: &str) {
    println!("{line}");
}

/// How and why; waits for as long as it takes.
pub(crate) fn granted(lease: &mut dyn Lease) -> (&'static str, String) {
    let waited = lease.acquire(BOUND).unwrap();
    let Waited::Granted { how, why } = waited else { unreachable!("it was never granted") };
    (how, why)
}

/// A process that holds a lease.
pub(crate) struct Holding {
    pub(crate) child: Child,
    pub(crate) lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Holding {
    /// Starts the test of that name, which holds the lease of a folder.
    pub(crate) fn start(test: &str, dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FOLDER, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("holding")), "the holder never held");
        Self { child, lines }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// What it says when it has lost the lease.
    pub(crate) fn lost(&mut self) -> String {
        self.lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("lost"))).unwrap().unwrap()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
