//! The newest cycles of each watch: asked for once, and where one was missed; otherwise each is taken as it comes.

use std::collections::{BTreeMap, VecDeque};

use hb_core::time::Stamp;
use hb_core::watch::decision::Status;
use serde::Serialize;
use serde_json::Value;

use super::picture::status;
use super::watches::WatchLine;
use crate::cli::told::Doc as _;
use crate::reach::escaped;
use crate::shown::Shown;
use crate::stored;

/// Cycles that are kept of a watch (B1).
pub(super) const PAST_MAX: usize = 240;
/// Watches that are kept (B1).
pub(super) const WATCHES_MAX: usize = 5_000;
/// Watches whose cycles are asked for in one round (B1).
const ASKED_MAX: usize = 24;

/// A decided cycle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PastCycle {
    /// Its number.
    pub cycle: u64,
    /// What it came to.
    pub status: Status,
    /// Who decided it; empty where that is not known.
    pub node: Shown,
    /// When it was seen, or where it was there before, the end of its span.
    pub at: Option<Stamp>,
    /// In one sentence.
    pub headline: Shown,
}

/// The newest cycles of all watches.
#[derive(Debug, Default)]
pub(super) struct Past {
    watches: BTreeMap<Shown, VecDeque<PastCycle>>,
}

impl Past {
    /// Takes what a round has told, and puts the past of each watch into its line. `ask` gives the document of a path from the node that told the watches.
    pub(super) fn round(&mut self, watches: &mut [WatchLine], at: Stamp, ask: &mut dyn FnMut(&str) -> Option<Value>) {
        self.watches.retain(|name, _| watches.iter().any(|watch| watch.watch == *name));
        let mut asked = 0;
        for watch in watches {
            if self.watches.len() >= WATCHES_MAX && !self.watches.contains_key(&watch.watch) {
                continue;
            }
            let past = self.watches.entry(watch.watch.clone()).or_default();
            let missed = watch.missed(past.back());
            let known = missed == 1 && !past.is_empty();
            if known {
                past.extend(watch.newest(at));
            } else if missed > 0 && asked < ASKED_MAX {
                asked = asked.saturating_add(1);
                let path = format!("/v1/watches/{}/cycles?limit={PAST_MAX}", escaped(&watch.name));
                match ask(&path) {
                    Some(document) => *past = listed(&document, past.back(), at),
                    // It is told without what was missed, rather than not at all.
                    None => past.extend(watch.newest(at)),
                }
            }
            while past.len() > PAST_MAX {
                past.pop_front();
            }
            watch.past = past.iter().cloned().collect();
        }
    }
}

/// Cycles of a list. What came since the last round came now; what was there before is dated by its span.
fn listed(document: &Value, last: Option<&PastCycle>, at: Stamp) -> VecDeque<PastCycle> {
    let mut cycles: VecDeque<PastCycle> = document.items("cycles").iter().filter_map(PastCycle::of).collect();
    let newer = cycles.iter_mut().filter(|cycle| last.is_some_and(|last| cycle.cycle > last.cycle));
    newer.for_each(|cycle| cycle.at = Some(at));
    cycles
}

impl PastCycle {
    fn of(document: &Value) -> Option<Self> {
        Some(Self {
            cycle: document.get("cycle")?.as_u64()?,
            status: status(document.get("status")?.as_str()?)?,
            node: Shown::of(&document.text("node")),
            at: document.stamp("end_utc"),
            headline: Shown::of(stored::without_status(&document.text("headline"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn watch(cycle: u64, status: &str) -> WatchLine {
        let document =
            json!({"name": "press", "cycle": cycle, "status": status, "headline": format!("{status}: said")});
        WatchLine::of(&document, &Shown::of("a"))
    }

    fn cycles(range: std::ops::RangeInclusive<u64>) -> Value {
        let one =
            |cycle: u64| json!({"cycle": cycle, "status": "PASS", "node": "a", "end_utc": "2026-01-01T00:00:00Z"});
        json!({"cycles": range.map(one).collect::<Vec<_>>()})
    }

    #[test]
    fn cycles_are_asked_for_once_and_where_one_was_missed() {
        let mut past = Past::default();
        let mut paths = Vec::new();
        let mut round = |cycle: u64, status: &str| {
            let mut lines = [watch(cycle, status)];
            let mut ask = |path: &str| {
                paths.push(path.to_owned());
                Some(cycles(1..=cycle))
            };
            past.round(&mut lines, Stamp(7), &mut ask);
            let [line] = lines;
            (line.past.iter().map(|past| past.cycle).collect::<Vec<_>>(), line.past.last().unwrap().at)
        };
        assert_eq!(round(3, "PASS").0, [1, 2, 3], "the first time");
        assert_eq!(round(3, "PASS").0, [1, 2, 3], "nothing new");
        assert_eq!(round(4, "FAIL"), (vec![1, 2, 3, 4], Some(Stamp(7))), "the next one");
        assert_eq!(round(7, "PASS"), (vec![1, 2, 3, 4, 5, 6, 7], Some(Stamp(7))), "two were missed");
        assert_eq!(paths.len(), 2, "{paths:?}");
        assert!(paths[0].starts_with("/v1/watches/press/cycles?limit="));
    }

    #[test]
    fn b1_a_watch_has_so_much_past_and_no_more() {
        let mut past = Past::default();
        for cycle in 1..1_000 {
            let mut lines = [watch(cycle, "PASS")];
            past.round(&mut lines, Stamp(0), &mut |_| None);
            assert!(lines[0].past.len() <= PAST_MAX);
        }
        past.round(&mut [], Stamp(0), &mut |_| None);
        assert!(past.watches.is_empty(), "watches that are gone are forgotten");
    }
}
