//! How fast a supervisor's changes become durable, and how fast it is restored: `supervisor_speed DIR [KEPT]`.
//!
//! Prints: commits of one agent's change, one at a time; evaluations in batches; a snapshot of 5,000 agents and restoring it; what a
//! standby pays for asking when nothing is new. With `supervisor_speed DIR KEPT` only so many evaluations are kept, so that each batch removes one too.
#![expect(clippy::print_stdout, reason = "its whole purpose is to print figures")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{self, FORMAT, Hash, Head};
use hb_core::supervise::agent::Agent;
use hb_core::supervise::policy::{Evaluation, TraceStep};
use hb_core::supervise::state::{Body, Changes, Counters, Fold, Record, Sealed};
use hb_core::time::Stamp;
use hb_store::port::Appended;
use hb_store::supervisor::{Kept, SupervisorDb};
use serde_json::json;

const AGENTS: usize = 5_000;
const CHANGES: u32 = 500;
const BATCHES: u64 = 200;
const BATCH: u64 = 500;

#[derive(Default)]
struct Chain {
    head: Option<Head>,
    counters: Counters,
}

impl Chain {
    fn seal(&mut self, body: Body) -> Arc<Sealed> {
        let sealed = journal::seal(Record {
            format: FORMAT,
            stream: StreamName::supervisor("speed"),
            seq: self.head.map_or(Seq(0), |head| head.seq.next()),
            epoch: Epoch(1),
            at: Stamp(1_700_000_000_000_000_000),
            node: "a".into(),
            prev: self.head.map_or(Hash::ZERO, |head| head.hash),
            body,
        });
        self.head = Some(sealed.head());
        Arc::new(sealed)
    }

    fn changed(&mut self, changes: Changes, evaluations: u64) -> Arc<Sealed> {
        let evaluations = (0..evaluations).map(|_| self.evaluation()).collect();
        self.seal(Body::Changed {
            changes: Changes { counters: self.counters, ..changes },
            events: Vec::new(),
            evaluations,
        })
    }

    fn evaluation(&mut self) -> Evaluation {
        let id = self.counters.evaluation;
        self.counters.evaluation = id.saturating_add(1);
        let condition = |text: &str, value| TraceStep {
            condition: text.to_owned(),
            depth: 1,
            found: Some(value),
            held: Some(false),
        };
        Evaluation {
            id,
            supervisor: "root".into(),
            policy: "restart-on-drift".into(),
            version: 1,
            agent: Some(format!("agent-{}", id % 5000).into()),
            trigger: "decision".into(),
            group: None,
            context: BTreeMap::from([
                ("agent.anomaly_score".to_owned(), json!(0.25)),
                ("agent.consecutive_anomalous_readings".to_owned(), json!(2)),
            ]),
            decision: false,
            decision_path: vec![
                TraceStep { condition: "AND".into(), depth: 0, found: None, held: Some(false) },
                condition("agent.anomaly_score >= 0.8", json!(0.25)),
                condition("agent.consecutive_anomalous_readings >= 3", json!(2)),
            ],
            action_taken: Vec::new(),
            interventions: Vec::new(),
            at: Stamp(1_700_000_000_000_000_000),
        }
    }
}

fn agent(number: usize) -> Result<Agent, String> {
    let document = json!({
        "spec": {
            "id": format!("agent-{number:05}"), "restart": {}, "capabilities": ["rust"], "tags": ["bench"],
            "process": {"command": ["/usr/bin/worker", "--queue", format!("q{number}")], "env": {"QUEUE": "q"}},
        },
        "spec_version": 1, "origin": "declared", "wanted": "up", "lifecycle": "RUNNING",
        "since": "2026-01-01T00:00:00Z", "incarnation": 3,
        "process": {"alive": {"identity": {"pid": 4242, "start_ticks": 99, "boot": "b0b0-b0b0"}, "since": "2026-01-01T00:00:00Z", "adopted": false}},
        "beats": {"sequence": 7, "last": "2026-01-01T00:00:00Z", "missed": 0, "received": 8, "duplicates": 0, "gaps": 0},
    });
    serde_json::from_value(document).map_err(|error| error.to_string())
}

