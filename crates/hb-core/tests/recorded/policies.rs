//! Expressions, templates, evaluation, adaptation and differences of policies: what they come to, and what is said of what is wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hb_core::supervise::agent::Origin;
use hb_core::supervise::policy::adapt::{Lesson, Verdict, learn, settle};
use hb_core::supervise::policy::check;
use hb_core::supervise::policy::context::Given;
use hb_core::supervise::policy::diff::diff;
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::policy::eval::Compiled;
use hb_core::supervise::policy::expression::parse;
use hb_core::supervise::policy::fault::{Fault, nearest};
use hb_core::supervise::policy::fields::{FIELDS, Pace, nearest_field};
use hb_core::supervise::policy::simulate::simulate;
use hb_core::supervise::policy::template::{fill, references, variable_of};
use hb_core::supervise::policy::{Policy, Variable};
use hb_core::time::Stamp;
use serde_json::{Value, json};

use super::ledger::assert_recorded;

const EXPRESSIONS: [&str; 96] = [
    "agent.anomaly_score >= 0.8",
    "agent.anomaly_score > 80%",
    "agent.uptime_seconds < 30s",
    "agent.uptime_seconds >= 1.5h",
    "agent.uptime_seconds == 2d",
    "agent.uptime_seconds <= 5m",
    "agent.uptime_seconds > 100ms",
    "agent.id == 'a'",
    "agent.id != \"a\\\"b\"",
    "agent.id in ['a', 'b']",
    "agent.id not in ['a']",
    "agent.tags in ['x']",
    "agent.tags == ['x']",
    "agent.tags == null",
    "agent.given_up == true",
    "agent.given_up != false",
    "not agent.given_up == true",
    "agent.restart_count > -1",
    "agent.metrics.load > 5",
    "agent.metrics.a_b >= 1e3 and agent.id == 'a'",
    "(agent.id == 'a' or agent.id == 'b') and not (agent.wanted == 'down')",
    "agent.id == 'a' or agent.id == 'b' or agent.id == 'c'",
    "agent.id == 'a' and agent.id == 'b' or agent.id == 'c' and agent.id == 'd'",
    "not not agent.id == 'a'",
    "((agent.id == 'a'))",
    "agent.id == 'a'\nand agent.id == 'b'",
    "agent.anomaly_score >= ${variables.limit}",
    "alert.severity == 'ERROR'",
    "alert.severity_level >= 2",
    "alert.affected_agents in ['a']",
    "watch.status in ['FAIL', 'NO_DATA']",
    "agent.exit_status == null",
    "agent.exit_status != null",
    "escalation.child == 'x'",
    "team.active_count < 2",
    "supervisor.level == 0",
    "agent.memory_mb > 100",
    "agent.cpu_percent > 50%",
    "",
    " ",
    "agent.id",
    "agent.id ==",
    "agent.id == ",
    "== 'a'",
    "agent.id = 'a'",
    "agent.id === 'a'",
    "agent.id == 'a' and",
    "and agent.id == 'a'",
    "agent.id == 'a' agent.id == 'b'",
    "(agent.id == 'a'",
    "agent.id == 'a')",
    "()",
    "not",
    "agent.id in 'a'",
    "agent.id in []",
    "agent.id in ['a'",
    "agent.id in ['a',]",
    "agent.id in [,]",
    "agent.id not 'a'",
    "agent.id == 'a",
    "agent.id == 'a\\q'",
    "agent.id == 5",
    "agent.given_up == 'yes'",
    "agent.given_up > true",
    "agent.given_up in [true]",
    "agent.id > 'a'",
    "agent.anomaly_score == 'x'",
    "agent.anomaly_score >= 1.5",
    "agent.anomaly_score >= 150%",
    "agent.anomaly_score >= 30s",
    "agent.uptime_seconds > 50%",
    "agent.uptime_seconds > 5x",
    "agent.restart_count > 1e999",
    "agent.restart_count > 99999999999999999999",
    "agent.anomly_score >= 0.8",
    "anomaly_score >= 0.8",
    "agnt.id == 'a'",
    "agent.status == 'IDEL'",
    "alert.kind == 'dead'",
    "agent.metrics. > 1",
    "agent.metrics.x == 'a'",
    "${variables.limit} > 0.5",
    "agent.anomaly_score >= ${variables.lmit}",
    "agent.anomaly_score >= ${agent.capacity}",
    "agent.anomaly_score >= ${",
    "agent.id == '${variables.limit}'",
    "agent.id == null",
    "null == null",
    "agent.id == 'a' && agent.id == 'b'",
    "agent.id == 'a' || agent.id == 'b'",
    "!agent.given_up",
    "agent.id == 'é' and agent.id == 5",
    "agent.id == 'a'\n\n  or x",
    "AGENT.ID == 'a'",
    "agent.id == 'a' AND agent.id == 'b'",
    "agent.id\t==\t'tab\\t\\n\\\\'",
];

