//! What should not be, kept until it is over: shown on `/ready`, in the metrics and on the page.

use std::collections::BTreeMap;

use super::view::Alarm;
use crate::time::Stamp;

/// Most alarms with different names; further ones are folded into `alarms.overflow`.
pub const ALARMS_MAX: usize = 200;

/// The alarms that stand at the moment.
#[derive(Debug, Clone, Default)]
pub struct Alarms {
    by_name: BTreeMap<String, Alarm>,
}

impl Alarms {
    /// Raises an alarm, or counts and rewords one that stands. Gives whether it is new.
    pub fn raise(&mut self, name: &str, what: String, at: Stamp) -> bool {
        let full = self.by_name.len() >= ALARMS_MAX && !self.by_name.contains_key(name);
        let name = if full { "alarms.overflow" } else { name };
        let fresh = !self.by_name.contains_key(name);
        let alarm = self.by_name.entry(name.into()).or_insert_with(|| Alarm {
            name: name.into(),
            what: String::new(),
            since: at,
            count: 0,
        });
        alarm.what = what;
        alarm.count = alarm.count.saturating_add(1);
        fresh
    }

    /// It is over. Gives whether it stood.
    pub fn clear(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }

    /// All that stand, by name.
    pub fn list(&self) -> impl Iterator<Item = &Alarm> {
        self.by_name.values()
    }
}
