//! Decisions of watches, read from their journal for the supervisor.

use std::collections::BTreeMap;

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::node::fact::{Body, Sealed};
use hb_core::supervise::input::{Decision, Declared};
use hb_daemon::supervise::Follow;
use hb_store::port::Journal;
use hb_store::reader::Follower;

/// Most series that a decision names.
const DRIVERS_MAX: usize = 10;

/// Reads the journal of watches. It may be that of this process or of another; it is only read.
pub(super) struct Decided {
    journal: Box<dyn Journal>,
    followers: BTreeMap<WatchName, Follower>,
    /// Newest records of the watches that declared agents name, as they stood when this node was started.
    began: BTreeMap<WatchName, Seq>,
}

impl Decided {
    /// To be made before any watch of this node is started: what it decides from then on counts for agents that are declared.
    pub(super) fn new(mut journal: Box<dyn Journal>, declared: &Declared) -> Self {
        let mut began = BTreeMap::new();
        for watch in declared.agents.iter().filter_map(|agent| agent.watch.as_ref()) {
            // Where it cannot be read now it is begun where it stands when it can.
            if let Ok(head) = journal.head(&StreamName::watch(watch)) {
                began.insert(watch.clone(), head.unwrap_or_default());
            }
        }
        Self { journal, followers: BTreeMap::new(), began }
    }

    /// Goes on after the position in the supervisor's state; from the beginning where there is none.
    fn follower(&mut self, watch: &WatchName, after: Option<Seq>) -> Result<Follower, String> {
        if let Some(follower) = self.followers.remove(watch) {
            return Ok(follower);
        }
        let stream = StreamName::watch(watch);
        let from = after.map_or(Seq(0), Seq::next);
        let floor = self.journal.floor(&stream).map_err(|error| error.to_string())?;
        let from = from.max(floor);
        Ok(Follower::new(stream, from))
    }
}

impl Follow for Decided {
    /// A watch that was never followed is begun at the record that was its newest when this node was started with an agent for it, or is now for one
    /// that was made since: what was decided before is not held against the agent, but for how things stood. Record 0 opens an epoch in every
    /// stream and is never a decision, so that a stream without records is begun after it too.
    fn begin(&mut self, watch: &WatchName) -> Result<Seq, String> {
        self.followers.remove(watch);
        let newest = match self.began.get(watch) {
            Some(seq) => *seq,
            None => {
                let stream = StreamName::watch(watch);
                self.journal.head(&stream).map_err(|error| error.to_string())?.unwrap_or_default()
            }
        };
        Ok(Seq(newest.0.saturating_sub(1)))
    }

    fn poll(&mut self, watch: &WatchName, after: Option<Seq>) -> Result<Vec<Decision>, String> {
        let mut follower = self.follower(watch, after)?;
        let read = follower.poll(&mut self.journal).map_err(|error| error.to_string());
        self.followers.insert(watch.clone(), follower);
        Ok(read?.iter().filter_map(|sealed| decision(watch, sealed)).collect())
    }
}

fn decision(watch: &WatchName, sealed: &Sealed) -> Option<Decision> {
    let Body::CycleDecided(decided) = &sealed.record.body else { return None };
    let decision = &decided.decision;
    let mut drivers: Vec<String> = Vec::new();
    for driver in &decision.drivers {
        if drivers.len() < DRIVERS_MAX && !drivers.contains(&driver.series) {
            drivers.push(driver.series.to_string());
        }
    }
    Some(Decision {
        watch: watch.clone(),
        seq: sealed.record.seq,
        cycle: decision.cycle,
        status: decision.status.as_str().to_owned(),
        end: decision.span.end,
        drivers,
    })
}
