//! What the watches of this node decided, the versions of their baselines, who wrote when, and what operators ask of the nodes.

use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use hb_core::ids::{CycleNo, NodeName, WatchName};
use hb_core::node::cycle_line::CycleLine;
use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::watch::baseline::Baseline;
use hb_core::watch::decision::Counts;
use serde::{Deserialize, Serialize};

use super::call::{Call, Outcome, ok};
use super::problem::Problem;
use super::table::{CHANGE, Gives, LOOK, Parameter, RULE, Route, Takes};
use super::watching::{BaselineStep, Gates, Order, Refusal, Watching, Who};
use crate::report::{self, ReportInput, Rows};

/// Most cycles of one answer.
const CYCLES_MAX: usize = 1_000;
/// Cycles of an answer when it is not said how many.
const CYCLES: usize = 100;
/// Series of one answer.
const SERIES_MAX: usize = 2_000;
/// Series whose past one answer tells.
const PAST_MAX: usize = 100;
/// Reigns of an answer.
const REIGNS: usize = 20;
/// Most characters of a reason.
const REASON_MAX: usize = 1_000;

const ROOM: Route = Route { room: "watches", ..LOOK };
const BEFORE: Parameter = ("before", "number", "Only those before this cycle: `next` of the page before.");
const MOST: Parameter = ("limit", "limit", "How many to give.");

const STEP: Route = Route { room: "watches", takes: Takes::Maybe("Wish"), gives: Gives::Json("Baselines"), ..CHANGE };

const ORDER: Route = Route { room: "nodes", takes: Takes::Maybe("Reason"), gives: Gives::Accepted("Orders"), ..CHANGE };

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/watches/{watch}/cycles",
        name: "list_cycles",
        says: "Cycles of a watch as they stand in the journal, oldest first; the newest, where it is not said before which.",
        query: &[BEFORE, MOST],
        gives: Gives::Json("Cycles"),
        call: |call| Box::pin(cycles(call)),
        ..ROOM
    },
    Route {
        path: "/watches/{watch}/cycles/{cycle}",
        name: "get_cycle",
        says: "A decided cycle: its drivers, its counts, and its series beside what the baseline had of them.",
        gives: Gives::Json("Cycle"),
        call: |call| Box::pin(cycle(call)),
        ..ROOM
    },
    Route {
        path: "/watches/{watch}/cycles/{cycle}/report",
        name: "get_report",
        says: "The report of a cycle as one self-contained page of HTML.",
        gives: Gives::Page,
        call: |call| Box::pin(page_of(call)),
        ..ROOM
    },
    Route {
        path: "/watches/{watch}/cycles/{cycle}/past",
        name: "get_past",
        says: "How series went over the 60 cycles up to this one: the figure that is judged, cycle by cycle. Series are named by `names`, \
               separated by line ends.",
        query: &[("names", "text", "Which series, separated by line ends; at most 100.")],
        gives: Gives::Json("Past"),
        call: |call| Box::pin(past(call)),
        ..ROOM
    },
    Route {
        path: "/watches/{watch}/reigns",
        name: "list_reigns",
        says: "Which node wrote this watch's records, and since when; the newest 20, oldest first.",
        gives: Gives::Json("Reigns"),
        call: |call| Box::pin(reigns(call)),
        ..ROOM
    },
    Route {
        path: "/watches/{watch}/baselines",
        name: "list_baselines",
        says: "The versions behind a watch's baseline tag, oldest first.",
        gives: Gives::Json("Baselines"),
        call: |call| Box::pin(baselines(call)),
        ..ROOM
    },
    Route {
        path: "/watches/{watch}/baselines/{version}/request",
        name: "request_baseline",
        says: "Asks for a version to be put in force.",
        call: |call| Box::pin(rule(call, Step::Request)),
        ..STEP
    },
    Route {
        path: "/watches/{watch}/baselines/{version}/approve",
        name: "approve_baseline",
        says: "Agrees with somebody else's request.",
        call: |call| Box::pin(rule(call, Step::Approve)),
        needs: RULE.needs,
        ..STEP
    },
    Route {
        path: "/watches/{watch}/baselines/{version}/promote",
        name: "promote_baseline",
        says: "Puts a version in force; running nodes adopt it at their next cycle. `force` goes over closed gates and a missing agreement, \
               and the record says so.",
        call: |call| Box::pin(rule(call, Step::Promote)),
        needs: RULE.needs,
        ..STEP
    },
    Route {
        path: "/orders",
        name: "get_orders",
        says: "What operators ask of the nodes: a pause, a switchover, and how the newest one ended.",
        room: "nodes",
        gives: Gives::Json("Orders"),
        call: |call| Box::pin(orders(call)),
        ..LOOK
    },
    Route {
        path: "/switchover",
        name: "switch_over",
        says: "The active node is to hand over, to a node or to whoever stands first in line. Looking at the orders says what comes of it.",
        takes: Takes::Maybe("Switchover"),
        call: |call| Box::pin(switchover(call)),
        ..ORDER
    },
    Route {
        path: "/takeovers/pause",
        name: "pause_takeovers",
        says: "Nobody takes over until it is resumed; the active node works on.",
        call: |call| Box::pin(pause(call)),
        ..ORDER
    },
    Route {
        path: "/takeovers/resume",
        name: "resume_takeovers",
        says: "Standbys take over again.",
        call: |call| Box::pin(resume(call)),
        ..ORDER
    },
];

