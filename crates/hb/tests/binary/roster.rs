//! What does `hb status` say of all nodes, from wherever it is asked?

use serde_json::Value;

use crate::postgres::{Server, fresh_schema};
use crate::support::node::Node;
use crate::support::project::{Project, told};
use crate::support::steady::Steady;
use crate::support::until;

fn status(project: &Project) -> Value {
    let output = project.hb(&["status", "--json"]);
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A node of the status, by name.
fn node<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["nodes"].as_array().unwrap().iter().find(|node| node["node"] == name).unwrap_or(&Value::Null)
}

fn roles(status: &Value) -> Vec<String> {
    let role = |node: &Value| format!("{} {}", node["node"].as_str().unwrap(), node["role"].as_str().unwrap());
    status["nodes"].as_array().unwrap().iter().map(role).collect()
}

fn wait_roles(project: &Project, wanted: &[&str]) -> Value {
    until(&format!("{wanted:?}"), || Some(status(project)).filter(|status| roles(status) == wanted))
}

#[test]
fn nodes_that_share_no_folder_are_seen_from_a_third_host_and_so_is_the_takeover() {
    let Some(server) = Server::start("") else { return };
    let settings = format!("journal_url: {}\nlease: {{ttl_sec: 2, priority: 70}}\n", server.url(&fresh_schema()));
    let sites: Vec<Project> = (0..3).map(|_| Project::new(&settings)).collect();
    let (mut a, away) = (sites[0].start("a"), &sites[2]);
    wait_roles(away, &["a active"]);
    let mut b = sites[1].start("b");
    let seen = until("both are asked themselves", || {
        let seen = wait_roles(away, &["a active", "b standby"]);
        ["a", "b"].iter().all(|name| node(&seen, name)["silent"].is_null()).then_some(seen)
    });
    assert!(!away.output.try_exists().unwrap(), "looking makes nothing");
    assert_eq!((&seen["node"], &seen["register"]), (&Value::from("a"), &Value::from("ok")));
    let one = node(&seen, "b");
    assert_eq!((&one["priority"], &one["life"], &one["silent"]), (&70.into(), &"alive".into(), &Value::Null));
    assert_eq!((&one["pid"], &one["watches_standing_by"]), (&b.pid().into(), &1.into()));
    assert!(one["lag_records"].is_u64() && one["lag_seconds"].is_number() && one["host"].is_string(), "{one}");

    let paused = away.hb(&["pause", "--reason", "new disks", "--by", "ada"]);
    assert!(paused.status.success(), "{}", told(&paused));
    assert_eq!(status(away)["orders"]["pause"]["reason"], "new disks");
    let text = told(&away.hb(&["status"]));
    assert!(text.contains("paused by ada") && text.contains("hb resume"), "{text}");
    assert!(away.hb(&["resume"]).status.success());

    a.kill();
    let seen = wait_roles(away, &["a down", "b active"]);
    let takeover = &seen["takeover"];
    assert_eq!((&takeover["node"], &takeover["from"]["node"]), (&"b".into(), &"a".into()), "{takeover}");
    assert!(takeover["took_seconds"].is_number() && takeover["gap_seconds"].is_number(), "{takeover}");
    assert!(takeover["why"].as_str().is_some_and(|why| !why.is_empty()), "{takeover}");
    let text = told(&away.hb(&["status"]));
    assert!(text.contains("last takeover: b (epoch 2) from a (epoch 1) at "), "{text}");
    assert!(text.lines().any(|line| line.starts_with("a ") && line.contains("down")), "{text}");

    server.end(nix::sys::signal::Signal::SIGQUIT);
    let output = away.hb(&["status"]);
    assert!(!output.status.success());
    assert!(told(&output).contains("postgres"), "it says what cannot be reached: {}", told(&output));
    b.kill();
}

#[test]
fn two_nodes_of_one_name_and_folder_get_two_cards_and_the_table_says_who_is_what() {
    let mut steady = Steady::start("");
    let other = Node::launch(&steady.project, "a", steady.project.command(&["daemon", "--listen", "none"]));
    let seen = wait_roles(&steady.project, &["a active", "a-2 standby"]);
    let silent = node(&seen, "a-2")["silent"].as_str().unwrap().to_owned();
    assert!(silent.contains("serves nothing"), "{silent}");
    let text = told(&steady.project.hb(&["status"]));
    let table: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("node")).take(3).collect();
    let role = table[0].find("role").unwrap();
    assert!(table[0].starts_with("node") && table[1][role..].starts_with("active"), "{text}");
    assert!(table[2].starts_with("a-2") && table[2][role..].starts_with("standby"), "{text}");
    drop(other);
    let served = steady.node.get("/v1/status").json();
    assert_eq!((&served["nodes"][0]["node"], &served["takeover"]["node"]), (&"a".into(), &"a".into()), "{served}");
    let metrics = steady.node.get("/metrics").body;
    for line in ["hb_nodes{role=\"active\"} 1", "hb_lease_ok 1", "hb_paused 0", "hb_takeover_seconds "] {
        assert!(metrics.lines().any(|is| is.starts_with(line)), "{line}: {metrics}");
    }
    steady.cycles(1);
    steady.finish();
}
