//! `cargo xtask test`, `check` and `ci`.
//!
//! One profile, one set of features: what the examples and documents build, the tests use again. The tests come last, so that the
//! runner's summary is the last line.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::cli::{cargo, has};
use crate::{docs, root, servers, tidy};

/// Everything that must hold before a change goes in.
///
/// # Errors
/// The first thing that does not hold.
pub(crate) fn all() -> Result<(), String> {
    check()?;
    test(&[])
}

/// All but the tests.
///
/// # Errors
/// The first thing that does not hold.
pub(crate) fn check() -> Result<(), String> {
    if has("fmt") {
        cargo(&["fmt", "--all", "--check"])?;
    } else {
        return Err("rustfmt is missing: rustup component add rustfmt".into());
    }
    tidy::run(&root())?;
    if has("clippy") {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])?;
    } else {
        return Err("clippy is missing: rustup component add clippy".into());
    }
    build()?;
    docs::check(&root())?;
    docs::examples(&root())
}

/// Builds what the tests run, so that the steps between need no build of their own.
fn build() -> Result<(), String> {
    if has("nextest") {
        cargo(&["nextest", "run", "--workspace", "--locked", "--no-run"])
    } else {
        cargo(&["test", "--workspace", "--locked", "--no-run", "--quiet"])
    }
}

/// All tests, by nextest where it is installed, else by cargo's own runner.
///
/// # Errors
/// A test failed, or nothing could be built.
pub(crate) fn test(more: &[&str]) -> Result<(), String> {
    servers::install();
    servers::install_tools(&root());
    if has("nextest") {
        let mut arguments = vec!["nextest", "run", "--workspace", "--locked", "--no-fail-fast"];
        arguments.extend(more);
        return run_nextest(&arguments);
    }
    let mut arguments = vec!["test", "--workspace", "--locked", "--no-fail-fast"];
    arguments.extend(more);
    run_cargo_test(&arguments)
}

/// Nextest, with nothing printed after its summary.
fn run_nextest(arguments: &[&str]) -> Result<(), String> {
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cargo nextest: {error}"))?;
    if status.success() { Ok(()) } else { Err("tests failed: see above".into()) }
}

/// Cargo's own runner gives a total per binary; the sum is the last line.
fn run_cargo_test(arguments: &[&str]) -> Result<(), String> {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo test: {error}"))?;
    let mut sum = Totals::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            println!("{line}");
            sum.add(&line);
        }
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    let Totals { passed, failed, ignored } = sum;
    let run = passed + failed;
    println!("Summary [{seconds:.3}s] {run} tests run: {passed} passed, {failed} failed, {ignored} skipped");
    if status.success() { Ok(()) } else { Err("tests failed: see above".into()) }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Takes a line like `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let words: Vec<&str> = rest.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let [number, what] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match *what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Totals;

    #[test]
    fn totals_of_binaries_are_added_up() {
        let mut sum = Totals::default();
        sum.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s");
        sum.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        sum.add("test a::b ... ok");
        assert_eq!(sum, Totals { passed: 14, failed: 1, ignored: 1 });
    }
}
