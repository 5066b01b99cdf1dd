//! `hb intervention …`: what is done about agents, and who agrees.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hb_core::supervise::intervention::{Act, Intervention, PlanStep, StepState};
use serde_json::{Value, json};

use super::out::Cell;
use super::told::{self, Doc as _, Form, ago, heads, state};
use super::{Failure, Out, choice};
use crate::exit::Exit;
use crate::reach::{Live, Query, ReachArgs, escaped};

/// Pause between two looks at an intervention that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `hb intervention …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List interventions, the newest first.
    List(List),
    /// Show one: why, its steps, who agreed, what it came to.
    Show(choice::One),
    /// Agree to one that waits; nobody agrees to what they asked for themselves.
    Approve(Decide),
    /// Refuse one that waits.
    Reject(Decide),
    /// Say what one in doubt came to.
    Settle(Settle),
    /// Undo one that is over, as far as it can be undone.
    Rollback(Decide),
    /// Ask for an intervention.
    Request(Request),
}

/// `hb intervention list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    part: choice::Part,
    /// Only those that stand there: pending, approved, rejected, executing, completed, failed, in_doubt, rolled_back.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only those on this target.
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Only those that this policy asked for.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
}

/// A person's word.
#[derive(Debug, clap::Args)]
pub struct Decide {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which one: `i-7`.
    id: String,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    wait: Wait,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb intervention settle`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("outcome").required(true).args(["done", "not_done"]))]
pub struct Settle {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which one: `i-7`.
    id: String,
    /// It was done.
    #[arg(long)]
    done: bool,
    /// It was not done.
    #[arg(long)]
    not_done: bool,
    /// How one knows.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    wait: Wait,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb intervention request`.
#[derive(Debug, clap::Args)]
pub struct Request {
    #[command(flatten)]
    reach: ReachArgs,
    /// What: agent_restart, agent_quarantine, agent_start, agent_stop, team_restart, team_quarantine, task_reassign,
    /// priority_override, cancel_task, reallocate_capacity, shutdown, delete.
    kind: String,
    /// To which agent, team or supervisor.
    target: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Whose agents they are; found by the target where not given.
    #[arg(long, value_name = "ID")]
    supervisor: Option<String>,
    /// Seconds between two members.
    #[arg(long, value_name = "SECONDS")]
    stagger: Option<f64>,
    /// Somebody has to agree, although nothing else asks for it.
    #[arg(long)]
    approval: bool,
    /// An emergency: what it did is undone when a step fails.
    #[arg(long)]
    emergency: bool,
    /// Has to be said for what cannot be taken back: shutdown and delete.
    #[arg(long)]
    confirm: bool,
    /// A parameter of it; can be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::policy::pair)]
    details: Vec<(String, Value)>,
    #[command(flatten)]
    wait: Wait,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Whether the end is waited for.
#[derive(Debug, clap::Args)]
pub struct Wait {
    /// Wait until it is over, for as long as this; exits with 1 when it did not come to what was wanted.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "300")]
    wait: Option<f64>,
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults; nobody can be asked; the node refuses.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(args, out),
        Command::Show(args) => show(args, out),
        Command::Approve(args) => decide(args, ("PUT", "approve"), "COMPLETED", out),
        Command::Reject(args) => decide(args, ("PUT", "reject"), "REJECTED", out),
        Command::Rollback(args) => decide(args, ("POST", "rollback"), "ROLLED_BACK", out),
        Command::Settle(args) => settle(args, out),
        Command::Request(args) => request(args, out),
    }
}

fn list(args: &List, out: &mut Out) -> Result<Exit, Failure> {
    let query = Query::default()
        .with("status", args.status.as_ref())
        .with("target", args.target.as_ref())
        .with("policy", args.policy.as_ref())
        .with("supervisor", args.part.supervisor.as_ref());
    let found = args.part.reach.reading()?.history("/interventions", &query, args.part.limit, &mut |_| true)?;
    if args.part.json {
        told::json_lines(&found, out)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![heads(&["id", "what", "target", "status", "made", "asked for by", "why"])];
    for one in &found {
        rows.push(vec![
            Cell::text(one.text("id")),
            Cell::text(one.text("intervention_type")),
            Cell::text(one.text("target_id")),
            state(&one.text("status")),
            Cell::figure(ago(one.stamp("created_at"))),
            Cell::text(one.text("requested_by")),
            Cell::text(one.text("reason")),
        ]);
    }
    out.table(&rows)?;
    Ok(Exit::Ok)
}

fn show(args: &choice::One, out: &mut Out) -> Result<Exit, Failure> {
    let found = args.reach.reading()?.get(&format!("/interventions/{}", escaped(&args.id)))?;
    if args.json {
        out.json(&found)?;
    } else {
        whole(&read(&found)?, "", out)?;
    }
    Ok(Exit::Ok)
}

/// An intervention out of its document.
pub(super) fn read(document: &Value) -> Result<Intervention, Failure> {
    serde_json::from_value(document.clone()).map_err(|error| {
        Failure::new(Exit::Error, format!("an intervention cannot be read: {error}"))
            .help("is the node of the same version as this hb?")
    })
}

/// All of an intervention, each line behind `margin`.
pub(super) fn whole(one: &Intervention, margin: &str, out: &mut Out) -> Result<(), Failure> {
    let status = one.status.as_str();
    let painted = out.painted(status, told::paint(status));
    let (kind, target) = (one.intervention_type.as_str(), told::clean(&one.target_id));
    out.line(format_args!("{margin}intervention {} {kind} of {target}: {painted}", one.id))?;
    let mut line = |text: String| out.line(format_args!("{margin}  {text}"));
    let by = match &one.policy {
        Some((policy, version)) => format!("policy {policy}, version {version}"),
        None => one.requested_by.to_string(),
    };
    line(format!(
        "asked for by {} at {}: {}",
        told::clean(&by),
        told::moment(one.created_at),
        told::clean(&one.reason)
    ))?;
    if !one.approval_reasons.is_empty() {
        line(format!("somebody has to agree: {}", told::clean(&one.approval_reasons.join("; "))))?;
    }
    match (&one.decided, one.expires_at) {
        (Some(decided), _) => {
            let word = if status == "REJECTED" { "refused" } else { "agreed to" };
            let why =
                if decided.reason.is_empty() { String::new() } else { format!(": {}", told::clean(&decided.reason)) };
            line(format!("{word} by {} at {}{why}", told::clean(decided.by.as_str()), told::moment(decided.at)))?;
        }
        (None, Some(until)) if !one.approval_reasons.is_empty() && !one.status.is_over() => {
            line(format!("nobody has agreed yet; refused {} unless somebody does", ago(Some(until))))?;
        }
        (None, _) => {}
    }
    for (number, step) in one.plan.iter().enumerate() {
        line(format!("{}. {}", number.saturating_add(1), in_words(step)))?;
    }
    if let Some(at) = one.completed_at {
        let outcome = one.outcome.as_deref().map(|outcome| format!(", {outcome}")).unwrap_or_default();
        line(format!("over at {}{outcome}", told::moment(at)))?;
    }
    if let Some(error) = &one.error_message {
        line(format!("because: {}", told::clean(error)))?;
    }
    Ok(())
}

fn in_words(step: &PlanStep) -> String {
    let act = match &step.act {
        Act::Restart(agent) => format!("restart {agent}"),
        Act::Quarantine(agent) => format!("set {agent} aside"),
        Act::Start(agent) => format!("start {agent}"),
        Act::Stop(agent) => format!("stop {agent}"),
        Act::Release(agent) => format!("release {agent}"),
        Act::Delete(agent) => format!("forget {agent}"),
        Act::Call { agent, verb } => format!("call the control of {agent} to {}", told::clean(verb)),
    };
    let state = match step.state {
        StepState::Waiting => "its turn has not come",
        StepState::Begun => "under way",
        StepState::Done => "done",
        StepState::Failed => "failed",
        StepState::InDoubt => "in doubt: `hb intervention settle` says what it came to",
        StepState::Skipped => "not needed",
    };
    let said = if step.said.is_empty() { String::new() } else { format!(" ({})", told::clean(&step.said)) };
    format!("{act}: {state}{said}")
}

fn decide(args: &Decide, (verb, word): (&str, &str), wanted: &str, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let path = format!("/interventions/{}/{word}", escaped(&args.id));
    let answer = live.send(verb, &path, Some(&json!({"reason": args.reason})))?;
    told(&live, vec![answer], (&args.wait, wanted), args.json.into(), out)
}

fn settle(args: &Settle, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let path = format!("/interventions/{}/settle", escaped(&args.id));
    let answer = live.send("PUT", &path, Some(&json!({"done": args.done, "reason": args.reason})))?;
    let wanted = if args.done { "COMPLETED" } else { "FAILED" };
    told(&live, vec![answer], (&args.wait, wanted), args.json.into(), out)
}

fn request(args: &Request, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let kind = args.kind.to_uppercase().replace('-', "_");
    let target = match kind.as_str() {
        "TEAM_RESTART" | "TEAM_QUARANTINE" => "TEAM",
        "SHUTDOWN" => "SUPERVISOR",
        _ => "AGENT",
    };
    let details: BTreeMap<&str, &Value> = args.details.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let body = json!({
        "supervisor_id": args.supervisor, "intervention_type": kind, "target_type": target, "target_id": args.target,
        "reason": args.reason.as_deref().unwrap_or_default(), "action_details": details,
        "approval_required": args.approval, "stagger_seconds": args.stagger, "emergency": args.emergency,
        "confirm": args.confirm,
    });
    let answer = live.send("POST", "/interventions", Some(&body))?;
    told(&live, vec![answer], (&args.wait, "COMPLETED"), args.json.into(), out)
}

/// Tells of interventions that were asked for, and waits for their ends where that is wanted, which are to be `wanted`.
pub(super) fn told(
    live: &Live,
    asked: Vec<Value>,
    (wait, wanted): (&Wait, &str),
    form: Form,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    for answer in asked {
        let last = match wait.wait {
            Some(seconds) => ended(live, answer, Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))?,
            None => answer,
        };
        if form == Form::Json {
            out.json(&last)?;
        } else {
            whole(&read(&last)?, "", out)?;
            told::notes(&last, out)?;
        }
        if wait.wait.is_some() && last.text("status") != wanted {
            exit = Exit::Error;
        }
    }
    Ok(exit)
}

/// The intervention once it is over or in doubt, or as it is when that took too long.
fn ended(live: &Live, answer: Value, patience: Duration) -> Result<Value, Failure> {
    let deadline = Instant::now().checked_add(patience);
    let path = format!("/interventions/{}", escaped(&answer.text("id")));
    let mut last = answer;
    loop {
        let status = last.text("status");
        let over = matches!(status.as_str(), "REJECTED" | "COMPLETED" | "FAILED" | "ROLLED_BACK" | "IN_DOUBT");
        let over = over && !(last.truth("rolling_back") && status != "IN_DOUBT" && status != "ROLLED_BACK");
        if over || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(last);
        }
        std::thread::sleep(LOOK_EVERY);
        last = live.send("GET", &path, None)?;
    }
}