fn variables() -> BTreeMap<String, Variable> {
    let one = |value: f64, adaptive: bool| Variable { value, min: 0.1, max: 0.95, adaptive };
    [("limit".to_owned(), one(0.8, true)), ("other".to_owned(), one(0.5, false))].into()
}

fn told(faults: &[Fault], text: &str) -> String {
    let one = |fault: &Fault| format!("{fault} {:?} {:?}", fault.place, fault.excerpt(text));
    faults.iter().map(one).collect::<Vec<_>>().join(" | ")
}

#[test]
fn expressions_are_read_as_they_were() {
    let mut text = String::new();
    for expression in EXPRESSIONS {
        writeln!(text, "{expression:?}").unwrap();
        match parse(expression) {
            Ok(parsed) => {
                writeln!(text, "  reads {}", parsed.condition).unwrap();
                writeln!(text, "  is {}", serde_json::to_string(&parsed.condition).unwrap()).unwrap();
                let document = json!({"name": "p", "when": expression, "variables": {"limit": {"value": 0.5, "min": 0.0, "max": 1.0}}, "actions": [{"type": "notify"}]});
                let faults = PolicyDocument::read(&document).err().unwrap_or_default();
                writeln!(text, "  checked {}", told(&faults, expression)).unwrap();
                let faults = check::condition(&parsed.condition, None, "condition", &variables());
                writeln!(text, "  as a tree {}", told(&faults, expression)).unwrap();
            }
            Err(fault) => writeln!(text, "  fault {}", told(&[fault], expression)).unwrap(),
        }
    }
    for length in [1, 63, 64, 1_000, 70_000] {
        let long = vec!["agent.id == 'a'"; length].join(" or ");
        let nested = format!("{}agent.id == 'a'{}", "(".repeat(length.min(5_000)), ")".repeat(length.min(5_000)));
        for expression in [long, nested, format!("{}agent.id == 'a'", "not ".repeat(length.min(5_000)))] {
            let read =
                parse(&expression).map(|parsed| parsed.condition.to_string().len()).map_err(|fault| fault.to_string());
            writeln!(text, "{length}: {read:?}").unwrap();
        }
    }
    assert_recorded("expressions", include_str!("expressions.txt"), &text);
}

fn situations() -> Vec<Given<'static>> {
    let of = |all: Vec<(&'static str, Value)>| Given::of(all);
    vec![
        of(vec![]),
        of(vec![
            ("agent.id", json!("a")),
            ("agent.anomaly_score", json!(0.8)),
            ("agent.tags", json!(["x", "y"])),
            ("agent.given_up", json!(true)),
        ]),
        of(vec![
            ("agent.id", json!("b")),
            ("agent.anomaly_score", json!(0.79)),
            ("agent.tags", json!([])),
            ("agent.given_up", json!(false)),
        ]),
        of(vec![
            ("agent.uptime_seconds", json!(30)),
            ("agent.restart_count", json!(0)),
            ("agent.metrics.load", json!(5.5)),
            ("agent.exit_status", json!(1)),
        ]),
        of(vec![
            ("agent.uptime_seconds", json!(5_400.0)),
            ("alert.severity", json!("ERROR")),
            ("alert.severity_level", json!(2)),
            ("watch.status", json!("FAIL")),
        ]),
        of(vec![
            ("agent.uptime_seconds", json!(172_800)),
            ("alert.affected_agents", json!(["a"])),
            ("team.active_count", json!(1)),
            ("agent.wanted", json!("down")),
        ]),
        of(vec![
            ("agent.memory_mb", json!(100.5)),
            ("agent.cpu_percent", json!(50)),
            ("supervisor.level", json!(0)),
            ("agent.metrics.a_b", json!(1000)),
        ]),
    ]
}

