//! `hb doctor`: whether what hb stands on here can be relied on, asked before it is trusted.

use std::path::Path;
use std::time::{Duration, Instant};

use hb_store::probe::{self, Check, Verdict};
use nix::sys::statvfs::statvfs;
use serde::Serialize;

use super::out::Paint;
use super::{ConfigArgs, Failure, Out};
use crate::config::Config;
use crate::config::checked::{LeaseBackend, Place};
use crate::exit::Exit;
use crate::wire::stores;

/// Below this much free space somebody should know, in bytes.
const FREE_MIN: u64 = 1 << 30;

/// `hb doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Everything that was found, as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Found {
    sound: bool,
    places: Vec<Asked>,
}

/// One place and what was found there.
#[derive(Debug, Serialize)]
struct Asked {
    place: String,
    took_ms: u64,
    checks: Vec<Check>,
}

/// Looks at everything that the configuration names. It writes a little, under names of its own; one record and one document stay.
///
/// # Errors
/// The configuration has faults.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let mut places = vec![asked(config.output_dir.display().to_string(), || folder(&config))];
    let journal = match &config.journal {
        Place::Folder => config.journal_dir().display().to_string(),
        Place::Server(server) => server.to_string(),
    };
    places.push(asked(journal, || kept(&config)));
    let lease = match &config.lease.backend {
        LeaseBackend::Server(server) => server.to_string(),
        LeaseBackend::File | LeaseBackend::External => "cards of nodes in output_dir".to_owned(),
    };
    places.push(asked(lease, || probe::register(&|| stores::register(&config).map_err(|failure| failure.what))));
    let sound = places.iter().flat_map(|place| &place.checks).all(|check| check.verdict != Verdict::Bad);
    let found = Found { sound, places };
    if args.json {
        out.json(&found)?
    } else {
        tell(&found, out)?
    }
    Ok(if sound { Exit::Ok } else { Exit::Refused })
}

fn asked(place: String, ask: impl FnOnce() -> Vec<Check>) -> Asked {
    let begun = Instant::now();
    let checks = ask();
    Asked { place, took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), checks }
}

fn kept(config: &Config) -> Vec<Check> {
    let mut checks = probe::journal(&|| stores::journal(config).map_err(|failure| failure.what));
    if let Place::Server(_) = config.journal {
        checks.push(probe::blobs(&|| stores::blobs(config).map_err(|failure| failure.what)));
        checks.extend(stores::examine(config));
    }
    checks
}

/// The folder: that it can be written, its room, and whose file system it is on.
fn folder(config: &Config) -> Vec<Check> {
    let dir = &config.output_dir;
    let mut checks = vec![writable(dir)];
    match statvfs(dir) {
        Ok(found) => {
            let free = found.blocks_available().saturating_mul(found.fragment_size());
            let told = format!("{:.1} GB free, {} files can be made", free as f64 / 1e9, found.files_available());
            checks.push(if free < FREE_MIN {
                Check::doubtful(
                    "folder: room",
                    told,
                    "a full disk stops decisions; `journal_keep_cycles` bounds the journal",
                )
            } else {
                Check::good("folder: room", told)
            });
        }
        Err(error) => checks.push(Check::doubtful("folder: room", error.to_string(), "see who keeps it")),
    }
    checks.push(network(config, dir));
    checks
}

fn writable(dir: &Path) -> Check {
    let what = "folder: written, fsynced, renamed";
    let tried = || -> std::io::Result<Duration> {
        std::fs::create_dir_all(dir)?;
        let begun = Instant::now();
        let (beside, name) = (dir.join(".doctor.tmp"), dir.join(".doctor"));
        let file = std::fs::File::create(&beside)?;
        file.sync_all()?;
        std::fs::rename(&beside, &name)?;
        std::fs::File::open(dir)?.sync_all()?;
        std::fs::remove_file(&name)?;
        Ok(begun.elapsed())
    };
    match tried() {
        Ok(took) => Check::good(what, format!("{:.1} ms", took.as_secs_f64() * 1e3)),
        Err(error) => Check::bad(what, error.to_string(), "give this user the right to write there"),
    }
}

fn network(config: &Config, dir: &Path) -> Check {
    let what = "folder: whose file system";
    let Some(kind) = hb_store::sqlite::network_of(dir) else { return Check::good(what, "this machine's own") };
    let mut advice = "a lock is asked for again and again there instead of waited for; see docs/ops/nfs.md".to_owned();
    if config.supervise.is_some() {
        advice.push_str("; supervisor.db cannot stand there: it needs a folder of this machine");
        return Check::bad(what, kind, advice);
    }
    Check::doubtful(what, kind, advice)
}

fn tell(found: &Found, out: &mut Out) -> Result<(), Failure> {
    for place in &found.places {
        out.line(format_args!("{} ({} ms)", place.place, place.took_ms))?;
        for check in &place.checks {
            let (word, paint) = match check.verdict {
                Verdict::Good => ("good", Paint::Good),
                Verdict::Doubtful => ("doubtful", Paint::Warn),
                Verdict::Bad => ("bad", Paint::Bad),
            };
            let word = out.painted(word, paint);
            out.line(format_args!("  {word}  {}: {}", check.what, check.found))?;
            if !check.advice.is_empty() {
                out.line(format_args!("        {}", check.advice))?;
            }
        }
    }
    let word = if found.sound { "nothing stands in the way" } else { "do not run on this" };
    let paint = if found.sound { Paint::Good } else { Paint::Bad };
    let word = out.painted(word, paint);
    out.line(format_args!("{word}"))
}
