//! What the sketches that supervision was specified by would have got wrong, one test each (their list of ten).
//!
//! | the sketch | shown not to happen by |
//! |---|---|
//! | 1 a graceful stop makes a supervisor TERMINATED for ever | `sketch_1_…` |
//! | 2 saving state erases `failure_reason` and leaves counters, windows and queues out | `sketch_2_…`; the table itself: `s1_health_metrics_hold_what_the_documents_ask_for_and_do_not_erase_failure_reason` |
//! | 3 state is restored as running before anything runs | `sketch_3_…` |
//! | 4 nothing is said about an intervention found under way | `s4_a4_a_kill_at_every_point_of_every_intervention_changes_nothing` |
//! | 5 after downtime every agent counts as silent | `sketch_5_…` |
//! | 6, 7 nobody keeps a second writer out, and there is no lease | `a9_h1_two_writers_on_one_file_never_have_the_same_number_and_both_are_killed`, and the pairs of the real binary |
//! | 8 evaluations are logged twice, event names are doubled, nobody can rejoin, roots are not unique | `sketch_8_…` |
//! | 9 every restart that a watchdog asks for fails for want of rights, and is swallowed | `sketch_9_…` |
//! | 10 the anomaly score lives in memory | `sketch_10_…` |

use std::sync::Arc;

use super::stage::{Disk, ask, now, spec, supervisor, team};
use hb_core::ids::{CycleNo, Seq};
use hb_core::supervise::agent::{Exit, Identity, Lifecycle, Process};
use hb_core::supervise::input::{Beat, Command, Decision, Input, OnStop, Ticket};
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::state::Body;
use hb_core::supervise::step::{Effect, Step};
use hb_core::supervise::tree::{SupervisorStatus, WantedLifecycle};
use hb_core::supervise::{Presence, Supervision};
use serde_json::json;

const SECOND: u64 = 1_000_000_000;

/// hb with its disk.
struct Scene {
    disk: Disk,
    it: Supervision,
    ns: u64,
}

impl Scene {
    fn new() -> Self {
        let disk = Disk::default();
        let mut scene = Self { it: disk.reader(), disk, ns: SECOND };
        scene.open();
        scene
    }

    fn keep(&mut self, step: Step) -> Vec<Effect> {
        self.disk.0.extend(step.record.map(Arc::unwrap_or_clone));
        step.effects
    }

    fn open(&mut self) -> Vec<Effect> {
        let step = self.it.open("granted", "free", now(self.ns, 0));
        self.keep(step)
    }

    fn hear(&mut self, input: Input) -> Vec<Effect> {
        self.it.handle(input, now(self.ns, 0));
        let step = self.it.take(now(self.ns, 0));
        self.keep(step)
    }

    fn want(&mut self, command: Command) -> Vec<Effect> {
        self.hear(ask(1, command))
    }

    /// hb is killed, and started again after so many seconds.
    fn crash(&mut self, seconds: u64) -> Vec<Effect> {
        self.ns += seconds * SECOND;
        self.it = self.disk.reader();
        self.open()
    }

