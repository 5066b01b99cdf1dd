//! Tables as the documents ask for them.

use std::path::Path;

use hb_core::supervise::alert::Severity;
use hb_core::supervise::intervention::InterventionStatus;
use hb_core::supervise::state::Changes;
use hb_core::supervise::tree::SupervisorStatus;
use hb_store::port::Appended;
use hb_store::supervisor::{Kept, SupervisorDb};
use serde_json::Value;

use super::support::{
    Chain, Place, agent, agents, ask, at, commit, folded, group, groups, intervention, interventions, member, policy,
    supervisor, supervisors, team, teams,
};

fn metrics(path: &Path, id: &str) -> Value {
    let text: String = ask(path, &format!("SELECT health_metrics FROM supervisors WHERE id = '{id}'"));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn s1_health_metrics_hold_what_the_documents_ask_for_and_do_not_erase_failure_reason() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    let found = metrics(&place.path(), "root");
    for key in ["status", "running", "active_interventions", "last_policy_evaluation"] {
        assert!(found.get(key).is_some(), "{key}: {found}");
    }
    assert_eq!(
        (&found["status"], &found["running"], &found["active_interventions"]),
        (&"ACTIVE".into(), &true.into(), &1.into())
    );
    let mut failed = supervisor("root", None);
    failed.status = SupervisorStatus::Failed;
    failed.failure_reason = Some("Missed heartbeats".into());
    commit(&mut db, &[chain.change(supervisors([failed.clone()]))]);
    failed.last_heartbeat = Some(at(77));
    failed.last_policy_evaluation = Some(at(78));
    commit(&mut db, &[chain.change(supervisors([failed]))]);
    commit(&mut db, &[chain.change(interventions([intervention(1, InterventionStatus::Completed)]))]);
    let reason: String = ask(&place.path(), "SELECT failure_reason FROM supervisors WHERE id = 'root'");
    assert_eq!(reason, "Missed heartbeats");
    let found = metrics(&place.path(), "root");
    assert_eq!(
        (&found["status"], &found["running"], &found["active_interventions"]),
        (&"FAILED".into(), &false.into(), &0.into())
    );
    assert!(found["last_policy_evaluation"].as_str().unwrap().starts_with("2023-11-14T22:14:38"), "{found}");
    let beat: String = ask(&place.path(), "SELECT last_heartbeat FROM supervisors WHERE id = 'root'");
    assert_eq!(beat, "2023-11-14T22:14:37.000000000Z");
}

/// All that rows of groups and supervisors say, in order.
fn told(path: &Path) -> (String, String) {
    let groups =
        "SELECT group_concat(id || number || supervisor_id || severity || alert_count || alert_ids || affected_agents
        || correlation_summary || last_alert_at || evaluated || coalesce(resolved_at, 'open'), ' ')
        FROM (SELECT * FROM supervisor_alert_groups ORDER BY number)";
    let supervisors =
        "SELECT group_concat(id || name || status || config || updated_at || coalesce(last_heartbeat, 'silent')
        || health_metrics, ' ') FROM (SELECT * FROM supervisors ORDER BY id)";
    (ask(path, groups), ask(path, supervisors))
}

