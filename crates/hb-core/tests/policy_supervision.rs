//! What supervisors make of policies: each evaluation once, each intervention once, and nobody alone decides what is dangerous.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "only tests use this")]

use std::sync::Arc;

use hb_core::ids::{CycleNo, Seq};
use hb_core::supervise::Supervision;
use hb_core::supervise::alert::Severity;
use hb_core::supervise::event::Event;
use hb_core::supervise::input::{
    Called, Command, Decision, Declared, DeclaredPolicy, Input, NewSupervisor, Person, Role, Ticket,
};
use hb_core::supervise::policy::Evaluation;
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::policy::simulate::Question;
use hb_core::supervise::spec::AgentSpec;
use hb_core::supervise::state::Sealed;
use hb_core::supervise::step::{Answer, Refusal, Reply, Why};
use hb_core::time::{Moment, Now, SECOND_NS, Stamp};
use serde_json::{Value, json};

struct Stage {
    supervision: Supervision,
    now: Now,
    records: Vec<Arc<Sealed>>,
    evaluations: Vec<Evaluation>,
    events: Vec<Event>,
    replies: Vec<(Ticket, Reply)>,
    ticket: u64,
    seq: u64,
    config: Value,
    beats: Value,
}

impl Stage {
    fn new() -> Self {
        let supervision = Supervision::new("n".into(), hb_core::ids::StreamName::supervisor("main"));
        let mut stage = Self {
            supervision,
            now: Now { moment: Moment(1), wall: Stamp(1_800_000_000 * SECOND_NS) },
            records: Vec::new(),
            evaluations: Vec::new(),
            events: Vec::new(),
            replies: Vec::new(),
            ticket: 0,
            seq: 0,
            config: json!({"approval_agents": 100, "mass_window": 0}),
            // The silence of agents is no part of most of these tests.
            beats: json!({"idle_ttl_sec": 86400, "running_ttl_sec": 86400, "first_within_sec": 86400}),
        };
        let step = stage.supervision.open("test", "test", stage.now);
        stage.keep(step);
        stage
    }

    /// With a root supervisor, an agent `a` that only beats, and these policies on duty.
    fn with(policies: &[Value]) -> Self {
        let mut stage = Self::new();
        stage.declare(policies);
        stage
    }

    fn declare(&mut self, policies: &[Value]) {
        let beats = self.beats.clone();
        let agent = |id: &str| -> Arc<AgentSpec> {
            // A control that is a program: interventions of it stay under way until they are told.
            let control = json!({"command": {"argv": ["true"]}});
            let watch = format!("watch-{id}");
            let spec = json!({"id": id, "watch": watch, "heartbeat": {"control": control}, "beats": beats});
            Arc::new(serde_json::from_value(spec).unwrap())
        };
        let root = json!({"id": "root", "name": "root", "config": self.config});
        let supervisors: Vec<NewSupervisor> = vec![serde_json::from_value(root).unwrap()];
        let policies: Vec<DeclaredPolicy> =
            policies.iter().map(|policy| PolicyDocument::read(policy).unwrap().into_declared()).collect();
        let declared = Declared { supervisors, agents: vec![agent("a"), agent("b")], teams: Vec::new(), policies };
        self.hand(Input::Declared(Box::new(declared)));
    }

    fn hand(&mut self, input: Input) {
        self.supervision.handle(input, self.now);
        let step = self.supervision.take(self.now);
        self.keep(step);
    }

    fn keep(&mut self, step: hb_core::supervise::step::Step) {
        if let Some(record) = step.record {
            self.evaluations.extend(record.record.body.evaluations().iter().cloned());
            self.events.extend(record.record.body.events().iter().cloned());
            self.records.push(record);
        }
        self.replies.extend(step.replies);
    }

    fn ask(&mut self, who: &str, command: Command) -> Reply {
        self.ticket += 1;
        let person = Person { actor: who.into(), role: Role::Admin };
        self.hand(Input::Command { ticket: Ticket(self.ticket), person, command: Box::new(command) });
        let (ticket, reply) = self.replies.pop().unwrap();
        assert_eq!(ticket, Ticket(self.ticket));
        reply
    }