#[test]
fn conditions_hold_and_are_explained_as_they_were() {
    let mut text = String::new();
    for expression in EXPRESSIONS {
        let Ok(parsed) = parse(expression) else { continue };
        let compiled = Compiled::new(&parsed.condition, &variables());
        let paces = [Pace::WithEvents, Pace::ByItself, Pace::OfOccasion].map(|pace| compiled.looks_at(pace));
        writeln!(text, "{expression:?} {paces:?}").unwrap();
        for (number, situation) in situations().iter().enumerate() {
            let outcome = compiled.evaluate(situation);
            assert_eq!(outcome.decision, compiled.holds(situation));
            let (path, looked) =
                (serde_json::to_string(&outcome.path).unwrap(), serde_json::to_string(&outcome.looked_at).unwrap());
            writeln!(text, "  {number} {} {path} {looked}", outcome.decision).unwrap();
        }
    }
    assert_recorded("evaluations", include_str!("evaluations.txt"), &text);
}

#[test]
fn what_would_be_done_is_told_as_it_was() {
    let mut text = String::new();
    let actions = [
        "restart_agent",
        "quarantine_agent",
        "start_agent",
        "stop_agent",
        "restart_team",
        "quarantine_team",
        "restart_all",
        "quarantine_all",
        "reassign_task",
        "override_priority",
        "notify",
        "escalate",
    ];
    for action in actions {
        for extra in [
            json!({}),
            json!({"target": "x"}),
            json!({"reason": "${agent.id} at ${agent.anomaly_score}, ${agent.phase}, ${variables.limit}"}),
            json!({"stagger_seconds": 5}),
            json!({"parameters": {"priority": 5}}),
            json!({"approval_required": true}),
            json!({"sinks": ["pager"]}),
            json!({"parameters": {"reason": "r"}}),
        ] {
            let mut action = json!({ "type": action });
            extra.as_object().unwrap().iter().for_each(|(key, value)| action[key] = value.clone());
            let document = json!({"name": "p", "when": "agent.id == 'a'", "actions": [action], "variables": {"limit": {"value": 0.5, "min": 0.0, "max": 1.0}}});
            match PolicyDocument::read(&document) {
                Ok(read) => {
                    let new = read.into_new();
                    for situation in situations().iter().take(3) {
                        let told = simulate(&new.definition, &new.variables, situation);
                        writeln!(
                            text,
                            "{document}: {} {}",
                            check::is_dangerous(&new.definition),
                            serde_json::to_string(&told).unwrap()
                        )
                        .unwrap();
                    }
                }
                Err(faults) => writeln!(text, "{document}: {}", told(&faults, "")).unwrap(),
            }
        }
    }
    assert_recorded("actions", include_str!("actions.txt"), &text);
}

#[test]
fn templates_are_filled_as_they_were() {
    let mut text = String::new();
    for template in [
        "",
        "plain",
        "${agent.id}",
        "a ${agent.id} b ${agent.anomaly_score} c",
        "${variables.limit}",
        "${variables.none}",
        "${",
        "${}",
        "a ${agent.id",
        "$${agent.id}",
        "${agent.tags} ${agent.given_up}",
        "${agent.phase}",
        "$ {agent.id}",
        "${ agent.id }",
        "${agent.id}${agent.id}",
        "${nonsense}",
        "}${",
        "${variables.}",
        "${agent.metrics.load}",
        "é ${agent.id} é",
    ] {
        let referred = references(template).map(|all| all.len());
        writeln!(text, "{template:?}: refers {referred:?}, variable {:?}", variable_of(template)).unwrap();
        for situation in situations().iter().take(4) {
            let filled = fill(template, situation, &variables());
            writeln!(text, "  {:?} {:?}", filled.text, filled.missing).unwrap();
        }
    }
    for document in [
        json!(null),
        json!(5),
        json!([]),
        json!({"agent": {"anomaly_score": 0.9}}),
        json!({"agent.anomaly_score": 0.9}),
        json!({"agent": {"anomly_score": 0.9}}),
        json!({"agent": 5}),
        json!({"agent.id": 5, "agent.tags": "x", "agent.given_up": 1, "agent.anomaly_score": "x"}),
        json!({"agent": {"metrics": {"load": 1, "x": "y"}}}),
        json!({"agent.id": null, "alert": {}}),
        json!({"agent": {"id": {"x": 1}}}),
    ] {
        let read = Given::read(&document).map(|given| format!("{given:?}")).map_err(|faults| told(&faults, ""));
        writeln!(text, "{document}: {read:?}").unwrap();
    }
    for typed in [
        "",
        "a",
        "agent.idd",
        "id",
        "score",
        "anomaly",
        "agent.anomaly",
        "team",
        "alert.knd",
        "x".repeat(100).as_str(),
        "x".repeat(101).as_str(),
        "restart_agnt",
        "ANOMALY_SCORE",
    ] {
        writeln!(
            text,
            "{typed:?}: {:?} {:?}",
            nearest_field(typed),
            nearest(typed, ["restart_agent", "stop_agent", "notify", "a.b"])
        )
        .unwrap();
    }
    for info in FIELDS {
        writeln!(
            text,
            "{} {} {} {:?} {:?} {}",
            info.path,
            info.kind.as_str(),
            info.unit.as_str(),
            info.pace,
            info.words,
            info.meaning
        )
        .unwrap();
    }
    assert_recorded("templates", include_str!("templates.txt"), &text);
}

