//! A watch as it is shown.

use std::collections::BTreeMap;

use hb_core::time::Stamp;
use hb_core::watch::decision::Status;
use serde::Serialize;
use serde_json::Value;

use super::past::{PastCycle, WATCHES_MAX};
use super::picture::status;
use crate::cli::told::Doc as _;
use crate::shown::Shown;
use crate::stored;

/// Drivers of a watch that are kept (B1).
const DRIVERS_MAX: usize = 10;

/// A watch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WatchLine {
    /// Its name, as it is shown.
    pub watch: Shown,
    /// Its name, as it is asked for.
    #[serde(skip)]
    pub(super) name: String,
    /// Who decides it; empty where nobody does.
    pub node: Shown,
    /// Newest decided cycle.
    pub cycle: Option<u64>,
    /// Its status.
    pub status: Option<Status>,
    /// Since when it stands.
    pub since: Option<Stamp>,
    /// Seconds that the newest decided cycle is behind the source.
    pub lag_seconds: Option<f64>,
    /// Its status in one sentence.
    pub headline: Shown,
    /// Series that drive it.
    pub drivers: Vec<Shown>,
    /// `open`, `closed`, `ended`, `failed`.
    pub source: Shown,
    /// Why its source cannot be read.
    pub source_fault: Shown,
    /// Tag and version of the baseline in force.
    pub baseline: Shown,
    /// Alerts that have not reached every sink.
    pub undelivered: u64,
    /// Items that the source has delivered since the watch began.
    pub delivered: u64,
    /// Samples that came too late, since the node started.
    pub late_since_start: u64,
    /// Items dropped, since the node started.
    pub dropped_since_start: u64,
    /// Its newest cycles, oldest first.
    pub past: Vec<PastCycle>,
}

impl WatchLine {
    /// Of a watch's document, decided by `node`.
    pub(super) fn of(document: &Value, node: &Shown) -> Self {
        let text = |key: &str| Shown::of(&document.text(key));
        let (source, totals, baseline) = (document.sub("source"), document.sub("totals"), document.sub("baseline"));
        let baseline = match baseline.is_object() {
            true => Shown::of(&format!("{} version {}", baseline.text("tag"), baseline.count("version"))),
            false => Shown::default(),
        };
        Self {
            watch: text("name"),
            name: document.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            node: node.clone(),
            cycle: document.get("cycle").and_then(Value::as_u64),
            status: status(&document.text("status")),
            since: document.stamp("since_utc"),
            lag_seconds: document.get("lag_seconds").and_then(Value::as_f64),
            headline: Shown::of(stored::without_status(&document.text("headline"))),
            drivers: document.items("drivers").iter().take(DRIVERS_MAX).map(told).collect(),
            source: Shown::of(&source.text("state")),
            source_fault: Shown::of(&source.text("reason")),
            baseline,
            undelivered: document.count("undelivered"),
            delivered: totals.count("delivered"),
            late_since_start: totals.count("late_since_start"),
            dropped_since_start: totals.count("dropped_since_start"),
            past: Vec::new(),
        }
    }

    /// How many cycles it has decided beyond that one; all, where it has decided fewer.
    pub(super) fn missed(&self, last: Option<&PastCycle>) -> u64 {
        let Some(cycle) = self.cycle else { return 0 };
        match last {
            Some(last) if cycle >= last.cycle => cycle.saturating_sub(last.cycle),
            Some(_) | None => u64::MAX,
        }
    }

    /// Its newest cycle.
    pub(super) fn newest(&self, at: Stamp) -> Option<PastCycle> {
        let (cycle, status) = (self.cycle?, self.status?);
        let (node, headline) = (self.node.clone(), self.headline.clone());
        Some(PastCycle { cycle, status, node, at: Some(at), headline })
    }

    /// Worst first.
    pub(super) fn rank(&self) -> u8 {
        match self.status {
            Some(Status::Fail) => 0,
            Some(Status::NoData) => 1,
            _ if self.source.as_str() == "failed" => 1,
            Some(Status::PassWithDrift) => 2,
            Some(Status::NoBaseline) => 3,
            None => 4,
            Some(Status::Pass) => 5,
        }
    }
}

fn told(value: &Value) -> Shown {
    Shown::of(value.as_str().unwrap_or_default())
}

/// The watches of what nodes said, by name: of each what its holder says where nodes share them out, else what `best` says.
pub(super) fn watches<'a>(best: &'a Value, all: &[&'a Value]) -> Vec<WatchLine> {
    let mut lines: BTreeMap<&str, WatchLine> = BTreeMap::new();
    let holders = best.get("holders").and_then(Value::as_object);
    let active = if best.text("role") == "active" { Shown::of(&best.text("node")) } else { Shown::default() };
    for answer in std::iter::once(best).chain(all.iter().copied().filter(|_| holders.is_some())) {
        for watch in answer.items("watches") {
            let Some(name) = watch.get("name").and_then(Value::as_str) else { continue };
            let (holder, own) = match holders {
                Some(holders) => {
                    let holder = holders.get(name).and_then(Value::as_str).unwrap_or_default();
                    (Shown::of(holder), answer.get("node").and_then(Value::as_str) == Some(holder))
                }
                None => (active.clone(), false),
            };
            if own || !lines.contains_key(name) && lines.len() < WATCHES_MAX {
                lines.insert(name, WatchLine::of(watch, &holder));
            }
        }
    }
    lines.into_values().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn where_nodes_share_watches_out_each_is_told_by_its_holder() {
        let said = |node: &str, press: u64, oven: u64| {
            json!({"node": node, "role": "active", "holders": {"press": "a", "oven": "b"}, "watches": [
                {"name": "press", "cycle": press, "status": "PASS"}, {"name": "oven", "cycle": oven, "status": "FAIL"},
            ]})
        };
        let (a, b) = (said("a", 9, 3), said("b", 7, 5));
        let lines = watches(&a, &[&a, &b]);
        let told: Vec<_> = lines.iter().map(|line| (line.watch.as_str(), line.node.as_str(), line.cycle)).collect();
        assert_eq!(told, [("oven", "b", Some(5)), ("press", "a", Some(9))]);
    }

    #[test]
    fn a_standby_says_what_it_has_read_and_that_nobody_decides() {
        let line = watches(&json!({"node": "b", "role": "standby", "watches": [{"name": "press"}]}), &[]);
        assert_eq!((line.len(), line[0].node.as_str(), line[0].status), (1, "", None));
    }
}
