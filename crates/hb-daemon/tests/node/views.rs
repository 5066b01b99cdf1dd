//! Views: everything durable is shown, nothing else is, and whoever looks on holds nobody up. That a view never sees a record
//! that is not durable, or another baseline than the cycle's own, is checked by the stage at every showing.

use std::sync::Arc;

use hb_daemon::Ended;

use super::stage::{Pager, Stage, kinds, settings, until};

#[test]
fn b1_slow_views_delay_no_cycle_and_are_caught_up_with() {
    let stage = Stage::new(settings("w"));
    let node = stage.start_active("a");
    stage.tape().change(|reel| reel.batch = Some(3));
    node.screen.change(|picture| picture.held = true);
    stage.tape().cycles(0..201);
    stage.decided(200);
    assert!(!node.screen.shows(&stage.records()));
    let behind = || node.shared().stats().view_errors.get("behind").copied();
    assert_eq!(behind(), Some(1), "falling behind is counted");
    let before = node.screen.look(|picture| picture.caught_up);
    node.screen.change(|picture| picture.held = false);
    until("everything is shown", || node.screen.shows(&stage.records()));
    assert!(node.screen.look(|picture| picture.caught_up) > before);
    assert_eq!(node.stop(), Ended::Drained);
}

#[test]
fn b1_every_watch_that_fell_behind_is_caught_up_with() {
    let mut stage = Stage::new(settings("w"));
    stage.watches.push((settings("v"), Arc::default()));
    let node = stage.start_active("a");
    node.screen.change(|picture| picture.held = true);
    for (_, tape) in &stage.watches {
        tape.cycles(0..101);
    }
    let both = || [stage.records(), stage.records_of(&"v".into())];
    until("both are decided", || both().iter().all(|records| kinds(records).get("cycle_decided") == Some(&100)));
    node.screen.change(|picture| picture.held = false);
    until("everything of both is shown", || both().iter().all(|records| node.screen.shows(records)));
    assert_eq!(node.stop(), Ended::Drained);
}

#[test]
fn w6_failing_views_are_counted_and_delay_no_cycle() {
    let stage = Stage::new(settings("w"));
    let node = stage.start_active("a");
    node.screen.change(|picture| picture.faulty = true);
    stage.tape().cycles(0..11);
    stage.decided(10);
    until("faults are counted", || node.shared().stats().view_errors.get("screen").is_some_and(|count| *count >= 10));
    until("readiness says so", || node.check("view.screen") == Some(false));
    node.screen.change(|picture| picture.faulty = false);
    until("readiness says that it is over", || node.check("view.screen") == Some(true));
    assert_eq!(node.stop(), Ended::Drained);
    // What could not be shown is, at the next start.
    let next = stage.start_active("b");
    until("everything is shown", || next.screen.shows(&stage.records()));
    assert_eq!(next.stop(), Ended::Drained);
}

#[test]
fn w6_records_of_every_kind_are_shown() {
    let mut settings = settings("w");
    settings.alert.sinks = vec!["page".into()];
    settings.learn.auto = true;
    settings.learn.cycles = 4;
    settings.learn.samples_min = 1;
    settings.learn.unstable_share_max = 1.0;
    let mut stage = Stage::new(settings);
    stage.sinks = vec![Pager::new("page")];
    let node = stage.start_active("a");
    stage.tape().cycles(0..9);
    until("one of each but the last", || kinds(&stage.records()).len() == 4);
    stage.decided(8);
    until("told", || !stage.deliveries().is_empty());
    let screen = node.screen.clone();
    assert_eq!(node.stop(), Ended::Drained);
    let all = ["alert_delivered", "baseline_adopted", "cycle_decided", "epoch_closed", "epoch_opened"];
    assert!(kinds(&stage.records()).keys().eq(all.iter()));
    assert!(screen.shows(&stage.records()), "everything was shown before the node ended");
    assert!(screen.look(|picture| picture.kinds.clone()).iter().eq(all.iter()), "and each kind by itself");
}
