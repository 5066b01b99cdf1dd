//! W6 for views: nothing is shown before its record.

use std::collections::BTreeMap;

use hb_core::ids::{Seq, WatchName};
use hb_core::node::fact::{Body, Sealed};
use hb_core::watch::baseline::Baseline;

use super::Found;
use crate::promise::Promise;

/// Whether a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    Yes,
    No,
}

impl From<bool> for Stands {
    fn from(stands: bool) -> Self {
        if stands { Self::Yes } else { Self::No }
    }
}

/// What people see of each watch.
#[derive(Debug, Default)]
pub(crate) struct Screens {
    newest: BTreeMap<WatchName, Seq>,
}

impl Screens {
    /// A record is shown; `stands`: whether it does.
    pub(crate) fn shown(
        &mut self,
        watch: &WatchName,
        sealed: &Sealed,
        baseline: Option<&Baseline>,
        stands: Stands,
    ) -> Found {
        let seq = sealed.record.seq;
        if stands == Stands::No {
            return Err((Promise::W6, format!("record {seq} of {watch} is shown and does not stand")));
        }
        if let Body::CycleDecided(decided) = &sealed.record.body
            && decided.decision.baseline.is_some() != baseline.is_some()
        {
            return Err((Promise::W6, format!("record {seq} of {watch} is shown with another baseline than its own")));
        }
        self.caught_up(watch, seq);
        Ok(())
    }

    /// The views of a watch are made again from its records up to that one.
    pub(crate) fn caught_up(&mut self, watch: &WatchName, head: Seq) {
        let newest = self.newest.entry(watch.clone()).or_default();
        *newest = head.max(*newest);
    }
}
