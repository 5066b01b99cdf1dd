//! Which alerts are told as one, across crashes and pauses; what goes up the tree; what a watch says about an agent.

use super::house::{House, told};
use super::stage::spec;
use hb_core::ids::{CycleNo, Seq};
use hb_core::supervise::alert::{Concern, Severity};
use hb_core::supervise::bounds::GROUP_ALERTS_MAX;
use hb_core::supervise::input::{Command, Decision, Input};
use hb_core::time::Stamp;
use serde_json::{Value, json};

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

fn telling(name: &str, when: &str) -> Value {
    json!({"name": name, "when": when, "actions": [{"type": "notify", "reason": "it matched"}]})
}

fn all_die(house: &mut House) {
    let exits = FIVE.iter().map(|id| house.exit(id)).collect();
    house.say_all(exits);
}

#[test]
fn a7_deaths_of_a_moment_are_one_group_and_one_evaluation_whatever_happens_to_hb() {
    for crash in [false, true] {
        let mut house = House::with(json!({"mass_agents": 5, "mass_window": 2.0}), &FIVE);
        house.policy(telling("many", "alert.kind == \"mass\""), &["main"]);
        house.policy(telling("single", "alert.kind == \"died\""), &["main"]);
        all_die(&mut house);
        assert_eq!(house.open_groups().len(), 5);
        assert!(house.fired().is_empty(), "they are gathered first");
        let first = house.group("a_died").first_alert_at;
        if crash {
            house.crash();
        }
        house.pass(2);
        assert_eq!(house.open_groups(), ["main/mass_died"], "crash: {crash}");
        let mass = house.group("main/mass_died").clone();
        assert_eq!((mass.alert_count, mass.affected_agents.len(), mass.concern), (5, 5, Concern::Mass));
        assert_eq!(mass.alert_ids.len(), 5);
        assert_eq!(house.fired(), [("many", Some(&mass.id))], "crash: {crash}");
        assert!(mass.first_alert_at >= first);
        house.crash();
        house.pass(5);
        assert_eq!(house.fired().len(), 1, "a group is evaluated once");
    }
}

#[test]
fn fewer_deaths_than_many_are_told_each_for_itself() {
    let mut house = House::with(json!({"mass_agents": 5, "mass_window": 2.0}), &FIVE);
    house.policy(telling("single", "alert.kind == \"died\""), &["main"]);
    house.dies("a");
    // The same agent, again and again, is one agent.
    for _ in 0..5 {
        house.pass(0);
        house.spawned("a");
        if house.of("a").process.identity().is_some() {
            house.dies("a");
        }
    }
    house.dies("b");
    house.pass(2);
    let mut open = house.open_groups();
    open.sort();
    assert_eq!(open, ["a_died", "b_died"]);
    assert_eq!(house.fired().len(), 2);
}

#[test]
fn a_group_about_many_is_over_once_all_of_them_are_well_again() {
    for crash in [false, true] {
        let mut house = House::with(json!({"mass_agents": 5, "mass_window": 1.0}), &FIVE);
        all_die(&mut house);
        house.pass(1);
        for id in &FIVE[..4] {
            house.runs(id);
        }
        house.pass(61);
        assert_eq!(house.open_groups(), ["main/mass_died"], "e is not well");
        house.runs("e");
        if crash {
            house.crash();
            FIVE.iter().for_each(|id| house.adopted(id));
        }
        house.pass(61);
        assert_eq!(house.open_groups(), [""; 0], "crash: {crash}");
        house.pass(1);
        assert!(house.group("main/mass_died").resolved_at.is_some());
    }
}

#[test]
fn a7_a_group_goes_on_after_a_crash_with_its_first_stamp_and_opens_anew_with_another_key() {
    let mut house = House::with(json!({}), &["a"]);
    house.policy(telling("p", "alert.severity in [\"ERROR\", \"CRITICAL\"]"), &["main"]);
    house.alert("a", Severity::Error);
    let before = house.group("a_anomaly").clone();
    house.pass(100);
    house.crash();
    house.alert("a", Severity::Error);
    let after = house.group("a_anomaly").clone();
    assert_eq!((after.id.clone(), after.first_alert_at, after.alert_count), (before.id, before.first_alert_at, 2));
    assert_eq!(house.fired().len(), 1);
    house.alert("a", Severity::Critical);
    assert_eq!(house.fired().len(), 2, "it has become worse");
    // The window counts from the newest alert, and is not begun anew by a crash.
    house.pass(200);
    house.crash();
    house.pass(99);
    assert_eq!(house.open_groups(), ["a_anomaly"]);
    house.pass(1);
    assert_eq!(house.open_groups(), [""; 0]);
    house.alert("a", Severity::Error);
    assert_ne!(house.group("a_anomaly").id, after.id);
    assert_eq!(house.fired().len(), 3);
}

#[test]
fn a8_what_comes_up_during_a_pause_is_evaluated_once_after_it_even_when_hb_was_killed_meanwhile() {
    let mut house = House::with(json!({}), &["a"]);
    house.policy(telling("p", "alert.kind == \"anomaly\""), &["main"]);
    house.ask(Command::PauseSupervisor("main".into())).unwrap();
    house.alert("a", Severity::Error);
    assert!(house.fired().is_empty());
    house.crash();
    house.adopted("a");
    house.ask(Command::ResumeSupervisor("main".into())).unwrap();
    house.pass(10);
    assert_eq!(house.fired().len(), 1);
    house.crash();
    house.pass(10);
    assert_eq!(house.fired().len(), 1);
}

