//! `hb agent …`: what is supervised, one by one.

mod act;
mod logs;
mod why;

pub(super) use why::path;

use serde_json::Value;

use super::out::Cell;
use super::told::{self, Doc as _, ago, heads, state};
use super::{Failure, Out, choice};
use crate::exit::Exit;
use crate::reach::{Query, ReachArgs, escaped};

/// `hb agent …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List agents: how they are, since when, how often they were restarted.
    List(List),
    /// Show all of an agent.
    Show(choice::One),
    /// Explain in plain words how an agent came to be as it is, from cause to outcome, the newest last.
    Why(why::Args),
    /// It is to run; takes back a give-up.
    Start(act::Turn),
    /// It is not to run.
    Stop(act::Turn),
    /// Stop and start it, as an intervention.
    Restart(act::Plan),
    /// Set it aside until it is released, as an intervention.
    Quarantine(act::Plan),
    /// Take it out of quarantine.
    Release(act::Release),
    /// Make an agent known, or change what it is wanted to be, by a document (YAML or JSON) as under `agents` of hb.yaml.
    Register(act::Register),
    /// Stop and forget an agent; it cannot be taken back.
    Delete(act::Delete),
    /// Show what a process wrote on standard output and standard error.
    Logs(logs::Args),
    /// Hand in a heartbeat of an agent.
    Beat(act::Beat),
}

/// `hb agent list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    reach: ReachArgs,
    /// Only those that stand there: spawning, idle, running, degraded, failed, quarantined, terminated.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only those that look so from outside: healthy, stale, degraded, unresponsive, quarantined, down, unknown.
    #[arg(long, value_name = "HEALTH")]
    health: Option<String>,
    /// Only those that are reached so: process, heartbeat, probe.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only those that do this among the others: worker, monitor, watchdog, guardian.
    #[arg(long = "type", value_name = "TYPE")]
    role: Option<String>,
    /// Only those of this supervisor.
    #[arg(long, value_name = "ID")]
    supervisor: Option<String>,
    /// Only those of this team.
    #[arg(long, value_name = "ID")]
    team: Option<String>,
    /// Only those with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    limit: usize,
    /// One JSON object a line.
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
        Command::Show(args) => show(args, out),
        Command::Why(args) => why::run(args, out),
        Command::Start(args) => act::turn(args, "start", out),
        Command::Stop(args) => act::turn(args, "stop", out),
        Command::Restart(args) => act::plan(args, "restart", out),
        Command::Quarantine(args) => act::plan(args, "quarantine", out),
        Command::Release(args) => act::release(args, out),
        Command::Register(args) => act::register(args, out),
        Command::Delete(args) => act::delete(args, out),
        Command::Logs(args) => logs::run(args, out),
        Command::Beat(args) => act::beat(args, out),
    }
}

