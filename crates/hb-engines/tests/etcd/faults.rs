//! What becomes of swaps and waits when something is wrong.

use std::time::Duration;

use hb_engines::etcd::{EtcdRegister, EtcdTarget};
use hb_engines::target::Manner;
use hb_store::register::{CellVersion, Register, Swapped, Woken};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::server::{Etcd, address, file};
use crate::wire::{Bend, Wire};

const LONG: Duration = Duration::from_secs(60);

/// A patience that a question exceeds soon, and a loaded machine still keeps.
fn brief() -> Manner {
    Manner { patience: Duration::from_millis(1500) }
}

fn at(ports: &[u16], rest: &str) -> EtcdRegister {
    EtcdRegister::open(&EtcdTarget::parse(&address(ports, rest)).unwrap(), brief()).unwrap()
}

/// Swaps until it is done: for moments in which etcd may be slow.
fn put(register: &mut EtcdRegister, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> CellVersion {
    for _ in 0..40 {
        match register.swap(name, seen, bytes) {
            Swapped::Done(version) => return version,
            Swapped::Lost(Some(cell)) if cell.bytes == bytes => return cell.version,
            Swapped::Lost(there) => panic!("lost to {there:?}"),
            Swapped::Unknown(_) | Swapped::Failed(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    panic!("{name} could not be put");
}

/// Waits until the cell is not as seen; errors meanwhile are allowed.
fn wait(register: &mut EtcdRegister, name: &str, seen: Option<&CellVersion>) {
    for _ in 0..600 {
        if register.wait(name, seen, Duration::from_millis(200)) == Ok(Woken::Changed) {
            return;
        }
    }
    panic!("a change of {name} was never told");
}

#[test]
fn a_swap_whose_answer_is_lost_is_unknown_and_shows_in_the_next_read() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let wire = Wire::to(etcd.port(0));
    let mut register = at(&[wire.port], "lost");
    let first = put(&mut register, "a", None, b"1");
    wire.bend(Bend::LoseOneAnswer);
    let end = register.swap("a", Some(&first), b"2");
    assert!(matches!(end, Swapped::Unknown(_)), "{end:?}");
    assert_eq!(wire.bent(), Bend::Straight);
    assert_eq!(register.read("a").unwrap().unwrap().bytes, b"2");
    // A removal as well.
    let second = register.read("a").unwrap().unwrap().version;
    wire.bend(Bend::LoseOneAnswer);
    let end = register.remove("a", &second);
    assert!(matches!(end, Swapped::Unknown(_)), "{end:?}");
    assert_eq!(register.read("a"), Ok(None));
}

#[test]
fn a_swap_that_reached_nobody_is_not_done() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let wire = Wire::to(etcd.port(0));
    let mut register = at(&[wire.port], "refused");
    drop(wire);
    let end = register.swap("a", None, b"1");
    assert!(matches!(end, Swapped::Failed(_)), "{end:?}");
    assert!(register.read("a").is_err());
}

#[test]
fn cut_one_way_a_swap_is_unknown_and_a_wait_ends_with_an_error() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let wire = Wire::to(etcd.port(0));
    let (mut register, mut direct) = (at(&[wire.port], "cut"), at(&[etcd.port(0)], "cut"));
    let first = put(&mut register, "a", None, b"1");
    assert_eq!(register.wait("a", Some(&first), Duration::from_millis(300)), Ok(Woken::Patience));
    wire.bend(Bend::NoAnswers);
    assert!(matches!(register.swap("a", Some(&first), b"2"), Swapped::Unknown(_)));
    // It arrived: somebody who sees etcd knows.
    let second = direct.read("a").unwrap().unwrap();
    assert_eq!(second.bytes, b"2");
    assert!(register.read("a").is_err());
    assert!(register.wait("a", Some(&second.version), Duration::from_secs(10)).is_err(), "nothing can be told");
    wire.bend(Bend::Straight);
    wait(&mut register, "a", Some(&first));
}

#[test]
fn a_watch_that_was_cut_without_a_word_is_noticed() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    // The watch goes over the first member's wire; everything else may go over the second.
    let (wire, other) = (Wire::to(etcd.port(0)), Wire::to(etcd.port(0)));
    let (mut register, mut direct) = (at(&[wire.port, other.port], "deaf"), at(&[etcd.port(0)], "deaf"));
    let first = put(&mut direct, "a", None, b"1");
    assert_eq!(register.wait("a", Some(&first), Duration::from_millis(500)), Ok(Woken::Patience));
    wire.bend(Bend::Deaf);
    put(&mut direct, "a", Some(&first), b"2");
    wait(&mut register, "a", Some(&first));
}

