//! One watch at work: batches in, decided cycles out. Restart, takeover, replay and the good day are the same code (H3).
//!
//! **Invariants.** Two watchers resumed from the same record, reading the same source with the same settings and baseline,
//! give the same decisions, byte for byte (W2). Nothing here depends on what a process remembers beyond the record.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fact::{BaselineAdopted, CycleDecided, UNDELIVERED_MAX, Undelivered};
use super::series::{Series, Slot};
use crate::cycle::{Closing, Collector, Collects, Grid, Place};
use crate::ids::CycleNo;
use crate::journal::Hash;
use crate::mark::Mark;
use crate::time::{Now, Stamp};
use crate::watch::alert::alert;
use crate::watch::baseline::{Baseline, Gate, Learner, Material, Provenance};
use crate::watch::decide::{Carry, Case, decide};
use crate::watch::decision::{BaselineRef, Counts, DataFault, NAMED_MAX, Status};
use crate::watch::registry::Names;
use crate::watch::sample::{Batch, FaultCause, NewName, Sample};
use crate::watch::settings::WatchSettings;
use crate::watch::summary::{SeriesSummary, SeriesTable};
use crate::watch::window::{Admission, Window};

type Closed = Closing<Bin, FaultCause>;

/// One cycle's samples, with the names and units that fed them.
#[derive(Debug, Default)]
struct Bin {
    window: Window,
    /// By series: who fed it first.
    feeders: Vec<u32>,
    /// By series: the unit in which it was fed first.
    units: Vec<Arc<str>>,
    /// What the source called the others; at most [`NAMED_MAX`].
    clashes: BTreeMap<usize, NewName>,
    /// Series with readings dropped for their unit, and what the source called those; at most [`NAMED_MAX`].
    unit_faults: BTreeMap<usize, Option<NewName>>,
}

impl Collects for Bin {
    fn total(&self) -> u64 {
        self.window.counts.total()
    }
}

/// What a watch has come to.
#[derive(Debug)]
pub enum Outcome {
    /// A cycle is decided.
    Decided(Arc<CycleDecided>),
    /// A baseline was learned, all its gates are open, and the watch decides against it from the next cycle on.
    Learned(Box<Adoption>),
}

/// A baseline that a watch learned by itself.
#[derive(Debug)]
pub struct Adoption {
    /// Record of the adoption.
    pub adopted: BaselineAdopted,
    /// The document, to be made durable before the record.
    pub bytes: Vec<u8>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Series in it.
    pub series: u64,
    /// Its gates.
    pub gates: Vec<Gate>,
}

/// What a watch goes on from, besides its settings.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Newest decided cycle.
    pub last: Option<Arc<CycleDecided>>,
    /// Baseline in force, with its document.
    pub baseline: Option<(Arc<Baseline>, BaselineRef)>,
    /// The baseline in force, where its document cannot be had: cycles are decided without it until it can, and say so.
    pub missing: Option<BaselineRef>,
    /// Alerts under way.
    pub undelivered: Vec<Undelivered>,
    /// The learner, having seen the cycles that the newest record says.
    pub learner: Learner,
    /// The newest version made of the watch's baseline tag.
    pub versions: u32,
}

/// One watch at work.
#[derive(Debug)]
pub struct Watcher {
    settings: Arc<WatchSettings>,
    hash: Hash,
    names: Names,
    series: Series,
    collector: Collector<Bin, FaultCause>,
    next_cycle: CycleNo,
    past: Past,
    carry: Carry,
    learning: bool,
    given_up: u64,
}

impl Watcher {
    /// A watch that goes on from `past`; `reopened` is the wall clock at which the present reign began.
    #[must_use]
    pub fn new(settings: Arc<WatchSettings>, mut past: Past, reopened: Stamp) -> Self {
        let taught = past.last.as_ref().and_then(|last| last.learning).unwrap_or(0);
        if past.learner.windows() != taught {
            // Some of its cycles have been trimmed away: to learn from fewer than the record says would be a guess.
            past.learner = Learner::default();
        }
        let grid = grid(&settings);
        let collector = match &past.last {
            Some(last) => {
                let counts = &last.decision.counts;
                Collector::resume(grid, &last.resume, (counts.delivered_total, counts.pending), reopened)
            }
            None => Collector::new(grid, Now { wall: reopened, ..Now::default() }),
        };
        let learning = past.last.as_ref().is_none_or(|last| last.learning.is_some());
        Self {
            hash: settings.hash(),
            names: Names::new(&settings),
            series: Series::default(),
            collector,
            next_cycle: past.last.as_ref().map_or(CycleNo(0), |last| last.decision.cycle.next()),
            carry: past.last.as_ref().map(|last| last.carry.clone()).unwrap_or_default(),
            learning: learning && past.baseline.is_none() && past.missing.is_none() && settings.learn.auto,
            past,
            settings,
            given_up: 0,
        }
    }

