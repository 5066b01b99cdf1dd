//! What is done in which order: records first, then acts, then answers; and what happens while a record cannot be written.

use std::sync::mpsc::{TryRecvError, channel};

use hb_core::supervise::state::Body;
use hb_daemon::supervise::Bounds;

use super::stage::{Mood, Site, bounds, process, until};

#[test]
fn s1_nothing_is_done_or_answered_before_its_record_is_durable() {
    let site = Site::new();
    let node = site.node("left").works();
    site.mood(Mood::Full);
    let told = node.want(process("a"));
    until("the record waits", || node.trouble("database").is_some());
    assert_eq!(told.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(site.place("act spawn a"), None);
    assert!(site.agent("a").is_none());
    let alive = node.office().picture().pulse();
    assert!(alive.since < alive.bound, "a loop that waits for its disk is not a loop that hangs");
    site.mood(Mood::Well);
    assert!(told.recv_timeout(super::stage::PATIENCE).unwrap().is_ok());
    until("it runs", || site.agent("a").is_some_and(|agent| agent.lifecycle.is_up()));
    assert_eq!(node.trouble("database"), None);
    let commits: Vec<usize> = {
        let log = &site.get().log;
        (0..log.len()).filter(|at| log[*at].starts_with("commit")).collect()
    };
    let act = site.place("act spawn a").unwrap();
    // The opening and what is declared were durable before; the third is the one with the agent.
    let with_agent = site.get().records.iter().position(|one| !one.record.body.changes().agents.is_empty()).unwrap();
    assert!(commits[with_agent] < act, "{:?}", site.get().log);
}

#[test]
fn s1_a_look_sees_what_is_durable() {
    let site = Site::new();
    let node = site.node("left").works();
    site.mood(Mood::Full);
    let told = node.want(process("a"));
    let (tell, seen) = channel();
    let look = {
        let site = site.clone();
        move |it: &hb_core::supervise::Supervision| {
            let durable = site.agent("a").is_some();
            tell.send((it.state().agents.contains(&"a".into()), durable)).unwrap();
        }
    };
    node.office().look(look).unwrap();
    until("the record waits", || node.trouble("database").is_some());
    site.mood(Mood::Well);
    assert_eq!(seen.recv_timeout(super::stage::PATIENCE).unwrap(), (true, true));
    assert!(told.recv_timeout(super::stage::PATIENCE).unwrap().is_ok());
}

#[test]
fn what_has_grown_is_written_as_one_and_the_rest_is_trimmed() {
    let site = Site::new();
    let node = site.node_with(
        "left",
        hb_core::supervise::input::Declared::default(),
        Bounds { snapshot_bytes: 1, keep_records: 3, ..bounds() },
    );
    let node = node.works();
    for number in 0..20 {
        node.ask(process(&format!("a{number}"))).unwrap();
    }
    until("it was trimmed", || !site.get().floors.is_empty());
    let snapshots = site.get().records.iter().filter(|one| matches!(one.record.body, Body::Snapshot { .. })).count();
    assert!(snapshots > 0);
    node.stop();
    // What is left is enough to start from.
    let next = site.node("left").works();
    until("all are there", || next.office().picture().get().agents.all == 20);
    assert!(site.get().records[0].record.seq.0 > 0);
    next.stop();
}

/// A start reads what stands after it, and whoever wants something does not wait for it.
#[test]
fn what_has_grown_a_little_is_written_as_one_when_nobody_wants_anything() {
    let site = Site::new();
    let most = 1 << 20;
    let declared = hb_core::supervise::input::Declared::default();
    let node = site.node_with("left", declared, Bounds { snapshot_bytes: most, ..bounds() }).works();
    let mut number = 0;
    until("it rested", || {
        for _ in 0..20 {
            number += 1;
            node.ask(process(&format!("a{number}"))).unwrap();
        }
        // The pause that it is to find.
        std::thread::sleep(std::time::Duration::from_millis(60));
        site.get().records.iter().any(|one| matches!(one.record.body, Body::Snapshot { .. }))
    });
    let bytes = |one: &hb_core::supervise::state::Sealed| one.bytes.len() as u64;
    let before: u64 = {
        let shared = site.get();
        shared.records.iter().take_while(|one| !matches!(one.record.body, Body::Snapshot { .. })).map(bytes).sum()
    };
    assert!(before > most / 4 && before < most, "{before}");
    node.stop();
}

#[test]
fn h1_a_lease_out_of_sight_has_the_reign_proven_before_anything_is_done() {
    let site = Site::new();
    let ttl = std::time::Duration::from_millis(40);
    let node =
        site.node_with("left", hb_core::supervise::input::Declared::default(), Bounds { lease_ttl: ttl, ..bounds() });
    let node = node.works();
    site.get().lease_broken = true;
    until("it has noticed", || node.trouble("lease").is_some());
    let snapshots = || site.get().records.iter().filter(|one| matches!(one.record.body, Body::Snapshot { .. })).count();
    let mut number = 0;
    until("it proved its reign", || {
        number += 1;
        node.ask(process(&format!("a{number}"))).unwrap();
        snapshots() > 0
    });
    let (last, proof) = {
        let shared = site.get();
        let last = shared.log.iter().rposition(|line| line.starts_with("act spawn"));
        let at = shared.records.iter().rev().find(|one| matches!(one.record.body, Body::Snapshot { .. }));
        let proof = format!("commit {}", at.unwrap().record.seq.0);
        (last, shared.log.iter().position(|line| *line == proof))
    };
    assert!(proof < last, "it acts on, once it has proven that it may");
    // With somebody else's record there nothing is done any more.
    site.usurp();
    let told = node.want(process("late"));
    assert!(matches!(node.ends(), hb_daemon::Ended::Fenced(_)));
    assert!(super::stage::let_go(&told));
    assert_eq!(site.place("act spawn late"), None);
}
