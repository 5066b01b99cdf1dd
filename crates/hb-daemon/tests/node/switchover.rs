//! Planned takeovers, pauses, places in the line, and what is told of it all.

use std::sync::Arc;
use std::time::Duration;

use hb_actuators::Delivery;
use hb_core::ids::{Epoch, NodeName, StreamName};
use hb_core::node::fact::Body;
use hb_core::node::view::Role;
use hb_daemon::{Ended, OnLost, clock};
use hb_store::port::{Order, Pause, Switchover, SwitchoverEnd};

use super::stage::{Actor, DEADLINE, Pager, Pass, Stage, Wall, settings, until, usurp};

fn stage() -> Stage {
    let mut stage = Stage::new(settings("w"));
    stage.bounds.lease_ttl = Duration::from_millis(600);
    stage.wall = Some(Arc::new(Wall::default()));
    stage.desk.change(|book| book.free_for_all = true);
    stage
}

fn works(actor: &Actor) {
    until("it works", || actor.role() == Role::Active);
}

/// A node that works and one that stands by, both on the board.
fn pair(stage: &Stage) -> (Actor, Actor) {
    let first = stage.start("a");
    works(&first);
    let second = stage.start("b");
    let wall = stage.wall.clone().unwrap();
    until("the standby is on the board", || wall.card("b").is_some_and(|card| card.account.role == Role::Standby));
    until("it is ready", || wall.card("b").is_some_and(|card| card.account.trouble.is_none()));
    (first, second)
}

fn ask(actor: &Actor, to: Option<&str>) {
    let to = to.map(NodeName::from);
    let orders = actor.remote().switchover(to, "ada".into(), "new kernel".into(), DEADLINE).unwrap();
    assert!(orders.switchover.is_some());
}

fn settled(stage: &Stage) -> (SwitchoverEnd, String) {
    until("the switchover is settled", || stage.desk.look(|book| book.orders.settled.is_some()));
    assert!(stage.desk.look(|book| book.orders.switchover.is_none()));
    let settled = stage.desk.look(|book| book.orders.settled.clone()).unwrap();
    (settled.end, settled.what)
}

fn reasons(stage: &Stage) -> Vec<String> {
    let reason = |body: &Body| match body {
        Body::EpochOpened { reason, .. } => Some(format!("opened: {reason}")),
        Body::EpochClosed { reason } => Some(format!("closed: {reason}")),
        _ => None,
    };
    stage.records().iter().filter_map(|sealed| reason(&sealed.record.body)).collect()
}

