//! `hb events`: what happened, and what happens.

use std::io::Write as _;
use std::time::{Duration, Instant};

use hb_core::time::Stamp;
use serde_json::{Value, json};

use super::out::Paint;
use super::status::now;
use super::told::{self, Doc as _};
use super::{Failure, Out};
use crate::ask::Lines;
use crate::exit::Exit;
use crate::reach::{Desk, Live, Query, ReachArgs};

/// Pause before a node that went away is looked for again.
const AGAIN: Duration = Duration::from_millis(500);
/// Most events that `--since` shows (B1).
const SINCE_MAX: usize = 100_000;

/// `hb events`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
    /// Go on with what happens, also across a takeover by another node; none is left out, none comes twice.
    #[arg(long, short)]
    follow: bool,
    /// Only those about this agent.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only those about this supervisor.
    #[arg(long, value_name = "ID")]
    supervisor: Option<String>,
    /// Only those about this team.
    #[arg(long, value_name = "ID")]
    team: Option<String>,
    /// Only those about this intervention.
    #[arg(long, value_name = "ID")]
    intervention: Option<String>,
    /// As bad as this, or worse: info, warning, error, critical.
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<String>,
    /// Only of this kind, or of all that begin so: `agent.*`.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only those since then: a time (2026-01-31T12:00:00Z), or so long ago (90s, 15m, 2h, 3d).
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// How many of the newest ones [default: 20; with --since, all of them]
    #[arg(long, short = 'n', value_name = "N")]
    number: Option<usize>,
    /// Take note of the event of this number, so that others see that it is known; gives the event.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["follow", "since", "number"])]
    acknowledge: Option<u64>,
    /// What you make of it.
    #[arg(long, value_name = "TEXT", requires = "acknowledge", default_value = "")]
    note: String,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Since {
    /// A point in time.
    At(Stamp),
    /// So many seconds ago.
    Ago(f64),
}

fn since(text: &str) -> Result<Since, String> {
    let units = [("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0)];
    let span = units.into_iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number * seconds)
    });
    match span {
        Some(seconds) => Ok(Since::Ago(seconds)),
        None => Stamp::parse(text)
            .map(Since::At)
            .map_err(|_| "it takes a time such as 2026-01-31T12:00:00Z, or 90s, 15m, 2h, 3d".to_owned()),
    }
}

impl Args {
    fn query(&self) -> Query {
        Query::default()
            .with("agent", self.agent.as_ref())
            .with("supervisor", self.supervisor.as_ref())
            .with("team", self.team.as_ref())
            .with("intervention", self.intervention.as_ref())
            .with("severity", self.severity.as_ref())
            .with("kind", self.kind.as_ref())
    }

    fn oldest(&self) -> Option<Stamp> {
        #[expect(clippy::cast_possible_truncation, reason = "saturates at the ends of time")]
        self.since.map(|since| match since {
            Since::At(at) => at,
            Since::Ago(seconds) => now().plus_ns((-seconds * 1e9) as i64),
        })
    }
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults; nobody can be asked; the node refuses.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    if let Some(number) = args.acknowledge {
        let live = args.reach.changing()?;
        let event = live.send("POST", &format!("/events/{number}/acknowledge"), Some(&json!({"note": args.note})))?;
        one(&event, args, out)?;
        return Ok(Exit::Ok);
    }
    let desk = args.reach.reading()?;
    // The number is asked for before the list: what happens in between is in the list or comes after it.
    let last = newest(&desk)?;
    let oldest = args.oldest();
    let most = args.number.unwrap_or(if oldest.is_some() { SINCE_MAX } else { 20 });
    let mut young = |event: &Value| oldest.is_none_or(|oldest| event.stamp("at").is_none_or(|at| at >= oldest));
    let mut events = desk.history("/events", &args.query(), most, &mut young)?;
    events.reverse();
    for event in &events {
        one(event, args, out)?;
    }
    let last = events.last().and_then(|event| event.get("id")?.as_u64()).max(last);
    match (args.follow, desk) {
        (false, _) => Ok(Exit::Ok),
        (true, Desk::Live(live)) => follow(args, live, last, out),
        (true, Desk::Stored(_)) => {
            out.finish()?;
            let what = "no node that supervises answers: there is nothing to follow";
            Err(Failure::new(Exit::Unavailable, what).help("`hb run` or `hb supervisor` starts one"))
        }
    }
}