    fn accept(&mut self, who: &str, policy: Value) -> Reply {
        self.ask(who, Command::AcceptPolicy(Box::new(PolicyDocument::read(&policy).unwrap().into_new())))
    }

    /// On duty with this priority, or off it.
    fn assign(&mut self, policy: &str, priority: Option<i32>) -> Reply {
        let (supervisor, policy, enabled) = ("root".into(), policy.into(), priority.is_some());
        let priority = priority.unwrap_or(0);
        self.ask("ada", Command::AssignPolicy { supervisor, policy, priority, enabled })
    }

    fn decide(&mut self, agent: &str, status: &str) {
        self.seq += 1;
        let decision = Decision {
            watch: format!("watch-{agent}").as_str().into(),
            seq: Seq(self.seq),
            cycle: CycleNo(self.seq),
            status: status.into(),
            end: self.now.wall,
            drivers: vec!["motor/current".into()],
        };
        self.hand(Input::Decision(Box::new(decision)));
    }

    fn alert(&mut self, agent: &str, severity: Severity) {
        let command = Command::RaiseAlert { agent: agent.into(), severity, message: "odd".into() };
        self.ask("ada", command).unwrap();
    }

    /// Time passes in steps of a second, and everything that is due is done.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let ns = SECOND_NS.unsigned_abs();
            self.now = Now { moment: self.now.moment.plus_ns(ns), wall: self.now.wall.plus_ns(SECOND_NS) };
            let step = self.supervision.take(self.now);
            self.keep(step);
        }
    }

    /// The process ends at once, and another reads what it wrote.
    fn crash(&mut self) {
        let mut next = Supervision::new("n".into(), hb_core::ids::StreamName::supervisor("main"));
        for record in &self.records {
            next.follow(Sealed::clone(record));
        }
        self.supervision = next;
        let step = self.supervision.open("test", "crash", self.now);
        self.keep(step);
    }

    fn of(&self, policy: &str) -> Vec<&Evaluation> {
        self.evaluations.iter().filter(|one| one.policy.as_str() == policy).collect()
    }

    fn fired(&self, policy: &str) -> usize {
        self.supervision
            .state()
            .interventions
            .values()
            .filter(|one| one.policy.as_ref().is_some_and(|(name, _)| name.as_str() == policy))
            .count()
    }
}

fn restart(name: &str, when: &str) -> Value {
    json!({"name": name, "when": when, "actions": [{"type": "restart_agent", "reason": "${agent.id} at ${agent.anomaly_score}"}]})
}

fn refused(reply: Reply) -> Refusal {
    reply.unwrap_err()
}

fn notes(reply: Reply) -> Vec<String> {
    match reply.unwrap() {
        Answer::Made { notes, .. } => notes,
        Answer::Done {} | Answer::Beat { .. } => Vec::new(),
    }
}

#[test]
fn d8_the_join_fires_once_and_again_only_after_it_was_well() {
    let when = "agent.anomaly_score >= 0.8 and agent.consecutive_anomalous_readings >= 3";
    let mut stage = Stage::with(&[restart("drift", when)]);
    for _ in 0..3 {
        stage.decide("a", "FAIL");
    }
    assert_eq!(stage.fired("drift"), 1);
    let last = stage.of("drift").last().copied().unwrap().clone();
    assert!(last.decision);
    assert_eq!(last.interventions.len(), 1, "{:?}", last.action_taken);
    assert_eq!(last.context["agent.anomaly_score"], json!(0.875));
    let intervention = stage.supervision.state().interventions.values().next().unwrap().clone();
    assert_eq!((intervention.target_id.as_str(), intervention.reason.as_str()), ("a", "a at 0.875"));
    assert_eq!(intervention.evaluation, Some(last.id));
    stage.decide("a", "FAIL");
    stage.pass(30);
    assert_eq!(stage.fired("drift"), 1, "it goes on holding, and is not acted on again");
    stage.crash();
    stage.decide("a", "FAIL");
    stage.pass(30);
    assert_eq!(stage.fired("drift"), 1, "nor after a crash (A7)");
    assert!(
        stage
            .of("drift")
            .iter()
            .all(|one| one.agent.as_ref().is_some_and(|agent| agent.as_str() != "b") || !one.decision)
    );
}

