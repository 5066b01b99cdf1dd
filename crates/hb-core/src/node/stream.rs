//! One watch of a node with its stream: what is durable, what is under way, what waits for it.
//!
//! **Invariants.** `tip` is the head that the stream has once everything under way is durable; effects in `waiting` leave
//! when their record is (W6).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fact::{AlertDelivered, Body, Record, Sealed, Undelivered};
use super::fold::Fold;
use super::step::{Blob, Effect, Learned, Step};
use super::view::{SourceView, Totals, WatchView};
use super::watcher::{Adoption, Outcome, Past, Watcher};
use crate::ids::{Epoch, NodeName, Seq, StreamName, WatchName};
use crate::journal::{FORMAT, Hash, Head, seal, seal_about};
use crate::time::{Now, Stamp};
use crate::watch::baseline::Baseline;
use crate::watch::decision::BaselineRef;
use crate::watch::settings::WatchSettings;

/// What a record that is under way sets free once it is durable.
#[derive(Debug)]
pub(super) enum Held {
    /// An effect.
    Effect(Effect),
    /// The epoch is open.
    Opened,
    /// The epoch is closed.
    Closed,
}

/// One watch with its stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) settings: Arc<WatchSettings>,
    pub(super) fold: Fold,
    pub(super) watcher: Option<Watcher>,
    pub(super) source: SourceView,
    pub(super) opened: bool,
    name: StreamName,
    versions: u32,
    /// The epoch that this node has opened, or is opening.
    reign: Epoch,
    tip: Option<Head>,
    waiting: BTreeMap<Seq, Vec<Held>>,
    reopened: Stamp,
    /// Size of the newest cycle's record.
    cycle_bytes: usize,
    totals: Totals,
}

impl Stream {
    pub(super) fn new(settings: Arc<WatchSettings>) -> Self {
        Self {
            name: StreamName::watch(&settings.name),
            settings,
            fold: Fold::default(),
            watcher: None,
            source: SourceView::Closed,
            opened: false,
            versions: 0,
            reign: Epoch(0),
            tip: None,
            waiting: BTreeMap::new(),
            reopened: Stamp::default(),
            cycle_bytes: 0,
            totals: Totals::default(),
        }
    }

    pub(super) fn watch(&self) -> &WatchName {
        &self.settings.name
    }

    pub(super) fn follow(&mut self, sealed: &Sealed) {
        self.fold.push(sealed);
        self.tip = self.fold.head;
    }

    pub(super) fn versions(&mut self, newest: u32) {
        self.versions = newest;
        if let Some(watcher) = &mut self.watcher {
            watcher.versions(newest);
        }
    }

    /// Baselines in force: durable, and worked with.
    pub(super) fn baselines(&self) -> impl Iterator<Item = &BaselineRef> {
        let worked_with = self.watcher.as_ref().and_then(Watcher::baseline).map(|(_, reference)| reference);
        self.fold.baseline.iter().chain(worked_with)
    }

    fn record(&mut self, node: &NodeName, epoch: Epoch, at: Stamp, body: Body) -> Arc<Sealed> {
        let record = Record {
            format: FORMAT,
            stream: self.name.clone(),
            seq: self.tip.map_or(Seq(0), |tip| tip.seq.next()),
            epoch,
            at,
            node: node.clone(),
            prev: self.tip.map_or(Hash::ZERO, |tip| tip.hash),
            body,
        };
        let sealed = Arc::new(match record.body {
            // About as large as the one before, and a little more.
            Body::CycleDecided(_) => seal_about(record, self.cycle_bytes.saturating_add(self.cycle_bytes / 16)),
            Body::EpochOpened { .. }
            | Body::AlertDelivered(_)
            | Body::BaselineAdopted(_)
            | Body::BaselineEvent(_)
            | Body::EpochClosed { .. } => seal(record),
        });
        if matches!(sealed.record.body, Body::CycleDecided(_)) {
            self.cycle_bytes = sealed.bytes.len();
        }
        self.tip = Some(sealed.head());
        sealed
    }

