//! `hb agent why`: the chain from cause to outcome, the newest last.

use std::collections::BTreeSet;

use hb_core::supervise::policy::{Evaluation, TraceStep};
use hb_core::time::Stamp;
use serde_json::Value;

use super::super::intervention;
use super::super::told::{self, Doc as _};
use super::super::{Failure, Out, events};
use crate::cli::out::Paint;
use crate::exit::Exit;
use crate::reach::{Desk, ReachArgs, escaped};

/// `hb agent why`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which agent.
    id: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Something on the way to how it is.
enum Link<'a> {
    /// It happened.
    Event(&'a Value),
    /// A policy was evaluated, and its condition held.
    Evaluation(Box<Evaluation>),
    /// Something was done.
    Intervention(&'a Value),
}

/// Carries it out.
pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let desk = args.reach.reading()?;
    let why = desk.get(&format!("/agents/{}/why", escaped(&args.id)))?;
    if args.json {
        out.json(&why)?;
        return Ok(Exit::Ok);
    }
    out.line(format_args!("How it came to that, the newest last:"))?;
    let links = chain(&why)?;
    if links.is_empty() {
        out.line(format_args!("  nothing is recorded about it"))?;
    }
    for (_, link) in &links {
        link.told(&args.id, out)?;
    }
    out.line(format_args!("\nNow:"))?;
    super::head(why.sub("agent"), out)?;
    because(&why, out)?;
    next(&why, &desk, out)?;
    Ok(Exit::Ok)
}

/// Everything in the order in which it happened. What an intervention or an evaluation says itself is not said by an event as well.
fn chain(why: &Value) -> Result<Vec<(Stamp, Link<'_>)>, Failure> {
    let mut links: Vec<(Stamp, Link<'_>)> = Vec::new();
    let interventions: BTreeSet<String> = why.items("interventions").iter().map(|one| one.text("id")).collect();
    for event in why.items("events") {
        let kind = event.text("kind");
        let said =
            kind.starts_with("intervention.") && interventions.contains(&event.sub("about").text("intervention"));
        if !said {
            links.push((event.stamp("at").unwrap_or_default(), Link::Event(event)));
        }
    }
    for document in why.items("evaluations") {
        let evaluation: Evaluation = serde_json::from_value(document.clone()).map_err(|error| {
            Failure::new(Exit::Error, format!("an evaluation cannot be read: {error}"))
                .help("is the node of the same version as this hb?")
        })?;
        links.push((evaluation.at, Link::Evaluation(Box::new(evaluation))));
    }
    for one in why.items("interventions") {
        links.push((one.stamp("created_at").unwrap_or_default(), Link::Intervention(one)));
    }
    // Of what happened at one moment: first what the world did, then what was made of it, then what was done about it.
    links.sort_by_key(|(at, link)| {
        let (rank, number) = match link {
            Link::Event(event) => (0, event.count("id")),
            Link::Evaluation(evaluation) => (1, evaluation.id),
            Link::Intervention(_) => (2, 0),
        };
        (*at, rank, number)
    });
    Ok(links)
}

impl Link<'_> {
    fn told(&self, agent: &str, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Event(event) => events::line(event, ("  ", agent), out),
            Self::Evaluation(evaluation) => evaluated(evaluation, out),
            Self::Intervention(one) => intervention::whole(&intervention::read(one)?, "  ", out),
        }
    }
}

fn evaluated(one: &Evaluation, out: &mut Out) -> Result<(), Failure> {
    let by = match (one.trigger.as_str(), &one.group) {
        ("alert", Some(group)) => format!("for the alerts {group}"),
        ("decision", _) => "with a decision of its watch".to_owned(),
        ("sweep", _) => "in the turn of its supervisor".to_owned(),
        (other, _) => format!("because of {}", told::clean(other)),
    };
    let at = told::moment(one.at);
    let held = if one.decision { out.painted("held", Paint::Warn) } else { "did not hold".to_owned() };
    out.line(format_args!(
        "  {at} policy {} (version {}) of supervisor {}, looked at {by}: {held} (evaluation {})",
        one.policy, one.version, one.supervisor, one.id
    ))?;
    path(&one.decision_path, "    ", out)?;
    for action in &one.action_taken {
        out.line(format_args!("    so: {}", told::clean(action)))?;
    }
    Ok(())
}

/// How a condition came to what it did, part by part.
pub(in crate::cli) fn path(steps: &[TraceStep], margin: &str, out: &mut Out) -> Result<(), Failure> {
    for step in steps {
        let room = "  ".repeat(usize::try_from(step.depth).unwrap_or(0));
        let found = match (&step.found, step.held) {
            (Some(Value::Null), _) => ", which was not known".to_owned(),
            (Some(found), Some(_)) => format!(", and it was {}", told::plain(found)),
            (Some(_) | None, _) => String::new(),
        };
        let (word, paint) = match step.held {
            Some(true) => ("held", Paint::Good),
            Some(false) => ("did not hold", Paint::Plain),
            None => ("was not looked at", Paint::Faint),
        };
        let word = out.painted(word, paint);
        out.line(format_args!("{margin}{room}{}{found}: {word}", told::clean(&step.condition)))?;
    }
    Ok(())
}

/// Beginnings of sentences that say what stands above them already.
const SAID_ABOVE: [&str; 8] = [
    "it is not wanted to run",
    "it was set aside",
    "it was restarted",
    "its newest process",
    "its next start",
    "it has missed",
    "its watch found",
    "it says",
];

/// What the node says in sentences, but for what stands above them already.
fn because(why: &Value, out: &mut Out) -> Result<(), Failure> {
    let sentences = why.items("because").iter().skip(1).map(told::plain);
    let new = sentences.filter(|sentence| !SAID_ABOVE.iter().any(|said| sentence.starts_with(said)));
    new.into_iter().try_for_each(|sentence| told::field("because", &sentence, out))
}

fn next(why: &Value, desk: &Desk, out: &mut Out) -> Result<(), Failure> {
    let next = why.items("next");
    match desk {
        Desk::Stored(_) => return out.line(format_args!("\nNext: nothing, until a node supervises it again")),
        Desk::Live(_) if next.is_empty() => return Ok(()),
        Desk::Live(_) => out.line(format_args!("\nNext, unless something else happens before:"))?,
    }
    for planned in next {
        let at = planned.stamp("at");
        let moment = at.map(told::moment).unwrap_or_default();
        out.line(format_args!("  {moment} ({}) {}", told::ago(at), planned.text("what")))?;
    }
    Ok(())
}
