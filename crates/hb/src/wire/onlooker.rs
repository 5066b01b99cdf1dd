//! The running daemon as health, metrics and the page see it.

use std::sync::Arc;

use hb_api::{AlertOutcome, BuildInfo, Check, CycleLine, Liveness, Metrics, Onlooker, QueueDepth, WatchMetrics};
use hb_core::ids::{StreamName, WatchName};
use hb_core::node::view::View;
use hb_core::watch::decision::Status;
use hb_daemon::inbox::DATA_MAX;
use hb_daemon::shared::Shared;

use crate::config::Config;

/// Reads the daemon's pictures.
#[derive(Debug)]
pub(super) struct DaemonOnlooker {
    shared: Arc<Shared>,
    watches: Vec<WatchName>,
}

impl DaemonOnlooker {
    pub(super) fn new(shared: Arc<Shared>, config: &Config) -> Self {
        shared.check("config", Ok(()));
        Self { shared, watches: config.watches.iter().map(|watch| watch.settings.name.clone()).collect() }
    }
}

impl Onlooker for DaemonOnlooker {
    fn view(&self) -> Arc<View> {
        self.shared.view()
    }

    fn checks(&self) -> Vec<Check> {
        let mut checks: Vec<Check> = self
            .shared
            .checks()
            .into_iter()
            .map(|(name, state)| Check { name, ok: state.ok, what: state.what })
            .collect();
        checks.extend(self.shared.view().alarms.iter().map(|alarm| Check::failed(&alarm.name, &alarm.what)));
        checks
    }

    fn liveness(&self) -> Liveness {
        let pulse = self.shared.pulse();
        let alive = pulse.since <= pulse.bound;
        let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let seconds = pulse.since.as_secs_f64();
        Liveness {
            alive,
            reason: (!alive).then(|| {
                format!("the work loop has made no turn for {seconds:.1} s: it hangs in the journal or the lease")
            }),
            since_progress_ms: ms(pulse.since),
            bound_ms: ms(pulse.bound),
        }
    }

    fn metrics(&self) -> Metrics {
        let stats = self.shared.stats();
        let view = self.shared.view();
        let watches = self.watches.iter().map(|name| {
            let mut metrics = WatchMetrics::new(name.clone());
            for (place, status) in Status::ALL.iter().enumerate() {
                let count = stats.cycles.get(&(name.clone(), status.as_str())).copied().unwrap_or(0);
                if let Some(slot) = metrics.cycles.get_mut(place) {
                    *slot = count;
                }
            }
            if let Some(watch) = view.watches.iter().find(|watch| watch.name == *name) {
                metrics.samples = watch.totals.samples_since_start;
                metrics.late = watch.totals.late_since_start;
            }
            let dropped = stats.dropped.iter().filter(|((watch, _), _)| watch == name);
            metrics.dropped = dropped.map(|((_, reason), count)| (*reason, *count)).collect();
            metrics
        });
        let alerts = stats.deliveries.iter().map(|((sink, outcome), count)| AlertOutcome {
            sink: sink.clone(),
            outcome,
            count: *count,
        });
        let heads = view.watches.iter().filter_map(|watch| Some((StreamName::watch(&watch.name), watch.seq?)));
        Metrics {
            watches: watches.collect(),
            decision_latency: stats.decide_latency,
            commit_latency: stats.commit_latency,
            takeovers: stats.takeovers,
            alerts: alerts.collect(),
            queues: vec![QueueDepth { queue: "inbox".into(), depth: self.shared.depth(), bound: DATA_MAX as u64 }],
            journal_heads: heads.collect(),
            view_errors: stats.view_errors.into_iter().collect(),
            build: BuildInfo { version: env!("CARGO_PKG_VERSION").into(), revision: String::new() },
        }
    }

    fn recent(&self, watch: &WatchName, newest: usize) -> Vec<CycleLine> {
        self.shared.recent(watch, newest)
    }
}
