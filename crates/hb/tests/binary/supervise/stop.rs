//! A13: what do stops leave behind, and does the next start know how it was?

use hb_core::supervise::agent::{Lifecycle, Process};
use hb_core::supervise::state::{Body, Ended};
use nix::sys::signal::Signal;

use super::site::{Site, lives};
use super::sound::assert_sound;
use crate::support::until;

/// Three that depend on one another, each of which takes a moment to end and says when it does.
const CHAIN: &str = "agents:\n  \
    db: {process: {command: [PROGRAM, sh, -c, 'trap \"echo db >>$SITE/ends; exit 0\" TERM; while :; do sleep 0.05; done']}}\n  \
    api: {depends_on: [db], process: {command: [PROGRAM, sh, -c, 'trap \"sleep 0.2; echo api >>$SITE/ends; exit 0\" TERM; while :; do sleep 0.05; done']}}\n  \
    web: {depends_on: [api], process: {command: [PROGRAM, sh, -c, 'trap \"sleep 0.2; echo web >>$SITE/ends; exit 0\" TERM; while :; do sleep 0.05; done']}}\n";

fn ends(site: &Site) -> String {
    std::fs::read_to_string(site.project.dir().join("ends")).unwrap_or_default()
}

/// How the reigns before each one ended, as the openings say.
fn before(site: &Site) -> Vec<Option<Ended>> {
    let opened = site.records().into_iter().filter_map(|sealed| match sealed.record.body {
        Body::EpochOpened { before, .. } => Some(before),
        Body::Changed { .. } | Body::Snapshot { .. } | Body::EpochClosed { .. } => None,
    });
    opened.collect()
}

/// Waits until the traps are set: a shell that ends before is no agent that ends in order.
fn begun(site: &Site) {
    for id in ["db", "api", "web"] {
        site.started(id, 1);
        site.up(id);
    }
    let waits = |id: &str| {
        let pid = site.up(id).pid;
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        !children.trim().is_empty()
    };
    until("all of them wait", || ["db", "api", "web"].iter().all(|id| waits(id)).then_some(()));
}

#[test]
fn a13_sigterm_leaves_agents_and_the_next_start_knows_it_from_a_crash() {
    let site = Site::new(CHAIN);
    let mut node = site.start("a");
    begun(&site);
    let pids = ["db", "api", "web"].map(|id| site.up(id));
    assert_eq!(node.stop(), 0, "{}", node.log());
    assert!(pids.iter().all(|pid| lives(Some(pid))), "they are left as they are");
    let mut node = site.start("a");
    site.calm(&mut node);
    site.agent_is("web", "adopted", |agent| matches!(agent.process, Process::Alive { adopted: true, .. }));
    assert_eq!(["db", "api", "web"].map(|id| site.up(id)), pids);
    node.kill();
    let mut node = site.start("a");
    site.calm(&mut node);
    assert_eq!(before(&site), [None, Some(Ended::LeftRunning), None], "first start, after a stop, after a crash");
    assert_eq!(node.stop(), 0);
    assert_eq!((site.starts().len(), ends(&site).as_str()), (3, ""));
    assert_sound(&site, &site.state().unwrap());
}

#[test]
fn a13_sigint_stops_agents_in_the_order_of_their_dependencies() {
    let site = Site::new(CHAIN);
    let mut node = site.start("a");
    begun(&site);
    node.signal(Signal::SIGINT);
    assert_eq!(node.exit_code(), 0, "{}", node.log());
    assert_eq!(ends(&site), "web\napi\ndb\n");
    let fold = site.state().unwrap();
    assert!(fold.state.agents.values().all(|agent| agent.process == Process::Absent), "{:#?}", fold.state.agents);
    assert_eq!(fold.state.ended, Some(Ended::AllStopped));
    // Stopping hb is not stopping the agents for ever: they are wanted, and started in their order.
    let mut node = site.start("a");
    begun_again(&site);
    let order: Vec<String> = site.starts().into_iter().skip(3).map(|start| start.agent).collect();
    assert_eq!(order, ["db", "api", "web"]);
    assert_eq!(before(&site), [None, Some(Ended::AllStopped)]);
    assert_eq!(site.agent("db").unwrap().restarts.total, 0, "that was no failure");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}

fn begun_again(site: &Site) {
    for id in ["db", "api", "web"] {
        site.started(id, 2);
    }
}

#[test]
fn a13_on_stop_stop_takes_everything_down_with_sigterm() {
    let site = Site::new(&format!("on_stop: stop\n{CHAIN}"));
    let mut node = site.start("a");
    begun(&site);
    assert_eq!(node.stop(), 0, "{}", node.log());
    assert_eq!(ends(&site), "web\napi\ndb\n");
    let fold = site.state().unwrap();
    assert!(fold.state.agents.values().all(|agent| agent.lifecycle != Lifecycle::Idle), "{:#?}", fold.state.agents);
    assert_sound(&site, &fold);
}

#[test]
fn a13_a_kill_amid_the_stop_is_a_crash_and_what_runs_is_found() {
    let site = Site::new(CHAIN);
    let mut node = site.start("a");
    begun(&site);
    node.signal(Signal::SIGINT);
    until("the first has ended", || (!ends(&site).is_empty()).then_some(()));
    node.kill();
    let mut node = site.start("a");
    site.calm(&mut node);
    assert_eq!(before(&site), [None, None], "it had not ended in good order");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}
