//! `hb status`: every node by the board of nodes and by what it says itself; where none answers, what the journal says.

mod survey;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use hb_api::NodeDoc;
use hb_core::ids::{Epoch, NodeName, StreamName};
use hb_core::node::fact::CycleDecided;
use hb_core::time::Stamp;
use hb_core::watch::decision::Status;
use hb_store::port::Journal as _;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::out::{Cell, Paint};
use super::told::{self, Doc as _, clean};
use super::{ConfigArgs, Failure, Out, compare};
use crate::config::Config;
use crate::exit::Exit;
use crate::top::{Picture, Verdict};
use crate::{reach, stored};
use survey::Survey;

/// `hb status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// One JSON object: that of the active node, with `nodes` listing all, and `verdict` saying what it comes to.
    #[arg(long)]
    json: bool,
    /// End with the number of the worst watch: 11 FAIL, 12 NO_DATA, 13 NO_BASELINE, 10 PASS_WITH_DRIFT, 0 when all pass; 69 when no node is active.
    #[arg(long)]
    gate: bool,
}

/// What the journal and the lease say where no node answers.
#[derive(Debug, Serialize)]
struct Down {
    node: Option<NodeName>,
    role: &'static str,
    epoch: Epoch,
    watches: Vec<DownWatch>,
    #[serde(flatten)]
    survey: Map<String, Value>,
    #[serde(flatten)]
    supervision: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct DownWatch {
    name: String,
    cycle: Option<u64>,
    status: Option<String>,
    lag_seconds: Option<f64>,
    end_utc: Option<Stamp>,
    headline: Option<String>,
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults; no node answers and there is no journal.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let survey = Survey::of(&config);
    let rank = |node: &&NodeDoc| match node.role {
        "active" => 0,
        "taking_over" => 1,
        "draining" => 2,
        "standby" => 3,
        _ => 4,
    };
    let best = survey.nodes.iter().filter(|node| survey.answers.contains_key(&node.node)).min_by_key(rank);
    let document = best.and_then(|best| survey.answers.get(&best.node)).cloned();
    let supervision = supervision(&config)?;
    match document {
        Some(document) => up(document, &survey, supervision, args, out),
        None => down(&config, &survey, supervision, args, out),
    }
}

/// What agents and supervisors add up to; nothing where nothing is supervised.
fn supervision(config: &Config) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    if !reach::is_meant(config) {
        return Ok(fields);
    }
    match reach::summary(config) {
        Ok(status) => {
            let field = |key: &str| status.get(key).cloned().unwrap_or_default();
            fields.insert("agents".to_owned(), field("agents"));
            let supervisors = json!({
                "all": field("supervisors"), "paused": field("supervisors_paused"), "node": field("node"),
                "presence": status.sub("presence").sub("state"), "interventions_open": field("interventions_open"),
                "alert_groups_open": field("alert_groups_open"), "restarts": field("total_restarts"),
            });
            fields.insert("supervisors".to_owned(), supervisors);
        }
        // It was declared, and has not begun yet, or its node does not say: the rest of the status is told all the same.
        Err(failure) if failure.exit != Exit::Corrupt => {
            fields.insert("supervisors".to_owned(), json!({"unknown": failure.what}));
        }
        Err(failure) => return Err(failure),
    }
    Ok(fields)
}

fn supervision_told(fields: &Map<String, Value>, out: &mut Out) -> Result<(), Failure> {
    let Some(supervisors) = fields.get("supervisors") else { return Ok(()) };
    if let Some(why) = supervisors.get("unknown") {
        return out.line(format_args!("agents: not known: {}", told::plain(why)));
    }
    let agents = fields.get("agents").cloned().unwrap_or_default();
    let states = [
        ("up", Paint::Good),
        ("degraded", Paint::Warn),
        ("spawning", Paint::Warn),
        ("failed", Paint::Bad),
        ("quarantined", Paint::Bad),
        ("terminated", Paint::Faint),
    ];
    let counted = states.iter().filter(|(state, _)| agents.count(state) > 0);
    let counted: Vec<String> =
        counted.map(|(state, paint)| out.painted(&format!("{} {state}", agents.count(state)), *paint)).collect();
    let colon = if counted.is_empty() { "" } else { ": " };
    out.line(format_args!("agents {}{colon}{}", agents.count("all"), counted.join(", ")))?;
    let presence = supervisors.text("presence");
    let painted = out.painted(&presence, told::paint(&presence));
    let mut parts = vec![format!("supervisors {} ({painted})", supervisors.count("all"))];
    for (key, word) in [
        ("paused", "paused"),
        ("interventions_open", "interventions open"),
        ("alert_groups_open", "groups of alerts open"),
    ] {
        if supervisors.count(key) > 0 {
            parts.push(format!("{} {word}", supervisors.count(key)));
        }
    }
    out.line(format_args!("{}", parts.join(", ")))
}

