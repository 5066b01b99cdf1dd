//! `hb journal show`: the records as they stand.

use hb_core::ids::{Seq, StreamName};
use hb_core::node::fact::{BaselineEvent, Body, Sealed};
use hb_store::port::Journal as _;
use serde::Serialize;

use super::checkpoint::chosen;
use super::out::Cell;
use super::{ConfigArgs, Failure, Out};
use crate::config::Config;
use crate::exit::Exit;
use crate::stored;

/// `hb journal …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show records, oldest first.
    Show(Show),
    /// Check every record: bytes, numbers, hashes, epochs.
    Verify(super::verify::Args),
}

/// `hb journal show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    #[command(flatten)]
    config: ConfigArgs,
    /// Which stream: `watch/NAME` or `baseline/WATCH/TAG`; all of the configuration where not given.
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// From this record on.
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// The record of that number alone, in full.
    #[arg(long, value_name = "SEQ", conflicts_with = "from", requires = "stream")]
    seq: Option<u64>,
    /// Whole records, one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    record: &'a hb_core::node::fact::Record,
    hash: hb_core::journal::Hash,
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults, the journal is missing or damaged.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::Show(args) => show(args, out),
        Command::Verify(args) => super::verify::run_journal(args, out),
    }
}

/// The streams of a configuration.
///
/// # Errors
/// None so far; a watch that is not there is told by the caller.
pub fn streams(config: &Config) -> Result<Vec<StreamName>, Failure> {
    let mut streams = Vec::new();
    for watch in chosen(config, None)? {
        streams.push(StreamName::watch(&watch.settings.name));
        streams.push(StreamName::baseline(&watch.settings.name, &watch.settings.baseline_tag));
    }
    Ok(streams)
}

fn show(args: &Show, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let mut journal = stored::journal(&config)?;
    let streams = match &args.stream {
        Some(stream) => vec![StreamName::from(stream.as_str())],
        None => streams(&config)?,
    };
    for stream in streams {
        let from = Seq(args.seq.or(args.from).unwrap_or(0)).max(journal.floor(&stream)?);
        if journal.head(&stream)?.is_none() && args.stream.is_some() {
            return Err(Failure::new(Exit::Unavailable, format!("the journal has no stream {stream}")));
        }
        let mut shown = 0_usize;
        stored::each_from(&mut journal, &stream, from, |sealed| {
            let wanted = args.seq.is_none_or(|seq| sealed.record.seq == Seq(seq));
            if !wanted {
                return Ok(stored::Next::Stop);
            }
            shown = shown.saturating_add(1);
            if args.json || args.seq.is_some() {
                whole(sealed, args, out)?
            } else {
                row(sealed, shown, out)?
            }
            Ok(stored::Next::On)
        })?;
        if let (Some(seq), 0) = (args.seq, shown) {
            return Err(Failure::new(Exit::Unavailable, format!("stream {stream} has no record {seq} (any more)")));
        }
    }
    Ok(Exit::Ok)
}

fn whole(sealed: &Sealed, args: &Show, out: &mut Out) -> Result<(), Failure> {
    let whole = Whole { record: &sealed.record, hash: sealed.hash };
    if args.json {
        return out.json(&whole);
    }
    let text = serde_json::to_string_pretty(&whole)
        .map_err(|error| Failure::new(Exit::Error, format!("the record cannot be put as JSON: {error}")))?;
    out.line(format_args!("{text}"))
}

fn row(sealed: &Sealed, shown: usize, out: &mut Out) -> Result<(), Failure> {
    let record = &sealed.record;
    if shown == 1 {
        out.line(format_args!("{}", record.stream))?;
    }
    let cells = vec![
        Cell::figure(format!("{:>8}", record.seq)),
        Cell::text(record.at),
        Cell::text(format!("epoch {:<3}", record.epoch)),
        Cell::text(&record.node),
        Cell::text(sealed.hash.short()),
        Cell::text(told(&record.body)),
    ];
    out.table(&[cells])
}

/// A record in one sentence.
fn told(body: &Body) -> String {
    match body {
        Body::EpochOpened { lease, reason } => format!("epoch opened by lease {lease}: {reason}"),
        Body::CycleDecided(decided) => {
            format!("cycle {} {}", decided.decision.cycle, decided.decision.headline)
        }
        Body::AlertDelivered(delivered) => match &delivered.given_up {
            None => format!("alert of cycle {} reached {}", delivered.cycle, delivered.sink),
            Some(why) => format!("alert of cycle {} given up for {}: {why}", delivered.cycle, delivered.sink),
        },
        Body::BaselineAdopted(adopted) => {
            format!("baseline {} from cycle {} on: {}", adopted.baseline.version, adopted.from_cycle, adopted.reason)
        }
        Body::BaselineEvent(event) => event_told(event),
        Body::EpochClosed { reason } => format!("epoch closed: {reason}"),
    }
}

/// An event of a baseline tag in one sentence.
#[must_use]
pub fn event_told(event: &BaselineEvent) -> String {
    match event {
        BaselineEvent::Learned { baseline, provenance, series, .. } => {
            format!(
                "version {} learned from {} by {}: {series} series",
                baseline.version, provenance.from, provenance.by
            )
        }
        BaselineEvent::Requested { version, by, reason } => format!("version {version} requested by {by}: {reason}"),
        BaselineEvent::Approved { version, by, reason } => format!("version {version} approved by {by}: {reason}"),
        BaselineEvent::Promoted { baseline, by, reason, forced } => {
            let over = if forced.is_empty() { String::new() } else { format!(" (over {})", forced.join(", ")) };
            format!("version {} promoted by {by}{over}: {reason}", baseline.version)
        }
    }
}
