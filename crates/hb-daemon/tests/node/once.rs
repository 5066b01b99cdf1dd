//! Reading a recording to its end, and how much of a journal stays.

use std::sync::Arc;

use hb_actuators::Delivery;
use hb_core::ids::{Seq, StreamName};
use hb_core::node::fact::Body;
use hb_core::watch::settings::AlertOn;
use hb_daemon::{Ended, Mode};
use hb_store::port::Journal as _;

use super::stage::{Pager, Stage, kinds, settings, until};

#[test]
fn w1_once_ends_by_itself_with_every_sample_decided_shown_and_told() {
    let mut settings = settings("w");
    settings.alert.on = AlertOn::Every;
    settings.alert.sinks = vec!["page".into()];
    let mut stage = Stage::new(settings);
    stage.mode = Mode::Once;
    let pager = Pager::new("page");
    let why = "busy".to_owned();
    pager.change(|pages| pages.answers.push_back(Delivery::Retry { why, after: None }));
    stage.sinks = vec![Arc::clone(&pager)];
    stage.tape().change(|reel| {
        reel.complete = true;
        reel.batch = Some(7);
    });
    stage.tape().cycles(0..200);
    let node = stage.start("a");
    let screen = node.screen.clone();
    stage.desk.grant("a");
    assert_eq!(node.end(), Ended::Drained);
    let cycles = stage.cycles();
    assert_eq!(cycles.len(), 200);
    assert_eq!(cycles.iter().map(|cycle| cycle.decision.counts.window.samples).sum::<u64>(), 600);
    assert!(cycles.last().unwrap().resume.ended);
    assert!(screen.shows(&stage.records()), "a recording's views are complete when the node ends");
    let keys: Vec<String> = (0..200).map(|cycle| format!("w/{cycle}")).collect();
    assert_eq!(pager.look(|pages| pages.taken.clone()), keys);
    assert_eq!(stage.deliveries().len(), 200);
    assert!(matches!(stage.records().last().unwrap().record.body, Body::EpochClosed { .. }));
}

#[test]
fn w1_once_waits_for_every_source() {
    let mut stage = Stage::new(settings("w"));
    stage.mode = Mode::Once;
    stage.watches.push((settings("v"), Arc::default()));
    stage.watches[1].1.cycles(0..3);
    stage.watches[1].1.change(|reel| reel.complete = true);
    let node = stage.start_active("a");
    let second = || kinds(&stage.records_of(&"v".into())).get("cycle_decided").copied();
    until("the second is decided to its end", || second() == Some(3));
    stage.tape().cycles(0..2);
    stage.decided(1);
    stage.tape().change(|reel| reel.complete = true);
    assert_eq!(node.end(), Ended::Drained);
    assert_eq!(stage.cycles().len(), 2);
}

#[test]
fn b1_the_journal_keeps_what_is_needed_and_never_loses_the_newest() {
    let mut stage = Stage::new(settings("w"));
    stage.bounds.journal_records = 1;
    let node = stage.start_active("a");
    stage.tape().cycles(0..1_001);
    until("everything is decided", || node.cycle().is_some_and(|cycle| cycle.0 == 999));
    let stats = node.shared().stats();
    assert_eq!(node.stop(), Ended::Drained);
    let stream = StreamName::watch(&"w".into());
    let floor = stage.journal.floor(&stream).unwrap();
    assert_eq!(stats.trimmed, floor.0, "what went is counted");
    // Never fewer than 500, whatever the bound says; a trim every 64 cycles.
    let left = stage.records();
    assert!((500..500 + 64 + 3).contains(&left.len()), "{} records stay", left.len());
    assert_eq!(left[0].record.seq, floor);
    assert_eq!(left.last().unwrap().record.seq, Seq(1_001));
    // The next node finds all that it needs.
    let next = stage.start_active("b");
    stage.tape().cycles(1_001..1_003);
    until("the next cycles are decided", || next.cycle().is_some_and(|cycle| cycle.0 == 1_001));
    assert_eq!(next.stop(), Ended::Drained);
    let digests = stage.digests();
    let undisturbed = stage.undisturbed();
    assert_eq!(digests, undisturbed[undisturbed.len() - digests.len()..]);
}