    fn push(&mut self, author: &Author<'_>, body: Body, step: &mut Step) -> Arc<Sealed> {
        let sealed = self.record(author.node, self.reign, author.now.wall, body);
        step.records.push((self.watch().clone(), Arc::clone(&sealed)));
        sealed
    }

    fn hold(&mut self, seq: Seq, held: Held) {
        self.waiting.entry(seq).or_default().push(held);
    }

    /// Opens the next epoch.
    pub(super) fn open(&mut self, author: &Author<'_>, lease: &str, reason: &str, step: &mut Step) {
        self.reign = self.fold.epoch.next();
        self.reopened = author.now.wall;
        let body = Body::EpochOpened { lease: lease.into(), reason: reason.into() };
        let sealed = self.push(author, body, step);
        self.hold(sealed.record.seq, Held::Opened);
    }

    /// Forgets everything that is not durable: somebody else writes here.
    pub(super) fn give_way(&mut self) {
        self.tip = self.fold.head;
        self.waiting.clear();
        self.watcher = None;
        self.opened = false;
        self.source = SourceView::Closed;
    }

    /// Starts work from what the records add up to.
    pub(super) fn start(&mut self, documents: &BTreeMap<Hash, Arc<Baseline>>, author: &Author<'_>, step: &mut Step) {
        let reference = self.fold.baseline.clone();
        let document = reference.as_ref().and_then(|one| documents.get(&one.hash)).map(Arc::clone);
        let missing = reference.clone().filter(|_| document.is_none());
        let past = Past {
            last: self.fold.last.clone(),
            baseline: document.zip(reference),
            missing,
            undelivered: self.fold.undelivered.clone(),
            learner: std::mem::take(&mut self.fold.learner),
            versions: self.versions,
        };
        self.work(past, step);
        let learned = self.watcher.as_mut().and_then(Watcher::learned);
        self.outcomes(learned.into_iter().collect(), author, step);
    }

    fn work(&mut self, past: Past, step: &mut Step) {
        let watcher = Watcher::new(Arc::clone(&self.settings), past, self.reopened);
        let under_way = watcher.undelivered().iter();
        step.effects.extend(under_way.map(|one| Effect::Deliver(self.settings.name.clone(), one.clone())));
        step.effects.push(Effect::OpenSource(self.settings.name.clone(), watcher.mark().cloned()));
        self.source = SourceView::Open;
        self.watcher = Some(watcher);
    }

    /// Goes on under other settings, from the newest decided cycle: the same path as a takeover (H3).
    pub(super) fn reload(&mut self, settings: Arc<WatchSettings>, now: Now, step: &mut Step) {
        self.settings = settings;
        self.reopened = now.wall;
        if let Some(watcher) = self.watcher.take() {
            let before = step.effects.len();
            self.work(watcher.into_past(), step);
            if let Some(watcher) = &mut self.watcher {
                watcher.reopened(now.wall);
            }
            // Alerts under way are still under way: the reload does not repeat them.
            let repeated = |effect: &Effect| matches!(effect, Effect::Deliver(..));
            let kept: Vec<Effect> = step.effects.drain(before..).filter(|effect| !repeated(effect)).collect();
            step.effects.extend(kept);
        }
    }

    /// Turns outcomes into records, and what follows from each into what waits for it.
    pub(super) fn outcomes(&mut self, outcomes: Vec<Outcome>, author: &Author<'_>, step: &mut Step) {
        for outcome in outcomes {
            match outcome {
                Outcome::Decided(decided) => {
                    let counts = &decided.decision.counts;
                    self.totals.samples_since_start += counts.window.samples;
                    self.totals.late_since_start += counts.late;
                    self.totals.dropped_since_start += counts.dropped();
                    let fresh = decided.alert.as_ref().and_then(|alert| {
                        decided.undelivered.iter().find(|under_way| under_way.alert.key == alert.key).cloned()
                    });
                    let sealed = self.push(author, Body::CycleDecided(decided), step);
                    let watch = self.settings.name.clone();
                    let seq = sealed.record.seq;
                    self.hold(seq, Held::Effect(Effect::Decided(watch.clone(), sealed)));
                    if let Some(under_way) = fresh {
                        self.hold(seq, Held::Effect(Effect::Deliver(watch, under_way)));
                    }
                }
                Outcome::Learned(adoption) => {
                    let Adoption { adopted, bytes, provenance, series, gates } = *adoption;
                    let reference = adopted.baseline.clone();
                    let (hash, reason) = (reference.hash, adopted.reason.clone());
                    step.blobs.push(Blob { hash, bytes });
                    let sealed = self.push(author, Body::BaselineAdopted(adopted), step);
                    let watch = self.settings.name.clone();
                    let learned = Learned { watch, reference, provenance, series, gates, reason };
                    self.hold(sealed.record.seq, Held::Effect(Effect::Learned(Box::new(learned))));
                }
            }
        }
    }

