//! Agents: made known, looked at, acted on; and their beats.

use serde_json::{Value, json};

use crate::support::Served;

#[test]
fn an_agent_is_made_known_respecified_stopped_started_and_deleted() {
    let served = Served::owned().main();
    let made = served.post("/agents", json!({"id": "w", "process": {"command": ["sleep", "9"]}, "tags": ["left"]}));
    assert_eq!((made.header("location"), made.version()), ("/api/v1/agents/w", "v1"));
    let made = made.must(201);
    assert_eq!(
        (&made["kind"], &made["status"], &made["supervisor_id"]),
        (&json!("process"), &json!("RUNNING"), &json!("main"))
    );
    assert_eq!(served.post("/agents", json!({"id": "w"})).refused(409), "id");
    let put = |tag: &str, argument: &str| {
        let headers = [("Content-Type", "application/json"), ("If-Match", tag)];
        let body = json!({"process": {"command": ["sleep", argument]}}).to_string();
        served.raw("PUT", "/api/v1/agents/w/spec", &headers, body.as_bytes())
    };
    let changed = put("\"v1\"", "8").must(200);
    assert_eq!((&changed["spec_version"], &changed["spec"]["process"]["command"][1]), (&json!(2), &json!("8")));
    assert!(changed["notes"][0].as_str().unwrap().contains("next start"));
    put("\"v1\"", "7").refused(412);
    let spec = served.send("GET", "/agents/w/spec", None);
    assert_eq!(spec.version(), "v2");
    let mut spec = spec.must(200);
    spec["id"] = "other".into();
    assert_eq!(served.send("PUT", "/agents/w/spec", Some(spec)).refused(400), "id");
    let stopped = served.post("/agents/w/stop", json!({})).must(200);
    assert_eq!(
        (&stopped["wanted"], &stopped["status"], &stopped["pid"]),
        (&json!("down"), &json!("TERMINATED"), &json!(null))
    );
    assert_eq!(served.post("/agents/w/start", json!({})).must(200)["status"], "RUNNING");
    let unsure = served.send("DELETE", "/agents/w", None);
    assert!(unsure.status == 400 || unsure.status == 409, "{unsure:?}");
    let plan = served.send("DELETE", "/agents/w?confirm=true", None).must(202);
    assert_eq!(plan["intervention_type"], "DELETE");
    if plan["approval_required"] == false {
        served.send("GET", "/agents/w", None).refused(404);
    }
}

#[test]
fn agents_are_found_by_what_they_are_and_in_parts() {
    let served = Served::owned().main();
    for number in 0..5 {
        served.agent(&format!("r{number}"));
    }
    served
        .post("/agents", json!({"id": "w", "type": "monitor", "process": {"command": ["true"]}, "tags": ["left"]}))
        .must(201);
    for (query, expected) in [
        ("?kind=process", 1),
        ("?kind=heartbeat", 5),
        ("?status=running", 6),
        ("?status=FAILED", 0),
        ("?health=healthy", 6),
        ("?type=monitor", 1),
        ("?tag=left", 1),
        ("?supervisor=main", 6),
        ("?supervisor=other", 0),
        ("?team=none", 0),
    ] {
        assert_eq!(served.get(&format!("/agents{query}"))["total"], expected, "{query}");
    }
    let (mut skip, mut seen) = (Some(0), Vec::new());
    while let Some(at) = skip {
        let part = served.get(&format!("/agents?skip={at}&limit=4"));
        seen.extend(part["items"].as_array().unwrap().iter().map(|agent| agent["id"].as_str().unwrap().to_owned()));
        skip = part["next"].as_u64();
    }
    assert_eq!(seen, ["r0", "r1", "r2", "r3", "r4", "w"]);
    assert_eq!(served.get("/agents?skip=99")["items"], json!([]));
    assert_eq!(served.get("/api/supervisor/processes")["items"][0]["id"], "w");
    assert_eq!(served.get("/api/supervisor/processes/w")["kind"], "process");
    let status = served.get("/api/supervisor/status");
    assert_eq!(
        (&status["supervised_count"], &status["healthy_count"], &status["running"]),
        (&json!(6), &json!(6), &json!(true))
    );
}

