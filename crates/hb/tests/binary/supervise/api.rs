//! The API of the real binary: what it answers is durable, a standby names the active node, and followers miss nothing across a `kill -9`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hb_core::supervise::agent::Process;
use serde_json::{Value, json};

use super::asking::{exchange, follow, send, send_with};
use super::site::Site;
use super::sound::assert_sound;
use crate::support::node::Node;
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

#[test]
fn a1_s4_a_named_request_and_a_note_survive_a_kill_and_the_request_is_not_carried_out_again() {
    let site = Site::new("agents:\n  w: {process: {command: [PROGRAM, sleep, 600]}}\n");
    let mut node = site.serve("a");
    site.calm(&mut node);
    site.started("w", 1);
    let restart = |node: &mut Node| {
        let key = [("Idempotency-Key", "restart w, Monday")];
        send_with(&site, node.address(), ("POST", "/agents/w/restart"), &key, &json!({"reason": "slow"}))
    };
    let first = restart(&mut node);
    assert_eq!(first.status, 202, "{:?}", first.body);
    site.started("w", 2);
    assert_eq!(send(&site, node.address(), "POST", "/events/0/acknowledge", &json!({"note": "seen"})).0, 200);
    for _ in 0..2 {
        node.kill();
        node = site.serve("a");
        site.calm(&mut node);
        let again = restart(&mut node);
        assert_eq!((again.status, again.header("Idempotency-Replayed")), (202, Some("true")), "{:?}", again.body);
        assert_eq!(again.body["id"], first.body["id"], "s4: the same intervention");
        let event = send(&site, node.address(), "GET", "/events/0", &Value::Null).1;
        assert_eq!(event["acknowledged"]["by"], "token:owner", "{event}");
    }
    let fold = site.calm(&mut node);
    assert_eq!((site.starts_of("w").len(), fold.state.counters.intervention), (2, 1), "s4: it acted once");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &fold);
}

