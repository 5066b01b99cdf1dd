//! `hb verify`: whether everything that is stored is what it should be.

use std::path::PathBuf;

use hb_core::ids::StreamName;
use hb_store::port::Journal;
use hb_store::verify::{Finding, Grade, Places, Served, VerifyReport, verify, verify_served};

use super::out::Paint;
use super::{ConfigArgs, Failure, Out};
use crate::config::Config;
use crate::config::checked::Place;
use crate::exit::Exit;
use crate::stored;
use crate::wire::stores;

/// `hb verify` and `hb journal verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The whole report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Journal and views.
    All,
    /// The journal alone.
    Journal,
}

/// Checks journal, checkpoints, histories, alerts, baselines and database; works while daemons run.
///
/// # Errors
/// The configuration has faults, or there is no journal.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    carry_out(args, Extent::All, out)
}

/// Checks the journal alone.
///
/// # Errors
/// As [`run`].
pub fn run_journal(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    carry_out(args, Extent::Journal, out)
}

fn carry_out(args: &Args, extent: Extent, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let places = places(&config, extent);
    if places.supervisor.is_none() {
        // Says so where there is no journal at all; a node that only supervises has none of watches.
        drop(stored::journal(&config)?);
    }
    let report = match &config.journal {
        Place::Folder => verify(&places)?,
        Place::Server(_) => verify_served(&places, served(&config, extent, &mut *stored::journal(&config)?)?)?,
    };
    let sound = report.sound();
    if args.json {
        out.json(&report)?;
    } else {
        tell(&report, out)?;
    }
    Ok(if sound { Exit::Ok } else { Exit::Corrupt })
}

/// Every stream that the configuration names.
fn served<'a>(config: &Config, extent: Extent, journal: &'a mut dyn Journal) -> Result<Served<'a>, Failure> {
    let streams = config.watches.iter().flat_map(|watch| {
        let name = &watch.settings.name;
        [StreamName::watch(name), StreamName::baseline(name, &watch.settings.baseline_tag)]
    });
    let documents = (extent == Extent::All).then(|| stores::baselines(config)).transpose()?;
    Ok(Served { journal, streams: streams.collect(), documents })
}

fn places(config: &Config, extent: Extent) -> Places {
    let journal = config.journal_dir();
    if extent == Extent::Journal {
        return Places { journal, output_dirs: Vec::new(), documents: None, db: None, supervisor: None };
    }
    let mut output_dirs: Vec<PathBuf> = config.watches.iter().map(|watch| watch.view_dir.clone()).collect();
    output_dirs.sort();
    output_dirs.dedup();
    let db = Some(config.db_path.clone()).filter(|path| path.is_file());
    let supervisor = Some(config.output_dir.join(hb_store::supervisor::FILE)).filter(|path| path.is_file());
    Places { journal, output_dirs, documents: Some(config.output_dir.clone()), db, supervisor }
}

fn tell(report: &VerifyReport, out: &mut Out) -> Result<(), Failure> {
    for finding in report.findings() {
        finding_told(finding, out)?;
    }
    let unnamed: u64 = report.streams.iter().map(|stream| stream.findings.unnamed).sum();
    if unnamed > 0 {
        out.line(format_args!("… and {unnamed} more"))?;
    }
    for stream in &report.streams {
        let (name, count, faults) = (&stream.stream, stream.records, stream.findings.faults);
        let word = word(faults, out);
        let span = match (stream.first, stream.head) {
            (Some(first), Some(head)) => format!(" ({first} to {head})"),
            _ => String::new(),
        };
        out.line(format_args!("stream {name}: {count} sound records{span}: {word}"))?;
    }
    for view in &report.views {
        let word = word(view.findings.faults, out);
        out.line(format_args!("view {} {}: {word}", view.view, view.file.display()))?;
    }
    let faults = report.faults();
    let verdict = if faults == 0 { "sound".to_owned() } else { format!("{faults} faults") };
    let verdict = out.painted(&verdict, if faults == 0 { Paint::Good } else { Paint::Bad });
    out.line(format_args!("{verdict}"))
}

fn word(faults: u64, out: &Out) -> String {
    match faults {
        0 => "sound".into(),
        1 => out.painted("1 fault", Paint::Bad),
        more => out.painted(&format!("{more} faults"), Paint::Bad),
    }
}

fn finding_told(finding: &Finding, out: &mut Out) -> Result<(), Failure> {
    let (word, paint) = match finding.grade {
        Grade::Fault => ("fault", Paint::Bad),
        Grade::Notice => ("notice", Paint::Warn),
    };
    let seq = finding.seq.map(|seq| format!(", record {seq}")).unwrap_or_default();
    let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
    let word = out.painted(word, paint);
    out.line(format_args!("{word}: {}{line}{seq}: {}", finding.file.display(), finding.what))?;
    if finding.advice.is_empty() { Ok(()) } else { out.line(format_args!("    {}", finding.advice)) }
}
