//! `hb-sim COMMAND`: worlds from seeds, explored, replayed and made smaller. `cargo xtask sim COMMAND` builds and runs it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the person who started it")]

use std::process::ExitCode;
use std::time::Instant;

use hb_sim::explore::{Expedition, Findings, explore, plan, shrink};
use hb_sim::fault::Fault;
use hb_sim::plan::Plan;
use hb_sim::planted::Planted;
use hb_sim::promise::Promise;
use hb_sim::run::{Verdict, Words, run};

const USAGE: &str = "\
hb-sim COMMAND

  explore  [--seeds N] [--from S] [--jobs J] [--plant FAULT] [--json]
           worlds from so many seeds; the first one that breaks a promise is made smaller
  replay   SEED [--trace] [--plant FAULT] [--without FAULT,…]
           one world again; with all that happened in it
  shrink   SEED [--plant FAULT]   the smallest world in which the same promise is broken
  planted  [--seeds N] [--jobs J] each planted fault: in which world, and by which promise it is found
  coverage [--seeds N] [--jobs J] how often each fault struck and each state was reached; what never was is a hole
  speed    [--hours H]            a long world of three nodes, as fast as it goes
";

/// What follows a command.
struct Asked {
    words: Vec<String>,
}

impl Asked {
    fn value(&self, name: &str) -> Option<&str> {
        let place = self.words.iter().position(|word| word == name)?;
        self.words.get(place + 1).map(String::as_str)
    }

    fn number(&self, name: &str, usual: u64) -> Result<u64, String> {
        self.value(name)
            .map_or(Ok(usual), |text| text.parse().map_err(|_| format!("{name} {text}: a number is expected")))
    }

    fn has(&self, name: &str) -> bool {
        self.words.iter().any(|word| word == name)
    }

    fn seed(&self) -> Result<u64, String> {
        let text = self.words.first().ok_or("which SEED?")?;
        text.parse().map_err(|_| format!("{text}: the number of a seed is expected"))
    }

    fn planted(&self) -> Result<Option<Planted>, String> {
        let Some(word) = self.value("--plant") else { return Ok(None) };
        let known = || Planted::ALL.iter().map(|planted| planted.word()).collect::<Vec<_>>().join(" ");
        Planted::named(word).map(Some).ok_or_else(|| format!("{word} is none of: {}", known()))
    }

    fn jobs(&self) -> Result<usize, String> {
        let usual = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(usize::try_from(self.number("--jobs", usual as u64)?).unwrap_or(1).max(1))
    }
}

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let command = if words.is_empty() { String::new() } else { words.remove(0) };
    let words = Asked { words };
    let done = match command.as_str() {
        "explore" => exploring(&words),
        "replay" => replaying(&words),
        "shrink" => shrinking(&words),
        "planted" => planting(&words),
        "coverage" => covering(&words),
        "speed" => speeding(&words),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(code) => code,
        Err(what) => {
            eprintln!("{}", what.trim_end());
            ExitCode::from(64)
        }
    }
}

fn explored(words: &Asked, seeds: u64, planted: Option<Planted>) -> Result<(Findings, f64), String> {
    let seeds = words.number("--seeds", seeds)?;
    let expedition = Expedition { from: words.number("--from", 0)?, seeds, jobs: words.jobs()?, planted };
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

fn exploring(words: &Asked) -> Result<ExitCode, String> {
    let planted = words.planted()?;
    let (found, took) = explored(words, 1_000, planted)?;
    if words.has("--json") {
        println!("{}", as_json(&found, took));
    } else {
        println!(
            "{} worlds, {:.1} hours of their own time, {} steps, in {took:.1} s",
            found.worlds,
            found.hours(),
            found.steps
        );
        for promise in Promise::ALL {
            let broken = found.broken.as_ref().is_some_and(|(_, breach)| breach.promise == *promise);
            println!("  {:<6} {} {}", promise.id(), if broken { "BROKEN" } else { "held  " }, promise.what());
        }
    }
    let Some((seed, breach)) = found.broken else { return Ok(ExitCode::SUCCESS) };
    println!("seed {seed}: {breach}");
    smaller(&plan(seed, planted), breach.promise);
    Ok(ExitCode::FAILURE)
}

fn smaller(whole: &Plan, promise: Promise) {
    eprintln!("making it smaller …");
    let small = shrink(whole, promise, &|plan| eprintln!("  {}", plan.line()));
    let verdict = run(&small, Words::Left);
    println!("smallest: {}", small.line());
    verdict.breaches.iter().for_each(|breach| println!("  {breach}"));
    let gone: Vec<&str> = whole.mix.on().filter(|fault| small.mix.of(*fault) == 0).map(Fault::word).collect();
    let without = if gone.is_empty() { String::new() } else { format!(" --without {}", gone.join(",")) };
    let seconds = small.rough / 1_000_000_000;
    println!(
        "again: cargo xtask sim replay {} --trace{without} --rough {seconds} --nodes {} --watches {}",
        small.seed, small.nodes, small.watches
    );
}

fn replayed(words: &Asked) -> Result<Plan, String> {
    let mut plan = plan(words.seed()?, words.planted()?);
    for word in words.value("--without").unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
        let fault = Fault::named(word).ok_or_else(|| format!("{word} is no fault"))?;
        plan.mix = plan.mix.with(fault, 0);
    }
    let size = |number: u64| usize::try_from(number).unwrap_or(1);
    plan.rough = words.number("--rough", plan.rough / 1_000_000_000)? * 1_000_000_000;
    plan.nodes = size(words.number("--nodes", plan.nodes as u64)?).clamp(1, 16);
    plan.watches = size(words.number("--watches", plan.watches as u64)?).clamp(1, 16);
    Ok(plan)
}

