//! What is refused, how, and that nothing is changed by it.

use serde_json::json;

use crate::support::Served;

#[test]
fn queries_bodies_and_kinds_of_bodies_are_held_to_what_is_documented() {
    let served = Served::owned().main();
    let typed = [("Content-Type", "application/json")];
    assert_eq!(served.send("GET", "/agents?colour=red", None).refused(400), "colour");
    assert_eq!(served.send("GET", "/agents?limit=5&limit=6", None).refused(400), "limit");
    for limit in ["0", "1001", "-1", "x", ""] {
        assert_eq!(served.send("GET", &format!("/agents?limit={limit}"), None).refused(400), "limit", "{limit}");
        assert_eq!(served.send("GET", &format!("/events?limit={limit}"), None).refused(400), "limit", "{limit}");
    }
    assert_eq!(served.send("GET", "/agents?skip=-1", None).refused(400), "skip");
    assert_eq!(served.send("GET", "/events?after=18446744073709551615", None).refused(400), "after");
    assert_eq!(served.send("GET", "/agents?status=WELL", None).refused(400), "status");
    assert_eq!(served.send("GET", "/agents?health=fine", None).refused(400), "health");
    assert_eq!(served.send("GET", "/policies?active=maybe", None).refused(400), "active");
    assert_eq!(
        served.raw("POST", "/api/v1/agents", &[("Content-Type", "text/plain")], b"{}").refused(415),
        "Content-Type"
    );
    assert_eq!(served.raw("POST", "/api/v1/agents", &[], b"{}").refused(415), "Content-Type");
    assert_eq!(served.raw("POST", "/api/v1/agents", &typed, b"").refused(400), "body");
    assert_eq!(served.raw("POST", "/api/v1/agents", &typed, b"{").refused(400), "body");
    assert_eq!(served.raw("POST", "/api/v1/agents", &typed, b"{} {}").refused(400), "body");
    assert_eq!(served.raw("POST", "/api/v1/agents", &typed, b"\xff\xfe").refused(400), "body");
    served.raw("POST", "/api/v1/agents", &typed, "[".repeat(100_000).as_bytes()).refused(400);
    assert_eq!(served.raw("POST", "/api/v1/agents", &typed, b"[\"w\"]").refused(400), "body", "fields by their place");
    let large = format!("{{\"id\": \"w\", \"phase\": \"{}\"}}", "x".repeat(256 * 1024));
    assert_eq!(served.raw("POST", "/api/v1/agents", &typed, large.as_bytes()).refused(413), "body");
    let unknown = served.post("/agents", json!({"id": "w", "restart": {"whenn": "never"}})).must(400);
    assert!(
        unknown["details"]["field"].as_str().unwrap().starts_with("restart") && unknown["details"]["line"].is_u64(),
        "{unknown}"
    );
    assert_eq!(served.get("/agents")["total"], 0, "nothing was made");
}

#[test]
fn what_is_not_there_is_said_in_the_one_shape() {
    let served = Served::owned();
    for path in ["/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/v2/agents", "/api/v1/agents/a/b/c"] {
        let answer = served.raw("GET", path, &[], b"");
        let answer = if path == "/api" || answer.status == 404 { answer } else { panic!("{path}: {answer:?}") };
        answer.refused(404);
    }
    let wrong = served.raw("DELETE", "/api/v1/agents", &[], b"");
    let allowed = wrong.header("allow").to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    wrong.refused(405);
    served.raw("GET", "/api/v1/agents/%ff", &[], b"").refused(400);
    served.send("GET", "/agents/..%2f..%2fetc%2fpasswd", None).refused(404);
}

#[test]
fn names_and_ranges_are_refused_with_field_and_constraint() {
    let served = Served::owned().main();
    for (path, body, status, field) in [
        ("/supervisors", json!({"name": ""}), 400, "name"),
        ("/supervisors", json!({"name": "main"}), 409, "name"),
        ("/supervisors", json!({"name": "x", "id": "a/b"}), 400, "id"),
        ("/supervisors", json!({"name": "x", "parent_id": "nobody"}), 404, "parent_id"),
        ("/supervisors", json!({"name": "x", "agents": ["nobody"]}), 404, "agent"),
        ("/supervisors", json!({"name": "x", "config": {"heartbeat_interval": 0}}), 400, "config.heartbeat_interval"),
        ("/supervisors", json!({"name": "x", "config": {"heartbeet": 1}}), 400, "config.heartbeet"),
        ("/supervisors/main/teams", json!({"name": "x", "supervisor_id": "other"}), 400, "supervisor_id"),
        ("/supervisors/main/teams", json!({"name": "x", "members": ["nobody"]}), 404, "agent"),
        ("/agents", json!({"id": "-x"}), 400, "id"),
        ("/agents", json!({"id": "x", "depends_on": ["nobody"]}), 400, "depends_on"),
    ] {
        let answer = served.post(path, body.clone());
        let constraint =
            serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()["details"]["constraint"].clone();
        assert_eq!(answer.refused(status), field, "{path} {body}");
        assert!(constraint.is_string(), "{path} {body}: {constraint}");
    }
    assert_eq!(served.get("/supervisors")["total"], 1, "nothing was made");
}

#[test]
fn a_flood_of_simulations_is_refused() {
    let served = Served::owned().main();
    served
        .post("/policies", json!({"name": "p", "when": "agent.anomaly_score > 1", "actions": [{"type": "notify"}]}))
        .must(201);
    // However slow this machine is, so many come within less than the seconds that would allow them.
    let begun = std::time::Instant::now();
    let statuses: Vec<u16> = (0..400).map(|_| served.send("POST", "/policies/p/simulate", None).status).collect();
    let fast = begun.elapsed().as_secs_f64() < 2.0;
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!(!fast || statuses.contains(&429), "400 in less than 2 seconds, and none refused");
}

#[test]
fn a_database_that_cannot_be_read_is_said_and_what_is_in_memory_still_answers() {
    let served = Served::owned().main();
    *served.room.broken.lock().unwrap() = Some("supervisor.db: disk I/O error".into());
    let answer = served.send("GET", "/events", None);
    assert!(answer.body.contains("disk I/O error"));
    answer.refused(503);
    assert_eq!(served.get("/supervisors")["total"], 1);
}
