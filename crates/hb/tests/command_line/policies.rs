//! Policies in files, and in a node.

use super::site::Site;

const TWO: &str = "policies:\n  warm:\n    when: agent.anomaly_score >= 0.5\n    actions: [{type: notify}]\n  \
                   hot:\n    when: agent.anomaly_score >= ${variables.limit} and agent.restart_count > 2\n    \
                   variables: {limit: {value: 0.8, min: 0.6, max: 0.95, adaptive: true}}\n    \
                   actions: [{type: restart_agent, reason: '${agent.id} scores ${agent.anomaly_score}'}]\n";

#[test]
fn files_are_checked_with_line_and_column() {
    let site = Site::new("");
    site.file("two.yaml", TWO);
    assert!(site.ok(&["policy", "check", "two.yaml"]).out.contains("2 policies, all sound"));
    site.file(
        "bad.yaml",
        "policies:\n  a:\n    when: agent.anomaly_scor >= 0.5 and agent.status == 'FALED'\n    actions:\n      - {type: restart_agnt}\n  b:\n    wen: x\n    actions: [{type: notify}]\n",
    );
    site.file("broken.json", "{\"name\": \"x\", ");
    let ran = site.hb(&["policy", "check", "bad.yaml", "two.yaml", "broken.json"]);
    assert_eq!(ran.code, 3);
    for place in
        ["bad.yaml:3:11:", "bad.yaml:3:57:", "bad.yaml:5:16:", "bad.yaml:6:3:", "bad.yaml:7:5:", "broken.json:1"]
    {
        assert!(ran.err.contains(place), "{place} in\n{}", ran.err);
    }
    assert!(ran.err.contains("did you mean `agent.anomaly_score`?"));
    let json = site.hb(&["policy", "check", "bad.yaml", "--json"]);
    let found = json.document();
    assert_eq!((json.code, &found["sound"], found["faults"].as_array().unwrap().len()), (3, &false.into(), 5));
    assert_eq!(found["faults"][0]["key"], "policies.a.when");
    assert_eq!(site.hb(&["policy", "check", "absent.yaml"]).code, 2);
    assert!(site.ok(&["policy", "fields"]).out.contains("agent.anomaly_score"));
}

#[test]
fn files_are_tried_out_and_compared() {
    let site = Site::new("");
    site.file("two.yaml", TWO);
    let one = "{\"name\": \"hot\", \"when\": \"agent.anomaly_score >= 0.9 and agent.restart_count > 2\", \"actions\": [{\"type\": \"restart_agent\"}]}";
    site.file("one.json", one);
    site.file("world.yaml", "agent: {id: a, restart_count: 5}\n");
    let held = site.ok(&[
        "policy",
        "simulate",
        "two.yaml:hot",
        "--context",
        "world.yaml",
        "--set",
        "agent.anomaly_score=0.85",
        "--json",
    ]);
    let held = held.document();
    assert_eq!((&held["would_match"], &held["would_execute"][0]["reason"]), (&true.into(), &"a scores 0.85".into()));
    let calm = site.ok(&["policy", "simulate", "one.json", "--set", "agent.anomaly_score=0.85"]).out;
    assert!(calm.contains("it does not hold") && calm.contains("nothing would be done"), "{calm}");
    assert_eq!(site.hb(&["policy", "simulate", "two.yaml"]).code, 2, "which of the two?");
    let wrong = site.hb(&["policy", "simulate", "one.json", "--set", "agent.anomaly_scor=1"]);
    assert!(wrong.code == 2 && wrong.err.contains("did you mean"), "{}", wrong.err);
    let diff = site.ok(&["policy", "diff", "two.yaml:hot", "one.json", "--json"]).document();
    let paths: Vec<&str> =
        diff["changes"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"when") && paths.contains(&"variables.limit"), "{paths:?}");
    assert!(site.ok(&["policy", "diff", "one.json", "one.json"]).out.contains("say the same"));
}

#[test]
fn versions_are_made_put_in_force_and_rolled_back() {
    let mut site = Site::new("agents: {robot: {heartbeat: {}}}\n");
    site.node("n1", &["supervisor"]);
    site.file("two.yaml", TWO);
    let made = site.ok(&["policy", "create", "two.yaml", "--activate", "--json"]).lines();
    assert!(made.len() == 2 && made.iter().all(|policy| policy["is_active"] == true));
    site.file("two.yaml", &TWO.replace("0.5", "0.4"));
    site.ok(&["policy", "create", "two.yaml"]);
    let warm = |key: &str| site.ok(&["policy", "show", "warm", "--json"]).document()[key].clone();
    assert_eq!((warm("active_version"), warm("newest_version")), (1.into(), 2.into()));
    assert!(site.ok(&["policy", "diff", "warm", "warm@2"]).out.contains("+ agent.anomaly_score >= 0.4"));
    assert!(site.ok(&["policy", "diff", "two.yaml:warm", "warm@2"]).out.contains("say the same"));
    site.ok(&["policy", "activate", "warm", "2"]);
    assert_eq!(warm("active_version"), 2);
    site.ok(&["policy", "rollback", "warm"]);
    assert_eq!(warm("active_version"), 1);
    assert_eq!(site.ok(&["policy", "versions", "warm", "--json"]).lines().len(), 2);
    assert!(site.ok(&["policy", "assign", "warm", "--priority", "5"]).out.contains("warm (priority 5)"));
    assert!(!site.ok(&["policy", "unassign", "warm"]).out.contains("warm (priority"));
    site.ok(&["policy", "deactivate", "warm"]);
    assert_eq!(warm("is_active"), false);
    assert!(site.ok(&["policy", "effectiveness", "hot"]).out.contains("limit = 0.8"));
    let all = "{name: all, when: agent.given_up, actions: [{type: restart_all}]}";
    site.file("all.yaml", all);
    site.ok(&["policy", "create", "all.yaml"]);
    let alone = site.hb(&["policy", "activate", "all"]);
    assert!(alone.code == 14 && alone.err.contains("approve"), "it is dangerous: {}", alone.err);
    assert_eq!(site.hb(&["policy", "approve", "all"]).code, 14, "nobody agrees to their own");
    assert_eq!(site.hb(&["policy", "show", "nobody"]).code, 2);
    site.ok(&["policy", "evaluations", "hot"]);
}
