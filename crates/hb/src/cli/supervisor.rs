//! `hb supervisor`: runs a supervisor, and what supervisors are asked and told.

mod repair;

use hb_core::supervise::input::OnStop;
use serde_json::{Map, Value, json};

use super::out::Cell;
use super::setup::{Fallback, load_or_tell, log_notices};
use super::told::{self, Doc as _, Form, ago, heads, state};
use super::{ConfigArgs, Failure, Out, choice};
use crate::exit::Exit;
use crate::reach::{Desk, Query, ReachArgs, escaped};
use crate::wire::{DaemonMode, Halves, run_node};

/// `hb supervisor`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

impl Args {
    /// Whether a node is to be run.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(self.command, None | Some(Command::Run(_)))
    }
}

/// `hb supervisor …`.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Supervise the agents of a configuration, and nothing else; the same as `hb supervisor` alone.
    Run(Run),
    /// List supervisors.
    List(List),
    /// Show all of a supervisor.
    Show(choice::One),
    /// Make a supervisor.
    Create(Create),
    /// Neither monitor nor intervene, until it is resumed; also across restarts of hb.
    Pause(choice::One),
    /// Monitor and intervene again.
    Resume(choice::One),
    /// Over, for ever; its agents are left as they are.
    Stop(choice::One),
    /// Try again after FAILED.
    Restart(choice::One),
    /// Forget a supervisor that has no team and nothing below it.
    Delete(choice::One),
    /// How a supervisor is: its beats, and what its node is doing.
    Health(choice::One),
    /// Show supervisors with those below them, and what they add up to.
    Tree(Tree),
    /// End the active node: its agents go on for the next start, or are stopped in order.
    Shutdown(Shutdown),
    /// Read the configuration and the tokens_file again, as SIGHUP does, and wait for what comes of it.
    Reload(Reload),
    /// Show which records of supervisor.db are damaged, and go on without them; no node may run.
    Repair(repair::Args),
}

/// `hb supervisor run`.
#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    node: super::daemon::NodeArgs,
}

/// `hb supervisor list`.
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    reach: ReachArgs,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// `hb supervisor tree`.
#[derive(Debug, clap::Args)]
struct Tree {
    #[command(flatten)]
    reach: ReachArgs,
    /// From which on; every root where not given.
    id: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// `hb supervisor create`.
#[derive(Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    reach: ReachArgs,
    /// Its name; its id is made of it.
    name: String,
    /// The one above.
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// For people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// A setting, such as heartbeat_interval=10; can be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::policy::pair)]
    settings: Vec<(String, Value)>,
    /// Agents that it looks after, as its first team.
    #[arg(long = "agent", value_name = "ID")]
    agents: Vec<String>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb supervisor reload`.
#[derive(Debug, clap::Args)]
struct Reload {
    #[command(flatten)]
    reach: ReachArgs,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb supervisor shutdown`.
#[derive(Debug, clap::Args)]
struct Shutdown {
    #[command(flatten)]
    reach: ReachArgs,
    /// What becomes of running agents.
    #[arg(long, value_enum)]
    agents: Agents,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// What becomes of running agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Agents {
    /// They go on, and the next start finds them.
    Leave,
    /// They are stopped, in the reverse order of their dependencies.
    Stop,
}

/// Supervises until it is told to stop, or asks and tells supervisors.
///
/// # Errors
/// Why it could not start, or ended otherwise than it was told; nobody can be asked; the node refuses.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    match args.command.as_ref() {
        None => run_here(&args.run, out),
        Some(Command::Run(run)) => run_here(run, out),
        Some(Command::List(args)) => list(args, out),
        Some(Command::Show(args)) => show(args, out),
        Some(Command::Create(args)) => create(args, out),
        Some(Command::Pause(args)) => turn(args, "pause", out),
        Some(Command::Resume(args)) => turn(args, "resume", out),
        Some(Command::Stop(args)) => turn(args, "stop", out),
        Some(Command::Restart(args)) => turn(args, "restart", out),
        Some(Command::Delete(args)) => {
            args.reach.changing()?.send("DELETE", &path(&args.id, ""), None)?;
            out.line(format_args!("supervisor {} is forgotten", args.id))?;
            Ok(Exit::Ok)
        }
        Some(Command::Health(args)) => health(args, out),
        Some(Command::Tree(args)) => tree(args, out),
        Some(Command::Shutdown(args)) => shutdown(args, out),
        Some(Command::Reload(args)) => reload(args, out),
        Some(Command::Repair(args)) => repair::run(args, out),
    }
}