#[test]
fn restart_quarantine_and_release_are_interventions_with_a_reason() {
    let served = Served::owned().main();
    served.post("/agents", json!({"id": "w", "process": {"command": ["sleep", "9"]}})).must(201);
    let plan = served.post("/agents/w/restart", json!({"reason": "it is slow"}));
    assert!(plan.header("location").starts_with("/api/v1/interventions/i-"));
    let plan = plan.must(202);
    assert_eq!(
        (&plan["intervention_type"], &plan["reason"], &plan["requested_by"]),
        (&json!("AGENT_RESTART"), &json!("it is slow"), &json!("token:owner"))
    );
    assert_eq!(served.get("/agents/w")["incarnation"], 2);
    served.send("POST", "/api/supervisor/processes/w/restart", None).must(202);
    served.send("POST", "/agents/w/quarantine", None).must(202);
    let aside = served.get("/agents/w");
    assert_eq!((&aside["status"], &aside["quarantine"]["by"]), (&json!("QUARANTINED"), &json!("token:owner")));
    assert_eq!(served.post("/agents/w/release", json!({})).refused(400), "body");
    assert_eq!(served.post("/agents/w/release", json!({"evidence": " "})).refused(400), "evidence");
    served.post("/agents/w/release", json!({"evidence": "looked at it"})).must(200);
    served.post("/agents/nobody/restart", json!({})).refused(404);
}

#[test]
fn why_tells_the_whole_chain() {
    let served = Served::owned().main();
    served.post("/agents", json!({"id": "w", "process": {"command": ["sleep", "9"]}})).must(201);
    served.post("/agents/w/restart", json!({"reason": "it is slow"})).must(202);
    let why = served.get("/agents/w/why");
    let because = why["because"].to_string();
    assert!(because.contains("w is RUNNING (healthy) since") && because.contains("killed by signal 15"), "{because}");
    assert_eq!(why["interventions"][0]["reason"], "it is slow");
    let events = why["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["by"] == "token:owner"), "{events:?}");
    let next = why["next"].as_array().unwrap();
    assert!(!next.is_empty() && next[0]["in_seconds"].as_f64().unwrap() > 0.0, "{next:?}");
    served.send("GET", "/agents/nobody/why", None).refused(404);
}

#[test]
fn beats_are_acknowledged_and_gaps_told() {
    let served = Served::owned().main();
    served.agent("r1");
    let beat = |body: Value| served.post("/agents/r1/beat", body);
    let full = json!({"agent_id": "r1", "timestamp": "2026-11-22T12:00:00Z", "sequence_number": 2, "status": "RUNNING", "current_task_id": "t-1",
        "health_metrics": {"cpu_usage_percent": 5, "custom_metrics": {"queue_depth": 7}}});
    assert_eq!(beat(full).must(200), json!({"agent_id": "r1", "sequence_number": 2, "received": true}));
    assert_eq!(served.get("/agents/r1")["metrics"], json!({"cpu_usage_percent": 5.0, "queue_depth": 7.0}));
    assert_eq!(beat(json!({"sequence_number": 5})).must(200)["message"], "missing 3 to 4");
    assert!(beat(json!({"sequence_number": 5})).must(200)["message"].as_str().unwrap().contains("not newer"));
    let unknown = served.post("/agents/nobody/beat", json!({"sequence_number": 1})).must(404);
    assert_eq!((&unknown["received"], &unknown["sequence_number"]), (&json!(false), &json!(1)));
    let spoiled = beat(json!({"sequence_number": 6, "checksum": "00"})).must(400);
    assert_eq!((&spoiled["received"], &spoiled["error"]), (&json!(false), &json!("bad_checksum")));
    assert_eq!(served.get("/agents/r1")["sequence_number"], 5, "nothing was changed");
    let sum = "d5b0f0a8c6f4a5c1f4a0a3f0a1f0f4b2"; // 32 digits are no SHA-256
    assert_eq!(beat(json!({"sequence_number": 6, "checksum": sum})).refused(400), "checksum");
    assert_eq!(beat(json!({"sequence_number": 6, "status": "UNRESPONSIVE"})).refused(400), "status");
    assert_eq!(beat(json!({"sequence_number": "six"})).refused(400), "sequence_number");
    let many: serde_json::Map<String, Value> = (0..101).map(|number| (format!("m{number}"), json!(1))).collect();
    let many = json!({"sequence_number": 6, "health_metrics": {"custom_metrics": many}});
    assert_eq!(beat(many).refused(400), "health_metrics.custom_metrics");
}

#[test]
fn all_faults_of_a_specification_are_told_with_their_paths() {
    let served = Served::owned().main();
    let answer = served
        .post("/agents", json!({"id": "w", "capacity": 0, "process": {"command": []}, "restart": {"jitter": 2}}))
        .must(400);
    let faults = answer["details"]["faults"].as_array().unwrap();
    assert!(faults.len() >= 3, "{answer}");
    let typed =
        served.post("/agents", json!({"id": "w", "process": {"command": ["x"], "limits": {"open_file": 3}}})).must(400);
    assert!(typed["details"]["field"].as_str().unwrap().starts_with("process.limits"), "{typed}");
    assert_eq!(served.get("/agents")["total"], 0, "nothing was made");
}
