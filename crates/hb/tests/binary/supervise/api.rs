//! The API of the real binary: what it answers is durable, a standby names the active node, and followers miss nothing across a `kill -9`.

use hb_core::supervise::agent::Process;
use serde_json::{Value, json};

use super::asking::{follow, send};
use super::site::Site;
use crate::support::until;

#[test]
fn a1_what_the_api_acknowledged_survives_a_kill_and_followers_miss_nothing() {
    let site = Site::new("on_stop: stop\n");
    let mut node = site.serve("a");
    let address = node.address();
    let none = Value::Null;
    let made = until("it is at work", || {
        let (status, made) = send(&site, address, "POST", "/supervisors", &json!({"name": "line"}));
        (status != 503).then_some((status, made))
    });
    assert_eq!(made.0, 201, "{made:?}");
    let program = site.filled("PROGRAM");
    let spec = json!({"id": "w", "process": {"command": [program, "sleep", "600"]}});
    assert_eq!(send(&site, address, "POST", "/agents", &spec).0, 201);
    site.up("w");
    assert_eq!(send(&site, address, "POST", "/supervisors/line/pause", &none).0, 200);
    let known = send(&site, address, "GET", "/status", &none).1["next_event"].as_u64().unwrap();
    node.kill();
    let mut node = site.serve("a");
    let address = node.address();
    site.calm(&mut node);
    let (_, found) = send(&site, address, "GET", "/agents/w", &none);
    assert_eq!((&found["status"], &found["process"]["alive"]["adopted"]), (&json!("RUNNING"), &json!(true)), "{found}");
    assert_eq!(send(&site, address, "GET", "/supervisors/line", &none).1["status"], "PAUSED");
    let newest = send(&site, address, "GET", "/events?limit=1", &none).1["items"][0]["id"].as_u64().unwrap();
    assert!(newest + 1 >= known, "{newest} {known}");
    assert_eq!(
        follow(address, 0, newest),
        (1..=newest).collect::<Vec<_>>(),
        "before and after the kill, without a gap"
    );
    let (status, told) = send(&site, address, "POST", "/shutdown", &json!({"agents": "stop"}));
    assert_eq!((status, &told["agents"]), (202, &json!("stop")));
    assert_eq!(node.exit_code(), 0, "{}", node.log());
    assert_eq!(site.agent("w").unwrap().process, Process::Absent, "a13: stopped with the node");
}

#[test]
fn a9_a_standby_answers_questions_and_names_the_active_node_for_the_rest() {
    let site = Site::new("lease: {ttl_sec: 1}\nagents:\n  r: {heartbeat: {}}\n");
    let mut active = site.serve("a");
    let at_work = active.address();
    site.reign();
    active.wait_role("active");
    let mut standby = site.serve("b");
    standby.wait_role("standby");
    let beside = standby.address();
    let seen = until("the standby has read along", || {
        let (status, seen) = send(&site, beside, "GET", "/agents/r", &Value::Null);
        (status == 200).then_some(seen)
    });
    assert_eq!(seen["kind"], "heartbeat");
    let refused = until("the active node has said where it is", || {
        let (status, refused) = send(&site, beside, "POST", "/agents/r/stop", &Value::Null);
        assert_eq!(status, 503, "{refused}");
        refused["details"]["active"].is_object().then_some(refused)
    });
    assert_eq!(refused["details"]["active"], json!({"node": "a", "address": format!("http://{at_work}")}));
    assert_eq!(send(&site, at_work, "POST", "/agents/r/stop", &Value::Null).0, 200);
}