fn run_here(args: &Run, out: &mut Out) -> Result<Exit, Failure> {
    let given = args.node.over(args.config.given(Fallback::BuiltIn)?);
    let loaded = load_or_tell(&given)?;
    log_notices(&loaded);
    out.finish()?;
    run_node(&given, loaded, Halves::Supervisor, DaemonMode::Follow)
}

fn path(id: &str, below: &str) -> String {
    format!("/supervisors/{}{below}", escaped(id))
}

fn all(desk: &Desk) -> Result<Vec<Value>, Failure> {
    Ok(desk.list("/supervisors", &Query::default(), usize::MAX)?.0)
}

fn list(args: &List, out: &mut Out) -> Result<Exit, Failure> {
    let found = all(&args.reach.reading()?)?;
    if args.json {
        told::json_lines(&found, out)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![heads(&["supervisor", "status", "wanted", "above", "teams", "newest beat", "what"])];
    for one in &found {
        let parent = one.text("parent_id");
        rows.push(vec![
            Cell::text(one.text("id")),
            state(&one.text("status")),
            Cell::text(one.text("wanted")),
            Cell::text(if parent.is_empty() { "-".to_owned() } else { parent }),
            Cell::figure(one.items("teams").len()),
            Cell::figure(ago(one.stamp("last_heartbeat"))),
            Cell::text(one.text("failure_reason")),
        ]);
    }
    out.table(&rows)?;
    Ok(Exit::Ok)
}

fn show(args: &choice::One, out: &mut Out) -> Result<Exit, Failure> {
    let one = args.reach.reading()?.get(&path(&args.id, ""))?;
    whole(&one, args.json.into(), out)
}

fn whole(one: &Value, form: Form, out: &mut Out) -> Result<Exit, Failure> {
    if form == Form::Json {
        out.json(one)?;
        return Ok(Exit::Ok);
    }
    let status = one.text("status");
    let painted = out.painted(&status, told::paint(&status));
    out.line(format_args!("supervisor {} is {painted}, wanted {}", one.text("id"), one.text("wanted")))?;
    told::field("name", &one.text("name"), out)?;
    told::field("description", &one.text("description"), out)?;
    told::field("above it", &one.text("parent_id"), out)?;
    told::field("failed because", &one.text("failure_reason"), out)?;
    told::field("newest beat", &ago(one.stamp("last_heartbeat")), out)?;
    told::field("last evaluation", &ago(one.stamp("last_policy_evaluation")), out)?;
    let teams: Vec<String> = one.items("teams").iter().map(told::plain).collect();
    told::field("teams", &teams.join(", "), out)?;
    let on_duty = one.items("policies").iter().filter(|policy| policy.get("disabled_at").is_none());
    let on_duty: Vec<String> =
        on_duty.map(|policy| format!("{} (priority {})", policy.text("policy"), policy.sub("priority"))).collect();
    told::field("policies", &on_duty.join(", "), out)?;
    for (key, value) in one.sub("config").as_object().into_iter().flatten() {
        out.line(format_args!("  {key:<34}{}", told::plain(value)))?;
    }
    told::notes(one, out)?;
    Ok(Exit::Ok)
}

fn create(args: &Create, out: &mut Out) -> Result<Exit, Failure> {
    let config: Map<String, Value> = args.settings.iter().cloned().collect();
    let body = json!({
        "name": args.name, "description": args.description, "parent_id": args.parent, "config": config, "agents": args.agents,
    });
    let one = args.reach.changing()?.send("POST", "/supervisors", Some(&body))?;
    whole(&one, args.json.into(), out)
}

fn turn(args: &choice::One, verb: &str, out: &mut Out) -> Result<Exit, Failure> {
    let one = args.reach.changing()?.send("POST", &path(&args.id, &format!("/{verb}")), None)?;
    if args.json {
        out.json(&one)?;
    } else {
        let status = one.text("status");
        let painted = out.painted(&status, told::paint(&status));
        out.line(format_args!("supervisor {} is {painted}, wanted {}", args.id, one.text("wanted")))?;
    }
    Ok(Exit::Ok)
}

fn health(args: &choice::One, out: &mut Out) -> Result<Exit, Failure> {
    let desk = args.reach.reading()?;
    let mut one = desk.get(&path(&args.id, "/health"))?;
    if matches!(desk, Desk::Stored(_)) {
        // Nobody is there, not even one that stands by.
        if let Some(fields) = one.as_object_mut() {
            fields.insert("presence".to_owned(), json!({"state": "down"}));
        }
    }
    if args.json {
        out.json(&one)?;
        return Ok(Exit::Ok);
    }
    let (health, presence) = (one.text("health"), one.sub("presence").text("state"));
    let node = out.painted(&presence, told::paint(&presence));
    let found = match (one.sub("presence").get("found"), one.sub("presence").get("of")) {
        (Some(found), Some(of)) => format!(" ({found} of {of} agents found)"),
        _ => String::new(),
    };
    let health = out.painted(&health, told::paint(&health));
    out.line(format_args!("supervisor {} is {} and {health}; its node is {node}{found}", args.id, one.text("status")))?;
    for reason in one.sub("presence").items("reasons") {
        out.line(format_args!("  because {}", told::plain(reason)))?;
    }
    told::field("newest beat", &ago(one.stamp("last_heartbeat")), out)?;
    told::field("missed beats", &one.text("missed_heartbeats"), out)?;
    told::field("failed because", &one.text("failure_reason"), out)?;
    Ok(Exit::Ok)
}

fn tree(args: &Tree, out: &mut Out) -> Result<Exit, Failure> {
    let desk = args.reach.reading()?;
    let roots: Vec<String> = match &args.id {
        Some(id) => vec![id.clone()],
        None => all(&desk)?.iter().filter(|one| one.text("parent_id").is_empty()).map(|one| one.text("id")).collect(),
    };
    for id in roots {
        let branch = desk.get(&path(&id, "/hierarchy"))?;
        if args.json {
            out.json(&branch)?;
        } else {
            self::branch(&branch, 0, out)?;
        }
    }
    Ok(Exit::Ok)
}

/// Levels that are shown; the tree itself has at most ten.
const DEPTH_MAX: usize = 16;

fn branch(one: &Value, depth: usize, out: &mut Out) -> Result<(), Failure> {
    let status = one.text("status");
    let painted = out.painted(&status, told::paint(&status));
    let total = one.sub("total");
    let health: Vec<String> = total
        .sub("agents_by_health")
        .as_object()
        .into_iter()
        .flatten()
        .map(|(word, count)| format!("{} {word}", told::plain(count)))
        .collect();
    let mut parts = vec![format!("{} agents", total.count("agents"))];
    if !health.is_empty() {
        parts.push(health.join(", "));
    }
    for (key, word) in [("open_interventions", "interventions open"), ("open_alert_groups", "alert groups open")] {
        if total.count(key) > 0 {
            parts.push(format!("{} {word}", total.count(key)));
        }
    }
    let worst = total.text("worst_severity");
    if !worst.is_empty() {
        parts.push(format!("worst {}", out.painted(&worst, told::paint(&worst))));
    }
    out.line(format_args!("{}{} {painted}: {}", "  ".repeat(depth), one.text("id"), parts.join("; ")))?;
    if depth < DEPTH_MAX {
        for child in one.items("children") {
            branch(child, depth.saturating_add(1), out)?;
        }
    }
    Ok(())
}

fn reload(args: &Reload, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.reach.changing()?.send("POST", "/config/reload", None)?;
    if args.json {
        out.json(&config)?;
    } else {
        out.line(format_args!("{} is in force as it stands now", config.text("file")))?;
    }
    Ok(Exit::Ok)
}

fn shutdown(args: &Shutdown, out: &mut Out) -> Result<Exit, Failure> {
    let agents = match args.agents {
        Agents::Leave => OnStop::Leave,
        Agents::Stop => OnStop::Stop,
    };
    let body = json!({"agents": agents, "reason": args.reason});
    let answer = args.reach.changing()?.send("POST", "/shutdown", Some(&body))?;
    let running = answer.count("running");
    match args.agents {
        Agents::Leave => out.line(format_args!("the node ends; {running} agents go on"))?,
        Agents::Stop => out.line(format_args!("the node ends once its {running} agents are stopped"))?,
    }
    Ok(Exit::Ok)
}