/// What somebody wants, and why.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wish {
    reason: String,
    force: bool,
}

/// Why somebody wants something.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reason {
    reason: String,
}

/// Who is to go on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Switchover {
    from: Option<NodeName>,
    to: Option<NodeName>,
    reason: String,
}

enum Step {
    Request,
    Approve,
    Promote,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, error, message) = match refusal {
            Refusal::NotFound(message) => (StatusCode::NOT_FOUND, "not_found", message),
            Refusal::Conflict(message) => (StatusCode::CONFLICT, "conflict", message),
            Refusal::Corrupt(message) => (StatusCode::SERVICE_UNAVAILABLE, "corrupt", message),
            Refusal::Unavailable(message) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", message),
        };
        Self::new(status, error, message)
    }
}

fn watch(call: &Call) -> WatchName {
    call.part("watch").into()
}

fn cycle_of(call: &Call) -> Result<CycleNo, Problem> {
    let text = call.part("cycle");
    let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.map(CycleNo).ok_or_else(|| Problem::not_found("cycle", text))
}

fn who(call: &Call, reason: &str) -> Result<Who, Problem> {
    let reason = reason.trim();
    if reason.chars().count() > REASON_MAX {
        let constraint = format!("at most {REASON_MAX} characters");
        return Err(
            Problem::invalid(format!("the reason is too long: {constraint} are kept")).field("reason", constraint)
        );
    }
    let reason = if reason.is_empty() { "none given" } else { reason };
    Ok(Who { by: call.person().to_string(), reason: reason.to_owned() })
}

/// A part of a watch's cycles.
#[derive(Debug, Serialize)]
struct CyclesDoc {
    watch: WatchName,
    items: Vec<CycleLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<CycleNo>,
}

async fn cycles(call: Call) -> Outcome {
    let watch = watch(&call);
    let before = call.number("before")?.map(CycleNo);
    let limit = call.number("limit")?.map_or(CYCLES, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    if !(1..=CYCLES_MAX).contains(&limit) {
        return Err(
            Problem::invalid(format!("limit has to be 1 to {CYCLES_MAX}")).field("limit", format!("1 to {CYCLES_MAX}"))
        );
    }
    let items = call
        .of_watches({
            let watch = watch.clone();
            move |watching| watching.cycles(&watch, before, limit)
        })
        .await?;
    let next =
        if items.len() < limit { None } else { items.first().map(|line| line.cycle).filter(|cycle| cycle.0 > 0) };
    ok(&CyclesDoc { watch, items, next })
}

fn decided(sealed: &Sealed) -> Option<&Arc<CycleDecided>> {
    if let Body::CycleDecided(decided) = &sealed.record.body { Some(decided) } else { None }
}

/// A record that decides this cycle, and the baseline that it was decided against as far as that can be had.
fn find(
    watching: &dyn Watching,
    watch: &WatchName,
    cycle: CycleNo,
) -> Result<(Sealed, Option<Arc<Baseline>>), Refusal> {
    let none = || {
        Refusal::NotFound(format!(
            "cycle {cycle} of {watch} is not in the journal: it is yet to come, or has been trimmed away"
        ))
    };
    let sealed = watching.cycle(watch, cycle)?.ok_or_else(none)?;
    let reference = decided(&sealed).and_then(|decided| decided.decision.baseline.as_ref());
    // What is shown of a cycle does not hang on a document that is gone.
    let baseline = reference.and_then(|reference| watching.document(reference.hash).ok());
    Ok((sealed, baseline))
}

/// A cycle for people who look closer.
#[derive(Debug, Serialize)]
struct CycleDoc<'a> {
    #[serde(flatten)]
    line: CycleLine,
    closed_by: hb_core::cycle::ClosedBy,
    since_utc: hb_core::time::Stamp,
    counts: &'a Counts,
    baseline: Option<&'a hb_core::watch::decision::BaselineRef>,
    baseline_stale_sec: Option<u64>,
    learning_left: Option<u32>,
    drivers: &'a [hb_core::watch::decision::Driver],
    drivers_unnamed: u32,
    faults: &'a [hb_core::watch::decision::DataFault],
    series: Rows<'a>,
    series_total: usize,
}

