//! How many evaluations of policies a supervisor logs durably, and how long one that asked waits for it.
//!
//! `cargo run --release -p hb-daemon --example evaluation_speed [SUPERVISORS [AGENTS [POLICIES [AT_ONCE [ROUNDS]]]]]`
//!
//! The whole loop with its database on disk, without hands. Alerts are raised about agents, so many at once that each waits for its
//! answer while others come; every alert opens a group or makes one worse, and each policy on duty is evaluated for it. The answer comes when
//! alert, evaluations and all that followed are durable.
//!
//! First in bursts with a rest after each: of every alert from when it is raised until its answer, and of every burst from when its first
//! alert is raised until the last answer. An agent's alerts become worse four times, after that a round begins anew on an empty database;
//! policies match from the third time on. Then without a rest.
//!
//! Beside the bursts stands what the disk takes for as many bytes as their records have, after the same rest: written to a file and fdatasynced, and
//! as the only row of a transaction of SQLite. No commit can be quicker than the first, and none that is one transaction than the second.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use hb_core::ids::{AgentId, Seq, StreamName, WatchName};
use hb_core::journal::Head;
use hb_core::supervise::Presence;
use hb_core::supervise::alert::{Notification, Severity};
use hb_core::supervise::input::{Command, Decision, Declared, OnStop, Person, Role};
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::state::{Body, Sealed};
use hb_core::supervise::step::Effect;
use hb_daemon::supervise::{Bounds, Follow, Hand, Keeper, Office, Running, SupervisorParts, start};
use hb_store::journal::sqlite::SqliteJournal;
use hb_store::lease::external::ExternalLease;
use hb_store::port::{Appended, Journal as _, JournalError};
use hb_store::supervisor::SupervisorDb;
use serde_json::json;

type Fault = Box<dyn Error + Send + Sync>;

/// Each is worse than the one before, so each is evaluated.
const WORSE: [Severity; 4] = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];
/// How many of these match no policy.
const UNMATCHED: usize = 2;
/// Pause between two bursts.
const PAUSE: Duration = Duration::from_millis(100);
/// After which the picture, from which counts are taken, has certainly been drawn again.
const DRAWN: Duration = Duration::from_millis(700);
/// How often the disk alone is measured: enough for a p99.
const FLOORS: usize = 200;

/// What is measured.
struct Plan {
    supervisors: usize,
    agents: usize,
    policies: usize,
    at_once: usize,
    rounds: usize,
}

/// Of bursts: how long each alert waited, and how long each burst took, in milliseconds.
#[derive(Default)]
struct Waits {
    alerts: Vec<f64>,
    bursts: Vec<f64>,
    commits: u64,
    evaluations: u64,
    bytes: u64,
}

fn main() -> Result<(), Fault> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let number = |at: usize, default: usize| numbers.get(at).copied().unwrap_or(default);
    let plan = Plan {
        supervisors: number(0, 50),
        agents: number(1, 5_000),
        policies: number(2, 10),
        at_once: number(3, 100).max(1),
        rounds: number(4, 2),
    };
    let Plan { supervisors, agents, policies, .. } = plan;
    println!("{agents} agents in {supervisors} supervisors, {policies} policies on duty for each");
    let (mut unmatched, mut matched) = (Waits::default(), Waits::default());
    for _ in 0..plan.rounds {
        round(&plan, &mut unmatched, &mut matched)?;
    }
    tell_bursts("no policy matches", &plan, &mut unmatched);
    tell_bursts("policies match", &plan, &mut matched);
    for waits in [&unmatched, &matched] {
        floor(waits.bytes / u64::try_from(waits.bursts.len().max(1))?)?;
    }
    flood(&plan)
}

/// What the disk takes for so many bytes, after the same rest.
fn floor(bytes: u64) -> Result<(), Fault> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("file"))?;
    let mut journal = SqliteJournal::open(&folder.path().join("journal.db"))?;
    let (stream, some) = (StreamName::supervisor("main"), vec![b'x'; usize::try_from(bytes)?]);
    let (mut written, mut committed) = (Vec::new(), Vec::new());
    for number in 0..FLOORS {
        std::thread::sleep(PAUSE / 2);
        let begun = Instant::now();
        file.write_all(&some)?;
        file.sync_data()?;
        written.push(begun.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(PAUSE / 2);
        let begun = Instant::now();
        match journal.append(&stream, Seq(u64::try_from(number)?), &some) {
            Appended::Committed => committed.push(begun.elapsed().as_secs_f64() * 1e3),
            other @ (Appended::Refused(_) | Appended::Failed(_) | Appended::Stopped(_) | Appended::Unknown(_)) => {
                return Err(format!("{other:?}").into());
            }
        }
    }
    println!("{bytes} bytes alone, as many as the records of a burst have, {FLOORS} times");
    println!("  written and fdatasynced: {}", spread(&mut written));
    println!("  one row, one transaction: {}", spread(&mut committed));
    Ok(())
}

