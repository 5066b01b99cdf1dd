//! `cargo xtask mutants`: how many small changes of hb-core does no test see? See `fuzz/mutation`.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::has;

const USAGE: &str = "\
cargo xtask mutants [--shard K/N] [--sample N] [--match TEXT] [--jobs N] [--test-seconds S] [--json FILE]

  --shard K/N       every Nth mutant, beginning with number K, from 0
  --sample N        so many of them, drawn at random, always the same; the score is told with its interval
  --match TEXT      only mutants whose name has TEXT in it: a file, a function
  --jobs N          mutants that are tried at the same time (one for each processor)
  --test-seconds S  leaves out tests that take longer by themselves: faster, and the score a lower bound
  --json FILE       what came of it, with every survivor; kept up to date while it runs
";

/// Builds hb-core with all its mutants, and runs for each the tests that reach it.
///
/// # Errors
/// A tool is missing, or the run could not be made. Survivors are no error: they are told.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), String> {
    if words.first().is_some_and(|word| ["help", "--help", "-h"].contains(word)) {
        print!("{USAGE}");
        return Ok(());
    }
    if !has("mutants") {
        return Err("cargo-mutants is missing, which lists the mutants: cargo install cargo-mutants".into());
    }
    let scratch = root.join("target/mutants");
    let build = root.join("target/mutation");
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--manifest-path"])
        .arg(root.join("fuzz/mutation/Cargo.toml"))
        .arg("--")
        .args([root, &scratch])
        .args(words)
        .env("CARGO_TARGET_DIR", build)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("mutants: see above\n\n{USAGE}")) }
}
