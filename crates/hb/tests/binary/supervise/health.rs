//! A11: what does health say of a node that supervises?

use nix::sys::signal::Signal;

use super::asking::send;
use super::site::{Site, lives};
use super::sound::assert_sound;
use crate::support::hung::{Hung, Unborn};
use crate::support::mount::not_run;
use crate::support::node::Node;
use crate::support::until;

const AGENT: &str = "lease: {ttl_sec: 1}\nagents:\n  a: {process: {command: [PROGRAM, sleep, 600]}}\n";

fn answers(node: &mut Node, path: &str, status: u16) {
    until(&format!("{path} of {} answers {status}", node.name), || (node.get(path).status == status).then_some(()));
}

#[test]
fn a11_active_and_standby_are_told_apart_and_both_are_ready() {
    let site = Site::new(AGENT);
    let mut a = site.serve("a");
    site.calm(&mut a);
    let mut b = site.serve("b");
    for (node, active, standby) in [(&mut a, 200, 503), (&mut b, 503, 200)] {
        answers(node, "/active", active);
        answers(node, "/standby", standby);
        answers(node, "/ready", 200);
        answers(node, "/live", 200);
    }
    assert_eq!((a.role().as_deref(), b.role().as_deref()), (Some("active"), Some("standby")));
    assert_eq!(a.stop(), 0);
    answers(&mut b, "/active", 200);
    answers(&mut b, "/ready", 200);
    let fold = until("it has adopted the agent", || {
        site.state().filter(|fold| fold.state.agents.values().all(|agent| agent.lifecycle.is_up()))
    });
    assert_eq!(b.stop(), 0);
    assert_eq!(site.starts().len(), 1);
    assert_sound(&site, &fold);
}

#[test]
fn a11_a_configuration_that_a_reload_refuses_shows_and_the_old_one_stays() {
    let site = Site::new(AGENT);
    let mut node = site.serve("a");
    site.calm(&mut node);
    answers(&mut node, "/ready", 200);
    site.configure(&AGENT.replace("process", "proces"));
    node.signal(Signal::SIGHUP);
    answers(&mut node, "/ready", 503);
    let said = node.get("/ready").body;
    assert!(said.contains("proces") && said.contains("config"), "{said}");
    assert!(lives(Some(&site.up("a"))));
    site.configure(AGENT);
    node.signal(Signal::SIGHUP);
    answers(&mut node, "/ready", 200);
    assert_eq!(node.stop(), 0);
    assert_eq!(site.starts().len(), 1);
}

#[test]
fn a11_h2_a_loop_that_hangs_is_seen_by_live_and_by_the_other_one() {
    let site = Site::new(AGENT);
    let mut a = site.serve("a");
    site.calm(&mut a);
    let mut b = site.serve("b");
    answers(&mut b, "/standby", 200);
    answers(&mut a, "/live", 200);
    let hung = match Hung::seize(a.thread("supervise")) {
        Ok(hung) => hung,
        Err(why) => return not_run("a11 hang", &why.to_string()),
    };
    answers(&mut a, "/live", 503);
    let said = a.get("/live").body;
    assert!(said.contains("no turn"), "{said}");
    println!("a11: {said}");
    answers(&mut b, "/active", 200);
    drop(hung);
    assert_eq!(a.exit_code(), 75, "{}", a.log());
    let fold = until("the other one has the agent", || {
        site.state().filter(|fold| fold.state.agents.values().all(|agent| agent.lifecycle.is_up()))
    });
    assert_eq!(b.stop(), 0);
    assert_eq!(site.starts().len(), 1, "its agent was adopted");
    assert_sound(&site, &fold);
}

#[test]
fn a11_recovering_is_told_with_how_many_of_how_many() {
    const AGENTS: usize = 3;
    let agents: String =
        (0..AGENTS).map(|n| format!("  w{n}: {{process: {{command: [PROGRAM, sleep, 600]}}}}\n")).collect();
    let site = Site::new(&format!("agents:\n{agents}"));
    let mut node = site.serve("a");
    site.calm(&mut node);
    node.kill();
    // Held up before its first record, so that there is time to take hold of the threads that will find the agents.
    let other = rusqlite::Connection::open(site.db()).unwrap();
    other.execute_batch("PRAGMA busy_timeout=10000; BEGIN IMMEDIATE").unwrap();
    let mut node = site.serve("a");
    answers(&mut node, "/ready", 503);
    let mut unborn = match Unborn::of(node.thread("supervise")) {
        Ok(unborn) => unborn,
        Err(why) => return not_run("a11 recovering", &why.to_string()),
    };
    other.execute_batch("COMMIT").unwrap();
    let address = node.address();
    let presence = until("it recovers", || {
        unborn.hold();
        let (_, status) = send(&site, address, "GET", "/status", &serde_json::Value::Null);
        (status["presence"]["state"] == "recovering").then(|| status["presence"].clone())
    });
    assert_eq!((&presence["found"], &presence["of"]), (&0.into(), &AGENTS.into()), "{presence}");
    // Alive, at work, and not ready: liveness and readiness differ.
    unborn.hold();
    let ready = node.get("/ready");
    assert_eq!(ready.status, 503, "{}", ready.body);
    let said = &ready.json()["checks"]["supervisor.recovery"];
    assert!(said.as_str().is_some_and(|said| said.contains("0 of 3")), "{}", ready.body);
    println!("a11: {said}");
    assert_eq!(node.get("/live").status, 200);
    assert_eq!(node.get("/active").status, 200);
    unborn.let_go();
    answers(&mut node, "/ready", 200);
    let fold = site.calm(&mut node);
    assert_eq!(site.starts().len(), AGENTS, "all were adopted");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &fold);
}
