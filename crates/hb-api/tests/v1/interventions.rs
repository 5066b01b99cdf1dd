//! Interventions and alerts.

use serde_json::json;

use crate::support::Served;

#[test]
fn an_intervention_is_asked_for_agreed_to_by_somebody_else_and_read() {
    let mut served = Served::with_tokens().main();
    served.post("/agents", json!({"id": "w", "process": {"command": ["sleep", "9"]}})).must(201);
    let wanted =
        json!({"intervention_type": "AGENT_RESTART", "target_id": "w", "reason": "slow", "approval_required": true});
    let made = served.post("/interventions", wanted.clone()).must(201);
    assert_eq!((&made["status"], &made["approval_required"]), (&json!("PENDING"), &json!(true)));
    let path = format!("/interventions/{}", made["id"].as_str().unwrap());
    served.send("PUT", &format!("{path}/approve"), None).refused(403);
    served.shows(Some("operator-0123456789")).send("PUT", &format!("{path}/approve"), None).refused(403);
    served
        .shows(Some("second-0123456789"))
        .send("PUT", &format!("{path}/approve"), Some(json!({"reason": "yes"})))
        .must(200);
    let done = served.get(&path);
    assert_eq!((&done["status"], &done["decided"]["by"]), (&json!("COMPLETED"), &json!("token:second")), "{done}");
    served.send("PUT", &format!("{path}/reject"), None).refused(409);
    served.send("PUT", &format!("{path}/settle"), Some(json!({"done": true}))).refused(409);
    let second = served.post("/interventions", wanted).must(201);
    let path = format!("/interventions/{}", second["id"].as_str().unwrap());
    let refused = served.send("PUT", &format!("{path}/reject"), Some(json!({"reason": "not now"}))).must(200);
    assert_eq!(refused["status"], "REJECTED");
    for (query, expected) in [
        ("?status=REJECTED", 1),
        ("?status=completed", 1),
        ("?supervisor=main", 2),
        ("?target=nobody", 0),
        ("?policy=p", 0),
    ] {
        let found = served.get(&format!("/interventions{query}"));
        assert_eq!(found["items"].as_array().unwrap().len(), expected, "{query}");
    }
    assert_eq!(served.get("/supervisors/main/interventions?limit=1")["next"], 1);
    assert_eq!(served.get("/supervisors/main/interventions?limit=1&after=1")["items"][0]["id"], "i-0");
    served.send("GET", "/interventions/i-77", None).refused(404);
    served.send("GET", "/supervisors/nobody/interventions", None).refused(404);
    served.send("POST", "/interventions/i-77/rollback", None).refused(404);
}

#[test]
fn what_cannot_be_is_refused_with_its_field() {
    let served = Served::owned().main();
    assert_eq!(served.post("/interventions", json!({"intervention_type": "AGENT_RESTART"})).refused(400), "body");
    assert_eq!(
        served.post("/interventions", json!({"intervention_type": "EXPLODE", "target_id": "w"})).refused(400),
        "intervention_type"
    );
    assert_eq!(
        served.post("/interventions", json!({"intervention_type": "AGENT_RESTART", "target_id": "w"})).refused(404),
        "target_id"
    );
    assert_eq!(served.get("/interventions")["items"], json!([]));
}

#[test]
fn alerts_come_in_groups_and_are_resolved() {
    let served = Served::owned().main();
    served.agent("r1");
    served.post("/alerts", json!({"agent_id": "r1", "message": "smoke"})).must(204);
    served.post("/alerts", json!({"agent_id": "r1", "severity": "CRITICAL", "message": "fire"})).must(204);
    let open = served.get("/alerts?open=true");
    let group = &open["items"][0];
    assert_eq!(
        (&group["alert_count"], &group["severity"], &group["group_key"]),
        (&json!(2), &json!("CRITICAL"), &json!("r1_anomaly"))
    );
    let path = format!("/alerts/{}", group["id"].as_str().unwrap());
    assert!(served.post(&format!("{path}/resolve"), json!({})).must(200)["resolved_at"].is_string());
    assert!(served.get(&path)["resolved_at"].is_string());
    assert_eq!(served.get("/supervisors/main/alerts?open=true")["items"], json!([]));
    assert_eq!(served.get("/supervisors/main/alerts?severity=critical")["items"].as_array().unwrap().len(), 1);
    assert_eq!(served.send("GET", "/alerts?severity=loud", None).refused(400), "severity");
    served.post("/alerts", json!({"agent_id": "nobody", "message": "x"})).refused(404);
    served.send("GET", "/alerts/g-99", None).refused(404);
    served.send("POST", "/alerts/g-99/resolve", None).refused(404);
}