#[test]
fn killed_and_started_again_it_goes_on_where_it_was() {
    let Some(mut etcd) = Etcd::start(1, &[]) else { return };
    let (mut register, mut waiter) = (at(&[etcd.port(0)], "kill"), at(&[etcd.port(0)], "kill"));
    let mut version = put(&mut register, "a", None, b"0");
    for round in 1..=3_u8 {
        assert_eq!(waiter.wait("a", Some(&version), Duration::from_millis(200)), Ok(Woken::Patience));
        etcd.kill(0);
        assert!(waiter.wait("a", Some(&version), Duration::from_secs(3)).is_err(), "it is away");
        let end = register.swap("a", Some(&version), &[99]);
        assert!(matches!(end, Swapped::Failed(_) | Swapped::Unknown(_)), "{end:?}");
        etcd.spawn(0);
        etcd.await_healthy(0);
        assert_eq!(register.read("a").unwrap().unwrap().version, version, "what was acknowledged stands");
        let now = put(&mut register, "a", Some(&version), &[round]);
        wait(&mut waiter, "a", Some(&version));
        version = now;
    }
}

#[test]
fn stopped_it_leaves_swaps_unknown_and_they_may_be_done_later() {
    let Some(mut etcd) = Etcd::start(1, &[]) else { return };
    let (mut register, mut waiter) = (at(&[etcd.port(0)], "stop"), at(&[etcd.port(0)], "stop"));
    let first = put(&mut register, "a", None, b"1");
    assert_eq!(waiter.wait("a", Some(&first), Duration::from_millis(200)), Ok(Woken::Patience));
    etcd.signal(0, Signal::SIGSTOP);
    let end = register.swap("a", Some(&first), b"2");
    assert!(matches!(end, Swapped::Unknown(_)), "{end:?}");
    assert!(register.read("a").is_err());
    assert!(waiter.wait("a", Some(&first), Duration::from_secs(6)).is_err(), "a server that hangs is noticed");
    etcd.signal(0, Signal::SIGCONT);
    etcd.await_healthy(0);
    // The question lay in the server's socket: done or not, it is never half done.
    let now = register.read("a").unwrap().unwrap();
    assert!(now.bytes == b"2" || now.version == first, "{now:?}");
    let last = put(&mut register, "a", Some(&now.version), b"3");
    wait(&mut waiter, "a", Some(&first));
    assert_eq!(waiter.read("a").unwrap().unwrap().version, last);
}

#[test]
fn compaction_ends_no_wait() {
    let Some(etcd) = Etcd::start(1, &[]) else { return };
    let wire = Wire::to(etcd.port(0));
    let (mut waiter, mut direct) = (at(&[wire.port], "compact"), at(&[etcd.port(0)], "compact"));
    let first = put(&mut direct, "a", None, b"1");
    assert_eq!(waiter.wait("a", Some(&first), Duration::from_millis(300)), Ok(Woken::Patience));
    // While it is away, what it has not heard of is compacted.
    wire.bend(Bend::Refused);
    let mut version = put(&mut direct, "a", Some(&first), b"2");
    for round in 0..20_u8 {
        version = put(&mut direct, "a", Some(&version), &[round]);
    }
    etcd.ask("kv/compaction", &json!({"revision": version.0, "physical": true}), None);
    wire.bend(Bend::Straight);
    wait(&mut waiter, "a", Some(&first));
    assert_eq!(waiter.wait("a", Some(&version), Duration::from_millis(500)), Ok(Woken::Patience));
}

#[test]
fn full_it_says_so_and_takes_no_swaps_until_there_is_space() {
    let Some(etcd) = Etcd::start(1, &["--quota-backend-bytes", "2000000"]) else { return };
    let mut register = at(&[etcd.port(0)], "full");
    let large = vec![7; 60_000];
    let mut full = None;
    for number in 0..200 {
        match register.swap(&format!("n/{number}"), None, &large) {
            Swapped::Done(_) => {}
            Swapped::Failed(what) => {
                full = Some(what);
                break;
            }
            other @ (Swapped::Lost(_) | Swapped::Unknown(_)) => panic!("{other:?}"),
        }
    }
    let what = full.expect("2 MB are full some time");
    assert!(what.contains("NOSPACE") && what.contains("disarm"), "{what}");
    assert_eq!(register.read("n/0").unwrap().unwrap().bytes.len(), large.len(), "reading goes on");
}

