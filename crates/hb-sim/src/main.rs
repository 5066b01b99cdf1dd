//! `hb-sim COMMAND`: worlds from seeds, explored, replayed and made smaller. `cargo xtask sim COMMAND` builds and runs it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the person who started it")]

mod asked;
mod told;

use std::process::ExitCode;
use std::time::Instant;

use asked::Asked;
use hb_sim::explore::{AtBreach, Expedition, Findings, explore, plan, shrink};
use hb_sim::fault::Fault;
use hb_sim::plan::Plan;
use hb_sim::planted::Planted;
use hb_sim::promise::Promise;
use hb_sim::run::{Words, run};
use serde_json::{Value, json};
use told::Smallest;

const USAGE: &str = "\
hb-sim COMMAND [--json]

  explore  [--seeds N] [--from S] [--jobs J] [--plant FAULT] [--keep-going]
           worlds from so many seeds; the first one that breaks a promise is made smaller, or all that do are named
  replay   SEED [--trace | --trace-from SECOND] [--plant FAULT] [--without FAULT,…]
           one world again; with all that happened in it
  shrink   SEED [--plant FAULT]   the smallest world in which the same promise is broken
  planted  [--seeds N] [--jobs J] each planted fault: in which world, and by which promise it is found
  coverage [--seeds N] [--jobs J] how often each fault struck and each state was reached; what never was is a hole
  speed    [--hours H] [--seed S] [--trace-from SECOND]
           a long world of three nodes, as fast as it goes

  --json: one JSON document on standard output
";

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let command = if words.is_empty() { String::new() } else { words.remove(0) };
    let done = Asked::of(words).and_then(|words| match command.as_str() {
        "explore" => exploring(&words),
        "replay" => replaying(&words),
        "shrink" => shrinking(&words),
        "planted" => planting(&words),
        "coverage" => covering(&words),
        "speed" => speeding(&words),
        _ => Err(USAGE.to_owned()),
    });
    match done {
        Ok(Sound::Yes) => ExitCode::SUCCESS,
        Ok(Sound::No) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("{}", what.trim_end());
            ExitCode::from(64)
        }
    }
}

/// Whether everything came out as it has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sound {
    Yes,
    No,
}

impl From<bool> for Sound {
    fn from(sound: bool) -> Self {
        if sound { Self::Yes } else { Self::No }
    }
}

/// Prints the one or the other.
fn tell(words: &Asked, json: impl FnOnce() -> Value, say: impl FnOnce()) {
    if words.has("--json") {
        println!("{}", json());
    } else {
        say();
    }
}

fn explored(words: &Asked, seeds: u64, planted: Option<Planted>) -> Result<(Findings, f64), String> {
    let seeds = words.number("--seeds", seeds)?;
    let at_breach = if words.has("--keep-going") { AtBreach::GoOn } else { AtBreach::Stop };
    let expedition = Expedition { from: words.number("--from", 0)?, seeds, jobs: words.jobs()?, planted, at_breach };
    let begun = Instant::now();
    let every = (seeds / 20).max(1);
    let progress = |worlds: u64| {
        if worlds.is_multiple_of(every) {
            eprintln!("{worlds} of {seeds} worlds, {:.0} s", begun.elapsed().as_secs_f64());
        }
    };
    let found = explore(expedition, &progress);
    Ok((found, begun.elapsed().as_secs_f64()))
}

fn exploring(words: &Asked) -> Result<Sound, String> {
    let planted = words.planted()?;
    let (found, took) = explored(words, 1_000, planted)?;
    if !words.has("--json") {
        told::say_found(&found, took);
    }
    let first = found.first_broken().filter(|_| !words.has("--keep-going"));
    let smallest = first.map(|(seed, breach)| smaller(&plan(seed, planted), breach.promise));
    let small = smallest.as_ref().map(Smallest::json).into();
    let json = || told::with(told::found(&found, took), [("smallest", small)]);
    tell(words, json, || smallest.iter().for_each(Smallest::say));
    Ok(found.broken.is_empty().into())
}

