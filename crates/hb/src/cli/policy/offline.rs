//! What needs no node: checking files, comparing, trying out.

use std::path::PathBuf;

use hb_core::ids::{AgentId, SupervisorId};
use hb_core::supervise::policy::context::{Given, Occasion};
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::policy::fault::Fault as PolicyFault;
use hb_core::supervise::policy::fields::{FIELDS, METRICS};
use hb_core::supervise::policy::simulate::{Simulation, simulate as pure};
use hb_core::supervise::policy::{PolicyVersion, TraceStep, check as soundness, diff as difference};
use hb_core::time::Stamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::agent::path as decision_path;
use super::super::document;
use super::super::out::{Cell, Paint};
use super::super::told::{self, Doc as _};
use super::super::{Failure, Out};
use super::file::{self, Written};
use super::{Named, named, path};
use crate::config::fault::{Fault, Findings, Heading, render};
use crate::exit::Exit;
use crate::reach::{Desk, ReachArgs};

/// `hb policy check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Files: a policy each, or `policies` as in hb.yaml; `-` for standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// All findings as one JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb policy simulate`.
#[derive(Debug, clap::Args)]
pub struct Simulate {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which: FILE, FILE:NAME, NAME or NAME@VERSION.
    policy: String,
    /// About this agent as it is.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// For this supervisor; the first root where not given.
    #[arg(long, value_name = "ID")]
    supervisor: Option<String>,
    /// What is supposed, as a document: `agent: {anomaly_score: 0.9}`.
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,
    /// One field that is supposed: agent.anomaly_score=0.9; can be given several times.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = super::pair)]
    set: Vec<(String, Value)>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb policy diff`.
#[derive(Debug, clap::Args)]
pub struct Diff {
    #[command(flatten)]
    reach: ReachArgs,
    /// The one: FILE, FILE:NAME, NAME (the version in force) or NAME@VERSION.
    from: String,
    /// The other.
    to: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb policy fields`.
#[derive(Debug, clap::Args)]
pub struct Fields {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Checked<'a> {
    sound: bool,
    policies: Vec<&'a PolicyDocument>,
    faults: &'a [Fault],
}

/// Checks files.
pub(super) fn check(args: &Check, out: &mut Out) -> Result<Exit, Failure> {
    let (mut policies, mut findings, mut broken): (Vec<Written>, Findings, Vec<Failure>) = Default::default();
    for path in &args.files {
        match file::read(path) {
            Ok(found) => {
                policies.extend(found.policies);
                found.findings.faults.into_iter().for_each(|fault| findings.fault(fault));
            }
            Err(failure) if failure.exit == Exit::Config => broken.push(failure),
            Err(failure) => return Err(failure),
        }
    }
    let sound = findings.faults.is_empty() && broken.is_empty();
    if args.json {
        for failure in &broken {
            findings.fault(Fault::of_file("", &failure.what, &failure.help));
        }
        let policies = policies.iter().map(|written| &written.document).collect();
        out.json(&Checked { sound, policies, faults: &findings.faults })?;
    } else {
        for written in &policies {
            file::line(&written.document, out)?;
        }
        out.finish()?;
        let text: String = findings.faults.iter().map(|fault| render(fault, Heading::Error)).collect();
        for failure in &broken {
            failure.tell();
        }
        if !text.is_empty() {
            let count = findings.faults.len();
            let what = format!("{count} fault{}\n{}", if count == 1 { "" } else { "s" }, text.trim_end());
            Failure::new(Exit::Config, what).tell();
        }
        if sound {
            let count = policies.len();
            out.line(format_args!("{count} polic{} sound", if count == 1 { "y, it is" } else { "ies, all" }))?;
        }
    }
    Ok(if sound { Exit::Ok } else { Exit::Config })
}

/// Lists fields.
pub(super) fn fields(args: &Fields, out: &mut Out) -> Result<Exit, Failure> {
    let mut rows = vec![told::heads(&["field", "holds", "unit", "what it is"])];
    for field in FIELDS {
        let words = field.words.join(", ");
        if args.json {
            let (kind, unit) = (field.kind.as_str(), field.unit.as_str());
            let (path, meaning) = (field.path, field.meaning);
            out.json(&json!({"field": path, "kind": kind, "unit": unit, "words": field.words, "meaning": meaning}))?;
            continue;
        }
        let meaning = if words.is_empty() { field.meaning.to_owned() } else { format!("{} ({words})", field.meaning) };
        rows.push(vec![
            Cell::text(field.path),
            Cell::text(field.kind.as_str()),
            Cell::text(field.unit.as_str()),
            Cell::text(meaning),
        ]);
    }
    if !args.json {
        out.table(&rows)?;
        out.line(format_args!("and {METRICS}NAME: a figure that the agent put into its newest beat"))?;
    }
    Ok(Exit::Ok)
}

/// What is supposed, from a document and from single fields, which win.
fn supposed(args: &Simulate) -> Result<Value, Failure> {
    let mut context = match &args.context {
        Some(path) => document::read(path)?,
        None => Value::Null,
    };
    if context.is_null() {
        context = Value::Object(Map::new());
    }
    let Some(map) = context.as_object_mut() else {
        return Err(Failure::new(Exit::Usage, "the context is no mapping of fields to values"));
    };
    for (field, value) in &args.set {
        map.insert(field.clone(), value.clone());
    }
    Given::read(&context).map(drop).map_err(|faults| wrong(&faults))?;
    Ok(context)
}

fn wrong(faults: &[PolicyFault]) -> Failure {
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Failure::new(Exit::Usage, text.join("\n")).help("`hb policy fields` lists every field")
}

/// Tries a policy out.
pub(super) fn simulate(args: &Simulate, out: &mut Out) -> Result<Exit, Failure> {
    let context = supposed(args)?;
    let answer = match named(&args.policy) {
        Named::File(path, name) => {
            let written = file::chosen(&path, name.as_deref())?;
            let simulation = of_file(args, &written, &context)?;
            serde_json::to_value(&simulation)
                .map_err(|error| Failure::new(Exit::Error, format!("it cannot be put as JSON: {error}")))?
        }
        Named::Known(name, version) => {
            let body = json!({
                "agent_id": args.agent, "supervisor_id": args.supervisor, "version": version, "context": context,
            });
            args.reach.reading()?.suppose(&path(&name, "/simulate"), &body)?
        }
    };
    if args.json {
        out.json(&answer)?;
    } else {
        simulated(&answer, out)?;
    }
    Ok(Exit::Ok)
}

/// A policy of a file: in a supposed world alone, or over what is recorded when an agent or supervisor is named.
fn of_file(args: &Simulate, written: &Written, context: &Value) -> Result<Simulation, Failure> {
    let given = Given::read(context).map_err(|faults| wrong(&faults))?;
    let (definition, variables) = (&written.document.definition, &written.document.variables);
    if args.agent.is_none() && args.supervisor.is_none() {
        return Ok(pure(definition, variables, &given));
    }
    let supervision = crate::reach::recorded(&args.reach.config()?)?;
    let state = supervision.state();
    let missing = |what: &str, id: &str| Failure::new(Exit::Usage, format!("there is no {what} {id} in supervisor.db"));
    let agent = match args.agent.as_deref() {
        Some(id) => Some(state.agents.get(&AgentId::from(id)).ok_or_else(|| missing("agent", id))?),
        None => None,
    };
    let supervisor = match args.supervisor.as_deref().map(SupervisorId::from) {
        Some(id) if !state.supervisors.contains(&id) => return Err(missing("supervisor", id.as_str())),
        Some(id) => Some(id),
        None => agent.and_then(|agent| supervision.supervisor_of(agent.id())),
    };
    let supervisor = supervisor.unwrap_or_else(|| SupervisorId::from(""));
    let live = supervision.context(&supervisor, agent, Occasion::Question, super::super::status::now());
    Ok(pure(definition, variables, &given.over(&live)))
}

fn simulated(answer: &Value, out: &mut Out) -> Result<(), Failure> {
    let held = answer.truth("would_match");
    let word = if held { out.painted("it holds", Paint::Warn) } else { "it does not hold".to_owned() };
    out.line(format_args!("{word}:"))?;
    let steps: Vec<TraceStep> = serde_json::from_value(answer.sub("decision_path").clone()).unwrap_or_default();
    decision_path(&steps, "  ", out)?;
    if !held {
        return out.line(format_args!("nothing would be done"));
    }
    out.line(format_args!("this would be done:"))?;
    for action in answer.items("would_execute") {
        let target = action.text("target");
        let target = if target.is_empty() { "nobody: there is none here to do it to".to_owned() } else { target };
        let agree = if action.truth("approval_required") { ", once somebody agrees" } else { "" };
        let reason = action.text("reason");
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        out.line(format_args!("  {} {target}{agree}{reason}", action.text("type")))?;
    }
    Ok(())
}

/// Compares.
pub(super) fn diff(args: &Diff, out: &mut Out) -> Result<Exit, Failure> {
    let mut desk = None;
    let from = version(&named(&args.from), &args.reach, &mut desk)?;
    let to = version(&named(&args.to), &args.reach, &mut desk)?;
    let changes = difference::diff(&from, &to).changes;
    if args.json {
        out.json(&json!({"from": args.from, "to": args.to, "changes": changes}))?;
        return Ok(Exit::Ok);
    }
    if changes.is_empty() {
        out.line(format_args!("{} and {} say the same", args.from, args.to))?;
    }
    for change in &changes {
        out.line(format_args!("{}", change.path))?;
        for (sign, value, paint) in [("-", &change.before, Paint::Bad), ("+", &change.after, Paint::Good)] {
            if let Some(value) = value {
                let text = out.painted(&format!("  {sign} {}", told::plain(value)), paint);
                out.line(format_args!("{text}"))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// A policy as a version, wherever it stands. The node is looked for once.
fn version(named: &Named, reach: &ReachArgs, desk: &mut Option<Desk>) -> Result<PolicyVersion, Failure> {
    match named {
        Named::File(path, name) => Ok(unversioned(file::chosen(path, name.as_deref())?.document)),
        Named::Known(name, wanted) => {
            if desk.is_none() {
                *desk = Some(reach.reading()?);
            }
            let policy = match desk {
                Some(desk) => desk.get(&path(name, ""))?,
                None => Value::Null,
            };
            let versions: Vec<PolicyVersion> =
                serde_json::from_value(policy.sub("versions").clone()).map_err(|error| {
                    Failure::new(Exit::Error, format!("the versions of {name} cannot be read: {error}"))
                })?;
            let newest = versions.last().map(|version| version.version);
            let active =
                policy.get("active_version").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
            let wanted = wanted.or(active).or(newest);
            let found = versions.into_iter().find(|version| Some(version.version) == wanted);
            let number = wanted.map(|number| number.to_string()).unwrap_or_default();
            found.ok_or_else(|| Failure::new(Exit::Usage, format!("{name} has no version {number}")))
        }
    }
}

/// A document as if it were a version.
fn unversioned(document: PolicyDocument) -> PolicyVersion {
    PolicyVersion {
        version: 0,
        dangerous: soundness::is_dangerous(&document.definition),
        description: document.description,
        policy_type: document.policy_type,
        definition: document.definition,
        variables: document.variables,
        created_by: "file".into(),
        created_at: Stamp::default(),
        approved_by: None,
    }
}