/// The number of the newest event of all.
fn newest(desk: &Desk) -> Result<Option<u64>, Failure> {
    let found = desk.history("/events", &Query::default(), 1, &mut |_| true)?;
    Ok(found.first().and_then(|event| event.get("id")?.as_u64()))
}

fn follow(args: &Args, mut live: Live, mut last: Option<u64>, out: &mut Out) -> Result<Exit, Failure> {
    let mut lost = false;
    loop {
        out.finish()?;
        match live.follow(&args.query(), last)? {
            Ok(lines) => {
                lost = false;
                let (begun, before) = (Instant::now(), last);
                take(lines, args, &mut last, out)?;
                // A node on its way out ends a stream as soon as it has begun: no reason to ask it without a pause.
                if last == before && begun.elapsed() < AGAIN {
                    std::thread::sleep(AGAIN);
                }
            }
            Err(why) => {
                if !lost {
                    say(&format!("hb: {why}; looked for again\n"));
                }
                lost = true;
                std::thread::sleep(AGAIN);
                // Another node may have taken over; while none answers, the one that was is asked again.
                if let Ok(Desk::Live(other)) = args.reach.looking() {
                    live = other;
                }
            }
        }
    }
}

fn say(text: &str) {
    // Where standard error is closed, what follows says enough.
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}

/// Shows what comes until the stream ends.
fn take(mut lines: Lines, args: &Args, last: &mut Option<u64>, out: &mut Out) -> Result<(), Failure> {
    while let Ok(Some(sent)) = lines.take_next() {
        let Ok(document) = serde_json::from_str::<Value>(&sent.data) else { continue };
        if sent.event == "gap" {
            say(&format!("hb: events {} to {} are not kept any more\n", document.sub("from"), document.sub("to")));
            continue;
        }
        if sent.id.is_some_and(|id| last.is_some_and(|last| id <= last)) {
            continue;
        }
        one(&document, args, out)?;
        out.finish()?;
        *last = sent.id.or(*last);
    }
    Ok(())
}

fn one(event: &Value, args: &Args, out: &mut Out) -> Result<(), Failure> {
    if args.json {
        return out.json(event);
    }
    line(event, ("", ""), out)
}

/// An event on one line behind `margin`; that it is about `known` is not said.
pub(super) fn line(event: &Value, (margin, known): (&str, &str), out: &mut Out) -> Result<(), Failure> {
    let at = event.stamp("at").map(told::moment).unwrap_or_default();
    let severity = event.text("severity");
    let painted = out.painted(&format!("{severity:<8}"), told::paint(&severity));
    let about = event.sub("about");
    let whom = ["agent", "team", "policy", "intervention", "group", "supervisor"];
    let whom = whom.iter().map(|key| about.text(key)).find(|name| !name.is_empty()).unwrap_or_default();
    let by = event.text("by");
    let by = if by.is_empty() || by == "hb" { String::new() } else { out.painted(&format!(" [{by}]"), Paint::Faint) };
    let (kind, message) = (event.text("kind"), event.text("message"));
    let whom = if whom.is_empty() || whom == known { String::new() } else { format!("{whom}: ") };
    let noted = event.sub("acknowledged").text("by");
    let noted = if noted.is_empty() { noted } else { out.painted(&format!(" (noted by {noted})"), Paint::Faint) };
    out.line(format_args!("{margin}{at} {painted} {kind:<27} {whom}{message}{by}{noted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_times_and_spans() {
        assert_eq!(since("90s"), Ok(Since::Ago(90.0)));
        assert_eq!(since("1.5h"), Ok(Since::Ago(5_400.0)));
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Since::At(Stamp(1_000_000_000))));
        for wrong in ["yesterday", "-5s", "infs", ""] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
