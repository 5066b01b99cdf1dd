//! Measures what SPECIFICATION.md promises, on the binary as users run it: `cargo xtask bench [NAME …] [--small]`.
//!
//! `--rounds N` asks for another number of rounds of each fault of a takeover, `--part NAME` for some of its parts alone (`kill-1`,
//! `kill-3`, `gone-1`, `gone-3`, `planned`, `idle`, `peers`).
//! Each measurement prints one JSON line for programs and one line for people. With `--small` everything is tried with little data
//! and nothing is asserted about time: that is how the tests see to it that measurements do not rot.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod child;
mod commit;
mod compare;
mod core;
mod failover;
mod ingest;
mod memory;
mod startup;
mod supervise;
mod web;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

/// What every measurement is given.
#[derive(Debug, Clone)]
struct Bench {
    /// The program to be measured.
    hb: PathBuf,
    /// The program that supervisors start.
    child: PathBuf,
    /// How much of it.
    size: Size,
    /// Rounds of each fault, where somebody wants other than the usual number.
    rounds: Option<u32>,
    /// Parts of a measurement to which it is restricted; all of them where none is named.
    parts: Vec<String>,
    /// Where generated workloads are kept between runs.
    data: PathBuf,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// Seconds in all: does it still work?
    Small,
    /// What SPECIFICATION.md quotes.
    Full,
}

impl Size {
    /// One of two figures.
    fn pick<T>(self, small: T, full: T) -> T {
        match self {
            Self::Small => small,
            Self::Full => full,
        }
    }
}

impl Bench {
    /// How many rounds of a fault.
    fn rounds(&self, small: u32, full: u32) -> u32 {
        self.rounds.unwrap_or_else(|| self.size.pick(small, full))
    }

    /// Whether a part of a measurement is wanted.
    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|named| named == part)
    }
}

/// What a measurement found.
#[derive(Debug)]
struct Found {
    /// Figures for programs.
    figures: Value,
    /// The same for people, one line or more.
    told: String,
}

type Measure = fn(&Bench) -> Result<Found, String>;

const ALL: [(&str, Measure); 21] = [
    ("ingest", ingest::measure),
    ("compare", compare::measure),
    ("takeover-file", failover::file),
    ("takeover-postgres", failover::postgres),
    ("takeover-etcd", failover::etcd),
    ("takeover-object", failover::object),
    ("takeover-kubernetes", failover::kubernetes),
    ("takeover-address", failover::address),
    ("takeover-fleet", failover::many::measure),
    ("startup", startup::measure),
    ("series", memory::series),
    ("idle", memory::idle),
    ("commit", commit::measure),
    ("decide", core::decide),
    ("false-alarms", core::false_alarms),
    ("restart", supervise::again::one),
    ("mass", supervise::again::mass),
    ("adopt", supervise::adopt::measure),
    ("crowd", supervise::crowd::measure),
    ("fleet", supervise::fleet::measure),
    ("evaluate", core::evaluate),
];

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("hb-bench: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<(), String> {
    let mut bench = Bench {
        hb: beside("hb")?,
        child: beside("hb-bench-child")?,
        size: Size::Full,
        rounds: None,
        parts: Vec::new(),
        data: beside("bench-data")?,
    };
    let mut names = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--hb" => bench.hb = arguments.next().ok_or("--hb takes the path of a program")?.into(),
            "--small" => bench.size = Size::Small,
            "--rounds" => {
                let rounds = arguments.next().and_then(|rounds| rounds.parse().ok());
                bench.rounds = Some(rounds.ok_or("--rounds takes a number")?);
            }
            "--part" => bench.parts.push(arguments.next().ok_or("--part takes the name of a part of a measurement")?),
            "supervise" => names.extend(["restart", "mass", "adopt", "crowd", "fleet", "evaluate"].map(str::to_owned)),
            "takeover" => names.extend(failover::NAMES.map(str::to_owned)),
            "memory" => names.extend(["series".to_owned(), "idle".to_owned()]),
            _ => names.push(argument),
        }
    }
    if let Some(unknown) = names.iter().find(|name| !ALL.iter().any(|(known, _)| known == name)) {
        let known: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        return Err(format!("{unknown:?} is not measured; there are: {}", known.join(", ")));
    }
    if !bench.hb.is_file() {
        return Err(format!("{} is missing: build it, or name it with --hb", bench.hb.display()));
    }
    std::fs::create_dir_all(&bench.data).map_err(|error| format!("{}: {error}", bench.data.display()))?;
    let mut failed = Vec::new();
    for (name, measure) in ALL.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|asked| asked == name)) {
        match measure(&bench) {
            Ok(Found { figures, told }) => {
                println!(
                    "{}",
                    serde_json::json!({"bench": name, "small": bench.size == Size::Small, "figures": figures})
                );
                println!("{name}: {told}\n");
            }
            Err(what) => {
                eprintln!("{name}: {what}\n");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", "))) }
}

/// Something in the folder of this program.
fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    Ok(own.with_file_name(name))
}
