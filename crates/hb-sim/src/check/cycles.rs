//! W1 to W4: every cycle against a model of ten lines, and decided again by a watch that nothing ever happened to.
//!
//! The model: a sample belongs to the cycle in whose span it is dated; it is in it if it stood in the source before the place at which the
//! record says that the cycle was closed, else it is late. Positions of tapes are numbers of samples, so what was delivered is the place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hb_core::cycle::{ClosedBy, REREAD_INTERVALS};
use hb_core::ids::{CycleNo, StreamName};
use hb_core::journal::Hash;
use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::node::fold::Fold;
use hb_core::node::watcher::{Outcome, Past, Watcher, digest};
use hb_core::time::{Now, Stamp};
use hb_core::watch::baseline::Baseline;
use hb_core::watch::settings::WatchSettings;

use super::Found;
use crate::plan::Plan;
use crate::ports::tape::{Announce, Tape};
use crate::promise::Promise;

/// How many kinds of settings there are ([`Plan::settings`]).
const SETTINGS: u64 = 7;
/// How far out of order samples may stand on a tape, in nanoseconds.
const APART: i64 = 60_000_000_000;

/// The cycles of one watch.
pub(crate) struct Cycles {
    pub(crate) stream: StreamName,
    settings: BTreeMap<Hash, Arc<WatchSettings>>,
    last: Option<Arc<CycleDecided>>,
    accounted: u64,
    future: u64,
    /// No sample before it can belong to a cycle to come.
    from: usize,
    fold: Fold,
    reopened: Stamp,
    watcher: Option<(Hash, Watcher)>,
    shown_to: usize,
    ahead: VecDeque<Arc<CycleDecided>>,
    /// Cycles that were decided again.
    pub(crate) again: u64,
}

fn broken(promise: Promise, what: String) -> Found {
    Err((promise, what))
}

impl Cycles {
    pub(crate) fn new(plan: &Plan, watch: usize) -> Self {
        let settings = (0..SETTINGS).map(|limits| Arc::new(plan.settings(watch, limits)));
        let stream = StreamName::watch(&plan.settings(watch, 0).name);
        Self {
            stream,
            settings: settings.map(|settings| (settings.hash(), settings)).collect(),
            last: None,
            accounted: 0,
            future: 0,
            from: 0,
            fold: Fold::default(),
            reopened: Stamp(0),
            watcher: None,
            shown_to: 0,
            ahead: VecDeque::new(),
            again: 0,
        }
    }

    /// The newest decided cycle.
    pub(crate) fn last(&self) -> Option<&CycleDecided> {
        self.last.as_deref()
    }

    /// A record stands.
    pub(crate) fn recorded(&mut self, sealed: &Sealed, tape: &Tape, documents: &BTreeMap<Hash, Vec<u8>>) -> Found {
        match &sealed.record.body {
            Body::EpochOpened { .. } => {
                self.reopened = sealed.record.at;
                self.watcher = None;
            }
            Body::CycleDecided(decided) => {
                self.in_order(decided)?;
                self.by_model(decided, tape)?;
                self.decided_again(decided, tape, documents)?;
                self.last = Some(Arc::clone(decided));
            }
            // What it learned by itself it has adopted already; nobody promotes anything here.
            Body::BaselineAdopted(_) => {}
            Body::AlertDelivered(delivered) => {
                if let Some((_, watcher)) = &mut self.watcher {
                    watcher.delivered(delivered.cycle, &delivered.sink);
                }
            }
            Body::BaselineEvent(_) | Body::EpochClosed { .. } => {}
        }
        self.fold.push(sealed);
        Ok(())
    }

