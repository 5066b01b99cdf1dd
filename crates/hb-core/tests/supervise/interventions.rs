//! Every type of intervention, with hb killed at every point of it: before and after its records, before, between and after its acts, and before their
//! answers are heard. Whatever the point, it comes to the same end, nothing is done twice, and only what nobody can know is left in doubt (S4, A4).

use std::collections::{BTreeMap, VecDeque};

use super::stage::{Disk, ask, now, spec};
use hb_core::ids::AgentId;
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::{Exit, Identity, Lifecycle};
use hb_core::supervise::input::{Called, Command, Input, NewIntervention, Person, Role, Ticket};
use hb_core::supervise::intervention::{InterventionStatus, InterventionType as T, StepState};
use hb_core::supervise::step::{Effect, Step};
use serde_json::json;

const SECOND: u64 = 1_000_000_000;
/// Turns after which a run that has not come to rest is a fault.
const TURNS_MAX: usize = 4_000;

/// A program of the world.
#[derive(Debug, Clone)]
struct Program {
    agent: AgentId,
    key: String,
    identity: Identity,
    runs: bool,
}

/// Where interventions stand; and of each agent where it stands, how many programs were started for it, and whether one runs.
type Outcome = (Vec<(T, InterventionStatus)>, Vec<(AgentId, Lifecycle, usize, bool)>);

/// hb, its disk, and a world that does what it is told at once.
struct World {
    disk: Disk,
    it: Supervision,
    ns: u64,
    programs: Vec<Program>,
    heard: VecDeque<Input>,
    calls: BTreeMap<String, u32>,
    /// Points passed so far, those at which hb is killed, and how often it was.
    points: usize,
    kill_at: Vec<usize>,
    kills: usize,
}

