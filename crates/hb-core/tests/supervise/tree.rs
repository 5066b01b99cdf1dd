//! The tree of supervisors, their teams, and what `hb.yaml` declares.

use std::sync::Arc;

use super::house::{House, started};
use super::stage::spec;
use hb_core::supervise::agent::{Lifecycle, Origin};
use hb_core::supervise::bounds::MEMBERSHIPS_CLOSED_MAX;
use hb_core::supervise::input::{Command, Declared, NewMember, NewSupervisor, NewTeam};
use hb_core::supervise::intervention::InterventionStatus as S;
use hb_core::supervise::spec::Wanted;
use hb_core::supervise::tree::{MemberRole, SupervisorStatus};
use serde_json::{Value, json};

const RUNS: &str = r#"{"process":{"command":["x"]},"restart":{"jitter":0}}"#;

fn pause(house: &mut House, id: &str) {
    house.ask(Command::PauseSupervisor(id.into())).unwrap();
}

#[test]
fn a8_who_is_below_a_paused_supervisor_is_gone_on_with_when_it_is_resumed() {
    let mut house = House::with(json!({}), &["a", "alone"]);
    house.supervisor("child", json!({"parent": "main"}));
    house.team("crew", "child", &["a"]);
    pause(&mut house, "main");
    house.dies("a");
    house.dies("alone");
    assert_eq!((house.of("a").lifecycle, house.of("alone").lifecycle), (Lifecycle::Failed, Lifecycle::Failed));
    house.crash();
    let back = super::stage::ask(1, Command::ResumeSupervisor("main".into()));
    let effects = house.say(back);
    assert_eq!(started(&effects), ["a", "alone"]);
}

#[test]
fn whoever_moves_to_a_supervisor_that_is_active_is_gone_on_with() {
    let mut house = House::with(json!({}), &["a"]);
    house.supervisor("resting", json!({}));
    house.team("crew", "resting", &["a"]);
    house.team("others", "main", &[]);
    pause(&mut house, "resting");
    house.dies("a");
    house.ask(Command::RemoveMember { team: "crew".into(), agent: "a".into() }).unwrap();
    assert_eq!(house.of("a").lifecycle, Lifecycle::Spawning, "main looks after whoever is in no team");
    assert_eq!(house.looks_after("a").unwrap().as_str(), "main");
}

#[test]
fn the_tree_has_a_depth_and_nobody_is_over_while_others_are_below() {
    let mut house = House::with(json!({"max_hierarchy_depth": 2}), &["a"]);
    house.supervisor("child", json!({"parent": "main"}));
    let new: NewSupervisor = serde_json::from_value(json!({"name": "x", "parent": "child"})).unwrap();
    assert!(house.ask(Command::CreateSupervisor(new)).unwrap_err().message.contains("2 levels"));
    assert!(house.ask(Command::StopSupervisor("main".into())).unwrap_err().message.contains("child is below"));
    let shutdown = json!({
        "intervention_type": "SHUTDOWN", "target_type": "SUPERVISOR", "target_id": "main", "confirm": true,
    });
    assert!(house.intervene(shutdown.clone()).unwrap_err().message.contains("child is below"));
    house.ask(Command::StopSupervisor("child".into())).unwrap();
    house.intervene(shutdown).unwrap();
    house.dies("a");
    assert_eq!(house.statuses(), [S::Completed]);
    let main = |house: &House| house.it.state().supervisors.get(&"main".into()).unwrap().clone();
    assert_eq!(main(&house).status, SupervisorStatus::Terminated);
    // Over is over: it does not beat any more, and neither does the next reign make it.
    let beat = main(&house).last_heartbeat;
    house.pass(100);
    house.crash();
    house.pass(100);
    assert_eq!(main(&house).last_heartbeat, beat);
}

