//! How fast policies are read and evaluated, on one core.
//!
//! `cargo run --release -p hb-core --example policy_speed [EVALUATIONS]`
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for the terminal that measures time"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use hb_core::supervise::agent::Agent;
use hb_core::supervise::policy::context::{Context, Figures, Occasion};
use hb_core::supervise::policy::eval::Compiled;
use hb_core::supervise::policy::expression::parse;
use hb_core::supervise::state::State;
use hb_core::time::Stamp;
use serde_json::json;

const TWO_FIELDS: &str = "agent.anomaly_score >= 0.8 and agent.consecutive_anomalous_readings >= 3";

fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2_000_000_u32);
    let condition = parse(TWO_FIELDS).expect("the example is sound").condition;
    let compiled = Compiled::new(&condition, &BTreeMap::new());
    let agent: Agent = serde_json::from_value(json!({
        "spec": {"id": "bench-1"}, "spec_version": 1, "origin": "declared", "wanted": "up", "lifecycle": "RUNNING",
        "since": "2026-01-01T00:00:00Z", "incarnation": 1, "anomaly": {"score": 0.9, "consecutive": 3},
    }))
    .expect("an agent of few words");
    let state = State::default();
    let context = Context::new(&state, &"root".into(), Occasion::Sweep, Stamp(0)).about(&agent, Figures::default());
    assert!(compiled.holds(&context), "both comparisons are to be made");
    row("read the expression", count / 10, || drop(black_box(parse(black_box(TWO_FIELDS)))));
    row("make it ready", count / 10, || drop(black_box(Compiled::new(black_box(&condition), &BTreeMap::new()))));
    row("evaluate, with the path", count, || drop(black_box(compiled.evaluate(black_box(&context)))));
    row("look only", count, || {
        black_box(compiled.holds(black_box(&context)));
    });
}

fn row(name: &str, count: u32, mut one: impl FnMut()) {
    let begin = Instant::now();
    for _ in 0..count {
        one();
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{name:<28} {:>12.0} /s {:>10.0} ns each", f64::from(count) / seconds, seconds * 1e9 / f64::from(count));
}
