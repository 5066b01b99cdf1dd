//! The plain page of health, for whoever has no script: written whole by the server, and taken anew by the browser every five seconds.
//! What it shows is a snapshot, so that drawing it holds nobody up.

mod watch;

use hb_core::node::view::{Alarm, Role, SourceView, View, WatchView};
use hb_core::watch::decision::Status;
use maud::{DOCTYPE, Markup, html};

use crate::figure;
use crate::onlooker::{Check, Liveness, Onlooker};
use crate::svg::icon;

/// The page's style sheet.
pub(crate) const STYLE: &str =
    concat!(include_str!("../theme.css"), include_str!("../../look.css"), include_str!("plain.css"));

/// Most watches that the page draws.
const WATCHES_MAX: usize = 200;

/// The whole page; `agents` is the part of a supervisor, empty where there is none.
pub(crate) fn render(onlooker: &dyn Onlooker, agents: &Markup) -> String {
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
                meta http-equiv="refresh" content="5";
            }
            body {
                div id="live" {
                    (top(&view, &liveness))
                    main {
                        (standing(view.role))
                        (alarms(&view.alarms, &liveness))
                        @if !view.watches.is_empty() || agents.0.is_empty() { (watches(onlooker, &view)) }
                        (agents)
                        (readiness(&checks, &liveness))
                    }
                }
                footer { p {
                    "The whole page, with a script: " a href="/" { "here" } ". For programs: " a href="/v1/status" { "status" } " · " a href="/metrics" { "metrics" } " · "
                    a href="/ready" { "ready" } " · " a href="/live" { "live" }
                } }
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

/// The worst first, and among equals by name: what needs somebody must not stand below the fold.
fn watches(onlooker: &dyn Onlooker, view: &View) -> Markup {
    let mut shown: Vec<&WatchView> = view.watches.iter().collect();
    let urgency = |watch: &WatchView| {
        let failed = matches!(watch.source, SourceView::Failed { .. });
        watch.status.map_or(1, rank).max(if failed { rank(Status::NoData) } else { 0 })
    };
    shown.sort_by(|a, b| urgency(b).cmp(&urgency(a)).then_with(|| a.name.cmp(&b.name)));
    html! {
        @if view.watches.is_empty() { section { p class="empty" { "No watch is set up, or none has been read yet." } } }
        @for watch in shown.into_iter().take(WATCHES_MAX) { (watch::card(watch, &onlooker.recent(&watch.name, watch::CYCLES))) }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hb_core::ids::{Epoch, WatchName};
    use hb_core::node::view::Totals;
    use hb_core::time::Stamp;

    use super::*;
    use crate::metrics::Metrics;
    use crate::report::tests::{cycle, row, sealed};
    use hb_core::node::cycle_line::CycleLine;

    struct Fake {
        view: Arc<View>,
        liveness: Liveness,
    }

    impl Onlooker for Fake {
        fn view(&self) -> Arc<View> {
            Arc::clone(&self.view)
        }

        fn checks(&self) -> Vec<Check> {
            vec![Check::passed("config"), Check::failed("db", "locked by <another>")]
        }

        fn liveness(&self) -> Liveness {
            self.liveness.clone()
        }

        fn metrics(&self) -> Metrics {
            Metrics::default()
        }

        fn recent(&self, _watch: &WatchName, newest: usize) -> Vec<CycleLine> {
            assert!(newest <= 200, "bounded");
            vec![CycleLine::of(&sealed(cycle(3, Status::Pass, vec![row("a", 1.0)]))).unwrap()]
        }
    }

    fn watch(name: &str, status: Option<Status>) -> WatchView {
        WatchView {
            name: name.into(),
            cycle: None,
            status,
            last: None,
            seq: None,
            epoch: Epoch(1),
            lag_seconds: f64::NAN,
            source: SourceView::Open,
            baseline: None,
            undelivered: 0,
            totals: Totals::default(),
        }
    }

    fn page(role: Role, watches: Vec<WatchView>, alive: Liveness) -> String {
        let alarms = vec![Alarm { name: "view.db".to_owned(), what: "<full>".to_owned(), since: Stamp(0), count: 2 }];
        let view = Arc::new(View { node: Some("a".into()), role, epoch: Epoch(7), watches, alarms, ..View::default() });
        render(&Fake { view, liveness: alive }, &html! {})
    }

    fn well() -> Liveness {
        Liveness { alive: true, reason: None, since_progress_ms: 1, bound_ms: 2 }
    }

    #[test]
    fn the_worst_watch_stands_first_and_in_the_title() {
        let watches = vec![
            watch("calm", Some(Status::Pass)),
            watch("drifting", Some(Status::PassWithDrift)),
            watch("broken", Some(Status::Fail)),
            watch("young", None),
        ];
        let page = page(Role::Active, watches, well());
        let order: Vec<_> =
            ["broken", "drifting", "young", "calm"].map(|name| page.find(&format!("<h2>{name}")).unwrap()).into();
        assert!(order.is_sorted(), "{order:?}");
        assert!(page.contains("<title>FAIL · active · a</title>"), "{page}");
        assert!(
            page.contains("&lt;full&gt;") && page.contains("locked by &lt;another&gt;") && !page.contains("<full>")
        );
    }

    #[test]
    fn every_role_says_what_it_means_and_a_hung_node_says_so_first() {
        for role in [Role::Standby, Role::TakingOver, Role::Draining, Role::Fenced] {
            assert!(page(role, Vec::new(), well()).contains("class=\"notice\""), "{role:?}");
        }
        assert!(!page(Role::Active, Vec::new(), well()).contains("class=\"notice\""));
        let hung =
            Liveness { alive: false, reason: Some("the disk".to_owned()), since_progress_ms: 61_000, bound_ms: 5_000 };
        let page = page(Role::Active, Vec::new(), hung);
        assert!(page.contains("<title>HUNG") && page.contains("The work loop hangs: ") && page.contains("61 s"));
    }
}
