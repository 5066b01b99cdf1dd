//! W6: nothing told before its record, nothing recorded as told that was not, nothing lost from the outbox.

use std::collections::{BTreeMap, BTreeSet};

use hb_core::ids::{CycleNo, WatchName};
use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::watch::alert::Alert;

use super::Found;
use crate::promise::Promise;

/// Most alerts of a watch under way (SEMANTICS.md, B1).
const UNDER_WAY_MAX: usize = 1_000;

/// All alerts.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    /// Those in records, by watch and cycle.
    made: BTreeMap<(WatchName, CycleNo), Alert>,
    /// How often each was told.
    told: BTreeMap<(WatchName, CycleNo), u64>,
    /// Those under way.
    open: BTreeMap<WatchName, BTreeSet<CycleNo>>,
}

fn broken(what: String) -> Found {
    Err((Promise::W6, what))
}

impl Alerts {
    /// A record stands.
    pub(crate) fn recorded(&mut self, sealed: &Sealed) -> Found {
        match &sealed.record.body {
            Body::CycleDecided(decided) => self.decided(decided),
            Body::AlertDelivered(delivered) => {
                let Some(watch) = sealed.record.stream.as_str().strip_prefix("watch/").map(WatchName::from) else {
                    return Ok(());
                };
                let (cycle, key) = (delivered.cycle, (watch.clone(), delivered.cycle));
                if !self.open.entry(watch.clone()).or_default().remove(&cycle) {
                    return broken(format!("alert {watch}/{cycle} is recorded as told, and was not under way"));
                }
                if delivered.given_up.is_none() && !self.told.contains_key(&key) {
                    return broken(format!("alert {watch}/{cycle} is recorded as told, and nobody was told"));
                }
                Ok(())
            }
            Body::EpochOpened { .. } | Body::BaselineAdopted(_) | Body::BaselineEvent(_) | Body::EpochClosed { .. } => {
                Ok(())
            }
        }
    }

    fn decided(&mut self, decided: &CycleDecided) -> Found {
        let (watch, cycle) = (&decided.watch, decided.decision.cycle);
        let open = self.open.entry(watch.clone()).or_default();
        if let Some(alert) = &decided.alert {
            if alert.key != format!("{watch}/{cycle}") {
                return broken(format!("the alert of {watch}/{cycle} has the key {}", alert.key));
            }
            self.made.insert((watch.clone(), cycle), alert.clone());
            open.insert(cycle);
        }
        while open.len() > UNDER_WAY_MAX {
            open.pop_first();
        }
        let outbox: BTreeSet<CycleNo> = decided.undelivered.iter().map(|one| one.alert.cycle).collect();
        if outbox != *open {
            return broken(format!("{watch}/{cycle} says that {outbox:?} are under way, {open:?} are"));
        }
        Ok(())
    }

    /// Somebody outside was told.
    pub(crate) fn told(&mut self, alert: &Alert) -> Found {
        let key = (alert.watch.clone(), alert.cycle);
        *self.told.entry(key.clone()).or_insert(0) += 1;
        if self.made.get(&key) == Some(alert) {
            return Ok(());
        }
        broken(format!("{} was told and is in no record", alert.key))
    }

    /// Alerts under way.
    pub(crate) fn under_way(&self) -> usize {
        self.open.values().map(BTreeSet::len).sum()
    }

    /// Alerts told more than once.
    pub(crate) fn repeated(&self) -> u64 {
        self.told.values().map(|times| times - 1).sum()
    }
}
