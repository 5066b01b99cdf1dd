//! What came of it: in words for people, and as one JSON document with `--json`.

use std::time::Duration;

use hb_sim::explore::Findings;
use hb_sim::fault::Fault;
use hb_sim::plan::Plan;
use hb_sim::promise::{Breach, Promise};
use hb_sim::run::Verdict;
use serde_json::{Map, Value, json};

/// A world that was made as small as it goes, with what is broken in it.
pub(crate) struct Smallest {
    pub(crate) plan: Plan,
    pub(crate) breaches: Vec<Breach>,
    /// The command that has it again.
    pub(crate) again: String,
}

impl Smallest {
    pub(crate) fn say(&self) {
        println!("smallest: {}", self.plan.line());
        self.breaches.iter().for_each(|breach| println!("  {breach}"));
        println!("again: {}", self.again);
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "world": self.plan.line(), "breaches": breaches(&self.breaches), "again": self.again })
    }
}

/// The same with more told.
pub(crate) fn with<const N: usize>(told: Value, more: [(&str, Value); N]) -> Value {
    let Value::Object(mut fields) = told else { return told };
    fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(fields)
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

fn breach(one: &Breach) -> Value {
    json!({ "promise": one.promise.id(), "at_seconds": seconds(one.at), "what": one.what })
}

fn breaches(all: &[Breach]) -> Value {
    all.iter().map(breach).collect()
}

fn broken(found: &Findings) -> Value {
    let one = |(seed, one): (&u64, &Breach)| with(breach(one), [("seed", json!(seed))]);
    found.broken.iter().map(one).collect()
}

/// What many worlds came to, in words.
pub(crate) fn say_found(found: &Findings, took: f64) {
    let (hours, steps) = (found.hours(), found.steps);
    println!("{} worlds, {hours:.1} hours of their own time, {steps} steps, in {took:.1} s", found.worlds);
    for promise in Promise::ALL {
        let broken = found.broken.values().any(|breach| breach.promise == *promise);
        println!("  {:<6} {} {}", promise.id(), if broken { "BROKEN" } else { "held  " }, promise.what());
    }
    found.broken.iter().for_each(|(seed, breach)| println!("seed {seed}: {breach}"));
    if found.broken_worlds > found.broken.len() as u64 {
        println!("and {} more broken worlds", found.broken_worlds - found.broken.len() as u64);
    }
}

/// What many worlds came to.
pub(crate) fn found(found: &Findings, took: f64) -> Value {
    let promise = |promise: &Promise| {
        let broken = found.broken.values().any(|breach| breach.promise == *promise);
        (promise.id().to_owned(), json!(if broken { "broken" } else { "held" }))
    };
    json!({
        "worlds": found.worlds,
        "hours": found.hours(),
        "steps": found.steps,
        "seconds": took,
        "promises": Promise::ALL.iter().map(promise).collect::<Map<_, _>>(),
        "broken_worlds": found.broken_worlds,
        "broken": broken(found),
    })
}

/// How often each fault struck and each state was reached, in words.
pub(crate) fn say_covered(found: &Findings) {
    println!("fault points over {} worlds: times, worlds", found.worlds);
    for fault in Fault::ALL {
        let (times, worlds) = found.struck.get(fault).copied().unwrap_or_default();
        println!("  {:<20} {times:>10} {worlds:>8}{}", fault.word(), if times == 0 { "  HOLE" } else { "" });
    }
    println!("states and transitions: times, worlds");
    for (what, (times, worlds)) in &found.reached {
        println!("  {what:<28} {times:>10} {worlds:>8}");
    }
}

/// How often each fault struck and each state was reached.
pub(crate) fn covered(found: &Findings) -> Value {
    let often = |(times, worlds): (u64, u64)| json!({ "times": times, "worlds": worlds });
    let fault = |fault: &Fault| (fault.word().to_owned(), often(found.struck.get(fault).copied().unwrap_or_default()));
    let state = |(what, reached): (&&str, &(u64, u64))| ((*what).to_owned(), often(*reached));
    json!({
        "worlds": found.worlds,
        "faults": Fault::ALL.iter().map(fault).collect::<Map<_, _>>(),
        "states": found.reached.iter().map(state).collect::<Map<_, _>>(),
        "holes": found.holes().iter().map(|fault| fault.word()).collect::<Vec<_>>(),
        "broken": broken(found),
    })
}

/// How one world ended, in words.
pub(crate) fn say_verdict(verdict: &Verdict) {
    verdict.breaches.iter().for_each(|breach| println!("BROKEN {breach}"));
    println!("{} steps, trace {:016x}", verdict.steps, verdict.trace);
}

/// How one world ended.
pub(crate) fn verdict(plan: &Plan, verdict: &Verdict) -> Value {
    json!({
        "seed": plan.seed,
        "world": plan.line(),
        "hours": seconds(verdict.lasted) / 3_600.0,
        "steps": verdict.steps,
        "trace": format!("{:016x}", verdict.trace),
        "breaches": breaches(&verdict.breaches),
        "words": verdict.words,
    })
}
