//! What becomes of swaps and waits when something is wrong.

use std::time::Duration;

use hb_engines::kubernetes::KubernetesRegister;
use hb_store::register::{CellVersion, Register, Swapped, Woken};
use serde_json::json;

use crate::api::Api;
use crate::laws::{at, with_token};
use crate::wire::{Bend, Wire};

const BRIEF: Duration = Duration::from_millis(1500);
const MOMENT: Duration = Duration::from_millis(300);

fn put(register: &mut KubernetesRegister, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> CellVersion {
    match register.swap(name, seen, bytes) {
        Swapped::Done(version) => version,
        other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => panic!("{name}: {other:?}"),
    }
}

fn failed(swapped: Swapped) -> String {
    match swapped {
        Swapped::Failed(what) => what,
        other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Done(_)) => panic!("{other:?}"),
    }
}

/// Waits until the cell is not as seen; errors meanwhile are allowed.
fn wait(register: &mut KubernetesRegister, name: &str, seen: Option<&CellVersion>) {
    for _ in 0..600 {
        if register.wait(name, seen, Duration::from_millis(200)) == Ok(Woken::Changed) {
            return;
        }
    }
    panic!("a change of {name} was never told");
}

#[test]
fn lost_answers_leave_writes_unknown() {
    let api = Api::start();
    let wire = Wire::to(api.port);
    let mut register = at(wire.port, "hb", BRIEF);
    wire.bend(Bend::LoseOneAnswer);
    assert!(matches!(register.swap("a", None, b"1"), Swapped::Unknown(_)));
    assert_eq!(wire.bent(), Bend::Straight);
    let first = register.read("a").unwrap().unwrap();
    assert_eq!(first.bytes, b"1");
    wire.bend(Bend::NoAnswers);
    assert!(matches!(register.swap("a", Some(&first.version), b"2"), Swapped::Unknown(_)), "no answer in time");
    assert!(register.read("a").is_err());
    wire.bend(Bend::Straight);
    let second = register.read("a").unwrap().unwrap();
    assert_eq!(second.bytes, b"2");
    wire.bend(Bend::LoseOneAnswer);
    assert!(matches!(register.remove("a", &second.version), Swapped::Unknown(_)));
    assert_eq!(register.read("a"), Ok(None));
}

#[test]
fn errors_of_the_server_leave_writes_unknown_and_reads_are_asked_again() {
    let api = Api::start();
    let mut register = at(api.port, "hb", BRIEF);
    api.set(|trouble| trouble.broken = 1);
    assert!(matches!(register.swap("a", None, b"1"), Swapped::Unknown(_)));
    api.set(|trouble| trouble.broken = 1);
    assert_eq!(register.read("a").unwrap().unwrap().bytes, b"1");
}

#[test]
fn a_server_that_is_busy_is_left_alone_and_asked_again_within_the_patience() {
    let api = Api::start();
    let mut register = at(api.port, "hb", Duration::from_secs(10));
    api.set(|trouble| trouble.busy = (1, 1));
    put(&mut register, "a", None, b"1");
    assert_eq!(api.inner().asked["create"], 2);
    api.set(|trouble| trouble.busy = (1, 60));
    let what = failed(register.swap("b", None, b"1"));
    assert!(what.contains("busy"), "{what}");
    assert_eq!(register.read("b"), Ok(None), "nothing was done");
}

#[test]
fn tokens_are_read_again_when_they_are_not_taken() {
    let api = Api::start();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "one\n").unwrap();
    api.set(|trouble| trouble.tokens = vec!["one".into()]);
    let mut register = with_token(api.port, &token, BRIEF);
    let first = put(&mut register, "a", None, b"1");
    assert_eq!(register.wait("a", Some(&first), MOMENT), Ok(Woken::Patience));
    // Kubernetes gives the pod another token.
    api.set(|trouble| trouble.tokens = vec!["two".into()]);
    std::fs::write(&token, "two").unwrap();
    let second = put(&mut register, "a", Some(&first), b"2");
    wait(&mut register, "a", Some(&first));
    api.set(|trouble| trouble.tokens = vec!["three".into()]);
    let what = failed(register.swap("a", Some(&second), b"3"));
    assert!(what.contains("token") && !what.contains("two"), "{what}");
    drop(folder);
    let mut other = with_token(api.port, &token, BRIEF);
    let what = failed(other.swap("b", None, b"1"));
    assert!(what.contains("cannot read the token file"), "{what}");
}

