//! Recorded cycles, decided again from the source.
//!
//! The source is read to exactly the position at which each recorded cycle was closed, and what closed it then closes it
//! now: the source itself, the clock, or the end. Wall clocks enter only as the horizons that the records hold.
//!
//! **Invariants.** After a cycle that came out otherwise, it goes on from the recorded one: one difference is told once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hb_core::cycle::{ClosedBy, REREAD_INTERVALS};
use hb_core::ids::CycleNo;
use hb_core::journal::Hash;
use hb_core::mark::Mark;
use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::node::fold::Fold;
use hb_core::node::watcher::{Outcome, Past, Watcher};
use hb_core::time::{Now, Stamp};
use hb_core::watch::baseline::Baseline;
use hb_core::watch::decision::BaselineRef;
use hb_core::watch::sample::Batch;
use hb_core::watch::settings::WatchSettings;
use hb_sources::{Polled, Source};
use hb_store::baselines::Baselines;

use crate::cli::Failure;
use crate::exit::Exit;

/// What became of one recorded cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redecided {
    /// The same digest.
    Same,
    /// Another.
    Differs {
        /// The cycle.
        cycle: CycleNo,
        /// What is different, in one sentence.
        what: String,
    },
    /// It could not be decided again: why.
    Skipped(&'static str),
}

/// Decides the cycles of one watch again.
pub struct Redecider {
    settings: Arc<WatchSettings>,
    hash: Hash,
    source: Box<dyn Source>,
    documents: Baselines,
    fold: Fold,
    /// None: it has to be made anew from `fold`.
    watcher: Option<Watcher>,
    reopened: Stamp,
    begun: bool,
    baseline: Option<(Arc<Baseline>, BaselineRef)>,
    /// What has been read and not been shown to the watcher.
    rest: Option<Batch>,
    /// Everything before this position has been shown.
    shown_to: u64,
    /// Decided again and not compared yet.
    ahead: VecDeque<Arc<CycleDecided>>,
}

impl Redecider {
    /// A watch that begins with the first record of its stream.
    #[must_use]
    pub fn new(settings: WatchSettings, source: Box<dyn Source>, documents: Baselines) -> Self {
        Self {
            hash: settings.hash(),
            settings: Arc::new(settings),
            source,
            documents,
            fold: Fold::default(),
            watcher: None,
            reopened: Stamp(0),
            begun: false,
            baseline: None,
            rest: None,
            shown_to: 0,
            ahead: VecDeque::new(),
        }
    }

    /// Takes the next record; a decided cycle is decided again.
    ///
    /// # Errors
    /// The source or a baseline cannot be read.
    pub fn take(&mut self, sealed: &Sealed) -> Result<Option<Redecided>, Failure> {
        let mut told = None;
        match &sealed.record.body {
            Body::EpochOpened { .. } => {
                self.reopened = sealed.record.at;
                self.watcher = None;
            }
            Body::CycleDecided(recorded) => told = Some(self.cycle(recorded)?),
            Body::BaselineAdopted(adopted) => self.adopt(&adopted.baseline, &adopted.reason)?,
            Body::AlertDelivered(delivered) => {
                if let Some(watcher) = &mut self.watcher {
                    watcher.delivered(delivered.cycle, &delivered.sink);
                }
            }
            Body::BaselineEvent(_) | Body::EpochClosed { .. } => {}
        }
        self.fold.push(sealed);
        Ok(told)
    }

    fn cycle(&mut self, recorded: &Arc<CycleDecided>) -> Result<Redecided, Failure> {
        let whole = recorded.decision.cycle == CycleNo(0) || self.begun;
        self.begun = true;
        if !whole {
            self.watcher = None;
            return Ok(Redecided::Skipped("the state before the oldest record has been trimmed"));
        }
        if recorded.decision.settings != self.hash {
            self.watcher = None;
            return Ok(Redecided::Skipped("they were decided under other settings"));
        }
        if let Some(reopened) = recorded.resume.reopened {
            // It was read anew when its settings were changed, to those that are known here.
            (self.reopened, self.watcher) = (reopened, None);
        }
        let Some(found) = self.again(recorded)? else {
            self.watcher = None;
            let what = "the source does not lead to it any more".to_owned();
            return Ok(Redecided::Differs { cycle: recorded.decision.cycle, what });
        };
        if found.digest == recorded.digest {
            return Ok(Redecided::Same);
        }
        self.watcher = None;
        Ok(Redecided::Differs { cycle: recorded.decision.cycle, what: difference(recorded, &found) })
    }

    fn again(&mut self, recorded: &CycleDecided) -> Result<Option<Arc<CycleDecided>>, Failure> {
        let had = |watcher: &Watcher| watcher.missing().is_some() == recorded.without_its_baseline();
        let mut watcher = match self.watcher.take().filter(had) {
            Some(watcher) => watcher,
            None => self.resumed(recorded)?,
        };
        if recorded.decision.cycle == CycleNo(0) && self.shown_to == 0 {
            // Silence before the first sample may have said where the grid begins; where it did not, the first sample says the same again.
            let now = Now { wall: wall_at_close(recorded, &self.settings), ..Now::default() };
            self.keep(watcher.idle(recorded.decision.span.start, now));
        }
        if self.ahead.is_empty() {
            let now = Now { wall: wall_at_close(recorded, &self.settings), ..Now::default() };
            let closed = recorded.resume.closed;
            match recorded.closed_by {
                ClosedBy::Watermark => self.show(&mut watcher, closed.saturating_add(1), now)?,
                ClosedBy::Clock => {
                    self.show(&mut watcher, recorded.resume.reread.unwrap_or(closed), now)?;
                    let looked_at = looked_at(&watcher, recorded, &self.settings);
                    self.keep(watcher.idle(looked_at, now));
                }
                ClosedBy::End => {
                    self.show(&mut watcher, closed, now)?;
                    self.keep(watcher.finish(now));
                }
            }
        }
        self.watcher = Some(watcher);
        Ok(self.ahead.pop_front())
    }

