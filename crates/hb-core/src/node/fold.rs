//! What the records of a watch's stream add up to. A standby folds them as they come; a start folds what is there.

use std::sync::Arc;

use super::fact::{Body, CycleDecided, Record, Sealed, Undelivered};
use super::view::{Reign, Takeover};
use super::watcher::{settle, teach};
use crate::ids::Epoch;
use crate::journal::Head;
use crate::time::Stamp;
use crate::watch::baseline::Learner;
use crate::watch::decision::{BaselineRef, Status};

/// The state that a stream's records leave behind.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    /// Newest record.
    pub head: Option<Head>,
    /// Largest epoch.
    pub epoch: Epoch,
    /// Newest decided cycle.
    pub last: Option<Arc<CycleDecided>>,
    /// Baseline in force.
    pub baseline: Option<BaselineRef>,
    /// Alerts under way.
    pub undelivered: Vec<Undelivered>,
    /// The learner, if it has seen all cycles that it should have.
    pub learner: Learner,
    /// Epochs opened since the watch began, as far as seen.
    pub takeovers: u64,
    /// The newest of them.
    pub takeover: Option<Takeover>,
    /// Who wrote the newest record, and when.
    writer: Option<(Reign, Stamp)>,
}

impl Fold {
    /// Takes the next record of the stream. Chain and numbers have been checked by whoever read it.
    pub fn push(&mut self, sealed: &Sealed) {
        self.head = Some(sealed.head());
        self.epoch = self.epoch.max(sealed.record.epoch);
        match &sealed.record.body {
            Body::CycleDecided(decided) => self.decided(decided),
            Body::AlertDelivered(delivered) => settle(&mut self.undelivered, delivered.cycle, &delivered.sink),
            Body::BaselineAdopted(adopted) => {
                self.baseline = Some(adopted.baseline.clone());
                self.learner = Learner::default();
            }
            Body::EpochOpened { lease, reason } => {
                self.takeovers = self.takeovers.saturating_add(1);
                self.opened(sealed, lease, reason);
            }
            Body::EpochClosed { .. } | Body::BaselineEvent(_) => {}
        }
        let Record { node, epoch, at, .. } = &sealed.record;
        self.writer = Some((Reign { node: node.clone(), epoch: *epoch }, *at));
    }

    /// Who wrote the newest record.
    #[must_use]
    pub fn writer(&self) -> Option<&Reign> {
        self.writer.as_ref().map(|(reign, _)| reign)
    }

    fn opened(&mut self, sealed: &Sealed, lease: &str, reason: &str) {
        let Record { node, epoch, at, .. } = &sealed.record;
        // A stream that is read again from further back tells of takeovers that are known already.
        if self.takeover.as_ref().is_some_and(|known| known.epoch >= *epoch) {
            return;
        }
        let before = self.writer.as_ref();
        self.takeover = Some(Takeover {
            at: *at,
            node: node.clone(),
            epoch: *epoch,
            from: before.map(|(reign, _)| reign.clone()),
            how: lease.to_owned(),
            why: reason.to_owned(),
            took_seconds: None,
            gap_seconds: before.map(|(_, newest)| at.as_seconds() - newest.as_seconds()),
        });
    }

    fn decided(&mut self, decided: &Arc<CycleDecided>) {
        match decided.learning {
            Some(0) | None => self.learner = Learner::default(),
            Some(seen) => {
                if seen == 1 && decided.decision.status != Status::NoData {
                    self.learner = Learner::default();
                }
                teach(&mut self.learner, decided);
            }
        }
        self.baseline.clone_from(&decided.baseline);
        self.undelivered.clone_from(&decided.undelivered);
        self.last = Some(Arc::clone(decided));
    }
}
