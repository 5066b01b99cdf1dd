//! Standing by, taking over, and who is told what meanwhile.

use std::sync::Arc;

use hb_core::ids::Seq;
use hb_core::supervise::input::{Command, Declared, OnStop};
use hb_core::supervise::intervention::InterventionStatus;
use hb_core::supervise::{Presence, step::Why};
use hb_daemon::Ended;
use serde_json::json;

use super::stage::{Mood, Site, bounds, decision, let_go, process, spec, until};

#[test]
fn h4_a_standby_reads_along_refuses_politely_and_takes_over() {
    let site = Site::new();
    let left = site.node("left").works();
    left.ask(process("a")).unwrap();
    let right = site.node("right");
    until("it has read along", || right.office().picture().get().agents.all == 1);
    assert_eq!(right.office().picture().get().presence, Presence::Standby);
    let refusal = right.ask(process("b")).unwrap_err();
    assert_eq!((refusal.why, refusal.message.contains("stands by")), (Why::Conflict, true));
    until("a runs", || site.agent("a").is_some_and(|agent| agent.lifecycle.is_up()));
    assert_eq!(left.stop(), Ended::Drained);
    let right = right.works();
    until("a is adopted", || site.place("act adopt a").is_some());
    until("it is recovered", || right.office().picture().get().presence == Presence::Running);
    assert_eq!((site.openings(), right.office().picture().get().epoch.0), (2, 2));
    assert_eq!(site.get().log.iter().filter(|line| *line == "act spawn a").count(), 1);
    right.stop();
    assert_eq!(site.get().holder, None, "the lease is given back");
}

#[test]
fn h1_a_holder_that_was_replaced_answers_nobody_and_ends() {
    let site = Site::new();
    let node = site.node("left").works();
    site.usurp();
    let told = node.want(process("a"));
    let ended = node.ends();
    assert!(matches!(ended, Ended::Fenced(_)), "{ended:?}");
    assert!(let_go(&told));
    assert_eq!((site.place("act spawn a"), site.agent("a")), (None, None));
    // The same process, started again, stands by or goes on: here it goes on.
    let again = site.node("left").works();
    assert_eq!(again.office().picture().get().epoch.0, 3);
    again.ask(process("a")).unwrap();
    again.stop();
}

#[test]
fn h1_nobody_s_hand_is_taken_before_the_reign_is_on_record() {
    let site = Site::new();
    site.mood(Mood::Full);
    let node = site.node("left");
    until("the opening waits", || node.trouble("database").is_some());
    assert_eq!(site.place("hand"), None, "whoever writes meanwhile goes on acting");
    // And so it does: this one is refused, and has taken nothing.
    site.usurp();
    site.mood(Mood::Well);
    assert!(matches!(node.ends(), Ended::Fenced(_)));
    assert_eq!(site.place("hand"), None);
}

#[test]
fn what_cannot_be_read_for_a_moment_is_taken_over_later() {
    let site = Site::new();
    site.node("left").works().stop();
    // Once while it stands by, and once between the lease and the opening.
    for times in 1..=4 {
        site.mood(Mood::Unreadable(times));
        let node = site.node("left").works();
        assert_eq!(node.trouble("database"), None);
        node.stop();
    }
}

#[test]
fn what_was_read_again_while_standing_by_holds_from_the_takeover_on() {
    let site = Site::new();
    let left = site.node("left").works();
    let right = site.node("right");
    let agents = vec![Arc::new(spec("declared", json!({"process": {"command": ["x"]}})))];
    right.office().declare(Declared { agents, ..Declared::default() }).unwrap();
    left.stop();
    let right = right.works();
    until("it runs", || site.agent("declared").is_some_and(|agent| agent.lifecycle.is_up()));
    right.stop();
}

#[test]
fn a_standby_that_is_to_end_ends() {
    let site = Site::new();
    let left = site.node("left").works();
    let right = site.node("right");
    until("it stands by", || right.office().picture().get().presence == Presence::Standby);
    right.office().stop(OnStop::Stop, "asked to");
    assert_eq!(right.ends(), Ended::Drained);
    assert_eq!(site.openings(), 1);
    left.stop();
}