#[test]
fn h3_a_switchover_hands_over_loses_no_cycle_and_can_be_turned_back() {
    let stage = stage();
    let (first, second) = pair(&stage);
    stage.tape().cycles(0..4);
    stage.decided(3);
    ask(&first, Some("b"));
    works(&second);
    assert_eq!(settled(&stage), (SwitchoverEnd::Done, "b works now".into()));
    until("the other one stands by", || first.role() == Role::Standby);
    stage.tape().cycles(4..8);
    stage.decided(7);
    let told = reasons(&stage);
    assert_eq!(told[1], "closed: switchover to b by ada: new kernel");
    assert_eq!(told[2], "opened: switchover from a by ada: new kernel (the test says so)");
    let takeover = second.shared().view().takeover.clone().unwrap();
    let from = takeover.from.clone().unwrap();
    assert_eq!(
        (takeover.node.as_str(), takeover.epoch, from.node.as_str(), from.epoch),
        ("b", Epoch(2), "a", Epoch(1))
    );
    assert!(takeover.took_seconds.is_some() && takeover.gap_seconds.is_some());
    until("the other one knows too", || {
        first
            .shared()
            .view()
            .takeover
            .as_ref()
            .is_some_and(|known| known.epoch == Epoch(2) && known.took_seconds.is_none())
    });
    assert_eq!(first.shared().stats().handovers, 1);
    assert_eq!(second.shared().stats().switchovers.get("done"), Some(&1));

    // And back, asked of the one that stands by: whoever is asked passes it on.
    stage.desk.change(|book| book.orders.settled = None);
    until("the first one is ready", || {
        stage
            .wall
            .as_ref()
            .unwrap()
            .card("a")
            .is_some_and(|card| card.account.role == Role::Standby && card.account.trouble.is_none())
    });
    ask(&first, None);
    works(&first);
    assert_eq!(settled(&stage), (SwitchoverEnd::Done, "a works now".into()));
    stage.tape().cycles(8..12);
    stage.decided(11);
    until("the other one stands by", || second.role() == Role::Standby);
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(first.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
}

#[test]
fn w6_everything_decided_is_shown_before_the_lease_goes() {
    let mut stage = stage();
    stage.bounds.lease_ttl = Duration::from_secs(60);
    let (first, second) = pair(&stage);
    stage.tape().cycles(0..4);
    stage.decided(3);
    first.screen.change(|picture| picture.held = true);
    stage.tape().cycles(4..8);
    stage.decided(7);
    ask(&first, Some("b"));
    until("the last record is written", || reasons(&stage).len() == 2);
    for _ in 0..20 {
        assert!(stage.desk.look(|book| book.released.is_empty()), "its views are still being written");
        std::thread::sleep(Duration::from_millis(5));
    }
    let records = stage.records();
    first.screen.change(|picture| picture.held = false);
    until("the lease is given back", || stage.desk.look(|book| !book.released.is_empty()));
    assert!(first.screen.shows(&records), "no view of the old node can land after one of the new");
    works(&second);
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(first.stop(), Ended::Drained);
}

#[test]
fn b1_a_switchover_to_a_node_that_is_not_there_is_given_up_with_the_reason() {
    let mut stage = stage();
    stage.bounds.switchover_max = Duration::from_millis(300);
    let (first, second) = pair(&stage);
    ask(&first, Some("c"));
    let (end, what) = settled(&stage);
    assert_eq!(end, SwitchoverEnd::GivenUp);
    assert!(what.contains("c shows no life") && what.contains("a goes on"), "{what}");
    assert_eq!((first.role(), second.role()), (Role::Active, Role::Standby));
    assert_eq!(first.shared().stats().handovers, 0);
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(first.stop(), Ended::Drained);
}

#[test]
fn b1_a_switchover_that_nobody_follows_is_turned_back() {
    let mut stage = stage();
    // Nobody can tell beforehand.
    stage.wall = None;
    let first = stage.start("a");
    works(&first);
    stage.tape().cycles(0..4);
    stage.decided(3);
    ask(&first, Some("c"));
    until("it hands over", || first.role() == Role::Standby);
    stage.desk.grant("a");
    let (end, what) = settled(&stage);
    assert_eq!((end, &*what), (SwitchoverEnd::GivenUp, "c did not take over in time; a goes on"));
    stage.tape().cycles(4..8);
    stage.decided(7);
    assert_eq!(first.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
}

#[test]
fn a_switchover_that_makes_no_sense_is_refused() {
    let mut stage = stage();
    stage.bounds.switchover_max = Duration::from_millis(300);
    let (first, second) = pair(&stage);
    let ask = |actor: &Actor, to: &str| {
        let asked = actor.remote().switchover(Some(to.into()), "ada".into(), "why not".into(), DEADLINE);
        asked.err().unwrap_or_default()
    };
    assert!(ask(&first, "a").contains("active already"));
    assert!(ask(&second, "a").contains("active already"));
    stage.bounds.priority = 0;
    let third = stage.start("c");
    let wall = stage.wall.clone().unwrap();
    until("it is on the board", || wall.card("c").is_some());
    // Until the node that is asked has seen it there, it asks for it and gives it up.
    until("it is refused", || ask(&first, "c").contains("never takes over"));
    for actor in [third, second, first] {
        assert_eq!(actor.stop(), Ended::Drained);
    }
}

#[test]
fn a_node_of_priority_0_never_takes_over_and_reads_along() {
    let mut stage = stage();
    let first = stage.start("a");
    works(&first);
    stage.bounds.priority = 0;
    let second = stage.start("b");
    stage.tape().cycles(0..4);
    stage.decided(3);
    assert_eq!(first.stop(), Ended::Drained);
    until("it has read everything", || second.cycle().is_some_and(|cycle| cycle.0 == 2));
    let asked = stage.desk.look(|book| book.behind.iter().any(|(node, _)| node == "b"));
    assert!(!asked, "it sought the lease");
    assert_eq!(
        (second.role(), stage.desk.look(|book| book.asked)),
        (Role::Standby, stage.desk.look(|book| book.asked))
    );
    assert_eq!(second.stop(), Ended::Drained);
}

#[test]
fn standbys_line_up_by_priority_and_name() {
    let mut stage = stage();
    let (first, second) = pair(&stage);
    stage.bounds.priority = 90;
    let third = stage.start("c");
    let place = |node: &str| {
        stage.desk.look(|book| book.behind.iter().rev().find(|(asker, _)| asker == node).map(|(_, behind)| *behind))
    };
    until("each knows its place", || place("b") == Some(1) && place("c") == Some(0));
    for actor in [third, second, first] {
        assert_eq!(actor.stop(), Ended::Drained);
    }
}

#[test]
fn a_switchover_that_nobody_was_there_to_do_lapses_and_is_told() {
    let stage = stage();
    let at = clock::wall().plus_ns(-3_601_000_000_000);
    let (id, from, to) = ("1-1".to_owned(), "a".into(), Some("b".into()));
    let asked = Switchover { id, from, to, by: "ada".into(), reason: "new kernel".into(), at };
    let (first, second) = pair(&stage);
    // Both run again, long after it was asked for.
    stage.desk.change(|book| book.orders = std::mem::take(&mut book.orders).after(Order::Switchover(asked)));
    let (end, what) = settled(&stage);
    assert_eq!(end, SwitchoverEnd::GivenUp);
    assert!(what.contains("it has lapsed; a works"), "{what}");
    assert_eq!((first.role(), second.role()), (Role::Active, Role::Standby));
    assert_eq!(first.shared().stats().handovers, 0);
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(first.stop(), Ended::Drained);
}

#[test]
fn a_pause_is_told_by_every_node_until_it_is_over() {
    let stage = stage();
    let (first, second) = pair(&stage);
    let orders = second.remote().pause("ada".into(), "new disks".into(), DEADLINE).unwrap();
    assert!(orders.pause.is_some());
    for actor in [&first, &second] {
        let told = |what: &str| what.contains("paused by ada") && what.contains("new disks");
        until("it is told", || told(&actor.what("pause")));
        assert_eq!(actor.check("pause"), Some(true), "it is a note and no failure");
        until("it is shown", || actor.shared().view().paused.as_deref().is_some_and(told));
    }
    first.remote().resume("ada".into(), DEADLINE).unwrap();
    for actor in [&first, &second] {
        until("it is over", || actor.check("pause").is_none() && actor.shared().view().paused.is_none());
    }
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(first.stop(), Ended::Drained);
}

#[test]
fn a_pause_from_before_is_known_before_the_lease_is_sought() {
    let stage = stage();
    stage.desk.change(|book| {
        let pause = Pause { by: "ada".into(), reason: "new disks".into(), at: hb_core::time::Stamp(0) };
        book.orders = std::mem::take(&mut book.orders).after(Order::Pause(pause));
    });
    let first = stage.start("a");
    works(&first);
    assert!(first.what("pause").contains("new disks"));
    assert_eq!(first.stop(), Ended::Drained);
}

#[test]
fn w6_alerts_of_a_node_that_hands_over_are_delivered_by_the_next_one() {
    let mut stage = stage();
    stage.watches[0].0.alert.sinks = vec!["page".into()];
    let pager = Pager::new("page");
    let nobody_in = Delivery::Retry { why: "nobody is in".into(), after: Some(Duration::from_secs(3_600)) };
    pager.change(|pages| pages.answers.extend([nobody_in]));
    (stage.sinks, stage.tries_max) = (vec![Arc::clone(&pager)], 1_000);
    let (first, second) = pair(&stage);
    stage.tape().cycles(0..2);
    stage.decided(1);
    until("it was tried", || first.check("sink.page") == Some(false));
    ask(&first, Some("b"));
    works(&second);
    until("it is delivered", || !stage.deliveries().is_empty());
    until("the first one has let go of it", || first.check("sink.page").is_none());
    assert_eq!(first.stop(), Ended::Drained);
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!((stage.deliveries().len(), pager.look(|pages| pages.tries.len())), (1, 2));
}

// ------------------------------------------------------------------ a lease that nobody can see

#[test]
fn h1_a_lease_store_that_hangs_holds_up_no_cycle() {
    let stage = stage();
    let first = stage.start("a");
    works(&first);
    stage.desk.change(|book| book.hung = true);
    until("it works on by what the journal shows", || first.shared().stats().lease_proofs >= 4);
    stage.tape().cycles(0..4);
    stage.decided(3);
    assert_eq!((first.role(), first.check("lease")), (Role::Active, Some(false)), "and says so");
    stage.desk.change(|book| book.hung = false);
    until("the lease is in sight again", || first.check("lease") == Some(true));
    assert_eq!(first.shared().view().epoch, Epoch(1));
    assert_eq!(first.stop(), Ended::Drained);
}

#[test]
fn h1_a_takeover_is_seen_in_any_stream_not_only_in_the_first() {
    let mut stage = stage();
    for name in 0..20 {
        stage.watches.push((settings(&format!("x{name:02}")), Arc::default()));
    }
    let first = stage.start("a");
    works(&first);
    stage.desk.change(|book| book.hung = true);
    until("it works on by what the journal shows", || first.shared().stats().lease_proofs >= 4);
    // By a node that does not have the first watch; nothing is to be appended that could collide.
    usurp(&mut stage.journal.clone(), &StreamName::watch(&"x19".into()));
    assert!(matches!(first.end(), Ended::Fenced(_)));
}

#[test]
fn h1_out_of_sight_of_lease_and_journal_a_node_stands_by_and_comes_back() {
    let stage = stage();
    let first = stage.start("a");
    works(&first);
    stage.tape().cycles(0..4);
    stage.decided(3);
    stage.desk.change(|book| book.hung = true);
    stage.journal.unreadable(Some("no route to the store".into()));
    until("it stands by", || first.role() == Role::Standby);
    assert_eq!(first.shared().stats().lease_lapses, 1);
    stage.tape().cycles(4..6);
    stage.journal.unreadable(None);
    stage.desk.change(|book| book.hung = false);
    works(&first);
    stage.tape().cycles(6..8);
    stage.decided(7);
    assert_eq!(first.shared().view().epoch, Epoch(2));
    assert_eq!(first.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
}

#[test]
fn h1_on_lost_yield_stops_before_the_lease_can_have_run_out() {
    let mut stage = stage();
    stage.bounds.on_lost = OnLost::Yield;
    let first = stage.start("a");
    works(&first);
    stage.tape().cycles(0..4);
    stage.decided(3);
    stage.desk.change(|book| book.broken = Some("no such host".into()));
    until("it stands by", || first.role() == Role::Standby);
    let before = stage.records().len();
    stage.tape().cycles(4..8);
    until("it is asked again and again", || first.shared().stats().lease_errors >= 6);
    assert_eq!(stage.records().len(), before, "nothing is appended without the lease");
    stage.desk.change(|book| book.broken = None);
    works(&first);
    stage.decided(7);
    assert_eq!(first.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
}

#[test]
fn h1_held_up_for_longer_than_a_ttl_and_not_replaced_a_node_goes_on_in_its_epoch() {
    // As after SIGSTOP or a suspended host: the clock has run, nobody has taken over.
    let stage = stage();
    let first = stage.start("a");
    works(&first);
    first.gate.set(Pass::Hang);
    stage.tape().cycles(0..4);
    until("the append hangs", || first.gate.waiting() == 1);
    let shown = stage.desk.renewals_of("a");
    std::thread::sleep(stage.bounds.lease_ttl * 2);
    assert!(stage.desk.renewals_of("a") <= shown + 1, "a loop that hangs shows no progress (H2)");
    first.gate.set(Pass::Go);
    stage.decided(3);
    assert_eq!((first.role(), first.shared().view().epoch), (Role::Active, Epoch(1)));
    assert_eq!(first.stop(), Ended::Drained);
}

#[test]
fn h2_a_slow_journal_is_progress_all_the_same() {
    let stage = stage();
    stage.tape().change(|reel| reel.batch = Some(3));
    let first = stage.start("a");
    works(&first);
    first.gate.set(Pass::Slow(Duration::from_millis(50)));
    stage.tape().cycles(0..30);
    stage.decided(29);
    assert_eq!((first.role(), first.shared().view().epoch), (Role::Active, Epoch(1)));
    assert_eq!(first.shared().stats().lease_lapses, 0);
    assert_eq!(first.stop(), Ended::Drained);
}
