//! `hb checkpoint list | show | verify | sync`: the decided cycles of the journal, and the documents made of them.

mod sync;

use std::collections::VecDeque;
use std::path::Path;

use hb_api::CycleLine;
use hb_core::ids::StreamName;
use hb_core::journal::Hash;
use hb_core::node::fact::Sealed;
use hb_store::atomic::Disk;
use hb_store::views::checkpoint::{self, Checkpoint};
use serde::Serialize;

use super::out::Cell;
use super::{ConfigArgs, Failure, Out};
use crate::config::Config;
use crate::config::checked::WatchConfig;
use crate::exit::Exit;
use crate::stored;

/// `hb checkpoint …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List every decided cycle that the journal keeps, oldest first.
    List(List),
    /// Show the newest checkpoint of each watch.
    Show(Show),
    /// Compare checkpoint and history with the journal.
    Verify(Show),
    /// Copy what was decided to where nothing is shared, or from there: docs/ops/copy.md.
    Sync(sync::Args),
}

/// `hb checkpoint list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this watch.
    #[arg(long, value_name = "NAME")]
    watch: Option<String>,
    /// Only the newest N of each watch.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// `hb checkpoint show` and `verify`.
#[derive(Debug, clap::Args)]
pub struct Show {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this watch.
    #[arg(long, value_name = "NAME")]
    watch: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// One cycle as `--json` gives it.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    cycle: CycleLine,
    digest: Hash,
    closed_by: hb_core::cycle::ClosedBy,
    delivered_total: u64,
    pending: u64,
    drivers: usize,
    baseline: Option<u32>,
    alert: Option<String>,
}

fn line(sealed: &Sealed) -> Option<Line> {
    let found = stored::decided(sealed)?;
    Some(Line {
        cycle: CycleLine::of(sealed)?,
        digest: found.digest,
        closed_by: found.closed_by,
        delivered_total: found.decision.counts.delivered_total,
        pending: found.decision.counts.pending,
        drivers: found.decision.drivers.len(),
        baseline: found.decision.baseline.as_ref().map(|baseline| baseline.version),
        alert: found.alert.as_ref().map(|alert| alert.key.clone()),
    })
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults, the journal is missing or damaged.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(args, out),
        Command::Show(args) => show(args, out),
        Command::Verify(args) => verify(args, out),
        Command::Sync(args) => sync::run(args, out),
    }
}

