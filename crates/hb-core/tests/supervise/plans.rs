//! What is asked for and how it is carried out: doubts, undoing, budgets, pauses, stepped clocks, and the end of hb in the middle.

use super::house::{House, intervention, started, told};
use hb_core::ids::InterventionId;
use hb_core::supervise::agent::Lifecycle;
use hb_core::supervise::alert::Severity;
use hb_core::supervise::input::{Called, Command, Input, OnStop};
use hb_core::supervise::intervention::{InterventionStatus as S, StepState};
use hb_core::supervise::step::Effect;
use serde_json::json;

const ONCE: &str = r#"{"heartbeat":{"control":{"command":{"argv":["ctl"],"idempotent":false}}}}"#;

fn first() -> InterventionId {
    "i-0".into()
}

fn status(house: &House) -> S {
    house.it.state().interventions.get(&first()).unwrap().status
}

fn settle(house: &mut House) {
    house.ask(Command::SettleIntervention { id: first(), done: true, reason: "I looked".into() }).unwrap();
}

#[test]
fn s4_what_a_start_finds_in_doubt_is_told_and_evaluated_by_that_start() {
    let mut house = House::with(json!({}), &[]);
    house.agent("once", ONCE);
    let policy = json!({"name": "p", "when": "alert.kind == \"in_doubt\"", "actions": [{"type": "escalate"}]});
    house.policy(policy, &["main"]);
    house.intervene(json!({"intervention_type": "TASK_REASSIGN", "target_id": "once"})).unwrap();
    let effects = house.crash();
    assert_eq!(status(&house), S::InDoubt);
    let group = house.group("once_in_doubt").id.clone();
    let told = told(&effects);
    assert!(told.contains(&format!("group/{group}/CRITICAL").as_str()), "{told:?}");
    let twice = told.iter().filter(|key| told.iter().filter(|other| other == key).count() > 1).count();
    assert_eq!(twice, 0, "{told:?}");
    assert_eq!(house.evaluations.len(), 1, "the evaluation is on record");
}

#[test]
fn s4_the_other_steps_of_what_is_in_doubt_go_on_and_are_heard_of() {
    for crash in [false, true] {
        let mut house = House::with(json!({}), &["a"]);
        house.agent("once", ONCE);
        house.team("crew", "main", &["a", "once"]);
        let team =
            json!({"intervention_type": "TEAM_RESTART", "target_type": "TEAM", "target_id": "crew", "confirm": true});
        house.intervene(team).unwrap();
        let unknown = Called::Unknown("no answer".into());
        house.say(Input::Called { intervention: first(), step: 1, outcome: unknown });
        assert_eq!(status(&house), S::InDoubt);
        if crash {
            house.crash();
        }
        house.dies("a");
        house.runs("a");
        let states = |house: &House| house.interventions()[0].plan.iter().map(|step| step.state).collect::<Vec<_>>();
        assert_eq!(states(&house), [StepState::Done, StepState::InDoubt], "crash: {crash}");
        settle(&mut house);
        assert_eq!(status(&house), S::Completed, "crash: {crash}");
    }
}

#[test]
fn what_was_settled_has_to_end_in_time_again() {
    let mut house = House::with(json!({}), &["a"]);
    house.agent("once", ONCE);
    house.team("crew", "main", &["a", "once"]);
    let team =
        json!({"intervention_type": "TEAM_RESTART", "target_type": "TEAM", "target_id": "crew", "confirm": true});
    house.intervene(team).unwrap();
    house.say(Input::Called { intervention: first(), step: 1, outcome: Called::Unknown("no answer".into()) });
    house.pass(1_000);
    settle(&mut house);
    assert_eq!(status(&house), S::Executing, "a is still stopping");
    house.pass(299);
    assert_eq!(status(&house), S::Executing);
    house.pass(1);
    assert_eq!(status(&house), S::Failed);
}

#[test]
fn what_could_not_be_undone_is_not_called_undone() {
    let mut house = House::with(json!({}), &["a"]);
    house.intervene(json!({"intervention_type": "AGENT_QUARANTINE", "target_id": "a"})).unwrap();
    house.dies("a");
    assert_eq!(status(&house), S::Completed);
    house.ask(Command::ReleaseAgent { agent: "a".into(), evidence: "looked".into() }).unwrap();
    house.ask(Command::RollBackIntervention { id: first(), reason: "a mistake".into() }).unwrap();
    let one = house.interventions()[0].clone();
    assert_eq!(one.status, S::Failed, "{one:?}");
    assert!(one.error_message.unwrap().contains("not undone: a:"));
}

