//! The end of the loop: it comes, whatever its disk and its threads do, and everybody who waits is let go.

use std::time::Duration;

use hb_core::supervise::input::OnStop;
use hb_daemon::Ended;
use hb_daemon::supervise::{Bounds, Busy, MESSAGES_MAX};

use super::stage::{Mood, Site, bounds, decision, let_go, process, spec, until};

fn short() -> Bounds {
    Bounds { drain_max: Duration::from_millis(200), ..bounds() }
}

#[test]
fn a_stop_is_heard_while_the_disk_is_full() {
    let site = Site::new();
    let node = site.node_with("left", hb_core::supervise::input::Declared::default(), short()).works();
    site.mood(Mood::Full);
    let told = node.want(process("a"));
    until("the record waits", || node.trouble("database").is_some());
    node.office().stop(OnStop::Stop, "SIGINT");
    assert!(matches!(node.ends(), Ended::Unfinished(_)));
    assert!(let_go(&told));
}

#[test]
fn b1_a_full_house_neither_blocks_a_stop_nor_the_threads_that_wait_for_room() {
    let site = Site::new();
    let node = site.node_with("left", hb_core::supervise::input::Declared::default(), short()).works();
    let watched = serde_json::json!({"process": {"command": ["x"]}, "watch": "w"});
    let register = hb_core::supervise::input::Command::RegisterAgent(Box::new(spec("a", watched)));
    node.ask(register).unwrap();
    site.mood(Mood::Full);
    let told = node.want(process("b"));
    until("the record waits", || node.trouble("database").is_some());
    let mut waiting = 0;
    while node.office().look(|_| {}) == Ok(()) {
        waiting += 1;
    }
    assert!(waiting + 100 > MESSAGES_MAX, "{waiting}");
    assert_eq!(node.office().look(|_| {}), Err(Busy::Full));
    // The thread of the decisions stands before a full house now, and the hands will at their end.
    site.get().decisions.entry("w".into()).or_default().push(decision(1, "FAIL"));
    site.get().last_words = 10;
    until("the decision was read", || site.get().handed_out > 0);
    node.office().stop(OnStop::Leave, "SIGTERM");
    let office = node.office().clone();
    assert!(matches!(node.ends(), Ended::Unfinished(_)));
    assert!(let_go(&told));
    assert_eq!(office.look(|_| {}), Err(Busy::Ended));
}

#[test]
fn whoever_has_not_been_answered_at_the_end_is_let_go() {
    let site = Site::new();
    let node = site.node("left").works();
    let mut told = Vec::new();
    node.office().stop(OnStop::Leave, "SIGTERM");
    for number in 0..50 {
        let person = hb_core::supervise::input::Person {
            actor: "token:ada".into(),
            role: hb_core::supervise::input::Role::Admin,
        };
        let (tell, answer) = std::sync::mpsc::channel();
        let command = process(&format!("a{number}"));
        if node.office().command(person, command, move |reply| drop(tell.send(reply))).is_ok() {
            told.push(answer);
        }
    }
    assert_eq!(node.ends(), Ended::Drained);
    // Answered or let go, and what was answered with yes is durable.
    for (number, answer) in told.into_iter().enumerate() {
        if let Ok(Ok(_)) = answer.recv_timeout(super::stage::PATIENCE) {
            assert!(site.agent(&format!("a{number}")).is_some());
        }
    }
}
