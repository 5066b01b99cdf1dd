//! The counters of a process, and `/metrics` made of them and of the [`View`].

use std::collections::BTreeMap;

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::node::view::{Role, View, WatchView};
use hb_core::watch::decision::Status;

use crate::copying::{self, Copying};
use crate::exposition::{Exposition, Kind};
use crate::process::Process;
use crate::roster::{self, NodeDoc};
use crate::supervised;
use crate::v1::seam::Standing;
use hb_core::node::latency::Latency;

/// The counters of a process since it started, beside what the [`View`] says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// By watch.
    pub watches: Vec<WatchMetrics>,
    /// How long deciding a cycle took.
    pub decision_latency: Latency,
    /// How long it took to make a cycle's record durable.
    pub commit_latency: Latency,
    /// Times that this node opened an epoch over another node's.
    pub takeovers: u64,
    /// From the lease to the first append of the newest of them, in seconds; none before the first.
    pub takeover_seconds: Option<f64>,
    /// Whether the lease can be seen; none where nobody has asked it yet.
    pub lease_ok: Option<bool>,
    /// Every node on the board of nodes.
    pub nodes: Vec<NodeDoc>,
    /// Tries to deliver alerts, by sink and outcome.
    pub alerts: Vec<AlertOutcome>,
    /// Bounded queues.
    pub queues: Vec<QueueDepth>,
    /// Newest record of each stream.
    pub journal_heads: Vec<(StreamName, Seq)>,
    /// Views that could not be written, by view.
    pub view_errors: Vec<(String, u64)>,
    /// What the supervisor is doing, where there is one.
    pub supervisor: Option<Box<Standing>>,
    /// How the periodic copy stands, where there is one.
    pub copying: Option<Box<Copying>>,
    /// What runs.
    pub build: BuildInfo,
}

/// The counters of one watch since the process started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchMetrics {
    /// The watch.
    pub watch: WatchName,
    /// Cycles decided, in the order of [`Status::ALL`].
    pub cycles: [u64; Status::ALL.len()],
    /// Samples put into windows.
    pub samples: u64,
    /// Samples that came after their cycle had been decided.
    pub late: u64,
    /// Items dropped, by reason as it stands in documents (`not_finite`, `repeated`, `malformed` …).
    pub dropped: BTreeMap<&'static str, u64>,
}

impl WatchMetrics {
    /// No cycle yet.
    #[must_use]
    pub fn new(watch: WatchName) -> Self {
        Self { watch, cycles: [0; Status::ALL.len()], samples: 0, late: 0, dropped: BTreeMap::new() }
    }

    /// Counts a decided cycle.
    pub fn count(&mut self, status: Status) {
        if let Some((_, held)) = Status::ALL.iter().zip(&mut self.cycles).find(|(known, _)| **known == status) {
            *held = held.saturating_add(1);
        }
    }
}

/// How often something happened at a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertOutcome {
    /// The sink.
    pub sink: String,
    /// `delivered`, `retried` or `given_up`.
    pub outcome: &'static str,
    /// How often.
    pub count: u64,
}

/// A bounded queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// Its name: `inbox.WATCH`, `views`, `alerts` …
    pub queue: String,
    /// What waits in it.
    pub depth: u64,
    /// What it can hold.
    pub bound: u64,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildInfo {
    /// Version of the program.
    pub version: String,
    /// Revision of its source, empty where unknown.
    pub revision: String,
}

const ROLES: [Role; 5] = [Role::Standby, Role::TakingOver, Role::Active, Role::Draining, Role::Fenced];

/// `/metrics` in Prometheus' text format 0.0.4.
#[must_use]
pub fn exposition(metrics: &Metrics, view: &View) -> String {
    let mut out = Exposition::default();
    build(&mut out, metrics);
    node(&mut out, view);
    watches(&mut out, &view.watches);
    counters(&mut out, &metrics.watches);
    work(&mut out, metrics);
    failover(&mut out, metrics, view);
    roster::write(&mut out, &metrics.nodes);
    delivery(&mut out, metrics, view);
    bounds(&mut out, metrics);
    if let Some(copying) = &metrics.copying {
        copying::write(&mut out, copying);
    }
    if let Some(standing) = &metrics.supervisor {
        supervised::write(&mut out, standing);
    }
    if let Some(process) = Process::read() {
        process.write(&mut out);
    }
    out.finish()
}

fn build(out: &mut Exposition, metrics: &Metrics) {
    out.family("hb_build_info", Kind::Gauge, "What runs; always 1.");
    let labels = [("version", metrics.build.version.as_str()), ("revision", metrics.build.revision.as_str())];
    out.whole("hb_build_info", &labels, 1);
}

fn node(out: &mut Exposition, view: &View) {
    out.family("hb_role", Kind::Gauge, "1 for what the node is, 0 for what it is not.");
    for role in ROLES {
        out.whole("hb_role", &[("role", role.as_str())], u64::from(role == view.role));
    }
    out.family("hb_epoch", Kind::Gauge, "Largest epoch that the node has opened or read.");
    out.whole("hb_epoch", &[], view.epoch.0);
    out.family("hb_alarms", Kind::Gauge, "Alarms that stand: how often each has been raised.");
    for alarm in &view.alarms {
        out.whole("hb_alarms", &[("name", &alarm.name)], alarm.count);
    }
}

