//! Records to fill a database with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{self, FORMAT, Hash, Head};
use hb_core::supervise::agent::{
    Agent, Anomaly, Beats, Exit, Identity, Lifecycle, Next, Origin, Probes, Process, Restarts,
};
use hb_core::supervise::alert::{AlertGroup, Concern, Severity};
use hb_core::supervise::event::{About, Event};
use hb_core::supervise::intervention::{Intervention, InterventionStatus};
use hb_core::supervise::policy::{
    ActionKind, ActionSpec, Assignment, Comparison, Condition, Definition, Evaluation, Policy, PolicyType,
    PolicyVersion, TraceStep, Variable,
};
use hb_core::supervise::spec::{
    AgentRole, AgentSpec, Limits, Output, ProcessSpec, Ready, ResourceRule, RestartRule, StopRule, Wanted,
};
use hb_core::supervise::state::{Body, Changes, Counters, Ended, Fold, Record, Sealed};
use hb_core::supervise::tree::{
    MemberRole, Membership, Supervisor, SupervisorConfig, SupervisorStatus, Team, WantedLifecycle,
};
use hb_core::time::{SECOND_NS, Stamp};
use hb_store::port::Appended;
use hb_store::supervisor::SupervisorDb;
use serde_json::json;

/// The stream of the tests.
pub(crate) fn stream() -> StreamName {
    StreamName::supervisor("main")
}

/// A time so many seconds after the beginning.
pub(crate) fn at(seconds: u64) -> Stamp {
    Stamp(1_700_000_000 * SECOND_NS).plus_ns(i64::try_from(seconds).unwrap() * SECOND_NS)
}

/// A writer of records: what it has sealed, and what they add up to.
#[derive(Default)]
pub(crate) struct Chain {
    pub(crate) head: Option<Head>,
    pub(crate) epoch: Epoch,
    pub(crate) fold: Fold,
    pub(crate) counters: Counters,
    pub(crate) node: String,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self { node: "a".into(), ..Self::default() }
    }

    /// Goes on from what stands in a database, as another node.
    pub(crate) fn taking_over(db: &mut SupervisorDb, node: &str) -> Self {
        let mut chain = Self { node: node.into(), ..Self::default() };
        let restored = db.restore(&mut |sealed| chain.fold.push(sealed)).unwrap();
        chain.head = restored.head;
        chain.epoch = chain.fold.epoch;
        chain.counters = chain.fold.state.counters;
        chain
    }

    pub(crate) fn seal(&mut self, body: Body) -> Arc<Sealed> {
        let sealed = journal::seal(Record {
            format: FORMAT,
            stream: stream(),
            seq: self.head.map_or(Seq(0), |head| head.seq.next()),
            epoch: self.epoch,
            at: at(self.head.map_or(0, |head| head.seq.0)),
            node: self.node.as_str().into(),
            prev: self.head.map_or(Hash::ZERO, |head| head.hash),
            body,
        });
        self.head = Some(sealed.head());
        self.fold.push(sealed.clone());
        Arc::new(sealed)
    }

    pub(crate) fn open(&mut self) -> Arc<Sealed> {
        self.epoch = self.epoch.next();
        self.seal(Body::EpochOpened {
            node: self.node.as_str().into(),
            how: "file".into(),
            why: "first start".into(),
            before: None,
            changes: Changes { counters: self.counters, ..Changes::default() },
            events: Vec::new(),
            evaluations: Vec::new(),
        })
    }

    pub(crate) fn change(&mut self, changes: Changes) -> Arc<Sealed> {
        self.change_with(changes, 1, 0)
    }

    /// A change with so many events and evaluations.
    pub(crate) fn change_with(&mut self, changes: Changes, events: u64, evaluations: u64) -> Arc<Sealed> {
        let events = (0..events).map(|_| self.event()).collect();
        let evaluations = (0..evaluations).map(|_| self.evaluation()).collect();
        self.seal(Body::Changed { changes: Changes { counters: self.counters, ..changes }, events, evaluations })
    }

    pub(crate) fn snapshot(&mut self) -> Arc<Sealed> {
        let changes = self.fold.state.whole();
        self.seal(Body::Snapshot { changes })
    }

    pub(crate) fn close(&mut self) -> Arc<Sealed> {
        let changes = Changes { counters: self.counters, ..Changes::default() };
        self.seal(Body::EpochClosed {
            reason: "asked to".into(),
            ended: Ended::LeftRunning,
            changes,
            events: Vec::new(),
            evaluations: Vec::new(),
        })
    }

    pub(crate) fn event(&mut self) -> Event {
        let id = self.counters.event;
        self.counters.event += 1;
        let severity =
            [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical][usize::try_from(id % 4).unwrap()];
        let about = About {
            supervisor: Some("root".into()),
            agent: id.is_multiple_of(2).then(|| format!("agent-{}", id % 10).into()),
            intervention: id.is_multiple_of(5).then(|| "i-1".into()),
            ..About::default()
        };
        Event {
            id,
            kind: if id.is_multiple_of(3) { "agent.started".into() } else { "supervisor.beat".into() },
            severity,
            about,
            by: "hb".into(),
            message: format!("event {id} happened"),
            details: BTreeMap::from([("n".to_owned(), json!(id))]),
            at: at(id),
            acknowledged: None,
        }
    }

    pub(crate) fn evaluation(&mut self) -> Evaluation {
        let id = self.counters.evaluation;
        self.counters.evaluation += 1;
        Evaluation {
            id,
            supervisor: "root".into(),
            policy: "drift".into(),
            version: 1,
            agent: Some(format!("agent-{}", id % 100).into()),
            trigger: "decision".into(),
            group: id.is_multiple_of(7).then(|| "g-1".into()),
            context: BTreeMap::from([
                ("agent.anomaly_score".to_owned(), json!(0.75)),
                ("agent.consecutive_anomalous_readings".to_owned(), json!(2)),
            ]),
            decision: id % 2 == 1,
            decision_path: vec![
                TraceStep { condition: "AND".into(), depth: 0, found: None, held: Some(false) },
                TraceStep {
                    condition: "agent.anomaly_score >= 0.8".into(),
                    depth: 1,
                    found: Some(json!(0.75)),
                    held: Some(false),
                },
            ],
            action_taken: vec!["nothing: the condition did not hold".into()],
            interventions: Vec::new(),
            at: at(id),
        }
    }
}