    /// What the watch has come to, for one that takes its place.
    #[must_use]
    pub fn into_past(self) -> Past {
        self.past
    }

    /// Alerts given up because too many were under way.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Where the source is to be read from; nothing for a watch that has never decided.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        self.past.last.as_ref().map(|last| &last.resume.mark)
    }

    /// Everything before this position of the source has been accounted for.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.collector.closed()
    }

    /// Where the source would be at wall time `wall`.
    #[must_use]
    pub fn event_clock(&self, wall: Stamp) -> Stamp {
        self.collector.event_clock(wall)
    }

    /// Start of the cycle that is decided next, once there is one.
    #[must_use]
    pub fn next_start(&self) -> Option<Stamp> {
        self.collector.next_start()
    }

    /// Alerts that have not reached every sink.
    #[must_use]
    pub fn undelivered(&self) -> &[Undelivered] {
        &self.past.undelivered
    }

    /// The baseline that cycles are decided against.
    #[must_use]
    pub fn baseline(&self) -> Option<&(Arc<Baseline>, BaselineRef)> {
        self.past.baseline.as_ref()
    }

    /// The baseline in force, where its document is still to be had.
    #[must_use]
    pub fn missing(&self) -> Option<&BaselineRef> {
        self.past.missing.as_ref()
    }

    /// Told of a document: when it is the missing one, cycles are decided against it from the next one on.
    pub fn found(&mut self, hash: Hash, document: &Arc<Baseline>) {
        if let Some(reference) = self.past.missing.take_if(|missing| missing.hash == hash) {
            self.past.baseline = Some((Arc::clone(document), reference));
        }
    }

    /// Told of the newest version made of the watch's baseline tag.
    pub fn versions(&mut self, newest: u32) {
        self.past.versions = newest;
    }

    /// Notes that an alert reached a sink, or was given up.
    pub fn delivered(&mut self, cycle: CycleNo, sink: &str) {
        settle(&mut self.past.undelivered, cycle, sink);
    }

    /// Decides against another baseline from the next cycle on.
    pub fn adopt(&mut self, baseline: Arc<Baseline>, reference: BaselineRef, reason: String) -> BaselineAdopted {
        self.learning = false;
        self.past.learner = Learner::default();
        self.past.baseline = Some((baseline, reference.clone()));
        self.past.missing = None;
        BaselineAdopted { baseline: reference, from_cycle: self.next_cycle, reason }
    }

    /// Takes what the source delivered.
    pub fn batch(&mut self, batch: &Batch, now: Now) -> Vec<Outcome> {
        if batch.reset {
            self.series.void();
        }
        self.series.announce(&batch.names);
        let mut out = Vec::new();
        let mut faults = batch.faults.iter().peekable();
        let token = &batch.start.token;
        let mut left = batch.samples.as_slice();
        while let Some((sample, after)) = left.split_first() {
            while let Some(fault) = faults.next_if(|fault| fault.offset < sample.offset) {
                self.collector.fault(batch.start.position.saturating_add(u64::from(fault.offset)), fault.cause);
            }
            let position = batch.start.position.saturating_add(u64::from(sample.offset));
            let until = faults.peek().map_or(u32::MAX, |fault| fault.offset);
            let taken = self.run(position, left, until);
            if taken > 0 {
                left = left.get(taken..).unwrap_or_default();
                continue;
            }
            while let Some(closing) = self.collector.due(position, token, sample.at, now) {
                self.close(closing, &mut out);
            }
            self.put(position, token, *sample);
            left = after;
        }
        for fault in faults {
            self.collector.fault(batch.start.position.saturating_add(u64::from(fault.offset)), fault.cause);
        }
        self.collector.read_to(&batch.end, now);
        self.bound_names();
        out
    }

    /// Told that at wall time `looked_at` the source had nothing more.
    pub fn idle(&mut self, looked_at: Stamp, now: Now) -> Vec<Outcome> {
        let mut out = Vec::new();
        while let Some(closing) = self.collector.idle(looked_at, now) {
            self.close(closing, &mut out);
        }
        out
    }

    /// Told that it goes on from `past` because its settings were changed at that wall time: the next record says so.
    pub fn reopened(&mut self, at: Stamp) {
        self.collector.reopened(at);
    }

    /// Told that the source is complete: decides what is open.
    pub fn finish(&mut self, now: Now) -> Vec<Outcome> {
        let mut out = Vec::new();
        while let Some(closing) = self.collector.finish(now) {
            self.close(closing, &mut out);
        }
        out
    }

    /// Puts samples in for as long as they belong to the cycle of the sample before, feed a series as it was fed before, and stand
    /// no further than `until`: of these nothing but the time needs to be looked at. Gives how many there were.
    fn run(&mut self, position: u64, samples: &[Sample], until: u32) -> usize {
        let Some((span, bin)) = self.collector.lane(position) else { return 0 };
        let series_max = self.settings.series_max;
        let (mut taken, mut newest) = (0_usize, span.start);
        for sample in samples {
            let Some(slot) = self.series.known(sample.slot) else { break };
            let Some(conversion) = slot.conversion else { break };
            if !span.holds(sample.at) || sample.offset > until || bin.feeders.get(slot.index) != Some(&slot.feeder) {
                break;
            }
            let rule = Admission { series_max, keep: slot.keep };
            bin.window.push(slot.index, sample.at, conversion.apply(sample.value), rule);
            newest = newest.max(sample.at);
            taken = taken.saturating_add(1);
        }
        self.collector.counted(taken as u64, newest);
        taken
    }

    fn put(&mut self, position: u64, token: &Arc<str>, sample: Sample) {
        let Some(slot) = self.series.slot(sample.slot, &self.names) else { return };
        let Place::Into(bin) = self.collector.place(position, token, sample.at) else { return };
        let rule = Admission { series_max: self.settings.series_max, keep: slot.keep };
        let first = bin.feeders.get(slot.index) == Some(&slot.feeder);
        match slot.conversion {
            Some(conversion) if first || bin.feed(slot, || self.series.unit(sample.slot)) => {
                bin.window.push(slot.index, sample.at, conversion.apply(sample.value), rule);
            }
            Some(_) | None => bin.unit_fault(slot, rule),
        }
        if !first {
            let index = slot.index;
            bin.note(index, || self.series.raw(sample.slot));
        }
    }

    /// Names that are in no open window may be forgotten; beyond twice the bound they are (B1).
    fn bound_names(&mut self) {
        if self.series.len() <= self.settings.series_max.saturating_mul(2).saturating_add(1_024) {
            return;
        }
        let mut used = vec![false; self.series.len()];
        for bin in self.collector.windows() {
            for (index, used) in used.iter_mut().enumerate() {
                *used |= bin.window.get(index).is_some();
            }
        }
        let (places, remaining) = self.series.forget(|old| used.get(old).copied().unwrap_or(false));
        for bin in self.collector.windows() {
            bin.renumber(&places, remaining);
        }
    }

    fn close(&mut self, closing: Closed, out: &mut Vec<Outcome>) {
        let mut decided = self.decided(closing);
        if self.learning {
            teach(&mut self.past.learner, &decided);
            // Said before anything is adopted: whoever finds this record without an adoption after it adopts.
            decided.learning = Some(self.past.learner.windows());
        }
        if let Some(alert) = decided.alert.clone().filter(|_| !self.settings.alert.sinks.is_empty()) {
            let sinks = self.settings.alert.sinks.clone();
            self.past.undelivered.push(Undelivered { alert, sinks });
        }
        let excess = self.past.undelivered.len().saturating_sub(UNDELIVERED_MAX);
        self.past.undelivered.drain(..excess);
        self.given_up = self.given_up.saturating_add(excess as u64);
        decided.undelivered.clone_from(&self.past.undelivered);
        self.next_cycle = self.next_cycle.next();
        self.carry.clone_from(&decided.carry);
        let decided = Arc::new(decided);
        self.past.last = Some(Arc::clone(&decided));
        out.push(Outcome::Decided(decided));
        out.extend(self.learned());
    }

    fn decided(&self, closing: Closed) -> CycleDecided {
        let mut faults = self.data_faults(&closing.window);
        let counts = Counts {
            window: closing.window.window.counts,
            late: closing.tally.late,
            late_max_ns: closing.tally.late_max_ns,
            future: closing.tally.future,
            faults: closing.tally.faults,
            delivered_total: closing.delivered,
            pending: closing.pending,
        };
        faults.extend(counted_faults(&counts, &self.settings));
        faults.truncate(NAMED_MAX);
        let left = self.settings.learn.cycles.saturating_sub(self.past.learner.windows());
        let case = Case {
            cycle: self.next_cycle,
            span: closing.span,
            series: self.table(&closing.window),
            counts,
            faults,
            baseline: self.past.baseline.as_ref().map(|(baseline, reference)| (&**baseline, reference.clone())),
            missing: self.past.missing.as_ref(),
            learning_left: self.learning.then_some(left),
            settings: (&self.settings, self.hash),
        };
        let (decision, carry) = decide(case, &self.carry);
        let digest = digest(&decision);
        let before = self.past.last.as_ref().map(|last| &last.episode);
        let (alert, episode) = alert(&self.settings.name, &decision, before, &self.settings.alert);
        CycleDecided {
            watch: self.settings.name.clone(),
            decision,
            digest,
            closed_by: closing.by,
            resume: closing.resume,
            carry,
            learning: None,
            baseline: self.in_force().cloned(),
            alert,
            episode,
            undelivered: Vec::new(),
        }
    }

    fn in_force(&self) -> Option<&BaselineRef> {
        self.past.baseline.as_ref().map(|(_, reference)| reference).or(self.past.missing.as_ref())
    }

    fn table(&self, bin: &Bin) -> SeriesTable {
        let mut rows = Vec::with_capacity(bin.window.distinct());
        let summary = |(name, index): (&Arc<str>, usize)| {
            let unit = bin.units.get(index).cloned().unwrap_or_default();
            bin.window.get(index).map(|moments| SeriesSummary::of(Arc::clone(name), unit, moments))
        };
        rows.extend(self.series.sorted().filter_map(summary));
        SeriesTable { rows }
    }

    fn data_faults(&self, bin: &Bin) -> Vec<DataFault> {
        let clashes = bin.clashes.iter().map(|(index, other)| DataFault {
            series: self.series.name(*index),
            what: format!("fed by {:?} and by another name of the source: give each a metric of its own", other.name),
        });
        let units = bin.unit_faults.iter().map(|(index, raw)| {
            let first = bin.units.get(*index).filter(|unit| !unit.is_empty());
            DataFault {
                series: self.series.name(*index),
                what: self.unit_fault(raw.as_ref(), first.map(|unit| &**unit)),
            }
        });
        // By name: the order of indices is this process's own.
        let mut faults: Vec<DataFault> = clashes.chain(units).collect();
        faults.sort_by(|a, b| a.series.cmp(&b.series).then_with(|| a.what.cmp(&b.what)));
        faults.truncate(NAMED_MAX);
        faults
    }

    fn unit_fault(&self, raw: Option<&NewName>, first: Option<&str>) -> String {
        let Some(raw) = raw else { return "readings dropped for their unit".into() };
        let resolved = self.names.resolve(&raw.name, raw.unit.as_deref());
        match (resolved.conversion, first) {
            (Ok(_), Some(first)) => format!(
                "readings of {:?} in {:?} dropped: the cycle began in {first:?}; name the series' unit in the registry",
                raw.name,
                raw.unit.as_deref().unwrap_or("no unit")
            ),
            (Ok(_) | Err(_), _) => self.names.unit_fault(&raw.name, raw.unit.as_deref()),
        }
    }

    /// Adopts a baseline once enough cycles in a row, with data and without failure, have been seen and all gates are open. To
    /// be asked at the start, too: the holder before may have ended between its last cycle and the adoption.
    pub fn learned(&mut self) -> Option<Outcome> {
        let windows = self.past.learner.windows();
        let settings = Arc::clone(&self.settings);
        if !self.learning || windows < settings.learn.cycles {
            return None;
        }
        let last = self.past.last.as_ref()?.decision.cycle;
        let first = CycleNo(last.0.saturating_add(1).saturating_sub(u64::from(windows)));
        let from = format!("cycles {first}..{last} of {}", settings.name);
        let (baseline, gates) = self.past.learner.finish(&from, "auto", &settings.learn);
        let Some(baseline) = baseline.filter(|_| gates.iter().all(|gate| gate.passed)) else {
            // The gates stay shut: go on for a while, then begin afresh rather than average over a change for ever.
            if windows >= settings.learn.cycles.saturating_mul(4) {
                self.past.learner = Learner::default();
            }
            return None;
        };
        // Before the document is made: of many series both are large.
        self.past.learner = Learner::default();
        let bytes = baseline.to_bytes();
        let reference = BaselineRef {
            tag: settings.baseline_tag.clone(),
            version: self.past.versions.saturating_add(1),
            hash: Hash::of(&bytes),
        };
        let (provenance, series) = (baseline.provenance.clone(), baseline.series.len() as u64);
        let adopted = self.adopt(Arc::new(baseline), reference, format!("learned by itself from {from}"));
        Some(Outcome::Learned(Box::new(Adoption { adopted, bytes, provenance, series, gates })))
    }
}