#[test]
fn s4_what_a_takeover_finds_in_doubt_is_told_to_people() {
    let site = Site::new();
    let left = site.node("left").works();
    let control = json!({"heartbeat": {"control": {"command": {"argv": ["ctl"], "idempotent": false}}}});
    left.ask(Command::RegisterAgent(Box::new(spec("once", control)))).unwrap();
    let wanted = json!({"intervention_type": "TASK_REASSIGN", "target_id": "once", "reason": "to see"});
    left.ask(Command::Intervene(serde_json::from_value(wanted).unwrap())).unwrap();
    left.stop();
    let right = site.node("right").works();
    let status = |site: &Site| site.fold().state.interventions.values().next().unwrap().status;
    assert_eq!(status(&site), InterventionStatus::InDoubt);
    until("people are told", || site.place("tell group/").is_some());
    right.stop();
}

#[test]
fn join_where_a_watch_is_begun_is_on_record_with_the_agent_that_names_it() {
    let site = Site::new();
    let watched = spec("a", json!({"process": {"command": ["x"]}, "watch": "w"}));
    let declared = Declared { agents: vec![Arc::new(watched)], ..Declared::default() };
    let decide = |seq| site.get().decisions.entry("w".into()).or_default().push(decision(seq, "FAIL"));
    decide(1);
    let left = site.node_with("left", declared.clone(), bounds()).works();
    until("the agent is known", || site.agent("a").is_some());
    let names = |sealed: &&hb_core::supervise::state::Sealed| !sealed.record.body.changes().agents.is_empty();
    let first = site.get().records.iter().find(names).unwrap().record.body.changes().cursors.clone();
    assert_eq!(
        first.get(&"w".into()).and_then(|cursor| cursor.map(|cursor| cursor.seq)),
        Some(Seq(1)),
        "in one record"
    );
    // What is decided while no node runs is neither skipped by the next start nor taken in twice by the one after.
    assert_eq!(left.stop(), Ended::Drained);
    decide(2);
    decide(3);
    let consecutive = |site: &Site| site.agent("a").map_or(0, |agent| agent.anomaly.consecutive);
    for _ in 0..2 {
        let next = site.node_with("next", declared.clone(), bounds()).works();
        until("both are read", || consecutive(&site) >= 2);
        assert_eq!(next.stop(), Ended::Drained);
        assert_eq!(consecutive(&site), 2);
    }
}

#[test]
fn each_decision_is_taken_in_once_across_nodes() {
    let site = Site::new();
    let watched = json!({"process": {"command": ["x"]}, "watch": "w"});
    let left = site.node("left").works();
    left.ask(Command::RegisterAgent(Box::new(spec("a", watched)))).unwrap();
    until("it is on record where the watch is begun", || site.fold().state.cursors.contains(&"w".into()));
    site.get().decisions.entry("w".into()).or_default().extend([decision(1, "FAIL"), decision(2, "FAIL")]);
    let consecutive = |site: &Site| site.agent("a").map_or(0, |agent| agent.anomaly.consecutive);
    until("both were read", || consecutive(&site) == 2);
    left.stop();
    site.get().asked.clear();
    site.get().decisions.entry("w".into()).or_default().push(decision(3, "FAIL"));
    let right = site.node("right").works();
    until("the third was read", || consecutive(&site) == 3);
    assert_eq!(site.get().asked[0], ("w".into(), Some(Seq(2))), "it goes on from the state");
    // What is wrong with a journal is told as long as somebody listens to it.
    site.get().decisions_broken = true;
    until("it is told", || right.trouble("watch.w").is_some());
    let deaf = json!({"process": {"command": ["x"]}});
    right.ask(Command::RespecifyAgent { spec: Box::new(spec("a", deaf)), expect: None }).unwrap();
    until("nobody listens", || right.trouble("watch.w").is_none());
    right.stop();
}
