//! What can be asked when no node runs: everything that is recorded; and nothing can be changed.

use super::site::Site;

const PROGRAMS: &str = "agents:\n  sleeper: {process: {command: [sleep, '1000']}}\n  robot: {heartbeat: {}}\n\
                        policies:\n  sick:\n    when: agent.anomaly_score >= 0.8\n    actions: [{type: quarantine_agent}]\n";

#[test]
fn a5_what_is_recorded_can_be_read_without_a_node() {
    let mut site = Site::new(PROGRAMS);
    assert_eq!(site.hb(&["agent", "list"]).code, 69, "there is nothing yet");
    site.node("n1", &["supervisor"]);
    site.stands("sleeper", "RUNNING");
    let live: Vec<_> = site.ok(&["events", "-n", "1000", "--json"]).lines();
    let status = site.ok(&["status", "--json"]).document();
    assert_eq!((&status["agents"]["all"], &status["supervisors"]["presence"]), (&2.into(), &"active".into()));
    assert!(site.ok(&["status"]).out.contains("agents 2: 1 up, 1 spawning"));
    site.kill("n1");

    let listed = site.ok(&["agent", "list", "--json"]);
    assert!(listed.err.contains("no node that supervises answers"), "{}", listed.err);
    assert_eq!(listed.lines().len(), 2);
    assert_eq!(site.agent("sleeper")["status"], "RUNNING", "as it was last known");
    let recorded = site.ok(&["events", "-n", "1000", "--json"]).lines();
    assert_eq!(recorded[..live.len()], live[..], "the same events, from the database");
    for args in [
        &["agent", "why", "sleeper"][..],
        &["supervisor", "list"],
        &["supervisor", "tree"],
        &["supervisor", "health", "main"],
        &["team", "list"],
        &["policy", "list"],
        &["policy", "show", "sick"],
        &["policy", "simulate", "sick", "--agent", "sleeper"],
        &["intervention", "list"],
        &["alerts", "list"],
    ] {
        site.ok(args);
    }
    assert!(site.ok(&["agent", "why", "sleeper"]).out.contains("until a node supervises it again"));
    let status = site.ok(&["status", "--json"]).document();
    assert_eq!((&status["role"], &status["supervisors"]["presence"]), (&"down".into(), &"down".into()));
    assert!(site.ok(&["status"]).out.contains("agents 2: 1 up"));
    for args in [&["agent", "stop", "sleeper"][..], &["supervisor", "pause", "main"], &["policy", "deactivate", "sick"]]
    {
        let ran = site.hb(args);
        assert!(ran.code == 69 && ran.err.contains("nothing can be changed"), "{args:?}: {}", ran.err);
    }
    assert_eq!(site.hb(&["events", "--follow"]).code, 69);
    assert_eq!(site.hb(&["agent", "show", "nobody"]).code, 2);
    assert_eq!(site.ok(&["verify"]).code, 0);
}

#[test]
fn j4_a_damaged_database_is_told_and_not_read() {
    let mut site = Site::new(PROGRAMS);
    site.node("n1", &["supervisor"]);
    site.stands("sleeper", "RUNNING");
    assert_eq!(site.hb(&["supervisor", "shutdown", "--agents", "stop"]).code, 0);
    assert_eq!(site.ended("n1"), Some(0));
    assert_eq!(site.agent("sleeper")["status"], "TERMINATED");
    std::fs::write(site.path().join("out/supervisor.db"), "this is no database, and was never one").unwrap();
    let ran = site.hb(&["agent", "list"]);
    assert!(ran.code == 65 && ran.err.contains("supervisor.db"), "{} {}", ran.code, ran.err);
    assert_eq!(site.hb(&["verify"]).code, 65);
}
