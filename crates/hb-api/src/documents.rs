//! The JSON bodies. Their fields are a promise: fields may be added, none is renamed or removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use hb_core::ids::{CycleNo, Epoch, NodeName, WatchName};
use hb_core::node::view::{Alarm, Role, Takeover, View, WatchView};
use hb_core::time::Stamp;
use serde::Serialize;

use crate::copying::Copying;
use crate::onlooker::{Check, Liveness};
use crate::roster::NodeDoc;
use hb_core::node::cycle_line::CycleLine;

/// Body of `/live`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveDoc {
    /// `up` or `hung`.
    pub status: &'static str,
    /// Where it hangs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Milliseconds since the work loop last made progress.
    pub since_progress_ms: u64,
    /// Milliseconds that it may take.
    pub bound_ms: u64,
}

impl From<Liveness> for LiveDoc {
    fn from(liveness: Liveness) -> Self {
        Self {
            status: if liveness.alive { "up" } else { "hung" },
            reason: liveness.reason.filter(|_| !liveness.alive),
            since_progress_ms: liveness.since_progress_ms,
            bound_ms: liveness.bound_ms,
        }
    }
}

/// Body of `/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadyDoc {
    /// Whether everything is usable.
    pub ready: bool,
    /// By check: `ok`, or what is wrong and what to do.
    pub checks: BTreeMap<String, String>,
}

impl ReadyDoc {
    /// The body for these checks. Two checks of one name count as failed if either has; none at all is not ready (W5).
    #[must_use]
    pub fn of(checks: Vec<Check>) -> Self {
        let mut ready = !checks.is_empty();
        let mut told = BTreeMap::new();
        for check in checks {
            ready &= check.ok;
            if check.ok {
                told.entry(check.name).or_insert_with(|| "ok".to_owned());
            } else {
                told.insert(check.name, check.what);
            }
        }
        if told.is_empty() {
            told.insert("checks".to_owned(), "none has been made yet: wait until the start is done".to_owned());
        }
        Self { ready, checks: told }
    }
}

/// Body of `/active` and `/standby`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActiveDoc {
    /// The node.
    pub node: Option<NodeName>,
    /// What it is.
    pub role: Role,
    /// Largest epoch that it has opened or read.
    pub epoch: Epoch,
    /// Whether its work loop makes progress.
    pub alive: bool,
}

/// Body of `/v1/status`, and what `hb status --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusDoc {
    /// The node.
    pub node: Option<NodeName>,
    /// What it is.
    pub role: Role,
    /// Largest epoch that it has opened or read.
    pub epoch: Epoch,
    /// Watches by name.
    pub watches: Vec<WatchDoc>,
    /// What should not be.
    pub alarms: Vec<Alarm>,
    /// The newest takeover that this node knows of, by whichever node.
    pub takeover: Option<Takeover>,
    /// Set while operators have asked that nobody takes over: by whom and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Where nodes share watches out: which of them works for which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holders: Option<BTreeMap<WatchName, NodeName>>,
    /// Every node on the board of nodes.
    pub nodes: Vec<NodeDoc>,
    /// How the periodic copy of this node stands, where it makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<Box<Copying>>,
}

/// One watch of a [`StatusDoc`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WatchDoc {
    /// Everything that onlookers see of it.
    #[serde(flatten)]
    pub view: WatchView,
    /// Start of the newest decided cycle.
    pub start_utc: Option<Stamp>,
    /// End of the newest decided cycle.
    pub end_utc: Option<Stamp>,
    /// Its status in one sentence.
    pub headline: Option<String>,
    /// Series that drive it, the worst first; at most ten.
    pub drivers: Vec<String>,
    /// Alert episode: since when the status stands.
    pub since_utc: Option<Stamp>,
}

const DRIVERS_MAX: usize = 10;