fn smaller(whole: &Plan, promise: Promise) -> Smallest {
    eprintln!("making it smaller …");
    let plan = shrink(whole, promise, &|plan| eprintln!("  {}", plan.line()));
    let breaches = run(&plan, Words::Left).breaches;
    let gone: Vec<&str> = whole.mix.on().filter(|fault| plan.mix.of(*fault) == 0).map(Fault::word).collect();
    let without = if gone.is_empty() { String::new() } else { format!(" --without {}", gone.join(",")) };
    let planted = plan.planted.map(|planted| format!(" --plant {}", planted.word())).unwrap_or_default();
    let Plan { seed, nodes, watches, rough, .. } = plan;
    let seconds = rough / 1_000_000_000;
    let again = format!(
        "cargo xtask sim replay {seed} --trace{without}{planted} --rough {seconds} --nodes {nodes} --watches {watches}"
    );
    Smallest { plan, breaches, again }
}

fn replaying(words: &Asked) -> Result<Sound, String> {
    let plan = words.world()?;
    let verdict = run(&plan, words.trace()?);
    let say = || {
        verdict.words.iter().for_each(|line| println!("{line}"));
        println!("{}", plan.line());
        told::say_verdict(&verdict);
    };
    tell(words, || told::verdict(&plan, &verdict), say);
    Ok(verdict.is_sound().into())
}

fn shrinking(words: &Asked) -> Result<Sound, String> {
    let plan = words.world()?;
    let verdict = run(&plan, Words::Left);
    let smallest = verdict.breaches.first().map(|breach| smaller(&plan, breach.promise));
    let small = smallest.as_ref().map(Smallest::json).into();
    let json = || told::with(told::verdict(&plan, &verdict), [("smallest", small)]);
    let say = || {
        told::say_verdict(&verdict);
        smallest.iter().for_each(Smallest::say);
    };
    tell(words, json, say);
    Ok(verdict.is_sound().into())
}

fn planting(words: &Asked) -> Result<Sound, String> {
    let mut all = Vec::new();
    let mut sound = true;
    for planted in Planted::ALL {
        let (found, took) = explored(words, 1_000, Some(*planted))?;
        let first = found.first_broken();
        let named = first.is_some_and(|(_, breach)| planted.breaks().contains(&breach.promise));
        sound &= named;
        let line = match first {
            Some((seed, breach)) => {
                let how = if named { "found" } else { "FOUND BY ANOTHER NAME" };
                format!("{how} in world {}, seed {seed}: {breach}", found.worlds)
            }
            None => format!("NOT FOUND in {} worlds, where it struck {:?}", found.worlds, found.reached.get("planted")),
        };
        if !words.has("--json") {
            println!("{:<30} {line} ({took:.1} s)", planted.word());
        }
        let more = [("planted", planted.word().into()), ("found_by_name", named.into())];
        all.push(told::with(told::found(&found, took), more));
    }
    tell(words, || json!({ "planted": all }), || ());
    Ok(sound.into())
}

fn covering(words: &Asked) -> Result<Sound, String> {
    let (found, _) = explored(words, 300, words.planted()?)?;
    tell(words, || told::covered(&found), || told::say_covered(&found));
    Ok((found.holes().is_empty() && found.broken.is_empty()).into())
}

fn speeding(words: &Asked) -> Result<Sound, String> {
    let plan = Plan::long(words.number("--seed", 1)?, words.number("--hours", 100)?);
    let begun = Instant::now();
    let verdict = run(&plan, words.trace()?);
    let took = begun.elapsed().as_secs_f64();
    let hours = std::time::Duration::from_nanos(verdict.lasted).as_secs_f64() / 3_600.0;
    let (a_minute, a_step) = (hours / took * 60.0, took * 1e6 / verdict.steps as f64);
    let json = || {
        let fast = [("hours_a_minute_of_one_core", a_minute.into()), ("microseconds_a_step", a_step.into())];
        let told =
            told::with(told::verdict(&plan, &verdict), [("seconds", took.into()), ("states", json!(verdict.reached))]);
        told::with(told, fast)
    };
    let say = || {
        verdict.words.iter().for_each(|line| println!("{line}"));
        println!("{}", plan.line());
        println!("{hours:.1} hours in {took:.2} s: {a_minute:.0} hours a minute of one core, {a_step:.1} us a step");
        verdict.reached.iter().for_each(|(what, times)| println!("  {what:<28} {times:>10}"));
        told::say_verdict(&verdict);
    };
    tell(words, json, say);
    Ok(verdict.is_sound().into())
}