#[test]
fn d8_each_evaluation_is_logged_once_and_numbered_without_gaps() {
    let policies = [
        json!({"name": "low", "priority": 1, "when": "alert.count >= 1", "actions": [{"type": "notify"}]}),
        json!({"name": "also", "priority": 9, "when": "alert.kind == 'resources'", "actions": [{"type": "notify"}]}),
        json!({"name": "high", "priority": 9, "when": "alert.count >= 1", "actions": [{"type": "notify"}]}),
    ];
    let mut stage = Stage::with(&policies);
    stage.pass(30);
    assert!(stage.evaluations.is_empty(), "policies about alerts are not swept");
    stage.alert("a", Severity::Warning);
    let order: Vec<&str> = stage.evaluations.iter().map(|one| one.policy.as_str()).collect();
    assert_eq!(order, ["also", "high", "low"], "by priority, then by name; all of them");
    stage.alert("a", Severity::Warning);
    stage.pass(30);
    assert_eq!(stage.evaluations.len(), 3, "one evaluation of a group, however many alerts it has");
    stage.alert("a", Severity::Critical);
    assert_eq!(stage.evaluations.len(), 6, "but another one when it becomes worse");
    for (at, one) in stage.evaluations.iter().enumerate() {
        assert_eq!((one.id, one.trigger.as_str()), (u64::try_from(at).unwrap(), "alert"));
    }
    let low = stage.supervision.state().policies.get(&"low".into()).unwrap();
    assert_eq!((low.evaluations, low.matches), (2, 2));
}

#[test]
fn one_group_has_one_intervention_of_a_policy_even_when_it_becomes_worse() {
    let mut stage = Stage::with(&[restart("alerted", "alert.count >= 1")]);
    stage.alert("a", Severity::Warning);
    assert_eq!(stage.fired("alerted"), 1);
    stage.alert("a", Severity::Critical);
    assert_eq!(stage.fired("alerted"), 1);
    let last = stage.of("alerted").last().copied().unwrap();
    assert!(last.action_taken[0].contains("not again"), "{:?}", last.action_taken);
    stage.alert("b", Severity::Warning);
    assert_eq!(stage.fired("alerted"), 2, "another agent is another group");
}

#[test]
fn s7_a_paused_supervisor_evaluates_nothing_and_catches_up_when_resumed() {
    let policies =
        [restart("alerted", "agent.id == 'a' and alert.count >= 1"), restart("drift", "agent.anomaly_score >= 0.5")];
    let mut stage = Stage::with(&policies);
    stage.ask("ada", Command::PauseSupervisor("root".into())).unwrap();
    stage.alert("a", Severity::Warning);
    stage.decide("b", "FAIL");
    stage.pass(60);
    assert!(stage.evaluations.is_empty());
    stage.ask("ada", Command::ResumeSupervisor("root".into())).unwrap();
    stage.pass(30);
    let said: Vec<_> = stage.of("drift").iter().map(|one| one.action_taken.clone()).collect();
    assert_eq!(stage.fired("drift"), 1, "{said:?}");
    assert!(stage.of("alerted").iter().any(|one| one.decision), "the group was still open");
}

#[test]
fn what_changes_by_itself_is_swept_and_logged_when_its_outcome_changes() {
    let mut stage = Stage::with(&[json!({
        "name": "old", "when": "agent.metrics.load > 5 or agent.restarts_last_hour > 100", "actions": [{"type": "notify"}],
    })]);
    stage.pass(60);
    let quiet = stage.of("old").len();
    stage.pass(60);
    assert_eq!(stage.of("old").len(), quiet, "looked at at every sweep, logged at none of them");
}

