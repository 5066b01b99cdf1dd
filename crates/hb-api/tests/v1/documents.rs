//! The OpenAPI document against the router and the readers; metrics and page.

use std::collections::BTreeSet;

use hb_api::v1::{openapi_document, routes};
use serde_json::{Value, json};

use crate::support::Served;

#[test]
fn every_route_is_documented_and_every_documented_one_is_there() {
    let served = Served::owned();
    let document = served.get("/openapi.json");
    assert_eq!(document, openapi_document());
    assert_eq!(document["openapi"], "3.1.0");
    let mut documented = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (verb, operation) in operations.as_object().unwrap() {
            documented.insert((verb.to_uppercase(), path.clone()));
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
            assert!(
                !operation["summary"].as_str().unwrap().is_empty()
                    && !operation["tags"][0].as_str().unwrap().is_empty()
            );
        }
    }
    let routed: BTreeSet<_> = routes().into_iter().map(|(verb, path, _)| (verb.to_owned(), path)).collect();
    assert_eq!(documented, routed);
    for (verb, path) in documented {
        if path.contains("stream") {
            continue;
        }
        let path = path.replace("{version}", "1").replace(['{', '}'], "");
        let answer =
            served.raw(&verb, &path, &[("Content-Type", "application/json")], if verb == "GET" { b"" } else { b"{}" });
        assert!(answer.status != 405 && !answer.body.contains("nothing is at"), "{verb} {path}: {answer:?}");
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere_and_no_schema_is_idle() {
    let document = openapi_document();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    let known: BTreeSet<String> = document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(used, known);
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("$ref", Value::String(to)) => drop(found.insert(to.rsplit('/').next().unwrap().to_owned())),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The fields that a reader knows, read off its own refusal of one that it does not.
fn known_fields(message: &str) -> BTreeSet<String> {
    let (_, list) = message.split_once("expected ").unwrap_or_else(|| panic!("{message}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_schemas_of_what_is_taken_name_exactly_the_fields_that_the_readers_know() {
    let served = Served::owned().main();
    served
        .post("/policies", json!({"name": "p", "when": "agent.anomaly_score > 1", "actions": [{"type": "notify"}]}))
        .must(201);
    let document = openapi_document();
    let schemas = &document["components"]["schemas"];
    for (verb, path, schema) in [
        ("POST", "/supervisors", "NewSupervisor"),
        ("PUT", "/supervisors/main", "SupervisorChange"),
        ("POST", "/supervisors/main/teams", "NewTeam"),
        ("POST", "/teams/x/members", "NewMember"),
        ("POST", "/agents", "AgentSpec"),
        ("POST", "/agents/x/restart", "Reason"),
        ("POST", "/agents/x/release", "Evidence"),
        ("POST", "/agents/x/beat", "Beat"),
        ("POST", "/interventions", "NewIntervention"),
        ("PUT", "/interventions/i-0/settle", "Settlement"),
        ("POST", "/alerts", "NewAlert"),
        ("POST", "/shutdown", "Shutdown"),
        ("POST", "/events/0/acknowledge", "Acknowledgement"),
        ("POST", "/policies/p/activate", "Version"),
        ("POST", "/policies/p/simulate", "Supposition"),
        ("PUT", "/policies/p/held", "Acceptance"),
        ("POST", "/supervisors/main/policies", "NewAssignment"),
        ("POST", "/policies", "PolicyDocument"),
    ] {
        let answer = served.send(verb, path, Some(json!({"zzz": 1}))).must(400);
        let message = answer["message"].as_str().unwrap();
        let known = if schema == "PolicyDocument" {
            let list = message.split("one of ").nth(1).unwrap().split([';', '\n']).next().unwrap();
            list.split(", ").map(str::to_owned).collect()
        } else {
            known_fields(message)
        };
        let described: BTreeSet<String> = schemas[schema]["properties"].as_object().unwrap().keys().cloned().collect();
        let aliases = BTreeSet::from(["agent", "parent", "supervisor", "policy"].map(str::to_owned));
        let known: BTreeSet<String> = known.difference(&aliases).cloned().collect();
        assert_eq!(known, described, "{schema}");
        assert_eq!(schemas[schema]["additionalProperties"], false, "{schema}");
    }
    for (path, part, schema) in [
        ("process", json!({"command": ["x"], "zzz": 1}), "ProcessSpec"),
        ("limits", json!({"command": ["x"], "limits": {"zzz": 1}}), "Limits"),
    ] {
        let answer = served.post("/agents", json!({"id": "w", "process": part})).must(400);
        let described: BTreeSet<String> = schemas[schema]["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(known_fields(answer["message"].as_str().unwrap()), described, "{path}");
    }
    for (part, value, schema) in [
        ("restart", json!({"zzz": 1}), "RestartRule"),
        ("beats", json!({"zzz": 1}), "BeatRule"),
        ("probe", json!({"zzz": 1}), "ProbeSpec"),
    ] {
        let answer = served.post("/agents", json!({"id": "w", part: value})).must(400);
        let described: BTreeSet<String> = schemas[schema]["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(known_fields(answer["message"].as_str().unwrap()), described, "{part}");
    }
    let answer = served.post("/supervisors", json!({"name": "x", "config": {"zzz": 1}})).must(400);
    let described: BTreeSet<String> =
        schemas["SupervisorConfig"]["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(known_fields(answer["message"].as_str().unwrap()), described);
}

#[test]
fn metrics_tell_of_the_api_and_the_page_of_agents() {
    let served = Served::owned().main();
    served.agent("r<1>".replace(['<', '>'], "-").as_str());
    let metrics = served.raw("GET", "/metrics", &[], b"").body;
    assert!(metrics.contains("\nhb_api_refused_total 0\n") && metrics.contains("\nhb_api_streams 0\n"), "{metrics}");
    let page = served.raw("GET", "/plain", &[], b"").body;
    assert!(page.contains("<td class=\"name\">r-1-</td>") && page.contains("RUNNING · healthy"), "{page}");
}
