//! Long lives of supervisions, from seeds, held against what came of them before: each answer, each effect, each event, and the bytes of each record.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::house::{House, intervention};
use super::ledger::{assert_recorded, digest};
use super::random_walk::{set_up, something};
use super::stage;
use super::world::{Dice, Mood, World};
use hb_core::ids::{AgentId, CycleNo, Seq};
use hb_core::supervise::agent::{Agent, Lifecycle, Process};
use hb_core::supervise::alert::Severity;
use hb_core::supervise::input::{Beat, Called, Command, Decision, Input, NewSupervisor, Ticket, Usage};
use hb_core::supervise::step::{Effect, Reply};
use serde_json::{Value, json};

/// Those that are supervised, in three teams below two roots.
const AGENTS: [(&str, &str); 9] = [
    ("a", r#"{"process":{"command":["x"]},"watch":"wa","restart":{"jitter":0,"max_restarts":4,"within_sec":600}}"#),
    ("b", r#"{"process":{"command":["x"]},"watch":"wb","depends_on":["a"],"tags":["t"],"phase":"p"}"#),
    (
        "c",
        r#"{"process":{"command":["x"],"resources":{"memory_mb":100}},"restart":{"backoff_sec":0,"max_restarts":50}}"#,
    ),
    ("d", r#"{"process":{"command":["x"],"stop":{"grace_sec":3}},"capacity":2,"capabilities":["k"]}"#),
    (
        "e",
        r#"{"heartbeat":{"control":{"command":{"argv":["ctl"],"idempotent":true}}},"beats":{"idle_ttl_sec":20,"running_ttl_sec":10}}"#,
    ),
    (
        "f",
        r#"{"heartbeat":{"control":{"command":{"argv":["ctl"],"idempotent":false}}},"beats":{"idle_ttl_sec":50,"running_ttl_sec":30},"watch":"wf"}"#,
    ),
    ("g", r#"{"probe":{"check":{"tcp":"h:1"},"every_sec":15,"up_after":2,"down_after":2}}"#),
    ("h", r#"{"process":{"command":["x"]},"wanted":"down"}"#),
    ("i", r#"{"process":{"command":["x"],"ready":{"by":"notify","within_sec":10}},"restart":{"when":"on_failure"}}"#),
];

fn policies() -> [Value; 6] {
    let limit = json!({"limit": {"value": 0.7, "min": 0.5, "max": 0.9, "adaptive": true}});
    [
        json!({"name": "sick", "when": "agent.anomaly_score >= ${variables.limit}", "variables": limit,
            "actions": [{"type": "restart_agent", "reason": "${agent.id} at ${agent.anomaly_score}"}]}),
        json!({"name": "dead", "when": "alert.kind == 'died' and agent.team == 'crew'", "actions": [{"type": "restart_agent"}, {"type": "notify"}]}),
        json!({"name": "worse", "when": "alert.severity_level >= 2", "actions": [{"type": "quarantine_agent", "approval_required": true}]}),
        json!({"name": "many", "when": "alert.count >= 3 or alert.kind == 'mass'", "actions": [{"type": "restart_team", "stagger_seconds": 5}]}),
        json!({"name": "up", "when": "agent.given_up == true or alert.kind == 'gave_up'", "actions": [{"type": "escalate"}]}),
        json!({"name": "full", "when": "agent.memory_mb > 100 or agent.uptime_seconds > 900", "actions": [{"type": "notify", "sinks": ["pager"]}]}),
    ]
}

fn furnished(seed: u64) -> House {
    let mut house = House::new();
    let config = json!({
        "alert_correlation_window": 60, "policy_evaluation_interval": 10, "max_interventions_per_hour": 8, "approval_timeout": 120,
        "intervention_timeout": 90, "max_concurrent_interventions": 2, "mass_agents": 3, "mass_window": 5, "approval_agents": 2 + seed % 3,
    });
    house.supervisor("main", json!({ "config": config }));
    house.supervisor("below", json!({"parent": "main", "config": {"approval_agents": 1}}));
    house.supervisor("other", json!({}));
    AGENTS.iter().for_each(|(id, rest)| house.agent(id, rest));
    house.team("crew", "main", &["a", "b", "e"]);
    house.team("low", "below", &["c", "d", "f"]);
    house.team("far", "other", &["g", "i"]);
    policies().into_iter().for_each(|policy| house.policy(policy, &["main", "below"]));
    house
}

/// What somebody asks for.
fn wish(dice: &mut Dice, house: &House) -> Command {
    let agent = *dice.pick(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "nobody"]).unwrap();
    let team = *dice.pick(&["crew", "low", "far", "none"]).unwrap();
    let above = *dice.pick(&["main", "below", "other"]).unwrap();
    let policy = *dice.pick(&["sick", "dead", "worse", "many", "up", "full", "none"]).unwrap();
    let newest = house.it.state().counters.intervention.saturating_sub(1 + dice.roll(4));
    let (id, reason) = (format!("i-{newest}").as_str().into(), "looked".to_owned());
    let sort = *dice
        .pick(&[
            "AGENT_RESTART",
            "AGENT_QUARANTINE",
            "AGENT_START",
            "AGENT_STOP",
            "TASK_REASSIGN",
            "CANCEL_TASK",
            "SHUTDOWN",
            "DELETE",
        ])
        .unwrap();
    match dice.roll(34) {
        0..=4 => Command::Intervene(intervention(
            json!({"intervention_type": sort, "target_id": agent, "confirm": dice.one_in(2), "emergency": dice.one_in(6)}),
        )),
        5 | 6 => {
            let sort = *dice.pick(&["TEAM_RESTART", "TEAM_QUARANTINE", "AGENT_RESTART"]).unwrap();
            let wanted = json!({"intervention_type": sort, "target_type": "TEAM", "target_id": team, "confirm": dice.one_in(2), "stagger_seconds": dice.roll(4)});
            Command::Intervene(intervention(wanted))
        }
        7 => Command::Intervene(intervention(
            json!({"intervention_type": "AGENT_RESTART", "target_type": "SUPERVISOR", "target_id": above, "confirm": true}),
        )),
        8..=10 => Command::ApproveIntervention { id, reason },
        11 => Command::RejectIntervention { id, reason },
        12 | 13 => Command::SettleIntervention { id, done: dice.one_in(2), reason },
        14 => Command::RollBackIntervention { id, reason },
        15 => Command::PauseSupervisor(above.into()),
        16 | 17 => Command::ResumeSupervisor(above.into()),
        18 => Command::StartAgent(agent.into()),
        19 => Command::StopAgent(agent.into()),
        20..=22 => {
            Command::ReleaseAgent { agent: agent.into(), evidence: if dice.one_in(4) { String::new() } else { reason } }
        }
        23 => Command::AddMember { team: team.into(), member: serde_json::from_value(json!(agent)).unwrap() },
        24 => Command::RemoveMember { team: team.into(), agent: agent.into() },
        25 => Command::ActivatePolicy { name: policy.into(), version: 1 },
        26 => Command::DeactivatePolicy(policy.into()),
        27 => Command::AssignPolicy {
            supervisor: above.into(),
            policy: policy.into(),
            priority: 3,
            enabled: dice.one_in(2),
        },
        28 => Command::SettleHeld { name: policy.into(), accept: dice.one_in(2) },
        29 => Command::ApprovePolicy { name: policy.into(), version: 1 },
        30 => Command::RetirePolicy { name: policy.into(), expect: None },
        31 => {
            let rest = AGENTS[usize::try_from(dice.roll(9)).unwrap()].1;
            Command::RespecifyAgent { spec: Box::new(stage::spec(agent, rest)), expect: dice.one_in(2).then_some(1) }
        }
        32 => {
            Command::ConfigureSupervisor { id: above.into(), description: Some("d".into()), config: None, expect: None }
        }
        _ => {
            let new: NewSupervisor = serde_json::from_value(json!({"name": above, "parent": "below"})).unwrap();
            Command::CreateSupervisor(new)
        }
    }
}

/// Somebody may have deleted it.
fn known<'a>(house: &'a House, id: &str) -> Option<&'a Agent> {
    house.it.state().agents.get(&id.into())
}

/// What the world does to an agent: it comes up, ends, beats, answers.
fn world(dice: &mut Dice, house: &House, sequence: &mut u64) -> Vec<Input> {
    let id = *dice.pick(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]).unwrap();
    let Some(agent) = known(house, id) else { return Vec::new() };
    match (&agent.process, dice.roll(8)) {
        (Process::Starting { .. }, 0) => {
            return vec![Input::SpawnFailed {
                agent: id.into(),
                incarnation: agent.incarnation,
                error: "no such program".into(),
            }];
        }
        (Process::Alive { .. } | Process::Stopping { .. }, 0..=2) => return vec![house.exit(id)],
        _ => {}
    }
    *sequence += dice.roll(3);
    match dice.roll(6) {
        0 => vec![Input::Probed { agent: "g".into(), good: !dice.one_in(3), said: "asked".into() }],
        1 => {
            let usage = Usage {
                memory_mb: 90.0 + dice.roll(30) as f64,
                cpu_percent: dice.roll(100) as f64,
                ..Usage::default()
            };
            vec![Input::Used(vec![(AgentId::from(id), usage)])]
        }
        2 | 3 => {
            let status = *dice.pick(&["PASS", "PASS_WITH_DRIFT", "FAIL", "FAIL", "NO_DATA", "NO_BASELINE"]).unwrap();
            let watch = *dice.pick(&["wa", "wb", "wf"]).unwrap();
            let end = stage::now(*sequence, 0).wall;
            let decision = Decision {
                watch: watch.into(),
                seq: Seq(*sequence),
                cycle: CycleNo(*sequence),
                status: status.into(),
                end,
                drivers: vec!["x".into()],
            };
            vec![Input::Decision(Box::new(decision))]
        }
        _ => {
            let agent = *dice.pick(&["e", "f", "a"]).unwrap();
            let states = [Lifecycle::Idle, Lifecycle::Running, Lifecycle::Degraded, Lifecycle::Failed];
            let status = if dice.one_in(2) { None } else { dice.pick(&states).copied() };
            let metrics: BTreeMap<String, f64> = [("load".to_owned(), dice.roll(10) as f64)].into();
            let task = dice.one_in(3).then(|| "job".into());
            vec![Input::Beat {
                ticket: Ticket(0),
                beat: Beat { agent: agent.into(), sequence: *sequence, status, task, metrics },
            }]
        }
    }
}

/// What comes of effects: programs start, calls are answered.
fn answers(dice: &mut Dice, effects: &[Effect]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for effect in effects {
        if let Effect::Call { intervention, step, .. } = effect {
            let outcome = match dice.roll(4) {
                0 => Called::Failed("it refused".into()),
                1 => Called::Unknown("no answer".into()),
                _ => Called::Done("it did".into()),
            };
            inputs.push(Input::Called { intervention: intervention.clone(), step: *step, outcome });
        }
    }
    inputs
}

struct Book {
    text: String,
    records: usize,
}

impl Book {
    /// One line for each thing that came about since the last time.
    fn note(&mut self, house: &House, what: &str, reply: Option<&Reply>, effects: &[Effect]) {
        let told = reply.map_or_else(String::new, stage::reply);
        let effects: Vec<String> = effects.iter().map(stage::effect).collect();
        writeln!(self.text, "{what}: {told} [{}]", effects.join("; ")).unwrap();
        for sealed in &house.disk.0[self.records..] {
            let document: Value =
                serde_json::from_slice(sealed.bytes.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
            let events: Vec<String> = sealed.record.body.events().iter().map(stage::event).collect();
            writeln!(self.text, "  {} {}", digest(&document["body"]), events.join("; ")).unwrap();
        }
        self.records = house.disk.0.len();
    }
}

fn live(book: &mut Book, seed: u64) {
    let (mut dice, mut house, mut sequence) = (Dice(seed), furnished(seed), 0);
    writeln!(book.text, "seed {seed}").unwrap();
    book.records = 0;
    book.note(&house, "furnished", None, &[]);
    for _ in 0..260 {
        let mut effects = match dice.roll(10) {
            0 | 1 => {
                let command = wish(&mut dice, &house);
                let (who, told) = (*dice.pick(&["operator:ada", "operator:bob"]).unwrap(), format!("{command:?}"));
                let reply = house.ask_as(who, command);
                let told: String = told.chars().take(70).collect();
                book.note(&house, &told, Some(&reply), &[]);
                Vec::new()
            }
            2 => house.pass(1 + dice.roll(12)),
            3 if dice.one_in(4) => house.pass(100 + dice.roll(1_000)),
            3 if dice.one_in(5) => house.crash(),
            3 => {
                let id = *dice.pick(&["a", "b", "e", "g"]).unwrap();
                let severity =
                    *dice.pick(&[Severity::Info, Severity::Warning, Severity::Error, Severity::Critical]).unwrap();
                let raise = Command::RaiseAlert { agent: id.into(), severity, message: "seen".into() };
                let reply = house.ask_as("operator:ada", raise);
                book.note(&house, "alert", Some(&reply), &[]);
                Vec::new()
            }
            4..=6 => {
                let starting = |(id, _): &&(&str, &str)| {
                    known(&house, id).is_some_and(|agent| matches!(agent.process, Process::Starting { .. }))
                };
                let waiting: Vec<&str> = AGENTS.iter().filter(starting).map(|(id, _)| *id).collect();
                dice.pick(&waiting).copied().map_or_else(Vec::new, |id| house.spawned(id))
            }
            _ => {
                let inputs = world(&mut dice, &house, &mut sequence);
                house.say_all(inputs)
            }
        };
        book.note(&house, "then", None, &effects);
        for _ in 0..3 {
            let inputs = answers(&mut dice, &effects);
            if inputs.is_empty() {
                break;
            }
            effects = house.say_all(inputs);
            book.note(&house, "answered", None, &effects);
        }
    }
    let state = serde_json::to_value(house.it.state().whole()).unwrap();
    let agents: Vec<String> = AGENTS.iter().filter_map(|(id, _)| known(&house, id)).map(stage::in_one_line).collect();
    writeln!(book.text, "at the end {} {}", digest(&state), agents.join("; ")).unwrap();
}

#[test]
fn s1_lives_of_a_whole_house_come_to_what_they_came_to() {
    let mut book = Book { text: String::new(), records: 0 };
    (1..=8).for_each(|seed| live(&mut book, seed));
    assert_recorded("supervision", include_str!("../recorded/supervision.txt"), &book.text);
}

#[test]
fn s1_walks_through_a_wild_world_come_to_what_they_came_to() {
    let mut text = String::new();
    for seed in 1..=6 {
        let (mut world, mut sequence, mut records) = (World::new(seed), 0, 0);
        world.mood = Mood::Kind;
        world.open();
        set_up(&mut world);
        world.mood = Mood::Wild;
        writeln!(text, "seed {seed}").unwrap();
        for step in 0..400 {
            let inputs = something(&mut world, &mut sequence);
            let most = usize::try_from(1 + world.dice.roll(6)).unwrap();
            world.turn(most, inputs);
            if world.left {
                world.kill_hb();
                world.open();
            }
            for sealed in &world.disk.0[records..] {
                let document: Value =
                    serde_json::from_slice(sealed.bytes.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
                let kinds: Vec<&str> = sealed.record.body.events().iter().map(|event| event.kind.as_str()).collect();
                writeln!(text, "{step} {} {}", digest(&document["body"]), kinds.join(" ")).unwrap();
            }
            records = world.disk.0.len();
        }
    }
    assert_recorded("walks", include_str!("../recorded/walks.txt"), &text);
}
