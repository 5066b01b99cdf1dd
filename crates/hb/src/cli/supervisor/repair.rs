//! `hb supervisor repair`: the way out when the newest records of `supervisor.db` are damaged and there is no copy.
//!
//! It shows what is damaged and what would be forgotten, and changes nothing without `--yes`. Then the file is kept beside, the damaged
//! records are kept in it, and the next start goes on from the last sound one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hb_store::port::{JournalError, Waited};
use hb_store::supervisor::{Damaged, Extent, SetAside, SupervisorDb};
use hb_store::verify::{Grade, Places, verify};
use serde_json::json;

use super::super::told::{Form, clean};
use super::super::{ConfigArgs, Failure, Out};
use crate::config::Config;
use crate::exit::Exit;
use crate::nodes;
use crate::wire::supervise::{db_path, lease, lease_dir};

/// Most copies that are kept beside (B1); after that the operator has to clear them away.
const KEPT_MAX: u32 = 100;

/// `hb supervisor repair`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Do it; without this nothing is changed.
    #[arg(long)]
    yes: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// What there is to repair.
enum Ailment {
    /// Records, from one on.
    Records(Damaged, SetAside),
    /// The tables say something else than the records, in words.
    Tables(Vec<String>),
}

/// Looks, and with `--yes` repairs.
///
/// # Errors
/// A node is at work, there is no database, or it cannot be repaired: then only a copy helps.
pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let path = db_path(&config.output_dir);
    if !path.is_file() {
        let what = format!("there is no {}", path.display());
        return Err(
            Failure::new(Exit::Unavailable, what).help("nothing has been supervised yet with this configuration")
        );
    }
    let mut held = alone(&config)?;
    let form = Form::from(args.json);
    let done = match ailment(&path)? {
        None => {
            tell_sound(&path, form, out)?;
            Ok(Exit::Ok)
        }
        Some(ailment) if args.yes => repair(&path, &ailment, form, out),
        Some(ailment) => {
            tell(&path, &ailment, None, (form, out))?;
            Ok(Exit::Corrupt)
        }
    };
    held.release().map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    done
}

/// Nobody else may have the file while it is changed: the lease is taken, and no node may be there that waits for it.
fn alone(config: &Config) -> Result<Box<dyn hb_store::port::Lease>, Failure> {
    let roster = nodes::look(config)?;
    let running = nodes::here(&roster).next();
    let busy = |who: String| {
        Failure::new(Exit::Unavailable, who).help("stop every node of this output_dir first, here and elsewhere")
    };
    if let Some(card) = running {
        return Err(busy(format!("node {} runs as pid {}", card.node, card.process.pid)));
    }
    let mut lease = lease(config, &lease_dir(&config.output_dir)?)?;
    match lease.acquire(Duration::ZERO) {
        Ok(Waited::Granted { .. }) => Ok(lease),
        Ok(Waited::Held) => Err(busy("somebody holds the lease of this supervisor".to_owned())),
        Err(error) => Err(Failure::new(Exit::Unavailable, format!("whether a node is active cannot be told: {error}"))),
    }
}

fn open(path: &Path) -> Result<SupervisorDb, Failure> {
    SupervisorDb::open(path).map_err(|error| {
        Failure::new(Exit::Corrupt, error.to_string())
            .help("the file itself is damaged, not only records in it: restore it from a copy")
    })
}

/// What the repair itself meets.
fn beyond(error: &JournalError) -> Failure {
    Failure::new(Exit::Corrupt, format!("it cannot be repaired: {error}"))
        .help("restore the file from a copy (docs/ops/repair.md)")
}

fn ailment(path: &Path) -> Result<Option<Ailment>, Failure> {
    let mut db = open(path)?;
    if let Some(damaged) = db.damaged().map_err(|error| beyond(&error))? {
        let aside = db.set_aside(damaged.from, Extent::Rehearse).map_err(|error| beyond(&error))?;
        return Ok(Some(Ailment::Records(damaged, aside)));
    }
    drop(db);
    let places = Places {
        journal: path.with_file_name("journal"),
        output_dirs: Vec::new(),
        documents: None,
        db: None,
        supervisor: Some(path.to_owned()),
    };
    let report = verify(&places)?;
    let here = report.findings().filter(|finding| finding.grade == Grade::Fault && finding.file == path);
    let faults: Vec<String> = here.map(|finding| finding.what.clone()).collect();
    Ok((!faults.is_empty()).then_some(Ailment::Tables(faults)))
}