fn up(
    mut document: Value,
    survey: &Survey,
    supervision: Map<String, Value>,
    args: &Args,
    out: &mut Out,
) -> Result<Exit, Failure> {
    if let Some(fields) = document.as_object_mut() {
        shared_out(fields, survey);
        fields.extend(surveyed(survey)?);
        fields.extend(supervision.clone());
    }
    let verdict = judge(&mut document);
    let exit = if args.gate { gate(&document) } else { Exit::Ok };
    if args.json {
        out.json(&document)?;
        return Ok(exit);
    }
    text::verdict(&verdict, out)?;
    text::tell(survey, out)?;
    supervision_told(&supervision, out)?;
    let holders = document.get("holders").and_then(Value::as_object).cloned();
    let mut heads = heads();
    if holders.is_some() {
        heads.insert(1, Cell::head("node"));
    }
    let mut rows = vec![heads];
    for watch in document.get("watches").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| watch.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let cycle = watch.get("cycle").and_then(Value::as_u64);
        let lag = watch.get("lag_seconds").and_then(Value::as_f64);
        let mut row = row(&text("name"), cycle, &text("status"), lag, &text("headline"));
        if let Some(holders) = &holders {
            let holder = holders.get(&text("name")).and_then(Value::as_str);
            let paint = if holder.is_some() { Paint::Good } else { Paint::Bad };
            row.insert(1, Cell::text(holder.unwrap_or("nobody")).painted(paint));
        }
        rows.push(row);
    }
    if rows.len() > 1 {
        out.table(&rows)?;
    }
    for alarm in document.get("alarms").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| alarm.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = out.painted(text("name"), Paint::Bad);
        out.line(format_args!("alarm {name}: {} (since {})", clean(text("what")), text("since")))?;
    }
    Ok(exit)
}

/// What a document comes to; it says so from then on.
fn judge(document: &mut Value) -> Verdict {
    let verdict = Verdict::of(&Picture::of_status(document, now()));
    if let (Some(fields), Ok(value)) = (document.as_object_mut(), serde_json::to_value(&verdict)) {
        fields.insert("verdict".to_owned(), value);
    }
    verdict
}

/// The number of the worst watch of an active node.
fn gate(document: &Value) -> Exit {
    let watches = document.items("watches");
    let active =
        document.text("role") == "active" || document.items("nodes").iter().any(|one| one.text("role") == "active");
    let seen = |status: Status| watches.iter().any(|watch| watch.text("status") == status.as_str());
    if !active {
        return Exit::Unavailable;
    }
    let order = [Status::Fail, Status::NoData, Status::NoBaseline, Status::PassWithDrift];
    if let Some(worst) = order.into_iter().find(|status| seen(*status)) {
        return compare::gate(worst);
    }
    // What has decided nothing yet has not passed (W5).
    let passed = watches.iter().all(|watch| watch.text("status") == Status::Pass.as_str());
    if passed { Exit::Ok } else { Exit::GateNoData }
}

/// What every node that shares watches out tells of them, put together: of each watch what its holder says.
fn shared_out(best: &mut Map<String, Value>, survey: &Survey) {
    let Some(holders) = best.get("holders").and_then(Value::as_object).cloned() else { return };
    let mut watches: BTreeMap<String, Value> = BTreeMap::new();
    for (node, answer) in &survey.answers {
        for watch in answer.get("watches").and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = watch.get("name").and_then(Value::as_str) else { continue };
            let holds = holders.get(name).and_then(Value::as_str) == Some(node.as_str());
            if holds || !watches.contains_key(name) {
                watches.insert(name.to_owned(), watch.clone());
            }
        }
    }
    best.insert("watches".to_owned(), watches.into_values().collect());
}

fn heads() -> Vec<Cell> {
    ["watch", "cycle", "status", "lag", "what"].iter().map(|head| Cell::head(head)).collect()
}