    pub(super) fn delivered(&mut self, delivered: AlertDelivered, author: &Author<'_>, step: &mut Step) {
        let Some(watcher) = &mut self.watcher else { return };
        // An answer to a try of an earlier reign may come after the alert was told again and recorded: once is enough.
        let waits = |one: &Undelivered| one.alert.cycle == delivered.cycle && one.sinks.contains(&delivered.sink);
        if !watcher.undelivered().iter().any(waits) {
            return;
        }
        watcher.delivered(delivered.cycle, &delivered.sink);
        self.push(author, Body::AlertDelivered(delivered), step);
    }

    pub(super) fn promoted(
        &mut self,
        baseline: (Arc<Baseline>, BaselineRef),
        reason: String,
        author: &Author<'_>,
        step: &mut Step,
    ) {
        let Some(watcher) = &mut self.watcher else { return };
        if watcher.baseline().is_some_and(|(_, reference)| *reference == baseline.1) {
            return;
        }
        let adopted = watcher.adopt(baseline.0, baseline.1, reason);
        self.push(author, Body::BaselineAdopted(adopted), step);
    }

    pub(super) fn drain(&mut self, author: &Author<'_>, reason: &str, step: &mut Step) {
        let sealed = self.push(author, Body::EpochClosed { reason: reason.into() }, step);
        self.hold(sealed.record.seq, Held::Closed);
        self.watcher = None;
        self.source = SourceView::Closed;
    }

    /// Everything that waited for records up to `seq`.
    pub(super) fn committed(&mut self, seq: Seq) -> Vec<Held> {
        let later = self.waiting.split_off(&seq.next());
        std::mem::replace(&mut self.waiting, later).into_values().flatten().collect()
    }

    /// A record of this node's own is durable: what it says is now part of what the records add up to.
    pub(super) fn durable(&mut self, sealed: &Sealed) {
        self.fold.push(sealed);
    }

    /// Alerts under way.
    pub(super) fn under_way(&self) -> &[Undelivered] {
        self.watcher.as_ref().map_or(&self.fold.undelivered, Watcher::undelivered)
    }

    pub(super) fn view(&self, now: Now) -> WatchView {
        let last = self.fold.last.clone();
        let clock = self.watcher.as_ref().map_or(now.wall, |watcher| watcher.event_clock(now.wall));
        let lag = last.as_ref().map_or(0.0, |last| clock.as_seconds() - last.decision.span.end.as_seconds());
        WatchView {
            name: self.watch().clone(),
            cycle: last.as_ref().map(|last| last.decision.cycle),
            status: last.as_ref().map(|last| last.decision.status),
            seq: self.fold.head.map(|head| head.seq),
            epoch: self.fold.epoch,
            lag_seconds: if self.source == SourceView::Ended { 0.0 } else { lag.max(0.0) },
            source: self.source.clone(),
            baseline: self.fold.baseline.clone(),
            undelivered: self.under_way().len() as u64,
            totals: Totals {
                delivered: last.as_ref().map_or(0, |last| last.decision.counts.delivered_total),
                ..self.totals
            },
            last,
        }
    }
}

/// Who writes, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author<'a> {
    pub(super) node: &'a NodeName,
    pub(super) now: Now,
}
