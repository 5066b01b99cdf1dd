//! Baselines for people, and how two of them differ.

use std::cmp::Ordering;

use hb_core::watch::baseline::{Baseline, BaselineSeries, Gate};
use serde::Serialize;

use super::super::out::{Cell, Paint};
use super::super::{Failure, Out};
use crate::ledger::{Ledger, Version};

/// Most series that a table lists.
const ROWS_MAX: usize = 200;

fn heads(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| Cell::head(name)).collect()
}

/// The versions of a tag.
pub(super) fn list(ledger: &Ledger, out: &mut Out) -> Result<(), Failure> {
    let mut rows = vec![heads(&["version", "made", "series", "gates", "state", "from"])];
    let in_force = ledger.in_force().map(|baseline| baseline.version);
    for version in ledger.versions() {
        let closed = version.closed();
        let gates = if closed.is_empty() {
            Cell::text("open").painted(Paint::Good)
        } else {
            Cell::text(format!("closed: {}", closed.join(", "))).painted(Paint::Bad)
        };
        rows.push(vec![
            Cell::figure(version.baseline.version),
            Cell::text(version.made_utc),
            Cell::figure(version.series),
            gates,
            Cell::text(state(version, in_force)),
            Cell::text(&version.provenance.from),
        ]);
    }
    if rows.len() == 1 {
        return out.line(format_args!("no version yet: `hb baseline learn` makes one"));
    }
    out.table(&rows)
}

fn state(version: &Version, in_force: Option<u32>) -> String {
    if in_force == Some(version.baseline.version) {
        return "in force".into();
    }
    match (&version.requested, version.approved.first()) {
        (_, Some((by, _))) => format!("approved by {by}"),
        (Some((by, _)), None) => format!("requested by {by}"),
        (None, None) if version.promotions > 0 => "replaced".into(),
        (None, None) => "made".into(),
    }
}

/// Quality gates.
pub(super) fn gates(gates: &[Gate], out: &mut Out) -> Result<(), Failure> {
    for gate in gates {
        let (word, paint) = if gate.passed { ("open  ", Paint::Good) } else { ("CLOSED", Paint::Bad) };
        let word = out.painted(word, paint);
        out.line(format_args!("gate {word} {}: {}", gate.name, gate.detail))?;
    }
    Ok(())
}

/// One version with its series.
pub(super) fn version(version: &Version, document: &Baseline, out: &mut Out) -> Result<(), Failure> {
    let from = &version.provenance;
    out.line(format_args!(
        "version {} of {} ({})",
        version.baseline.version, version.baseline.tag, version.baseline.hash
    ))?;
    out.line(format_args!("made {} by {} from {}", version.made_utc, from.by, from.from))?;
    out.line(format_args!(
        "{} windows, {} to {}, {} samples",
        from.windows, from.span.start, from.span.end, from.samples
    ))?;
    gates(&version.gates, out)?;
    let mut rows = vec![heads(&["series", "kind", "level", "between windows", "within", "samples", ""])];
    for (name, series) in document.series.iter().take(ROWS_MAX) {
        rows.push(vec![
            Cell::text(name),
            Cell::text(kind(series)),
            Cell::figure(figure(series.level.mean)),
            Cell::figure(format!("±{}", figure(series.level.sd))),
            Cell::figure(figure(series.sd_within)),
            Cell::figure(series.samples),
            if series.stable { Cell::text("") } else { Cell::text("unstable").painted(Paint::Warn) },
        ]);
    }
    out.table(&rows)?;
    match document.series.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        Some(more) => out.line(format_args!("… and {more} more: --json has them all")),
        None => Ok(()),
    }
}

fn kind(series: &BaselineSeries) -> String {
    serde_json::to_value(series.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A figure with four significant digits.
#[must_use]
pub fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = value.abs().log10().floor();
    if (-4.0..15.0).contains(&digits) {
        let decimals = (3.0 - digits).clamp(0.0, 8.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held between 0 and 8")]
        let text = format!("{value:.*}", decimals as usize);
        return if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    }
    format!("{value:.3e}")
}

/// One series of two baselines.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    series: String,
    /// `added`, `removed`, `changed`, `same`.
    change: &'static str,
    from: Option<f64>,
    to: Option<f64>,
    delta: Option<f64>,
    percent: Option<f64>,
    /// Distance in standard deviations between the windows of the first.
    sigmas: Option<f64>,
}

/// All series of both, the one that differs most first.
pub(super) fn differences(from: &Baseline, to: &Baseline) -> Vec<Difference> {
    let mut names: Vec<_> = from.series.keys().chain(to.series.keys()).collect();
    names.sort();
    names.dedup();
    let one = |name: &std::sync::Arc<str>| difference(name, from.series.get(name), to.series.get(name));
    let mut rows: Vec<Difference> = names.into_iter().map(one).collect();
    let rank = |row: &Difference| row.sigmas.map_or(f64::INFINITY, f64::abs);
    rows.sort_by(|a, b| {
        let same = (a.change == "same").cmp(&(b.change == "same"));
        same.then(rank(b).partial_cmp(&rank(a)).unwrap_or(Ordering::Equal))
    });
    rows
}

fn difference(name: &str, from: Option<&BaselineSeries>, to: Option<&BaselineSeries>) -> Difference {
    let level = |series: Option<&BaselineSeries>| series.map(|series| series.speed.map_or(series.level, |speed| speed));
    let (a, b) = (level(from), level(to));
    let delta = a.zip(b).map(|(a, b)| b.mean - a.mean);
    let change = match (a, b, delta) {
        (None, _, _) => "added",
        (_, None, _) => "removed",
        (_, _, Some(delta)) if delta != 0.0 => "changed",
        _ => "same",
    };
    let base = a.map(|a| a.mean).filter(|mean| *mean != 0.0);
    let sd = a.map(|a| a.sd).filter(|sd| *sd > 0.0);
    Difference {
        series: name.to_owned(),
        change,
        from: a.map(|a| a.mean),
        to: b.map(|b| b.mean),
        delta,
        percent: delta.zip(base).map(|(delta, base)| 100.0 * delta / base.abs()),
        sigmas: delta.zip(sd).map(|(delta, sd)| delta / sd),
    }
}

/// Differences for people.
pub(super) fn diff(rows: &[Difference], top: usize, out: &mut Out) -> Result<(), Failure> {
    let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), figure);
    let mut table = vec![heads(&["series", "change", "from", "to", "delta", "%", "sd"])];
    for row in rows.iter().filter(|row| row.change != "same").take(top) {
        table.push(vec![
            Cell::text(&row.series),
            Cell::text(row.change),
            Cell::figure(text(row.from)),
            Cell::figure(text(row.to)),
            Cell::figure(text(row.delta)),
            Cell::figure(row.percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:+.1}"))),
            Cell::figure(row.sigmas.map_or_else(|| "-".to_owned(), |sigmas| format!("{sigmas:+.1}"))),
        ]);
    }
    let differing = rows.iter().filter(|row| row.change != "same").count();
    if differing == 0 {
        return out.line(format_args!("no series differs: {} are the same", rows.len()));
    }
    out.table(&table)?;
    out.line(format_args!("{differing} of {} series differ", rows.len()))
}

#[cfg(test)]
mod tests {
    use super::figure;

    #[test]
    fn figures_have_four_digits() {
        let told: Vec<String> = [0.0, 1.0, 12.3456, 0.001_234_56, 123_456.0, 1e-9, 2.5e20].map(figure).to_vec();
        assert_eq!(told, ["0", "1", "12.35", "0.001235", "123456", "1.000e-9", "2.500e20"]);
    }
}