/// The watches asked for.
///
/// # Errors
/// There is none of that name.
pub fn chosen<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a WatchConfig>, Failure> {
    let Some(name) = name else { return Ok(config.watches.iter().collect()) };
    let names = || config.watches.iter().map(|watch| watch.settings.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = config.watch(name).map(|watch| vec![watch]);
    found.ok_or_else(|| Failure::new(Exit::Usage, format!("no watch is called `{name}`: there are {}", names())))
}

fn list(args: &List, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let mut journal = stored::journal(&config)?;
    let mut table = Table::new(args.last);
    for watch in chosen(&config, args.watch.as_deref())? {
        let stream = StreamName::watch(&watch.settings.name);
        let mut kept = VecDeque::new();
        stored::each(&mut journal, &stream, |sealed| {
            let Some(line) = line(sealed) else { return Ok(()) };
            match args.last {
                Some(most) => {
                    kept.push_back(line);
                    if kept.len() > most {
                        kept.pop_front();
                    }
                    Ok(())
                }
                None if args.json => out.json(&line),
                None => table.push(&line, out),
            }
        })?;
        for line in &kept {
            if args.json { out.json(line)? } else { table.push(line, out)? }
        }
    }
    table.finish(out)?;
    Ok(Exit::Ok)
}

/// Rows in pages, so that a long list neither waits nor grows in memory.
struct Table {
    rows: Vec<Vec<Cell>>,
    page: usize,
}

impl Table {
    const HEADS: [&'static str; 10] =
        ["watch", "cycle", "status", "start", "samples", "late", "dropped", "epoch", "node", "what"];

    fn new(last: Option<usize>) -> Self {
        Self { rows: Vec::new(), page: last.unwrap_or(200).clamp(1, 200) }
    }

    fn push(&mut self, line: &Line, out: &mut Out) -> Result<(), Failure> {
        if self.rows.is_empty() {
            self.rows.push(Self::HEADS.iter().map(|head| Cell::head(head)).collect());
        }
        let cycle = &line.cycle;
        self.rows.push(vec![
            Cell::text(&cycle.watch),
            Cell::figure(cycle.cycle),
            Cell::status(cycle.status),
            Cell::text(cycle.start_utc),
            Cell::figure(cycle.samples),
            Cell::figure(cycle.late),
            Cell::figure(cycle.dropped),
            Cell::figure(cycle.epoch),
            Cell::text(&cycle.node),
            Cell::text(stored::without_status(&cycle.headline)),
        ]);
        if self.rows.len() > self.page { self.finish(out) } else { Ok(()) }
    }

    fn finish(&mut self, out: &mut Out) -> Result<(), Failure> {
        out.table(&std::mem::take(&mut self.rows))
    }
}

fn show(args: &Show, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let mut found = 0_usize;
    for watch in chosen(&config, args.watch.as_deref())? {
        let loaded = checkpoint::load(&Disk::new(), &watch.view_dir);
        let Some(checkpoint) = loaded.map_err(|error| Failure::new(Exit::Corrupt, error.to_string()))? else {
            continue;
        };
        found = found.saturating_add(1);
        if args.json {
            out.json(&checkpoint)?;
        } else {
            tell(&checkpoint, out)?;
        }
    }
    if found == 0 {
        let what = format!("there is no checkpoint below {}", config.output_dir.display());
        return Err(Failure::new(Exit::Unavailable, what).help("nothing has been decided yet with this configuration"));
    }
    Ok(Exit::Ok)
}

fn tell(checkpoint: &Checkpoint, out: &mut Out) -> Result<(), Failure> {
    let status = out.status(checkpoint.last_status);
    out.line(format_args!("watch {}: cycle {} {status}", checkpoint.watch, checkpoint.cycle))?;
    out.line(format_args!(
        "  decided  {} by {} in epoch {}",
        checkpoint.last_cycle_utc, checkpoint.node, checkpoint.epoch
    ))?;
    out.line(format_args!("  record   {} {}", checkpoint.seq, checkpoint.hash))?;
    for mark in &checkpoint.marks {
        out.line(format_args!("  source   read on from position {}", mark.position))?;
    }
    match &checkpoint.last_report_dir {
        Some(dir) => out.line(format_args!("  report   {dir}")),
        None => out.line(format_args!("  report   none yet")),
    }
}

/// One document and what is wrong with it.
#[derive(Debug, Serialize)]
struct Verdict {
    watch: String,
    file: String,
    sound: bool,
    what: String,
}

fn verify(args: &Show, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let mut journal = stored::journal(&config)?;
    let mut sound = true;
    for watch in chosen(&config, args.watch.as_deref())? {
        let stream = StreamName::watch(&watch.settings.name);
        let newest = stored::newest(&mut journal, &stream, |sealed| stored::decided(sealed).map(|_| sealed.clone()))?;
        let verdict = judge(watch, newest.as_ref());
        sound &= verdict.sound;
        if args.json {
            out.json(&verdict)?;
        } else {
            let word = if verdict.sound { "sound" } else { "NOT SOUND" };
            out.line(format_args!("{}: {word}: {}", verdict.file, verdict.what))?;
        }
    }
    Ok(if sound { Exit::Ok } else { Exit::Corrupt })
}

/// A checkpoint is sound when it says what some record says; one that is behind is a view not caught up yet.
fn judge(watch: &WatchConfig, newest: Option<&Sealed>) -> Verdict {
    let file = watch.view_dir.join(checkpoint::FILE);
    let loaded = checkpoint::load(&Disk::new(), &watch.view_dir);
    let (sound, what) = match (loaded, newest) {
        (Err(error), _) => (false, error.what),
        (Ok(None), None) => (true, "nothing decided yet".to_owned()),
        (Ok(None), Some(sealed)) => {
            (false, format!("missing, although record {} stands; a start of the daemon rebuilds it", sealed.record.seq))
        }
        (Ok(Some(found)), None) => (false, format!("it shows record {}, which the journal does not have", found.seq)),
        (Ok(Some(found)), Some(sealed)) => against(&found, sealed),
    };
    Verdict { watch: watch.settings.name.to_string(), file: shown(&file), sound, what }
}

fn against(found: &Checkpoint, sealed: &Sealed) -> (bool, String) {
    let newest = sealed.record.seq;
    if found.seq == newest {
        return match found.hash == sealed.hash {
            true => (true, format!("shows the newest cycle, record {newest}")),
            false => (false, format!("record {newest} has another hash than it shows")),
        };
    }
    if found.seq < newest {
        return (
            true,
            format!("shows record {}, {} behind the journal", found.seq, newest.0.saturating_sub(found.seq.0)),
        );
    }
    (false, format!("it shows record {}, the journal ends with {newest}", found.seq))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