/// A program that runs.
pub(crate) fn agent(name: &str) -> Agent {
    let process = ProcessSpec {
        command: vec!["/usr/bin/worker".into(), "--queue".into(), name.into()],
        env: BTreeMap::from([("QUEUE".to_owned(), name.to_owned())]),
        cwd: None,
        user: None,
        limits: Limits::default(),
        ready: Ready::default(),
        stop: StopRule::default(),
        output: Output::default(),
        resources: ResourceRule::default(),
        watchdog_sec: None,
    };
    let spec = AgentSpec {
        id: name.into(),
        role: AgentRole::Worker,
        process: Some(Box::new(process)),
        heartbeat: None,
        probe: None,
        restart: RestartRule::default(),
        beats: None,
        depends_on: Vec::new(),
        watch: Some("bench".into()),
        wanted: Wanted::Up,
        phase: Some("build".into()),
        capabilities: vec!["rust".into()],
        capacity: 1,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
    };
    let identity = Identity { pid: 4242, start_ticks: 99, boot: "b0b0".into() };
    Agent {
        spec: Arc::new(spec),
        spec_version: 1,
        origin: Origin::Declared,
        wanted: Wanted::Up,
        lifecycle: Lifecycle::Running,
        since: at(0),
        incarnation: 3,
        process: Process::Alive { identity, since: at(0), adopted: false },
        next: Next::ByRule,
        exit: Some(Exit::Signal(9)),
        restarts: Restarts { total: 2, recent: [at(1), at(2)].into(), ..Restarts::default() },
        beats: Beats { sequence: Some(7), last: Some(at(3)), received: 8, ..Beats::default() },
        probes: Probes::default(),
        anomaly: Anomaly { score: 0.25, consecutive: 1, ..Anomaly::default() },
        quarantine: None,
        said: "at work".into(),
        team: None,
        latched: Default::default(),
    }
}

pub(crate) fn supervisor(name: &str, parent: Option<&str>) -> Supervisor {
    Supervisor {
        id: name.into(),
        name: name.to_owned(),
        description: String::new(),
        origin: Origin::Dynamic,
        parent: parent.map(Into::into),
        level: u32::from(parent.is_some()),
        wanted: WantedLifecycle::Active,
        status: SupervisorStatus::Active,
        config: SupervisorConfig::default(),
        config_version: 1,
        policies: vec![Assignment { policy: "drift".into(), priority: 5, enabled_at: at(0), disabled_at: None }],
        failure_reason: None,
        created_at: at(0),
        updated_at: at(0),
        last_heartbeat: Some(at(1)),
        last_policy_evaluation: None,
        begun: Vec::new(),
    }
}

pub(crate) fn team(name: &str, members: Vec<Membership>) -> Team {
    Team {
        id: name.into(),
        supervisor: "root".into(),
        name: name.to_owned(),
        description: String::new(),
        objective: "work".into(),
        origin: Origin::Dynamic,
        members,
    }
}

pub(crate) fn member(agent: &str, joined: u64, left: Option<u64>) -> Membership {
    Membership {
        agent: agent.into(),
        role: MemberRole::Member,
        joined_at: at(joined),
        left_at: left.map(at),
        metadata: BTreeMap::new(),
    }
}