/// Shows a decided cycle to a learner. A failing cycle begins it afresh; a silent one teaches nothing.
pub fn teach(learner: &mut Learner, decided: &CycleDecided) {
    match decided.decision.status {
        Status::NoData => {}
        Status::Fail => *learner = Learner::default(),
        Status::Pass | Status::PassWithDrift | Status::NoBaseline => {
            learner.push(Material { span: decided.decision.span, series: &decided.decision.series, failed: false });
        }
    }
}

/// Takes a sink off an alert under way, and the alert off the list when it was the last one.
pub fn settle(undelivered: &mut Vec<Undelivered>, cycle: CycleNo, sink: &str) {
    for under_way in undelivered.iter_mut().filter(|under_way| under_way.alert.cycle == cycle) {
        under_way.sinks.retain(|name| name != sink);
    }
    undelivered.retain(|under_way| !under_way.sinks.is_empty());
}

/// The hash of a decision's bytes.
#[must_use]
pub fn digest(decision: &crate::watch::decision::Decision) -> Hash {
    Hash::of_json(decision)
}

/// What was dropped without belonging to a series that could be named.
fn counted_faults(counts: &Counts, settings: &WatchSettings) -> Vec<DataFault> {
    let unnamed = |what: String| DataFault { series: String::new(), what };
    let mut faults: Vec<DataFault> =
        counts.faults.iter().map(|(cause, count)| unnamed(format!("{count} dropped: {}", cause.as_str()))).collect();
    if counts.future > 0 {
        faults.push(unnamed(format!("{} readings dropped: dated too far ahead of the clock", counts.future)));
    }
    if counts.window.too_many_series > 0 {
        let (count, most) = (counts.window.too_many_series, settings.series_max);
        faults.push(unnamed(format!("{count} readings dropped: more than {most} series in one cycle (`series_max`)")));
    }
    faults
}

