//! `hb alerts …`: what is wrong, in the groups in which it is told.

use super::out::Cell;
use super::told::{self, Doc as _, ago, heads, state};
use super::{Failure, Out, choice};
use crate::exit::Exit;
use crate::reach::{Query, ReachArgs, escaped};

/// `hb alerts …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List groups of alerts that are open, the newest first.
    List(List),
    /// Somebody has seen to it: close a group.
    Resolve(Resolve),
}

/// `hb alerts list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    part: choice::Part,
    /// Those that are closed as well.
    #[arg(long)]
    all: bool,
    /// As bad as this, or worse: info, warning, error, critical.
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<String>,
}

/// `hb alerts resolve`.
#[derive(Debug, clap::Args)]
pub struct Resolve {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which groups: `g-7`.
    #[arg(required = true)]
    ids: Vec<String>,
    /// The groups as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults; nobody can be asked; the node refuses.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(args, out),
        Command::Resolve(args) => resolve(args, out),
    }
}

fn list(args: &List, out: &mut Out) -> Result<Exit, Failure> {
    let query = Query::default()
        .with("open", (!args.all).then_some(true))
        .with("severity", args.severity.as_ref())
        .with("supervisor", args.part.supervisor.as_ref());
    let groups = args.part.reach.reading()?.history("/alerts", &query, args.part.limit, &mut |_| true)?;
    if args.part.json {
        told::json_lines(&groups, out)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![heads(&["id", "severity", "what", "alerts", "first", "newest", "state", "summary"])];
    for group in &groups {
        let closed = group.stamp("resolved_at").map(|at| format!("closed {}", ago(Some(at))));
        rows.push(vec![
            Cell::text(group.text("id")),
            state(&group.text("severity")),
            Cell::text(group.text("group_key")),
            Cell::figure(group.count("alert_count")),
            Cell::figure(ago(group.stamp("first_alert_at"))),
            Cell::figure(ago(group.stamp("last_alert_at"))),
            Cell::text(closed.unwrap_or_else(|| "open".to_owned())),
            Cell::text(group.text("correlation_summary")),
        ]);
    }
    out.table(&rows)?;
    Ok(Exit::Ok)
}

fn resolve(args: &Resolve, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    for id in &args.ids {
        let group = live.send("POST", &format!("/alerts/{}/resolve", escaped(id)), None)?;
        if args.json {
            out.json(&group)?;
        } else {
            out.line(format_args!("{id} is closed: {}", group.text("correlation_summary")))?;
        }
    }
    Ok(Exit::Ok)
}