fn policy(when: &str) -> Policy {
    let document = json!({
        "name": "p", "when": when, "actions": [{"type": "restart_agent"}, {"type": "notify"}],
        "variables": {"limit": {"value": 0.8, "min": 0.7, "max": 0.82, "adaptive": true}, "fixed": {"value": 1.0, "min": 0.0, "max": 2.0}}
    });
    let mut policy = Policy::empty("p".into(), Origin::Dynamic);
    policy.accept(PolicyDocument::read(&document).unwrap().into_new(), &"operator:ada".into(), Stamp(5));
    policy
}

#[test]
fn policies_adapt_as_they_did() {
    let mut text = String::new();
    let lessons = [Lesson::Success, Lesson::Partial, Lesson::Failure];
    for rate in [0.1, 0.5, 0.005, f64::NAN] {
        for seed in 0..3_usize {
            let mut policy = policy("agent.anomaly_score >= ${variables.limit}");
            policy.activate(1).unwrap();
            for step in 0..14_usize {
                let lesson = lessons[(seed + step * (seed + 1)) % 3];
                let learned = learn(&mut policy, lesson, rate, Stamp(7));
                writeln!(
                    text,
                    "{rate} {seed} {step} {}: {learned:?} successes {} at {:.9} held {:?}",
                    lesson.as_str(),
                    policy.successes,
                    policy.effectiveness,
                    policy.held
                )
                .unwrap();
                if step % 5 == 4 {
                    let verdict = if seed % 2 == 0 { Verdict::TakeOver } else { Verdict::Drop };
                    let settled = settle(&mut policy, verdict).map_err(|refusal| refusal.message);
                    writeln!(text, "  {verdict:?}: {settled:?}; {:?}", policy.variables).unwrap();
                }
            }
        }
    }
    assert_recorded("adaptation", include_str!("adaptation.txt"), &text);
}

#[test]
fn versions_are_told_apart_as_they_were() {
    let mut text = String::new();
    let whens = [
        "agent.anomaly_score >= 0.5",
        "agent.anomaly_score >= 0.6",
        "agent.id == 'a' and agent.anomaly_score >= 0.6",
        "not agent.id in ['a', 'b']",
    ];
    for from in whens {
        for to in whens {
            let (from, to) = (policy(from), policy(to));
            writeln!(text, "{}", serde_json::to_string(&diff(&from.versions[0], &to.versions[0])).unwrap()).unwrap();
        }
    }
    let mut policy = policy(whens[0]);
    for (version, who) in
        [(1, "operator:ada"), (1, "operator:bob"), (1, "operator:bob"), (1, "operator:cid"), (9, "operator:bob")]
    {
        let agreed = policy
            .approve(version, &who.into())
            .map_err(|refusal| (refusal.message, refusal.field, refusal.constraint));
        writeln!(text, "{version} {who}: {agreed:?}").unwrap();
    }
    for version in [1, 1, 2] {
        let activated = policy.activate(version).map_err(|refusal| refusal.message);
        writeln!(text, "{version}: {activated:?} {:?}", policy.deactivate()).unwrap();
    }
    assert_recorded("versions", include_str!("versions.txt"), &text);
}
