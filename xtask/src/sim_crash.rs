//! `cargo xtask sim crash` and `cargo xtask sim model`: the store cut at every step, and the protocol searched whole.
//!
//! Both are examples of hb-sim, built with all optimisation: what takes minutes there takes hours without.

use std::process::Command;

/// Runs one of them with what was asked for.
///
/// # Errors
/// A promise does not hold, or it could not be tried.
pub(crate) fn run(example: &str, words: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "--release", "-p", "hb-sim", "--example", example, "--"]).args(words);
    let status = cargo.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("sim {example}: {status}")) }
}