#[test]
fn a_change_of_policies_is_looked_at_within_one_interval() {
    let mut stage = Stage::with(&[]);
    for _ in 0..3 {
        stage.decide("a", "FAIL");
    }
    stage.pass(30);
    stage.accept("ada", restart("drift", "agent.anomaly_score >= 0.9")).unwrap();
    stage.accept("ada", restart("drift", "agent.anomaly_score >= 0.8")).unwrap();
    assert!(notes(stage.assign("drift", Some(3)))[0].contains("no version of drift is in force"));
    let activate = |version| Command::ActivatePolicy { name: "drift".into(), version };
    stage.ask("ada", activate(1)).unwrap();
    stage.pass(11);
    assert_eq!(stage.fired("drift"), 0);
    stage.ask("ada", activate(2)).unwrap();
    stage.pass(11);
    assert_eq!(stage.fired("drift"), 1, "in effect after 10 s at most, although nothing else changed");
    stage.ask("ada", activate(1)).unwrap();
    let rollback = stage.events.iter().rev().find(|event| event.kind == "policy.activated").unwrap();
    assert!(rollback.message.contains("rolled back from 2"));
    stage.ask("ada", Command::DeactivatePolicy("drift".into())).unwrap();
    let state = stage.supervision.state();
    assert!(state.agents.values().all(|agent| agent.latched.is_empty()));
    assert_eq!(state.policies.get(&"drift".into()).unwrap().active, None);
}

/// Conditions are kept made ready: never those of another time.
#[test]
fn a_declared_policy_with_another_figure_is_judged_by_the_new_one() {
    let with_limit = |limit: f64| {
        let variables = json!({"limit": {"value": limit, "min": 0.1, "max": 1.0}});
        json!({"name": "drift", "when": "agent.anomaly_score >= ${variables.limit}", "variables": variables,
            "actions": [{"type": "notify", "reason": "odd"}]})
    };
    let mut stage = Stage::with(&[with_limit(1.0)]);
    stage.decide("a", "FAIL");
    let held = |stage: &Stage| stage.of("drift").iter().map(|one| one.decision).collect::<Vec<_>>();
    assert_eq!(held(&stage), [false]);
    stage.declare(&[with_limit(0.1)]);
    stage.decide("a", "FAIL");
    assert_eq!(held(&stage).last(), Some(&true), "{:?}", stage.of("drift"));
    // Gone, and there again under the same name: with another condition.
    stage.declare(&[]);
    let other =
        json!({"name": "drift", "when": "agent.anomaly_score > 1", "actions": [{"type": "notify", "reason": "odd"}]});
    stage.declare(&[other]);
    stage.decide("a", "FAIL");
    assert_eq!(held(&stage).last(), Some(&false), "{:?}", stage.of("drift"));
}

#[test]
fn four_eyes_what_is_dangerous_needs_somebody_else() {
    let all = json!({"name": "all", "when": "alert.kind == 'mass'", "actions": [{"type": "restart_all"}]});
    let mut stage = Stage::with(&[]);
    assert!(notes(stage.accept("ada", all.clone())).iter().any(|note| note.contains("somebody other than ada")));
    let activate = || Command::ActivatePolicy { name: "all".into(), version: 1 };
    let approve = || Command::ApprovePolicy { name: "all".into(), version: 1 };
    assert_eq!(refused(stage.ask("bob", activate())).why, Why::Forbidden);
    assert_eq!(refused(stage.ask("ada", approve())).why, Why::Forbidden);
    assert_eq!(refused(stage.ask("ada", activate())).why, Why::Forbidden);
    stage.ask("bob", approve()).unwrap();
    stage.ask("ada", activate()).unwrap();
    // A new version is as dangerous as the first, and the old agreement does not reach it.
    let other = json!({"name": "all", "when": "alert.kind == 'mass'", "actions": [{"type": "quarantine_all"}]});
    stage.accept("ada", other).unwrap();
    let second = Command::ActivatePolicy { name: "all".into(), version: 2 };
    assert_eq!(refused(stage.ask("bob", second)).why, Why::Forbidden);
    assert_eq!(stage.supervision.state().policies.get(&"all".into()).unwrap().active, Some(1));
}

