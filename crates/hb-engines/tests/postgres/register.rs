//! Attending, and what it comes to when processes and servers end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hb_engines::postgres::PostgresRegister;
use hb_store::register::{CellVersion, Register, Swapped, Woken};
use nix::sys::signal::Signal;

use crate::server::{Server, fresh_schema, shared, target};

const URL: &str = "HB_TEST_POSTGRES_ATTEND";
/// Much longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);

/// Not a test of its own: a process that attends until it is killed.
#[test]
fn attending_process() {
    let Ok(url) = std::env::var(URL) else { return };
    let mut register = PostgresRegister::open(&target(&url)).unwrap();
    register.attend("lease").unwrap();
    println!("attends");
    loop {
        std::thread::sleep(LONG);
    }
}

struct Attender(Child);

impl Attender {
    fn start(url: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "register::attending_process", "--nocapture"])
            .env(URL, url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("attends")), "it attends");
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Attender {
    fn drop(&mut self) {
        self.kill();
    }
}

fn put(register: &mut PostgresRegister, name: &str) -> CellVersion {
    match register.swap(name, None, b"1") {
        Swapped::Done(version) => version,
        other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => panic!("{other:?}"),
    }
}

/// Waits until the register has seen that somebody attends: the lock is waited for.
fn until_watched(server: &Server) {
    let waited = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while server.sql("ops", waited) != "1" {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long from the end of a process to its being told; the median and the worst of `rounds`.
fn hints(server: &Server, rounds: usize) -> (Duration, Duration) {
    let url = server.url("hints");
    let mut register = PostgresRegister::open(&target(&url)).unwrap();
    let seen = put(&mut register, "lease");
    let mut times = Vec::new();
    for _ in 0..rounds {
        let mut attender = Attender::start(&url);
        // What it saw of the one before is over.
        while !matches!(register.wait("lease", Some(&seen), Duration::from_millis(20)).unwrap(), Woken::Patience) {}
        let (ready, waiting) = std::sync::mpsc::channel();
        let told = std::thread::scope(|scope| {
            let (register, seen) = (&mut register, &seen);
            let waiter = scope.spawn(move || {
                ready.send(()).unwrap();
                let woken = register.wait("lease", Some(seen), LONG).unwrap();
                (woken, Instant::now())
            });
            waiting.recv().unwrap();
            until_watched(server);
            let killed = Instant::now();
            attender.kill();
            let (woken, at) = waiter.join().unwrap();
            assert!(matches!(woken, Woken::Abandoned(_)), "{woken:?}");
            at.duration_since(killed)
        });
        times.push(told);
    }
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

#[test]
fn h1_the_end_of_a_process_that_attends_is_told() {
    let Some(server) = Server::start("") else { return };
    let (median, worst) = hints(&server, 3);
    println!("from kill -9 to being told: median {median:?}, worst {worst:?}");
}

/// A process that is killed after its change was committed, and before it told anybody.
#[test]
fn h1_a_change_that_its_maker_did_not_live_to_tell_is_seen_at_its_end() {
    let Some(server) = Server::start("") else { return };
    let url = server.url("untold");
    let mut register = PostgresRegister::open(&target(&url)).unwrap();
    put(&mut register, "lease");
    // Less than it takes until a cell is read again for no reason; a busy machine gets more than one chance.
    let patience = Duration::from_secs(2);
    let woken = (0..10).any(|_| {
        let mut attender = Attender::start(&url);
        let mut register = PostgresRegister::open(&target(&url)).unwrap();
        let seen = register.read("lease").unwrap().expect("it stands").version;
        std::thread::scope(|scope| {
            let waiter = scope.spawn(move || register.wait("lease", Some(&seen), patience).unwrap());
            until_watched(&server);
            let change = "UPDATE untold.cells SET version = untold.next_version() WHERE name = 'lease' RETURNING 1";
            assert!(server.sql("ops", change).starts_with('1'), "the cell was changed");
            attender.kill();
            waiter.join().unwrap() == Woken::Changed
        })
    });
    assert!(woken, "what stood at its end is not what was seen");
    let seen = register.read("lease").unwrap().expect("it stands").version;
    assert!(matches!(register.wait("lease", Some(&seen), LONG), Ok(Woken::Abandoned(_))), "and then that it is gone");
}

#[test]
fn the_restart_of_a_server_is_not_taken_for_the_end_of_the_holder() {
    let Some(server) = Server::start("") else { return };
    let mut holder = PostgresRegister::open(&target(&server.url("hb"))).unwrap();
    let seen = put(&mut holder, "lease");
    holder.attend("lease").unwrap();
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
        let mut standby = PostgresRegister::open(&target(&server.url("hb"))).unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let seen = &seen;
            let waiter = scope.spawn(move || {
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    let woken = standby.wait("lease", Some(seen), Duration::from_millis(50));
                    assert!(matches!(woken, Ok(Woken::Patience) | Err(_)), "{signal}: {woken:?}");
                }
            });
            until_watched(&server);
            server.end(signal);
            assert!(server.run(), "{}", server.log());
            // The holder attends again with whatever it does next.
            while holder.read("lease").is_err() {}
            holder.attend("lease").unwrap();
            until_watched(&server);
            stop.send(()).unwrap();
            waiter.join().unwrap();
        });
    }
}

#[test]
fn a_handle_that_was_cut_off_attends_again_by_itself() {
    let Some(server) = Server::start("") else { return };
    let mut holder = PostgresRegister::open(&target(&format!("{}&application_name=cut", server.url("hb")))).unwrap();
    let seen = put(&mut holder, "lease");
    holder.attend("lease").unwrap();
    let ended = "SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity WHERE application_name = 'cut'";
    assert_eq!(server.sql("ops", ended), "1");
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    assert_eq!(server.sql("ops", held), "0");
    // What is sent over a connection that ended may be unknown once.
    let mut seen = seen;
    while server.sql("ops", held) != "1" {
        match holder.swap("lease", Some(&seen), b"2") {
            Swapped::Done(version) => seen = version,
            Swapped::Unknown(_) | Swapped::Failed(_) => seen = holder.read("lease").unwrap().unwrap().version,
            other @ Swapped::Lost(_) => panic!("{other:?}"),
        }
    }
    let mut other = PostgresRegister::open(&target(&server.url("hb"))).unwrap();
    let told = other.attend("lease").unwrap_err().to_string();
    assert!(told.contains("somebody else attends"), "{told}");
    holder.leave("lease");
    other.attend("lease").unwrap();
}

#[test]
fn an_idle_wait_asks_nothing() {
    let Some(server) = shared() else { return };
    let url = format!("{}&application_name=idle", server.url(&fresh_schema()));
    let mut register = PostgresRegister::open(&target(&url)).unwrap();
    let seen = put(&mut register, "lease");
    assert_eq!(register.wait("lease", Some(&seen), Duration::from_millis(10)).unwrap(), Woken::Patience);
    let since =
        "SELECT max(query_start) FROM pg_stat_activity WHERE application_name = 'idle' AND query LIKE '%cells%'";
    let before = server.sql("ops", since);
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(register.wait("lease", Some(&seen), Duration::from_millis(20)).unwrap(), Woken::Patience);
    }
    // On a machine that is held up the cell may be due to be looked at again.
    if begun.elapsed() < Duration::from_secs(4) {
        assert_eq!(server.sql("ops", since), before, "nothing was asked");
    }
}
