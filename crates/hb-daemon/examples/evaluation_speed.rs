//! How many evaluations of policies a supervisor logs durably, and how long one that asked waits for it.
//!
//! `cargo run --release -p hb-daemon --example evaluation_speed [SUPERVISORS [AGENTS [POLICIES [AT_ONCE]]]]`
//!
//! The whole loop with its database on disk, without hands. Alerts are raised about agents, so many at once that each waits for its
//! answer while others come; every alert opens a group or makes one worse, and each policy on duty is evaluated for it. The answer comes when
//! alert, evaluations and all that followed are durable.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use hb_core::ids::{AgentId, Seq, StreamName, WatchName};
use hb_core::journal::Head;
use hb_core::supervise::Presence;
use hb_core::supervise::alert::{Notification, Severity};
use hb_core::supervise::input::{Command, Decision, Declared, Person, Role};
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::state::Sealed;
use hb_core::supervise::step::Effect;
use hb_daemon::supervise::{Bounds, Follow, Hand, Keeper, Office, SupervisorParts, start};
use hb_store::lease::external::ExternalLease;
use hb_store::port::{Appended, JournalError};
use hb_store::supervisor::SupervisorDb;
use serde_json::json;

type Fault = Box<dyn Error + Send + Sync>;

/// Each is worse than the one before, so each is evaluated; the first is for the bursts.
const FLOOD: [Severity; 3] = [Severity::Warning, Severity::Error, Severity::Critical];
/// Pause between two bursts.
const PAUSE: Duration = Duration::from_millis(100);
/// After which the picture, from which counts are taken, has certainly been drawn again.
const DRAWN: Duration = Duration::from_millis(700);
/// Most bursts.
const BURSTS: usize = 50;

fn main() -> Result<(), Fault> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let number = |at: usize, default: usize| numbers.get(at).copied().unwrap_or(default);
    let (supervisors, agents, policies, at_once) = (number(0, 50), number(1, 5_000), number(2, 10), number(3, 100));
    let folder = tempfile::tempdir()?;
    let running = start(SupervisorParts {
        node: "bench".into(),
        stream: StreamName::supervisor("main"),
        keeper: Box::new(Kept(SupervisorDb::open(&folder.path().join("supervisor.db"))?)),
        lease: Box::new(ExternalLease::default()),
        hand: Box::new(|_| Ok(Box::new(Nobody))),
        sinks: BTreeSet::new(),
        declared: declared(supervisors, agents, policies)?,
        decisions: Box::new(NoDecisions),
        bounds: Bounds::default(),
    })?;
    let office = running.office.clone();
    while office.picture().get().presence != Presence::Running || office.picture().get().agents.all < agents {
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = office.picture().get();
    let begun = Instant::now();
    let mut burst = bursts(&office, agents, at_once)?;
    std::thread::sleep(DRAWN);
    println!("{agents} agents in {supervisors} supervisors, {policies} policies on duty for each");
    let between = office.picture().get();
    tell(&format!("{at_once} alerts at once, {} times", burst.len() / at_once.max(1)), &mut burst, begun);
    println!("  {} evaluations", between.evaluations - before.evaluations);
    let (before, begun) = (between, Instant::now());
    let mut waits = Vec::new();
    for severity in FLOOD {
        waits.extend(alerts(&office, (0..agents).collect(), severity, at_once)?);
    }
    let took = begun.elapsed().as_secs_f64();
    std::thread::sleep(DRAWN);
    let after = office.picture().get();
    office.stop(hb_core::supervise::input::OnStop::Leave, "measured");
    drop(running.join());
    let evaluations = after.evaluations - before.evaluations;
    tell(&format!("a flood, always {at_once} under way"), &mut waits, begun);
    println!(
        "  {evaluations} evaluations in {took:.2} s: {:.0}/s durable, in {} commits",
        count(evaluations) / took,
        after.commits - before.commits
    );
    println!("supervisor.db: {:.0} MB", megabytes(folder.path())?);
    Ok(())
}

/// So many alerts at once, and then a rest; each about another agent.
fn bursts(office: &Office, agents: usize, at_once: usize) -> Result<Vec<f64>, Fault> {
    let mut waits = Vec::new();
    for burst in 0..(agents / at_once.max(1)).min(BURSTS) {
        std::thread::sleep(PAUSE);
        let some = (burst * at_once..(burst + 1) * at_once).collect();
        waits.extend(alerts(office, some, Severity::Info, at_once)?);
    }
    Ok(waits)
}