fn list(args: &List, out: &mut Out) -> Result<Exit, Failure> {
    let query = Query::default()
        .with("status", args.status.as_ref())
        .with("health", args.health.as_ref())
        .with("kind", args.kind.as_ref())
        .with("type", args.role.as_ref())
        .with("supervisor", args.supervisor.as_ref())
        .with("team", args.team.as_ref())
        .with("tag", args.tag.as_ref());
    let (agents, total) = args.reach.reading()?.list("/agents", &query, args.limit)?;
    if args.json {
        told::json_lines(&agents, out)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![heads(&["agent", "kind", "status", "health", "since", "pid", "restarts", "team", "what"])];
    rows.extend(agents.iter().map(row));
    out.table(&rows)?;
    told::more(agents.len(), total, out)?;
    Ok(Exit::Ok)
}

fn row(agent: &Value) -> Vec<Cell> {
    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    vec![
        Cell::text(agent.text("id")),
        Cell::text(agent.text("kind")),
        state(&agent.text("status")),
        state(&agent.text("health_status")),
        Cell::figure(ago(agent.stamp("since"))),
        Cell::figure(dash(agent.text("pid"))),
        Cell::figure(agent.count("restart_count")),
        Cell::text(dash(agent.text("team_id"))),
        Cell::text(remark(agent)),
    ]
}

/// What matters most about an agent, in a few words.
fn remark(agent: &Value) -> String {
    let mut parts = Vec::new();
    if agent.truth("given_up") {
        parts.push("given up".to_owned());
    }
    if agent.text("wanted") == "down" {
        parts.push("not wanted to run".to_owned());
    }
    if let Some(at) = agent.stamp("next_start_not_before") {
        parts.push(format!("next start {}", ago(Some(at))));
    }
    let missed = agent.count("consecutive_missed_heartbeats");
    if missed > 0 {
        parts.push(format!("{missed} beats missed"));
    }
    let anomalous = agent.count("consecutive_anomalous_readings");
    if anomalous > 0 {
        parts.push(format!(
            "anomalous {anomalous} times, score {:.2}",
            agent.sub("anomaly_score").as_f64().unwrap_or(0.0)
        ));
    }
    let said = agent.text("said");
    if parts.is_empty() && !said.is_empty() {
        parts.push(said);
    }
    parts.join(", ")
}

fn show(args: &choice::One, out: &mut Out) -> Result<Exit, Failure> {
    let agent = args.reach.reading()?.get(&format!("/agents/{}", escaped(&args.id)))?;
    if args.json {
        out.json(&agent)?;
        return Ok(Exit::Ok);
    }
    head(&agent, out)?;
    out.line(format_args!("\nwanted to be (version {}):", agent.count("spec_version")))?;
    let spec = serde_json::to_string_pretty(agent.sub("spec"))
        .map_err(|error| Failure::new(Exit::Error, format!("the specification cannot be shown: {error}")))?;
    out.line(format_args!("{spec}"))?;
    Ok(Exit::Ok)
}

/// An agent as it is now.
fn head(agent: &Value, out: &mut Out) -> Result<(), Failure> {
    let (status, health) = (agent.text("status"), agent.text("health_status"));
    let status = out.painted(&status, told::paint(&status));
    let since = agent.stamp("since");
    let at = since.map(told::moment).unwrap_or_default();
    out.line(format_args!("{} is {status} ({health}) since {at}, {}", agent.text("id"), ago(since)))?;
    let kind = format!("{} ({}), incarnation {}", agent.text("kind"), agent.text("type"), agent.count("incarnation"));
    told::field("kind", &kind, out)?;
    let place = [("supervisor", "supervisor_id"), ("team", "team_id")];
    let place: Vec<String> = place
        .iter()
        .filter_map(|(word, key)| Some(format!("{word} {}", agent.get(key)?.as_str().map(told::clean)?)))
        .collect();
    told::field("belongs to", &place.join(", "), out)?;
    let origin = if agent.text("origin") == "declared" { "hb.yaml" } else { "the API" };
    told::field("wanted", &format!("{}, made known by {origin}", agent.text("wanted")), out)?;
    told::field("process", &process(agent), out)?;
    told::field("last exit", &agent.text("last_exit"), out)?;
    told::field("restarts", &restarts(agent), out)?;
    if let Some(quarantine) = agent.get("quarantine").filter(|quarantine| !quarantine.is_null()) {
        let since = ago(quarantine.stamp("since"));
        told::field(
            "set aside",
            &format!("by {}, {since}: {}", quarantine.text("by"), quarantine.text("reason")),
            out,
        )?;
    }
    told::field("beats", &beats(agent), out)?;
    told::field("anomaly", &anomaly(agent), out)?;
    if let Some(usage) = agent.get("usage").filter(|usage| usage.is_object()) {
        let figure = |key: &str| usage[key].as_f64().unwrap_or(0.0);
        told::field("uses", &format!("{:.1} MB, {:.1} % of a core", figure("memory_mb"), figure("cpu_percent")), out)?;
    }
    told::field("says", &agent.text("said"), out)
}

fn process(agent: &Value) -> String {
    let process = agent.sub("process");
    let pid = |of: &Value| of.sub("identity").count("pid");
    match process.as_object().and_then(|object| object.iter().next()) {
        Some((word, of)) if word == "alive" => {
            let adopted = if of.truth("adopted") { ", found running and adopted" } else { "" };
            format!("pid {}, {}{adopted}", pid(of), ago(of.stamp("since")))
        }
        Some((word, of)) if word == "stopping" => {
            let how = if of.truth("killed") { "was killed" } else { "was asked to end" };
            format!("pid {} {how} {}", pid(of), ago(of.stamp("since")))
        }
        Some((word, _)) if word == "starting" => "being started".to_owned(),
        Some(_) | None => String::new(),
    }
}

fn restarts(agent: &Value) -> String {
    let (restarts, rule) = (agent.sub("restarts"), agent.sub("spec").sub("restart"));
    let (recent, most) = (restarts.items("recent").len(), rule.count("max_restarts"));
    let within = told::span(rule.sub("within_sec").as_f64().unwrap_or(0.0));
    let mut text = format!("{} in all, {recent} of {most} allowed within {within}", agent.count("restart_count"));
    if agent.truth("given_up") {
        text.push_str("; given up: `hb agent start` once it is repaired");
    }
    if let Some(at) = agent.stamp("next_start_not_before") {
        text.push_str(&format!("; next start from {} on", told::moment(at)));
    }
    text
}

fn beats(agent: &Value) -> String {
    let beats = agent.sub("beats");
    let Some(last) = beats.stamp("last") else { return String::new() };
    let (number, missed) = (beats.count("sequence"), beats.count("missed"));
    format!(
        "newest {} (number {number}), {missed} missed in a row; {} received, {} repeated, {} never came",
        ago(Some(last)),
        beats.count("received"),
        beats.count("duplicates"),
        beats.count("gaps")
    )
}

fn anomaly(agent: &Value) -> String {
    let anomaly = agent.sub("anomaly");
    let status = anomaly.text("status");
    if status.is_empty() {
        return String::new();
    }
    let drivers: Vec<String> = anomaly.items("drivers").iter().map(told::plain).collect();
    let by = if drivers.is_empty() { String::new() } else { format!(" by {}", drivers.join(", ")) };
    format!(
        "score {:.3}, {} anomalous readings in a row; cycle {} was {status}{by}",
        anomaly.sub("score").as_f64().unwrap_or(0.0),
        anomaly.count("consecutive"),
        anomaly.count("cycle")
    )
}
