//! What one look at this machine costs: `host_tick [TICKS]`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints its measurement")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use hb_sources::host::HostSpec;
use hb_sources::{Limits, Polled, SourceSpec, open};

fn main() -> ExitCode {
    let ticks: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100);
    let spec = SourceSpec::Host(HostSpec { step_ns: 20_000_000, ..HostSpec::default() });
    let Ok(mut source) = open(&spec, Limits::default()) else { return ExitCode::FAILURE };
    let mut costs = Vec::new();
    let mut series = 0;
    while costs.len() < ticks {
        // Sleeps outside what is measured: with no patience a call either looks or does nothing.
        std::thread::sleep(Duration::from_millis(1));
        let began = Instant::now();
        match source.next(Duration::ZERO) {
            Ok(Polled::Batch(batch)) => {
                costs.push(began.elapsed());
                series = series.max(batch.samples.len());
            }
            Ok(Polled::Idle { .. } | Polled::End { .. }) => {}
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    costs.sort();
    let at = |share: usize| costs.get((costs.len() - 1) * share / 100).copied().unwrap_or_default();
    println!("{series} series; a tick takes {:?} at the median, {:?} at p95, {:?} at most", at(50), at(95), at(100));
    ExitCode::SUCCESS
}
