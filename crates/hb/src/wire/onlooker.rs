//! The running daemon as health, metrics and the page see it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hb_api::{
    AlertOutcome, BuildInfo, Check, CycleLine, Liveness, Metrics, NodeDoc, Onlooker, QueueDepth, WatchMetrics,
};
use hb_core::ids::{NodeName, StreamName, WatchName};
use hb_core::node::view::{Role, View};
use hb_core::supervise::Presence;
use hb_core::watch::decision::Status;
use hb_daemon::inbox::DATA_MAX;
use hb_daemon::poster::Desk;
use hb_daemon::shared::{Pulse, Shared};
use hb_daemon::supervise::Office;

use super::api::standing;
use super::halves::Handles;
use super::sync::periodic::State;
use crate::config::Config;
use crate::nodes;

/// Reads the daemon's pictures.
#[derive(Debug)]
pub(super) struct DaemonOnlooker {
    node: NodeName,
    shared: Option<Arc<Shared>>,
    office: Option<Office>,
    board: Option<Arc<Desk>>,
    copy: Option<Arc<State>>,
    watches: Vec<WatchName>,
    began: Instant,
}

impl DaemonOnlooker {
    pub(super) fn new(handles: &Handles, config: &Config) -> Self {
        handles.config(Ok(()));
        let shared = handles.watch.as_ref().map(|(_, shared)| Arc::clone(shared));
        let watches = config.watches.iter().map(|watch| watch.settings.name.clone()).collect();
        Self {
            node: config.node.clone(),
            shared,
            office: handles.office.clone(),
            board: handles.board.clone(),
            copy: handles.copy.clone(),
            watches,
            began: Instant::now(),
        }
    }

    /// The picture of a node that only supervises.
    fn supervising(&self) -> View {
        let picture = self.office.as_ref().map(|office| office.picture().get()).unwrap_or_default();
        View { node: Some(self.node.clone()), role: role(picture.presence), epoch: picture.epoch, ..View::default() }
    }
}

impl Onlooker for DaemonOnlooker {
    fn view(&self) -> Arc<View> {
        let view = self.shared.as_ref().map(|shared| shared.view());
        view.unwrap_or_else(|| Arc::new(self.supervising()))
    }

    fn checks(&self) -> Vec<Check> {
        let mut checks: Vec<Check> = Vec::new();
        if let Some(shared) = &self.shared {
            let held = shared.checks().into_iter();
            checks.extend(held.map(|(name, state)| Check { name, ok: state.ok, what: state.what }));
            checks.extend(shared.view().alarms.iter().map(|alarm| Check::failed(&alarm.name, &alarm.what)));
        }
        checks.extend(self.copy.as_ref().map(|copy| copy.check()));
        if let Some(office) = &self.office {
            let picture = office.picture().get();
            if picture.troubles.is_empty() {
                checks.push(Check::passed("supervisor"));
            }
            if let Presence::Recovering { found, of } = picture.presence {
                let what = format!("recovering: {found} of {of} agents that ran before are found");
                checks.push(Check::failed("supervisor.recovery", what));
            }
            checks
                .extend(picture.troubles.iter().map(|(name, what)| Check::failed(format!("supervisor.{name}"), what)));
        }
        checks
    }

    fn liveness(&self) -> Liveness {
        let watch = self.shared.as_ref().map(|shared| (shared.pulse(), "it hangs in the journal or the lease"));
        let office =
            self.office.as_ref().map(|office| (office.picture().pulse(), "it hangs in its database or the lease"));
        let mut pulses: Vec<_> = watch.into_iter().chain(office).collect();
        // The one that is worst off speaks for the node.
        pulses.sort_by_key(|(pulse, _)| pulse.bound.saturating_sub(pulse.since));
        let (pulse, hangs) =
            pulses.into_iter().next().unwrap_or((Pulse { since: Duration::ZERO, bound: Duration::MAX }, ""));
        let alive = pulse.since <= pulse.bound;
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let seconds = pulse.since.as_secs_f64();
        Liveness {
            alive,
            reason: (!alive).then(|| format!("the work loop has made no turn for {seconds:.1} s: {hangs}")),
            since_progress_ms: ms(pulse.since),
            bound_ms: ms(pulse.bound),
        }
    }

    fn metrics(&self) -> Metrics {
        let stats = self.shared.as_ref().map(|shared| shared.stats()).unwrap_or_default();
        let view = self.view();
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
        let lease = self.shared.as_ref().and_then(|shared| shared.checks().get("lease").map(|state| state.ok));
        Metrics {
            watches: watches.collect(),
            decision_latency: stats.decide_latency,
            commit_latency: stats.commit_latency,
            takeovers: stats.takeovers,
            takeover_seconds: (stats.takeovers > 0).then_some(stats.takeover_append_seconds),
            lease_ok: lease,
            nodes: self.nodes(),
            alerts: alerts.collect(),
            queues: vec![QueueDepth {
                queue: "inbox".into(),
                depth: self.shared.as_ref().map_or(0, |shared| shared.depth()),
                bound: DATA_MAX as u64,
            }],
            journal_heads: heads.collect(),
            view_errors: stats.view_errors.into_iter().collect(),
            supervisor: self.office.as_ref().map(|office| Box::new(standing(&self.node, office, self.began))),
            copying: self.copy.as_ref().map(|copy| Box::new(copy.copying(&view))),
            build: BuildInfo { version: env!("CARGO_PKG_VERSION").into(), revision: String::new() },
        }
    }

    fn nodes(&self) -> Vec<NodeDoc> {
        self.board.as_ref().map(|board| nodes::documents(&board.seen().roster)).unwrap_or_default()
    }

    fn recent(&self, watch: &WatchName, newest: usize) -> Vec<CycleLine> {
        self.shared.as_ref().map(|shared| shared.recent(watch, newest)).unwrap_or_default()
    }
}

/// What a supervisor's process is, in the words for nodes.
pub(super) fn role(presence: Presence) -> Role {
    match presence {
        Presence::Standby => Role::Standby,
        Presence::Recovering { .. } | Presence::Running => Role::Active,
        Presence::Stopping => Role::Draining,
    }
}
