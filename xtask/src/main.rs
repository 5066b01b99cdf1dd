//! Every chore of the project, in Rust: `cargo xtask test | check | ci | tidy | docs | bench`.
//!
//! `.ci/run` does what `cargo xtask ci` does, so that what passes here passes there.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who started it")]

mod bench;
mod ci;
mod cli;
mod docs;
mod fuzz;
mod mutants;
mod servers;
mod sim;
mod sim_crash;
mod soak;
mod tidy;
mod torture;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask CHORE

  test            all tests of the workspace; as root, installs the servers that they need
  check           fmt, tidy, clippy, generated documents, examples
  ci              both
  tidy            rules that a program can check cheaply, in under two seconds
  sim […]         worlds from seeds with everything that goes wrong: explore, replay, shrink, planted, coverage, speed
  sim crash       cut the store at every step, start it on every disk that is left; --seeds N
  sim model       search small worlds of the protocol whole; --whole for larger ones
  docs            write the generated documents again; --check only compares
  torture […]     real nodes on real stores under drawn faults; --help says more
  soak […]        a day of telemetry in an hour through a real pair; what drifts? --help says more
  fuzz [TARGET …] bytes of all kinds into everything that reads them; --executions N, --minutes M
  mutants         small changes of hb-core: which of them does no test see? --shard K/N
  bench [NAME …]  build release and measure; --small for a smoke test; no name: all
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test", rest @ ..] => ci::test(rest),
        ["check"] => ci::check(),
        ["ci"] => ci::all(),
        ["tidy"] => tidy::run(&root()),
        ["docs"] => docs::write(&root()),
        ["docs", "--check"] => docs::check(&root()),
        ["torture", rest @ ..] => torture::run(rest),
        ["sim", what @ ("crash" | "model"), rest @ ..] => sim_crash::run(what, rest),
        ["sim", rest @ ..] => sim::run(rest),
        ["soak", rest @ ..] => soak::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(&root(), rest),
        ["mutants", rest @ ..] => mutants::run(&root(), rest),
        ["bench", rest @ ..] => bench::run(&root(), rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{}", what.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}
