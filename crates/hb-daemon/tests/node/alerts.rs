//! Alerts: after their record, at least once, until they are taken or given up (W6). That no sink is ever told of what is
//! not durable is checked by the stage itself, at every delivery.

use std::sync::Arc;
use std::time::Duration;

use hb_actuators::Delivery;
use hb_core::ids::CycleNo;
use hb_core::node::fact::Body;
use hb_core::watch::settings::AlertOn;
use hb_daemon::Ended;

use super::stage::{Pager, Stage, settings, until};

fn stage(on: AlertOn) -> (Stage, Arc<Pager>) {
    let mut settings = settings("w");
    settings.alert.on = on;
    settings.alert.sinks = vec!["page".into()];
    let mut stage = Stage::new(settings);
    let pager = Pager::new("page");
    stage.sinks = vec![Arc::clone(&pager)];
    (stage, pager)
}

fn retry(after: Duration) -> Delivery {
    Delivery::Retry { why: "nobody is in".into(), after: Some(after) }
}

#[test]
fn w6_an_alert_is_delivered_after_its_record_and_its_delivery_is_recorded() {
    let (stage, pager) = stage(AlertOn::Every);
    let node = stage.start_active("a");
    stage.tape().cycles(0..4);
    until("deliveries are recorded", || stage.deliveries().len() == 3);
    assert_eq!(node.stop(), Ended::Drained);
    assert_eq!(pager.look(|pages| pages.tries.clone()), ["w/0", "w/1", "w/2"]);
    assert!(stage.deliveries().iter().all(|one| one.sink == "page" && one.tries == 1 && one.given_up.is_none()));
    // The record of a cycle names the alert, the record of its delivery comes after it.
    let place = |wanted: &dyn Fn(&Body) -> bool| stage.records().iter().position(|sealed| wanted(&sealed.record.body));
    let made = place(&|body| matches!(body, Body::CycleDecided(one) if one.decision.cycle.0 == 1));
    let told = place(&|body| matches!(body, Body::AlertDelivered(one) if one.cycle.0 == 1));
    assert!(made.is_some() && made < told);
}

#[test]
fn w6_alerts_found_undelivered_at_the_start_are_delivered_with_their_keys() {
    let (mut stage, pager) = stage(AlertOn::Transitions);
    stage.tries_max = 1_000;
    pager.change(|pages| pages.answers.extend([retry(Duration::from_secs(3_600))]));
    let first = stage.start_active("a");
    stage.tape().cycles(0..3);
    stage.decided(2);
    until("it was tried", || !pager.look(|pages| pages.tries.is_empty()));
    until("it is told that it waits", || first.check("sink.page") == Some(false));
    assert_eq!(first.stop(), Ended::Drained);
    assert!(stage.deliveries().is_empty());
    let second = stage.start_active("b");
    until("its delivery is recorded", || stage.deliveries().len() == 1);
    assert_eq!(second.stop(), Ended::Drained);
    assert_eq!(pager.look(|pages| pages.tries.clone()), ["w/0", "w/0"]);
    assert_eq!(pager.look(|pages| pages.taken.clone()), ["w/0"]);
    // A third one finds nothing left to tell.
    let third = stage.start_active("c");
    stage.tape().cycles(3..5);
    stage.decided(4);
    assert_eq!(third.stop(), Ended::Drained);
    assert_eq!(pager.look(|pages| pages.tries.len()), 2);
}

#[test]
fn w6_a_failing_sink_is_tried_again_and_taken_when_it_answers() {
    let (stage, pager) = stage(AlertOn::Transitions);
    pager.change(|pages| pages.answers.extend([retry(Duration::ZERO), retry(Duration::ZERO)]));
    let node = stage.start_active("a");
    stage.tape().cycles(0..2);
    until("its delivery is recorded", || stage.deliveries().len() == 1);
    let delivered = stage.deliveries().remove(0);
    assert_eq!((delivered.tries, delivered.given_up), (3, None));
    until("the check of the sink holds", || node.check("sink.page") == Some(true));
    let deliveries = node.shared().stats().deliveries;
    assert_eq!(deliveries.get(&("page".into(), "retried")), Some(&2));
    assert_eq!(deliveries.get(&("page".into(), "delivered")), Some(&1));
    assert_eq!(node.stop(), Ended::Drained);
}

#[test]
fn w6_a_sink_that_keeps_failing_is_given_up_and_that_is_told() {
    let (mut stage, pager) = stage(AlertOn::Every);
    stage.tries_max = 2;
    pager.change(|pages| pages.answers.extend([retry(Duration::ZERO), retry(Duration::ZERO)]));
    let node = stage.start_active("a");
    stage.tape().cycles(0..2);
    until("giving up is recorded", || stage.deliveries().len() == 1);
    let given_up = stage.deliveries().remove(0);
    assert_eq!(given_up.tries, 2);
    assert!(given_up.given_up.is_some_and(|why| why.contains("nobody is in")));
    assert_eq!(node.check("sink.page"), Some(false));
    assert_eq!(node.shared().stats().deliveries.get(&("page".into(), "given_up")), Some(&1));
    // The next one is delivered, and then all is well again.
    stage.tape().cycles(2..3);
    until("the next one is delivered", || pager.look(|pages| pages.taken.clone()) == ["w/1"]);
    until("the check of the sink holds", || node.check("sink.page") == Some(true));
    assert_eq!(node.stop(), Ended::Drained);
}

#[test]
fn w6_a_sink_that_says_never_is_not_tried_again() {
    let (stage, pager) = stage(AlertOn::Transitions);
    pager.change(|pages| pages.answers.push_back(Delivery::GiveUp { why: "no such address".into() }));
    let node = stage.start_active("a");
    stage.tape().cycles(0..2);
    until("giving up is recorded", || stage.deliveries().len() == 1);
    assert_eq!(stage.deliveries()[0].given_up.as_deref(), Some("no such address"));
    assert_eq!(node.stop(), Ended::Drained);
    assert_eq!(pager.look(|pages| pages.tries.len()), 1);
}

#[test]
fn w6_a_sink_that_is_not_configured_is_given_up_and_recorded() {
    let (mut stage, pager) = stage(AlertOn::Transitions);
    stage.watches[0].0.alert.sinks.push("gone".into());
    let node = stage.start_active("a");
    stage.tape().cycles(0..2);
    until("both ends are recorded", || stage.deliveries().len() == 2);
    assert_eq!(node.stop(), Ended::Drained);
    let gone = stage.deliveries().into_iter().find(|one| one.sink == "gone").unwrap();
    assert!(gone.given_up.is_some_and(|why| why.contains("no sink of that name")));
    assert_eq!(pager.look(|pages| pages.taken.clone()), ["w/0"]);
}

#[test]
fn b1_alerts_beyond_a_sinks_room_stay_in_the_journal_and_are_delivered_in_order() {
    let (stage, pager) = stage(AlertOn::Every);
    pager.change(|pages| pages.held = true);
    let node = stage.start_active("a");
    stage.tape().cycles(0..271);
    until("all are decided", || node.cycle() == Some(CycleNo(269)));
    until("the sink is told to be full", || node.what("sink.page").contains("too many alerts wait"));
    pager.change(|pages| pages.held = false);
    until("nothing is under way", || node.shared().view().watches[0].undelivered == 0);
    assert_eq!(node.stop(), Ended::Drained);
    let keys: Vec<String> = (0..270).map(|cycle| format!("w/{cycle}")).collect();
    assert_eq!(pager.look(|pages| pages.tries.clone()), keys, "each once, in order");
    assert_eq!(stage.deliveries().len(), 270);
}
