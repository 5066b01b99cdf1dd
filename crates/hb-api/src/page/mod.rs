//! The small page of health: whoever opens it in the night knows within seconds whether all is well.
//!
//! It is written whole by the server and needs no script; with one, it takes itself anew every two seconds and says when that
//! fails. What it shows is a snapshot, so that drawing it holds nobody up.

mod watch;

use hb_core::node::view::{Alarm, Role, View};
use hb_core::watch::decision::Status;
use maud::{DOCTYPE, Markup, html};

use crate::figure;
use crate::onlooker::{Check, Liveness, Onlooker};
use crate::svg::icon;

/// The page's style sheet.
pub(crate) const STYLE: &str = concat!(include_str!("../look.css"), include_str!("page.css"));
/// The page's script.
pub(crate) const SCRIPT: &str = include_str!("page.js");
/// The page's icon.
pub(crate) const ICON: &str = include_str!("icon.svg");

/// Most watches that the page draws.
const WATCHES_MAX: usize = 200;

/// The whole page.
pub(crate) fn render(onlooker: &dyn Onlooker) -> String {
    let view = onlooker.view();
    let liveness = onlooker.liveness();
    let checks = onlooker.checks();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title(&view, &liveness)) }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/favicon.svg" type="image/svg+xml";
                script type="module" src="/page.js" {}
                noscript { meta http-equiv="refresh" content="5"; }
            }
            body {
                div id="live" {
                    (top(&view, &liveness))
                    main {
                        (standing(view.role))
                        (alarms(&view.alarms, &liveness))
                        (watches(onlooker, &view))
                        (readiness(&checks, &liveness))
                    }
                }
                footer { p {
                    "For programs: " a href="/v1/status" { "status" } " · " a href="/metrics" { "metrics" } " · "
                    a href="/ready" { "ready" } " · " a href="/live" { "live" }
                } }
                div id="connection" role="alert" hidden {}
            }
        }
    }
    .into_string()
}

/// What a tab in the background tells: the worst first.
fn title(view: &View, liveness: &Liveness) -> String {
    let node = view.node.as_ref().map_or("hb", |node| node.as_str());
    let what = if liveness.alive { worst(view).map_or("no cycle yet", Status::as_str) } else { "HUNG" };
    format!("{what} · {} · {node}", view.role.as_str())
}

fn rank(status: Status) -> u8 {
    match status {
        Status::Pass => 0,
        Status::NoBaseline => 1,
        Status::PassWithDrift => 2,
        Status::NoData => 3,
        Status::Fail => 4,
    }
}

fn worst(view: &View) -> Option<Status> {
    view.watches.iter().filter_map(|watch| watch.status).max_by_key(|status| rank(*status))
}

fn top(view: &View, liveness: &Liveness) -> Markup {
    let (class, text) = if liveness.alive { (view.role.as_str(), role_text(view.role)) } else { ("hung", "● hung") };
    html! {
        header {
            div class="top" {
                h1 { "hb " @if let Some(node) = &view.node { span class="name" { (node.as_str()) } } }
                span class={ "role " (class) } { (text) }
                span { "epoch " (view.epoch) }
            }
            div class="glance" {
                @for status in Status::ALL {
                    @let count = view.watches.iter().filter(|watch| watch.status == Some(status)).count();
                    @if count > 0 { span { (count) " " (icon(status)) } }
                }
            }
        }
    }
}

fn role_text(role: Role) -> &'static str {
    match role {
        Role::Standby => "◐ standby",
        Role::TakingOver => "◒ taking over",
        Role::Active => "● active",
        Role::Draining => "◌ draining",
        Role::Fenced => "✕ fenced",
    }
}

/// What a node that is not the active one means for what is shown.
fn standing(role: Role) -> Markup {
    let text = match role {
        Role::Active => return html! {},
        Role::Standby => {
            "This node stands by. It shows what it reads in the journal, and goes on when the active node ends."
        }
        Role::TakingOver => "This node is taking over: it opens its epoch and decides from the next cycle on.",
        Role::Draining => "This node is stopping of its own will.",
        Role::Fenced => "Another node has taken over. This one decides nothing any more and should be restarted.",
    };
    html! { p class="notice" { (text) } }
}

fn alarms(alarms: &[Alarm], liveness: &Liveness) -> Markup {
    if alarms.is_empty() && liveness.alive {
        return html! {};
    }
    html! {
        section class="alarms" aria-label="Alarms" {
            h2 { "▲ Alarms" }
            ul {
                @if !liveness.alive {
                    li {
                        strong { "The work loop hangs: " } (liveness.reason.as_deref().unwrap_or("it makes no progress"))
                        " (" (figure::duration(liveness.since_progress_ms as f64 / 1e3)) " without progress, "
                        (figure::duration(liveness.bound_ms as f64 / 1e3)) " allowed)"
                    }
                }
                @for alarm in alarms {
                    li {
                        strong class="name" { (alarm.name) } ": " (alarm.what)
                        span class="fine" { " since " (figure::moment(alarm.since)) @if alarm.count > 1 { ", " (alarm.count) " times" } }
                    }
                }
            }
        }
    }
}

fn watches(onlooker: &dyn Onlooker, view: &View) -> Markup {
    html! {
        @if view.watches.is_empty() { section { p class="empty" { "No watch is set up, or none has been read yet." } } }
        @for watch in view.watches.iter().take(WATCHES_MAX) { (watch::card(watch, &onlooker.recent(&watch.name, watch::CYCLES))) }
        @if view.watches.len() > WATCHES_MAX {
            p class="warning" { "Only " (WATCHES_MAX) " of " (view.watches.len()) " watches are drawn; /v1/status lists all." }
        }
    }
}

fn readiness(checks: &[Check], liveness: &Liveness) -> Markup {
    let work = match &liveness.reason {
        _ if liveness.alive => Check::passed("work loop"),
        Some(reason) => Check::failed("work loop", reason.as_str()),
        None => Check::failed("work loop", "it makes no progress"),
    };
    html! {
        section class="checks" {
            h2 { "Checks" }
            ul { (check(&work)) @for one in checks { (check(one)) } }
            @if checks.is_empty() { p class="empty" { "No check has been made yet." } }
        }
    }
}

fn check(check: &Check) -> Markup {
    html! {
        li {
            @if check.ok {
                span class="sign good" { "✓ ok" }
                span class="what" { (check.name) }
            } @else {
                span class="sign bad" { "✕ failed" }
                span class="what" { strong { (check.name) } ": " (check.what) }
            }
        }
    }
}
