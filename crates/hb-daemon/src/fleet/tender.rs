//! Starts loops for what this node holds or is next in line for, and ends them for what it is not.
//!
//! Those of a node that is missed are made ready before it is dead: then all of them are waited for at once.
//!
//! Bounds (B1): [`HANDS`] loops are started at a time; one that ended with an error rests for [`REST`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hb_core::ids::WatchName;

use super::gathered::Past;
use super::hall::{ClaimLease, Hall};
use super::{Loops, MakeParts, Newest};
use crate::inbox::Control;
use crate::turn::{Ended, Running, start as start_loop};

/// How often loops are looked after while nothing changes.
const LOOK: Duration = Duration::from_millis(500);
/// How long a watch rests whose loop ended with an error.
const REST: Duration = Duration::from_secs(10);
/// Loops that are started at a time: most of it is waiting for a disk or a server.
const HANDS: usize = 8;

/// See the module.
pub(super) struct Tender {
    hall: Arc<Hall>,
    loops: Loops,
    past: Arc<Past>,
    newest: Newest,
    make: MakeParts,
    warm_max: usize,
    /// Watches whose loops ended with an error, and until when they rest.
    rest: BTreeMap<WatchName, Instant>,
}

impl Tender {
    pub(super) fn new(
        hall: &Arc<Hall>,
        loops: &Loops,
        (past, newest): (&Arc<Past>, &Newest),
        make: MakeParts,
        warm_max: usize,
    ) -> Self {
        let (hall, loops, past, newest) = (Arc::clone(hall), Arc::clone(loops), Arc::clone(past), Arc::clone(newest));
        Self { hall, loops, past, newest, make, warm_max, rest: BTreeMap::new() }
    }

    pub(super) fn run(mut self) {
        let mut known = 0;
        loop {
            let (wanted, held) = {
                let state = self.hall.wait_while(LOOK, |state| !state.quit && state.changes == known);
                if state.quit {
                    return;
                }
                known = state.changes;
                let held: BTreeSet<WatchName> = state.held.keys().cloned().collect();
                let warm = state.next.iter().take(self.warm_max).chain(&state.soon).cloned();
                (held.iter().cloned().chain(warm).collect::<BTreeSet<WatchName>>(), held)
            };
            self.past.beat();
            self.reap();
            if self.hall.look().stopping {
                continue;
            }
            self.start_missing(&wanted, &held);
            self.end_unwanted(&wanted);
        }
    }

    fn reap(&mut self) {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let over: Vec<WatchName> =
            loops.iter().filter(|(_, running)| running.has_ended()).map(|(watch, _)| watch.clone()).collect();
        for watch in over {
            let Some(running) = loops.remove(&watch) else { continue };
            self.past.add(&running.shared.counters());
            let Ok(ended) = running.try_join() else {
                tracing::error!("the loop of watch {watch} panicked; please report it");
                self.rest.insert(watch, Instant::now() + REST);
                continue;
            };
            match ended {
                // Started anew, it stands by, or takes over again.
                Ended::Drained | Ended::Fenced(_) => {
                    self.past.well(&watch);
                }
                Ended::Corrupt(what) | Ended::Unfinished(what) => {
                    tracing::error!("watch {watch} cannot be worked for: {what}");
                    self.past.ill(&watch, what);
                    self.rest.insert(watch, Instant::now() + REST);
                }
            }
        }
    }

    fn start_missing(&mut self, wanted: &BTreeSet<WatchName>, held: &BTreeSet<WatchName>) {
        self.rest.retain(|_, until| *until > Instant::now());
        // Those that are waited for come first.
        let order = held.iter().chain(wanted.iter().filter(|watch| !held.contains(*watch)));
        let missing: Vec<&WatchName> = {
            let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
            order.filter(|watch| !loops.contains_key(*watch) && !self.rest.contains_key(*watch)).collect()
        };
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let this = &*self;
        let hand = || {
            while let Some(watch) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(why) = this.start(watch) {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push(((*watch).clone(), why));
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..missing.len().min(HANDS) {
                // Fewer hands do it too.
                let _hand = thread::Builder::new().name("start".into()).spawn_scoped(scope, hand);
            }
            hand();
        });
        for (watch, why) in failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            tracing::error!("watch {watch} cannot be started: {why}");
            self.past.ill(&watch, why);
            self.rest.insert(watch, Instant::now() + REST);
        }
    }

    fn start(&self, watch: &WatchName) -> Result<(), String> {
        if self.hall.look().stopping {
            return Ok(());
        }
        let lease = Box::new(ClaimLease::new(&self.hall, watch));
        let mut parts = (self.make)(watch, lease)?;
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).get(watch).cloned();
        if let (Some(settings), Some(part)) = (newest, parts.watches.first_mut()) {
            part.settings = settings;
        }
        let running = start_loop(parts).map_err(|error| error.to_string())?;
        self.past.well(watch);
        self.take(watch, running);
        Ok(())
    }

    fn take(&self, watch: &WatchName, running: Running) {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        if self.hall.look().stopping {
            // The others have been told already.
            let _listens = running.remote.send(Control::Stop { reason: "the node stops".into() });
        }
        loops.insert(watch.clone(), running);
    }

    fn end_unwanted(&self, wanted: &BTreeSet<WatchName>) {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, running) in loops.iter().filter(|(watch, _)| !wanted.contains(*watch)) {
            let reason = "another node works for this watch, and another one is next in line".into();
            let _listens = running.remote.send(Control::Stop { reason });
        }
    }
}
