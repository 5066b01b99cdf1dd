//! `hb replay`: decides recorded cycles again from the source, and compares (W2).

use hb_core::ids::StreamName;
use hb_sources::Rereads;
use serde::Serialize;

use super::checkpoint::chosen;
use super::out::Paint;
use super::{ConfigArgs, Failure, Out};
use crate::config::Config;
use crate::config::checked::WatchConfig;
use crate::exit::Exit;
use crate::redecide::{Redecided, Redecider};
use crate::source::{self, Reading};
use crate::stored;
use crate::wire::stores;

/// `hb replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this watch.
    #[arg(long, value_name = "NAME")]
    watch: Option<String>,
    /// One JSON object per watch, and one per cycle that differs.
    #[arg(long)]
    json: bool,
}

/// What became of a watch.
#[derive(Debug, Default, Serialize)]
struct Tally {
    watch: String,
    /// Decided again, with the same digest.
    same: u64,
    /// Decided again, with another.
    differ: u64,
    /// Not decided again: the state before them has been trimmed, or other settings were in force.
    skipped: u64,
    /// Why cycles were skipped; empty where none was.
    why: String,
}

/// A cycle that came out otherwise.
#[derive(Debug, Serialize)]
struct Difference<'a> {
    watch: &'a str,
    cycle: u64,
    what: String,
}

/// Most differences that are told one by one.
const TOLD_MAX: u64 = 20;

/// Carries it out.
///
/// # Errors
/// The configuration has faults; the journal or the source cannot be read.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let mut differ = 0_u64;
    for watch in chosen(&config, args.watch.as_deref())? {
        let tally = replay(&config, watch, args, out)?;
        differ = differ.saturating_add(tally.differ);
        tell(&tally, args, out)?;
    }
    Ok(if differ == 0 { Exit::Ok } else { Exit::Differs })
}

fn replay(config: &Config, watch: &WatchConfig, args: &Args, out: &mut Out) -> Result<Tally, Failure> {
    let name = watch.settings.name.as_str();
    let source = source::open(watch, Reading::ToEnd)
        .map_err(|error| Failure::new(Exit::Unavailable, format!("watch {name}: {error}")))?;
    if source.rereads() != Rereads::Yes {
        let what = format!("the source of watch {name} cannot be read again");
        return Err(
            Failure::new(Exit::Unavailable, what).help("only recorded files with times in them can be replayed")
        );
    }
    let mut journal = stored::journal(config)?;
    let stream = StreamName::watch(&watch.settings.name);
    let mut redecider = Redecider::new(watch.settings.clone(), source, stores::baselines(config)?);
    let mut tally = Tally { watch: name.to_owned(), ..Tally::default() };
    stored::each(&mut journal, &stream, |sealed| {
        match redecider.take(sealed)? {
            None => {}
            Some(Redecided::Same) => tally.same = tally.same.saturating_add(1),
            Some(Redecided::Skipped(why)) => {
                tally.skipped = tally.skipped.saturating_add(1);
                why.clone_into(&mut tally.why);
            }
            Some(Redecided::Differs { cycle, what }) => {
                tally.differ = tally.differ.saturating_add(1);
                if tally.differ <= TOLD_MAX {
                    difference(&Difference { watch: name, cycle: cycle.0, what }, args, out)?;
                }
            }
        }
        Ok(())
    })?;
    Ok(tally)
}

fn difference(difference: &Difference<'_>, args: &Args, out: &mut Out) -> Result<(), Failure> {
    if args.json {
        return out.json(difference);
    }
    let word = out.painted("differs", Paint::Bad);
    out.line(format_args!("{} cycle {} {word}: {}", difference.watch, difference.cycle, difference.what))
}

fn tell(tally: &Tally, args: &Args, out: &mut Out) -> Result<(), Failure> {
    if args.json {
        return out.json(tally);
    }
    let (name, same) = (&tally.watch, tally.same);
    let verdict = match tally.differ {
        0 => out.painted("the same bytes", Paint::Good),
        differ => out.painted(&format!("{differ} differ"), Paint::Bad),
    };
    out.line(format_args!("watch {name}: {same} cycles decided again: {verdict}"))?;
    if tally.skipped > 0 {
        out.line(format_args!("  {} not decided again: {}", tally.skipped, tally.why))?;
    }
    Ok(())
}
