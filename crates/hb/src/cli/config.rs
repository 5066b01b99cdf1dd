//! `hb config check | reference | exit-codes`.

use std::path::PathBuf;

use serde::Serialize;

use super::setup::{exit_of, tell};
use super::{Failure, Out};
use crate::config::fault::{Fault, Findings, Heading, render};
use crate::config::{Environment, Given, load, reference};
use crate::exit::{self, Exit};

/// `hb config …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check a configuration and every file that it names; exits with 3, or 4 when only those are at fault.
    Check(Check),
    /// List every key: what it takes, its default, what it is for.
    Reference(Form),
    /// List every exit code.
    ExitCodes(Form),
}

/// `hb config check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The file.
    file: PathBuf,
    /// All findings as one JSON object.
    #[arg(long)]
    json: bool,
}

/// How a list is given.
#[derive(Debug, clap::Args)]
pub struct Form {
    /// As one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Checked<'a> {
    file: String,
    sound: bool,
    faults: &'a [Fault],
    notices: &'a [Fault],
}

/// Carries it out.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::Check(args) => check(args, out),
        Command::Reference(Form { json: true }) => {
            reference::rows().iter().try_for_each(|row| out.json(row)).map(|()| Exit::Ok)
        }
        Command::Reference(Form { json: false }) => {
            out.text(format_args!("{}", reference::markdown())).map(|()| Exit::Ok)
        }
        Command::ExitCodes(Form { json: true }) => {
            Exit::ALL.iter().try_for_each(|exit| out.json(&exit.row())).map(|()| Exit::Ok)
        }
        Command::ExitCodes(Form { json: false }) => out.text(format_args!("{}", exit::markdown())).map(|()| Exit::Ok),
    }
}

fn check(args: &Check, out: &mut Out) -> Result<Exit, Failure> {
    let given = Given { file: Some(args.file.clone()), environment: Environment::of_process(), ..Given::default() };
    let (findings, watches) = match load(&given) {
        Ok(loaded) => {
            let watches = loaded.config.watches.len();
            (Findings { faults: Vec::new(), notices: loaded.notices }, watches)
        }
        Err(findings) => (findings, 0),
    };
    let sound = findings.faults.is_empty();
    let file = args.file.display().to_string();
    if args.json {
        out.json(&Checked { file, sound, faults: &findings.faults, notices: &findings.notices })?;
    } else {
        for notice in &findings.notices {
            out.text(format_args!("{}", render(notice, Heading::Notice)))?;
        }
        out.finish()?;
        tell(&findings);
        if sound {
            out.line(format_args!("{file}: sound, {watches} watch{}", if watches == 1 { "" } else { "es" }))?;
        }
    }
    Ok(if sound { Exit::Ok } else { exit_of(&findings, &given) })
}
