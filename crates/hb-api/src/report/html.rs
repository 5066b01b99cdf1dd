//! The page of a report.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hb_core::node::fact::CycleDecided;
use hb_core::watch::decision::{Counts, Decision, Direction, Driver, Severity};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::{ReportInput, evidence, rows};
use crate::figure;
use crate::svg::{self, Cell, compare, icon};

/// Drivers that get plots; all others get figures and words.
const PLOTTED_MAX: usize = 12;

/// The style sheet.
pub(super) const STYLE: &str =
    concat!(include_str!("../page/theme.css"), include_str!("../look.css"), include_str!("report.css"));
/// The page may load nothing, run nothing, and be part of nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// What a report that is served may load: its own style sheet, known by its hash, and nothing else.
pub(crate) static POLICY_HEADER: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("it is made of ASCII")
});

/// The whole page.
pub(super) fn page(input: &ReportInput<'_>) -> String {
    let decided = input.decided;
    let decision = &decided.decision;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (decision.status.as_str()) " · " (decided.watch.as_str()) " cycle " (decision.cycle) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(decided))
                main {
                    (drivers(input))
                    (faults(decision))
                    (past(input))
                    (section("Counts", counts(&decision.counts)))
                    @if let Some(furthest) = rows::furthest(input) { (section("Furthest from the baseline", furthest)) }
                    (section("All series", rows::all(input)))
                    (section("Where this comes from", provenance(input)))
                }
            }
        }
    }
    .into_string()
}

fn section(title: &str, inside: Markup) -> Markup {
    html! { section { h2 { (title) } (inside) } }
}

fn head(decided: &CycleDecided) -> Markup {
    let decision = &decided.decision;
    html! {
        header {
            p class="where" { "hb · watch " strong { (decided.watch.as_str()) } " · cycle " strong { (decision.cycle) } }
            h1 { (icon(decision.status)) }
            p class="headline" { (figure::sentence(decision)) }
            p class="when" {
                (figure::moment(decision.span.start)) " to " (figure::moment(decision.span.end))
                " · " (figure::duration(decision.span.seconds()))
                @if decided.episode.since < decision.span.start { " · this status since " (figure::moment(decided.episode.since)) }
            }
            @if let Some(left) = decision.learning_left {
                p class="notice" { "Learning: " (left) " more cycles with data until a baseline can be made." }
            }
            @if let Some(age) = decision.baseline_stale_sec {
                p class="warning" { "The baseline is stale: " (figure::duration(age as f64)) " old." }
            }
        }
    }
}

fn drivers(input: &ReportInput<'_>) -> Markup {
    let decision = &input.decided.decision;
    if decision.drivers.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "What drives it" }
            div class="drivers" {
                @for (rank, driver) in decision.drivers.iter().enumerate() {
                    (one_driver(driver, plots(input, &decision.drivers, rank)))
                }
            }
            @if decision.drivers_unnamed > 0 {
                p class="warning" { "And " (decision.drivers_unnamed) " more that are counted but not named." }
            }
        }
    }
}

/// The plots of the driver at `rank`, unless it is far down or an earlier driver has drawn the same.
fn plots(input: &ReportInput<'_>, drivers: &[Driver], rank: usize) -> Markup {
    let Some(driver) = drivers.get(rank).filter(|_| rank < PLOTTED_MAX) else { return html! {} };
    let before = drivers.iter().take(rank).filter(|earlier| earlier.series == driver.series);
    let line = evidence::line(input, driver)
        .filter(|_| before.clone().all(|earlier| evidence::line(input, earlier).is_none()));
    let shape = evidence::shape(input, driver);
    let told = |earlier: &Driver| {
        earlier.current == driver.current && (driver.limit.is_none() || driver.limit == earlier.limit)
    };
    let drawn = shape.is_some() || before.clone().any(told);
    let comparison = evidence::comparison(input, driver).filter(|_| !drawn);
    let unit = evidence::unit(input, driver);
    html! {
        @if comparison.is_some() || line.is_some() || shape.is_some() {
            div class="plots" {
                @if let Some(shape) = shape {
                    figure { (shape) figcaption { "share of readings at or below a value; dashed: the baseline" } }
                }
                @if let Some(comparison) = comparison {
                    figure { (compare(&comparison, unit)) figcaption { "this cycle against the baseline's windows" } }
                }
                @if let Some(line) = line {
                    figure { (svg::trend(&line, unit)) figcaption { "over cycles" @if !unit.is_empty() { ", in " (unit) } } }
                }
            }
        }
    }
}

