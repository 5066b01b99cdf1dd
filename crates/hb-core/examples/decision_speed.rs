//! How long one decision takes.
//!
//! `cargo run --release -p hb-core --example decision_speed [SERIES [CYCLES]]`
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for the terminal that measures time"
)]

#[path = "../tests/support/nulls.rs"]
mod nulls;

use std::time::Instant;

use hb_core::watch::settings::WatchSettings;
use nulls::{Bench, Fault, Kind};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| args.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (series, cycles) = (number(0, 1000), number(1, 200));
    println!("one decision over {series} series, {cycles} cycles each; 100 readings a window, baseline of 30 windows");
    println!("{:<44} {:>10} {:>10} {:>10} {:>10}", "case", "min us", "p50 us", "p95 us", "max us");
    let mut plain = WatchSettings::named("speed", 100 * 1_000_000_000);
    row("healthy", &plain, series, cycles, Fault::None);
    row("a tenth of the series drifts", &plain, series, cycles, Fault::Step(1.0));
    plain.learn.cycles = 50;
    row("healthy, trend (baseline of 50 windows)", &plain, series, cycles, Fault::None);
    plain.learn.cycles = 30;
    plain.drift.distribution = true;
    row("healthy, distributions (KS 100 v 1024)", &plain, series, cycles, Fault::None);
}

fn row(name: &str, settings: &WatchSettings, series: u64, cycles: u64, fault: Fault) {
    let mut bench = Bench::new(Kind::Iid, series, 100, 1, settings.clone());
    bench.learn();
    let faulty = usize::try_from(series / 10).unwrap_or(0);
    let mut times: Vec<u128> = Vec::new();
    for since in 0..cycles {
        let table = bench.table(fault, faulty, since);
        let start = Instant::now();
        let decision = bench.decide(table);
        times.push(start.elapsed().as_micros());
        drop(decision);
    }
    times.sort_unstable();
    let at =
        |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied().unwrap_or(0);
    println!("{name:<44} {:>10} {:>10} {:>10} {:>10}", at(0), at(50), at(95), at(100));
}
