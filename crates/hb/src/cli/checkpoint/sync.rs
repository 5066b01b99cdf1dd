//! `hb checkpoint sync --to TARGET | --from TARGET`: a copy of what was decided, where nothing is shared.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hb_store::sync::{Copied, Progress};
use serde::Serialize;

use super::chosen;
use crate::cli::{ConfigArgs, Failure, Out};
use crate::exit::Exit;
use crate::wire::sync::{Direction, Job, Rebase, Synced, Target, failure, sync};

/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// `hb checkpoint sync`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("way").required(true).args(["to", "from"])))]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Copy what this configuration has decided to there: an output_dir, http[s]://HOST:PORT of a node that stands by, postgres://…, s3://…
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// Copy what was decided there into this configuration's output_dir, in which no node may be active.
    #[arg(long, value_name = "TARGET")]
    from: Option<String>,
    /// Only this watch.
    #[arg(long, value_name = "NAME")]
    watch: Option<String>,
    /// Where both have gone different ways: set aside what is copied to, everything kept, and take the other's.
    #[arg(long)]
    rebase: bool,
    /// File with an ADMIN token of the node that is copied to or from.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// One JSON object for each stream.
    #[arg(long)]
    json: bool,
}

/// One stream as `--json` gives it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    source: &'a str,
    target: &'a str,
    #[serde(flatten)]
    copied: &'a Copied,
}

/// Copies.
///
/// # Errors
/// Why it was not done, or not wholly.
pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let (typed, direction) = match (&args.to, &args.from) {
        (Some(to), _) => (to, Direction::To),
        (None, Some(from)) => (from, Direction::From),
        (None, None) => return Err(Failure::new(Exit::Usage, "where to, or from? --to TARGET or --from TARGET")),
    };
    let usage = |what: String| {
        let flag = if direction == Direction::To { "--to" } else { "--from" };
        Failure::new(Exit::Usage, format!("{flag}: {what}"))
    };
    let target = Target::parse(typed).map_err(usage)?;
    let target = match &args.token_file {
        Some(path) => target.with_token_file(path).map_err(usage)?,
        None => target,
    };
    let watches = chosen(&config, args.watch.as_deref())?;
    let rebase = if args.rebase { Rebase::Yes } else { Rebase::No };
    let job = Job { config: &config, target: &target, direction, watches: &watches, rebase };
    let mut shown = Shown::new();
    let synced = sync(&job, &mut |progress| shown.show(progress));
    shown.clear();
    let synced = synced.map_err(failure)?;
    for copied in &synced.streams {
        if args.json {
            out.json(&Line { source: &synced.source, target: &synced.target, copied })?;
        } else {
            tell(copied, out)?;
        }
    }
    for fault in &synced.faults {
        eprint(&format!("hb: {fault}; a start of hb there tries again"));
    }
    if args.json { Ok(Exit::Ok) } else { finish(&synced, out) }
}

fn tell(copied: &Copied, out: &mut Out) -> Result<(), Failure> {
    let stream = &copied.stream;
    let Some(head) = &copied.head else {
        return out.line(format_args!("{stream}: nothing there yet"));
    };
    let by = format!("record {} of node {} in epoch {}", head.seq, head.node, head.epoch);
    if copied.records == 0 {
        out.line(format_args!("{stream}: up to date, {by}"))?;
    } else {
        let size = bytes(copied.bytes);
        out.line(format_args!("{stream}: {} records ({size}) copied, up to {by}", copied.records))?;
    }
    if let Some(floor) = copied.began_at {
        out.line(format_args!("  begins with record {floor}: what came before has been trimmed at the source"))?;
    }
    if copied.trimmed > 0 {
        out.line(format_args!("  {} records let go that the source has let go", copied.trimmed))?;
    }
    if copied.documents > 0 {
        out.line(format_args!("  {} baseline documents", copied.documents))?;
    }
    for hash in &copied.documents_missing {
        out.line(format_args!("  the baseline document {hash} is missing at the source"))?;
    }
    Ok(())
}

fn finish(synced: &Synced, out: &mut Out) -> Result<Exit, Failure> {
    for aside in &synced.aside {
        out.line(format_args!("set aside {aside}"))?;
    }
    let records = synced.streams.iter().map(|copied| copied.records).fold(0_u64, u64::saturating_add);
    let seconds = synced.took.as_secs_f64();
    let Synced { source, target, .. } = synced;
    out.line(format_args!("{source} -> {target}: {records} records in {seconds:.1} s"))?;
    Ok(Exit::Ok)
}

/// Bytes for people.
fn bytes(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000_u64), ("MB", 1_000_000), ("kB", 1_000)];
    match units.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{} {unit}", bytes.div_euclid(*size)),
        None => format!("{bytes} bytes"),
    }
}

/// A line on the terminal that says how far it is.
struct Shown {
    terminal: bool,
    at: Option<Instant>,
}

impl Shown {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), at: None }
    }

    fn show(&mut self, progress: &Progress<'_>) {
        if !self.terminal || self.at.is_some_and(|at| at.elapsed() < SHOWN_EVERY) {
            return;
        }
        self.at = Some(Instant::now());
        let at = progress.at.map_or_else(|| "-".to_owned(), |seq| seq.to_string());
        let to = progress.to.map_or_else(|| "-".to_owned(), |seq| seq.to_string());
        let text = format!("\r\u{1b}[K{}: record {at} of {to}, {}", progress.stream, bytes(progress.bytes));
        // Nothing depends on it.
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
    }

    fn clear(&self) {
        if self.at.is_some() {
            drop(std::io::stderr().lock().write_all(b"\r\x1b[K"));
        }
    }
}

fn eprint(text: &str) {
    // Standard error is the last resort.
    drop(std::io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_units_of_their_own() {
        assert_eq!(
            [0, 999, 1_000, 1_999_999, 2_000_000_000].map(bytes),
            ["0 bytes", "999 bytes", "1 kB", "1 MB", "2 GB"]
        );
    }
}