#[test]
fn without_a_leader_it_is_told_and_with_one_it_goes_on() {
    let Some(mut etcd) = Etcd::start(3, &[]) else { return };
    let ports = [etcd.port(0), etcd.port(1), etcd.port(2)];
    let (mut register, mut waiter) = (at(&ports, "three"), at(&ports, "three"));
    let mut version = put(&mut register, "a", None, b"1");
    assert_eq!(waiter.wait("a", Some(&version), Duration::from_millis(200)), Ok(Woken::Patience));
    // The leader dies: the two others choose another one.
    let dead = etcd.leader();
    etcd.kill(dead);
    let next = put(&mut register, "a", Some(&version), b"2");
    wait(&mut waiter, "a", Some(&version));
    version = next;
    // Of three, one alone decides nothing.
    let gone = (dead + 1) % 3;
    etcd.kill(gone);
    let end = register.swap("a", Some(&version), b"3");
    assert!(matches!(end, Swapped::Failed(_) | Swapped::Unknown(_)), "{end:?}");
    let told = (0..100).any(|_| register.read("a").is_err_and(|error| error.0.contains("no leader")));
    assert!(told, "that there is no leader is said");
    assert!(waiter.wait("a", Some(&CellVersion("1".into())), Duration::ZERO).is_err());
    etcd.spawn(dead);
    etcd.await_healthy(dead);
    let now = loop {
        if let Ok(Some(cell)) = register.read("a") {
            break cell;
        }
    };
    assert!(now.bytes == b"3" || now.version == version, "{now:?}");
    put(&mut register, "a", Some(&now.version), b"4");
    wait(&mut waiter, "a", Some(&now.version));
}

#[test]
fn one_member_that_hangs_holds_up_no_reads() {
    let Some(etcd) = Etcd::start(3, &[]) else { return };
    let hung = (etcd.leader() + 1) % 3;
    let others: Vec<usize> = (0..3).filter(|index| *index != hung).collect();
    let ports = [etcd.port(hung), etcd.port(others[0]), etcd.port(others[1])];
    let mut register = at(&ports, "hung");
    etcd.signal(hung, Signal::SIGSTOP);
    assert_eq!(register.read("a"), Ok(None), "the next member is asked within the patience");
    assert!(matches!(register.swap("a", None, b"1"), Swapped::Done(_)), "and stays the one that is asked");
    etcd.signal(hung, Signal::SIGCONT);
}

#[test]
fn logins_are_made_renewed_and_refused() {
    let Some(etcd) = Etcd::start(1, &["--auth-token-ttl", "2"]) else { return };
    let range = json!({"permType": "READWRITE", "key": "L2FsbG93ZWQv", "range_end": "L2FsbG93ZWQw"});
    for (path, body) in [
        ("auth/user/add", json!({"name": "root", "password": "r"})),
        ("auth/role/add", json!({"name": "root"})),
        ("auth/user/grant", json!({"user": "root", "role": "root"})),
        ("auth/user/add", json!({"name": "hb", "password": "s3cret"})),
        ("auth/role/add", json!({"name": "leases"})),
        ("auth/role/grant", json!({"name": "leases", "perm": range})),
        ("auth/user/grant", json!({"user": "hb", "role": "leases"})),
        ("auth/enable", json!({})),
    ] {
        let said = etcd.ask(path, &body, None);
        assert!(said.get("error").is_none(), "{path}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let password = file(folder.path(), "s3cret");
    let with = |prefix: &str| at(&[etcd.port(0)], &format!("{prefix}?user=hb&password_file={}", password.display()));
    let mut register = with("allowed");
    let first = put(&mut register, "a", None, b"1");
    // Tokens that nobody uses are forgotten after two seconds here.
    std::thread::sleep(Duration::from_secs(5));
    assert!(matches!(register.swap("a", Some(&first), b"2"), Swapped::Done(_)), "the login is renewed");
    let second = register.read("a").unwrap().unwrap().version;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| with("allowed").wait("a", Some(&second), LONG));
        put(&mut register, "a", Some(&second), b"3");
        assert_eq!(waiting.join().unwrap(), Ok(Woken::Changed));
    });
    let Swapped::Failed(what) = with("other").swap("a", None, b"1") else { panic!("it has no right") };
    assert!(what.contains("hb may not read and write the keys under /other/"), "{what}");
    let Swapped::Failed(what) = at(&[etcd.port(0)], "allowed").swap("b", None, b"1") else { panic!("no login") };
    assert!(what.contains("password_file"), "{what}");
    std::fs::write(&password, "wrong\n").unwrap();
    let Swapped::Failed(what) = with("allowed").swap("b", None, b"1") else { panic!("a wrong password") };
    assert!(what.contains("user or password is wrong") && !what.contains("s3cret"), "{what}");
}