fn grid(settings: &WatchSettings) -> Grid {
    Grid {
        interval_ns: settings.interval_ns.max(1),
        lateness_ns: settings.lateness_ns,
        future_ns: settings.future_ns,
        silence_grace_ns: settings.silence_grace_ns,
        silent_cycles_max: settings.silent_cycles_max,
    }
}

impl Bin {
    /// Notes who feeds a series. The first one in a cycle sets its unit; gives whether `slot` has the same.
    fn feed(&mut self, slot: Slot, of_slot: impl Fn() -> Arc<str>) -> bool {
        if slot.index >= self.feeders.len() {
            self.feeders.resize(slot.index.saturating_add(1), 0);
            self.units.resize(slot.index.saturating_add(1), Arc::default());
        }
        let Some((feeder, unit)) = self.feeders.get_mut(slot.index).zip(self.units.get_mut(slot.index)) else {
            return false;
        };
        if *feeder == 0 {
            *feeder = slot.feeder;
            *unit = of_slot();
            return true;
        }
        *unit == of_slot()
    }

    fn unit_fault(&mut self, slot: Slot, rule: Admission) {
        self.window.push_unit_fault(slot.index, rule);
        if self.unit_faults.len() < NAMED_MAX {
            self.unit_faults.entry(slot.index).or_insert(None);
        }
    }

