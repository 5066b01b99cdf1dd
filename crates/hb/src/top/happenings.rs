//! What happened, the newest first: changes of watches and of who decides them, as their cycles tell; takeovers; and the supervisor's events.

use hb_core::time::Stamp;
use hb_core::watch::decision::Status;
use serde::Serialize;
use serde_json::Value;

use super::picture::TakeoverLine;
use super::watches::WatchLine;
use crate::cli::told::{self, Doc as _};
use crate::shown::Shown;

/// Most that is kept (B1).
pub(super) const HAPPENINGS_MAX: usize = 300;
/// The supervisor's events that are asked for.
pub(super) const EVENTS_PAGE: usize = 100;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Happening {
    /// Names it for as long as it is known.
    pub id: Shown,
    /// When.
    pub at: Option<Stamp>,
    /// `INFO`, `WARNING`, `ERROR`, `CRITICAL`.
    pub severity: Shown,
    /// What kind: `watch.status`, `watch.node`, `node.takeover`, or the supervisor's, such as `agent.failed`.
    pub kind: Shown,
    /// Whom it is about.
    pub about: Shown,
    /// In words.
    pub message: Shown,
}

impl Happening {
    /// Of a supervisor's event.
    pub(super) fn of_event(document: &Value) -> Self {
        let about = document.sub("about");
        let whom = ["agent", "team", "policy", "intervention", "group", "supervisor"];
        let whom = whom.iter().map(|key| about.text(key)).find(|name| !name.is_empty()).unwrap_or_default();
        Self {
            id: Shown::of(&format!("event {}", document.count("id"))),
            at: document.stamp("at"),
            severity: Shown::of(&document.text("severity")),
            kind: Shown::of(&document.text("kind")),
            about: Shown::of(&whom),
            message: Shown::of(&document.text("message")),
        }
    }

    fn of_takeover(takeover: &TakeoverLine) -> Self {
        Self {
            id: Shown::of(&format!("takeover {}", takeover.epoch)),
            at: takeover.at,
            severity: Shown::of("WARNING"),
            kind: Shown::of("node.takeover"),
            about: takeover.node.clone(),
            message: Shown::of(&sentence(takeover)),
        }
    }
}

/// A takeover in one sentence.
pub(super) fn sentence(takeover: &TakeoverLine) -> String {
    let from = if takeover.from.is_empty() { "nobody" } else { takeover.from.as_str() };
    let took = takeover.took_seconds.map(|seconds| format!("; took {}", told::span(seconds))).unwrap_or_default();
    let gap = takeover.gap_seconds.map(|gap| format!("; {} between their records", told::span(gap)));
    let gap = gap.unwrap_or_default();
    let TakeoverLine { node, epoch, why, .. } = takeover;
    format!("{node} (epoch {epoch}) took over from {from}: {why}{took}{gap}")
}

/// How bad a status is, as events tell it.
fn severity(status: Status) -> &'static str {
    match status {
        Status::Pass => "INFO",
        Status::PassWithDrift | Status::NoBaseline => "WARNING",
        Status::Fail | Status::NoData => "ERROR",
    }
}

/// What the cycles of a watch tell.
fn of_watch(watch: &WatchLine, into: &mut Vec<Happening>) {
    let name = &watch.watch;
    for (before, after) in watch.past.iter().zip(watch.past.iter().skip(1)) {
        let happened = |kind: &str, severity: &str, message: String| Happening {
            id: Shown::of(&format!("{kind} {name} {}", after.cycle)),
            at: after.at,
            severity: Shown::of(severity),
            kind: Shown::of(kind),
            about: name.clone(),
            message: Shown::of(&message),
        };
        if before.status != after.status {
            let message =
                format!("{} after {}, cycle {}: {}", after.status, before.status, after.cycle, after.headline);
            into.push(happened("watch.status", severity(after.status), message));
        }
        if before.node != after.node && !before.node.is_empty() && !after.node.is_empty() {
            let message = format!("decided by {} from cycle {} on, before by {}", after.node, after.cycle, before.node);
            into.push(happened("watch.node", "WARNING", message));
        }
    }
}

/// Everything that happened, as far as it is known.
pub(super) fn all(watches: &[WatchLine], takeover: Option<&TakeoverLine>, events: &[Happening]) -> Vec<Happening> {
    let mut all = events.to_vec();
    all.extend(takeover.map(Happening::of_takeover));
    for watch in watches {
        of_watch(watch, &mut all);
    }
    // What came at one moment stays in the order in which it was told.
    all.sort_by_key(|one| std::cmp::Reverse(one.at));
    all.truncate(HAPPENINGS_MAX);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::past::PastCycle;
    use super::*;

    #[test]
    fn changes_of_a_watch_and_of_who_decides_it_are_told() {
        let cycle = |cycle: u64, status, node: &str| PastCycle {
            cycle,
            status,
            node: node.into(),
            at: Some(Stamp(i64::try_from(cycle).unwrap())),
            headline: "temperature.0 up".into(),
        };
        let mut watch = WatchLine::of(&json!({"name": "press"}), &"a".into());
        watch.past = vec![
            cycle(1, Status::Pass, "a"),
            cycle(2, Status::PassWithDrift, "a"),
            cycle(3, Status::PassWithDrift, "b"),
            cycle(4, Status::Pass, "b"),
        ];
        let told = all(&[watch], None, &[]);
        let told: Vec<_> =
            told.iter().map(|one| (one.kind.as_str(), one.severity.as_str(), one.message.as_str())).collect();
        assert_eq!(
            told,
            [
                ("watch.status", "INFO", "PASS after PASS_WITH_DRIFT, cycle 4: temperature.0 up"),
                ("watch.node", "WARNING", "decided by b from cycle 3 on, before by a"),
                ("watch.status", "WARNING", "PASS_WITH_DRIFT after PASS, cycle 2: temperature.0 up"),
            ]
        );
    }
}
