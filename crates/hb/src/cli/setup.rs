//! What every command needs first: the configuration. And what a package needs: completions and man pages.

use std::io::Write as _;
use std::path::PathBuf;

use clap::CommandFactory as _;

use super::{Cli, Failure, Out};
use crate::config::fault::{Findings, Heading, render};
use crate::config::{Environment, Given, Loaded, load};
use crate::exit::Exit;

/// Which configuration.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file [default: ./hb.yaml]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What holds where no file is named and there is no ./hb.yaml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The built-in watch of this host.
    BuiltIn,
    /// It is an error.
    None,
}

impl ConfigArgs {
    /// What is said about the configuration, without reading it.
    ///
    /// # Errors
    /// No file is named, there is no ./hb.yaml, and nothing holds instead.
    pub fn given(&self, fallback: Fallback) -> Result<Given, Failure> {
        let here = PathBuf::from("hb.yaml");
        let file = match (&self.config, here.try_exists(), fallback) {
            (Some(file), _, _) => Some(file.clone()),
            (None, Ok(true) | Err(_), _) => Some(here),
            (None, Ok(false), Fallback::BuiltIn) => None,
            (None, Ok(false), Fallback::None) => {
                let what = "no configuration: there is no ./hb.yaml";
                return Err(Failure::new(Exit::Usage, what).help("name one with --config FILE"));
            }
        };
        Ok(Given { file, environment: Environment::of_process(), ..Given::default() })
    }

    /// The configuration, for a command that reads; it says nothing of notices.
    ///
    /// # Errors
    /// All its faults, told on standard error.
    pub fn load(&self) -> Result<Loaded, Failure> {
        // Where nothing is named, what `hb run` keeps is what is asked about.
        load_or_tell(&self.given(Fallback::BuiltIn)?)
    }
}

/// Reads a configuration, and tells its faults.
///
/// # Errors
/// It has faults, which have been told.
pub fn load_or_tell(given: &Given) -> Result<Loaded, Failure> {
    load(given).map_err(|findings| {
        let exit = exit_of(&findings, given);
        tell(&findings);
        Failure::new(exit, "")
    })
}

/// 4 when only registry, schema or policy are at fault, else 3.
pub fn exit_of(findings: &Findings, given: &Given) -> Exit {
    let own = given.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
    let elsewhere = |fault: &crate::config::fault::Fault| {
        *fault.file != *own && fault.place.is_some() && fault.file.as_ref() != crate::config::BUILT_IN_NAME
    };
    if !findings.faults.is_empty() && findings.faults.iter().all(elsewhere) { Exit::Registry } else { Exit::Config }
}

/// Most findings told on standard error; the rest is counted.
const TOLD_MAX: usize = 100;

/// Tells faults and notices on standard error.
pub fn tell(findings: &Findings) {
    let mut text = String::new();
    for fault in findings.faults.iter().take(TOLD_MAX) {
        text.push_str(&render(fault, Heading::Error));
    }
    if let Some(more) = findings.faults.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("… and {more} more\n"));
    }
    if !findings.faults.is_empty() {
        let count = findings.faults.len();
        text.push_str(&format!("hb: {count} fault{} in the configuration\n", if count == 1 { "" } else { "s" }));
    }
    // Where standard error is closed, the exit code is all that is left.
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}

/// Tells notices in the log of a daemon.
pub fn log_notices(loaded: &Loaded) {
    for notice in &loaded.notices {
        let place = notice.place.unwrap_or_default();
        tracing::warn!("{}:{}:{}: {}", notice.file, place.line, place.column, notice.what);
    }
}

/// `hb completions`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// Which shell.
    shell: clap_complete::Shell,
}

/// Prints completions.
///
/// # Errors
/// Standard output cannot be written.
pub fn completions(args: &Completions, out: &mut Out) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hb", &mut script);
    out.bytes(&script)?;
    Ok(Exit::Ok)
}

/// `hb man`.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Folder for the pages; made when missing.
    dir: PathBuf,
}

/// Writes one man page per command.
///
/// # Errors
/// The folder cannot be written.
pub fn man(args: &Man, out: &mut Out) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::CannotWrite, format!("man pages cannot be written to {}: {error}", args.dir.display()))
    };
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(failed)?;
    out.line(format_args!("man pages are in {}", args.dir.display()))?;
    Ok(Exit::Ok)
}
