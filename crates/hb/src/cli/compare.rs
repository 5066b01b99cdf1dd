//! `hb compare A B`.

use std::path::PathBuf;

use hb_core::watch::decision::Status;
use hb_core::watch::registry::{Names, Registry};
use hb_core::watch::settings::WatchSettings;
use hb_sources::format::{Format, NoTime};

use super::baseline::figure;
use super::out::{Cell, Paint};
use super::{Failure, Out};
use crate::compare::{self, Comparison, Recording};
use crate::config::fault::Findings;
use crate::config::keys::FORMATS;
use crate::config::watch::form;
use crate::config::{Environment, Files, registry};
use crate::exit::Exit;

/// `hb compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is known to be good: a recording in any form, or a folder with metrics.csv.
    a: PathBuf,
    /// What is to be judged.
    b: PathBuf,
    /// Form of both recordings.
    #[arg(long, default_value = "auto", value_parser = clap::builder::PossibleValuesParser::new(FORMATS), value_name = "FORM")]
    format: String,
    /// Metric registry with aliases, units and limits.
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Only the N series that differ most, in the table.
    #[arg(long, default_value_t = 20, value_name = "N")]
    top: usize,
    /// Write a page to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The comparison as one JSON object.
    #[arg(long)]
    json: bool,
    /// Exit with 10 for drift, 11 for failure, 12 for no data, 13 for nothing to compare with.
    #[arg(long)]
    gate: bool,
}

/// Compares.
///
/// # Errors
/// A recording or the registry cannot be read.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let registry = known(args)?;
    let mut settings = WatchSettings::named("compare", 1);
    settings.registry = registry;
    let names = Names::new(&settings);
    let format = Format { choice: form(&args.format), no_time: NoTime::Arrival, ..Format::default() };
    let (a, b) = std::thread::scope(|scope| {
        let a = scope.spawn(|| compare::read(&args.a, format, &names));
        let b = compare::read(&args.b, format, &names);
        (a.join(), b)
    });
    let a = a.map_err(|_| Failure::new(Exit::Error, format!("reading {} panicked", args.a.display())))??;
    let comparison = compare::compare(a, b?, &settings.registry, &settings.drift);
    if let Some(path) = &args.html {
        let written = std::fs::write(path, compare::html::page(&comparison));
        written.map_err(|error| Failure::new(Exit::CannotWrite, format!("{}: {error}", path.display())))?;
    }
    if args.json {
        out.json(&comparison)?
    } else {
        tell(&comparison, args, out)?
    }
    Ok(if args.gate { gate(comparison.status) } else { Exit::Ok })
}

fn known(args: &Args) -> Result<Registry, Failure> {
    let Some(path) = &args.registry else { return Ok(Registry::default()) };
    let mut findings = Findings::default();
    let registry = registry::of_file(path, &Environment::of_process(), &mut Files::default(), &mut findings);
    if findings.faults.is_empty() {
        return Ok(registry);
    }
    super::setup::tell(&findings);
    Err(Failure::new(Exit::Registry, ""))
}

/// The number of a status.
#[must_use]
pub fn gate(status: Status) -> Exit {
    match status {
        Status::Pass => Exit::Ok,
        Status::PassWithDrift => Exit::GateDrift,
        Status::Fail => Exit::GateFail,
        Status::NoData => Exit::GateNoData,
        Status::NoBaseline => Exit::GateNoBaseline,
    }
}

fn tell(comparison: &Comparison, args: &Args, out: &mut Out) -> Result<(), Failure> {
    recording("A", &comparison.a, out)?;
    recording("B", &comparison.b, out)?;
    let status = out.status(comparison.status);
    out.line(format_args!("{status}: {}", comparison.headline))?;
    for finding in comparison.findings.iter().take(args.top) {
        out.line(format_args!("  {}", finding.reason))?;
    }
    let mut rows =
        vec![["series", "mean A", "mean B", "delta", "%", "p"].iter().map(|head| Cell::head(head)).collect()];
    let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), figure);
    let mut differing: Vec<_> = comparison.series.iter().collect();
    differing.sort_by(|a, b| a.p.unwrap_or(1.0).total_cmp(&b.p.unwrap_or(1.0)));
    for row in differing.into_iter().take(args.top) {
        rows.push(vec![
            Cell::text(&row.series),
            Cell::figure(text(row.a.map(|a| a.mean))),
            Cell::figure(text(row.b.map(|b| b.mean))),
            Cell::figure(text(row.delta)),
            Cell::figure(row.percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:+.1}"))),
            Cell::figure(text(row.p)),
        ]);
    }
    out.table(&rows)
}

fn recording(name: &str, recording: &Recording, out: &mut Out) -> Result<(), Failure> {
    let dropped: Vec<String> = recording.dropped.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    let dropped = if dropped.is_empty() { String::new() } else { format!("; not counted: {}", dropped.join(", ")) };
    out.line(format_args!(
        "{name} {}: {} samples, {} series{dropped}",
        recording.path, recording.samples, recording.series
    ))?;
    for quote in &recording.quotes {
        let quote = out.painted(quote, Paint::Warn);
        out.line(format_args!("  {quote}"))?;
    }
    Ok(())
}
