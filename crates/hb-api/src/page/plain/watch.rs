//! One watch on the page.

use hb_core::node::view::{SourceView, WatchView};
use hb_core::watch::decision::{Decision, Driver, Severity, Status};
use maud::{Markup, html};

use crate::figure;
use crate::svg::{Cell, band, icon};
use hb_core::node::cycle_line::CycleLine;

/// Cycles in a watch's band.
pub(super) const CYCLES: usize = 120;
/// Drivers that are shown.
const DRIVERS_MAX: usize = 5;

/// The watch with its status, last cycles, figures and drivers.
pub(super) fn card(watch: &WatchView, recent: &[CycleLine]) -> Markup {
    let decision = watch.last.as_deref().map(|last| &last.decision);
    let class = match watch.status {
        Some(Status::Fail | Status::NoData) => "watch fail",
        Some(Status::PassWithDrift) => "watch drift",
        Some(Status::Pass | Status::NoBaseline) | None => "watch",
    };
    html! {
        section class=(class) {
            div class="title" {
                h2 { (watch.name.as_str()) }
                @match watch.status {
                    Some(status) => (icon(status)),
                    None => { span class="empty" { "no cycle decided yet" } }
                }
            }
            @if let Some(decision) = decision { p { (figure::sentence(decision)) } }
            @if let SourceView::Failed { reason } = &watch.source { p class="warning" { strong { "Source: " } (reason) } }
            (band(recent.iter().map(|line| Cell { cycle: line.cycle, status: line.status })))
            (facts(watch, decision))
            @if let Some(decision) = decision { (drivers(decision)) }
        }
    }
}

fn facts(watch: &WatchView, decision: Option<&Decision>) -> Markup {
    let since = watch.last.as_deref().map(|last| last.episode.since);
    html! {
        dl class="facts" {
            @if let Some(cycle) = watch.cycle { (fact("cycle", html! { (cycle) })) }
            @if let Some(since) = since { (fact("this status since", figure::moment(since))) }
            @if let Some(decision) = decision { (fact("decided up to", figure::moment(decision.span.end))) }
            @if watch.cycle.is_some() { (fact("lag", html! { (figure::duration(watch.lag_seconds)) })) }
            (fact("source", html! { (source(&watch.source)) }))
            (fact("baseline", baseline(watch, decision)))
            @if let Some(decision) = decision {
                @let counts = &decision.counts;
                (fact("samples", html! { (figure::count(counts.window.samples)) }))
                @if counts.late > 0 { (fact("late", html! { (figure::count(counts.late)) })) }
                @if counts.dropped() > 0 { (fact("dropped", html! { (figure::count(counts.dropped())) })) }
            }
            @if watch.undelivered > 0 { (fact("alerts on their way", html! { (watch.undelivered) })) }
        }
    }
}

fn fact(name: &str, value: Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn source(source: &SourceView) -> &'static str {
    match source {
        SourceView::Closed => "closed",
        SourceView::Open => "open",
        SourceView::Ended => "at its end",
        SourceView::Failed { .. } => "✕ cannot be read",
    }
}

fn baseline(watch: &WatchView, decision: Option<&Decision>) -> Markup {
    let stale = decision.and_then(|decision| decision.baseline_stale_sec);
    let left = decision.and_then(|decision| decision.learning_left);
    html! {
        @match (&watch.baseline, left) {
            (Some(baseline), _) => { (baseline.tag) " version " (baseline.version) },
            (None, Some(left)) => { "learning, " (left) " more cycles" },
            (None, None) => "none",
        }
        @if let Some(age) = stale { ", stale: " (figure::duration(age as f64)) " old" }
    }
}

fn drivers(decision: &Decision) -> Markup {
    let more = decision.drivers.len().saturating_sub(DRIVERS_MAX).saturating_add(decision.drivers_unnamed as usize);
    if decision.drivers.is_empty() {
        return html! {};
    }
    html! {
        ul class="drivers" {
            @for driver in decision.drivers.iter().take(DRIVERS_MAX) { (one_driver(driver)) }
            @if more > 0 { li class="fine" { "and " (more) " more, in the cycle's report" } }
        }
    }
}

fn one_driver(driver: &Driver) -> Markup {
    let severity = match driver.severity {
        Severity::Fail => "FAIL",
        Severity::Drift => "DRIFT",
        Severity::Notice => "NOTICE",
    };
    html! {
        li {
            strong class="name" { (driver.series) } " "
            span class="chip" { (severity) " · " (driver.rule.as_str()) " · since cycle " (driver.onset) }
            p { (driver.reason) }
            p class="fine" { "Next: " (driver.next) }
        }
    }
}
