//! Who may what.

use serde_json::json;

use crate::support::{Served, TOKENS};

/// What each token may: look, beat for r1, operate, rule. 0 stands for a success.
fn rights(served: &mut Served, token: Option<&str>) -> [u16; 4] {
    let served = served.shows(token);
    let of = |status: u16| if (200..300).contains(&status) { 0 } else { status };
    [
        of(served.send("GET", "/agents", None).status),
        of(served.post("/agents/r1/beat", json!({"sequence_number": 5})).status),
        of(served.post("/agents/r1/start", json!({})).status),
        of(served.post("/supervisors/main/policies", json!({"policy_id": "p"})).status),
    ]
}

fn furnished(served: Served) -> Served {
    let served = served.main();
    served.agent("r1");
    served
        .post("/policies", json!({"name": "p", "when": "agent.anomaly_score > 0.5", "actions": [{"type": "notify"}]}))
        .must(201);
    served
}

#[test]
fn each_role_may_what_it_is_for() {
    let mut served = furnished(Served::with_tokens());
    let tokens: Vec<(&str, &str)> =
        TOKENS.lines().map(|line| (line.split(' ').next().unwrap(), line.rsplit(' ').next().unwrap())).collect();
    for (name, token) in tokens {
        let expected = match name {
            "owner" | "second" => [0, 0, 0, 0],
            "op" => [0, 0, 0, 403],
            "dev" => [0, 403, 403, 403],
            "r1" | "*" => [403, 0, 403, 403],
            other => panic!("{other}"),
        };
        assert_eq!(rights(&mut served, Some(token)), expected, "{name}");
    }
    assert_eq!(rights(&mut served, None), [401; 4]);
    assert_eq!(rights(&mut served, Some("nobody-knows-this-token")), [401; 4]);
}

#[test]
fn on_loopback_without_tokens_looking_and_beating_are_open_and_changing_is_not() {
    let mut served = furnished(Served::owned());
    assert_eq!(rights(&mut served, None), [0, 0, 401, 401]);
    assert_eq!(rights(&mut served, Some("wrong-0123456789")), [401; 4], "a wrong token is told, not ignored");
    let answer = served.shows(None).post("/agents/r1/start", json!({}));
    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{answer:?}");
    assert!(answer.must(401)["message"].as_str().unwrap().contains("api.token"));
}

#[test]
fn an_agents_token_is_good_for_its_own_beats_only() {
    let mut served = furnished(Served::with_tokens());
    served.agent("r2");
    served.shows(Some("agent-r1-0123456789"));
    let answer = served.post("/agents/r2/beat", json!({"sequence_number": 9})).must(403);
    assert_eq!((&answer["received"], &answer["agent_id"]), (&json!(false), &json!("r2")));
    served.shows(Some("agent-any-0123456789"));
    assert_eq!(served.post("/agents/r2/beat", json!({"sequence_number": 9})).must(200)["received"], true);
}

#[test]
fn the_audit_names_the_token_and_never_shows_it() {
    let mut served = furnished(Served::with_tokens());
    served.shows(Some("operator-0123456789"));
    served.post("/supervisors/main/pause", json!({})).must(200);
    let events = served.get("/events?kind=supervisor.paused");
    assert_eq!(events["items"][0]["by"], "token:op");
    assert!(!served.send("GET", "/events?limit=1000", None).body.contains("0123456789"));
}

#[test]
fn requests_of_foreign_pages_and_hosts_are_refused_in_the_one_shape() {
    let served = furnished(Served::owned());
    let json = ("Content-Type", "application/json");
    let foreign = served.raw("POST", "/api/v1/agents/r1/start", &[json, ("Origin", "http://evil.example")], b"{}");
    assert_eq!(foreign.must(403)["error"], "foreign_origin");
    let own = format!("http://{}", served.addr());
    served.raw("POST", "/api/v1/agents/r1/start", &[json, ("Origin", &own)], b"{}").must(200);
}

#[test]
fn values_of_an_environment_are_shown_to_operators_only() {
    let mut served = furnished(Served::with_tokens());
    let spec = json!({"id": "secretive", "process": {"command": ["sleep", "1"], "env": {"PASSWORD": "hunter2"}}});
    served.post("/agents", spec).must(201);
    for path in ["/agents/secretive", "/agents/secretive/spec", "/agents/secretive/why"] {
        for (token, shown) in [("developer-0123456789", false), ("operator-0123456789", true)] {
            let body = served.shows(Some(token)).send("GET", path, None).body;
            assert!(body.contains("PASSWORD") && body.contains("hunter2") == shown, "{path} {token}: {body}");
        }
    }
}
