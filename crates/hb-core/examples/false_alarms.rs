//! How often a watch alarms on healthy telemetry, and how soon it finds changes.
//!
//! `cargo run --release -p hb-core --example false_alarms [RUNS [SERIES [CYCLES [SAMPLES [SEED [K [distribution]]]]]]]`
#![expect(clippy::disallowed_macros, clippy::print_stdout, reason = "a program for the terminal")]

#[path = "../tests/support/bounds.rs"]
mod bounds;
#[path = "../tests/support/nulls.rs"]
mod nulls;

use hb_core::watch::settings::WatchSettings;
use nulls::{Fault, Kind, Size, detection, quiet};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| args.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let size = Size { runs: number(0, 10), series: number(1, 100), cycles: number(2, 60), samples: number(3, 100) };
    let seed = number(4, 1);
    let mut settings = WatchSettings::named("simulated", 1_000_000_000 * i64::try_from(size.samples).unwrap_or(100));
    settings.learn.cycles = u32::try_from(number(5, u64::from(settings.learn.cycles))).unwrap_or(30);
    settings.drift.range_factor = args.get(7).and_then(|text| text.parse().ok()).unwrap_or(settings.drift.range_factor);
    settings.drift.distribution = args.get(6).is_some_and(|text| text == "distribution");
    println!(
        "{} runs x {} series x {} cycles of {} readings, baselines of {} windows, seed {seed}",
        size.runs, size.series, size.cycles, size.samples, settings.learn.cycles
    );
    println!(
        "\n{:<14} {:>14} {:>8} {:>10} {:>16} {:>9}",
        "healthy", "series-cycles", "alarms", "per 1,000", "% cycles alarmed", "notices"
    );
    for kind in Kind::ALL {
        let sum = quiet(kind, size, seed, &settings);
        let share = sum.cycles_alarmed as f64 * 100.0 / (size.runs * size.cycles).max(1) as f64;
        println!(
            "{:<14} {:>14} {:>8} {:>10.3} {:>16.1} {:>9}",
            kind.name(),
            sum.series_cycles,
            sum.alarms,
            sum.per_1000(),
            share,
            sum.notices
        );
    }
    let all = size.runs * size.series * size.cycles;
    println!("{:<14} {all:>14} {all:>8} {:>10.3} {:>16.1}", "always-fire", 1000.0, 100.0);
    println!("{:<14} {all:>14} {:>8} {:>10.3} {:>16.1}", "never-fire", 0, 0.0, 0.0);

    limits(&settings, size);
    println!("\nshare of changed series found within n cycles (a fifth of the series changes)");
    println!("{:<14} {:<18} {:>6} {:>6} {:>6} {:>6} {:>6}", "series", "change", "1", "2", "3", "4", "10");
    let size = Size { cycles: 10, ..size };
    let faults = [
        ("none", Fault::None),
        ("+0.5 sd", Fault::Step(0.5)),
        ("+1 sd", Fault::Step(1.0)),
        ("variance x 2", Fault::Noise(std::f64::consts::SQRT_2)),
        ("stuck", Fault::Noise(0.0)),
        ("+0.1 sd a cycle", Fault::Ramp(0.1)),
    ];
    for kind in Kind::ALL {
        for (name, fault) in faults {
            let stuck = fault == Fault::Noise(0.0);
            let none = matches!(fault, Fault::Step(_) | Fault::None);
            if (kind == Kind::Constant && !none) || (kind == Kind::Counter && !none && !stuck) {
                continue;
            }
            let found = detection(kind, fault, size, seed, &settings);
            let cell = |at: usize| found.get(at).map_or(0.0, |share| share * 100.0);
            let [one, two, three, four, ten] = [0, 1, 2, 3, 9].map(cell);
            println!("{:<14} {name:<18} {one:>5.0}% {two:>5.0}% {three:>5.0}% {four:>5.0}% {ten:>5.0}%", kind.name());
        }
    }
    println!("{:<14} {:<18} {:>5}% {:>5}% {:>5}% {:>5}% {:>5}%", "always-fire", "any", 100, 100, 100, 100, 100);
    println!("{:<14} {:<18} {:>5}% {:>5}% {:>5}% {:>5}% {:>5}%", "never-fire", "any", 0, 0, 0, 0, 0);
}

/// What no test could do better at the rate of false alarms that is allowed.
fn limits(settings: &WatchSettings, size: Size) {
    println!(
        "\nshare of steps that the best possible test of size {} x {} finds within {} cycles, one series by itself:",
        bounds::CYCLES,
        bounds::ALLOWED,
        bounds::CYCLES
    );
    println!("{:<14} {:<10} {:>16} {:>28}", "series", "step", "knowing it all", "knowing a baseline's means");
    for kind in Kind::ALL {
        for step in [0.5, 1.0] {
            let known = bounds::known(kind, step, size.samples) * 100.0;
            let learned = bounds::learned(kind, step, size.samples, settings.learn.cycles);
            let learned = learned.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0));
            println!("{:<14} +{step:.1} sd    {known:>15.0}% {learned:>28}", kind.name());
        }
    }
}
