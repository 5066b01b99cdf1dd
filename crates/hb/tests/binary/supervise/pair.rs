//! A9: what are two supervisors on one `output_dir` worth? One works, and one that was thought dead does nothing any more.

use std::time::{Duration, Instant};

use hb_core::node::view::Role;
use hb_core::supervise::state::Fold;
use nix::sys::signal::Signal;

use super::site::{Site, lives, signal};
use super::sound::assert_sound;
use crate::support::node::Node;
use crate::support::random::Random;
use crate::support::{setting, spread, until, within};

/// Number of the exit of a node that has been replaced.
const FENCED: i32 = 75;

const AGENTS: [&str; 3] = ["a1", "a2", "a3"];

fn configuration() -> String {
    let restart = "restart: {max_restarts: 1000, backoff_sec: 0.02, backoff_max_sec: 0.05}";
    let agents =
        AGENTS.map(|id| format!("  {id}: {{process: {{command: [PROGRAM, sleep, 600]}}, {restart}}}\n")).concat();
    format!("lease: {{ttl_sec: 1}}\nagents:\n{agents}")
}

struct Pair<'a> {
    site: &'a Site,
    nodes: [Node; 2],
    /// Times that one was replaced although nobody had touched it: the machine was too busy.
    replaced: usize,
}

impl Pair<'_> {
    /// Starts again whichever has ended as one that was replaced; any other end is a failure.
    fn both_run(&mut self) {
        for node in &mut self.nodes {
            if node.has_ended().is_some() {
                assert_eq!(node.exit_code(), FENCED, "{}", node.log());
                self.replaced += 1;
                let name = node.name.clone();
                *node = self.site.start(&name);
            }
        }
    }

    /// Which of them wrote last, once all agents are up under it and the other one stands by.
    fn warm(&mut self) -> (usize, Fold) {
        until("one works and the other stands by", || {
            self.both_run();
            let (name, _) = self.site.writer()?;
            let active = self.nodes.iter().position(|node| node.name == name)?;
            let agents = self.site.agents();
            let up = agents.iter().all(|agent| agent.lifecycle.is_up() && lives(agent.process.identity()));
            let ready = up && agents.len() == AGENTS.len() && self.stands_by(1 - active);
            if ready { Some((active, self.site.state()?)) } else { None }
        })
    }

    fn stands_by(&self, place: usize) -> bool {
        // A node says on its card where it stands, whether it serves or not.
        self.nodes[place].card().is_some_and(|card| card.account.role == Role::Standby)
    }

    /// Waits for a record of `place` in a newer reign; none when somebody who is stopped holds the database.
    fn taken_over(&mut self, place: usize, before: &Fold, since: Instant) -> Option<Duration> {
        within(Duration::from_secs(10), || {
            let (name, epoch) = self.site.writer()?;
            (epoch > before.epoch && name == self.nodes[place].name).then(|| since.elapsed())
        })
    }
}

/// Whether somebody holds the database for writing.
fn held(site: &Site) -> bool {
    let sql = rusqlite::Connection::open(site.db()).unwrap();
    sql.busy_timeout(Duration::from_millis(500)).unwrap();
    sql.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
}