pub(crate) fn policy(name: &str, versions: u32) -> Policy {
    let version = |number| PolicyVersion {
        version: number,
        description: String::new(),
        policy_type: PolicyType::Intervention,
        definition: Definition {
            condition: Condition::FieldComparison {
                field: "agent.anomaly_score".into(),
                operator: Comparison::GreaterOrEqual,
                value: json!(0.8),
            },
            actions: vec![ActionSpec {
                kind: ActionKind::RestartAgent,
                target: "${agent.id}".into(),
                reason: String::new(),
                approval_required: false,
                stagger_seconds: None,
                sinks: Vec::new(),
                parameters: BTreeMap::new(),
            }],
        },
        variables: BTreeMap::from([(
            "threshold".to_owned(),
            Variable { value: 0.8, min: 0.5, max: 1.0, adaptive: true },
        )]),
        created_by: "operator:ada".into(),
        created_at: at(u64::from(number)),
        dangerous: false,
        approved_by: None,
    };
    Policy {
        name: name.into(),
        origin: Origin::Dynamic,
        versions: (1..=versions).map(version).collect(),
        active: Some(versions),
        variables: BTreeMap::new(),
        effectiveness: 0.5,
        evaluations: 0,
        matches: 0,
        successes: 0,
        held: None,
        retired_at: None,
    }
}

pub(crate) fn intervention(number: u64, status: InterventionStatus) -> Intervention {
    // As a document, so that what is left out of it has its default.
    let document = json!({
        "id": format!("i-{number}"), "supervisor": "root", "intervention_type": "AGENT_RESTART",
        "target_type": "AGENT", "target_id": "agent-1", "reason": "it drifts", "requested_by": "policy:drift",
        "policy": ["drift", 1], "evaluation": 0, "status": status,
        "plan": [{"act": {"restart": "agent-1"}, "state": "begun", "incarnation": 3}],
        "created_at": at(number), "executed_at": at(number),
    });
    serde_json::from_value(document).unwrap()
}

pub(crate) fn group(number: u64, resolved: Option<u64>) -> AlertGroup {
    AlertGroup {
        id: format!("g-{number}").into(),
        supervisor: "root".into(),
        group_key: "agent-1_anomaly".into(),
        concern: Concern::Anomaly,
        severity: Severity::Error,
        alert_count: 3,
        alert_ids: vec![1, 2, 3],
        affected_agents: ["agent-1".into()].into(),
        correlation_summary: "agent-1 drifts".into(),
        first_alert_at: at(number),
        last_alert_at: at(number + 1),
        resolved_at: resolved.map(at),
        evaluated: true,
        unlooked: false,
    }
}

pub(crate) fn agents(all: impl IntoIterator<Item = Agent>) -> Changes {
    Changes { agents: all.into_iter().map(|agent| (agent.id().clone(), Some(agent))).collect(), ..Changes::default() }
}

pub(crate) fn supervisors(all: impl IntoIterator<Item = Supervisor>) -> Changes {
    Changes { supervisors: all.into_iter().map(|one| (one.id.clone(), Some(one))).collect(), ..Changes::default() }
}

pub(crate) fn teams(all: impl IntoIterator<Item = Team>) -> Changes {
    Changes { teams: all.into_iter().map(|one| (one.id.clone(), Some(one))).collect(), ..Changes::default() }
}

pub(crate) fn interventions(all: impl IntoIterator<Item = Intervention>) -> Changes {
    Changes { interventions: all.into_iter().map(|one| (one.id.clone(), Some(one))).collect(), ..Changes::default() }
}

pub(crate) fn groups(all: impl IntoIterator<Item = AlertGroup>) -> Changes {
    Changes { groups: all.into_iter().map(|one| (one.id.clone(), Some(one))).collect(), ..Changes::default() }
}

/// A database in a folder of its own.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("supervisor.db")
    }

    pub(crate) fn open(&self) -> SupervisorDb {
        SupervisorDb::open(&self.path()).unwrap()
    }

    /// A database with one of everything, closed; gives what wrote it.
    pub(crate) fn filled(&self) -> Chain {
        let mut db = self.open();
        let mut chain = Chain::new();
        (chain.counters.intervention, chain.counters.group) = (3, 3);
        let mut records = vec![chain.open()];
        records.push(chain.change(supervisors([supervisor("root", None), supervisor("left", Some("root"))])));
        records.push(chain.change(agents((0..10).map(|n| agent(&format!("agent-{n}"))))));
        records.push(chain.change(teams([team("t", vec![member("agent-1", 1, Some(5)), member("agent-1", 9, None)])])));
        records.push(chain.change(Changes {
            policies: [("drift".into(), Some(policy("drift", 2)))].into(),
            ..interventions([
                intervention(1, InterventionStatus::Executing),
                intervention(2, InterventionStatus::Completed),
            ])
        }));
        records.push(chain.change(groups([group(1, None), group(2, Some(9))])));
        records.push(chain.change_with(Changes::default(), 20, 20));
        commit(&mut db, &records);
        chain
    }
}

pub(crate) fn commit(db: &mut SupervisorDb, records: &[Arc<Sealed>]) {
    assert_eq!(db.commit(records), Appended::Committed);
}

/// What a database adds up to.
pub(crate) fn folded(path: &Path) -> Fold {
    let mut fold = Fold::default();
    SupervisorDb::open(path).unwrap().restore(&mut |sealed| fold.push(sealed)).unwrap();
    fold
}

/// One value out of the tables.
pub(crate) fn ask<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> T {
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}
