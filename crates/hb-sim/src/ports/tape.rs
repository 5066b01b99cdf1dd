//! Telemetry: numbered samples that came about whatever the nodes do, each readable from when it was written on.

use std::sync::Arc;
use std::time::Duration;

use hb_core::mark::Mark;
use hb_core::time::Stamp;
use hb_core::watch::sample::{Batch, NewName, Sample};
use hb_daemon::parts::OpenSource;
use hb_runtime::clock;
use hb_sources::{Polled, Rereads, Source, SourceError};

use super::line::Line;
use crate::chance::{Chance, mixed};
use crate::fault::Fault;
use crate::kernel::{BEGIN, MS, SECOND};
use crate::plan::Plan;
use crate::planted::Planted;
use crate::stage::{Stage, here};

/// The series on every tape.
const SERIES: [&str; 3] = ["cpu", "queue", "latency"];
/// Most samples given at once.
const BATCH_MAX: usize = 48;

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Item {
    /// When it was read.
    pub(crate) at: Stamp,
    /// When it can be read here, in the world's own time.
    written: u64,
    series: u32,
    value: f64,
}

/// All samples of a watch, in the order in which they are written; a sample's position is its place.
#[derive(Debug)]
pub(crate) struct Tape {
    items: Vec<Item>,
}

impl Tape {
    /// What a watch's source gives in the world of a plan.
    pub(crate) fn recorded(plan: &Plan, watch: usize) -> Self {
        let mut chance = Chance::new(mixed(plan.seed ^ 0x7461_7065) ^ watch as u64);
        let late_most = chance.one_of([0, 500 * MS, plan.lateness, plan.lateness.saturating_mul(2)]);
        let mut items = Vec::new();
        let (mut time, mut silent_until) = (SECOND, 0);
        let mut shift = 0.0;
        while time < plan.end() {
            time = time.saturating_add(chance.wait(plan.sample_every).max(MS));
            if chance.hits(4_000) {
                silent_until = time.saturating_add(plan.interval.saturating_mul(chance.between(1, 4)));
            }
            if chance.hits(10_000) {
                shift = f64::from(u32::try_from(chance.below(5)).unwrap_or(0)) * 40.0;
            }
            if time < silent_until {
                continue;
            }
            let late = if chance.hits(100_000) { chance.below(late_most.saturating_add(1)) } else { 0 };
            let series = u32::try_from(chance.below(SERIES.len() as u64)).unwrap_or(0);
            let noise = f64::from(u32::try_from(chance.below(2_000)).unwrap_or(0)) / 100.0;
            let value = if chance.hits(2_000) { f64::NAN } else { 100.0 + noise + shift };
            let at = BEGIN.plus_ns(i64::try_from(time).unwrap_or(i64::MAX));
            items.push(Item { at, written: time.saturating_add(late), series, value });
        }
        items.sort_by_key(|item| item.written);
        Self { items }
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The samples from a place on, before another.
    pub(crate) fn batch(&self, from: usize, to: usize, announce: Announce) -> Batch {
        let names = SERIES.iter().map(|name| NewName { name: (*name).into(), unit: None });
        let sample = |(place, item): (u32, &Item)| {
            let Item { at, series, value, .. } = *item;
            Sample { slot: series, offset: place, at, value }
        };
        let items = self.items.get(from..to).unwrap_or_default();
        Batch {
            reset: announce == Announce::Anew,
            names: if announce == Announce::Anew { names.collect() } else { Vec::new() },
            start: mark(from),
            samples: (0..).zip(items).map(sample).collect(),
            faults: Vec::new(),
            end: mark(to),
        }
    }

    /// How many are written by then.
    fn written(&self, now: u64) -> usize {
        self.items.partition_point(|item| item.written <= now)
    }
}

/// Whether names are said again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// They are.
    Anew,
    /// They are known.
    Known,
}

pub(crate) fn mark(position: usize) -> Mark {
    thread_local! {
        static TOKEN: Arc<str> = Arc::from("tape");
    }
    Mark { position: position as u64, token: TOKEN.with(Arc::clone) }
}

/// Opens the tape of a watch for a process.
pub(crate) fn open(line: Line, watch: usize) -> OpenSource {
    Box::new(move || {
        if !line.lives() || here().strikes(Fault::SourceFails) {
            return Err(SourceError::Retry("the source cannot be opened".into()));
        }
        Ok(Box::new(Reader { line, watch, at: 0, announced: false, shift: 0 }))
    })
}

struct Reader {
    line: Line,
    watch: usize,
    at: usize,
    announced: bool,
    /// A planted fault: how far before its position it reads.
    shift: usize,
}

impl Reader {
    fn troubles(&self, stage: &Stage) -> Result<(), SourceError> {
        if !self.line.lives() {
            return Err(SourceError::Retry("the process has ended".into()));
        }
        if stage.strikes(Fault::SourceStalls) {
            let long = stage.kernel.chance.borrow_mut().between(SECOND, 25 * SECOND);
            hb_runtime::thread::sleep(Duration::from_nanos(long));
        }
        if stage.strikes(Fault::SourceFails) {
            return Err(SourceError::Retry("the source cannot be read".into()));
        }
        Ok(())
    }

    fn batch(&mut self, stage: &Stage, tape: &Tape, written: usize) -> Batch {
        let most = stage.kernel.chance.borrow_mut().index(BATCH_MAX) + 1;
        let announce = if self.announced { Announce::Known } else { Announce::Anew };
        let (from, to) = (self.at, written.min(self.at + most));
        let mut batch = tape.batch(from, to, announce);
        if self.shift > 0 {
            let back = tape.batch(from - self.shift, to - self.shift, announce);
            batch.samples = back.samples;
        }
        if !self.announced && from > 0 && stage.planted(Planted::WarmDropped) {
            stage.reached("planted");
            batch.samples.truncate(batch.samples.len() / 2);
        }
        (self.at, self.announced) = (to, true);
        batch
    }
}

impl Source for Reader {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let stage = here();
        let looked_at = clock::wall();
        self.troubles(&stage)?;
        let Some(tape) = stage.tapes.get(self.watch) else {
            return Err(SourceError::Invalid("there is no such tape".into()));
        };
        let mut written = tape.written(stage.kernel.now());
        if written <= self.at && !patience.is_zero() {
            let patience = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
            let until = stage.kernel.now().saturating_add(patience);
            let next = tape.items.get(self.at).map_or(u64::MAX, |item| item.written);
            stage.kernel.rest(until.min(next).saturating_sub(stage.kernel.now()));
            written = tape.written(stage.kernel.now());
        }
        if written > self.at {
            let batch = self.batch(&stage, tape, written);
            let (start, end) = (batch.start.position, batch.end.position);
            stage.say(|| format!("n{} reads w{} from {start} to {end}", self.line.machine, self.watch));
            return Ok(Polled::Batch(batch));
        }
        Ok(Polled::Idle { mark: mark(self.at), looked_at })
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        let stage = here();
        self.troubles(&stage)?;
        let wanted = mark.map_or(0, |mark| usize::try_from(mark.position).unwrap_or(usize::MAX));
        stage.say(|| format!("n{} seeks w{} at {wanted}", self.line.machine, self.watch));
        (self.at, self.announced, self.shift) = (wanted, false, 0);
        if wanted > 0 && stage.planted(Planted::MarkOff) {
            stage.reached("planted");
            self.at = wanted + 1;
        }
        if wanted > 0 && stage.planted(Planted::MarkBack) {
            stage.reached("planted");
            self.shift = 1;
        }
        Ok(())
    }

    fn rereads(&self) -> Rereads {
        Rereads::Yes
    }
}