#[test]
fn a9_h1_h2_a_supervisor_that_was_stopped_for_too_long_starts_nothing_and_steps_down() {
    let stops = setting("HB_SUPERVISE_STOPS", 20);
    let mut random = Random::told("supervise stops");
    let site = Site::new(&configuration());
    let nodes = [site.start("a"), site.start("b")];
    let mut pair = Pair { site: &site, nodes, replaced: 0 };
    let (began, mut latencies, mut ends, mut died, mut amid) = (Instant::now(), Vec::new(), Vec::new(), 0, 0);
    while latencies.len() < stops {
        let (active, before) = pair.warm();
        std::thread::sleep(Duration::from_millis(random.between(0, 60)));
        if pair.nodes.iter_mut().any(|node| node.has_ended().is_some()) {
            continue;
        }
        pair.nodes[active].signal(Signal::SIGSTOP);
        let since = Instant::now();
        // One dies while nobody looks: the zombie hears of it when it goes on, and may not act on it.
        let victim = AGENTS[random.between(0, 3) as usize];
        if random.one_in(2) {
            let agent = before.state.agents.values().find(|agent| agent.id().as_str() == victim).unwrap();
            signal(agent.process.identity().unwrap(), Signal::SIGKILL);
            died += 1;
        }
        let Some(latency) = pair.taken_over(1 - active, &before, since) else {
            // It was stopped amid a transaction (or amid moving the log, when not everybody is held up), and SQLite's locks are the
            // kernel's: the other says so, and cannot write until this one goes on or ends.
            let told = pair.nodes[1 - active].log().contains("is locked by another process");
            assert!(told || held(&site), "nobody takes over, and nobody holds the database");
            pair.nodes[active].signal(Signal::SIGCONT);
            amid += 1;
            assert!(amid < 10, "it is stopped amid a transaction again and again");
            continue;
        };
        latencies.push(latency);
        std::thread::sleep(Duration::from_millis(random.between(0, 60)));
        let (resumed, name) = (Instant::now(), pair.nodes[active].name.clone());
        let standing = site.records().len();
        pair.nodes[active].signal(Signal::SIGCONT);
        assert_eq!(pair.nodes[active].exit_code(), FENCED, "{}", pair.nodes[active].log());
        ends.push(resumed.elapsed());
        let records = site.records();
        let written = records[standing..].iter().filter(|sealed| sealed.record.node.as_str() == name);
        assert_eq!(written.count(), 0, "the zombie {name} wrote something");
        pair.nodes[active] = site.start(&name);
    }
    let (active, fold) = pair.warm();
    let took = began.elapsed();
    for place in [1 - active, active] {
        assert_eq!(pair.nodes[place].stop(), 0, "{}", pair.nodes[place].log());
    }
    assert_sound(&site, &fold);
    // Each was started once, and once for each death: whoever was not hurt was adopted all along.
    let restarts: u64 = fold.state.agents.values().map(|agent| agent.restarts.total).sum();
    assert!(restarts as usize >= died, "{restarts} restarts for {died} deaths");
    let exits = site.events().iter().filter(|event| event.kind == "agent.exited").count();
    assert_eq!(exits, died, "each death was handled once");
    println!(
        "supervise: SIGSTOP to the other one's first record: {}; SIGCONT to exit {FENCED}: {}; {died} deaths meanwhile, {} starts, {amid} stopped amid a transaction, \
         {} replaced by a busy machine, all in {took:.1?}",
        spread(latencies),
        spread(ends),
        site.starts().len(),
        pair.replaced
    );
}

#[test]
fn a9_s2_the_other_one_takes_over_at_once_when_the_active_one_is_killed() {
    let site = Site::new(&configuration());
    let nodes = [site.start("a"), site.start("b")];
    let mut pair = Pair { site: &site, nodes, replaced: 0 };
    let mut latencies = Vec::new();
    for _ in 0..10 {
        let (active, before) = pair.warm();
        let since = Instant::now();
        pair.nodes[active].kill();
        latencies.push(pair.taken_over(1 - active, &before, since).expect("the lock of one that is killed is free"));
        let name = pair.nodes[active].name.clone();
        pair.nodes[active] = site.start(&name);
    }
    let (active, fold) = pair.warm();
    for place in [1 - active, active] {
        assert_eq!(pair.nodes[place].stop(), 0, "{}", pair.nodes[place].log());
    }
    assert_eq!(site.starts().len(), AGENTS.len(), "all were adopted all along");
    assert_sound(&site, &fold);
    println!("supervise: kill -9 to the other one's first record: {}", spread(latencies));
}