fn told(verdict: &Verdict) -> ExitCode {
    verdict.breaches.iter().for_each(|breach| println!("BROKEN {breach}"));
    println!("{} steps, trace {:016x}", verdict.steps, verdict.trace);
    if verdict.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replaying(words: &Asked) -> Result<ExitCode, String> {
    let plan = replayed(words)?;
    let kept = if words.has("--trace") { Words::Kept } else { Words::Left };
    let verdict = run(&plan, kept);
    verdict.words.iter().for_each(|line| println!("{line}"));
    println!("{}", plan.line());
    Ok(told(&verdict))
}

fn shrinking(words: &Asked) -> Result<ExitCode, String> {
    let plan = replayed(words)?;
    let verdict = run(&plan, Words::Left);
    if let Some(breach) = verdict.breaches.first() {
        println!("{breach}");
        smaller(&plan, breach.promise);
    }
    Ok(told(&verdict))
}

fn planting(words: &Asked) -> Result<ExitCode, String> {
    let mut sound = true;
    for planted in Planted::ALL {
        let (found, took) = explored(words, 1_000, Some(*planted))?;
        let line = match &found.broken {
            Some((seed, breach)) => {
                let named = planted.breaks().contains(&breach.promise);
                sound &= named;
                format!(
                    "{} in world {}, seed {seed}: {breach}",
                    if named { "found" } else { "FOUND BY ANOTHER NAME" },
                    found.worlds
                )
            }
            None => {
                sound = false;
                format!("NOT FOUND in {} worlds, where it struck {:?}", found.worlds, found.reached.get("planted"))
            }
        };
        println!("{:<30} {line} ({took:.1} s)", planted.word());
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn covering(words: &Asked) -> Result<ExitCode, String> {
    let (found, _) = explored(words, 300, words.planted()?)?;
    println!("fault points over {} worlds: times, worlds", found.worlds);
    for fault in Fault::ALL {
        let (times, worlds) = found.struck.get(fault).copied().unwrap_or_default();
        println!("  {:<20} {times:>10} {worlds:>8}{}", fault.word(), if times == 0 { "  HOLE" } else { "" });
    }
    println!("states and transitions: times, worlds");
    for (what, (times, worlds)) in &found.reached {
        println!("  {what:<28} {times:>10} {worlds:>8}");
    }
    Ok(if found.holes().is_empty() && found.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn speeding(words: &Asked) -> Result<ExitCode, String> {
    let hours = words.number("--hours", 100)?;
    let plan = Plan::long(words.number("--seed", 1)?, hours);
    let begun = Instant::now();
    let verdict = run(&plan, Words::Left);
    let took = begun.elapsed().as_secs_f64();
    let hours = std::time::Duration::from_nanos(verdict.lasted).as_secs_f64() / 3_600.0;
    println!("{}", plan.line());
    println!(
        "{hours:.1} hours in {took:.2} s: {:.0} hours a minute of one core, {:.1} us a step",
        hours / took * 60.0,
        took * 1e6 / verdict.steps as f64
    );
    for (what, times) in &verdict.reached {
        println!("  {what:<28} {times:>10}");
    }
    Ok(told(&verdict))
}

fn as_json(found: &Findings, took: f64) -> String {
    let struck: Vec<String> =
        found.struck.iter().map(|(fault, (times, _))| format!("\"{}\":{times}", fault.word())).collect();
    let broken = found.broken.as_ref().map_or_else(
        || "null".to_owned(),
        |(seed, breach)| format!("{{\"seed\":{seed},\"promise\":\"{}\",\"what\":{:?}}}", breach.promise, breach.what),
    );
    format!(
        "{{\"worlds\":{},\"hours\":{:.3},\"steps\":{},\"seconds\":{took:.1},\"struck\":{{{}}},\"broken\":{broken}}}",
        found.worlds,
        found.hours(),
        found.steps,
        struck.join(",")
    )
}