#[test]
fn the_configuration_and_the_tokens_are_read_again_over_the_api_and_by_a_signal() {
    let site = Site::new("");
    let tokens = site.project.dir().join("tokens");
    let yaml = format!("tokens_file: {}\nagents:\n  r: {{heartbeat: {{}}}}\n", tokens.display());
    let write = |text: &str| {
        fs::write(&tokens, text).unwrap();
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("ada ADMIN 0123456789abcdef-ada\n");
    site.configure(&yaml);
    let mut node = site.serve("a");
    let address = node.address();
    let ask = |token: &str, verb: &str, path: &str| {
        let bearer = format!("Bearer {token}");
        exchange(address, (verb, path), &[("Authorization", &bearer)], &Value::Null).unwrap()
    };
    let (ada, bob) = ("0123456789abcdef-ada", "0123456789abcdef-bob");
    until("it is at work", || (ask(ada, "GET", "/agents/r").status == 200).then_some(()));
    let before = ask(ada, "GET", "/config").body;
    assert_eq!((&before["declared"]["agents"], &before["refused"]), (&json!(["r"]), &Value::Null), "{before}");

    write("ada ADMIN 0123456789abcdef-ada\nbob ADMIN 0123456789abcdef-bob\n");
    site.configure(&yaml.replace("  r:", "  s: {heartbeat: {}}\n  r:"));
    assert_eq!(ask(bob, "GET", "/config").status, 401, "not before they are read");
    let taken = ask(ada, "POST", "/config/reload");
    assert_eq!(taken.status, 200, "{:?}", taken.body);
    assert_ne!(taken.body["hash"], before["hash"]);
    until("what it declares is in force", || {
        (ask(bob, "GET", "/config").body["declared"]["agents"] == json!(["r", "s"])).then_some(())
    });

    // Faults in either are told, and nothing of it is taken.
    for (text, config) in [
        ("ada KING 0123456789abcdef-ada\n", yaml.clone()),
        ("bob ADMIN 0123456789abcdef-bob\n", yaml.replace("agents", "agnets")),
    ] {
        write(text);
        site.configure(&config);
        let refused = ask(bob, "POST", "/config/reload");
        assert_eq!(refused.status, 409, "{:?}", refused.body);
        let refusal = ask(bob, "GET", "/config").body["refused"].as_str().unwrap().to_owned();
        assert!(refusal.contains("KING") || refusal.contains("agnets") || refusal.contains("line 1"), "{refusal}");
        println!("reload: {refusal}");
        write("bob ADMIN 0123456789abcdef-bob\n");
    }
    site.configure(&yaml);
    node.signal(nix::sys::signal::Signal::SIGHUP);
    until("the token that is gone is not known any more", || (ask(ada, "GET", "/config").status == 401).then_some(()));
    until("all is well again", || ask(bob, "GET", "/config").body["refused"].is_null().then_some(()));
    assert_eq!(node.stop(), 0, "{}", node.log());
}

#[test]
fn what_is_known_already_is_not_sent_again_and_of_two_changes_one_is_refused() {
    let site = Site::new("");
    let mut node = site.serve("a");
    let address = node.address();
    let policy = json!({"name": "p", "when": "agent.anomaly_score >= 0.8", "actions": [{"type": "notify"}]});
    until("it is at work", || (send(&site, address, "POST", "/policies", &policy).0 == 201).then_some(()));
    let seen = send_with(&site, address, ("GET", "/policies/p"), &[], &Value::Null);
    let tag = seen.header("etag").unwrap().to_owned();
    assert_eq!(send_with(&site, address, ("GET", "/policies/p"), &[("If-None-Match", &tag)], &Value::Null).status, 304);
    // Both saw the same version and send at the same moment: the command itself looks, so that just one of them is taken.
    let change = |limit: f64| {
        let mut change = policy.clone();
        change["when"] = format!("agent.anomaly_score >= {limit}").into();
        send_with(&site, address, ("PUT", "/policies/p"), &[("If-Match", &tag)], &change).status
    };
    let change = &change;
    let mut told = std::thread::scope(|scope| {
        let all: Vec<_> = [0.5, 0.6, 0.7, 0.9].map(|limit| scope.spawn(move || change(limit))).into_iter().collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    told.sort_unstable();
    assert_eq!(told, [200, 412, 412, 412]);
    assert_eq!(send(&site, address, "DELETE", "/policies/p", &Value::Null).0, 204);
    node.kill();
    let mut node = site.serve("a");
    let address = node.address();
    let kept = until("it is at work again", || {
        let (status, kept) = send(&site, address, "GET", "/policies/p", &Value::Null);
        (status == 200).then_some(kept)
    });
    assert!(kept["retired_at"].is_string() && kept["newest_version"] == 2, "{kept}");
    assert_eq!(node.stop(), 0);
}

#[test]
fn a_list_where_hb_yaml_wants_a_mapping_is_refused_with_its_place() {
    let site = Site::new(
        "agents:\n  a:\n    process: [[sleep, 600]]\n  b:\n    process: {command: [sleep], limits: [1, 2]}\n",
    );
    let checked = site.project.command(&["config", "check"]).arg(site.project.config()).output().unwrap();
    let said = crate::support::project::told(&checked);
    assert!(!checked.status.success(), "{said}");
    assert!(said.contains("agents.a.process") && said.contains("agents.b.process.limits"), "both are told: {said}");
    assert!(said.contains("mapping") && said.contains(":4:"), "with what is wanted, and where: {said}");
}

#[test]
fn commands_retire_take_note_and_reload() {
    let site = Site::new("agents:\n  r: {heartbeat: {}}\n");
    let mut node = site.serve("a");
    let address = node.address();
    let policy = json!({"name": "p", "when": "agent.anomaly_score >= 0.8", "actions": [{"type": "notify"}]});
    until("it is at work", || (send(&site, address, "POST", "/policies", &policy).0 == 201).then_some(()));
    let hb = |args: &[&str]| {
        let output = site.project.hb(args);
        let said = crate::support::project::told(&output);
        assert!(output.status.success(), "{args:?}: {said}");
        said
    };
    assert!(hb(&["policy", "retire", "p"]).contains("retired"));
    assert!(send(&site, address, "GET", "/policies/p", &Value::Null).1["retired_at"].is_string());
    assert!(hb(&["events", "--acknowledge", "0", "--note", "seen"]).contains("noted by token:owner"));
    assert!(hb(&["events", "--kind", "event.acknowledged"]).contains("event 0: seen"));
    site.configure("agents:\n  r: {heartbeat: {}}\n  s: {heartbeat: {}}\n");
    assert!(hb(&["supervisor", "reload"]).contains("in force"));
    until("what it declares is known", || site.agent("s").map(drop));
    site.configure("agents:\n  r: [heartbeat]\n");
    let refused = site.project.hb(&["supervisor", "reload"]);
    let said = crate::support::project::told(&refused);
    assert!(!refused.status.success() && said.contains("agents.r"), "{said}");
    assert_eq!(node.stop(), 0);
}