#[test]
fn each_action_that_tells_is_told() {
    let mut house = House::with(json!({}), &["a"]);
    let notify = |reason: &str| json!({"type": "notify", "reason": reason});
    let two = json!({"name": "p", "when": "alert.kind == \"anomaly\"", "actions": [notify("one"), notify("two")]});
    house.policy(two, &["main"]);
    house.alert("a", Severity::Warning);
    let titles: Vec<&str> = house.it.state().notifications.values().map(|one| one.title.as_str()).collect();
    assert_eq!(titles, ["one", "two"]);
    // Untaken, they are told again by the next reign, under the same keys, once.
    let keys: Vec<String> = house.it.state().notifications.keys().cloned().collect();
    let effects = house.crash();
    assert_eq!(told(&effects), keys);
}

#[test]
fn b1_what_is_handed_up_is_one_group_of_bounded_size_and_the_root_tells_people() {
    let mut house = House::with(json!({}), &["a"]);
    house.supervisor("child", json!({"parent": "main"}));
    house.team("crew", "child", &["a"]);
    let up = |name: &str, when: &str| json!({"name": name, "when": when, "actions": [{"type": "escalate"}]});
    house.policy(up("hand-up", "alert.kind == \"anomaly\""), &["child"]);
    house.policy(up("further", "alert.kind == \"escalation\""), &["main"]);
    for _ in 0..GROUP_ALERTS_MAX + 20 {
        house.alert("a", Severity::Error);
        let id = house.group("a_anomaly").id.clone();
        house.ask(Command::ResolveGroup(id)).unwrap();
    }
    let group = house.group("child_escalation");
    let most = u64::try_from(GROUP_ALERTS_MAX).unwrap();
    assert_eq!((group.supervisor.as_str(), group.alert_count), ("main", most + 20));
    assert_eq!(group.alert_ids.len(), GROUP_ALERTS_MAX);
    assert_eq!(*group.alert_ids.last().unwrap(), {
        let of = |event: &&hb_core::supervise::event::Event| event.kind == "supervisor.escalation";
        let events = house.disk.0.iter().flat_map(|sealed| sealed.record.body.events());
        // The root's own escalation, to nobody, came with the first one.
        events.filter(of).map(|event| event.id).next_back().unwrap()
    });
    let keys = house.it.state().notifications.keys().filter(|key| key.starts_with("escalation/")).count();
    assert_eq!(keys, 1, "the group is evaluated once, so people are told once");
}

pub(crate) fn decision(seq: u64, status: &str) -> Input {
    Input::Decision(Box::new(Decision {
        watch: "w".into(),
        seq: Seq(seq),
        cycle: CycleNo(seq),
        status: status.into(),
        end: Stamp(0),
        drivers: vec!["latency".into()],
    }))
}

#[test]
fn each_decision_of_a_watch_is_a_reading_once_across_a_crash() {
    let mut house = House::with(json!({}), &[]);
    house.agent("a", r#"{"process":{"command":["x"]},"watch":"w","restart":{"jitter":0}}"#);
    house.runs("a");
    let sick = "agent.anomaly_score >= 0.8 and agent.consecutive_anomalous_readings >= 3";
    house.policy(json!({"name": "p", "when": sick, "actions": [{"type": "restart_agent"}]}), &["main"]);
    house.say(decision(1, "FAIL"));
    house.say(decision(2, "FAIL"));
    house.crash();
    house.adopted("a");
    house.say(decision(2, "FAIL"));
    assert_eq!(house.of("a").anomaly.consecutive, 2, "it was taken in before");
    assert!(house.interventions().is_empty());
    house.say(decision(3, "FAIL"));
    let anomaly = &house.of("a").anomaly;
    assert_eq!((anomaly.score, anomaly.consecutive), (0.875, 3));
    assert_eq!(house.interventions().len(), 1);
    house.crash();
    house.say(decision(3, "FAIL"));
    house.say(decision(4, "NO_BASELINE"));
    assert_eq!((house.of("a").anomaly.consecutive, house.interventions().len()), (3, 1));
    assert_eq!(house.it.state().cursors.get(&"w".into()).unwrap().seq, Seq(4));
}

#[test]
fn what_one_watch_said_is_forgotten_when_another_or_none_speaks() {
    let mut house = House::with(json!({}), &[]);
    house.agent("a", r#"{"heartbeat":{},"watch":"w"}"#);
    house.say(decision(1, "FAIL"));
    assert_eq!(house.open_groups(), ["a_anomaly"]);
    let other = spec("a", r#"{"heartbeat":{}}"#);
    house.ask(Command::RespecifyAgent { spec: Box::new(other), expect: None }).unwrap();
    assert_eq!((house.of("a").anomaly.score, house.of("a").anomaly.consecutive), (0.0, 0));
    assert_eq!(house.open_groups(), [""; 0]);
}
