//! All series of a cycle as a table. Written by hand rather than by template: it is most of a report's bytes.

use std::fmt::Write as _;

use hb_core::watch::summary::SeriesSummary;
use maud::{Escaper, Markup, PreEscaped, html};

use super::evidence::{Level, Reading, level, points, usual};
use super::{ROWS_MAX, ReportInput};
use crate::figure;
use crate::svg::spark;

/// Series that stand furthest from the baseline and get a line of their own.
const FURTHEST: usize = 12;

/// The table of all series, or the first [`ROWS_MAX`] of them.
pub(super) fn all(input: &ReportInput<'_>) -> Markup {
    let rows = &input.decided.decision.series.rows;
    let mut body = String::with_capacity(rows.len().min(ROWS_MAX).saturating_mul(160));
    for row in rows.iter().take(ROWS_MAX) {
        push(&mut body, row, level(row, input.known(&row.name)));
    }
    html! {
        @if rows.len() > ROWS_MAX {
            p class="warning" {
                "Only the first " (figure::count(ROWS_MAX as u64)) " of " (figure::count(rows.len() as u64))
                " series are listed. The journal's record holds all of them."
            }
        }
        div class="wide" tabindex="0" role="region" aria-label="All series" {
            table {
                thead { tr {
                    th { "series" } th { "unit" } th { "readings" } th { "mean" } th { "sd" } th { "min" } th { "max" } th { "last" }
                    th { "baseline" } th { abbr title="distance in standard deviations of the baseline's windows" { "σ" } }
                    th { "faults" }
                } }
                tbody { (PreEscaped(body)) }
            }
        }
    }
}

fn push(out: &mut String, row: &SeriesSummary, level: Level) {
    out.push_str("<tr><th>");
    escape(out, &row.name);
    out.push_str("</th><td>");
    escape(out, &row.unit);
    write!(out, "<td>{}", row.n).expect("writing to a string does not fail");
    if row.n > 0 {
        for value in [row.mean, row.sd, row.min, row.max, row.last] {
            out.push_str("<td>");
            figure::push(out, value);
        }
    } else {
        out.push_str("<td><td><td><td><td>");
    }
    for value in [level.baseline, level.sigmas.map(hundredths)] {
        out.push_str("<td>");
        if let Some(value) = value {
            figure::push(out, value);
        }
    }
    out.push_str("<td>");
    faults(out, row);
    out.push_str("</tr>\n");
}

/// More digits of a distance in standard deviations tell nothing.
fn hundredths(sigmas: f64) -> f64 {
    (sigmas * 100.0).round() / 100.0
}

fn faults(out: &mut String, row: &SeriesSummary) {
    for (count, what) in [(row.not_finite, "not finite"), (row.unit_faults, "unit")] {
        if count > 0 {
            write!(out, "{count} {what} ").expect("writing to a string does not fail");
        }
    }
}

fn escape(out: &mut String, text: &str) {
    Escaper::new(out).write_str(text).expect("writing to a string does not fail");
}

/// The series furthest from the baseline, each with its last cycles; whether or not any rule names them.
pub(super) fn furthest(input: &ReportInput<'_>) -> Option<Markup> {
    let mut far: Vec<(f64, &SeriesSummary)> = input
        .decided
        .decision
        .series
        .rows
        .iter()
        .filter_map(|row| Some((level(row, input.known(&row.name)).sigmas?, row)))
        .collect();
    if far.is_empty() {
        return None;
    }
    if far.len() > FURTHEST {
        far.select_nth_unstable_by(FURTHEST - 1, |(a, _), (b, _)| b.abs().total_cmp(&a.abs()));
        far.truncate(FURTHEST);
    }
    far.sort_by(|(a, x), (b, y)| b.abs().total_cmp(&a.abs()).then_with(|| x.name.cmp(&y.name)));
    Some(html! {
        ul class="furthest" {
            @for (sigmas, row) in far { @let known = input.known(&row.name);
                li {
                    span class="name" { (&*row.name) }
                    (spark(&points(input, &row.name, Reading::of(known)), usual(known)))
                    span class="number" { (figure::text(hundredths(sigmas))) " σ" }
                }
            }
        }
    })
}