/// Raises an alert about each of these agents, at most so many under way; gives how long each waited, in milliseconds.
fn alerts(office: &Office, agents: Vec<usize>, severity: Severity, at_once: usize) -> Result<Vec<f64>, Fault> {
    let (answered, answers): (Sender<Result<f64, String>>, Receiver<_>) = bounded(at_once);
    let mut waits = Vec::new();
    let mut under_way = 0_usize;
    for agent in agents {
        if under_way == at_once {
            waits.push(answers.recv()??);
            under_way -= 1;
        }
        let message = format!("reading {agent} is beside its limits");
        let command = Command::RaiseAlert { agent: name(agent), severity, message };
        let person = Person { actor: "bench".into(), role: Role::Operator };
        let (begun, answered) = (Instant::now(), answered.clone());
        office.command(person, command, move |reply| {
            let waited = begun.elapsed().as_secs_f64() * 1e3;
            // Nobody listens any more when the other side has failed.
            drop(answered.send(reply.map(|_| waited).map_err(|refusal| refusal.message)));
        })?;
        under_way += 1;
    }
    for _ in 0..under_way {
        waits.push(answers.recv()??);
    }
    Ok(waits)
}

fn tell(what: &str, waits: &mut [f64], begun: Instant) {
    waits.sort_by(f64::total_cmp);
    let at = |share: usize| waits.get((waits.len() * share / 100).min(waits.len().saturating_sub(1))).copied();
    println!(
        "{what}: {} alerts in {:.2} s, each durable with its evaluations after {:.2} ms (median), {:.2} ms (p99), {:.2} ms (worst)",
        waits.len(),
        begun.elapsed().as_secs_f64(),
        at(50).unwrap_or(f64::NAN),
        at(99).unwrap_or(f64::NAN),
        at(100).unwrap_or(f64::NAN)
    );
}

fn name(agent: usize) -> AgentId {
    AgentId::from(format!("a{agent:05}"))
}

/// Supervisors with a team of agents each, and policies of which one in ten holds for errors.
fn declared(supervisors: usize, agents: usize, policies: usize) -> Result<Declared, Fault> {
    let mut declared = Declared::default();
    for number in 0..supervisors {
        declared
            .supervisors
            .push(serde_json::from_value(json!({"id": format!("s{number}"), "name": format!("s{number}")}))?);
        let members: Vec<_> = (0..agents).filter(|agent| agent % supervisors == number).map(name).collect();
        declared.teams.push(serde_json::from_value(
            json!({"id": format!("t{number}"), "supervisor": format!("s{number}"), "name": format!("t{number}"), "members": members}),
        )?);
    }
    for agent in 0..agents {
        declared.agents.push(Arc::new(serde_json::from_value(json!({"id": name(agent), "heartbeat": {}}))?));
    }
    for number in 0..policies {
        let when = match number % 10 {
            0 => "alert.severity in ['ERROR', 'CRITICAL'] and agent.status != 'TERMINATED'",
            1..=4 => "agent.anomaly_score >= 0.8 and agent.consecutive_anomalous_readings >= 3",
            5..=7 => "agent.restart_count > 3 or agent.status == 'QUARANTINED'",
            _ => "agent.anomaly_score > ${variables.limit} and not (agent.type == 'guardian')",
        };
        let document = json!({
            "name": format!("p{number}"), "when": when,
            "variables": if number % 10 > 7 { json!({"limit": {"value": 0.9, "min": 0.5, "max": 1.0}}) } else { json!({}) },
            "actions": [{"type": "notify", "reason": "${agent.id} needs somebody"}],
            "supervisors": (0..supervisors).map(|number| format!("s{number}")).collect::<Vec<_>>(),
        });
        let read = PolicyDocument::read(&document);
        declared.policies.push(read.map_err(|faults| format!("{document}: {faults:?}"))?.into_declared());
    }
    Ok(declared)
}

fn count(of: u64) -> f64 {
    u32::try_from(of).map_or(f64::NAN, f64::from)
}

fn megabytes(folder: &Path) -> Result<f64, Fault> {
    let length = folder.join("supervisor.db").metadata()?.len();
    Ok(count(length >> 20))
}

struct Kept(SupervisorDb);

impl Keeper for Kept {
    fn follow(&mut self, head: Option<Head>, each: &mut dyn FnMut(Sealed)) -> Result<(), JournalError> {
        match head {
            None => self.0.restore(each).map(drop),
            Some(_) => self.0.follow(head, each).map(drop),
        }
    }

    fn commit(&mut self, records: &[Arc<Sealed>]) -> Appended {
        self.0.commit(records)
    }

    fn trim(&mut self, floor: Seq) -> Result<u64, JournalError> {
        self.0.trim(floor).map(|trimmed| trimmed.removed)
    }
}

/// Nothing is done in the world.
struct Nobody;

impl Hand for Nobody {
    fn act(&self, _: Effect) {}
    fn tell(&self, _: Notification, _: &BTreeSet<String>) {}
    fn stop(&mut self) {}
}

struct NoDecisions;

impl Follow for NoDecisions {
    fn begin(&mut self, _: &WatchName) -> Result<Seq, String> {
        Ok(Seq(0))
    }

    fn poll(&mut self, _: &WatchName, _: Option<Seq>) -> Result<Vec<Decision>, String> {
        Ok(Vec::new())
    }
}