#[test]
fn what_stands_in_the_file_is_changed_there() {
    let dangerous = json!({"name": "all", "when": "alert.kind == 'mass'", "actions": [{"type": "restart_all"}]});
    let mut stage = Stage::with(&[restart("drift", "agent.anomaly_score >= 0.8"), dangerous.clone()]);
    let drift = || restart("drift", "agent.anomaly_score >= 0.1");
    let refusals = [
        refused(stage.accept("ada", drift())),
        refused(stage.ask("ada", Command::DeactivatePolicy("drift".into()))),
        refused(stage.ask("ada", Command::ActivatePolicy { name: "drift".into(), version: 1 })),
        refused(stage.assign("drift", None)),
    ];
    assert!(refusals.iter().all(|one| one.why == Why::Conflict && one.message.contains("hb.yaml")), "{refusals:?}");
    let active = |stage: &Stage, name: &str| stage.supervision.state().policies.get(&name.into()).unwrap().active;
    assert_eq!((active(&stage, "drift"), active(&stage, "all")), (Some(1), None));
    stage.ask("bob", Command::ApprovePolicy { name: "all".into(), version: 1 }).unwrap();
    assert_eq!(active(&stage, "all"), Some(1), "it only waited for a second person");
    stage.declare(&[drift()]);
    assert_eq!(
        (active(&stage, "drift"), active(&stage, "all")),
        (Some(2), None),
        "what is no longer declared is out of force"
    );
    let (records, policy) =
        (stage.records.len(), stage.supervision.state().policies.get(&"drift".into()).unwrap().clone());
    stage.declare(&[drift()]);
    assert_eq!(stage.supervision.state().policies.get(&"drift".into()), Some(&policy));
    assert!(stage.records.len() <= records + 1);
    let root = stage.supervision.state().supervisors.get(&"root".into()).unwrap();
    assert!(root.has_on_duty(&"drift".into()) && !root.has_on_duty(&"all".into()));
}

#[test]
fn an_assignment_stands_once_and_keeps_its_history() {
    let mut stage = Stage::with(&[]);
    stage.accept("ada", restart("p", "agent.given_up")).unwrap();
    for priority in [1, 1, 7] {
        stage.assign("p", Some(priority)).unwrap();
    }
    stage.assign("p", None).unwrap();
    stage.assign("p", Some(2)).unwrap();
    let root = stage.supervision.state().supervisors.get(&"root".into()).unwrap();
    assert_eq!(root.policies.len(), 1);
    assert_eq!((root.policies[0].priority, root.policies[0].disabled_at), (2, None));
    let told = stage.events.iter().filter(|event| event.kind == "policy.assigned").count();
    assert_eq!(told, 4, "what changes nothing is no event");
    assert_eq!(refused(stage.assign("q", Some(1))).why, Why::NotFound);
    assert!(notes(stage.accept("ada", restart("p", "agent.given_up")))[0].contains("nothing was made"));
    assert_eq!(refused(stage.ask("ada", Command::SettleHeld { name: "p".into(), accept: true })).why, Why::Conflict);
}

#[test]
fn a_simulation_changes_nothing_and_takes_suppositions() {
    let mut stage = Stage::with(&[restart("drift", "agent.anomaly_score >= 0.8")]);
    stage.pass(1);
    let before = stage.supervision.state().clone();
    let (name, agent) = ("drift".into(), "a".into());
    let given = |value: Value| hb_core::supervise::policy::context::Given::read(&value).unwrap();
    let question = |given| Question { policy: Some(&name), agent: Some(&agent), given, ..Question::default() };
    let calm = stage.supervision.simulate(&question(given(json!(null))), stage.now.wall).unwrap();
    assert!(!calm.would_match);
    let odd = json!({"agent": {"anomaly_score": 0.9}});
    let odd = stage.supervision.simulate(&question(given(odd)), stage.now.wall).unwrap();
    assert!(odd.would_match);
    assert_eq!(odd.would_execute[0].target.as_deref(), Some("a"));
    assert_eq!(odd.would_execute[0].reason, "a at 0.9");
    let unknown = "nobody".into();
    let missing = Question { policy: Some(&name), agent: Some(&unknown), ..Question::default() };
    assert_eq!(stage.supervision.simulate(&missing, stage.now.wall).unwrap_err().why, Why::NotFound);
    assert_eq!(*stage.supervision.state(), before);
}