    /// Keeps the name behind a fault or clash of the series, once per cycle.
    fn note<'a>(&mut self, index: usize, raw: impl Fn() -> Option<&'a NewName>) {
        if let Some(place) = self.unit_faults.get_mut(&index) {
            if place.is_none() {
                *place = raw().cloned();
            }
        } else if self.window.get(index).is_some_and(|moments| moments.n > 1)
            && self.clashes.len() < NAMED_MAX
            && !self.clashes.contains_key(&index)
            && let Some(name) = raw()
        {
            self.clashes.insert(index, name.clone());
        }
    }

    fn renumber(&mut self, places: &[Option<usize>], remaining: usize) {
        self.window = std::mem::take(&mut self.window).renumbered(places, remaining);
        let (mut feeders, mut units) = (vec![0; remaining], vec![Arc::default(); remaining]);
        for ((feeder, unit), place) in self.feeders.drain(..).zip(self.units.drain(..)).zip(places) {
            if let Some(place) = *place
                && let Some(slot) = feeders.get_mut(place).zip(units.get_mut(place))
            {
                (*slot.0, *slot.1) = (feeder, unit);
            }
        }
        (self.feeders, self.units) = (feeders, units);
        let moved = |index: usize| places.get(index).copied().flatten();
        self.clashes =
            std::mem::take(&mut self.clashes).into_iter().filter_map(|(i, v)| Some((moved(i)?, v))).collect();
        self.unit_faults =
            std::mem::take(&mut self.unit_faults).into_iter().filter_map(|(i, v)| Some((moved(i)?, v))).collect();
    }
}
