//! A source of numbered samples that several nodes read, and that a test can hold up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hb_core::mark::Mark;
use hb_core::time::{SECOND_NS, Stamp};
use hb_core::watch::sample::{Batch, NewName, Sample};
use hb_daemon::clock;
use hb_daemon::parts::OpenSource;
use hb_sources::{Polled, Rereads, Source, SourceError};

use super::{Cell, DEADLINE};

/// Event time at which tapes begin, long ago and a multiple of every interval used.
const BEGIN: i64 = 1_700_000_000 * SECOND_NS;

/// A source that nodes share; each has its own place in it.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    reel: Cell<Reel>,
}

/// What is on a tape, and how it behaves.
#[derive(Debug, Default)]
pub(crate) struct Reel {
    samples: Vec<(Stamp, f64)>,
    /// Nothing will come any more.
    pub(crate) complete: bool,
    /// Samples come without end, as fast as they are read.
    pub(crate) endless: bool,
    /// Samples in one batch; none means all that there are.
    pub(crate) batch: Option<usize>,
    /// Samples are seen when they come or never.
    pub(crate) observed: bool,
    /// Nodes whose reads do not come back.
    pub(crate) hung: BTreeSet<String>,
    /// Reads that do not come back at the moment.
    pub(crate) hanging: usize,
    /// What nodes are told that open it.
    pub(crate) no_open: Option<String>,
    /// What nodes are told that seek in it.
    pub(crate) no_seek: Option<String>,
    /// What nodes are told that read it.
    pub(crate) no_read: Option<String>,
    /// Nodes that have opened it.
    pub(crate) opened: BTreeSet<String>,
    /// Batches given, by node.
    pub(crate) given: BTreeMap<String, usize>,
    /// Places reached, by node.
    reached: BTreeMap<String, usize>,
}

impl Tape {
    pub(crate) fn change(&self, change: impl FnOnce(&mut Reel)) {
        self.reel.change(change);
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Reel) -> T) -> T {
        look(&self.reel.look())
    }

    /// Three samples in each of these cycles of 1000 s; the first sample of a cycle closes the one before.
    pub(crate) fn cycles(&self, cycles: std::ops::Range<i64>) {
        self.change(|reel| {
            for cycle in cycles {
                for (step, value) in [(100, 1.0), (400, 2.0), (700, 3.0)] {
                    let at = Stamp(BEGIN + (cycle * 1_000 + step) * SECOND_NS);
                    reel.samples.push((at, value + f64::from(i32::try_from(cycle % 7).unwrap())));
                }
            }
        });
    }

    /// From now on, no read of that node comes back.
    pub(crate) fn hang(&self, node: &str) {
        self.change(|reel| {
            reel.hung.insert(node.into());
        });
    }

    /// One sample dated now.
    pub(crate) fn now(&self) {
        self.change(|reel| reel.samples.push((clock::wall(), 1.0)));
    }

    pub(crate) fn copy(&self, other: &Self) {
        let samples = other.look(|reel| reel.samples.clone());
        self.change(|reel| reel.samples = samples);
    }

    pub(crate) fn len(&self) -> usize {
        self.look(|reel| reel.samples.len())
    }

    /// How far a node has read.
    pub(crate) fn read_by(&self, node: &str) -> usize {
        self.look(|reel| reel.reached.get(node).copied().unwrap_or(0))
    }

    pub(crate) fn given_to(&self, node: &str) -> usize {
        self.look(|reel| reel.given.get(node).copied().unwrap_or(0))
    }

    pub(crate) fn open(tape: &Arc<Self>, node: &str) -> OpenSource {
        let (tape, node) = (Arc::clone(tape), node.to_owned());
        Box::new(move || {
            let mut reel = tape.reel.look();
            if let Some(why) = &reel.no_open {
                return Err(SourceError::Retry(why.clone()));
            }
            reel.opened.insert(node.clone());
            let from = if reel.observed { reel.samples.len() } else { 0 };
            Ok(Box::new(Reader { tape: Arc::clone(&tape), node: node.clone(), at: from, announced: false }))
        })
    }
}

struct Reader {
    tape: Arc<Tape>,
    node: String,
    at: usize,
    announced: bool,
}

fn mark(position: usize) -> Mark {
    Mark { position: position as u64, token: "tape".into() }
}

impl Reader {
    fn batch(&mut self, reel: &mut Reel) -> Batch {
        if reel.endless && self.at == reel.samples.len() {
            reel.samples.push((Stamp(BEGIN), 1.0));
        }
        let left = reel.samples.len() - self.at;
        let end = self.at + reel.batch.unwrap_or(left).min(left);
        let names = if self.announced { Vec::new() } else { vec![NewName { name: "x".into(), unit: None }] };
        let sample = |(place, (at, value)): (usize, &(Stamp, f64))| Sample {
            slot: 0,
            offset: u32::try_from(place).unwrap(),
            at: *at,
            value: *value,
        };
        let batch = Batch {
            reset: !self.announced,
            names,
            start: mark(self.at),
            samples: reel.samples[self.at..end].iter().enumerate().map(sample).collect(),
            end: mark(end),
            ..Batch::default()
        };
        (self.at, self.announced) = (end, true);
        reel.reached.insert(self.node.clone(), end);
        *reel.given.entry(self.node.clone()).or_insert(0) += 1;
        batch
    }
}

impl Source for Reader {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let looked_at = clock::wall();
        let hung = |reel: &Reel, node: &str| reel.hung.contains(node);
        let tape = Arc::clone(&self.tape);
        let mut reel = tape.reel.look();
        if hung(&reel, &self.node) {
            reel.hanging += 1;
            drop(reel);
            reel = tape.reel.wait_while(DEADLINE * 2, |reel| hung(reel, &self.node));
            reel.hanging -= 1;
        }
        drop(reel);
        let nothing = |reel: &Reel| reel.samples.len() == self.at && !reel.endless;
        let wait =
            |reel: &mut Reel| nothing(reel) && !reel.complete && reel.no_read.is_none() && !hung(reel, &self.node);
        let mut reel = tape.reel.wait_while(patience, wait);
        if let Some(why) = &reel.no_read {
            return Err(SourceError::Retry(why.clone()));
        }
        if !nothing(&reel) {
            return Ok(Polled::Batch(self.batch(&mut reel)));
        }
        if reel.complete {
            Ok(Polled::End { mark: mark(self.at) })
        } else {
            Ok(Polled::Idle { mark: mark(self.at), looked_at })
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        let reel = self.tape.reel.look();
        if let Some(why) = &reel.no_seek {
            return Err(SourceError::Retry(why.clone()));
        }
        let wanted = mark.map_or(0, |mark| usize::try_from(mark.position).unwrap());
        self.at = if reel.observed { self.at.max(wanted) } else { wanted };
        self.announced = false;
        Ok(())
    }

    fn rereads(&self) -> Rereads {
        if self.tape.look(|reel| reel.observed) { Rereads::Observes } else { Rereads::Yes }
    }
}