#[test]
fn an_undo_has_to_end_in_time_and_a_crash_takes_none_of_it_away() {
    let mut house = House::with(json!({}), &[]);
    house.agent("a", r#"{"process":{"command":["x"],"ready":{"by":"notify","within_sec":3000}}}"#);
    house.spawned("a");
    house.say(Input::Notified { agent: "a".into(), what: hb_core::supervise::input::Notified::Ready });
    house.intervene(json!({"intervention_type": "AGENT_STOP", "target_id": "a"})).unwrap();
    house.dies("a");
    assert_eq!(status(&house), S::Completed);
    house.pass(1_000);
    house.ask(Command::RollBackIntervention { id: first(), reason: "a mistake".into() }).unwrap();
    house.spawned("a");
    house.pass(200);
    house.crash();
    house.adopted("a");
    assert_eq!(status(&house), S::Executing, "it has a hundred seconds left");
    house.pass(99);
    assert_eq!(status(&house), S::Executing);
    house.pass(1);
    assert_eq!(status(&house), S::Failed);
}

#[test]
fn what_waits_for_its_turn_counts_against_the_budget() {
    let agents = ["a", "b", "c", "d", "e", "f"];
    let config = json!({"max_interventions_per_hour": 3, "max_concurrent_interventions": 1});
    let mut house = House::with(config, &agents);
    let policy = json!({"name": "p", "when": "alert.kind == \"anomaly\"", "actions": [{"type": "restart_agent"}]});
    house.policy(policy, &["main"]);
    agents.iter().for_each(|id| house.alert(id, Severity::Error));
    assert_eq!(house.statuses(), [S::Executing, S::Pending, S::Pending]);
    assert_eq!(house.count("intervention.refused"), 3);
    for _ in 0..3 {
        for id in agents {
            if house.of(id).process.identity().is_some() && !house.of(id).lifecycle.may_move(Lifecycle::Spawning) {
                let stopping = format!("{:?}", house.of(id).process).starts_with("Stopping");
                if stopping {
                    house.dies(id);
                    house.runs(id);
                }
            }
        }
    }
    assert_eq!(house.statuses(), [S::Completed, S::Completed, S::Completed]);
    // A clock that is stepped back does not make the hour longer than an hour from the next begin on.
    house.pass(3_601);
    house.alert("d", Severity::Critical);
    assert_eq!(house.statuses().len(), 4);
}

#[test]
fn a_thousand_that_end_at_once_end_one_after_the_other_and_not_inside_one_another() {
    let run = || {
        let mut house = House::with(json!({"max_concurrent_interventions": 1}), &["first"]);
        house.intervene(json!({"intervention_type": "AGENT_RESTART", "target_id": "first"})).unwrap();
        for number in 0..900 {
            let id = format!("a{number}");
            house.agent(&id, r#"{"process":{"command":["x"]},"wanted":"down"}"#);
            house.intervene(json!({"intervention_type": "AGENT_RESTART", "target_id": id})).unwrap();
        }
        assert_eq!(house.statuses().iter().filter(|one| **one == S::Pending).count(), 900);
        house.dies("first");
        house.runs("first");
        let failed = house.statuses().iter().filter(|one| **one == S::Failed).count();
        assert_eq!(failed, 900, "they are not wanted up");
    };
    // A stack on which nine hundred plans inside one another have no room.
    let thread = std::thread::Builder::new().stack_size(768 * 1024).spawn(run).unwrap();
    thread.join().unwrap();
}

#[test]
fn a8_a_paused_supervisor_begins_nothing_of_its_policies_and_one_that_is_over_refuses_it() {
    for over in [false, true] {
        let mut house = House::with(json!({"max_concurrent_interventions": 1}), &["a", "b"]);
        let policy = json!({"name": "p", "when": "alert.kind == \"anomaly\"", "actions": [{"type": "restart_agent"}]});
        house.policy(policy, &["main"]);
        house.alert("a", Severity::Error);
        house.alert("b", Severity::Error);
        assert_eq!(house.statuses(), [S::Executing, S::Pending]);
        house.ask(Command::PauseSupervisor("main".into())).unwrap();
        house.dies("a");
        house.runs("a");
        assert_eq!(house.statuses(), [S::Completed, S::Pending], "what was begun ends, and nothing else begins");
        house.crash();
        house.adopted("a");
        house.adopted("b");
        assert_eq!(house.statuses(), [S::Completed, S::Pending]);
        if over {
            house.ask(Command::StopSupervisor("main".into())).unwrap();
            assert_eq!(house.statuses(), [S::Completed, S::Rejected]);
        } else {
            house.ask(Command::ResumeSupervisor("main".into())).unwrap();
            assert_eq!(house.statuses(), [S::Completed, S::Executing]);
        }
    }
}

fn staggered(house: &mut House) {
    house.team("crew", "main", &["a", "b"]);
    let wanted = json!({
        "intervention_type": "TEAM_RESTART", "target_type": "TEAM", "target_id": "crew", "confirm": true,
        "stagger_seconds": 30.0,
    });
    house.intervene(wanted).unwrap();
    house.dies("a");
    house.runs("a");
}

#[test]
fn a_staggered_plan_keeps_its_time_whatever_becomes_of_the_wall_clock() {
    for step in [-86_400, 86_400] {
        let mut house = House::with(json!({}), &["a", "b"]);
        staggered(&mut house);
        house.skew(step);
        house.pass(29);
        assert!(house.of("b").process.identity().is_some() && house.interventions()[0].plan[1].begun_at.is_none());
        house.pass(1);
        assert_eq!(house.interventions()[0].plan[1].state, StepState::Begun, "stepped by {step} s");
        house.dies("b");
        house.runs("b");
        assert_eq!(status(&house), S::Completed);
    }
}

#[test]
fn s4_a_plan_that_the_end_of_hb_interrupts_is_gone_on_with_by_the_next_start() {
    let mut house = House::with(json!({}), &["a", "b"]);
    house.team("crew", "main", &["a", "b"]);
    let wanted = json!({
        "intervention_type": "TEAM_RESTART", "target_type": "TEAM", "target_id": "crew", "confirm": true,
        "stagger_seconds": 0.001,
    });
    house.intervene(wanted).unwrap();
    house.dies("a");
    // It is being started, so that the end waits for it; its coming up would be the turn of b.
    house.drain(OnStop::Leave);
    let refused = house.intervene(json!({"intervention_type": "AGENT_STOP", "target_id": "b"})).unwrap_err();
    assert!(refused.message.contains("ending"));
    house.pass(1);
    let effects = house.spawned("a");
    assert!(effects.contains(&Effect::Leave));
    assert_eq!(status(&house), S::Executing);
    house.crash();
    house.adopted("a");
    house.adopted("b");
    house.pass(1);
    house.dies("b");
    house.runs("b");
    assert_eq!(status(&house), S::Completed);
}

#[test]
fn nothing_is_evaluated_and_spent_while_hb_ends() {
    let mut house = House::with(json!({}), &["a"]);
    let old = "agent.uptime_seconds >= 15";
    house.policy(json!({"name": "p", "when": old, "actions": [{"type": "restart_agent"}]}), &["main"]);
    house.pass(10);
    let before = house.evaluations.len();
    house.drain(OnStop::Stop);
    house.pass(10);
    house.alert("a", Severity::Error);
    assert_eq!((house.evaluations.len(), house.interventions().len()), (before, 0));
    let group = house.group("a_anomaly").clone();
    assert!(group.unlooked, "the next reign looks at it");
    house.crash();
    house.adopted("a");
    house.pass(10);
    assert!(house.evaluations.iter().any(|one| one.group == Some(group.id.clone())));
}

#[test]
fn what_a_group_would_have_set_off_is_not_set_off_a_second_time_by_the_next_start() {
    let mut house = House::with(json!({}), &[]);
    house.agent("a", r#"{"process":{"command":["x"]},"watch":"w","restart":{"jitter":0}}"#);
    house.runs("a");
    let policy = json!({"name": "p", "when": "agent.anomaly_score >= 0.4", "actions": [{"type": "restart_agent"}]});
    house.policy(policy, &["main"]);
    house.drain(OnStop::Stop);
    house.say(super::groups::decision(1, "FAIL"));
    assert!(house.group("a_anomaly").unlooked && house.interventions().is_empty());
    house.crash();
    house.adopted("a");
    // The next decision comes before the sweep that looks at the group.
    house.say(super::groups::decision(2, "FAIL"));
    house.dies("a");
    house.runs("a");
    assert_eq!(house.statuses(), [S::Completed]);
    house.pass(30);
    assert_eq!(house.statuses(), [S::Completed]);
}

#[test]
fn agreement_expires_by_the_own_clock_and_after_a_crash_by_what_was_left() {
    let mut house = House::with(json!({"approval_timeout": 100.0}), &["a"]);
    let wanted = json!({"intervention_type": "AGENT_STOP", "target_id": "a", "approval_required": true});
    house.intervene(wanted).unwrap();
    house.skew(86_400);
    house.pass(99);
    assert_eq!(status(&house), S::Pending, "the step of the clock is nobody's delay");
    house.skew(-2 * 86_400);
    house.crash();
    house.adopted("a");
    house.pass(99);
    assert_eq!(status(&house), S::Pending);
    house.pass(1);
    assert_eq!(status(&house), S::Rejected, "never more than the whole patience");
    let late = Command::ApproveIntervention { id: first(), reason: "yes".into() };
    assert!(house.ask_as("operator:bob", late).unwrap_err().message.contains("REJECTED"));
}

#[test]
fn four_eyes_hold_for_people_and_policies() {
    let mut house = House::with(json!({"approval_agents": 1}), &["a", "b"]);
    house.team("crew", "main", &["a", "b"]);
    let wanted =
        json!({"intervention_type": "TEAM_RESTART", "target_type": "TEAM", "target_id": "crew", "confirm": true});
    house.intervene(wanted).unwrap();
    assert_eq!(status(&house), S::Pending, "more agents than may be without");
    let agree = || Command::ApproveIntervention { id: first(), reason: "yes".into() };
    assert!(house.ask(agree()).is_err());
    assert!(started(&house.pass(1)).is_empty());
    house.ask_as("operator:bob", agree()).unwrap();
    assert_eq!(status(&house), S::Executing);
    // What cannot be taken back is said twice.
    let delete = intervention(json!({"intervention_type": "DELETE", "target_id": "a"}));
    assert!(house.ask(Command::Intervene(delete)).unwrap_err().message.contains("confirm"));
}