    /// A watcher that goes on after the newest record, and the source at its mark.
    fn resumed(&mut self, recorded: &CycleDecided) -> Result<Watcher, Failure> {
        let missing = self.fold.baseline.clone().filter(|_| recorded.without_its_baseline());
        let baseline = match self.fold.baseline.clone().filter(|_| missing.is_none()) {
            Some(reference) => Some(self.document(&reference)?),
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
        let watcher = Watcher::new(Arc::clone(&self.settings), past, self.reopened);
        let sought = self.source.seek(watcher.mark());
        sought.map_err(|error| Failure::new(Exit::Unavailable, format!("the source cannot be read again: {error}")))?;
        self.rest = None;
        self.ahead.clear();
        self.shown_to = watcher.mark().map_or(0, |mark| mark.position);
        Ok(watcher)
    }

    fn document(&mut self, reference: &BaselineRef) -> Result<(Arc<Baseline>, BaselineRef), Failure> {
        if let Some(known) = self.baseline.as_ref().filter(|(_, known)| known == reference) {
            return Ok(known.clone());
        }
        let read = self.documents.get(reference.hash);
        let document = read.map_err(|error| Failure::new(Exit::Corrupt, error.to_string()))?;
        let known = (document, reference.clone());
        self.baseline = Some(known.clone());
        Ok(known)
    }

    /// What the watch learned by itself it has adopted already.
    fn adopt(&mut self, reference: &BaselineRef, reason: &str) -> Result<(), Failure> {
        let (document, reference) = self.document(reference)?;
        if let Some(watcher) = &mut self.watcher
            && watcher.baseline().is_none_or(|(_, in_force)| *in_force != reference)
        {
            let _adopted = watcher.adopt(document, reference, reason.to_owned());
        }
        Ok(())
    }

    /// Shows the watcher everything before `position`, as far as the source has it.
    fn show(&mut self, watcher: &mut Watcher, position: u64, now: Now) -> Result<(), Failure> {
        while self.shown_to < position {
            let Some(batch) = self.next()? else { return Ok(()) };
            let batch = match batch.end.position > position {
                true => {
                    let (before, after) = split(batch, position);
                    self.rest = Some(after);
                    before
                }
                false => batch,
            };
            self.shown_to = batch.end.position;
            let outcomes = watcher.batch(&batch, now);
            self.keep(outcomes);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Batch>, Failure> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        let polled = self.source.next(Duration::from_secs(1));
        match polled.map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))? {
            Polled::Batch(batch) => Ok(Some(batch)),
            Polled::Idle { .. } | Polled::End { .. } => Ok(None),
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

/// The batch before a position within it, and from there on.
fn split(batch: Batch, position: u64) -> (Batch, Batch) {
    let offset = u32::try_from(position.saturating_sub(batch.start.position)).unwrap_or(u32::MAX);
    let Batch { reset, names, start, mut samples, mut faults, end } = batch;
    let later_samples = samples.split_off(samples.partition_point(|sample| sample.offset < offset));
    let later_faults = faults.split_off(faults.partition_point(|fault| fault.offset < offset));
    let middle = Mark { position, token: Arc::clone(&start.token) };
    let after = Batch {
        reset: false,
        names: Vec::new(),
        start: start.clone(),
        samples: later_samples,
        faults: later_faults,
        end,
    };
    (Batch { reset, names, start, samples, faults, end: middle }, after)
}

/// The wall clock at which a recorded cycle was closed, as far as its horizons tell; long ago where it moved none.
fn wall_at_close(recorded: &CycleDecided, settings: &WatchSettings) -> Stamp {
    let closed = recorded.resume.closed;
    let raised = recorded.resume.horizons.iter().find(|(from, _)| *from == closed);
    raised.map_or(Stamp(0), |(_, horizon)| {
        let ahead = [settings.interval_ns, settings.lateness_ns, settings.silence_grace_ns, settings.future_ns];
        ahead.iter().fold(*horizon, |stamp, ns| stamp.plus_ns(ns.saturating_neg()))
    })
}

/// When one has to have looked for the clock to close just this cycle.
fn looked_at(watcher: &Watcher, recorded: &CycleDecided, settings: &WatchSettings) -> Stamp {
    let end = recorded.decision.span.end;
    let held = end.plus_ns(settings.lateness_ns).plus_ns(settings.silence_grace_ns);
    let lag_ns = held.since_ns(watcher.event_clock(held));
    let longer = recorded.resume.reread.map_or(0, |_| settings.interval_ns.saturating_mul(REREAD_INTERVALS));
    held.plus_ns(lag_ns).plus_ns(longer)
}

/// What is different, the most telling first.
fn difference(recorded: &CycleDecided, found: &CycleDecided) -> String {
    let (was, is) = (&recorded.decision, &found.decision);
    if was.cycle != is.cycle || was.span != is.span {
        let (a, b) = (was.span, is.span);
        return format!("recorded as {} to {}, now cycle {} from {} to {}", a.start, a.end, is.cycle, b.start, b.end);
    }
    if was.status != is.status {
        return format!("recorded as {}, now {}", was.status, is.status);
    }
    if was.counts != is.counts {
        let (a, b) = (was.counts.window.samples, is.counts.window.samples);
        return format!("its counts: {a} samples recorded, now {b} (late, dropped or pending may differ as well)");
    }
    if was.series != is.series {
        return "its series have other figures".into();
    }
    if was.baseline != is.baseline {
        return "it was decided against another baseline".into();
    }
    "its drivers or wording".into()
}