async fn cycle(call: Call) -> Outcome {
    let (watch, number) = (watch(&call), cycle_of(&call)?);
    let (sealed, baseline) = call.of_watches(move |watching| find(watching, &watch, number)).await?;
    let (Some(decided), Some(line)) = (decided(&sealed), CycleLine::of(&sealed)) else {
        return Err(Problem::not_found("cycle", &number.to_string()));
    };
    let decision = &decided.decision;
    ok(&CycleDoc {
        line,
        closed_by: decided.closed_by,
        since_utc: decided.episode.since,
        counts: &decision.counts,
        baseline: decision.baseline.as_ref(),
        baseline_stale_sec: decision.baseline_stale_sec,
        learning_left: decision.learning_left,
        drivers: &decision.drivers,
        drivers_unnamed: decision.drivers_unnamed,
        faults: &decision.faults,
        series: Rows::of(decided, baseline.as_deref(), SERIES_MAX),
        series_total: decision.series.rows.len(),
    })
}

async fn page_of(call: Call) -> Outcome {
    let (watch, number) = (watch(&call), cycle_of(&call)?);
    let rendered = call.of_watches(move |watching| {
        let (sealed, baseline) = find(watching, &watch, number)?;
        let trend = watching.trend(&watch, number)?;
        let input = ReportInput::new(&sealed, baseline.as_deref(), &trend);
        Ok(input.map(|input| report::render(&input).html))
    });
    let html = rendered.await?.ok_or_else(|| Problem::not_found("cycle", &number.to_string()))?;
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, report::POLICY_HEADER.clone()),
    ];
    Ok((headers, html).into_response())
}

/// How series went.
#[derive(Debug, Serialize)]
struct PastDoc {
    cycle: CycleNo,
    series: Vec<PastSeries>,
}

/// How one went: the cycles that had it, and its figure in each.
#[derive(Debug, Serialize)]
struct PastSeries {
    name: String,
    cycles: Vec<CycleNo>,
    values: Vec<f64>,
}

async fn past(call: Call) -> Outcome {
    let (watch, number) = (watch(&call), cycle_of(&call)?);
    let names: Vec<String> = call.asked("names").unwrap_or_default().split('\n').map(str::to_owned).collect();
    if names.len() > PAST_MAX {
        return Err(Problem::invalid(format!("at most {PAST_MAX} series at a time")).field("names", "at most 100"));
    }
    let found = call.of_watches(move |watching| {
        let (sealed, baseline) = find(watching, &watch, number)?;
        let trend = watching.trend(&watch, number)?;
        let one = |name: String| {
            let known = baseline.as_deref().and_then(|baseline| baseline.series.get(name.as_str()));
            let (cycles, values) = report::past(&trend, &name, known).unzip();
            PastSeries { name, cycles, values }
        };
        drop(sealed);
        Ok(names.into_iter().filter(|name| !name.is_empty()).map(one).collect())
    });
    ok(&PastDoc { cycle: number, series: found.await? })
}

/// Who wrote when.
#[derive(Debug, Serialize)]
struct ReignsDoc {
    watch: WatchName,
    items: Vec<super::watching::ReignDoc>,
}

async fn reigns(call: Call) -> Outcome {
    let watch = watch(&call);
    let asked = watch.clone();
    let items = call.of_watches(move |watching| watching.reigns(&asked, REIGNS)).await?;
    ok(&ReignsDoc { watch, items })
}

async fn baselines(call: Call) -> Outcome {
    let watch = watch(&call);
    ok(&call.of_watches(move |watching| watching.baselines(&watch)).await?)
}

async fn rule(call: Call, step: Step) -> Outcome {
    let Wish { reason, force } = call.json()?;
    let step = match step {
        Step::Request => BaselineStep::Request,
        Step::Approve => BaselineStep::Approve,
        Step::Promote => BaselineStep::Promote(if force { Gates::Override } else { Gates::Hold }),
    };
    if force && reason.trim().is_empty() {
        let message = "going over closed gates needs a reason: it stands in the record";
        return Err(Problem::invalid(message).field("reason", "a reason"));
    }
    let (watch, who) = (watch(&call), who(&call, &reason)?);
    let text = call.part("version").to_owned();
    let version: u32 = text.parse().map_err(|_| Problem::not_found("version", &text))?;
    ok(&call.of_watches(move |watching| watching.rule(&watch, version, step, &who)).await?)
}

async fn orders(call: Call) -> Outcome {
    ok(&call.of_watches(|watching| watching.orders()).await?)
}

async fn order(call: &Call, order: Order, reason: &str) -> Outcome {
    let who = who(call, reason)?;
    let orders = call.of_watches(move |watching| watching.order(order, &who)).await?;
    Ok(super::call::json(StatusCode::ACCEPTED, &orders))
}

async fn switchover(call: Call) -> Outcome {
    let Switchover { from, to, reason } = call.json()?;
    order(&call, Order::Switchover { from, to }, &reason).await
}

async fn pause(call: Call) -> Outcome {
    let Reason { reason } = call.json()?;
    order(&call, Order::Pause, &reason).await
}

async fn resume(call: Call) -> Outcome {
    let Reason { reason } = call.json()?;
    order(&call, Order::Resume, &reason).await
}
