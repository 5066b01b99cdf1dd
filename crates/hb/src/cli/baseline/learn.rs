//! `hb baseline learn`: from cycles of the journal, or from a recorded file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::{CycleNo, StreamName};
use hb_core::node::fact::CycleDecided;
use hb_core::node::watcher::{Outcome, Past, Watcher};
use hb_core::watch::baseline::{Baseline, Gate, Learner, Material};
use hb_core::watch::decision::Status;
use hb_core::watch::settings::WatchSettings;
use hb_sources::file::Begin;
use hb_sources::format::{Format, FormatChoice, NoTime};
use hb_sources::{Polled, SourceError};
use serde::Serialize;

use super::super::{Failure, Out};
use super::{Tag, TagArgs, Who, tell};
use crate::config::checked::{SourceConfig, WatchConfig};
use crate::exit::Exit;
use crate::source::{self, Reading};
use crate::stored;

/// `hb baseline learn`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    tag: TagArgs,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    from: From,
    /// With --from-file: length of a window in seconds [default: the watch's `interval_sec`]
    #[arg(long, value_name = "SECONDS", requires = "from_file")]
    window_sec: Option<f64>,
    /// The version as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What to learn from.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct From {
    /// Past cycles A to B of the journal, both included.
    #[arg(long, value_name = "A..B", value_parser = range)]
    cycles: Option<(u64, u64)>,
    /// The newest N cycles of the journal.
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// A recorded file, in any form that a source reads.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("write A..B, like 100..160")?;
    let number = |text: &str| text.trim_start_matches('=').parse::<u64>().map_err(|_| format!("`{text}` is no cycle"));
    let (from, to) = (number(from)?, number(to)?);
    if from > to { Err(format!("cycle {from} comes after {to}")) } else { Ok((from, to)) }
}

/// The version made, as `--json` gives it.
#[derive(Serialize)]
struct Made<'a> {
    baseline: &'a hb_core::watch::decision::BaselineRef,
    windows: u32,
    series: u64,
    passed: bool,
    gates: &'a [Gate],
}

/// Makes a version. It is not put in force: `hb baseline promote` does that.
///
/// # Errors
/// There is nothing to learn from, or something cannot be read or written.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let mut tag = args.tag.open()?;
    let (learner, from) = match &args.from.from_file {
        Some(path) => (of_file(&tag.watch, path, args.window_sec)?, format!("file {}", path.display())),
        None => of_cycles(&mut tag, &args.from)?,
    };
    let by = args.who.name();
    let (baseline, gates) = learner.finish(&from, &by, &tag.watch.settings.learn);
    let Some(baseline) = baseline else {
        return Err(Failure::new(
            Exit::Refused,
            format!("nothing can be learned from {from}: it has no cycle with data"),
        ));
    };
    make(&mut tag, &baseline, &gates, args, out)
}

fn make(tag: &mut Tag, baseline: &Baseline, gates: &[Gate], args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let hash = tag.documents.put(baseline).map_err(|error| Failure::new(Exit::CannotWrite, error.to_string()))?;
    let series = u64::try_from(baseline.series.len()).unwrap_or(u64::MAX);
    let node = tag.node();
    let made = tag.ledger.learned(&mut tag.journal, &node, (hash, &baseline.provenance, series, gates))?;
    let passed = gates.iter().all(|gate| gate.passed);
    if args.json {
        out.json(&Made { baseline: &made, windows: baseline.provenance.windows, series, passed, gates })?;
    } else {
        tell::gates(gates, out)?;
        let windows = baseline.provenance.windows;
        out.line(format_args!("version {} of {}: {series} series from {windows} windows", made.version, made.tag))?;
        let next =
            if passed { "put it in force with" } else { "a gate is closed; learn again, or with --force and --reason" };
        out.line(format_args!("{next}: hb baseline promote {}", made.version))?;
    }
    Ok(if passed { Exit::Ok } else { Exit::Refused })
}