fn watches(out: &mut Exposition, watches: &[WatchView]) {
    out.family("hb_cycle", Kind::Gauge, "Newest decided cycle.");
    for watch in watches {
        if let Some(cycle) = watch.cycle {
            out.whole("hb_cycle", &[("watch", watch.name.as_str())], cycle.0);
        }
    }
    out.family("hb_last_status", Kind::Gauge, "1 for the status of the newest decided cycle, 0 for all others.");
    for watch in watches {
        for status in Status::ALL {
            let labels = [("watch", watch.name.as_str()), ("status", status.as_str())];
            out.whole("hb_last_status", &labels, u64::from(watch.status == Some(status)));
        }
    }
    out.family("hb_ingest_lag_seconds", Kind::Gauge, "How far the newest decided cycle is behind the source.");
    for watch in watches {
        out.real("hb_ingest_lag_seconds", &[("watch", watch.name.as_str())], watch.lag_seconds);
    }
}

fn counters(out: &mut Exposition, watches: &[WatchMetrics]) {
    out.family("hb_cycles_total", Kind::Counter, "Cycles decided by this process.");
    for watch in watches {
        for (status, count) in Status::ALL.iter().zip(watch.cycles) {
            let labels = [("watch", watch.watch.as_str()), ("status", status.as_str())];
            out.whole("hb_cycles_total", &labels, count);
        }
    }
    out.family("hb_samples_total", Kind::Counter, "Samples put into windows.");
    for watch in watches {
        out.whole("hb_samples_total", &[("watch", watch.watch.as_str())], watch.samples);
    }
    out.family("hb_late_total", Kind::Counter, "Samples that came after their cycle had been decided.");
    for watch in watches {
        out.whole("hb_late_total", &[("watch", watch.watch.as_str())], watch.late);
    }
    out.family("hb_dropped_total", Kind::Counter, "Items dropped, by reason.");
    for watch in watches {
        for (reason, count) in &watch.dropped {
            out.whole("hb_dropped_total", &[("watch", watch.watch.as_str()), ("reason", reason)], *count);
        }
    }
}

fn work(out: &mut Exposition, metrics: &Metrics) {
    out.family("hb_decision_latency_seconds", Kind::Histogram, "How long deciding a cycle took.");
    out.histogram("hb_decision_latency_seconds", &metrics.decision_latency);
    out.family("hb_commit_latency_seconds", Kind::Histogram, "How long making a record durable took.");
    out.histogram("hb_commit_latency_seconds", &metrics.commit_latency);
}

fn failover(out: &mut Exposition, metrics: &Metrics, view: &View) {
    out.family("hb_takeovers_total", Kind::Counter, "Epochs that this node opened over another node's.");
    out.whole("hb_takeovers_total", &[], metrics.takeovers);
    out.family("hb_takeover_seconds", Kind::Gauge, "From the lease to the first append of the newest of them.");
    if let Some(seconds) = metrics.takeover_seconds {
        out.real("hb_takeover_seconds", &[], seconds);
    }
    let help = "From the last record of the writer before to the first of this epoch's, of the newest takeover known.";
    out.family("hb_takeover_gap_seconds", Kind::Gauge, help);
    if let Some(seconds) = view.takeover.as_ref().and_then(|takeover| takeover.gap_seconds) {
        out.real("hb_takeover_gap_seconds", &[], seconds);
    }
    out.family("hb_lease_ok", Kind::Gauge, "1 while the lease can be seen, 0 while it cannot.");
    if let Some(ok) = metrics.lease_ok {
        out.whole("hb_lease_ok", &[], u64::from(ok));
    }
    out.family("hb_paused", Kind::Gauge, "1 while operators have asked that nobody takes over.");
    out.whole("hb_paused", &[], u64::from(view.paused.is_some()));
}

fn delivery(out: &mut Exposition, metrics: &Metrics, view: &View) {
    out.family("hb_alerts_delivered_total", Kind::Counter, "Tries to deliver alerts, by outcome.");
    for alert in &metrics.alerts {
        let labels = [("sink", alert.sink.as_str()), ("outcome", alert.outcome)];
        out.whole("hb_alerts_delivered_total", &labels, alert.count);
    }
    out.family("hb_alerts_pending", Kind::Gauge, "Alerts that have not reached every sink.");
    let pending = view.watches.iter().fold(0u64, |sum, watch| sum.saturating_add(watch.undelivered));
    out.whole("hb_alerts_pending", &[], pending);
}

fn bounds(out: &mut Exposition, metrics: &Metrics) {
    out.family("hb_queue_depth", Kind::Gauge, "What waits in a bounded queue.");
    for queue in &metrics.queues {
        out.whole("hb_queue_depth", &[("queue", &queue.queue)], queue.depth);
    }
    out.family("hb_queue_bound", Kind::Gauge, "What a bounded queue can hold.");
    for queue in &metrics.queues {
        out.whole("hb_queue_bound", &[("queue", &queue.queue)], queue.bound);
    }
    out.family("hb_journal_head", Kind::Gauge, "Newest record of a stream.");
    for (stream, seq) in &metrics.journal_heads {
        out.whole("hb_journal_head", &[("stream", stream.as_str())], seq.0);
    }
    out.family("hb_view_errors_total", Kind::Counter, "Views that could not be written.");
    for (view, count) in &metrics.view_errors {
        out.whole("hb_view_errors_total", &[("view", view)], *count);
    }
}
