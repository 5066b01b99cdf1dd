//! Standing by, and taking over where the other one stopped.

use hb_core::ids::{CycleNo, Epoch};
use hb_core::node::view::Role;
use hb_daemon::Ended;

use super::stage::{Pass, Stage, settings, until};

#[test]
fn h4_a_standby_reads_along_and_appends_nothing() {
    let stage = Stage::new(settings("w"));
    let (first, second) = (stage.start_active("a"), stage.start("b"));
    stage.tape().cycles(0..6);
    until("the standby sees the newest cycle", || second.cycle() == Some(CycleNo(4)));
    assert_eq!(second.role(), Role::Standby);
    assert_eq!(second.shared().view().epoch, Epoch(1));
    assert!(stage.records().iter().all(|sealed| sealed.record.node.as_str() == "a"));
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(first.stop(), Ended::Drained);
}

#[test]
fn h3_a_standby_goes_on_where_a_hung_holder_stopped_and_the_holder_is_fenced() {
    let stage = Stage::new(settings("w"));
    let (first, second) = (stage.start_active("a"), stage.start("b"));
    stage.tape().cycles(0..4);
    stage.decided(3);
    first.gate.set(Pass::Hang);
    stage.tape().cycles(4..8);
    until("the holder hangs", || first.gate.waiting() == 1);
    stage.activate("b", &second);
    stage.decided(7);
    first.gate.set(Pass::Go);
    assert!(matches!(first.end(), Ended::Fenced(_)));
    stage.tape().cycles(8..10);
    stage.decided(9);
    assert_eq!(second.shared().stats().takeovers, 1);
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
    let writers: Vec<_> = stage.records().iter().map(|sealed| sealed.record.epoch).collect();
    assert!(writers.is_sorted() && writers.last() == Some(&Epoch(2)), "{writers:?}");
}

#[test]
fn h4_samples_observed_while_standing_by_are_counted_after_the_takeover() {
    let stage = Stage::new(settings("w"));
    stage.tape().change(|reel| {
        reel.observed = true;
        reel.batch = Some(1);
    });
    let (first, second) = (stage.start_active("a"), stage.start("b"));
    until("both observe what comes", || stage.tape().look(|reel| reel.opened.len()) == 2);
    // Cycle 2 stays open: what the standby has seen of it can be seen by nobody again.
    stage.tape().cycles(0..3);
    stage.decided(2);
    until("the standby has observed it all", || stage.tape().read_by("b") == 9);
    until("the standby knows what is decided", || second.cycle() == Some(CycleNo(1)));
    assert_eq!(first.stop(), Ended::Drained);
    stage.activate("b", &second);
    stage.tape().cycles(3..4);
    stage.decided(3);
    assert_eq!(second.stop(), Ended::Drained);
    let counts: Vec<u64> = stage.cycles().iter().map(|cycle| cycle.decision.counts.window.samples).collect();
    assert_eq!(counts, [3, 3, 3]);
}

#[test]
fn h4_samples_observed_before_anything_was_decided_are_counted_after_the_takeover() {
    let stage = Stage::new(settings("w"));
    stage.tape().change(|reel| reel.observed = true);
    let node = stage.start("a");
    until("it observes what comes", || stage.tape().look(|reel| reel.opened.len()) == 1);
    stage.tape().cycles(0..1);
    until("it has observed it", || stage.tape().read_by("a") == 3);
    stage.activate("a", &node);
    stage.tape().cycles(1..2);
    stage.decided(1);
    assert_eq!(node.stop(), Ended::Drained);
    assert_eq!(stage.cycles()[0].decision.counts.window.samples, 3);
}

#[test]
fn h3_a_node_that_is_overtaken_stands_by_again_and_can_take_over_later() {
    let stage = Stage::new(settings("w"));
    let first = stage.start_active("a");
    stage.tape().cycles(0..4);
    stage.decided(3);
    assert_eq!(first.stop(), Ended::Drained);
    let second = stage.start("b");
    second.gate.set(Pass::Usurped);
    stage.desk.grant("b");
    until("the lease is given back", || stage.desk.look(|book| book.released.contains(&"b".into())));
    until("it stands by", || second.role() == Role::Standby);
    until("it has read what the other one wrote", || second.shared().view().epoch == Epoch(2));
    assert!(stage.records().iter().all(|sealed| sealed.record.node.as_str() != "b"));
    stage.activate("b", &second);
    stage.tape().cycles(4..8);
    stage.decided(7);
    assert_eq!(second.shared().view().epoch, Epoch(3));
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
}

#[test]
fn h3_overtaken_while_learning_the_same_baseline_is_learned() {
    let mut learning = settings("w");
    learning.learn.auto = true;
    learning.learn.cycles = 6;
    learning.learn.samples_min = 1;
    learning.learn.unstable_share_max = 1.0;
    let stage = Stage::new(learning);
    let first = stage.start_active("a");
    stage.tape().cycles(0..4);
    stage.decided(3);
    assert_eq!(first.stop(), Ended::Drained);
    let second = stage.start("b");
    second.gate.set(Pass::UsurpedInSilence);
    stage.desk.grant("b");
    until("the lease is given back", || stage.desk.look(|book| book.released.contains(&"b".into())));
    stage.activate("b", &second);
    stage.tape().cycles(4..12);
    stage.decided(11);
    assert_eq!(second.stop(), Ended::Drained);
    let learned = stage.cycles().iter().position(|cycle| cycle.decision.baseline.is_some());
    assert_eq!(learned, Some(6));
    assert_eq!(stage.digests(), stage.undisturbed());
}

#[test]
fn h3_a_standby_that_is_told_to_stop_ends() {
    let stage = Stage::new(settings("w"));
    assert_eq!(stage.start("a").stop(), Ended::Drained);
    assert!(stage.records().is_empty());
}