fn repair(path: &Path, ailment: &Ailment, form: Form, out: &mut Out) -> Result<Exit, Failure> {
    let kept = keep(path)?;
    let mut db = open(path)?;
    match ailment {
        Ailment::Records(damaged, _) => db.set_aside(damaged.from, Extent::Do).map(drop),
        Ailment::Tables(_) => db.rebuild_tables().map(drop),
    }
    .map_err(|error| beyond(&error))?;
    drop(db);
    tell(path, ailment, Some(&kept), (form, out))?;
    // Old faults that no start needs, such as a record long before the newest snapshot, are not this command's.
    if let Some(Ailment::Records(..)) = self::ailment(path)? {
        let what = format!("{} is still damaged", path.display());
        return Err(Failure::new(Exit::Corrupt, what).help("restore the file from a copy (docs/ops/repair.md)"));
    }
    Ok(Exit::Ok)
}

/// The file as it is, beside itself, with its log.
fn keep(path: &Path) -> Result<PathBuf, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Exit::CannotWrite, format!("the file could not be kept beside: {error}"));
    let beside =
        |number: u32, ending: &str| PathBuf::from(format!("{}.before-repair-{number}{ending}", path.display()));
    let number = (1..=KEPT_MAX).find(|number| beside(*number, "").try_exists().is_ok_and(|there| !there));
    let number = number.ok_or_else(|| {
        Failure::new(Exit::CannotWrite, format!("there are {KEPT_MAX} copies of earlier repairs"))
            .help("clear away those that nobody needs")
    })?;
    for ending in ["", "-wal"] {
        let from = PathBuf::from(format!("{}{ending}", path.display()));
        match fs::copy(&from, beside(number, ending)) {
            Ok(_) => fs::File::open(beside(number, ending)).and_then(|file| file.sync_all()).map_err(failed)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && ending == "-wal" => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(beside(number, ""))
}

fn tell_sound(path: &Path, form: Form, out: &mut Out) -> Result<(), Failure> {
    match form {
        Form::Json => out.json(&json!({"file": path, "damaged": false})),
        Form::Words => out.line(format_args!("{} is sound: there is nothing to repair", path.display())),
    }
}

fn tell(path: &Path, ailment: &Ailment, kept: Option<&Path>, (form, out): (Form, &mut Out)) -> Result<(), Failure> {
    if form == Form::Json {
        let mut document = match ailment {
            Ailment::Records(damaged, aside) => json!({
                "from": damaged.from, "what": damaged.what, "set_aside": aside.records, "newest": aside.newest, "at": aside.at,
                "events_forgotten": aside.events, "forgotten": aside.told,
            }),
            Ailment::Tables(faults) => json!({"tables": faults}),
        };
        if let Some(fields) = document.as_object_mut() {
            fields.extend([
                ("file".into(), json!(path)),
                ("damaged".into(), true.into()),
                ("repaired".into(), kept.is_some().into()),
            ]);
            fields.extend(kept.map(|kept| ("kept".into(), json!(kept))));
        }
        return out.json(&document);
    }
    match ailment {
        Ailment::Records(damaged, aside) => tell_records(damaged, aside, out)?,
        Ailment::Tables(faults) => {
            out.line(format_args!("the records are sound, the tables are not; they are made again from the records:"))?;
            faults.iter().try_for_each(|fault| out.line(format_args!("    {}", clean(fault))))?;
        }
    }
    match kept {
        Some(kept) => {
            out.line(format_args!("done. The file as it was: {}", kept.display()))?;
            out.line(format_args!(
                "start hb, and look with `hb verify` and `hb agent list` whether all is as it should be"
            ))
        }
        None => {
            out.line(format_args!(
                "nothing was changed. A copy of the file, if you have one, loses less: restore that instead."
            ))?;
            out.line(format_args!("to go on from the last sound record: hb supervisor repair --yes"))
        }
    }
}

fn tell_records(damaged: &Damaged, aside: &SetAside, out: &mut Out) -> Result<(), Failure> {
    out.line(format_args!("damaged: {}", clean(&damaged.what)))?;
    out.line(format_args!("record {} and what follows it are set aside: {} records", damaged.from, aside.records))?;
    out.line(format_args!("the next start goes on from record {}, written {}", aside.newest, aside.at))?;
    out.line(format_args!("forgotten, though it happened: {} events", aside.events))?;
    aside.told.iter().try_for_each(|event| out.line(format_args!("    {}", clean(event))))?;
    let more = aside.events.saturating_sub(u64::try_from(aside.told.len()).unwrap_or(u64::MAX));
    if more > 0 {
        out.line(format_args!("    and {more} more"))?;
    }
    if aside.told.iter().any(|event| event.contains(" agent.started: ")) {
        out.line(format_args!(
            "programs that were started in that span run on unknown to hb, which would start them again: end them first (pids above)"
        ))?;
    }
    Ok(())
}