fn one_driver(driver: &Driver, plots: Markup) -> Markup {
    let (class, severity) = match driver.severity {
        Severity::Fail => ("fail", "FAIL"),
        Severity::Drift => ("drift", "DRIFT"),
        Severity::Notice => ("note", "NOTICE"),
    };
    html! {
        article class={ "driver " (class) } {
            h3 { span class="name" { (driver.series) } " " (arrow(driver.direction)) }
            p class="chips" {
                span class="chip severity" { (severity) } " " span class="chip" { (driver.rule.as_str()) } " "
                span class="chip" {
                    "since cycle " (driver.onset)
                    @if driver.persistence > 1 { ", " (driver.persistence) " in a row" }
                }
            }
            p { (driver.reason) }
            (figures(driver))
            (plots)
            @if !driver.next.is_empty() { p class="next" { strong { "Next: " } (driver.next) } }
        }
    }
}

fn arrow(direction: Direction) -> Markup {
    let (sign, word) = match direction {
        Direction::Up => ("▲", "up"),
        Direction::Down => ("▼", "down"),
        Direction::None => return html! {},
    };
    html! { span class="arrow" { (sign) " " (word) } }
}

fn figures(driver: &Driver) -> Markup {
    let unit = driver.unit.as_str();
    let shown = [
        ("now", driver.current, unit),
        ("baseline", driver.baseline, unit),
        ("difference", driver.delta, unit),
        ("in per cent", driver.percent, "%"),
        ("in σ", driver.sigmas, ""),
        ("limit", driver.limit, unit),
    ];
    html! {
        dl class="figures" {
            @for (name, value, unit) in shown {
                @if let Some(value) = value { div { dt { (name) } dd { (figure::text(value)) " " (unit) } } }
            }
            @if let Some(p) = driver.p { div { dt { "by chance" } dd { (figure::probability(p)) } } }
        }
    }
}

fn faults(decision: &Decision) -> Markup {
    if decision.faults.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Faults of the data" }
            ul class="faults" {
                @for fault in &decision.faults {
                    li { @if !fault.series.is_empty() { strong class="name" { (fault.series) } ": " } (fault.what) }
                }
            }
        }
    }
}

fn past(input: &ReportInput<'_>) -> Markup {
    let cells = input.past().map(|past| Cell { cycle: past.cycle, status: past.status });
    html! {
        section {
            h2 { "Cycles up to this one" }
            (svg::band(cells))
            (svg::legend())
        }
    }
}

/// The counts as sums that can be checked by eye (W4).
fn counts(counts: &Counts) -> Markup {
    let window = &counts.window;
    let rows = [
        ("counted", window.samples, "+"),
        ("dropped: not finite", window.not_finite, "+"),
        ("dropped: repeated", window.repeated, "+"),
        ("dropped: unit", window.unit, "+"),
        ("dropped: beyond the bound of series", window.too_many_series, "+"),
        ("late, told with this cycle", counts.late, "+"),
        ("dropped: dated in the future", counts.future, "+"),
    ];
    let done = counts.delivered_total.saturating_sub(counts.pending);
    html! {
        div class="sums" {
            table {
                tbody {
                    @for (what, count, sign) in rows {
                        @if count > 0 || what == "counted" { tr { th { (what) } td { (sign) } td { (figure::count(count)) } } }
                    }
                    @for (cause, count) in &counts.faults {
                        tr { th { "no sample: " (cause.as_str()) } td { "+" } td { (figure::count(*count)) } }
                    }
                }
                tfoot { tr { th { "accounted for by this cycle" } td { "=" } td { (figure::count(counts.accounted())) } } }
            }
            table {
                tbody {
                    tr { th { "accounted for by all cycles up to this one" } td { "+" } td { (figure::count(done)) } }
                    tr { th { "waiting in cycles that are still open" } td { "+" } td { (figure::count(counts.pending)) } }
                }
                tfoot { tr {
                    th { "delivered by the source since the watch began" } td { "=" }
                    td { (figure::count(counts.delivered_total)) }
                } }
            }
        }
        @if window.out_of_order > 0 {
            p class="fine" { "Of those counted, " (figure::count(window.out_of_order)) " came out of order." }
        }
        @if counts.late > 0 {
            p class="fine" { "The latest came " (figure::duration(counts.late_max_ns as f64 / 1e9)) " after the end of its cycle." }
        }
    }
}

