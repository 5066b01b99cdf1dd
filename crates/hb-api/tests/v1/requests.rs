//! Requests with names of their own, answers that are known already, versions, notes of events, the configuration.

use hb_api::Access;
use serde_json::{Value, json};

use crate::support::{Answer, Served, TOKENS};

/// With headers.
fn send(served: &Served, (verb, path): (&str, &str), headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend_from_slice(headers);
    served.raw(verb, &format!("/api/v1{path}"), &all, body.to_string().as_bytes())
}

fn policy(name: &str, supervisors: &[&str]) -> Value {
    let action = json!({"type": "notify"});
    json!({"name": name, "when": "agent.anomaly_score >= 0.8", "actions": [action], "supervisors": supervisors, "priority": 3})
}

#[test]
fn s4_a_named_request_is_carried_out_once_and_answered_alike() {
    let served = Served::owned().main();
    let make =
        || send(&served, ("POST", "/agents"), &[("Idempotency-Key", "k 1")], &json!({"id": "r", "heartbeat": {}}));
    let (first, again) = (make(), make());
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    assert_eq!((first.header("location"), first.header("etag")), (again.header("location"), again.header("etag")));
    let events = served.room.events_so_far();
    assert_eq!(first.must(201), again.must(201));
    make().must(201);
    assert_eq!(served.room.events_so_far(), events, "nothing happened");
    let other = send(&served, ("POST", "/agents"), &[("Idempotency-Key", "k 1")], &json!({"id": "s", "heartbeat": {}}));
    assert_eq!(other.refused(409), "Idempotency-Key");
    let elsewhere = send(&served, ("POST", "/agents/r/stop"), &[("Idempotency-Key", "k 1")], &json!({}));
    assert_eq!(elsewhere.refused(409), "Idempotency-Key", "another path is another request");
    for bad in ["", "é", &"x".repeat(201)] {
        let refused =
            send(&served, ("POST", "/agents"), &[("Idempotency-Key", bad)], &json!({"id": "s", "heartbeat": {}}));
        assert_eq!(refused.refused(400), "Idempotency-Key", "{bad:?}");
    }
    // What only looks takes no notice of it.
    assert_eq!(served.raw("GET", "/api/v1/agents", &[("Idempotency-Key", "k 1")], b"").status, 200);
}

#[test]
fn s4_what_acts_acts_once_and_what_consists_of_several_changes_does_too() {
    let served = Served::owned().main();
    served.post("/agents", json!({"id": "r", "process": {"command": ["x"]}})).must(201);
    let restart =
        || send(&served, ("POST", "/agents/r/restart"), &[("Idempotency-Key", "a")], &json!({"reason": "slow"}));
    assert_eq!(restart().must(202)["id"], restart().must(202)["id"]);
    assert_eq!(served.get("/interventions")["items"].as_array().unwrap().len(), 1);
    let make = || send(&served, ("POST", "/policies"), &[("Idempotency-Key", "p")], &policy("p", &["main"]));
    assert_eq!(make().must(201), make().must(201));
    for limit in ["0.9", "0.95"] {
        let mut next = policy("p", &[]);
        next["when"] = format!("agent.anomaly_score >= {limit}").into();
        served.post("/policies", next).must(201);
    }
    served.post("/policies/p/activate", json!({"version": 3})).must(200);
    let back = || send(&served, ("POST", "/policies/p/rollback"), &[("Idempotency-Key", "back")], &json!({}));
    assert_eq!(
        (back().must(200)["active_version"].clone(), back().must(200)["active_version"].clone()),
        (json!(2), json!(2))
    );
    served.post("/policies/p/rollback", json!({})).must(200);
    assert_eq!(back().must(200)["active_version"], 1, "as before, about the policy as it is by now");
}

#[test]
fn an_answer_that_is_known_is_not_sent_again() {
    let served = Served::owned().main();
    served.post("/policies", policy("p", &[])).must(201);
    for path in ["/supervisors/main", "/policies/p", "/policies/p/versions/1", "/events/0", "/config"] {
        let path = format!("/api/v1{path}");
        let seen = served.raw("GET", &path, &[], b"");
        let tag = seen.header("etag").to_owned();
        assert!(tag.len() > 8, "{path}: {tag}");
        for given in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let known = served.raw("GET", &path, &[("If-None-Match", &given)], b"");
            assert_eq!(
                (known.status, known.body.as_str(), known.header("etag")),
                (304, "", tag.as_str()),
                "{path} {given}"
            );
        }
        assert_eq!(served.raw("GET", &path, &[("If-None-Match", "\"other\"")], b"").status, 200);
    }
    // Another body is another tag, although the version is the same.
    let tag = served.raw("GET", "/api/v1/policies/p", &[], b"").header("etag").to_owned();
    served.post("/policies/p/activate", json!({})).must(200);
    let seen = served.raw("GET", "/api/v1/policies/p", &[("If-None-Match", &tag)], b"");
    assert_eq!((seen.status, seen.version()), (200, "v1"));
    assert_ne!(seen.header("etag"), tag);
}