#[test]
fn an_agent_may_leave_and_join_again_and_closed_memberships_are_bounded() {
    let mut house = House::with(json!({}), &[]);
    house.team("crew", "main", &[]);
    let add = |house: &mut House| {
        let member = NewMember::Agent("far".into());
        house.ask(Command::AddMember { team: "crew".into(), member })
    };
    house.agent("far", r#"{"heartbeat":{}}"#);
    add(&mut house).unwrap();
    assert!(add(&mut house).is_err(), "an open member");
    house.ask(Command::RemoveMember { team: "crew".into(), agent: "far".into() }).unwrap();
    assert!(house.ask(Command::RemoveMember { team: "crew".into(), agent: "far".into() }).is_err());
    for _ in 0..MEMBERSHIPS_CLOSED_MAX + 10 {
        add(&mut house).unwrap();
        house.intervene(json!({"intervention_type": "DELETE", "target_id": "far", "confirm": true})).unwrap();
        house.agent("far", r#"{"heartbeat":{}}"#);
    }
    let members = &house.it.state().teams.get(&"crew".into()).unwrap().members;
    assert_eq!(members.len(), MEMBERSHIPS_CLOSED_MAX);
    assert!(members.iter().all(|member| member.left_at.is_some()));
}

// ---------------------------------------------------------------------- what the file says

fn file(supervisors: Value, agents: &[(&str, &str)], teams: Value) -> Declared {
    let agents = agents.iter().map(|(id, rest)| Arc::new(spec(id, rest))).collect();
    let supervisors: Vec<NewSupervisor> = serde_json::from_value(supervisors).unwrap();
    let teams: Vec<NewTeam> = serde_json::from_value(teams).unwrap();
    Declared { supervisors, agents, teams, policies: Vec::new() }
}

#[test]
fn there_is_always_somebody_to_look_after_agents() {
    let mut house = House::new();
    house.declare(Declared::default());
    house.agent("a", RUNS);
    assert_eq!(house.looks_after("a").unwrap().as_str(), "main");
    // Others that are declared take its place in the file; it goes on as one of the API's.
    house.declare(file(json!([{"id": "own", "name": "own"}]), &[], json!([])));
    let origin = |id: &str| house.it.state().supervisors.get(&id.into()).unwrap().origin;
    assert_eq!((origin("main"), origin("own")), (Origin::Dynamic, Origin::Declared));
}

#[test]
fn what_leaves_the_file_is_stopped_and_what_comes_back_is_started() {
    let mut house = House::new();
    house.declare(file(json!([]), &[("a", RUNS)], json!([])));
    house.runs("a");
    let delete = json!({"intervention_type": "DELETE", "target_id": "a", "confirm": true});
    assert!(house.intervene(delete.clone()).unwrap_err().message.contains("hb.yaml"));
    house.declare(Declared::default());
    house.dies("a");
    assert_eq!((house.of("a").wanted, house.of("a").origin), (Wanted::Down, Origin::Dynamic));
    let effects = house.declare(file(json!([]), &[("a", RUNS)], json!([])));
    assert_eq!((started(&effects), house.of("a").origin), (vec!["a"], Origin::Declared));
    house.runs("a");
    // Somebody stops it: reading the same file again does not start it.
    house.ask(Command::StopAgent("a".into())).unwrap();
    house.dies("a");
    let effects = house.declare(file(json!([]), &[("a", RUNS)], json!([])));
    assert!(started(&effects).is_empty());
    // The file itself wants another thing.
    let down = r#"{"process":{"command":["x"]},"restart":{"jitter":0},"wanted":"down"}"#;
    house.declare(file(json!([]), &[("a", down)], json!([])));
    let effects = house.declare(file(json!([]), &[("a", RUNS)], json!([])));
    assert_eq!(started(&effects), ["a"]);
    house.runs("a");
    house.declare(file(json!([]), &[("a", down)], json!([])));
    house.dies("a");
    assert_eq!(house.of("a").wanted, Wanted::Down);
    house.declare(Declared::default());
    house.intervene(delete).unwrap();
    assert!(house.it.state().agents.is_empty());
}

#[test]
fn teams_go_by_the_file_with_supervisor_members_and_roles() {
    let mut house = House::new();
    let supervisors = json!([{"id": "one", "name": "one"}, {"id": "two", "name": "two"}]);
    let agents = [("a", RUNS), ("b", RUNS)];
    let crew = |supervisor: &str, members: Value| json!([{"id": "crew", "name": "crew", "supervisor": supervisor, "members": members}]);
    house.declare(file(supervisors.clone(), &agents, crew("one", json!(["a", "b"]))));
    house.runs("a");
    house.runs("b");
    for command in [
        Command::DeleteTeam("crew".into()),
        Command::RemoveMember { team: "crew".into(), agent: "a".into() },
        Command::AddMember { team: "crew".into(), member: NewMember::Agent("a".into()) },
    ] {
        assert!(house.ask(command).unwrap_err().message.contains("hb.yaml"));
    }
    pause(&mut house, "one");
    house.dies("a");
    assert_eq!(house.of("a").lifecycle, Lifecycle::Failed);
    let lead = json!([{"agent": "a", "role": "LEAD"}]);
    let effects = house.declare(file(supervisors.clone(), &agents, crew("two", lead.clone())));
    assert_eq!(started(&effects), ["a"], "two is active");
    let team = house.it.state().teams.get(&"crew".into()).unwrap();
    let open: Vec<_> = team.open().map(|member| (member.agent.as_str(), member.role)).collect();
    assert_eq!((team.supervisor.as_str(), open), ("two", vec![("a", MemberRole::Lead)]));
    assert_eq!(house.of("b").team, None);
    // The same again says nothing.
    let records = house.disk.0.len();
    house.declare(file(supervisors.clone(), &agents, crew("two", lead)));
    assert_eq!(house.disk.0.len(), records);
    // A team that somebody made is the file's once it stands there.
    house.team("own", "one", &[]);
    house.declare(file(supervisors, &agents, json!([{"id": "own", "name": "own", "supervisor": "one"}])));
    assert_eq!(house.it.state().teams.get(&"own".into()).unwrap().origin, Origin::Declared);
}

#[test]
fn what_the_file_cannot_change_is_told() {
    let mut house = House::new();
    let placed = |above: Value| {
        let supervisors = json!([
            {"id": "one", "name": "one"}, {"id": "two", "name": "two"}, {"id": "low", "name": "low", "parent": above},
        ]);
        file(supervisors, &[], json!([]))
    };
    house.declare(placed(json!("one")));
    assert_eq!(house.count("config.refused"), 0);
    house.declare(placed(json!("two")));
    assert_eq!(house.count("config.refused"), 1);
    let low = house.it.state().supervisors.get(&"low".into()).unwrap();
    assert_eq!(low.parent.as_ref().unwrap().as_str(), "one");
}
