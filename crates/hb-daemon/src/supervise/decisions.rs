//! How decisions of watches get in: read from the watches' journals, each once, in order.
//!
//! The position is part of the supervisor's state from before the first decision on, so that this works the same whether the watches run in this process or in
//! another, and whoever was active when a cycle was decided.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hb_core::ids::{Seq, WatchName};
use hb_core::supervise::input::Input;

use super::office::Office;
use super::parts::Follow;

/// What is followed, and from where.
type Positions = Arc<Mutex<BTreeMap<WatchName, Option<Seq>>>>;

/// The thread that follows.
#[derive(Debug)]
pub(super) struct Decisions {
    positions: Positions,
    office: Office,
    on: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Decisions {
    pub(super) fn start(mut follow: Box<dyn Follow>, office: Office, every: Duration) -> std::io::Result<Self> {
        let positions = Positions::default();
        let on = Arc::new(AtomicBool::new(true));
        let (mine, go_on, at) = (Arc::clone(&positions), Arc::clone(&on), office.clone());
        let run = move || {
            while go_on.load(Ordering::Acquire) {
                poll(&mut *follow, &mine, &at);
                if mine.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                    // Nobody names a watch: nothing is looked for until somebody does.
                    thread::park();
                } else {
                    thread::park_timeout(every);
                }
            }
        };
        let thread = thread::Builder::new().name("decisions".into()).spawn(run)?;
        Ok(Self { positions, office, on, thread: Some(thread) })
    }

    /// Follows these watches; one that is followed already goes on from where it is.
    pub(super) fn watch(&self, wanted: BTreeMap<WatchName, Option<Seq>>) {
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        for watch in positions.extract_if(.., |watch, _| !wanted.contains_key(watch)) {
            self.office.picture().note(&trouble(&watch.0), Ok(()));
        }
        for (watch, after) in wanted {
            positions.entry(watch).or_insert(after);
        }
        if let Some(thread) = self.thread.as_ref().filter(|_| !positions.is_empty()) {
            thread.thread().unpark();
        }
    }

    pub(super) fn stop(mut self) {
        self.on.store(false, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the thread that follows decisions panicked; please report it");
            }
        }
    }
}

fn poll(follow: &mut dyn Follow, positions: &Positions, office: &Office) {
    let wanted = positions.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (watch, after) in wanted {
        let found = match after {
            Some(after) => follow.poll(&watch, Some(after)),
            // Told before anything else of it: from then on the place is on record, and a start after a crash begins there too.
            None => follow.begin(&watch).map(|after| {
                if let Some(position) = positions.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&watch) {
                    *position = Some(after);
                }
                office.world(Input::Following { watch: watch.clone(), after });
                Vec::new()
            }),
        };
        {
            let positions = positions.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody is interested any more: what is wrong with it is wrong with nobody.
            if !positions.contains_key(&watch) {
                continue;
            }
            office.picture().note(&trouble(&watch), found.as_ref().map(drop).map_err(Clone::clone));
        }
        for decision in found.unwrap_or_default() {
            if let Some(position) = positions.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&watch) {
                *position = Some(decision.seq);
            }
            office.world(Input::Decision(Box::new(decision)));
        }
    }
}

/// The name by which trouble with a watch's journal is told.
fn trouble(watch: &WatchName) -> String {
    format!("watch.{watch}")
}
