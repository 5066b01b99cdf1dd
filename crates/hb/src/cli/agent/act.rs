//! What is done to agents; each asks the active node.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::super::document;
use super::super::intervention::{Wait, told as intervention_told};
use super::super::told::{self, Doc as _};
use super::super::{Failure, Out};
use crate::exit::Exit;
use crate::reach::{Query, ReachArgs, escaped};

/// Agents to be started or stopped.
#[derive(Debug, clap::Args)]
pub struct Turn {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which agents.
    #[arg(required = true)]
    ids: Vec<String>,
    /// The agents as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Agents to be acted on by an intervention.
#[derive(Debug, clap::Args)]
pub struct Plan {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which agents.
    #[arg(required = true)]
    ids: Vec<String>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    wait: Wait,
    /// The interventions as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// `hb agent release`.
#[derive(Debug, clap::Args)]
pub struct Release {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which agent.
    id: String,
    /// What makes one sure that it is well.
    #[arg(long, value_name = "TEXT")]
    evidence: String,
    /// The agent as one JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb agent register`.
#[derive(Debug, clap::Args)]
pub struct Register {
    #[command(flatten)]
    reach: ReachArgs,
    /// The document; `-` for standard input.
    file: PathBuf,
    /// The agent as one JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb agent delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which agent.
    id: String,
    /// Has to be said: it cannot be taken back.
    #[arg(long, required = true)]
    confirm: bool,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    wait: Wait,
    /// The intervention as one JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb agent beat`.
#[derive(Debug, clap::Args)]
pub struct Beat {
    #[command(flatten)]
    reach: ReachArgs,
    /// Whose.
    id: String,
    /// Grows with each beat [default: one more than the newest that is known]
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// What it is: idle, running or degraded.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// What it works at.
    #[arg(long, value_name = "TEXT")]
    task: Option<String>,
    /// A figure of it, for policies; can be given several times.
    #[arg(long = "metric", value_name = "NAME=NUMBER", value_parser = metric)]
    metrics: Vec<(String, f64)>,
    /// The answer as one JSON object.
    #[arg(long)]
    json: bool,
}

fn metric(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("it takes NAME=NUMBER")?;
    let value = value.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or("it takes a finite number")?;
    Ok((name.to_owned(), value))
}

/// Starts or stops.
pub(super) fn turn(args: &Turn, verb: &str, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    for id in &args.ids {
        let agent = live.send("POST", &format!("/agents/{}/{verb}", escaped(id)), None)?;
        if args.json {
            out.json(&agent)?;
        } else {
            let (status, wanted) = (agent.text("status"), agent.text("wanted"));
            out.line(format_args!("{id} is wanted {wanted}; it is {}", out.painted(&status, told::paint(&status))))?;
        }
    }
    Ok(Exit::Ok)
}

fn reason(reason: Option<&str>) -> Value {
    reason.map_or_else(|| json!({}), |reason| json!({"reason": reason}))
}

/// Acts by interventions.
pub(super) fn plan(args: &Plan, verb: &str, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let mut asked = Vec::new();
    for id in &args.ids {
        let path = format!("/agents/{}/{verb}", escaped(id));
        asked.push(live.send("POST", &path, Some(&reason(args.reason.as_deref())))?);
    }
    intervention_told(&live, asked, (&args.wait, "COMPLETED"), args.json.into(), out)
}

/// Clears a quarantine.
pub(super) fn release(args: &Release, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let body = json!({"evidence": args.evidence});
    let agent = live.send("POST", &format!("/agents/{}/release", escaped(&args.id)), Some(&body))?;
    if args.json {
        out.json(&agent)?;
    } else {
        let status = agent.text("status");
        out.line(format_args!("{} is released; it is {}", args.id, out.painted(&status, told::paint(&status))))?;
    }
    Ok(Exit::Ok)
}

/// Makes agents known, or changes them: a document of one, or a mapping of several as under `agents`.
pub(super) fn register(args: &Register, out: &mut Out) -> Result<Exit, Failure> {
    let documents = documents(document::read(&args.file)?)?;
    let live = args.reach.changing()?;
    for (id, document) in documents {
        let path = format!("/agents/{}", escaped(&id));
        let known = match live.send("GET", &path, None) {
            Ok(_) => true,
            Err(failure) if failure.exit == Exit::Usage => false,
            Err(failure) => return Err(failure),
        };
        let answer = match known {
            true => live.send("PUT", &format!("{path}/spec"), Some(&document))?,
            false => live.send("POST", "/agents", Some(&document))?,
        };
        if args.json {
            out.json(&answer)?;
            continue;
        }
        let word = if known { "specified anew" } else { "made known" };
        out.line(format_args!("{id} is {word}, version {}", answer.count("spec_version")))?;
        told::notes(&answer, out)?;
    }
    Ok(Exit::Ok)
}

/// One document with `id`, or several by their names.
fn documents(document: Value) -> Result<BTreeMap<String, Value>, Failure> {
    let wrong =
        |what: &str| Failure::new(Exit::Usage, what).help("a document with `id`, or `agents:` with one for each name");
    let Value::Object(mut map) = document else { return Err(wrong("the document is no mapping")) };
    if let Some(id) = map.get("id").and_then(Value::as_str).map(str::to_owned) {
        return Ok(BTreeMap::from([(id, Value::Object(map))]));
    }
    let Some(Value::Object(agents)) = map.remove("agents") else {
        return Err(wrong("the document has neither `id` nor `agents`"));
    };
    let named = |(id, document): (String, Value)| {
        let mut map = match document {
            Value::Null => Map::new(),
            Value::Object(map) => map,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(wrong(&format!("`agents.{id}` is no mapping")));
            }
        };
        map.insert("id".to_owned(), id.as_str().into());
        Ok((id, Value::Object(map)))
    };
    agents.into_iter().map(named).collect()
}

/// Forgets an agent.
pub(super) fn delete(args: &Delete, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let query = Query::default().with("confirm", Some(args.confirm)).with("reason", args.reason.as_ref());
    let asked = live.send("DELETE", &query.at(&format!("/agents/{}", escaped(&args.id))), None)?;
    intervention_told(&live, vec![asked], (&args.wait, "COMPLETED"), args.json.into(), out)
}

/// Hands a beat in.
pub(super) fn beat(args: &Beat, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let path = format!("/agents/{}", escaped(&args.id));
    let sequence = match args.sequence {
        Some(sequence) => sequence,
        None => {
            let agent = live.send("GET", &path, None)?;
            agent.get("sequence_number").and_then(Value::as_u64).map_or(1, |newest| newest.saturating_add(1))
        }
    };
    let mut body = json!({"sequence_number": sequence});
    if let Some(fields) = body.as_object_mut() {
        fields.extend(args.status.as_ref().map(|status| ("status".to_owned(), status.to_uppercase().into())));
        fields.extend(args.task.as_ref().map(|task| ("current_task_id".to_owned(), task.as_str().into())));
        if !args.metrics.is_empty() {
            let metrics: BTreeMap<&str, f64> =
                args.metrics.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            fields.insert("health_metrics".to_owned(), json!({"custom_metrics": metrics}));
        }
    }
    let answer = live.send("POST", &format!("{path}/beat"), Some(&body))?;
    if args.json {
        out.json(&answer)?;
    } else {
        let message = answer.text("message");
        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
        out.line(format_args!("beat {sequence} of {} is heard{message}", args.id))?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_document_or_several() {
        let one = documents(json!({"id": "a", "heartbeat": {}})).unwrap();
        assert_eq!(one["a"]["heartbeat"], json!({}));
        let several = documents(json!({"agents": {"a": null, "b": {"capacity": 2}}, "teams": {}})).unwrap();
        assert_eq!((&several["a"], &several["b"]["id"]), (&json!({"id": "a"}), &json!("b")));
        for wrong in [json!([]), json!({}), json!({"agents": {"a": 3}})] {
            assert_eq!(documents(wrong).unwrap_err().exit, Exit::Usage);
        }
        assert!(metric("load=0.5").is_ok() && metric("load").is_err() && metric("load=nan").is_err());
    }
}