/// Bursts over all agents, one after the other, four times worse.
fn round(plan: &Plan, unmatched: &mut Waits, matched: &mut Waits) -> Result<(), Fault> {
    let folder = tempfile::tempdir()?;
    let kept = Arc::new(AtomicU64::new(0));
    let running = begin(plan, folder.path(), &kept)?;
    let office = running.office.clone();
    for (worse, severity) in WORSE.into_iter().enumerate() {
        let waits = if worse < UNMATCHED { &mut *unmatched } else { &mut *matched };
        let (before, bytes) = (office.picture().get(), kept.load(Ordering::Relaxed));
        for burst in 0..plan.agents / plan.at_once {
            std::thread::sleep(PAUSE);
            let some = (burst * plan.at_once..(burst + 1) * plan.at_once).collect();
            let begun = Instant::now();
            waits.alerts.extend(alerts(&office, some, severity, plan.at_once)?);
            waits.bursts.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        std::thread::sleep(DRAWN);
        let after = office.picture().get();
        waits.commits += after.commits - before.commits;
        waits.evaluations += after.evaluations - before.evaluations;
        waits.bytes += kept.load(Ordering::Relaxed) - bytes;
    }
    end(running);
    Ok(())
}

/// Alerts about all agents, four times worse, with always so many under way.
fn flood(plan: &Plan) -> Result<(), Fault> {
    let folder = tempfile::tempdir()?;
    let running = begin(plan, folder.path(), &Arc::default())?;
    let office = running.office.clone();
    let (before, begun) = (office.picture().get(), Instant::now());
    let mut waits = Vec::new();
    for severity in WORSE {
        waits.extend(alerts(&office, (0..plan.agents).collect(), severity, plan.at_once)?);
    }
    let took = begun.elapsed().as_secs_f64();
    std::thread::sleep(DRAWN);
    let after = office.picture().get();
    end(running);
    let evaluations = after.evaluations - before.evaluations;
    println!("a flood, always {} under way: {} alerts in {took:.2} s", plan.at_once, waits.len());
    println!("  each alert durable with its evaluations after {}", spread(&mut waits));
    println!(
        "  {evaluations} evaluations: {:.0}/s durable, in {} commits",
        count(evaluations) / took,
        after.commits - before.commits
    );
    println!("supervisor.db: {:.0} MB", megabytes(folder.path())?);
    Ok(())
}

/// A supervisor that knows all of its agents.
fn begin(plan: &Plan, folder: &Path, bytes: &Arc<AtomicU64>) -> Result<Running, Fault> {
    let running = start(SupervisorParts {
        node: "bench".into(),
        stream: StreamName::supervisor("main"),
        keeper: Box::new(Kept(SupervisorDb::open(&folder.join("supervisor.db"))?, Arc::clone(bytes))),
        lease: Box::new(ExternalLease::default()),
        hand: Box::new(|_| Ok(Box::new(Nobody))),
        sinks: BTreeSet::new(),
        declared: declared(plan.supervisors, plan.agents, plan.policies)?,
        decisions: Box::new(NoDecisions),
        bounds: Bounds::default(),
    })?;
    let picture = running.office.picture();
    while picture.get().presence != Presence::Running || picture.get().agents.all < plan.agents {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(running)
}

fn end(running: Running) {
    running.office.stop(OnStop::Leave, "measured");
    drop(running.join());
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

fn tell_bursts(what: &str, plan: &Plan, waits: &mut Waits) {
    let (alerts, bursts) = (waits.alerts.len(), waits.bursts.len());
    println!("{} alerts at once, {what}: {alerts} in {bursts} bursts, {} commits", plan.at_once, waits.commits);
    println!("  {} evaluations", waits.evaluations);
    println!("  each alert durable with its evaluations after {}", spread(&mut waits.alerts));
    println!("  each burst durable with its evaluations after {}", spread(&mut waits.bursts));
}

fn spread(waits: &mut [f64]) -> String {
    waits.sort_by(f64::total_cmp);
    let at = |share: usize| {
        let at = (waits.len() * share / 100).min(waits.len().saturating_sub(1));
        waits.get(at).copied().unwrap_or(f64::NAN)
    };
    let (median, p99, worst) = (at(50), at(99), at(100));
    format!("{median:.2} ms (median), {p99:.2} ms (p99), {worst:.2} ms (worst)")
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

/// With the bytes of the records that were committed, but for snapshots, which nobody waits for.
struct Kept(SupervisorDb, Arc<AtomicU64>);

impl Keeper for Kept {
    fn follow(&mut self, head: Option<Head>, each: &mut dyn FnMut(Sealed)) -> Result<(), JournalError> {
        match head {
            None => self.0.restore(each).map(drop),
            Some(_) => self.0.follow(head, each).map(drop),
        }
    }

    fn commit(&mut self, records: &[Arc<Sealed>]) -> Appended {
        let alone = records.iter().filter(|one| !matches!(one.record.body, Body::Snapshot { .. }));
        let bytes: u64 = alone.map(|one| u64::try_from(one.bytes.len()).unwrap_or(0)).sum();
        self.1.fetch_add(bytes, Ordering::Relaxed);
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