    /// W1: once, in order, without gaps.
    fn in_order(&self, decided: &CycleDecided) -> Found {
        let (cycle, span) = (decided.decision.cycle, decided.decision.span);
        let next = self.last.as_ref().map_or(CycleNo(0), |last| last.decision.cycle.next());
        if cycle != next {
            return broken(Promise::W1, format!("{} {cycle} was decided where {next} is next", decided.watch));
        }
        let start = self.last.as_ref().map_or(span.start, |last| last.decision.span.end);
        // Until there ever was a sample, the first one says where cycles begin.
        let anchored = self.last.as_ref().is_none_or(|last| last.resume.anchored);
        if (span.start != start && anchored) || span.end <= span.start || decided.resume.next_start != span.end {
            let what = format!(
                "{} {cycle} is from {} to {}, the one before ended at {start}",
                decided.watch, span.start, span.end
            );
            return broken(Promise::W1, what);
        }
        if digest(&decided.decision) != decided.digest {
            return broken(Promise::W2, format!("{} {cycle} has another digest than its decision", decided.watch));
        }
        Ok(())
    }

    /// W4: every sample once.
    fn by_model(&mut self, decided: &CycleDecided, tape: &Tape) -> Found {
        let (counts, span) = (&decided.decision.counts, decided.decision.span);
        let told = |what: String| broken(Promise::W4, format!("{} {}: {what}", decided.watch, decided.decision.cycle));
        let closed = usize::try_from(decided.resume.closed).unwrap_or(usize::MAX);
        self.accounted += counts.accounted();
        self.future += counts.future;
        if counts.delivered_total != decided.resume.closed {
            return told(format!("{} samples were delivered up to place {closed}", counts.delivered_total));
        }
        if self.accounted + counts.pending != counts.delivered_total {
            let (accounted, pending) = (self.accounted, counts.pending);
            return told(format!("{accounted} accounted for and {pending} pending are not {closed}"));
        }
        let items = tape.items();
        // Where the first sample ever said that cycles begin, which may be before what silence had led to.
        if self.last.as_ref().is_some_and(|last| span.start < last.decision.span.start) {
            self.from = 0;
        }
        let passed = |item: &crate::ports::tape::Item| item.at.0 < span.start.0 - APART;
        while items.get(self.from).is_some_and(passed) {
            self.from += 1;
        }
        let mine = items.get(self.from..closed.min(items.len())).unwrap_or_default();
        let expected = mine.iter().filter(|item| span.holds(item.at)).count() as u64;
        let found = counts.window.total();
        // What the source did not give again in time is late, and was counted above.
        let short = self.future == 0 && decided.resume.reread.is_none();
        if found > expected || (found < expected && short) {
            return told(format!("{found} samples are in it, {expected} belong there"));
        }
        Ok(())
    }

    /// W2: the same, decided by a watch that goes on where the record before says, and to which nothing happens.
    fn decided_again(&mut self, recorded: &CycleDecided, tape: &Tape, documents: &BTreeMap<Hash, Vec<u8>>) -> Found {
        let hash = recorded.decision.settings;
        let told =
            |what: String| broken(Promise::W2, format!("{} {}: {what}", recorded.watch, recorded.decision.cycle));
        let Some(settings) = self.settings.get(&hash).cloned() else {
            return told("it was decided under settings that nobody has".into());
        };
        if let Some(reopened) = recorded.resume.reopened {
            (self.reopened, self.watcher) = (reopened, None);
        }
        let without = recorded.without_its_baseline();
        if self.watcher.as_ref().is_none_or(|(of, watcher)| *of != hash || watcher.missing().is_some() != without) {
            let Some(watcher) = self.resumed(recorded, &settings, documents) else {
                return told("its baseline is gone".into());
            };
            self.watcher = Some((hash, watcher));
        }
        let found = self.again(recorded, &settings, tape);
        self.again += 1;
        match found {
            Some(found) if found.digest == recorded.digest => Ok(()),
            Some(found) => {
                self.watcher = None;
                let (is, was) = (&found.decision, &recorded.decision);
                told(format!(
                    "recorded as {} of {} samples from {} to {}, decided again as {} {} of {} from {} to {}",
                    was.status,
                    was.counts.window.samples,
                    was.span.start,
                    was.span.end,
                    is.cycle,
                    is.status,
                    is.counts.window.samples,
                    is.span.start,
                    is.span.end
                ))
            }
            None => {
                self.watcher = None;
                let (by, closed, span) = (recorded.closed_by, recorded.resume.closed, recorded.decision.span);
                told(format!(
                    "closed by {by:?} at place {closed}, from {} to {}: the source does not lead to it",
                    span.start, span.end
                ))
            }
        }
    }

