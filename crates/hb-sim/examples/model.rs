//! Searches every state of small worlds of the protocol: `cargo xtask sim model`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the person who started it")]

use std::process::ExitCode;

use hb_sim::model::{End, Extent, Outcome, run};

const USAGE: &str = "\
model [--whole]

  --whole   larger worlds: minutes, and gigabytes of memory
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let extent = match words.as_slice() {
        [] => Extent::Bounded,
        ["--whole"] => Extent::Whole,
        _ => {
            eprint!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    println!("{:52} {:>10} {:>11} {:>6} {:>8}  result", "world", "states", "steps", "depth", "s");
    let results = run(extent, &mut tell);
    if results.iter().all(Outcome::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(result: &Outcome) {
    let searched = &result.searched;
    let end = match &searched.end {
        End::Exhausted => "holds in every state".to_owned(),
        End::ToDepth => "holds in every state to that depth".to_owned(),
        End::ToStates => "there are more states than were asked for".to_owned(),
        End::Violated { what, .. } => format!("violated: {what}"),
    };
    let verdict = match (result.holds(), result.wanted.is_some()) {
        (true, false) => end,
        (true, true) => format!("caught: {}", end.trim_start_matches("violated: ")),
        (false, _) => format!("NOT AS IT HAS TO BE: {end}"),
    };
    let seconds = searched.took.as_secs_f64();
    println!(
        "{:52} {:>10} {:>11} {:>6} {seconds:>8.2}  {verdict}",
        result.name, searched.states, searched.steps, searched.depth
    );
    if let End::Violated { trace, .. } = &searched.end {
        for (number, step) in trace.iter().enumerate() {
            println!("    {:>2}. {step}", number + 1);
        }
    }
}
