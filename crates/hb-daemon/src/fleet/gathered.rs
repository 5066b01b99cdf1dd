//! The pictures of all loops of a node in one.
//!
//! **Invariants.** Counters never go back: what loops have counted that ended is kept ([`Past`]). Put together when somebody looks, so
//! that a thousand watches cost nothing while nobody does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hb_core::ids::{NodeName, WatchName};
use hb_core::node::cycle_line::CycleLine;
use hb_core::node::view::{Role, View};
use hb_core::time::Moment;

use super::Loops;
use super::hall::Hall;
use crate::clock;
use crate::shared::{CheckState, Gather, Shared, Stats};

/// Watches that are named where something is wrong with several.
const NAMED_MAX: usize = 3;

/// What is known of loops that have ended.
#[derive(Debug, Default)]
pub(super) struct Past {
    stats: Mutex<Stats>,
    /// Why watches are not worked for that should be.
    ill: Mutex<BTreeMap<WatchName, String>>,
    /// When loops were looked after last; 0 before the first time.
    tended: AtomicU64,
}

impl Past {
    pub(super) fn add(&self, stats: &Stats) {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).add(stats);
    }

    pub(super) fn ill(&self, watch: &WatchName, why: String) {
        self.ill.lock().unwrap_or_else(PoisonError::into_inner).insert(watch.clone(), why);
    }

    pub(super) fn well(&self, watch: &WatchName) {
        self.ill.lock().unwrap_or_else(PoisonError::into_inner).remove(watch);
    }

    pub(super) fn beat(&self) {
        self.tended.store(clock::moment().0, Ordering::Release);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) node: NodeName,
    pub(super) hall: Arc<Hall>,
    pub(super) loops: Loops,
    pub(super) past: Arc<Past>,
    pub(super) began: Moment,
}

impl Gathered {
    fn pictures(&self) -> Vec<(WatchName, Arc<Shared>)> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.iter().map(|(watch, running)| (watch.clone(), Arc::clone(&running.shared))).collect()
    }

    fn picture(&self, watch: &WatchName) -> Option<Arc<Shared>> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.get(watch).map(|running| Arc::clone(&running.shared))
    }

    fn of_register(&self, checks: &mut BTreeMap<String, CheckState>) {
        let state = self.hall.look();
        let lease = match &state.trouble {
            None if state.rounds == 0 => CheckState { ok: false, what: "who works for what is not known yet".into() },
            None => CheckState { ok: true, what: "ok".into() },
            Some(why) => CheckState { ok: false, what: format!("the register of claims cannot be used: {why}") },
        };
        checks.insert("lease".into(), lease);
        if let Some(pause) = &state.pause {
            let what = format!("paused by {}: {}; nobody takes over until it is resumed", pause.by, pause.reason);
            checks.insert("pause".into(), CheckState { ok: true, what });
        }
        if state.unplaced > 0 {
            let what = format!("{} watches are worked for by nobody: no node has room for them", state.unplaced);
            checks.insert("fleet".into(), CheckState { ok: false, what });
        }
    }
}

/// What is wrong with some watches, in one sentence.
fn told(found: &[(WatchName, String)]) -> String {
    let named: Vec<String> = found.iter().take(NAMED_MAX).map(|(watch, what)| format!("{watch}: {what}")).collect();
    let more = found.len().saturating_sub(NAMED_MAX);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{rest}", named.join("; "))
}

impl Gather for Gathered {
    fn view(&self) -> View {
        let (holders, paused) = {
            let state = self.hall.look();
            let pause = state.pause.as_ref();
            let paused = pause.map(|pause| {
                format!(
                    "paused by {} since {}: {}; nobody takes over until it is resumed",
                    pause.by, pause.at, pause.reason
                )
            });
            (state.holders.clone(), paused)
        };
        let mut view = View { node: Some(self.node.clone()), role: self.role(), paused, ..View::default() };
        for (_, shared) in self.pictures() {
            let one = shared.view();
            view.epoch = view.epoch.max(one.epoch);
            view.watches.extend(one.watches.iter().cloned());
            view.alarms.extend(one.alarms.iter().cloned());
            let newer = |known: &View| {
                one.takeover.as_ref().is_some_and(|new| known.takeover.as_ref().is_none_or(|old| new.at > old.at))
            };
            if newer(&view) {
                view.takeover.clone_from(&one.takeover);
            }
        }
        view.holders = Some(holders);
        view
    }

    /// Active while it works for any watch.
    fn role(&self) -> Role {
        let state = self.hall.look();
        match (state.stopping, state.held.is_empty()) {
            (true, _) => Role::Draining,
            (false, false) => Role::Active,
            (false, true) => Role::Standby,
        }
    }

    fn checks(&self) -> BTreeMap<String, CheckState> {
        let mut wrong: BTreeMap<String, Vec<(WatchName, String)>> = BTreeMap::new();
        let mut checks: BTreeMap<String, CheckState> = BTreeMap::new();
        for (watch, shared) in self.pictures() {
            let pulse = shared.pulse();
            if pulse.since > pulse.bound {
                let why = format!("its loop has made no turn for {:.0} s", pulse.since.as_secs_f64());
                wrong.entry("watches".into()).or_default().push((watch.clone(), why));
            }
            for (name, state) in shared.checks() {
                if state.ok {
                    checks.entry(name).or_insert(state);
                } else {
                    wrong.entry(name).or_default().push((watch.clone(), state.what));
                }
            }
        }
        let ill = self.past.ill.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wrong.entry("watches".into()).or_default().extend(ill);
        for (name, found) in wrong {
            let ok = found.is_empty();
            let what = if ok { "ok".into() } else { told(&found) };
            checks.insert(name, CheckState { ok, what });
        }
        self.of_register(&mut checks);
        checks
    }

    fn stats(&self) -> Stats {
        let mut stats = self.past.stats.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (_, shared) in self.pictures() {
            stats.add(&shared.counters());
        }
        stats
    }

    fn recent(&self, watch: &WatchName, most: usize) -> Vec<CycleLine> {
        self.picture(watch).map(|shared| shared.recent(watch, most)).unwrap_or_default()
    }

    fn depth(&self) -> u64 {
        self.pictures().iter().map(|(_, shared)| shared.depth()).fold(0, u64::max)
    }

    /// The node hangs when its claims are not kept any more, or its loops not looked after. One loop that hangs is not the node: its
    /// claim is handed on, and readiness tells of it.
    fn progress(&self) -> Moment {
        let (claims, tended) = (self.hall.look().round_at, Moment(self.past.tended.load(Ordering::Acquire)));
        claims.min(tended).max(self.began)
    }
}
