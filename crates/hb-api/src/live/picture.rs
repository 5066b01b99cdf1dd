//! What the page is told of a node and of a watch. Fields may be added, none is renamed or removed.

use std::collections::BTreeMap;

use hb_core::ids::{CycleNo, Epoch, NodeName, Seq, WatchName};
use hb_core::node::cycle_line::CycleLine;
use hb_core::node::view::{Alarm, Role, SourceView, Takeover, View, WatchView};
use hb_core::time::Stamp;
use hb_core::watch::decision::{Driver, Severity, Status};
use serde::Serialize;

use crate::onlooker::{Check, Onlooker};
use crate::roster::NodeDoc;
use crate::v1::seam::{Elsewhere, Standing};
use crate::v1::{Api, PresenceDoc};

/// Cycles in the short band of a watch.
pub(super) const BAND: usize = 60;
/// Drivers that are told of a watch.
const DRIVERS: usize = 3;

/// A node.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NodePicture {
    node: Option<NodeName>,
    role: Role,
    epoch: Epoch,
    version: &'static str,
    alive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hangs: Option<String>,
    checks: Vec<CheckPicture>,
    alarms: Vec<Alarm>,
    takeover: Option<Takeover>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holders: Option<BTreeMap<WatchName, NodeName>>,
    nodes: Vec<NodeDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supervisor: Option<SupervisorPicture>,
}

#[derive(Debug, Clone, Serialize)]
struct CheckPicture {
    name: String,
    ok: bool,
    what: String,
}

/// The supervisor's process.
#[derive(Debug, Clone, Serialize)]
struct SupervisorPicture {
    presence: PresenceDoc,
    epoch: Epoch,
    agents: BTreeMap<&'static str, u64>,
    supervisors: u64,
    paused: u64,
    interventions_open: u64,
    alert_groups_open: u64,
    restarts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    elsewhere: Option<Elsewhere>,
}

impl NodePicture {
    pub(super) fn of(onlooker: &dyn Onlooker, view: &View, api: Option<&Api>) -> Self {
        let liveness = onlooker.liveness();
        let hangs = liveness.reason.filter(|_| !liveness.alive);
        let check = |Check { name, ok, what }| CheckPicture { name, ok, what };
        Self {
            node: view.node.clone(),
            role: view.role,
            epoch: view.epoch,
            version: env!("CARGO_PKG_VERSION"),
            alive: liveness.alive,
            hangs: hangs
                .map(|_| "the work loop makes no progress: it hangs in the journal, the database or the lease".into()),
            checks: onlooker.checks().into_iter().map(check).collect(),
            alarms: view.alarms.clone(),
            takeover: view.takeover.clone(),
            paused: view.paused.clone(),
            holders: view.holders.clone(),
            nodes: onlooker.nodes(),
            supervisor: api.filter(|api| api.supervises()).map(SupervisorPicture::of),
        }
    }

    /// The same without what changes with every moment: when this is another, the page is told at once.
    pub(super) fn still(&self) -> Self {
        let mut still = self.clone();
        for node in &mut still.nodes {
            (node.last_contact, node.last_contact_seconds, node.lag_seconds) = (Stamp(0), 0.0, 0.0);
            (node.records, node.lag_records) = (0, 0);
        }
        still
    }
}

impl SupervisorPicture {
    fn of(api: &Api) -> Self {
        let standing: Standing = api.standing();
        Self {
            presence: PresenceDoc::of(&standing, None),
            epoch: standing.epoch,
            agents: standing.agents.into_iter().collect(),
            supervisors: standing.supervisors,
            paused: standing.paused,
            interventions_open: standing.interventions_open,
            alert_groups_open: standing.groups_open,
            restarts: standing.restarts,
            elsewhere: api.elsewhere(),
        }
    }
}

/// A watch.
#[derive(Debug, Serialize)]
pub(super) struct WatchPicture<'a> {
    name: &'a WatchName,
    cycle: Option<CycleNo>,
    status: Option<Status>,
    since_utc: Option<Stamp>,
    start_utc: Option<Stamp>,
    end_utc: Option<Stamp>,
    headline: Option<&'a str>,
    drivers: Vec<DriverPicture<'a>>,
    drivers_total: usize,
    lag_seconds: Option<f64>,
    seq: Option<Seq>,
    epoch: Epoch,
    node: Option<&'a NodeName>,
    source: &'a SourceView,
    baseline: Option<(&'a str, u32)>,
    baseline_stale_sec: Option<u64>,
    learning_left: Option<u32>,
    undelivered: u64,
    samples: u64,
    late: u64,
    dropped: u64,
    /// The statuses of the newest cycles, a letter for each, oldest first.
    band: String,
    /// The cycle of the last letter.
    band_to: Option<CycleNo>,
}

#[derive(Debug, Serialize)]
struct DriverPicture<'a> {
    series: &'a str,
    severity: Severity,
    rule: &'static str,
    onset: CycleNo,
    onset_utc: Stamp,
    reason: &'a str,
}

impl<'a> DriverPicture<'a> {
    fn of(driver: &'a Driver) -> Self {
        Self {
            series: &driver.series,
            severity: driver.severity,
            rule: driver.rule.as_str(),
            onset: driver.onset,
            onset_utc: driver.onset_utc,
            reason: &driver.reason,
        }
    }
}

/// The letter of a status: the page draws it too, so that nobody needs colours.
fn letter(status: Status) -> char {
    match status {
        Status::Pass => 'P',
        Status::PassWithDrift => 'D',
        Status::Fail => 'F',
        Status::NoData => 'N',
        Status::NoBaseline => 'B',
    }
}

impl<'a> WatchPicture<'a> {
    pub(super) fn of(watch: &'a WatchView, recent: &'a [CycleLine]) -> Self {
        let last = watch.last.as_deref();
        let decision = last.map(|last| &last.decision);
        let drivers = decision.map_or(&[][..], |decision| &decision.drivers);
        let newest = recent.last();
        Self {
            name: &watch.name,
            cycle: watch.cycle,
            status: watch.status,
            since_utc: last.map(|last| last.episode.since),
            start_utc: decision.map(|decision| decision.span.start),
            end_utc: decision.map(|decision| decision.span.end),
            headline: decision.map(|decision| decision.headline.as_str()),
            drivers: drivers.iter().take(DRIVERS).map(DriverPicture::of).collect(),
            drivers_total: drivers
                .len()
                .saturating_add(decision.map_or(0, |decision| decision.drivers_unnamed as usize)),
            lag_seconds: Some(watch.lag_seconds).filter(|lag| lag.is_finite()),
            seq: watch.seq,
            epoch: watch.epoch,
            node: newest.map(|line| &line.node),
            source: &watch.source,
            baseline: watch.baseline.as_ref().map(|baseline| (baseline.tag.as_str(), baseline.version)),
            baseline_stale_sec: decision.and_then(|decision| decision.baseline_stale_sec),
            learning_left: decision.and_then(|decision| decision.learning_left),
            undelivered: watch.undelivered,
            samples: decision.map_or(0, |decision| decision.counts.window.samples),
            late: decision.map_or(0, |decision| decision.counts.late),
            dropped: decision.map_or(0, |decision| decision.counts.dropped()),
            band: recent.iter().map(|line| letter(line.status)).collect(),
            band_to: newest.map(|line| line.cycle),
        }
    }
}