#[test]
fn s1_rows_of_which_only_a_part_is_written_again_are_as_if_made_from_the_records() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    let (mut one, mut root) = (group(70, None), supervisor("root", None));
    commit(&mut db, &[chain.change(groups([one.clone()])), chain.change(supervisors([root.clone()]))]);
    (one.alert_count, one.last_alert_at, one.severity) = (9, at(900), Severity::Critical);
    (root.last_heartbeat, root.last_policy_evaluation) = (Some(at(901)), Some(at(902)));
    commit(&mut db, &[chain.change(Changes { groups: groups([one.clone()]).groups, ..supervisors([root.clone()]) })]);
    let row = "SELECT alert_count || severity || last_alert_at FROM supervisor_alert_groups WHERE number = 70";
    assert_eq!(ask::<String>(&place.path(), row), "9CRITICAL2023-11-14T22:28:20.000000000Z");
    assert_eq!(metrics(&place.path(), "root")["last_policy_evaluation"], "2023-11-14T22:28:22.000000000Z");
    let open = "SELECT count(*) FROM supervisor_alert_groups WHERE resolved_at IS NULL AND number = 70";
    assert_eq!(ask::<i64>(&place.path(), open), 1);
    // More than figures, and then figures again.
    root.config.max_concurrent_interventions = 7;
    commit(&mut db, &[chain.change(supervisors([root.clone()]))]);
    root.last_heartbeat = Some(at(903));
    one.resolved_at = Some(at(904));
    commit(&mut db, &[chain.change(Changes { groups: groups([one]).groups, ..supervisors([root]) })]);
    assert_eq!(ask::<i64>(&place.path(), open), 0);
    let written = told(&place.path());
    assert!(written.1.contains(r#""max_concurrent_interventions":7"#), "{}", written.1);
    db.rebuild_tables().unwrap();
    assert_eq!(told(&place.path()), written);
}

#[test]
fn s7_nobody_is_running_after_a_reign_that_ended_in_good_order() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    commit(&mut db, &[chain.close()]);
    assert_eq!(metrics(&place.path(), "left")["running"], false);
    assert_eq!(metrics(&place.path(), "left")["status"], "ACTIVE");
    assert_eq!(ask::<String>(&place.path(), "SELECT ended FROM applied"), "left_running");
    commit(&mut db, &[chain.open()]);
    assert_eq!(metrics(&place.path(), "left")["running"], true);
    assert_eq!(ask::<Option<String>>(&place.path(), "SELECT ended FROM applied"), None);
}

#[test]
fn names_are_unique_below_a_parent_and_among_roots_and_breaking_that_stops_the_writer() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    // Names may change places within one record.
    let (mut one, mut two) = (supervisor("root", None), supervisor("other", None));
    commit(&mut db, &[chain.change(supervisors([one.clone(), two.clone()]))]);
    std::mem::swap(&mut one.name, &mut two.name);
    commit(&mut db, &[chain.change(supervisors([one, two]))]);
    let stands = chain.fold.clone();
    let mut twin = supervisor("twin", None);
    twin.name = "root".into();
    let Appended::Stopped(why) = db.commit(&[chain.change(supervisors([twin]))]) else {
        panic!("two roots of one name")
    };
    assert!(why.contains("defect of hb") && why.contains("UNIQUE"), "{why}");
    assert_eq!(folded(&place.path()), stands, "nothing was changed");
}

#[test]
fn an_agent_may_leave_a_team_and_join_again_and_is_open_in_one() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    let rows =
        |sql: &str| ask::<i64>(&place.path(), &format!("SELECT count(*) FROM supervisor_team_members WHERE {sql}"));
    assert_eq!((rows("agent_id = 'agent-1'"), rows("left_at IS NULL")), (2, 1));
    // From the later team to the earlier one, in one record.
    let moved = [team("t", vec![member("agent-1", 9, Some(20))]), team("a", vec![member("agent-1", 20, None)])];
    commit(&mut db, &[chain.change(teams(moved))]);
    assert_eq!((rows("left_at IS NULL AND team_id = 'a'"), rows("left_at IS NULL")), (1, 1));
    let stands = chain.fold.clone();
    let twice = [team("t", vec![member("agent-1", 30, None)])];
    assert!(matches!(db.commit(&[chain.change(teams(twice))]), Appended::Stopped(_)));
    assert_eq!(folded(&place.path()), stands);
}

#[test]
fn policies_have_one_row_a_version_and_know_the_active_one() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    let active =
        "SELECT group_concat(version || ':' || is_active) FROM (SELECT * FROM supervisor_policies ORDER BY version)";
    assert_eq!(ask::<String>(&place.path(), active), "1:0,2:1");
    let mut changed = policy("drift", 3);
    changed.active = Some(1);
    changed.evaluations = 12;
    commit(
        &mut db,
        &[chain.change(Changes { policies: [("drift".into(), Some(changed))].into(), ..Changes::default() })],
    );
    assert_eq!(ask::<String>(&place.path(), active), "1:1,2:0,3:0");
    assert_eq!(ask::<i64>(&place.path(), "SELECT total_evaluations FROM supervisor_policies WHERE is_active"), 12);
    assert_eq!(ask::<i64>(&place.path(), "SELECT count(*) FROM supervisor_policy_assignments"), 2);
    commit(&mut db, &[chain.change(Changes { policies: [("drift".into(), None)].into(), ..Changes::default() })]);
    assert_eq!(ask::<i64>(&place.path(), "SELECT count(*) FROM supervisor_policies"), 0);
}

