//! What becomes of appends: unknown ends, a full disk, a failed one, and other writers.

use std::time::Duration;

use hb_core::ids::StreamName;
use hb_daemon::Ended;
use hb_daemon::inbox::DATA_MAX;
use hb_store::journal::memory::Inject;

use super::stage::{Pass, Stage, settings, until, usurp};

fn one_unknown(outcome: Inject) {
    let stage = Stage::new(settings("w"));
    let node = stage.start_active("a");
    stage.tape().cycles(0..3);
    stage.decided(2);
    stage.journal.inject([outcome]);
    stage.tape().cycles(3..6);
    stage.decided(5);
    assert_eq!(node.appends("unknown"), 1);
    until("the check of the journal holds again", || node.check("journal") == Some(true));
    assert_eq!(node.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
    // One epoch opened, five cycles, one epoch closed: nothing twice.
    assert_eq!(stage.records().len(), 7);
}

#[test]
fn j5_an_unknown_append_that_was_done_stays_one_record() {
    one_unknown(Inject::UnknownButDone);
}

#[test]
fn j5_an_unknown_append_that_was_not_done_is_appended_once() {
    one_unknown(Inject::UnknownNotDone);
}

fn usurped(pass: Pass) {
    let stage = Stage::new(settings("w"));
    let node = stage.start_active("a");
    stage.tape().cycles(0..3);
    stage.decided(2);
    node.gate.set(pass);
    stage.tape().cycles(3..6);
    assert!(matches!(node.end(), Ended::Fenced(_)));
    let records = stage.records();
    let last = records.last().unwrap();
    assert_eq!((last.record.node.as_str(), last.record.epoch.0), ("usurper", 2), "nothing after it");
    assert_eq!(stage.cycles().len(), 2);
    assert_eq!(stage.desk.look(|book| book.released.clone()), ["a"]);
}

#[test]
fn h1_a_refused_append_fences() {
    usurped(Pass::Usurped);
}

#[test]
fn j5_an_unknown_append_where_another_record_stands_fences() {
    usurped(Pass::UsurpedInSilence);
}

#[test]
fn h1_a_record_of_another_node_fences_the_next_append() {
    let stage = Stage::new(settings("w"));
    let node = stage.start_active("a");
    usurp(&mut stage.journal.clone(), &StreamName::watch(&"w".into()));
    stage.tape().cycles(0..3);
    assert!(matches!(node.end(), Ended::Fenced(_)));
    assert!(stage.cycles().is_empty());
}

/// A stage whose journal is full, with a node that has noticed it and far more data than it may take.
fn full_disk(drain_max: Duration) -> (Stage, super::stage::Actor) {
    let mut stage = Stage::new(settings("w"));
    stage.bounds.drain_max = drain_max;
    stage.tape().change(|reel| reel.batch = Some(3));
    let node = stage.start_active("a");
    stage.tape().cycles(0..3);
    stage.decided(2);
    node.gate.set(Pass::Full);
    stage.tape().cycles(3..100);
    until("many appends have failed", || node.appends("failed") >= 5);
    until("the inbox is full", || node.shared().depth() == DATA_MAX as u64);
    assert_eq!(node.check("journal"), Some(false));
    assert!(node.what("journal").contains("no space"), "{}", node.what("journal"));
    (stage, node)
}

#[test]
fn b1_a_full_disk_stops_the_intake_and_nothing_is_lost_when_there_is_space_again() {
    let (stage, node) = full_disk(Duration::from_secs(20));
    let failed = node.appends("failed");
    until("more appends have failed", || node.appends("failed") >= failed + 5);
    // Taken before: 3 cycles and the one that met the full disk; the inbox; and one that waits for room.
    let given = stage.tape().given_to("a");
    assert!(given <= 4 + DATA_MAX + 1, "the source was read on: {given} batches");
    assert_eq!(stage.cycles().len(), 2);
    node.gate.set(Pass::Go);
    stage.decided(99);
    until("the check of the journal holds again", || node.check("journal") == Some(true));
    assert_eq!(node.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
}

#[test]
fn b1_a_stop_with_a_full_disk_ends_unfinished_and_the_next_node_goes_on() {
    let (stage, node) = full_disk(Duration::from_millis(300));
    let before = stage.records().len();
    let Ended::Unfinished(why) = node.stop() else { unreachable!("everything was written to a full disk") };
    assert!(why.contains("no space"), "{why}");
    assert_eq!(stage.records().len(), before);
    assert_eq!(stage.desk.look(|book| book.released.clone()), ["a"]);
    let next = stage.start_active("b");
    stage.decided(99);
    assert_eq!(next.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
}

#[test]
fn j3_a_journal_that_has_stopped_ends_the_node_and_gives_the_lease_back() {
    let stage = Stage::new(settings("w"));
    let node = stage.start_active("a");
    stage.tape().cycles(0..3);
    stage.decided(2);
    node.gate.set(Pass::Stopped);
    stage.tape().cycles(3..6);
    assert_eq!(node.end(), Ended::Unfinished("the stage's disk has failed".into()));
    assert_eq!(stage.cycles().len(), 2);
    assert_eq!(stage.desk.look(|book| book.released.clone()), ["a"]);
}
