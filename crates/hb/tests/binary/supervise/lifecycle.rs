//! A8: PAUSED stays PAUSED and what is over stays over, through `kill -9` and through a stop in good order, which is neither of the two (S7).

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::asking::send;
use super::site::{Site, lives, signal};
use super::sound::assert_sound;
use crate::support::node::Node;
use crate::support::until;

fn want(site: &Site, address: SocketAddr, path: &str, body: &Value) {
    let (status, told) = until("it is at work", || {
        let (status, told) = send(site, address, "POST", path, body);
        (status != 503).then_some((status, told))
    });
    assert!((200..300).contains(&status), "POST {path}: {status} {told}");
}

/// Status, wish and presence of a supervisor, as the API tells them.
fn standing(site: &Site, address: SocketAddr, id: &str) -> [String; 3] {
    until("it has recovered", || {
        let (status, health) = send(site, address, "GET", &format!("/supervisors/{id}/health"), &Value::Null);
        let state = health["presence"]["state"].as_str().filter(|_| status == 200)?.to_owned();
        let word = |key: &str| health[key].as_str().unwrap_or_default().to_owned();
        (!matches!(state.as_str(), "standby" | "recovering")).then(|| [word("status"), word("wanted"), state])
    })
}

fn assert_standing(site: &Site, node: &mut Node) {
    let address = node.address();
    assert_eq!(standing(site, address, "line"), ["PAUSED", "PAUSED", "paused"], "s7: {}", node.name);
    assert_eq!(standing(site, address, "done"), ["TERMINATED", "TERMINATED", "stopped"], "s7: {}", node.name);
    assert_eq!(standing(site, address, "main"), ["ACTIVE", "ACTIVE", "active"], "s7: {}", node.name);
}

#[test]
fn a8_s7_what_the_api_paused_stays_paused_and_what_is_over_stays_over() {
    let rule = "restart: {backoff_sec: 0.1, max_restarts: 100}";
    let site = Site::new(&format!(
        "agents:\n  w: {{process: {{command: [PROGRAM, sleep, 600]}}, {rule}}}\n  \
         other: {{process: {{command: [PROGRAM, sleep, 600]}}, {rule}}}\n"
    ));
    let mut node = site.serve("a");
    site.calm(&mut node);
    site.started("w", 1);
    site.started("other", 1);
    let address = node.address();
    want(&site, address, "/supervisors", &json!({"name": "line", "agents": ["w"]}));
    want(&site, address, "/supervisors", &json!({"name": "done"}));
    want(&site, address, "/supervisors/line/pause", &Value::Null);
    want(&site, address, "/supervisors/done/stop", &Value::Null);
    let w = site.up("w");
    node.kill();

    // Both agents die while nobody looks: the one that is monitored is started again, the other one is not.
    for id in ["w", "other"] {
        signal(&site.up(id), Signal::SIGKILL);
    }
    let mut node = site.serve("a");
    assert_standing(&site, &mut node);
    site.started("other", 2);
    assert!(!lives(Some(&w)));
    assert_eq!(node.stop(), 0, "{}", node.log());

    // A stop in good order ends no supervisor and resumes none; neither does the next kill.
    let mut node = site.serve("a");
    assert_standing(&site, &mut node);
    node.kill();
    let mut node = site.serve("a");
    assert_standing(&site, &mut node);
    assert_eq!(site.starts_of("w").len(), 1, "nobody who is paused acts");

    let address = node.address();
    let (status, refused) = send(&site, address, "POST", "/supervisors/done/resume", &Value::Null);
    assert_eq!(status, 409, "what is over is over: {refused}");
    want(&site, address, "/supervisors/line/resume", &Value::Null);
    site.started("w", 2);
    assert_eq!(standing(&site, address, "line"), ["ACTIVE", "ACTIVE", "active"]);
    let fold = site.calm_after(hb_core::ids::Epoch(0), &mut node);
    assert_eq!(site.told("w", "agent.exited").len(), 1, "a3: its end is handled once");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &fold);
}
