//! Policies from their first version to a rollback.

use serde_json::{Value, json};

use crate::support::Served;

fn policy(limit: f64) -> Value {
    json!({"name": "p", "when": format!("agent.anomaly_score >= {limit}"), "actions": [{"type": "restart_agent", "reason": "${agent.id} drifts"}]})
}

#[test]
fn versions_are_made_compared_activated_and_rolled_back() {
    let served = Served::owned().main();
    let made = served.post("/policies", policy(0.8));
    assert_eq!((made.header("location"), made.version()), ("/api/v1/policies/p", "v1"));
    let made = made.must(201);
    assert_eq!(
        (&made["is_active"], &made["newest_version"], &made["when"]),
        (&json!(false), &json!(1), &json!("agent.anomaly_score >= 0.8"))
    );
    assert!(made["notes"].to_string().contains("not in force"));
    assert_eq!(served.post("/policies/p/activate", json!({})).must(200)["active_version"], 1);
    let mut second = policy(0.9);
    second.as_object_mut().unwrap().remove("name");
    let put = |tag: &str| {
        let headers = [("Content-Type", "application/json"), ("If-Match", tag)];
        served.raw("PUT", "/api/v1/policies/p", &headers, second.to_string().as_bytes())
    };
    assert_eq!(put("\"v1\"").must(200)["newest_version"], 2);
    assert_eq!(put("\"v1\"").refused(412), "version");
    let diff = served.get("/policies/p/diff");
    assert_eq!((&diff["from"], &diff["to"]), (&json!(1), &json!(2)));
    assert!(diff["changes"].as_array().unwrap().iter().any(|change| change["path"] == "when"), "{diff}");
    assert_eq!(served.get("/policies/p/diff?from=2&to=2")["changes"], json!([]));
    served.send("GET", "/policies/p/diff?from=7", None).refused(404);
    assert_eq!(served.post("/policies/p/activate", json!({"version": 2})).must(200)["active_version"], 2);
    assert_eq!(served.post("/policies/p/rollback", json!({})).must(200)["active_version"], 1);
    served.post("/policies/p/rollback", json!({})).refused(409);
    assert_eq!(served.get("/policies/p/versions")["total"], 2);
    assert_eq!(served.get("/policies/p/versions/2")["when"], "agent.anomaly_score >= 0.9");
    served.send("GET", "/policies/p/versions/9", None).refused(404);
    assert_eq!(served.post("/policies/p/deactivate", json!({})).must(200)["is_active"], false);
    assert_eq!(served.get("/policies?active=false")["total"], 1);
    assert_eq!(served.get("/policies?active=true")["total"], 0);
    assert_eq!(served.get("/policies/p/effectiveness")["effectiveness_score"], 0.5);
    served.send("PUT", "/policies/p/held", Some(json!({"accept": true}))).refused(409);
}

#[test]
fn all_faults_of_a_policy_are_told_with_path_and_place() {
    let served = Served::owned().main();
    let bad = json!({"name": "p", "when": "agent.anomaly_scor >= 0.8 and", "actions": [{"type": "explode"}], "colour": "red"});
    let answer = served.post("/policies", bad).must(400);
    let faults = answer["details"]["faults"].as_array().unwrap();
    let paths: Vec<&str> = faults.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    assert!(
        paths.contains(&"colour") && paths.contains(&"when") && paths.iter().any(|path| path.starts_with("actions[0]")),
        "{answer}"
    );
    let when = faults.iter().find(|fault| fault["path"] == "when").unwrap();
    assert!(when["place"]["column"].is_u64(), "{when}");
    assert_eq!(served.get("/policies")["total"], 0, "nothing was made");
    let mut other = policy(0.8);
    other["supervisors"] = json!(["nobody"]);
    served.post("/policies", other).refused(404);
    assert_eq!(served.get("/policies")["total"], 0, "nothing was made");
}

