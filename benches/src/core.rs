//! Measurements that need no daemon: examples of hb-core and hb-daemon, run and quoted.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::child::said;
use crate::{Bench, Found};

/// How long a decision over 1,000 series takes.
pub(crate) fn decide(bench: &Bench) -> Result<Found, String> {
    quote(bench, "decision_speed", bench.size.pick(&["20"], &[]))
}

/// How often healthy telemetry is called otherwise, and how soon changes are found.
pub(crate) fn false_alarms(bench: &Bench) -> Result<Found, String> {
    quote(bench, "false_alarms", bench.size.pick(&["1", "5", "6", "20"], &[]))
}

/// How many evaluations of policies are logged durably, and how long whoever raised the alert waits for them.
pub(crate) fn evaluate(bench: &Bench) -> Result<Found, String> {
    quote(bench, "evaluation_speed", bench.size.pick(&["2", "20", "2", "5", "1"], &[]))
}

fn quote(bench: &Bench, example: &str, arguments: &[&str]) -> Result<Found, String> {
    let program: PathBuf = bench.hb.with_file_name("examples").join(example);
    if !program.is_file() {
        return Err(format!(
            "{} is missing: cargo build --release -p hb-core -p hb-daemon --examples",
            program.display()
        ));
    }
    let said = said(Command::new(&program).args(arguments))?;
    Ok(Found { figures: json!({ "lines": said.lines().collect::<Vec<_>>() }), told: format!("\n{}", said.trim_end()) })
}