fn of_cycles(tag: &mut Tag, from: &From) -> Result<(Learner, String), Failure> {
    let name = &tag.watch.settings.name;
    let stream = StreamName::watch(name);
    let newest = stored::newest(&mut tag.journal, &stream, |sealed| {
        stored::decided(sealed).map(|decided| decided.decision.cycle)
    })?;
    let Some(CycleNo(newest)) = newest else {
        let what = format!("the watch {name} has decided no cycle yet");
        return Err(Failure::new(Exit::Unavailable, what).help("learn from a recorded file with --from-file"));
    };
    let (first, last) = match (from.cycles, from.last) {
        (Some(range), _) => range,
        (None, Some(count)) => (newest.saturating_add(1).saturating_sub(count.max(1)), newest),
        (None, None) => (0, newest),
    };
    let mut learner = Learner::default();
    let mut seen: Option<(u64, u64)> = None;
    stored::each(&mut tag.journal, &stream, |sealed| {
        if let Some(decided) = stored::decided(sealed)
            && (first..=last).contains(&decided.decision.cycle.0)
        {
            let number = decided.decision.cycle.0;
            seen = Some(seen.map_or((number, number), |(first, _)| (first, number)));
            teach(&mut learner, decided);
        }
        Ok(())
    })?;
    if seen.is_none_or(|(seen, _)| from.cycles.is_some() && seen > first) {
        let what = format!("the journal does not have all cycles from {first} to {last} of the watch {name}");
        return Err(Failure::new(Exit::Unavailable, what)
            .help("older cycles have been trimmed: `hb checkpoint list` shows what is there"));
    }
    Ok((learner, format!("cycles {first}..{last} of {name}")))
}

/// Failed cycles are shown to the learner as such: its gates judge them.
fn teach(learner: &mut Learner, decided: &CycleDecided) {
    let decision = &decided.decision;
    if decision.status != Status::NoData {
        let failed = decision.status == Status::Fail;
        learner.push(Material { span: decision.span, series: &decision.series, failed });
    }
}

/// Decides a recorded file without a baseline, window by window.
fn of_file(watch: &WatchConfig, path: &std::path::Path, window_sec: Option<f64>) -> Result<Learner, Failure> {
    let settings = settings(watch, window_sec)?;
    let file = SourceConfig::File { path: path.to_owned(), format: format(&watch.source), begin: Begin::Start };
    let watch = WatchConfig { source: file, ..watch.clone() };
    let unreadable = |error: SourceError| Failure::new(Exit::Usage, error.to_string());
    let mut source = source::open(&watch, Reading::ToEnd).map_err(unreadable)?;
    let now = hb_daemon::clock::now();
    let mut watcher = Watcher::new(Arc::new(settings), Past::default(), now.wall);
    let mut learner = Learner::default();
    loop {
        let (outcomes, ended) = match source.next(Duration::from_secs(1)).map_err(unreadable)? {
            Polled::Batch(batch) => (watcher.batch(&batch, now), false),
            Polled::Idle { .. } => (Vec::new(), false),
            Polled::End { .. } => (watcher.finish(now), true),
        };
        for outcome in &outcomes {
            if let Outcome::Decided(decided) = outcome {
                teach(&mut learner, decided);
            }
        }
        if ended {
            return Ok(learner);
        }
    }
}

fn settings(watch: &WatchConfig, window_sec: Option<f64>) -> Result<WatchSettings, Failure> {
    let mut settings = watch.settings.clone();
    settings.learn.auto = false;
    if let Some(seconds) = window_sec {
        if !(0.001..=2_678_400.0).contains(&seconds) {
            let what = format!("--window-sec {seconds} is out of range: from 0.001 to 2678400");
            return Err(Failure::new(Exit::Usage, what));
        }
        settings.interval_ns = crate::config::reader::nanoseconds(seconds);
    }
    Ok(settings)
}

/// The form of the watch's own telemetry, where it says one.
fn format(source: &SourceConfig) -> Format {
    match source {
        SourceConfig::File { format, .. }
        | SourceConfig::Replay { format, .. }
        | SourceConfig::Command { format, .. } => *format,
        SourceConfig::Mqtt(mqtt) => Format { no_time: NoTime::Usual, ..mqtt.format },
        SourceConfig::Kafka(kafka) => kafka.format,
        SourceConfig::Syslog(_) => Format { choice: FormatChoice::Syslog, ..Format::default() },
        SourceConfig::Host { .. } => Format::default(),
    }
}
