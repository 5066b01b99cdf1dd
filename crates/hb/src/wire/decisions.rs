//! Decisions of watches, read from their journal for the supervisor.

use std::collections::BTreeMap;

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::node::fact::{Body, Sealed};
use hb_core::supervise::input::{Decision, Declared};
use hb_daemon::supervise::Follow;
use hb_store::journal::dir::DirJournal;
use hb_store::port::Journal as _;
use hb_store::reader::Follower;

/// Most series that a decision names.
const DRIVERS_MAX: usize = 10;

/// Reads the journal of watches. It may be that of this process or of another; it is only read.
#[derive(Debug)]
pub(super) struct Decided {
    journal: DirJournal,
    followers: BTreeMap<WatchName, Follower>,
    /// Newest records of the watches that declared agents name, as they stood when this node was started.
    began: BTreeMap<WatchName, Seq>,
}

impl Decided {
    /// To be made before any watch of this node is started: what it decides from then on counts for agents that are declared.
    pub(super) fn new(mut journal: DirJournal, declared: &Declared) -> Self {
        let mut began = BTreeMap::new();
        for watch in declared.agents.iter().filter_map(|agent| agent.watch.as_ref()) {
            // Where it cannot be read now it is begun where it stands when it can.
            if let Ok(head) = journal.head(&StreamName::watch(watch)) {
                began.insert(watch.clone(), head.unwrap_or_default());
            }
        }
        Self { journal, followers: BTreeMap::new(), began }
    }

    /// Goes on after the position in the supervisor's state. A watch that was never followed is begun at the record that was its newest when this
    /// node was started with an agent for it, or is now for one that was made since: what was decided before an agent named it is not
    /// held against the agent.
    fn follower(&mut self, watch: &WatchName, after: Option<Seq>) -> Result<Follower, String> {
        if let Some(follower) = self.followers.remove(watch) {
            return Ok(follower);
        }
        let stream = StreamName::watch(watch);
        let from = match after {
            Some(seq) => seq.next(),
            None => match self.began.get(watch) {
                Some(seq) => *seq,
                None => self.journal.head(&stream).map_err(|error| error.to_string())?.unwrap_or_default(),
            },
        };
        let floor = self.journal.floor(&stream).map_err(|error| error.to_string())?;
        let from = from.max(floor);
        Ok(Follower::new(stream, from))
    }
}

impl Follow for Decided {
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