impl World {
    fn new(kill_at: &[usize]) -> Self {
        let disk = Disk::default();
        let it = disk.reader();
        let mut world = Self {
            disk,
            it,
            ns: SECOND,
            programs: Vec::new(),
            heard: VecDeque::new(),
            calls: BTreeMap::new(),
            points: 0,
            kill_at: Vec::new(),
            kills: 0,
        };
        world.open();
        for (id, document) in [
            ("a", r#"{"process":{"command":["a"]},"restart":{"max_restarts":100,"jitter":0}}"#),
            ("b", r#"{"process":{"command":["b"]},"restart":{"max_restarts":100,"jitter":0}}"#),
            ("c", r#"{"process":{"command":["c"]},"wanted":"down"}"#),
            ("far", r#"{"heartbeat":{"control":{"webhook":{"url":"http://127.0.0.1:1/","idempotent":true}}}}"#),
            ("once", r#"{"heartbeat":{"control":{"command":{"argv":["ctl"],"idempotent":false}}}}"#),
        ] {
            world.want(Command::RegisterAgent(Box::new(spec(id, document))));
        }
        world.want(super::stage::supervisor("root"));
        world.want(super::stage::team("crew", "root", &["a", "b"]));
        world.rest();
        world.kill_at = kill_at.to_vec();
        world.points = 0;
        world
    }

    /// Whether hb is killed here. It is started again at once; what it held is lost.
    fn point(&mut self) -> bool {
        let here = self.kill_at.contains(&self.points);
        self.points += 1;
        if here {
            self.kills += 1;
            self.heard.clear();
            self.it = self.disk.reader();
            self.open();
        }
        here
    }

    fn open(&mut self) {
        let step = self.it.open("granted", "free", now(self.ns, 0));
        self.carry_out(step);
    }

    fn carry_out(&mut self, step: Step) {
        if self.point() {
            return;
        }
        if let Some(record) = step.record {
            self.disk.0.push((*record).clone());
        }
        for effect in step.effects {
            if self.point() {
                return;
            }
            self.act(effect);
        }
        self.point();
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { agent, incarnation, key, .. } => {
                assert!(!self.programs.iter().any(|one| one.key == key), "{key} was started twice");
                assert!(!self.programs.iter().any(|one| one.agent == agent && one.runs), "two of {agent} run");
                let pid = u32::try_from(self.programs.len()).unwrap() + 100;
                let identity = Identity { pid, start_ticks: u64::from(pid), boot: "boot".into() };
                let program = Program { agent: agent.clone(), key, identity: identity.clone(), runs: true };
                self.programs.push(program);
                self.heard.push_back(Input::Spawned { agent, incarnation, identity });
            }
            Effect::Look { agent, incarnation, key, .. } => {
                let found = self.programs.iter().find(|one| one.key == key && one.runs);
                self.heard.push_back(Input::Found {
                    agent,
                    incarnation,
                    identity: found.map(|one| one.identity.clone()),
                });
            }
            Effect::Adopt { agent, identity, .. } => {
                let runs = self.programs.iter().any(|one| one.identity == identity && one.runs);
                self.heard.push_back(if runs {
                    Input::Adopted { agent, identity }
                } else {
                    Input::Exited { agent, identity, exit: Exit::Unknown }
                });
            }
            Effect::Signal { agent, identity, .. } => {
                let program =
                    self.programs.iter_mut().find(|one| one.identity == identity).expect("nobody else is signalled");
                assert_eq!(program.agent, agent);
                program.runs = false;
                self.heard.push_back(Input::Exited { agent, identity, exit: Exit::Signal(15) });
            }
            Effect::Call { intervention, step, key, .. } => {
                *self.calls.entry(key).or_default() += 1;
                self.heard.push_back(Input::Called { intervention, step, outcome: Called::Done("200".into()) });
            }
            Effect::Notify { notification, sinks } => {
                for sink in sinks {
                    self.heard.push_back(Input::Delivered { key: notification.key.clone(), sink, given_up: None });
                }
            }
            Effect::CheckReady { .. }
            | Effect::Probe { .. }
            | Effect::Measure(_)
            | Effect::Forget(_)
            | Effect::Leave => {}
        }
    }

    fn turn(&mut self, inputs: Vec<Input>) {
        if self.point() {
            return;
        }
        let now = now(self.ns, 0);
        inputs.into_iter().for_each(|input| self.it.handle(input, now));
        let step = self.it.take(now);
        self.carry_out(step);
    }

    fn want(&mut self, command: Command) {
        self.turn(vec![ask(1, command)]);
    }

    /// Hears everything, and lets time pass in small steps, until nothing is under way.
    fn rest(&mut self) {
        for _ in 0..TURNS_MAX {
            if let Some(input) = self.heard.pop_front() {
                self.turn(vec![input]);
            } else if self.at_rest() {
                return;
            } else {
                self.ns += SECOND / 2;
                self.turn(Vec::new());
            }
        }
        panic!("it did not come to rest: {:?}", self.it.state().interventions.values().collect::<Vec<_>>());
    }

    fn at_rest(&self) -> bool {
        let state = self.it.state();
        let over = |status: InterventionStatus| status.is_over() || status == InterventionStatus::InDoubt;
        let settled = |lifecycle: Lifecycle| lifecycle != Lifecycle::Failed && lifecycle != Lifecycle::Spawning;
        let process = |agent: &&hb_core::supervise::agent::Agent| agent.spec.process.is_some() && agent.incarnation > 0;
        state.interventions.values().all(|one| over(one.status))
            && state.agents.values().filter(process).all(|agent| settled(agent.lifecycle))
    }

    /// Asks for it as a person does who hears nothing: again, until it is there; and has somebody else agree where that is needed.
    fn intervene(&mut self, wanted: &NewIntervention) {
        for _ in 0..4 {
            if !self.it.state().interventions.values().any(|one| one.intervention_type == wanted.intervention_type) {
                self.want(Command::Intervene(wanted.clone()));
            }
            let pending = self
                .it
                .state()
                .interventions
                .values()
                .find(|one| one.status == InterventionStatus::Pending && !one.approval_reasons.is_empty());
            if let Some(id) = pending.map(|one| one.id.clone()) {
                let person = Person { actor: "operator:bob".into(), role: Role::Admin };
                let command = Box::new(Command::ApproveIntervention { id, reason: "agreed".into() });
                self.turn(vec![Input::Command { ticket: Ticket(2), person, command }]);
            }
        }
        self.rest();
    }

    /// What a run came to: where interventions stand, and of each agent where it stands, how many programs were started for it, and whether one
    /// runs. Numbers of incarnations may be skipped: one whose start was lost with hb never was.
    fn outcome(&self) -> Outcome {
        let state = self.it.state();
        let interventions = state.interventions.values().map(|one| (one.intervention_type, one.status)).collect();
        let runs = |id: &AgentId| self.programs.iter().any(|one| one.agent == *id && one.runs);
        let started = |id: &AgentId| self.programs.iter().filter(|one| one.agent == *id).count();
        let agents = state
            .agents
            .values()
            .map(|one| (one.id().clone(), one.lifecycle, started(one.id()), runs(one.id())))
            .collect();
        (interventions, agents)
    }
}

fn wanted(kind: &str, target_type: &str, target: &str, stagger: f64) -> NewIntervention {
    serde_json::from_value(json!({
        "intervention_type": kind, "target_type": target_type, "target_id": target, "reason": "to see",
        "confirm": true, "stagger_seconds": stagger,
    }))
    .unwrap()
}

/// Every type, on what it makes sense for.
fn every_type() -> Vec<NewIntervention> {
    vec![
        wanted("AGENT_RESTART", "AGENT", "a", 0.0),
        wanted("AGENT_RESTART", "AGENT", "far", 0.0),
        wanted("AGENT_RESTART", "AGENT", "once", 0.0),
        wanted("AGENT_QUARANTINE", "AGENT", "a", 0.0),
        wanted("AGENT_START", "AGENT", "c", 0.0),
        wanted("AGENT_STOP", "AGENT", "b", 0.0),
        wanted("TEAM_RESTART", "TEAM", "crew", 2.0),
        wanted("TEAM_RESTART", "TEAM", "crew", 0.0),
        NewIntervention { confirm: false, ..wanted("TEAM_QUARANTINE", "TEAM", "crew", 0.0) },
        wanted("TASK_REASSIGN", "AGENT", "far", 0.0),
        wanted("PRIORITY_OVERRIDE", "AGENT", "once", 0.0),
        wanted("CANCEL_TASK", "AGENT", "far", 0.0),
        wanted("REALLOCATE_CAPACITY", "AGENT", "once", 0.0),
        wanted("SHUTDOWN", "SUPERVISOR", "root", 0.0),
        wanted("DELETE", "AGENT", "a", 0.0),
    ]
}

#[test]
fn s4_a4_a_kill_at_every_point_of_every_intervention_changes_nothing() {
    let mut kills = 0;
    let mut doubts = 0;
    for wanted in every_type() {
        let what = format!("{} of {}", wanted.intervention_type.as_str(), wanted.target_id);
        let mut undisturbed = World::new(&[]);
        undisturbed.intervene(&wanted);
        let expected = undisturbed.outcome();
        assert!(expected.0.iter().all(|(_, status)| *status == InterventionStatus::Completed), "{what}: {expected:?}");
        for first in 0..undisturbed.points {
            // Once, and twice with the second kill soon after the start that followed the first.
            for points in [vec![first], vec![first, first + 2], vec![first, first + 3], vec![first, first + 6]] {
                let mut world = World::new(&points);
                world.intervene(&wanted);
                assert!(world.kills > 0, "{what}: {points:?} were not reached");
                kills += world.kills;
                doubts +=
                    usize::from(came_to_the_same(&world, &expected, &wanted, &format!("{what}, killed at {points:?}")));
            }
        }
    }
    println!("{kills} kills, {doubts} left in doubt");
    assert!(kills >= 500, "{kills} kills");
    assert!(doubts > 0, "no kill came between a call and its answer");
}

/// Compares a run with kills to one without; gives whether it was left in doubt.
fn came_to_the_same(world: &World, expected: &Outcome, wanted: &NewIntervention, what: &str) -> bool {
    let fold = world.disk.fold().state;
    assert_eq!(fold.agents, world.it.state().agents, "{what}: records and state differ");
    assert_eq!(fold.interventions, world.it.state().interventions, "{what}");
    let once = wanted.target_id == "once";
    let most = if once { 1 } else { 1 + u32::try_from(world.kills).unwrap() };
    assert!(world.calls.values().all(|count| *count <= most), "{what}: {:?}", world.calls);
    let came_to = world.outcome();
    let in_doubt = came_to.0.iter().any(|(_, status)| *status == InterventionStatus::InDoubt);
    if in_doubt {
        // Only what nobody can know: a call to something that was not declared safe to call again.
        assert!(once, "{what}: {came_to:?}");
    } else {
        assert_eq!(came_to, *expected, "{what}");
    }
    in_doubt
}

#[test]
fn s4_what_is_in_doubt_waits_for_a_person() {
    let wanted = wanted("TASK_REASSIGN", "AGENT", "once", 0.0);
    let mut found = None;
    for point in 0..200 {
        let mut world = World::new(&[point]);
        world.intervene(&wanted);
        if world.outcome().0.iter().any(|(_, status)| *status == InterventionStatus::InDoubt) {
            found = Some(world);
            break;
        }
    }
    let mut world = found.expect("some kill leaves it in doubt");
    let id = world.it.state().interventions.keys().next().unwrap().clone();
    assert!(
        world.it.state().groups.values().any(|group| group.group_key == "once_in_doubt" && group.resolved_at.is_none())
    );
    // Another crash changes nothing about that.
    world.it = world.disk.reader();
    world.open();
    world.rest();
    assert_eq!(world.it.state().interventions.get(&id).unwrap().status, InterventionStatus::InDoubt);
    world.want(Command::SettleIntervention { id: id.clone(), done: true, reason: "I looked".into() });
    world.rest();
    let one = world.it.state().interventions.get(&id).unwrap();
    assert_eq!((one.status, one.plan[0].state), (InterventionStatus::Completed, StepState::Done));
    assert!(
        world.it.state().groups.values().all(|group| group.group_key != "once_in_doubt" || group.resolved_at.is_some())
    );
}

#[test]
fn nobody_agrees_to_what_they_asked_for_and_what_nobody_agrees_to_is_refused() {
    let mut world = World::new(&[]);
    let unconfirmed = NewIntervention { confirm: false, ..wanted("TEAM_RESTART", "TEAM", "crew", 0.0) };
    world.want(Command::Intervene(unconfirmed));
    let id = world.it.state().interventions.keys().next().unwrap().clone();
    world.want(Command::ApproveIntervention { id: id.clone(), reason: "mine".into() });
    assert_eq!(world.it.state().interventions.get(&id).unwrap().status, InterventionStatus::Pending);
    // Across a crash, and with the wall clock stepped back by a day, the time limit holds.
    world.it = world.disk.reader();
    let step = world.it.open("granted", "free", now(world.ns, -86_400 * 1_000_000_000));
    world.carry_out(step);
    world.ns += 301 * SECOND;
    world.turn(Vec::new());
    let one = world.it.state().interventions.get(&id).unwrap();
    assert_eq!(one.status, InterventionStatus::Rejected);
    assert_eq!(one.decided.as_ref().unwrap().reason, "nobody agreed in time");
    let before = world.programs.len();
    world.rest();
    assert_eq!(world.programs.len(), before, "nothing was restarted");
}

#[test]
fn a_rollback_undoes_what_can_be_undone() {
    let mut world = World::new(&[]);
    world.intervene(&wanted("TEAM_QUARANTINE", "TEAM", "crew", 0.0));
    let id = world.it.state().interventions.keys().next().unwrap().clone();
    let state = |world: &World, id: &str| world.it.state().agents.get(&id.into()).unwrap().lifecycle;
    assert_eq!((state(&world, "a"), state(&world, "b")), (Lifecycle::Quarantined, Lifecycle::Quarantined));
    world.want(Command::RollBackIntervention { id: id.clone(), reason: "a false alarm".into() });
    world.rest();
    assert_eq!(world.it.state().interventions.get(&id).unwrap().status, InterventionStatus::RolledBack);
    assert_eq!((state(&world, "a"), state(&world, "b")), (Lifecycle::Running, Lifecycle::Running));
}
