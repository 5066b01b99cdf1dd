//! What sound records say of a stream, wherever they were read.

use hb_core::ids::Seq;
use hb_core::node::fact::{BaselineEvent, Body, Sealed};

use super::Known;

/// What has been learnt so far.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    pub(super) known: Known,
    last_cycle: Option<Sealed>,
}

impl Learnt {
    /// Of a stream with that floor.
    pub(super) fn from(floor: Seq) -> Self {
        Self { known: Known { floor, ..Known::default() }, last_cycle: None }
    }

    /// Takes in the next sound record.
    pub(super) fn learn(&mut self, seq: Seq, sealed: Sealed) {
        self.known.hashes.insert(seq, sealed.hash);
        match &sealed.record.body {
            Body::CycleDecided(_) => {
                self.known.newest_cycle = Some(seq);
                self.last_cycle = Some(sealed);
            }
            Body::BaselineEvent(BaselineEvent::Promoted { baseline, .. }) => self.known.baselines = vec![baseline.hash],
            Body::BaselineEvent(_)
            | Body::EpochOpened { .. }
            | Body::AlertDelivered(_)
            | Body::BaselineAdopted(_)
            | Body::EpochClosed { .. } => {}
        }
    }

    /// All of it, once the stream has been read up to its newest record.
    pub(super) fn known(self, head: Option<Seq>) -> Known {
        let Self { mut known, last_cycle } = self;
        known.head = head;
        if let Some(Body::CycleDecided(cycle)) = last_cycle.map(|sealed| sealed.record.body) {
            known.baselines.extend(cycle.baseline.as_ref().map(|baseline| baseline.hash));
        }
        known
    }
}
