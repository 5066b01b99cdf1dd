//! What the node knows of policies, and what is done to them there.

use std::path::PathBuf;

use hb_core::supervise::policy::Evaluation;
use serde_json::{Value, json};

use super::super::out::Cell;
use super::super::told::{self, Doc as _, Form, ago, heads};
use super::super::{Failure, Out};
use super::{Which, file, path};
use crate::exit::Exit;
use crate::reach::{Query, ReachArgs, escaped};

/// `hb policy list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    reach: ReachArgs,
    /// Only those in force.
    #[arg(long)]
    active: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// One policy, to be looked at.
#[derive(Debug, clap::Args)]
pub struct One {
    #[command(flatten)]
    which: Which,
    /// One JSON object, or one a line.
    #[arg(long)]
    json: bool,
}

/// `hb policy create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    #[command(flatten)]
    reach: ReachArgs,
    /// A policy, or `policies` as in hb.yaml; `-` for standard input.
    file: PathBuf,
    /// Put each in force at once, where nobody else has to agree first.
    #[arg(long)]
    activate: bool,
    /// The policies as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// A version of a policy.
#[derive(Debug, clap::Args)]
pub struct Turn {
    #[command(flatten)]
    which: Which,
    /// Which version [default: the newest; for rollback the one before the one in force]
    version: Option<u32>,
    /// The policy as one JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb policy deactivate`.
#[derive(Debug, clap::Args)]
pub struct Off {
    #[command(flatten)]
    which: Which,
    /// The policy as one JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb policy retire`.
#[derive(Debug, clap::Args)]
pub struct Retire {
    #[command(flatten)]
    which: Which,
}

/// `hb policy assign`.
#[derive(Debug, clap::Args)]
pub struct Assign {
    #[command(flatten)]
    which: Which,
    /// For which supervisor.
    #[arg(default_value = "main")]
    supervisor: String,
    /// Higher ones are evaluated first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    priority: i32,
}

/// `hb policy unassign`.
#[derive(Debug, clap::Args)]
pub struct Unassign {
    #[command(flatten)]
    which: Which,
    /// From which supervisor.
    #[arg(default_value = "main")]
    supervisor: String,
}

/// `hb policy held`.
#[derive(Debug, clap::Args)]
pub struct Held {
    #[command(flatten)]
    which: Which,
    /// What becomes of it.
    #[arg(value_enum)]
    word: Word,
    /// The policy as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What becomes of a change that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Word {
    /// It is taken over.
    Accept,
    /// It is dropped.
    Drop,
}

/// `hb policy evaluations`.
#[derive(Debug, clap::Args)]
pub struct Evaluations {
    #[command(flatten)]
    which: Which,
    /// Only those about this agent.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only those whose condition held.
    #[arg(long)]
    held: bool,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Lists policies.
pub(super) fn list(args: &List, out: &mut Out) -> Result<Exit, Failure> {
    let query = Query::default().with("active", args.active.then_some(true));
    let (policies, _) = args.reach.reading()?.list("/policies", &query, usize::MAX)?;
    if args.json {
        told::json_lines(&policies, out)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![heads(&["policy", "in force", "newest", "on duty", "held", "of", "effective", "when"])];
    for policy in &policies {
        let active = policy.text("active_version");
        rows.push(vec![
            Cell::text(policy.text("name")),
            Cell::figure(if active.is_empty() { "-".to_owned() } else { active }),
            Cell::figure(policy.count("newest_version")),
            Cell::text(on_duty(policy)),
            Cell::figure(policy.count("matches")),
            Cell::figure(policy.count("total_evaluations")),
            Cell::figure(format!("{:.2}", policy.sub("effectiveness_score").as_f64().unwrap_or(0.0))),
            Cell::text(policy.text("when")),
        ]);
    }
    out.table(&rows)?;
    Ok(Exit::Ok)
}

fn on_duty(policy: &Value) -> String {
    let on: Vec<String> = policy
        .items("on_duty")
        .iter()
        .filter(|duty| duty.truth("enabled"))
        .map(|duty| duty.text("supervisor_id"))
        .collect();
    if on.is_empty() { "-".to_owned() } else { on.join(", ") }
}

/// Shows one.
pub(super) fn show(args: &One, out: &mut Out) -> Result<Exit, Failure> {
    let policy = args.which.reach.reading()?.get(&path(&args.which.name, ""))?;
    whole(&policy, args.json.into(), out)
}

fn whole(policy: &Value, form: Form, out: &mut Out) -> Result<Exit, Failure> {
    if form == Form::Json {
        out.json(policy)?;
        return Ok(Exit::Ok);
    }
    let (name, newest) = (policy.text("name"), policy.count("newest_version"));
    match policy.get("active_version").and_then(Value::as_u64) {
        Some(active) => out.line(format_args!("{name}: version {active} is in force, {newest} is the newest"))?,
        None => out.line(format_args!("{name}: not in force, {newest} is the newest version"))?,
    }
    told::field("description", &policy.text("description"), out)?;
    told::field("when", &policy.text("when"), out)?;
    let shown = policy.get("active_version").filter(|active| !active.is_null()).unwrap_or(policy.sub("newest_version"));
    let version = policy.items("versions").iter().find(|version| version.get("version") == Some(shown));
    for action in version.map_or(&[][..], |version| version.sub("definition").items("actions")) {
        let agree = if action.truth("approval_required") { ", once somebody agrees" } else { "" };
        let reason = action.text("reason");
        told::field("then", &format!("{} {}{agree} {reason}", action.text("type"), action.text("target")), out)?;
    }
    if policy.truth("dangerous") {
        told::field(
            "dangerous",
            "somebody other than its author has to agree to a version before it can be in force",
            out,
        )?;
    }
    told::field("on duty for", &on_duty(policy), out)?;
    learned(policy, out)?;
    told::notes(policy, out)?;
    Ok(Exit::Ok)
}

/// What was learned about a policy.
fn learned(policy: &Value, out: &mut Out) -> Result<(), Failure> {
    let (all, held) = (policy.count("total_evaluations"), policy.count("matches"));
    let healed = policy.count("successful_evaluations");
    told::field("evaluations", &format!("{all}, of which {held} held and {healed} healed what they were for"), out)?;
    let score = policy.sub("effectiveness_score").as_f64().unwrap_or(0.0);
    told::field("effectiveness", &format!("{score:.3} (0: it never helps, 1: it always does)"), out)?;
    for (name, variable) in policy.sub("variables").as_object().into_iter().flatten() {
        let adapts = if variable.truth("adaptive") { ", adapts" } else { "" };
        let text =
            format!("{name} = {} ({} to {}{adapts})", variable.sub("value"), variable.sub("min"), variable.sub("max"));
        told::field("variable", &text, out)?;
    }
    if let Some(held) = policy.get("held").filter(|held| !held.is_null()) {
        let text = format!("{} (effectiveness would be {})", held.text("justification"), held.sub("effectiveness"));
        told::field("waits for you", &text, out)?;
        told::field("", "`hb policy held NAME accept|drop`", out)?;
    }
    Ok(())
}

/// Lists versions.
pub(super) fn versions(args: &One, out: &mut Out) -> Result<Exit, Failure> {
    let found = args.which.reach.reading()?.get(&path(&args.which.name, "/versions"))?;
    let versions = found.items("items");
    if args.json {
        told::json_lines(versions, out)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![heads(&["version", "state", "made", "by", "agreed to by", "when"])];
    for version in versions {
        let approved = version.text("approved_by");
        let state = match (version.truth("is_active"), version.truth("dangerous")) {
            (true, _) => "in force",
            (false, true) if approved.is_empty() => "waits for somebody to agree",
            (false, _) => "",
        };
        rows.push(vec![
            Cell::figure(version.count("version")),
            Cell::text(state),
            Cell::figure(ago(version.stamp("created_at"))),
            Cell::text(version.text("created_by")),
            Cell::text(if approved.is_empty() { "-".to_owned() } else { approved }),
            Cell::text(version.text("when")),
        ]);
    }
    out.table(&rows)?;
    Ok(Exit::Ok)
}

/// Shows what was learned.
pub(super) fn effectiveness(args: &One, out: &mut Out) -> Result<Exit, Failure> {
    let found = args.which.reach.reading()?.get(&path(&args.which.name, "/effectiveness"))?;
    if args.json {
        out.json(&found)?;
    } else {
        out.line(format_args!("{}:", args.which.name))?;
        learned(&found, out)?;
    }
    Ok(Exit::Ok)
}

/// Makes policies known.
pub(super) fn create(args: &Create, out: &mut Out) -> Result<Exit, Failure> {
    let policies = file::sound(&args.file)?;
    let live = args.reach.changing()?;
    for written in policies {
        let mut made = live.send("POST", "/policies", Some(&written.json))?;
        let notes = made.items("notes").to_vec();
        if args.activate {
            made = live.send("POST", &path(written.document.name.as_str(), "/activate"), Some(&json!({})))?;
        }
        if args.json {
            out.json(&made)?;
            continue;
        }
        let (name, newest) = (made.text("name"), made.count("newest_version"));
        let force =
            if made.truth("is_active") { "in force" } else { "not in force: `hb policy activate` puts it there" };
        out.line(format_args!("{name}: version {newest}, {force}"))?;
        notes.iter().try_for_each(|note| out.line(format_args!("note: {}", told::plain(note))))?;
        told::notes(&made, out)?;
    }
    Ok(Exit::Ok)
}

/// Puts a version in force, or agrees to it.
pub(super) fn turn(args: &Turn, verb: &str, out: &mut Out) -> Result<Exit, Failure> {
    let body = args.version.map_or_else(|| json!({}), |version| json!({"version": version}));
    let live = args.which.reach.changing()?;
    let policy = live.send("POST", &path(&args.which.name, &format!("/{verb}")), Some(&body))?;
    whole(&policy, args.json.into(), out)
}

/// Puts none in force.
pub(super) fn deactivate(args: &Off, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.which.reach.changing()?;
    let policy = live.send("POST", &path(&args.which.name, "/deactivate"), None)?;
    whole(&policy, args.json.into(), out)
}

pub(super) fn retire(args: &Retire, out: &mut Out) -> Result<Exit, Failure> {
    args.which.reach.changing()?.send("DELETE", &path(&args.which.name, ""), None)?;
    out.line(format_args!("policy {} is retired", args.which.name))?;
    Ok(Exit::Ok)
}

fn duties(answer: &Value, supervisor: &str, out: &mut Out) -> Result<Exit, Failure> {
    out.line(format_args!("on duty for {supervisor}, in this order:"))?;
    let on = answer.items("items").iter().filter(|policy| policy.get("disabled_at").is_none());
    for policy in on {
        out.line(format_args!("  {} (priority {})", policy.text("policy"), policy.sub("priority")))?;
    }
    Ok(Exit::Ok)
}

/// Puts a policy on duty.
pub(super) fn assign(args: &Assign, out: &mut Out) -> Result<Exit, Failure> {
    let body = json!({"policy_id": args.which.name, "priority": args.priority, "enabled": true});
    let live = args.which.reach.changing()?;
    let answer = live.send("POST", &format!("/supervisors/{}/policies", escaped(&args.supervisor)), Some(&body))?;
    duties(&answer, &args.supervisor, out)
}

/// Takes it off.
pub(super) fn unassign(args: &Unassign, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.which.reach.changing()?;
    let path = format!("/supervisors/{}/policies/{}", escaped(&args.supervisor), escaped(&args.which.name));
    duties(&live.send("DELETE", &path, None)?, &args.supervisor, out)
}

/// Settles a change that waits.
pub(super) fn held(args: &Held, out: &mut Out) -> Result<Exit, Failure> {
    let body = json!({"accept": args.word == Word::Accept});
    let policy = args.which.reach.changing()?.send("PUT", &path(&args.which.name, "/held"), Some(&body))?;
    whole(&policy, args.json.into(), out)
}

/// Lists evaluations.
pub(super) fn evaluations(args: &Evaluations, out: &mut Out) -> Result<Exit, Failure> {
    let query = Query::default().with("agent", args.agent.as_ref()).with("decision", args.held.then_some(true));
    let desk = args.which.reach.reading()?;
    let found = desk.history(&path(&args.which.name, "/evaluations"), &query, args.limit, &mut |_| true)?;
    if args.json {
        told::json_lines(&found, out)?;
        return Ok(Exit::Ok);
    }
    for document in &found {
        let one: Evaluation = serde_json::from_value(document.clone())
            .map_err(|error| Failure::new(Exit::Error, format!("an evaluation cannot be read: {error}")))?;
        let agent = one.agent.as_ref().map_or("-", |agent| agent.as_str());
        let held = if one.decision { "held" } else { "did not hold" };
        let (at, trigger) = (told::moment(one.at), told::clean(&one.trigger));
        out.line(format_args!("{at} evaluation {} of {agent} ({trigger}), version {}: {held}", one.id, one.version))?;
        super::super::agent::path(&one.decision_path, "    ", out)?;
        for action in &one.action_taken {
            out.line(format_args!("    so: {}", told::clean(action)))?;
        }
    }
    Ok(Exit::Ok)
}