fn commit(db: &mut SupervisorDb, records: &[Arc<Sealed>]) -> Result<Duration, String> {
    let begun = Instant::now();
    let appended = db.commit(records);
    if appended == Appended::Committed { Ok(begun.elapsed()) } else { Err(format!("{appended:?}")) }
}

fn tell(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at =
        |share: usize| took.get(took.len().saturating_sub(1).saturating_mul(share) / 100).copied().unwrap_or_default();
    println!("{what}: median {:?}, 99 % {:?}, worst {:?}", at(50), at(99), at(100));
}

fn main() -> Result<(), String> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("usage: supervisor_speed DIR [KEPT]")?);
    let path = dir.join("supervisor.db");
    let mut kept = Kept::default();
    if let Some(most) = std::env::args().nth(2) {
        kept.evaluations = most.parse().map_err(|error| format!("{most}: {error}"))?;
    }
    let mut db = SupervisorDb::open_with(&path, kept).map_err(|error| error.to_string())?;
    let mut chain = Chain::default();
    let all = (0..AGENTS).map(agent).collect::<Result<Vec<_>, _>>()?;
    let whole: BTreeMap<_, _> = all.iter().map(|agent| (agent.id().clone(), Some(agent.clone()))).collect();
    let record = chain.changed(Changes { agents: whole.clone(), ..Changes::default() }, 0);
    println!("{AGENTS} agents in one record of {} bytes: {:?}", record.bytes.len(), commit(&mut db, &[record])?);

    let mut took = Vec::new();
    for number in 0..CHANGES {
        let agent = all.get(usize::try_from(number).unwrap_or(0)).ok_or("no such agent")?.clone();
        let record =
            chain.changed(Changes { agents: [(agent.id().clone(), Some(agent))].into(), ..Changes::default() }, 0);
        took.push(commit(&mut db, &[record])?);
    }
    tell("one agent's change, one commit each", took);

    let (mut took, mut sealing) = (Vec::new(), Duration::ZERO);
    let begun = Instant::now();
    for _ in 0..BATCHES {
        let made = Instant::now();
        let record = chain.changed(Changes::default(), BATCH);
        sealing = sealing.saturating_add(made.elapsed());
        took.push(commit(&mut db, &[record])?);
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(BATCHES.saturating_mul(BATCH)).unwrap_or(0)) / elapsed;
    println!(
        "evaluations: {rate:.0}/s durable in batches of {BATCH} (making and sealing them took {sealing:?} of {elapsed:.2} s)"
    );
    tell("a batch", took);

    let record = chain
        .seal(Body::Snapshot { changes: Changes { agents: whole, counters: chain.counters, ..Changes::default() } });
    println!("a snapshot of {} bytes: {:?}", record.bytes.len(), commit(&mut db, &[record])?);
    for number in 0..100 {
        let agent = all.get(number).ok_or("no such agent")?.clone();
        let record =
            chain.changed(Changes { agents: [(agent.id().clone(), Some(agent))].into(), ..Changes::default() }, 0);
        commit(&mut db, &[record])?;
    }
    drop(db);
    let begun = Instant::now();
    let mut db = SupervisorDb::open(&path).map_err(|error| error.to_string())?;
    let opened = begun.elapsed();
    let mut fold = Fold::default();
    let restored = db.restore(&mut |sealed| fold.push(sealed)).map_err(|error| error.to_string())?;
    let agents = fold.state.agents.len();
    println!(
        "restored {agents} agents from {} records in {:?} (opening {opened:?} of it)",
        restored.records,
        begun.elapsed()
    );
    let begun = Instant::now();
    for _ in 0..1000 {
        db.follow(fold.head, &mut drop).map_err(|error| error.to_string())?;
    }
    println!("asking when nothing is new: {:?} each", begun.elapsed() / 1000);
    println!("{:?}", db.sizes().map_err(|error| error.to_string())?);
    Ok(())
}