impl From<&WatchView> for WatchDoc {
    fn from(view: &WatchView) -> Self {
        let last = view.last.as_deref();
        let decision = last.map(|last| &last.decision);
        let mut drivers: Vec<String> = Vec::new();
        for driver in decision.into_iter().flat_map(|decision| &decision.drivers) {
            if drivers.len() < DRIVERS_MAX && !drivers.contains(&driver.series) {
                drivers.push(driver.series.clone());
            }
        }
        Self {
            start_utc: decision.map(|decision| decision.span.start),
            end_utc: decision.map(|decision| decision.span.end),
            headline: decision.map(|decision| decision.headline.clone()),
            drivers,
            since_utc: last.map(|last| last.episode.since),
            view: view.clone(),
        }
    }
}

/// The status document of a node.
#[must_use]
pub fn status(view: &View) -> StatusDoc {
    StatusDoc {
        node: view.node.clone(),
        role: view.role,
        epoch: view.epoch,
        watches: view.watches.iter().map(WatchDoc::from).collect(),
        alarms: view.alarms.clone(),
        takeover: view.takeover.clone(),
        paused: view.paused.clone(),
        holders: view.holders.clone(),
        nodes: Vec::new(),
        copy: None,
    }
}

/// Body of `/v1/watches/{name}/cycles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CyclesDoc {
    /// The watch.
    pub watch: WatchName,
    /// Newest decided cycle, if any.
    pub newest: Option<CycleNo>,
    /// Oldest first.
    pub cycles: Vec<CycleLine>,
}

/// Body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorDoc {
    /// What is wrong and what to do.
    pub(crate) error: Arc<str>,
}

#[cfg(test)]
mod tests {
    use hb_core::node::view::{SourceView, Totals};
    use hb_core::watch::decision::{Rule, Severity, Status};

    use super::*;
    use crate::report::tests::{cycle, driver, row, sealed};

    #[test]
    fn a_watch_tells_its_newest_cycle_and_each_driving_series_once() {
        let mut decided = cycle(40, Status::Fail, vec![row("a", 1.0)]);
        let names = ["b", "a", "b", "a"].into_iter().map(str::to_owned).chain((0..20).map(|index| format!("s{index}")));
        decided.decision.drivers = names.map(|name| driver(&name, Rule::Level, Severity::Drift)).collect();
        let view = WatchView {
            name: "bench".into(),
            cycle: Some(CycleNo(40)),
            status: Some(Status::Fail),
            last: Some(Arc::new(decided)),
            seq: None,
            epoch: Epoch(2),
            lag_seconds: 0.5,
            source: SourceView::Open,
            baseline: None,
            undelivered: 0,
            totals: Totals::default(),
        };
        let doc = serde_json::to_value(WatchDoc::from(&view)).unwrap();
        let names: Vec<&str> = doc["drivers"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
        assert_eq!(names, ["b", "a", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"]);
        assert_eq!((&doc["name"], &doc["headline"]), (&"bench".into(), &"FAIL: as told".into()));
        assert_eq!(doc["end_utc"], "2027-01-15T08:06:50Z");
        assert_eq!(doc["source"]["state"], "open");
    }

    #[test]
    fn a_line_is_what_its_record_says() {
        let sealed = sealed(cycle(40, Status::Pass, vec![row("a", 1.0)]));
        let line = CycleLine::of(&sealed).unwrap();
        let value = serde_json::to_value(&line).unwrap();
        let expected = [
            "watch",
            "cycle",
            "seq",
            "epoch",
            "node",
            "status",
            "start_utc",
            "end_utc",
            "samples",
            "late",
            "dropped",
            "hash",
        ];
        assert!(expected.iter().all(|key| value.get(key).is_some()), "{value}");
        assert_eq!((line.seq.0, line.samples, line.hash), (41, 100, sealed.hash));
        assert_eq!(serde_json::from_value::<CycleLine>(value).unwrap(), line);
    }

    #[test]
    fn w5_a_check_that_failed_once_has_failed() {
        let doc = ReadyDoc::of(vec![Check::failed("db", "locked"), Check::passed("db"), Check::passed("config")]);
        assert!(!doc.ready && doc.checks["db"] == "locked" && doc.checks["config"] == "ok");
        assert!(!ReadyDoc::of(Vec::new()).ready);
    }
}
