//! The status for people.

use hb_api::NodeDoc;
use hb_core::node::view::Takeover;
use hb_store::port::Orders;

use super::survey::Survey;
use crate::cli::out::{Cell, Paint};
use crate::cli::{Failure, Out};
use crate::top::{Level, Verdict};

/// Points of a verdict that are told.
const POINTS_MAX: usize = 5;

/// What it comes to, in a word, and why.
pub(super) fn verdict(verdict: &Verdict, out: &mut Out) -> Result<(), Failure> {
    let paint = |level: Level| match level {
        Level::Well => Paint::Good,
        Level::Look | Level::Unknown => Paint::Warn,
        Level::Trouble => Paint::Bad,
    };
    let word = out.painted(verdict.level.word(), paint(verdict.level));
    out.line(format_args!("{word}: {}", verdict.summary))?;
    for point in verdict.points.iter().take(POINTS_MAX) {
        let what = out.painted(point.what.as_str(), paint(point.level));
        out.line(format_args!("  {what}"))?;
    }
    match verdict.points.len().saturating_sub(POINTS_MAX).saturating_add(verdict.more) {
        0 => Ok(()),
        more => out.line(format_args!("  and {more} more")),
    }
}

/// Every node, the last takeover, and what operators ask.
pub(super) fn tell(survey: &Survey, out: &mut Out) -> Result<(), Failure> {
    if let Some(trouble) = &survey.trouble {
        let painted = out.painted("not all can be told", Paint::Bad);
        out.line(format_args!("{painted}: {trouble}"))?;
    }
    if !survey.nodes.is_empty() {
        let heads = ["node", "role", "host", "priority", "epoch", "behind", "last contact", "where and what"];
        let mut rows = vec![heads.iter().map(|head| Cell::head(head)).collect()];
        rows.extend(survey.nodes.iter().map(row));
        out.table(&rows)?;
    }
    if let Some(takeover) = &survey.takeover {
        out.line(format_args!("last takeover: {}", sentence(takeover)))?;
    }
    orders(&survey.orders, out)
}

fn paint(role: &str) -> Paint {
    match role {
        "active" => Paint::Good,
        "taking_over" | "draining" => Paint::Warn,
        "down" | "fenced" => Paint::Bad,
        _ => Paint::Plain,
    }
}

/// In the unit that reads best.
fn span(seconds: f64) -> String {
    match seconds {
        short if short < 1.0 => format!("{:.0} ms", short * 1e3),
        few if few < 120.0 => format!("{few:.1} s"),
        some if some < 7_200.0 => format!("{:.0} min", some / 60.0),
        many => format!("{:.0} h", many / 3_600.0),
    }
}

fn behind(node: &NodeDoc) -> String {
    if node.role == "active" || node.watches_active.saturating_add(node.watches_standing_by) == 0 && node.records == 0 {
        return "-".to_owned();
    }
    let records = if node.lag_records == 1 { "record" } else { "records" };
    format!("{} {records}, {}", node.lag_records, span(node.lag_seconds))
}

fn row(node: &NodeDoc) -> Vec<Cell> {
    let priority = if node.priority == 0 { "0 (never)".to_owned() } else { node.priority.to_string() };
    let serves = node.listen.map(|listen| format!("http://{listen}/"));
    let unclear = (node.life == "unclear").then(|| "whether it lives cannot be told yet".to_owned());
    let what = [serves, Some(format!("pid {}", node.pid)), unclear, node.silent.clone(), node.trouble.clone()];
    vec![
        Cell::text(&node.node),
        Cell::text(node.role).painted(paint(node.role)),
        Cell::text(&node.host),
        Cell::figure(priority),
        Cell::figure(node.epoch),
        Cell::figure(behind(node)),
        Cell::figure(format!("{} ago", span(node.last_contact_seconds))),
        Cell::text(what.into_iter().flatten().collect::<Vec<_>>().join("; ")),
    ]
}

fn sentence(takeover: &Takeover) -> String {
    let Takeover { at, node, epoch, from, how, why, took_seconds, gap_seconds } = takeover;
    let from = from
        .as_ref()
        .map_or_else(|| "from nobody".to_owned(), |one| format!("from {} (epoch {})", one.node, one.epoch));
    let took = took_seconds.map(|seconds| format!("; took {}", span(seconds))).unwrap_or_default();
    let gap = gap_seconds.map(|seconds| format!("; {} between their records", span(seconds))).unwrap_or_default();
    format!("{node} (epoch {epoch}) {from} at {at}: {why} ({how}){took}{gap}")
}

fn orders(orders: &Orders, out: &mut Out) -> Result<(), Failure> {
    let now = hb_daemon::clock::wall();
    if let Some(pause) = &orders.pause {
        let painted = out.painted("paused", Paint::Warn);
        out.line(format_args!(
            "{painted} by {} for {} now, since {}: {}; nobody takes over until `hb resume`",
            pause.by,
            span(pause.age(now).as_secs_f64()),
            pause.at,
            pause.reason
        ))?;
    }
    if let Some(asked) = &orders.switchover {
        let painted = out.painted("switchover", Paint::Warn);
        let to = asked.to.as_ref().map_or("whoever stands first in line", |to| to.as_str());
        let how = if asked.lapsed(now) { "has lapsed, the next active node gives it up" } else { "under way" };
        out.line(format_args!(
            "{painted} from {} to {to} {how}, asked by {} {} ago at {}: {}",
            asked.from,
            asked.by,
            span(asked.age(now).as_secs_f64()),
            asked.at,
            asked.reason
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hb_core::ids::Epoch;
    use hb_core::node::view::Reign;
    use hb_core::time::Stamp;

    use super::*;

    #[test]
    fn a_takeover_is_told_in_one_sentence() {
        let takeover = Takeover {
            at: Stamp(0),
            node: "b".into(),
            epoch: Epoch(4),
            from: Some(Reign { node: "a".into(), epoch: Epoch(3) }),
            how: "postgres".into(),
            why: "its connection broke".into(),
            took_seconds: Some(0.0124),
            gap_seconds: Some(1.25),
        };
        let told = sentence(&takeover);
        assert!(told.starts_with("b (epoch 4) from a (epoch 3) at 1970-01-01T00:00:00"), "{told}");
        let end = ": its connection broke (postgres); took 12 ms; 1.2 s between their records";
        assert!(told.ends_with(end), "{told}");
        let first = Takeover { from: None, took_seconds: None, gap_seconds: None, ..takeover };
        assert!(sentence(&first).contains("from nobody"));
        assert_eq!((span(119.9), span(600.0), span(7_200.0)), ("119.9 s".into(), "10 min".into(), "2 h".into()));
    }
}