    fn again(&mut self, recorded: &CycleDecided, settings: &WatchSettings, tape: &Tape) -> Option<Arc<CycleDecided>> {
        let (_, mut watcher) = self.watcher.take()?;
        if self.ahead.is_empty() {
            let now = Now { wall: wall_at_close(recorded, settings), ..Now::default() };
            let closed = usize::try_from(recorded.resume.closed).unwrap_or(usize::MAX);
            if self.last.is_none() {
                // From when on the watch waited for its first sample is what no record says; the first cycle begins then.
                let outcomes = watcher.idle(recorded.decision.span.start, now);
                self.keep(outcomes);
            }
            match recorded.closed_by {
                ClosedBy::Watermark => self.show(&mut watcher, tape, closed.saturating_add(1), now),
                ClosedBy::Clock => {
                    let reread = recorded.resume.reread.and_then(|place| usize::try_from(place).ok());
                    self.show(&mut watcher, tape, reread.unwrap_or(closed), now);
                    let longer = reread.map_or(0, |_| settings.interval_ns.saturating_mul(REREAD_INTERVALS));
                    let end = recorded.decision.span.end;
                    let held = end.plus_ns(settings.lateness_ns).plus_ns(settings.silence_grace_ns);
                    let lag = held.since_ns(watcher.event_clock(held));
                    let outcomes = watcher.idle(held.plus_ns(lag).plus_ns(longer), now);
                    self.keep(outcomes);
                }
                ClosedBy::End => {
                    self.show(&mut watcher, tape, closed, now);
                    let outcomes = watcher.finish(now);
                    self.keep(outcomes);
                }
            }
        }
        self.watcher = Some((settings.hash(), watcher));
        self.ahead.pop_front()
    }

    fn resumed(
        &mut self,
        recorded: &CycleDecided,
        settings: &Arc<WatchSettings>,
        documents: &BTreeMap<Hash, Vec<u8>>,
    ) -> Option<Watcher> {
        let missing = self.fold.baseline.clone().filter(|_| recorded.without_its_baseline());
        let baseline = match self.fold.baseline.clone().filter(|_| missing.is_none()) {
            Some(reference) => {
                let document = Baseline::from_bytes(documents.get(&reference.hash)?, reference.hash).ok()?;
                Some((Arc::new(document), reference))
            }
            None => None,
        };
        let past = Past {
            last: self.fold.last.clone(),
            baseline,
            missing,
            undelivered: self.fold.undelivered.clone(),
            learner: self.fold.learner.clone(),
            ..Past::default()
        };
        let watcher = Watcher::new(Arc::clone(settings), past, self.reopened);
        self.ahead.clear();
        self.shown_to = watcher.mark().map_or(0, |mark| usize::try_from(mark.position).unwrap_or(0));
        Some(watcher)
    }

    fn show(&mut self, watcher: &mut Watcher, tape: &Tape, to: usize, now: Now) {
        if self.shown_to < to {
            let batch = tape.batch(self.shown_to, to, Announce::Anew);
            self.shown_to = to;
            let outcomes = watcher.batch(&batch, now);
            self.keep(outcomes);
        }
    }

    fn keep(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            if let Outcome::Decided(decided) = outcome {
                self.ahead.push_back(decided);
            }
        }
    }
}

/// The wall clock at which a cycle was closed, as far as its horizons tell; long ago where it moved none.
fn wall_at_close(recorded: &CycleDecided, settings: &WatchSettings) -> Stamp {
    let closed = recorded.resume.closed;
    let raised = recorded.resume.horizons.iter().find(|(from, _)| *from == closed);
    raised.map_or(Stamp(0), |(_, horizon)| {
        let ahead = [settings.interval_ns, settings.lateness_ns, settings.silence_grace_ns, settings.future_ns];
        ahead.iter().fold(*horizon, |stamp, ns| stamp.plus_ns(ns.saturating_neg()))
    })
}
