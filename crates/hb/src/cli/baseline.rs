//! `hb baseline …`: versions of what normal is. Works while daemons run; a running node adopts a promotion at its next cycle.

pub mod learn;
mod tell;

pub use tell::figure;

use hb_core::ids::NodeName;
use hb_store::baselines::Baselines;
use hb_store::port::Journal;
use serde::Serialize;

use super::{ConfigArgs, Failure, Out};
use crate::config::Config;
use crate::config::checked::WatchConfig;
use crate::exit::Exit;
use crate::ledger::{Force, Ledger, Version, Wish};
use crate::wire::stores;

/// `hb baseline …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a version from past cycles or from a recorded file.
    Learn(learn::Args),
    /// List the versions of a tag.
    List(List),
    /// Show a version: where it comes from, its gates, its series.
    Show(Show),
    /// Compare two versions, series by series.
    Diff(Diff),
    /// Ask for a version to be put in force.
    Request(Step),
    /// Agree with somebody else's request.
    Approve(Step),
    /// Put a version in force.
    Promote(Promote),
}

/// Which tag of which watch.
#[derive(Debug, Clone, clap::Args)]
pub struct TagArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Which watch; may be left out where there is one.
    #[arg(long, value_name = "NAME")]
    watch: Option<String>,
    /// Which tag [default: the watch's `baseline_tag`]
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

/// `hb baseline list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    tag: TagArgs,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// `hb baseline show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    #[command(flatten)]
    tag: TagArgs,
    /// Which version; that in force where not given.
    version: Option<u32>,
    /// Version and document as one JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb baseline diff`.
#[derive(Debug, clap::Args)]
pub struct Diff {
    #[command(flatten)]
    tag: TagArgs,
    /// The one.
    from: u32,
    /// The other.
    to: u32,
    /// Only the N series that differ most.
    #[arg(long, default_value_t = 20, value_name = "N")]
    top: usize,
    /// Every series as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Who, and why.
#[derive(Debug, Clone, clap::Args)]
pub struct Who {
    /// Who does it [default: HB_OPERATOR_ID, else the user's name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `hb baseline request` and `approve`.
#[derive(Debug, clap::Args)]
pub struct Step {
    #[command(flatten)]
    tag: TagArgs,
    #[command(flatten)]
    who: Who,
    /// Which version.
    version: u32,
}

/// `hb baseline promote`.
#[derive(Debug, clap::Args)]
pub struct Promote {
    #[command(flatten)]
    tag: TagArgs,
    #[command(flatten)]
    who: Who,
    /// Which version.
    version: u32,
    /// Over closed gates and missing approval; needs a --reason, and the record says what was overridden.
    #[arg(long, requires = "reason")]
    force: bool,
}

/// A tag opened for work.
struct Tag {
    config: Config,
    watch: WatchConfig,
    journal: Box<dyn Journal>,
    ledger: Ledger,
    documents: Baselines,
}

impl TagArgs {
    fn open(&self) -> Result<Tag, Failure> {
        let config = self.config.load()?.config;
        let watch = self.watch(&config)?.clone();
        let tag = self.tag.clone().unwrap_or_else(|| watch.settings.baseline_tag.clone());
        if !crate::config::reader::is_name(&tag) {
            return Err(Failure::new(Exit::Usage, format!("`{}` is no name for a tag", tag.escape_debug())));
        }
        // A first version may be made before anything has been decided, so there need not be a journal yet.
        let mut journal = stores::journal(&config)?;
        let ledger = Ledger::read(&mut journal, &watch.settings.name, &tag)?;
        let documents = stores::baselines(&config)?;
        Ok(Tag { config, watch, journal, ledger, documents })
    }

    fn watch<'a>(&self, config: &'a Config) -> Result<&'a WatchConfig, Failure> {
        let watches = super::checkpoint::chosen(config, self.watch.as_deref())?;
        match watches.as_slice() {
            [watch] => Ok(watch),
            _ => {
                let names: Vec<&str> = watches.iter().map(|watch| watch.settings.name.as_str()).collect();
                Err(Failure::new(Exit::Usage, format!("which watch? there are {}", names.join(", ")))
                    .help("--watch NAME"))
            }
        }
    }
}

impl Tag {
    fn node(&self) -> NodeName {
        self.config.node.clone()
    }

    fn document(&self, version: &Version) -> Result<hb_core::watch::baseline::Baseline, Failure> {
        self.documents.read(version.baseline.hash).map_err(|error| Failure::new(Exit::Corrupt, error.to_string()))
    }
}

