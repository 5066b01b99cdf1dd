//! `cargo xtask soak`: a day of telemetry in an hour, decided by a real pair with agents in its care, while nodes are killed, hand over and files are
//! rotated; and what memory, descriptors, threads, disk and latency do meanwhile, drawn over time and judged.

mod asked;
mod drawing;
mod history;
mod judge;
mod observer;
mod robust;
mod site;
mod tape;
mod verdict;
mod wire;
mod witness;
mod work;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use asked::{Asked, Shown};
use history::History;
use verdict::Verdict;

use crate::cli::cargo;
use crate::root;

pub(crate) const USAGE: &str = "\
cargo xtask soak [--hours H | --minutes M] [--speed N] [--hb FILE] [--folder DIR] [--json]
cargo xtask soak --judge TABLE [--json]

  --hours    how long it takes by the clock (1); at least half a minute. Drift is judged from 40 minutes on
  --speed    how many times as fast event time runs (24: a day in an hour)
  --hb       the program; else it is built, as for a release
  --folder   where everything is kept (target/soak/SECONDS): soak.csv, soak.html, logs, the pair's folder
  --judge    judge and draw a table of a run before again, which is left as it is
  --json     the verdict as a document, on standard output
";

/// Runs it.
///
/// # Errors
/// Something drifts, or it could not be tried.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let asked = Asked::of(words)?;
    let (verdict, drawing) = match &asked.table {
        Some(table) => again(table)?,
        None => anew(&asked)?,
    };
    match asked.shown {
        Shown::Table => print!("{verdict}"),
        Shown::Json => println!("{}", verdict.json()),
    }
    eprintln!("drawn in {}", drawing.display());
    verdict.end()
}

fn anew(asked: &Asked) -> Result<(Verdict, PathBuf), String> {
    let hb = match &asked.hb {
        Some(hb) => hb.clone(),
        None => {
            cargo(&["build", "--release", "--locked", "-p", "hb", "--bin", "hb"])?;
            root().join("target/release/hb")
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let folder = asked.folder.clone().unwrap_or_else(|| root().join(format!("target/soak/{now}")));
    let (history, broken) = work::run(asked, &folder, &hb)?;
    conclude(&history, broken, &folder.join("soak.html"))
}

/// Judges a table again. What was broken then is among its events.
fn again(table: &Path) -> Result<(Verdict, PathBuf), String> {
    let text = std::fs::read_to_string(table).map_err(|error| format!("{}: {error}", table.display()))?;
    let history = History::read(&text).map_err(|why| format!("{}: {why}", table.display()))?;
    let broken =
        history.events.iter().filter_map(|event| event.what.strip_prefix(work::BROKEN)).map(str::to_owned).collect();
    conclude(&history, broken, &table.with_extension("html"))
}

fn conclude(history: &History, broken: Vec<String>, drawing: &Path) -> Result<(Verdict, PathBuf), String> {
    let verdict = Verdict::of(history, broken);
    let page = drawing::page(history, &verdict.findings, &verdict.told());
    std::fs::write(drawing, page).map_err(|error| format!("{}: {error}", drawing.display()))?;
    Ok((verdict, drawing.to_path_buf()))
}
