//! Starts other programs and says what became of them.

use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs cargo with its output shown.
///
/// # Errors
/// It could not be started, or ended badly.
pub(crate) fn cargo(arguments: &[&str]) -> Result<(), String> {
    let shown = format!("cargo {}", arguments.join(" "));
    println!("── {shown}");
    let begun = Instant::now();
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("{shown}: {error}"))?;
    if status.success() {
        println!("── done in {:.0} s", begun.elapsed().as_secs_f64());
        Ok(())
    } else {
        Err(format!("failed: {shown} ({status})"))
    }
}

/// Whether cargo knows a subcommand here.
pub(crate) fn has(subcommand: &str) -> bool {
    let answer = Command::new(env!("CARGO")).args([subcommand, "--version"]).stdin(Stdio::null()).output();
    answer.is_ok_and(|answer| answer.status.success())
}
