//! Sources that hang, fail, or are never there: silence is decided on time (W3).

use std::time::Duration;

use hb_core::time::SECOND_NS;
use hb_core::watch::decision::Status;
use hb_daemon::Ended;

use super::stage::{Actor, Stage, brisk, settings, until};

fn stage() -> Stage {
    let mut stage = Stage::new(brisk("w"));
    stage.bounds.source_stall = Duration::from_millis(300);
    stage
}

fn silent(stage: &Stage) -> usize {
    stage.cycles().iter().filter(|cycle| cycle.decision.status == Status::NoData).count()
}

/// No cycle is decided more than this after its end, even where the source does not answer at all.
const ON_TIME_NS: i64 = 5 * SECOND_NS;

fn on_time(stage: &Stage) {
    for sealed in stage.records() {
        if let hb_core::node::fact::Body::CycleDecided(decided) = &sealed.record.body {
            let late = sealed.record.at.since_ns(decided.decision.span.end);
            assert!(late < ON_TIME_NS, "cycle {} was decided {late} ns after its end", decided.decision.cycle);
        }
    }
}

/// Waits for silence to be decided and told, lets the source answer, and waits until it is used again.
fn recovers(stage: &Stage, node: Actor, heal: impl FnOnce()) {
    let before = silent(stage);
    until("silence is decided", || silent(stage) >= before + 4);
    until("the check of the source is down", || node.check("source.w") == Some(false));
    on_time(stage);
    let seen = stage.cycles().len();
    heal();
    until("the source is used again", || {
        stage.tape().now();
        stage.cycles().iter().skip(seen).any(|cycle| cycle.decision.counts.window.samples > 0)
    });
    until("the check of the source holds", || node.check("source.w") == Some(true));
    assert_eq!(node.stop(), Ended::Drained);
    on_time(stage);
}

#[test]
fn w3_a_source_that_hangs_yields_silent_cycles_on_time_and_is_used_when_it_answers() {
    let stage = stage();
    let node = stage.start_active("a");
    stage.tape().now();
    stage.decided(1);
    stage.tape().hang("a");
    recovers(&stage, node, || stage.tape().change(|reel| reel.hung.clear()));
}

#[test]
fn w3_a_source_that_hangs_from_the_first_read_yields_silent_cycles() {
    let stage = stage();
    stage.tape().hang("a");
    let node = stage.start_active("a");
    recovers(&stage, node, || stage.tape().change(|reel| reel.hung.clear()));
}

#[test]
fn w3_a_source_that_fails_to_read_yields_silent_cycles() {
    let stage = stage();
    let node = stage.start_active("a");
    stage.tape().now();
    stage.decided(1);
    stage.tape().change(|reel| reel.no_read = Some("the mount is gone".into()));
    until("the reason is told", || node.what("source.w") == "the mount is gone");
    recovers(&stage, node, || stage.tape().change(|reel| reel.no_read = None));
}

#[test]
fn w3_a_source_that_cannot_be_opened_yields_silent_cycles() {
    let stage = stage();
    stage.tape().change(|reel| reel.no_open = Some("no such file".into()));
    let node = stage.start_active("a");
    recovers(&stage, node, || stage.tape().change(|reel| reel.no_open = None));
}

#[test]
fn w3_a_source_that_cannot_be_sought_yields_silent_cycles() {
    let stage = stage();
    stage.tape().change(|reel| reel.no_seek = Some("no such place".into()));
    let node = stage.start_active("a");
    recovers(&stage, node, || stage.tape().change(|reel| reel.no_seek = None));
}

#[test]
fn w3_a_busy_source_does_not_hide_that_another_one_hangs() {
    let mut stage = stage();
    stage.watches.push((settings("busy"), std::sync::Arc::default()));
    stage.watches[1].1.change(|reel| reel.endless = true);
    stage.tape().hang("a");
    let node = stage.start_active("a");
    until("the other source is busy", || stage.watches[1].1.given_to("a") > 100);
    recovers(&stage, node, || stage.tape().change(|reel| reel.hung.clear()));
}

#[test]
fn b1_a_node_ends_although_its_source_hangs() {
    let stage = stage();
    stage.tape().hang("a");
    let node = stage.start_active("a");
    until("the source hangs", || stage.tape().look(|reel| reel.hanging) > 0);
    assert_eq!(node.stop(), Ended::Drained);
}

#[test]
fn b1_orders_to_a_hung_source_hold_nobody_up() {
    let stage = Stage::new(settings("w"));
    let (first, second) = (stage.start_active("a"), stage.start("b"));
    stage.tape().cycles(0..2);
    stage.decided(1);
    stage.tape().hang("b");
    // Every cycle is an order to the standby's feeder, far more than wait at a time.
    for cycle in 2..60 {
        stage.tape().cycles(cycle..cycle + 1);
        stage.decided(usize::try_from(cycle).unwrap());
        let newest = stage.cycles().last().map(|cycle| cycle.decision.cycle);
        until("the standby reads along", || second.cycle() == newest);
    }
    until("the standby's source hangs", || stage.tape().look(|reel| reel.hanging) == 1);
    assert_eq!(first.stop(), Ended::Drained);
    stage.activate("b", &second);
    stage.tape().change(|reel| reel.hung.clear());
    stage.tape().cycles(60..62);
    stage.decided(61);
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(stage.digests(), stage.undisturbed());
}