#[test]
fn processes_and_beats_are_shown_as_the_documents_have_them() {
    let place = Place::new();
    place.filled();
    let row: (i64, String, String, String, i64, String) = rusqlite::Connection::open(place.path())
        .unwrap()
        .query_row(
            "SELECT pid, command, status, process_type, restart_count, last_restart_time FROM supervised_processes WHERE id = 'agent-1'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)),
        )
        .unwrap();
    assert_eq!((row.0, row.1.as_str(), row.2.as_str()), (4242, "/usr/bin/worker", "running"));
    assert_eq!((row.3.as_str(), row.4, row.5.as_str()), ("worker", 2, "2023-11-14T22:13:22Z"));
    assert_eq!(ask::<i64>(&place.path(), "SELECT received FROM heartbeat_state WHERE agent_id = 'agent-1'"), 8);
}

#[test]
fn what_has_only_left_the_state_stays_in_the_tables_and_what_is_gone_goes() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    let gone = Changes {
        agents: [("agent-3".into(), None)].into(),
        supervisors: [("left".into(), None)].into(),
        teams: [("t".into(), None)].into(),
        interventions: [("i-2".into(), None)].into(),
        groups: [("g-2".into(), None)].into(),
        ..Changes::default()
    };
    commit(&mut db, &[chain.change(gone)]);
    let count = |sql: &str| ask::<i64>(&place.path(), &format!("SELECT count(*) FROM {sql}"));
    assert_eq!(count("agents WHERE id = 'agent-3'"), 0);
    assert_eq!(count("supervisors") + count("supervisor_policy_assignments"), 2);
    assert_eq!(count("supervisor_teams") + count("supervisor_team_members"), 0);
    assert_eq!((count("supervisor_interventions"), count("supervisor_alert_groups")), (2, 2));
}

#[test]
fn b1_history_is_bounded_the_oldest_goes_first_and_is_counted() {
    let place = Place::new();
    let kept = Kept { events: 50, evaluations: 30, interventions: 10, groups: 10, step: 5 };
    let mut db = SupervisorDb::open_with(&place.path(), kept).unwrap();
    let mut chain = Chain::new();
    commit(&mut db, &[chain.open(), chain.change(supervisors([supervisor("root", None)]))]);
    for number in 1..=40 {
        let status = if number == 3 { InterventionStatus::InDoubt } else { InterventionStatus::Completed };
        let changes = Changes {
            groups: groups([group(number, (number != 4).then_some(99))]).groups,
            ..interventions([intervention(number, status)])
        };
        commit(&mut db, &[chain.change_with(changes, 7, 4)]);
    }
    let rows = |table: &str| ask::<i64>(&place.path(), &format!("SELECT count(*) FROM {table}"));
    let newest = |table: &str| ask::<i64>(&place.path(), &format!("SELECT max(id) FROM {table}"));
    assert!((50..70).contains(&rows("supervisor_events")) && newest("supervisor_events") == 280);
    assert!(
        (30..45).contains(&rows("supervisor_policy_evaluations")) && newest("supervisor_policy_evaluations") == 159
    );
    let open: i64 = ask(&place.path(), "SELECT count(*) FROM supervisor_interventions WHERE status = 'IN_DOUBT'");
    assert_eq!(open, 1, "what is not over stays");
    assert!(ask::<i64>(&place.path(), "SELECT count(*) FROM supervisor_interventions") <= 16);
    assert_eq!(ask::<i64>(&place.path(), "SELECT count(*) FROM supervisor_alert_groups WHERE resolved_at IS NULL"), 1);
    assert!(db.sizes().unwrap().history_trimmed > 300);
    // A bound that was lowered is reached in time.
    let mut db = SupervisorDb::open_with(&place.path(), Kept { events: 10, ..kept }).unwrap();
    for _ in 0..6 {
        commit(&mut db, &[chain.change_with(agents([agent("x")]), 1, 0)]);
    }
    assert!(ask::<i64>(&place.path(), "SELECT count(*) FROM supervisor_events") < 20);
}