#[test]
fn the_tag_of_an_answer_guards_a_change() {
    let served = Served::owned().main();
    served.post("/policies", policy("p", &[])).must(201);
    let tag = served.raw("GET", "/api/v1/policies/p", &[], b"").header("etag").to_owned();
    let put = |limit: &str| {
        let mut next = policy("p", &[]);
        next["when"] = format!("agent.anomaly_score >= {limit}").into();
        send(&served, ("PUT", "/policies/p"), &[("If-Match", &tag)], &next)
    };
    assert_eq!(put("0.9").must(200)["newest_version"], 2);
    assert_eq!(put("0.95").refused(412), "version");
    assert_eq!(send(&served, ("DELETE", "/policies/p"), &[("If-Match", &tag)], &json!({})).refused(412), "version");
    assert_eq!(send(&served, ("PUT", "/policies/none"), &[], &policy("none", &[])).refused(404), "name");
}

#[test]
fn a_policy_is_retired_and_brought_back() {
    let served = Served::owned().main();
    served.post("/policies", policy("p", &["main"])).must(201);
    served.post("/policies/p/activate", json!({})).must(200);
    served.send("DELETE", "/policies/p", None).must(204);
    let seen = served.get("/policies/p");
    assert!(seen["retired_at"].is_string() && seen["is_active"] == false, "{seen}");
    assert_eq!(seen["on_duty"][0]["enabled"], false);
    assert_eq!(
        (&served.get("/policies")["total"], &served.get("/policies?retired=true")["total"]),
        (&json!(0), &json!(1))
    );
    served.post("/policies/p/activate", json!({})).must(409);
    served.send("DELETE", "/policies/p", None).must(204);
    assert!(served.post("/policies", policy("p", &[])).must(201)["retired_at"].is_null());
    assert_eq!(served.get("/policies")["total"], 1);
    served.send("DELETE", "/policies/none", None).refused(404);
}

#[test]
fn events_are_taken_note_of_once() {
    let mut served = Served::with_tokens().main();
    assert!(served.get("/events/0")["acknowledged"].is_null());
    let noted = served.post("/events/0/acknowledge", json!({"note": "known since Monday"})).must(200);
    assert_eq!(noted["acknowledged"]["by"], "token:owner");
    let again = served.shows(Some("second-0123456789")).post("/events/0/acknowledge", json!({})).must(200);
    assert_eq!(again, noted, "the first one counts");
    let notes = served.get("/events?kind=event.acknowledged");
    assert_eq!(notes["items"].as_array().unwrap().len(), 1, "{notes}");
    assert!(notes["items"][0]["message"].as_str().unwrap().contains("known since Monday"));
    served.post("/events/99999/acknowledge", json!({})).refused(404);
    served.post("/events/x/acknowledge", json!({})).refused(404);
    served.send("POST", "/api/supervisor/events/1/acknowledge", None).must(200);
    served.shows(Some("developer-0123456789")).post("/events/2/acknowledge", json!({})).refused(403);
}

#[test]
fn the_configuration_is_shown_and_read_again() {
    let served = Served::owned().main();
    let config = served.get("/config");
    assert_eq!((&config["file"], &config["refused"]), (&json!("hb.yaml"), &Value::Null));
    assert_eq!(config["declared"], json!({"agents": [], "policies": [], "supervisors": [], "teams": []}));
    assert_eq!(served.post("/config/reload", json!({})).must(200), config);
    served.send("POST", "/api/supervisor/config/reload", None).must(200);
    assert_eq!(served.room.reloads(), 2);
    *served.room.broken.lock().unwrap() = Some("line 3: there is no key `agnets`".into());
    let refused = served.post("/config/reload", json!({})).must(409);
    assert!(refused["message"].as_str().unwrap().contains("agnets"), "{refused}");
}

#[test]
fn tokens_that_were_read_again_count_at_once() {
    let served = Served::with_tokens().main();
    served.api.admit(Access::read(&TOKENS.replace("owner ADMIN", "owner DEVELOPER")).unwrap());
    served.post("/supervisors/main/pause", json!({})).refused(403);
    served.api.admit(Access::read("other ADMIN other-0123456789").unwrap());
    assert_eq!(served.send("GET", "/supervisors", None).status, 401);
}

#[test]
fn what_an_agent_works_at_is_shown() {
    let served = Served::owned().main();
    served.agent("r");
    let beat = json!({"sequence_number": 2, "current_task_id": "job 7"});
    served.post("/agents/r/beat", beat).must(200);
    assert_eq!(served.get("/agents/r")["current_task_id"], "job 7");
    assert_eq!(served.get("/agents")["items"][0]["current_task_id"], "job 7");
}
