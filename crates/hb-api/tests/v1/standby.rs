//! A node that stands by, and one that is told to end.

use hb_api::v1::seam::Elsewhere;
use hb_api::{Access, Anonymous};
use hb_core::supervise::input::OnStop;
use serde_json::json;

use crate::support::{OWNER, Room, Served};

#[test]
fn a_standby_shows_what_it_reads_changes_nothing_and_names_the_active_node() {
    let mut room = Room::new();
    room.elsewhere = Some(Elsewhere { node: "b".into(), address: Some("http://127.0.0.1:4711".into()) });
    let served = Served::with(room, Access::owner(OWNER, Anonymous::Reads));
    assert_eq!(served.get("/agents")["total"], 0);
    assert_eq!(served.get("/status")["presence"]["state"], "standby");
    assert_eq!(served.get("/api/supervisor/status")["running"], false);
    for (path, body) in [
        ("/supervisors", json!({"name": "x"})),
        ("/agents/a/beat", json!({"sequence_number": 1})),
        ("/shutdown", json!({})),
    ] {
        let answer = served.post(path, body);
        assert_eq!(answer.header("retry-after"), "1");
        let answer = answer.must(503);
        assert_eq!(
            (&answer["error"], &answer["details"]["active"]),
            (&json!("standby"), &json!({"node": "b", "address": "http://127.0.0.1:4711"}))
        );
        assert!(answer["message"].as_str().unwrap().contains("http://127.0.0.1:4711"));
    }
}

#[test]
fn a_standby_that_knows_of_nobody_says_so() {
    let served = Served::with(Room::new(), Access::owner(OWNER, Anonymous::Reads));
    let answer = served.post("/supervisors", json!({"name": "x"})).must(503);
    assert_eq!((&answer["error"], &answer["details"]), (&json!("standby"), &json!({})));
}

#[test]
fn a13_both_verbs_of_stopping_reach_the_node() {
    let served = Served::owned().main();
    assert_eq!(
        served.post("/shutdown", json!({"agents": "stop", "reason": "maintenance"})).must(202)["agents"],
        "stop"
    );
    assert_eq!(served.send("POST", "/api/supervisor/shutdown", None).must(202)["agents"], "leave");
    assert_eq!(served.post("/shutdown", json!({"agents": "explode"})).refused(400), "agents");
    let told = served.room.shutdowns();
    assert_eq!(told.iter().map(|(agents, _)| *agents).collect::<Vec<_>>(), [OnStop::Stop, OnStop::Leave]);
    assert!(told[0].1.contains("token:owner") && told[0].1.contains("maintenance"), "{told:?}");
}