impl Who {
    /// The name that goes into the record.
    pub(super) fn name(&self) -> String {
        let asked = self.by.clone().or_else(|| std::env::var("HB_OPERATOR_ID").ok());
        let user = || nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
        let name = asked.filter(|name| !name.trim().is_empty()).or_else(user);
        name.unwrap_or_else(|| format!("uid {}", nix::unistd::getuid()))
    }

    pub(super) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("none given")
    }
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults; the version is not there; a gate is closed; the journal cannot be read or written.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::Learn(args) => learn::run(args, out),
        Command::List(args) => list(args, out),
        Command::Show(args) => show(args, out),
        Command::Diff(args) => diff(args, out),
        Command::Request(args) => request(args, out),
        Command::Approve(args) => approve(args, out),
        Command::Promote(args) => promote(args, out),
    }
}

/// A version as `list --json` gives it.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    version: &'a Version,
    in_force: bool,
}

fn list(args: &List, out: &mut Out) -> Result<Exit, Failure> {
    let tag = args.tag.open()?;
    let in_force = tag.ledger.in_force().map(|baseline| baseline.version);
    if args.json {
        for version in tag.ledger.versions() {
            out.json(&Listed { version, in_force: in_force == Some(version.baseline.version) })?;
        }
        return Ok(Exit::Ok);
    }
    tell::list(&tag.ledger, out)?;
    Ok(Exit::Ok)
}

fn show(args: &Show, out: &mut Out) -> Result<Exit, Failure> {
    let tag = args.tag.open()?;
    let in_force = tag.ledger.in_force().map(|baseline| baseline.version);
    let Some(number) = args.version.or(in_force) else {
        return Err(
            Failure::new(Exit::Unavailable, "no version is in force").help("`hb baseline list` shows what there is")
        );
    };
    let version = tag.ledger.version(number)?;
    let document = tag.document(version)?;
    if args.json {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            listed: Listed<'a>,
            document: &'a hb_core::watch::baseline::Baseline,
        }
        out.json(&Whole { listed: Listed { version, in_force: in_force == Some(number) }, document: &document })?;
    } else {
        tell::version(version, &document, out)?;
    }
    Ok(Exit::Ok)
}

fn diff(args: &Diff, out: &mut Out) -> Result<Exit, Failure> {
    let tag = args.tag.open()?;
    let from = tag.document(tag.ledger.version(args.from)?)?;
    let to = tag.document(tag.ledger.version(args.to)?)?;
    let rows = tell::differences(&from, &to);
    if args.json {
        rows.iter().try_for_each(|row| out.json(row))?;
    } else {
        tell::diff(&rows, args.top, out)?;
    }
    Ok(Exit::Ok)
}

fn request(args: &Step, out: &mut Out) -> Result<Exit, Failure> {
    let mut tag = args.tag.open()?;
    let (node, by) = (tag.node(), args.who.name());
    let wish = Wish { by: &by, reason: args.who.reason() };
    tag.ledger.request(&mut tag.journal, &node, args.version, wish)?;
    out.line(format_args!("version {} requested by {by}", args.version))?;
    Ok(Exit::Ok)
}

fn approve(args: &Step, out: &mut Out) -> Result<Exit, Failure> {
    let mut tag = args.tag.open()?;
    let (node, by) = (tag.node(), args.who.name());
    let wish = Wish { by: &by, reason: args.who.reason() };
    tag.ledger.approve(&mut tag.journal, &node, args.version, wish)?;
    out.line(format_args!("version {} approved by {by}", args.version))?;
    Ok(Exit::Ok)
}

fn promote(args: &Promote, out: &mut Out) -> Result<Exit, Failure> {
    let mut tag = args.tag.open()?;
    // What is put in force must be there to be read.
    drop(tag.document(tag.ledger.version(args.version)?)?);
    let (node, by) = (tag.node(), args.who.name());
    let wish = Wish { by: &by, reason: args.who.reason() };
    let force = if args.force { Force::Yes } else { Force::No };
    let asked = (args.version, force, tag.config.approval);
    let forced = tag.ledger.promote(&mut tag.journal, &node, asked, wish)?;
    let over = if forced.is_empty() { String::new() } else { format!(" over {}", forced.join(", ")) };
    out.line(format_args!(
        "version {} promoted by {by}{over}; a running node adopts it at its next cycle",
        args.version
    ))?;
    Ok(Exit::Ok)
}