#[test]
fn what_an_intervention_comes_to_is_learned_by_the_version_that_asked() {
    let mut drift = restart("drift", "agent.anomaly_score >= ${variables.limit}");
    drift["variables"] = json!({"limit": {"value": 0.5, "min": 0.4, "max": 0.9, "adaptive": true}});
    let mut stage = Stage::with(&[drift]);
    stage.decide("a", "FAIL");
    assert_eq!(stage.fired("drift"), 1);
    let id = stage.supervision.state().interventions.keys().next().unwrap().clone();
    let outcome = Called::Failed("no".into());
    stage.hand(Input::Called { intervention: id.clone(), step: 0, outcome });
    stage.pass(400);
    let state = stage.supervision.state();
    assert_eq!(state.interventions.get(&id).unwrap().outcome.as_deref(), Some("failure"));
    let policy = state.policies.get(&"drift".into()).unwrap();
    assert!((policy.effectiveness - 0.45).abs() < 1e-9, "{}", policy.effectiveness);
    assert!((policy.variables["limit"].value - 0.495).abs() < 1e-9);
    let told = stage.events.iter().find(|event| event.kind == "policy.adapted").unwrap();
    assert!(
        told.message.contains("failure: effectiveness 0.500 to 0.450") && told.message.contains("limit 0.5 to 0.495")
    );
}

#[test]
fn what_a_child_hands_up_is_evaluated_by_the_one_above() {
    let mut stage = Stage::with(&[
        restart("parent", "escalation.child == 'child' and escalation.issue != null"),
        restart("others", "escalation.child == 'somebody'"),
    ]);
    let child = json!({"id": "child", "name": "child", "parent_id": "root", "agents": ["b"]});
    stage.ask("ada", Command::CreateSupervisor(serde_json::from_value(child).unwrap())).unwrap();
    let up = json!({"name": "up", "when": "alert.count >= 1", "actions": [{"type": "escalate", "reason": "${agent.id} is beyond me"}]});
    stage.accept("ada", up).unwrap();
    stage.ask("ada", Command::ActivatePolicy { name: "up".into(), version: 1 }).unwrap();
    let assign = Command::AssignPolicy { supervisor: "child".into(), policy: "up".into(), priority: 0, enabled: true };
    stage.ask("ada", assign).unwrap();
    stage.alert("b", Severity::Error);
    assert_eq!((stage.fired("parent"), stage.fired("others")), (1, 0));
    let above = stage.of("parent")[0];
    assert_eq!((above.supervisor.as_str(), above.trigger.as_str()), ("root", "escalation"));
    assert_eq!(above.context["escalation.issue"], json!("b is beyond me"));
    let below = stage.of("up")[0];
    assert_eq!((below.supervisor.as_str(), below.action_taken.len()), ("child", 1));
    assert!(below.action_taken[0].starts_with("escalate: handed up to root"), "{:?}", below.action_taken);
    let ids: Vec<u64> = stage.evaluations.iter().map(|one| one.id).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
}

#[test]
fn many_failures_at_once_have_one_evaluation_about_nobody_in_particular() {
    let mut stage = Stage::new();
    stage.config = json!({"approval_agents": 100, "mass_window": 1, "mass_agents": 2});
    stage.beats = json!({"idle_ttl_sec": 5, "running_ttl_sec": 5, "first_within_sec": 5});
    let mass = json!({"name": "mass", "when": "alert.kind == 'mass' and alert.affected_count == 2 and agent.id == null",
        "actions": [{"type": "notify"}, {"type": "restart_agent"}]});
    stage.declare(&[mass]);
    stage.pass(20);
    let held: Vec<_> = stage.of("mass").into_iter().filter(|one| one.decision).collect();
    assert_eq!(held.len(), 1, "{:?}", stage.evaluations);
    assert_eq!(held[0].agent, None);
    assert_eq!(held[0].action_taken[1], "restart_agent: not done, `${agent.id}` is nobody here");
}