    fn program(&mut self, id: &str, more: &str) {
        self.want(Command::RegisterAgent(Box::new(spec(
            id,
            &format!(r#"{{"process":{{"command":["{id}"]}}{more}}}"#),
        ))));
        self.spawned(id);
    }

    fn spawned(&mut self, id: &str) {
        let incarnation = self.it.state().agents.get(&id.into()).unwrap().incarnation;
        let pid = u32::try_from(self.disk.0.len()).unwrap() + 100;
        let identity = Identity { pid, start_ticks: u64::from(pid), boot: "boot".into() };
        self.hear(Input::Spawned { agent: id.into(), incarnation, identity });
    }

    fn policy(&mut self, document: &serde_json::Value) {
        let name = document["name"].as_str().unwrap().to_owned();
        let new = PolicyDocument::read(document).unwrap().into_new();
        self.want(Command::AcceptPolicy(Box::new(new)));
        self.want(Command::ActivatePolicy { name: name.as_str().into(), version: 1 });
        self.want(Command::AssignPolicy {
            supervisor: "root".into(),
            policy: name.as_str().into(),
            priority: 0,
            enabled: true,
        });
    }

    fn decides(&mut self, seq: u64, status: &str) -> Vec<Effect> {
        self.hear(Input::Decision(Box::new(Decision {
            watch: "bench".into(),
            seq: Seq(seq),
            cycle: CycleNo(seq),
            status: status.into(),
            end: now(self.ns, 0).wall,
            drivers: vec!["temp".into()],
        })))
    }

    fn lifecycle(&self, id: &str) -> Lifecycle {
        self.it.state().agents.get(&id.into()).unwrap().lifecycle
    }

    fn bodies(&self) -> impl Iterator<Item = &Body> {
        self.disk.0.iter().map(|sealed| &sealed.record.body)
    }
}

#[test]
fn sketch_1_a_graceful_stop_is_no_termination() {
    let mut scene = Scene::new();
    scene.want(supervisor("root"));
    scene.program("web", "");
    scene.hear(Input::Drain { agents: OnStop::Leave, reason: "SIGTERM".into() });
    assert_eq!(scene.it.presence(), Presence::Standby, "it has ended");
    let effects = scene.crash(60);
    let root = scene.it.state().supervisors.get(&"root".into()).unwrap();
    assert_eq!((root.wanted, root.status), (WantedLifecycle::Active, SupervisorStatus::Active));
    assert!(matches!(effects.as_slice(), [Effect::Adopt { .. }]), "{effects:?}");
    // And it is told apart from a crash.
    let opened: Vec<bool> = scene
        .bodies()
        .filter_map(|body| if let Body::EpochOpened { before, .. } = body { Some(before.is_some()) } else { None })
        .collect();
    assert_eq!(opened, [false, true]);
}

#[test]
fn sketch_2_everything_survives_not_four_values() {
    let mut scene = Scene::new();
    scene.want(supervisor("root"));
    scene.program("web", r#","restart":{"jitter":0}"#);
    let identity =
        |scene: &Scene| scene.it.state().agents.get(&"web".into()).unwrap().process.identity().cloned().unwrap();
    for _ in 0..2 {
        let identity = identity(&scene);
        scene.hear(Input::Exited { agent: "web".into(), identity, exit: Exit::Status(1) });
        if matches!(scene.it.state().agents.get(&"web".into()).unwrap().process, Process::Starting { .. }) {
            scene.spawned("web");
        }
    }
    let before = scene.it.state().clone();
    assert!(before.agents.get(&"web".into()).unwrap().restarts.not_before.is_some() && !before.groups.is_empty());
    scene.it = scene.disk.reader();
    assert_eq!(scene.it.state().agents, before.agents);
    assert_eq!(scene.it.state().groups, before.groups);
    assert_eq!(scene.it.state().supervisors, before.supervisors);
    assert_eq!(scene.it.state().counters, before.counters);
}

#[test]
fn sketch_3_nothing_counts_as_running_before_it_was_found() {
    let mut scene = Scene::new();
    scene.want(supervisor("root"));
    scene.want(supervisor("over"));
    scene.want(Command::StopSupervisor("over".into()));
    scene.program("web", "");
    scene.crash(1);
    assert_eq!(scene.it.presence(), Presence::Recovering { found: 0, of: 1 });
    let over = scene.it.state().supervisors.get(&"over".into()).unwrap();
    assert_eq!(over.status, SupervisorStatus::Terminated);
}

#[test]
fn sketch_5_downtime_restarts_no_fleet() {
    let mut scene = Scene::new();
    scene.want(supervisor("root"));
    for id in ["a", "b", "c"] {
        scene.want(Command::RegisterAgent(Box::new(spec(id, r#"{"heartbeat":{}}"#))));
        let beat = Beat {
            agent: id.into(),
            sequence: 1,
            status: None,
            task: None,
            metrics: std::collections::BTreeMap::new(),
        };
        scene.hear(Input::Beat { ticket: Ticket(1), beat });
    }
    scene.crash(86_400);
    scene.hear(Input::Sinks(std::collections::BTreeSet::new()));
    assert!(["a", "b", "c"].iter().all(|id| scene.lifecycle(id).is_up()));
    assert!(scene.it.state().groups.is_empty(), "nobody is accused");
}

#[test]
fn sketch_8_each_evaluation_once_names_plain_members_may_rejoin() {
    let mut scene = Scene::new();
    scene.want(supervisor("root"));
    scene.program("web", r#","watch":"bench""#);
    scene.want(team("crew", "root", &["web"]));
    scene.policy(&json!({"name": "tell", "when": "agent.anomaly_score >= 0.4", "actions": [{"type": "notify"}]}));
    scene.decides(1, "FAIL");
    let of_the_failure: Vec<u64> = scene
        .bodies()
        .flat_map(Body::evaluations)
        .filter(|one| one.agent == Some("web".into()) && one.decision)
        .map(|one| one.id)
        .collect();
    assert_eq!(of_the_failure.len(), 1, "{of_the_failure:?}");
    let ids: Vec<u64> = scene.bodies().flat_map(Body::evaluations).map(|one| one.id).collect();
    assert_eq!(ids, (0..u64::try_from(ids.len()).unwrap()).collect::<Vec<_>>());
    assert!(
        scene.bodies().flat_map(Body::evaluations).filter(|one| one.decision).all(|one| !one.action_taken.is_empty())
    );
    assert!(scene.bodies().flat_map(Body::events).all(|event| !event.kind.contains("supervisor.supervisor")));
    scene.want(Command::RemoveMember { team: "crew".into(), agent: "web".into() });
    scene.want(Command::AddMember { team: "crew".into(), member: serde_json::from_value(json!("web")).unwrap() });
    let crew = scene.it.state().teams.get(&"crew".into()).unwrap();
    assert_eq!((crew.members.len(), crew.open().count()), (2, 1));
    // A second root of the same name is refused: two nulls are no two parents.
    let again: hb_core::supervise::input::NewSupervisor = serde_json::from_value(json!({"name": "root"})).unwrap();
    scene.it.handle(ask(9, Command::CreateSupervisor(again)), now(scene.ns, 0));
    let step = scene.it.take(now(scene.ns, 0));
    assert!(step.replies.iter().all(|(_, reply)| reply.is_err()));
}

#[test]
fn sketch_9_what_a_policy_asks_for_is_done() {
    let mut scene = Scene::new();
    scene.want(supervisor("root"));
    scene.program("web", r#","watch":"bench""#);
    scene.policy(
        &json!({"name": "restart", "when": "agent.anomaly_score >= 0.4", "actions": [{"type": "restart_agent"}]}),
    );
    let effects = scene.decides(1, "FAIL");
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Signal { signal, .. } if signal == "TERM")),
        "{effects:?}"
    );
    assert!(scene.bodies().flat_map(Body::events).all(|event| event.kind != "intervention.refused"));
}

#[test]
fn sketch_10_the_anomaly_score_survives() {
    let mut scene = Scene::new();
    scene.want(supervisor("root"));
    scene.program("web", r#","watch":"bench""#);
    scene.decides(1, "FAIL");
    scene.decides(2, "FAIL");
    let before = scene.it.state().agents.get(&"web".into()).unwrap().anomaly.clone();
    assert!((before.score - 0.75).abs() < 1e-12 && before.consecutive == 2, "{before:?}");
    scene.crash(5);
    assert_eq!(scene.it.state().agents.get(&"web".into()).unwrap().anomaly, before);
    // And a decision that was taken in is not taken in again.
    scene.decides(2, "FAIL");
    assert_eq!(scene.it.state().agents.get(&"web".into()).unwrap().anomaly, before);
}
