//! `hb policy …`: when something is done about agents, and what. Checking, comparing and trying out need no node.

mod file;
mod manage;
mod offline;

use std::path::PathBuf;

use serde_json::Value;

use super::{Failure, Out};
use crate::exit::Exit;
use crate::reach::ReachArgs;

/// `hb policy …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check policies in files, without a node: every fault with file, line and column; exits with 3 when there is one.
    Check(offline::Check),
    /// List every field that a condition can look at.
    Fields(offline::Fields),
    /// List policies: whether they are in force and on duty, and how often they held.
    List(manage::List),
    /// Show all of a policy.
    Show(manage::One),
    /// List the versions of a policy.
    Versions(manage::One),
    /// Show what was learned about a policy.
    Effectiveness(manage::One),
    /// Show what a policy would do, without doing it: about an agent as it is, or as supposed.
    Simulate(offline::Simulate),
    /// Show what is different between two policies: files, NAME, or NAME@VERSION.
    Diff(offline::Diff),
    /// Make the policies of a file known, each as a new version; none is in force before it is activated.
    Create(manage::Create),
    /// Put a version in force.
    Activate(manage::Turn),
    /// Put the version before the one in force, or an older one, in force again.
    Rollback(manage::Turn),
    /// Agree to a dangerous version; nobody agrees to their own.
    Approve(manage::Turn),
    /// Put none in force.
    Deactivate(manage::Off),
    /// Out of force and off duty for good; its versions stay to be read, and another one brings it back.
    Retire(manage::Retire),
    /// Put a policy on duty for a supervisor, or change its priority.
    Assign(manage::Assign),
    /// Take a policy off duty.
    Unassign(manage::Unassign),
    /// Take over a change of its figures that waits for somebody, or drop it.
    Held(manage::Held),
    /// List evaluations of a policy, the newest first.
    Evaluations(manage::Evaluations),
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults; a file has faults; nobody can be asked; the node refuses.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::Check(args) => offline::check(args, out),
        Command::Simulate(args) => offline::simulate(args, out),
        Command::Diff(args) => offline::diff(args, out),
        Command::Fields(args) => offline::fields(args, out),
        Command::List(args) => manage::list(args, out),
        Command::Show(args) => manage::show(args, out),
        Command::Versions(args) => manage::versions(args, out),
        Command::Effectiveness(args) => manage::effectiveness(args, out),
        Command::Create(args) => manage::create(args, out),
        Command::Activate(args) => manage::turn(args, "activate", out),
        Command::Rollback(args) => manage::turn(args, "rollback", out),
        Command::Approve(args) => manage::turn(args, "approve", out),
        Command::Deactivate(args) => manage::deactivate(args, out),
        Command::Retire(args) => manage::retire(args, out),
        Command::Assign(args) => manage::assign(args, out),
        Command::Unassign(args) => manage::unassign(args, out),
        Command::Held(args) => manage::held(args, out),
        Command::Evaluations(args) => manage::evaluations(args, out),
    }
}

/// A policy that somebody names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// In a file, by its name where the file has several.
    File(PathBuf, Option<String>),
    /// One that is known, in a version where it is said.
    Known(String, Option<u32>),
}

/// Takes `FILE`, `FILE:NAME`, `NAME` or `NAME@VERSION`; what is there as a file is one.
fn named(text: &str) -> Named {
    let whole = PathBuf::from(text);
    if whole.is_file() || text == "-" {
        return Named::File(whole, None);
    }
    if let Some((path, name)) = text.rsplit_once(':')
        && PathBuf::from(path).is_file()
    {
        return Named::File(path.into(), Some(name.to_owned()));
    }
    match text.rsplit_once('@').and_then(|(name, version)| Some((name, version.trim_start_matches('v').parse().ok()?)))
    {
        Some((name, version)) => Named::Known(name.to_owned(), Some(version)),
        None => Named::Known(text.to_owned(), None),
    }
}

/// `KEY=VALUE`, the value as JSON where it is some, else as text.
///
/// # Errors
/// There is no `=`.
pub(super) fn pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("it takes KEY=VALUE")?;
    if key.trim().is_empty() {
        return Err("it takes KEY=VALUE".into());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.trim().to_owned(), value))
}

/// The path of a policy in the API.
fn path(name: &str, below: &str) -> String {
    format!("/policies/{}{below}", crate::reach::escaped(name))
}

/// One policy that is known.
#[derive(Debug, clap::Args)]
struct Which {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which policy.
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_named_by_file_and_by_version() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.yaml");
        std::fs::write(&file, "").unwrap();
        let text = file.display().to_string();
        assert_eq!(named(&text), Named::File(file.clone(), None));
        assert_eq!(named(&format!("{text}:b")), Named::File(file, Some("b".into())));
        assert_eq!(named("p@3"), Named::Known("p".into(), Some(3)));
        assert_eq!(named("p@v3"), Named::Known("p".into(), Some(3)));
        assert_eq!(named("p"), Named::Known("p".into(), None));
    }

    #[test]
    fn values_are_json_where_they_can_be() {
        let value = |text: &str| pair(text).unwrap().1;
        assert_eq!(value("a=0.9"), serde_json::json!(0.9));
        assert_eq!(value("a=true"), serde_json::json!(true));
        assert_eq!(value("a=[\"x\"]"), serde_json::json!(["x"]));
        assert_eq!(value("a=FAILED"), serde_json::json!("FAILED"));
        assert!(pair("a").is_err() && pair("=1").is_err());
    }
}