fn row(name: &str, cycle: Option<u64>, status: &str, lag: Option<f64>, headline: &str) -> Vec<Cell> {
    let paint = match status {
        "PASS" => Paint::Good,
        "PASS_WITH_DRIFT" | "NO_BASELINE" => Paint::Warn,
        "FAIL" | "NO_DATA" => Paint::Bad,
        _ => Paint::Faint,
    };
    vec![
        Cell::text(name),
        Cell::figure(cycle.map_or_else(|| "-".to_owned(), |cycle| cycle.to_string())),
        Cell::text(if status.is_empty() { "nothing yet" } else { status }).painted(paint),
        Cell::figure(lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s"))),
        Cell::text(stored::without_status(headline)),
    ]
}

fn down(
    config: &Config,
    survey: &Survey,
    supervision: Map<String, Value>,
    args: &Args,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let mut down = match supervision.contains_key("agents") && !config.journal_dir().is_dir() {
        // A node that only supervises has no journal of watches.
        true => Down::of(config),
        false => decided(config).map_err(|failure| neither(failure, survey))?,
    };
    (down.supervision, down.survey) = (supervision, surveyed(survey)?);
    let exit = if args.gate { Exit::Unavailable } else { Exit::Ok };
    let told = serde_json::to_value(&down)
        .map_err(|error| Failure::new(Exit::Error, format!("what is recorded cannot be put as JSON: {error}")));
    let mut document = told?;
    let verdict = judge(&mut document);
    if args.json {
        out.json(&document)?;
        return Ok(exit);
    }
    text::verdict(&verdict, out)?;
    let role = out.painted("down", Paint::Bad);
    out.line(format_args!("no node answers: {role}; this is what is recorded"))?;
    text::tell(survey, out)?;
    supervision_told(&down.supervision, out)?;
    let mut rows = vec![heads()];
    for watch in &down.watches {
        let (status, what) = (watch.status.as_deref().unwrap_or_default(), watch.headline.as_deref());
        rows.push(row(&watch.name, watch.cycle, status, watch.lag_seconds, what.unwrap_or_default()));
    }
    if rows.len() > 1 {
        out.table(&rows)?;
    }
    Ok(exit)
}

/// Neither the nodes nor the journal can be told.
fn neither(failure: Failure, survey: &Survey) -> Failure {
    match &survey.trouble {
        Some(trouble) => Failure { what: format!("{trouble}; {}", failure.what), ..failure },
        None => failure,
    }
}

/// What is told of all nodes, beside what the best of them says: `nodes`, `takeover`, `orders`, and `register`, which is `ok` or says why
/// the nodes cannot be told.
fn surveyed(survey: &Survey) -> Result<Map<String, Value>, Failure> {
    let put = |value: serde_json::Result<Value>| {
        value.map_err(|error| Failure::new(Exit::Error, format!("the nodes cannot be put as JSON: {error}")))
    };
    let mut fields = Map::new();
    fields.insert("nodes".to_owned(), put(serde_json::to_value(&survey.nodes))?);
    fields.insert("takeover".to_owned(), put(serde_json::to_value(&survey.takeover))?);
    fields.insert("orders".to_owned(), put(serde_json::to_value(&survey.orders))?);
    fields.insert("register".to_owned(), survey.trouble.as_deref().unwrap_or("ok").into());
    Ok(fields)
}

/// What the journal says.
fn decided(config: &Config) -> Result<Down, Failure> {
    let mut journal = stored::journal(config)?;
    let now = now();
    let Down { mut epoch, mut node, mut watches, .. } = Down::of(config);
    for watch in &config.watches {
        let stream = StreamName::watch(&watch.settings.name);
        if journal.head(&stream)?.is_some() {
            let newest = stored::newest(&mut journal, &stream, |sealed| Some(sealed.record.clone()))?;
            if let Some(record) = newest.filter(|record| record.epoch >= epoch) {
                epoch = record.epoch;
                node.get_or_insert(record.node);
            }
        }
        let last = stored::newest(&mut journal, &stream, |sealed| stored::decided(sealed).cloned())?;
        watches.push(DownWatch::of(watch.settings.name.as_str(), last.as_deref(), now));
    }
    Ok(Down { node, epoch, watches, ..Down::of(config) })
}

impl Down {
    /// Nothing is known yet but who held the lease.
    fn of(config: &Config) -> Self {
        Self {
            node: holder(&config.output_dir),
            role: "down",
            epoch: Epoch(0),
            watches: Vec::new(),
            survey: Map::new(),
            supervision: Map::new(),
        }
    }
}

impl DownWatch {
    fn of(name: &str, last: Option<&CycleDecided>, now: Stamp) -> Self {
        let decision = last.map(|last| &last.decision);
        Self {
            name: name.to_owned(),
            cycle: decision.map(|decision| decision.cycle.0),
            status: decision.map(|decision| decision.status.to_string()),
            lag_seconds: decision.map(|decision| now.as_seconds() - decision.span.end.as_seconds()),
            end_utc: decision.map(|decision| decision.span.end),
            headline: decision.map(|decision| decision.headline.clone()),
        }
    }
}

/// Who showed progress last, by the stamp beside the lock.
fn holder(output_dir: &Path) -> Option<NodeName> {
    let stamp: Value = serde_json::from_slice(&std::fs::read(output_dir.join("hb.lease")).ok()?).ok()?;
    stamp.get("node")?.as_str().map(NodeName::from)
}

/// The wall clock.
#[must_use]
pub fn now() -> Stamp {
    hb_daemon::clock::wall()
}
