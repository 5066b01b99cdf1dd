//! What the records of a watch's stream add up to. A standby folds them as they come; a start folds what is there.

use std::sync::Arc;

use super::fact::{Body, CycleDecided, Sealed, Undelivered};
use super::watcher::{settle, teach};
use crate::ids::Epoch;
use crate::journal::Head;
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
            Body::EpochOpened { .. } => self.takeovers = self.takeovers.saturating_add(1),
            Body::EpochClosed { .. } | Body::BaselineEvent(_) => {}
        }
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