#[test]
fn a_simulation_has_no_effect() {
    let served = Served::owned().main();
    served.agent("r1");
    served.post("/policies", policy(0.8)).must(201);
    let before = served.room.events_so_far();
    let would = served
        .post("/policies/p/simulate", json!({"agent_id": "r1", "context": {"agent": {"anomaly_score": 0.9}}}))
        .must(200);
    assert_eq!(
        (&would["would_match"], &would["would_execute"][0]["target"], &would["would_execute"][0]["reason"]),
        (&json!(true), &json!("r1"), &json!("r1 drifts"))
    );
    assert!(would["decision_path"][0]["held"] == true && would["duration_ms"].is_number(), "{would}");
    assert_eq!(served.send("POST", "/policies/p/simulate", None).must(200)["would_match"], false);
    assert_eq!(
        served.post("/policies/p/simulate", json!({"context": {"agent.colour": 1}})).refused(400),
        "context.agent.colour"
    );
    served.post("/policies/p/simulate", json!({"agent_id": "nobody"})).refused(404);
    served.post("/policies/q/simulate", json!({})).refused(404);
    assert_eq!(served.room.events_so_far(), before);
    assert_eq!(served.get("/policies/p/evaluations")["items"], json!([]));
}

#[test]
fn four_eyes_are_needed_for_a_dangerous_version() {
    let mut served = Served::with_tokens().main();
    let bomb = json!({"name": "bomb", "when": "agent.anomaly_score > 0.99", "actions": [{"type": "restart_all", "target": "${supervisor.id}"}]});
    let made = served.post("/policies", bomb).must(201);
    assert_eq!(made["dangerous"], true, "{made}");
    assert!(served.post("/policies/bomb/activate", json!({})).status >= 400, "nobody else has agreed");
    assert!(served.post("/policies/bomb/approve", json!({})).status >= 400, "not the author");
    served.shows(Some("second-0123456789")).post("/policies/bomb/approve", json!({})).must(200);
    assert_eq!(served.post("/policies/bomb/activate", json!({})).must(200)["active_version"], 1);
}

#[test]
fn policies_are_on_duty_by_priority() {
    let served = Served::owned().main();
    served.post("/policies", policy(0.8)).must(201);
    let mut other = policy(0.7);
    other["name"] = "q".into();
    other["supervisors"] = json!(["main"]);
    other["priority"] = json!(5);
    served.post("/policies", other).must(201);
    let duty = served.post("/supervisors/main/policies", json!({"policy_id": "p", "priority": 9})).must(200);
    let names: Vec<&str> =
        duty["items"].as_array().unwrap().iter().map(|one| one["policy"].as_str().unwrap()).collect();
    assert_eq!(names, ["p", "q"]);
    served.send("DELETE", "/supervisors/main/policies/p", None).must(200);
    let duty = served.get("/supervisors/main/policies");
    let p = duty["items"].as_array().unwrap().iter().find(|one| one["policy"] == "p").unwrap();
    assert!(p["disabled_at"].is_string(), "{duty}");
    assert_eq!(served.get("/policies/q")["on_duty"][0]["priority"], 5);
    served.post("/supervisors/nobody/policies", json!({"policy_id": "p"})).refused(404);
    served.post("/supervisors/main/policies", json!({"policy_id": "nobody"})).refused(404);
}

#[test]
fn an_alert_leads_to_an_evaluation_that_can_be_read_and_to_the_right_intervention() {
    let served = Served::owned().main();
    served.post("/agents", json!({"id": "w", "process": {"command": ["sleep", "9"]}})).must(201);
    let on_alert = json!({"name": "p", "when": "alert.kind == 'anomaly'", "actions": [{"type": "restart_agent"}], "supervisors": ["main"]});
    served.post("/policies", on_alert).must(201);
    served.post("/policies/p/activate", json!({})).must(200);
    served.post("/alerts", json!({"agent_id": "w", "severity": "ERROR", "message": "smoke"})).must(204);
    let evaluations = served.get("/supervisors/main/evaluations?decision=true&agent=w");
    let first = &evaluations["items"][0];
    assert_eq!(
        (&first["policy"], &first["trigger"], &first["decision"]),
        (&json!("p"), &json!("alert"), &json!(true)),
        "{evaluations}"
    );
    let path = format!("/evaluations/{}", first["id"]);
    assert!(!served.get(&path)["decision_path"].as_array().unwrap().is_empty());
    assert_eq!(served.get("/policies/p/evaluations")["items"][0]["id"], first["id"]);
    let plan = served.get("/interventions?policy=p");
    assert_eq!((&plan["items"][0]["target_id"], &plan["items"][0]["evaluation"]), (&json!("w"), &first["id"]));
    let why = served.get("/agents/w/why");
    assert_eq!(why["evaluations"][0]["id"], first["id"], "{why}");
    served.send("GET", "/evaluations/99", None).refused(404);
    served.send("GET", "/evaluations/x", None).refused(404);
}