fn provenance(input: &ReportInput<'_>) -> Markup {
    let (record, decided) = (&input.sealed.record, input.decided);
    let decision = &decided.decision;
    let closed = serde_json::to_value(decided.closed_by).ok();
    let closed = closed.as_ref().and_then(|text| text.as_str()).unwrap_or_default();
    html! {
        dl class="provenance" {
            dt { "record" } dd { (record.stream.as_str()) " " (record.seq) }
            dt { "written" } dd { (figure::moment(record.at)) " by node " (record.node.as_str()) ", epoch " (record.epoch) }
            dt { "hash" } dd { code { (input.sealed.hash) } }
            dt { "digest of the decision" } dd { code { (decided.digest) } }
            dt { "settings" } dd { code { (decision.settings) } }
            dt { "baseline" }
            dd {
                @match &decision.baseline {
                    Some(baseline) => { (baseline.tag) " version " (baseline.version) " " code { (baseline.hash) } }
                    None => { "none" }
                }
                @if let Some(baseline) = input.baseline {
                    br; "from " (baseline.provenance.from) ", " (figure::moment(baseline.provenance.span.start)) " to "
                    (figure::moment(baseline.provenance.span.end)) ", " (baseline.provenance.windows) " windows, "
                    (figure::count(baseline.provenance.samples)) " samples, by " (baseline.provenance.by)
                }
            }
            dt { "closed by" } dd { (closed) }
            dt { "read on from" } dd { "position " (decided.resume.mark.position) }
            @if let Some(alert) = &decided.alert { dt { "alert" } dd { (alert.key) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use hb_core::journal::{Hash, Record as Envelope, seal};
    use hb_core::node::fact::Body;
    use hb_core::watch::decision::{BaselineRef, DataFault, Rule, Status};
    use hb_core::watch::sample::FaultCause;

    use super::super::tests::{baseline, cycle, driver, row, sealed};
    use super::super::{ROWS_MAX, Trend};
    use super::*;
    use hb_core::watch::baseline::Figure;

    const EVIL: &str = "</style><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>";

    #[test]
    fn everything_that_comes_from_outside_is_escaped() {
        let mut trend = Trend::default();
        let mut bad = row(EVIL, 31.25);
        bad.unit = EVIL.into();
        trend.push(&cycle(39, Status::Pass, vec![bad.clone()]));
        let mut decided = cycle(40, Status::Fail, vec![bad]);
        decided.watch = EVIL.into();
        let decision = &mut decided.decision;
        decision.headline = EVIL.to_owned();
        decision.drivers =
            vec![driver(EVIL, Rule::InvariantMax, Severity::Fail), driver(EVIL, Rule::Silent, Severity::Drift)];
        for driver in &mut decision.drivers {
            EVIL.clone_into(&mut driver.unit);
            EVIL.clone_into(&mut driver.reason);
            EVIL.clone_into(&mut driver.next);
        }
        decision.faults = vec![DataFault { series: EVIL.to_owned(), what: EVIL.to_owned() }];
        decision.baseline = Some(BaselineRef { tag: EVIL.to_owned(), version: 1, hash: Hash::ZERO });
        decided.resume.mark.token = EVIL.into();
        let sealed = seal(Envelope { node: EVIL.into(), stream: EVIL.into(), ..sealed(decided).record });
        let newest = ReportInput::new(&sealed, None, &Trend::default()).unwrap().decided.clone();
        trend.push(&newest);
        let page = page(&ReportInput::new(&sealed, None, &trend).unwrap());
        assert!(page.contains("&lt;script&gt;") && page.contains("<polyline"), "the plots are drawn too");
        for tag in ["<script", "<img", "onerror=alert(1)>"] {
            assert!(!page.contains(tag), "{tag}");
        }
        assert_eq!(page.matches("</style>").count(), 1);
    }

    #[test]
    fn w4_counts_add_up_on_the_page() {
        let mut decided = cycle(40, Status::Pass, vec![row("a", 1.0)]);
        let counts = &mut decided.decision.counts;
        counts.window.not_finite = 7;
        counts.late = 20;
        counts.future = 3;
        counts.faults.insert(FaultCause::Malformed, 1_000);
        assert_eq!(counts.accounted(), 1_130);
        let shown = super::counts(counts).into_string();
        let cell = |what: &str, count: &str| format!("<th>{what}</th><td>+</td><td>{count}</td>");
        for (what, count) in [
            ("counted", "100"),
            ("dropped: not finite", "7"),
            ("late, told with this cycle", "20"),
            ("dropped: dated in the future", "3"),
            ("no sample: malformed", "1\u{202f}000"),
            ("accounted for by all cycles up to this one", "4\u{202f}000"),
            ("waiting in cycles that are still open", "100"),
        ] {
            assert!(shown.contains(&cell(what, count)), "{what}: {shown}");
        }
        assert!(shown.contains("<td>=</td><td>1\u{202f}130</td>") && shown.contains("<td>=</td><td>4\u{202f}100</td>"));
    }

    #[test]
    fn b1_a_cut_table_says_so_and_other_records_have_no_report() {
        let trend = Trend::default();
        let rows = (0..ROWS_MAX + 1).map(|index| row(&format!("s{index:05}"), 1.0)).collect();
        let sealed = sealed(cycle(1, Status::NoBaseline, rows));
        let page = page(&ReportInput::new(&sealed, None, &trend).unwrap());
        assert!(page.contains("of 2\u{202f}001 series are listed") && !page.contains("s02000"));
        let closed = Body::EpochClosed { reason: "over".to_owned() };
        let other = seal(Envelope { body: closed, ..sealed.record });
        assert!(ReportInput::new(&other, None, &trend).is_none());
    }

    #[test]
    fn the_page_needs_nothing_from_anywhere() {
        let trend = Trend::default();
        let mut decided = cycle(40, Status::Fail, vec![row("a", 1.0)]);
        decided.decision.drivers = vec![driver("a", Rule::Level, Severity::Drift)];
        let sealed = sealed(decided);
        let page = page(&ReportInput::new(&sealed, None, &trend).unwrap());
        for outside in ["http://", "https://", "src=", "url(", "@import", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn figures_of_any_size_are_drawn_without_breaking_the_picture() {
        let sizes = [0.0, -0.0, 1e-300, -1e300, f64::MAX, f64::MIN, f64::EPSILON, 1e9 + 0.5];
        for (index, size) in sizes.into_iter().enumerate() {
            let mut trend = Trend::default();
            for number in 0..5 {
                trend.push(&cycle(
                    number,
                    Status::Pass,
                    vec![row("a", size * f64::from(u32::try_from(number).unwrap()))],
                ));
            }
            let mut decided = cycle(5, Status::Fail, vec![row("a", size)]);
            for rule in [Rule::InvariantMax, Rule::Spread, Rule::Rate, Rule::Level, Rule::Distribution] {
                let mut one = driver("a", rule, Severity::Fail);
                one.current = Some(size);
                one.limit = sizes.get(index + 1).copied();
                decided.decision.drivers.push(one);
            }
            let figure = Figure { k: 3, mean: size, sd: size.abs(), min: f64::MIN, max: f64::MAX, ..Figure::default() };
            let baseline = baseline("a", figure);
            let sealed = sealed(decided);
            let page = page(&ReportInput::new(&sealed, Some(&baseline), &trend).unwrap());
            assert!(page.contains("<polyline"), "{size}");
            for broken in ["=\"NaN", "=\"inf", "=\"-inf", " NaN,", " inf,", ",NaN", ",inf"] {
                assert!(!page.contains(broken), "{broken} for {size}");
            }
        }
    }

    #[test]
    fn a_served_report_is_locked_to_its_own_style() {
        let policy = POLICY_HEADER.to_str().unwrap();
        assert!(policy.contains("style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    }
}
