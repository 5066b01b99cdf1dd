//! What people ask of a running supervisor, and tell it.

use serde_json::{Value, json};

use super::site::{Site, until};

const PROGRAMS: &str = r#"
agents:
  sleeper: {process: {command: [sleep, "1000"]}}
  talker:
    process: {command: [sh, -c, 'echo begun; while :; do sleep 0.1; done']}
  crasher:
    process: {command: [sh, -c, 'exit 3']}
    restart: {max_restarts: 2, backoff_sec: 0.01, backoff_max_sec: 0.02}
  robot: {heartbeat: {}}
teams:
  bench: {members: [sleeper, talker], objective: keeps going}
policies:
  tell-when-it-gave-up:
    when: agent.given_up == true
    actions: [{type: notify, reason: "${agent.id} needs somebody"}]
"#;

fn site() -> Site {
    let mut site = Site::new(PROGRAMS);
    site.node("n1", &["supervisor", "run"]);
    site.stands("sleeper", "RUNNING");
    site
}

#[test]
fn agents_are_listed_shown_and_acted_on() {
    let site = site();
    let listed = site.ok(&["agent", "list", "--json"]).lines();
    let ids: Vec<&str> = listed.iter().map(|agent| agent["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["crasher", "robot", "sleeper", "talker"]);
    assert_eq!(site.ok(&["agent", "list", "--team", "bench", "--json"]).lines().len(), 2);
    assert!(site.ok(&["agent", "list"]).out.starts_with("agent "));

    let before = site.agent("sleeper")["pid"].clone();
    let restarted = site.ok(&["agent", "restart", "sleeper", "--reason", "a try", "--wait", "--json"]).document();
    assert_eq!((&restarted["status"], &restarted["reason"]), (&json!("COMPLETED"), &json!("a try")));
    let after = site.stands("sleeper", "RUNNING");
    assert!(after["pid"] != before && after["incarnation"] == 2, "{after}");

    site.ok(&["agent", "quarantine", "sleeper", "--wait"]);
    assert_eq!(site.agent("sleeper")["status"], "QUARANTINED");
    site.ok(&["agent", "release", "sleeper", "--evidence", "it was looked at"]);
    site.stands("sleeper", "RUNNING");
    site.ok(&["agent", "stop", "sleeper", "talker"]);
    site.stands("sleeper", "TERMINATED");
    site.stands("talker", "TERMINATED");
    site.ok(&["agent", "start", "sleeper"]);
    site.stands("sleeper", "RUNNING");

    let beat = site.ok(&["agent", "beat", "robot", "--status", "running", "--metric", "load=0.5"]);
    assert!(beat.out.contains("beat 1"), "{}", beat.out);
    assert_eq!(site.stands("robot", "RUNNING")["metrics"], json!({"load": 0.5}));
    assert!(site.ok(&["agent", "beat", "robot", "--status", "running"]).out.contains("beat 2"));

    assert_eq!(site.hb(&["agent", "show", "nobody"]).code, 2);
    assert_eq!(site.hb(&["agent", "delete", "sleeper"]).code, 2, "it has to be confirmed");
    let declared = site.hb(&["agent", "delete", "sleeper", "--confirm"]);
    assert!(declared.code == 14 && declared.err.contains("hb.yaml"), "{}", declared.err);
    let stranger = site.hb_as(Some("0123456789abcdef-wrong"), &["agent", "stop", "sleeper"]);
    assert!(stranger.code == 14 && stranger.err.contains("not known here"), "{}", stranger.err);
}

#[test]
fn agents_are_made_known_and_forgotten() {
    let site = site();
    let document =
        site.file("more.yaml", "agents:\n  extra: {process: {command: [sleep, 1000]}}\n  other: {heartbeat: {}}\n");
    let path = document.display().to_string();
    assert!(site.ok(&["agent", "register", &path]).out.contains("extra is made known, version 1"));
    site.stands("extra", "RUNNING");
    site.file("more.yaml", "{id: extra, process: {command: [sleep, '2000']}}");
    assert!(site.ok(&["agent", "register", &path]).out.contains("extra is specified anew, version 2"));
    site.file("more.yaml", "id: extra\nprocess: {comand: [sleep]}\n");
    let wrong = site.hb(&["agent", "register", &path]);
    assert!(wrong.code == 2 && wrong.err.contains("comand"), "{}", wrong.err);
    site.ok(&["agent", "delete", "other", "--confirm"]);
    until("other is forgotten", || (site.hb(&["agent", "show", "other"]).code == 2).then_some(()));
}

#[test]
fn why_tells_the_chain_from_cause_to_outcome() {
    let site = site();
    site.stands("crasher", "QUARANTINED");
    let told = until("the policy has told somebody", || {
        let told = site.ok(&["agent", "why", "crasher"]).out;
        told.contains("people were told").then_some(told)
    });
    let mut from = 0;
    for part in [
        "agent.registered",
        "agent.exited",
        "exited with status 3",
        "agent.gave_up",
        "policy tell-when-it-gave-up (version 1)",
        "agent.given_up == true, and it was true: held",
        "so: notify: people were told",
        "Now:",
        "crasher is QUARANTINED",
        "last exit       exited with status 3",
        "2 of 2 allowed",
        "set aside       by hb",
    ] {
        let found = told[from..].find(part).unwrap_or_else(|| panic!("{part}\nafter {from} in\n{told}"));
        from += found;
    }
    let sleeper = site.ok(&["agent", "restart", "sleeper", "--reason", "for a look", "--wait"]);
    assert!(sleeper.out.contains("COMPLETED"), "{}", sleeper.out);
    let told = site.ok(&["agent", "why", "sleeper"]).out;
    for part in [
        "intervention i-",
        "AGENT_RESTART of sleeper: COMPLETED",
        "asked for by token:owner",
        "for a look",
        "1. restart sleeper: done",
    ] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
    let document = site.ok(&["agent", "why", "sleeper", "--json"]).document();
    assert!(document["because"].is_array() && document["interventions"][0]["status"] == "COMPLETED");
}

#[test]
fn output_of_an_agent_is_shown_and_followed() {
    let mut site = site();
    until("talker has begun", || site.hb(&["agent", "logs", "talker"]).out.contains("begun").then_some(()));
    let followed = site.watching("talker.out", &["agent", "logs", "talker", "-f", "-n", "0"]);
    site.ok(&["agent", "restart", "talker", "--wait"]);
    until("what it writes is followed", || {
        std::fs::read_to_string(&followed).ok().filter(|text| text.contains("begun"))
    });
    assert_eq!(site.hb(&["agent", "logs", "robot"]).code, 69);
    assert_eq!(site.hb(&["agent", "logs", "../../etc/passwd"]).code, 2);
}

#[test]
fn teams_and_supervisors_are_made_changed_and_forgotten() {
    let site = site();
    let made =
        site.ok(&["supervisor", "create", "sub", "--parent", "main", "--set", "heartbeat_interval=10", "--json"]);
    assert_eq!(made.document()["config"]["heartbeat_interval"], 10.0);
    let wrong = site.hb(&["supervisor", "create", "sub2", "--set", "heartbeat_intervall=10"]);
    assert!(wrong.code == 2 && wrong.err.contains("heartbeat_intervall"), "{}", wrong.err);
    let tree = site.ok(&["supervisor", "tree"]).out;
    assert!(tree.starts_with("main ACTIVE: 4 agents") && tree.contains("\n  sub ACTIVE: 0 agents"), "{tree}");
    site.ok(&["supervisor", "pause", "sub"]);
    assert_eq!(site.ok(&["supervisor", "show", "sub", "--json"]).document()["status"], "PAUSED");
    site.ok(&["supervisor", "resume", "sub"]);
    assert!(site.ok(&["supervisor", "health", "main"]).out.contains("its node is active"));

    let team = site.ok(&["team", "create", "field", "robot", "--supervisor", "sub", "--json"]).document();
    assert_eq!((&team["id"], &team["member_count"]), (&json!("field"), &json!(1)));
    site.ok(&["team", "add", "field", "crasher", "--role", "trainee"]);
    assert_eq!(site.hb(&["team", "add", "field", "sleeper"]).code, 14, "it is a member of bench");
    assert_eq!(site.ok(&["team", "remove", "field", "crasher", "--json"]).document()["member_count"], 1);
    assert!(site.ok(&["team", "list"]).out.contains("keeps going"));
    site.ok(&["team", "delete", "field"]);
    site.ok(&["supervisor", "delete", "sub"]);
    assert_eq!(site.ok(&["supervisor", "list", "--json"]).lines().len(), 1);
}

#[test]
fn four_eyes_agree_or_refuse() {
    let mut site = Site::new(&format!("tokens_file: tokens\n{PROGRAMS}"));
    let (ada, bob) = ("0123456789abcdef-ada", "0123456789abcdef-bob");
    let tokens = site.file("tokens", &format!("ada ADMIN {ada}\nbob ADMIN {bob}\n"));
    std::fs::set_permissions(tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    site.token = Some(bob);
    site.node("n1", &["supervisor"]);
    let refused = site.hb(&["agent", "list"]);
    assert!(refused.code == 14 && refused.err.contains("needs a token"), "{}", refused.err);
    let as_json = |who: &str, args: &[&str]| -> Value {
        let ran = site.hb_as(Some(who), args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        ran.document()
    };
    until("sleeper runs", || {
        (as_json(ada, &["agent", "show", "sleeper", "--json"])["status"] == "RUNNING").then_some(())
    });
    let asked = as_json(ada, &["team", "restart", "bench", "--reason", "new firmware", "--json"]);
    assert_eq!(asked["status"], "PENDING");
    let id = asked["id"].as_str().unwrap();
    let own = site.hb_as(Some(ada), &["intervention", "approve", id]);
    assert!(own.code == 14, "nobody agrees to their own: {}", own.err);
    let done = as_json(bob, &["intervention", "approve", id, "--reason", "go on", "--wait", "--json"]);
    assert_eq!((&done["status"], &done["decided"]["by"]), (&json!("COMPLETED"), &json!("token:bob")));
    let told = site.hb_as(Some(bob), &["intervention", "show", id]).out;
    assert!(told.contains("agreed to by token:bob") && told.contains("go on"), "{told}");
    let again = as_json(ada, &["intervention", "request", "team_restart", "bench", "--json"]);
    let refused = as_json(bob, &["intervention", "reject", again["id"].as_str().unwrap(), "--json"]);
    assert_eq!(refused["status"], "REJECTED");
    assert_eq!(site.hb_as(Some(bob), &["intervention", "list", "--status", "rejected", "--json"]).lines().len(), 1);
}

#[test]
fn events_are_followed_across_a_takeover_without_a_gap() {
    let mut site = site();
    site.node("n2", &["supervisor"]);
    let followed = site.watching("followed.jsonl", &["events", "--follow", "--json", "-n", "3"]);
    let seen = || -> Vec<Value> {
        let text = std::fs::read_to_string(&followed).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let stopped =
        |agent: &str| seen().iter().any(|event| event["kind"] == "agent.stopped" && event["about"]["agent"] == agent);
    until("the first events are there", || (seen().len() >= 3).then_some(()));
    site.ok(&["agent", "stop", "sleeper"]);
    until("it is told", || stopped("sleeper").then_some(()));
    site.ok(&["supervisor", "shutdown", "--agents", "leave", "--reason", "an upgrade"]);
    assert_eq!(site.ended("n1"), Some(0));
    until("the other node changes things", || (site.hb(&["agent", "stop", "talker"]).code == 0).then_some(()));
    until("what happens there is told", || stopped("talker").then_some(()));
    let ids: Vec<u64> = seen().iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "each once, none left out: {ids:?}");
    let events = site.ok(&["events", "--since", "1h", "--agent", "talker", "--kind", "agent.*", "--json"]).lines();
    assert!(events.len() >= 3 && events.iter().all(|event| event["about"]["agent"] == "talker"));
    assert!(site.ok(&["events", "--since", "2100-01-01T00:00:00Z", "--json"]).lines().is_empty());
}

#[test]
fn alerts_are_listed_and_closed() {
    let site = site();
    let open = until("there is an alert", || {
        let open = site.ok(&["alerts", "list", "--severity", "critical", "--json"]).lines();
        open.first().cloned()
    });
    assert_eq!(open["group_key"], "crasher_gave_up");
    let id = open["id"].as_str().unwrap();
    site.ok(&["alerts", "resolve", id]);
    assert!(site.ok(&["alerts", "list", "--json"]).lines().iter().all(|group| group["id"] != id));
    assert!(site.ok(&["alerts", "list", "--all"]).out.contains("closed"));
}

#[test]
fn what_was_done_is_undone() {
    let site = site();
    let done = site.ok(&["intervention", "request", "agent_quarantine", "sleeper", "--wait", "--json"]).document();
    assert_eq!(site.agent("sleeper")["status"], "QUARANTINED");
    let undone = site.ok(&[
        "intervention",
        "rollback",
        done["id"].as_str().unwrap(),
        "--reason",
        "too early",
        "--wait",
        "--json",
    ]);
    assert_eq!(undone.document()["status"], "ROLLED_BACK");
    site.stands("sleeper", "RUNNING");
    assert_eq!(site.hb(&["intervention", "request", "agent_polish", "sleeper"]).code, 2);
    assert_eq!(site.hb(&["intervention", "settle", "i-0", "--done", "--reason", "x"]).code, 14, "it is not in doubt");
}