#[test]
fn rights_that_are_missing_are_named() {
    let api = Api::start();
    let mut register = at(api.port, "hb", BRIEF);
    let first = put(&mut register, "a", None, b"1");
    api.set(|trouble| trouble.forbidden = vec!["get", "list", "watch", "create", "update", "delete"]);
    let missing = |what: String, verb: &str| {
        assert!(what.contains(&format!("the right to {verb} leases in namespace lab is missing")), "{verb}: {what}");
    };
    missing(failed(register.swap("b", None, b"1")), "create");
    missing(failed(register.swap("a", Some(&first), b"2")), "update");
    missing(failed(register.remove("a", &first)), "delete");
    missing(register.read("a").unwrap_err().0, "get");
    missing(register.list("", 1).unwrap_err().0, "list");
    api.set(|trouble| trouble.forbidden = vec!["watch"]);
    missing(register.wait("a", Some(&first), BRIEF).unwrap_err().0, "watch");
}

#[test]
fn what_a_watch_has_forgotten_is_looked_up() {
    for by_status in [false, true] {
        let api = Api::start();
        let wire = Wire::to(api.port);
        let (mut waiter, mut direct) = (at(wire.port, "hb", BRIEF), at(api.port, "hb", BRIEF));
        api.set(|trouble| trouble.gone_by_status = by_status);
        let first = put(&mut direct, "a", None, b"1");
        assert_eq!(waiter.wait("a", Some(&first), MOMENT), Ok(Woken::Patience));
        wire.bend(Bend::Refused);
        let second = put(&mut direct, "a", Some(&first), b"2");
        api.inner().store.forget();
        wire.bend(Bend::Straight);
        wait(&mut waiter, "a", Some(&first));
        // A watch that stands when the log is cut is told so, and begins anew.
        assert_eq!(waiter.wait("a", Some(&second), MOMENT), Ok(Woken::Patience));
        put(&mut direct, "a", Some(&second), b"3");
        api.inner().store.forget();
        wait(&mut waiter, "a", Some(&second));
    }
}

#[test]
fn a_watch_that_tells_nothing_is_noticed_and_one_that_lives_costs_no_looks() {
    let api = Api::start();
    let (mut waiter, mut direct) = (at(api.port, "hb", BRIEF), at(api.port, "hb", BRIEF));
    let first = put(&mut direct, "a", None, b"1");
    for _ in 0..30 {
        assert_eq!(waiter.wait("a", Some(&first), Duration::from_millis(100)), Ok(Woken::Patience));
    }
    // Bookmarks show that it lives.
    assert!(api.inner().asked["list"] <= 3, "{:?}", api.inner().asked);
    assert_eq!(api.inner().asked["watch"], 1);
    api.set(|trouble| trouble.mute = true);
    put(&mut direct, "a", Some(&first), b"2");
    wait(&mut waiter, "a", Some(&first));
}

#[test]
fn a_restart_of_the_server_ends_no_wait() {
    let mut api = Api::start();
    let mut waiter = at(api.port, "hb", BRIEF);
    let first = put(&mut waiter, "a", None, b"1");
    assert_eq!(waiter.wait("a", Some(&first), MOMENT), Ok(Woken::Patience));
    api.stop();
    assert!(waiter.wait("a", Some(&first), Duration::from_secs(3)).is_err(), "it is away");
    assert!(matches!(waiter.swap("a", Some(&first), b"2"), Swapped::Failed(_) | Swapped::Unknown(_)));
    api.start_again();
    let second = put(&mut waiter, "a", Some(&first), b"2");
    wait(&mut waiter, "a", Some(&first));
    assert_eq!(waiter.wait("a", Some(&second), MOMENT), Ok(Woken::Patience));
}

#[test]
fn objects_of_others_are_left_alone() {
    let api = Api::start();
    let mut register = at(api.port, "hb", BRIEF);
    let foreign = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "hb.a"}});
    assert!(api.inner().store.create(foreign).is_ok());
    assert!(register.read("a").unwrap_err().0.contains("not one of hb's"));
    let what = failed(register.swap("a", None, b"1"));
    assert!(what.contains("not one of hb's"), "{what}");
    assert_eq!(register.list("", 10), Ok(Vec::new()));
}

#[test]
fn lists_go_over_many_pages_that_may_expire() {
    let api = Api::start();
    let mut register = at(api.port, "hb", Duration::from_secs(20));
    for number in 0..150 {
        put(&mut register, &format!("node/{number:03}"), None, b"x");
    }
    api.set(|trouble| trouble.pages_expire = 1);
    let names: Vec<String> = register.list("node/", 149).unwrap().into_iter().map(|(name, _)| name).collect();
    let expected: Vec<String> = (0..149).map(|number| format!("node/{number:03}")).collect();
    assert_eq!(names, expected);
    api.set(|trouble| trouble.pages_expire = 99);
    assert!(register.list("node/", 1000).is_err());
}
