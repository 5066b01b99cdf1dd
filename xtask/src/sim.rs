//! `cargo xtask sim …`: worlds from seeds, with nodes, stores, leases and sources in them, and everything that goes wrong.
//!
//! Built with all optimisation, and fast: ten thousand worlds a minute.

use std::process::Command;

/// Runs what was asked for: the first word says what, the others are its own.
///
/// # Errors
/// A promise does not hold, or it could not be tried.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "--release", "-p", "hb-sim", "--bin", "hb-sim", "--"]).args(words);
    let status = cargo.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("sim {}: {status}", words.first().unwrap_or(&""))) }
}
