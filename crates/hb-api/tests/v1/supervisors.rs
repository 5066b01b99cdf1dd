//! Supervisors, their tree, their teams.

use serde_json::json;

use crate::support::Served;

#[test]
fn a_supervisor_is_made_changed_paused_resumed_stopped_and_deleted() {
    let served = Served::owned();
    let made = served.post("/supervisors", json!({"name": "Bench 3", "config": {"heartbeat_interval": 5}}));
    assert_eq!((made.header("location"), made.version()), ("/api/v1/supervisors/bench-3", "v1"));
    let made = made.must(201);
    assert_eq!((&made["status"], &made["config"]["heartbeat_interval"]), (&json!("ACTIVE"), &json!(5.0)));
    let changed = served.send("PUT", "/supervisors/bench-3", Some(json!({"description": "left"})));
    assert_eq!(changed.version(), "v2");
    assert_eq!(changed.must(200)["config"]["heartbeat_interval"], 5.0, "what is not named stays");
    assert_eq!(served.post("/supervisors/bench-3/pause", json!({})).must(200)["status"], "PAUSED");
    assert_eq!(served.get("/supervisors/bench-3/health")["presence"]["state"], "paused");
    assert_eq!(served.post("/supervisors/bench-3/resume", json!({})).must(200)["status"], "ACTIVE");
    assert!(
        served.post("/supervisors/bench-3/restart", json!({})).must(409)["message"]
            .as_str()
            .unwrap()
            .contains("FAILED")
    );
    assert_eq!(served.post("/supervisors/bench-3/stop", json!({})).must(200)["status"], "TERMINATED");
    assert_eq!(served.get("/supervisors/bench-3/health")["presence"]["state"], "stopped");
    served.post("/supervisors/bench-3/resume", json!({})).must(409);
    served.send("DELETE", "/supervisors/bench-3", None).must(204);
    served.send("GET", "/supervisors/bench-3", None).refused(404);
}

#[test]
fn a_change_of_what_somebody_else_changed_meanwhile_is_refused() {
    let served = Served::owned().main();
    let put = |tag: &str, to: &str| {
        let headers = [("Content-Type", "application/json"), ("If-Match", tag)];
        served.raw("PUT", "/api/v1/supervisors/main", &headers, json!({"description": to}).to_string().as_bytes())
    };
    put("\"v1\"", "first").must(200);
    assert_eq!(put("\"v1\"", "second").refused(412), "version");
    assert_eq!(put("\"nonsense\"", "second").refused(412), "If-Match");
    put("*", "third").must(200);
    assert_eq!(served.get("/supervisors/main")["description"], "third");
}

#[test]
fn health_counts_missed_beats_and_says_why_it_is_degraded() {
    let served = Served::owned().main();
    let health = served.get("/supervisors/main/health");
    assert_eq!(
        (&health["health"], &health["missed_heartbeats"], &health["presence"]["state"]),
        (&json!("healthy"), &json!(0), &json!("active"))
    );
    *served.room.broken.lock().unwrap() = Some("the disk is full".into());
    let health = served.get("/supervisors/main/health");
    assert_eq!(health["presence"]["state"], "degraded");
    assert_eq!(health["presence"]["reasons"], json!(["database: the disk is full"]));
    assert_eq!(served.get("/status")["presence"]["state"], "degraded");
}

#[test]
fn a_tree_adds_up() {
    let served = Served::owned().main();
    served.agent("r1");
    served.post("/supervisors", json!({"name": "below", "parent_id": "main"})).must(201);
    served.post("/supervisors", json!({"name": "lowest", "parent_id": "below", "agents": ["r1"]})).must(201);
    served.agent("r2");
    served.post("/alerts", json!({"agent_id": "r1", "severity": "CRITICAL", "message": "smoke"})).must(204);
    let tree = served.get("/supervisors/main/hierarchy");
    assert_eq!(
        (&tree["own"]["agents"], &tree["total"]["agents"], &tree["total"]["supervisors"]),
        (&json!(1), &json!(2), &json!(3))
    );
    assert_eq!((&tree["own"]["worst_severity"], &tree["total"]["worst_severity"]), (&json!(null), &json!("CRITICAL")));
    assert_eq!(tree["children"][0]["children"][0]["id"], "lowest");
    let lowest = served.get("/supervisors/lowest/hierarchy");
    assert_eq!(
        (&lowest["ancestors"], &lowest["total"]["agents_by_health"]),
        (&json!(["below", "main"]), &json!({"healthy": 1}))
    );
    assert_eq!(served.get("/supervisors?parent=main")["items"][0]["id"], "below");
    served.send("GET", "/supervisors/nobody/hierarchy", None).refused(404);
    let names: Vec<_> = ["1", "2", "3", "4"]
        .into_iter()
        .scan("lowest".to_owned(), |above, name| {
            let answer = served.post("/supervisors", json!({"name": name, "parent_id": above.clone()}));
            *above = name.to_owned();
            Some(answer.status)
        })
        .collect();
    assert_eq!(names, [201, 201, 400, 404], "five levels, and no sixth");
}

#[test]
fn members_join_and_leave_teams() {
    let served = Served::owned().main();
    served.agent("r1");
    served.agent("r2");
    let made =
        served.post("/supervisors/main/teams", json!({"name": "Left", "members": [{"agent": "r1", "role": "LEAD"}]}));
    assert_eq!(made.header("location"), "/api/v1/teams/left");
    let made = made.must(201);
    assert_eq!(
        (&made["member_count"], &made["active_count"], &made["members"][0]["role"]),
        (&json!(1), &json!(1), &json!("LEAD"))
    );
    let more = served.post("/teams/left/members", json!({"agent_id": "r2"})).must(200);
    assert_eq!(more["member_count"], 2);
    assert_eq!(served.post("/teams/left/members", json!({"agent_id": "r2"})).refused(409), "agent");
    assert_eq!(served.post("/teams/left/members", json!({"agent_id": "nobody"})).refused(404), "agent");
    assert_eq!(served.get("/agents?team=left")["total"], 2);
    served.send("DELETE", "/teams/left/members/r2", None).must(200);
    served.send("DELETE", "/teams/left/members/r2", None).refused(404);
    served.post("/teams/left/members", json!({"agent_id": "r2"})).must(200);
    assert_eq!(served.get("/supervisors/main/teams")["items"][0]["id"], "left");
    served.send("DELETE", "/supervisors/main", None).refused(409);
    served.send("DELETE", "/teams/left", None).must(204);
    served.send("GET", "/teams/left", None).refused(404);
    assert_eq!(served.get("/teams")["total"], 0);
}
