//! The checkers, one for each promise, that run beside the world and know what really happened.
//!
//! **Invariants.** They see what the stores did, not what nodes were told, and change nothing. Each is far simpler than what it checks.

mod alerts;
mod cycles;
mod lease;
mod streams;
mod views;
mod words;

use std::collections::BTreeSet;

use hb_core::ids::{Seq, StreamName};
use hb_core::node::fact::{Body, Sealed};

pub(crate) use lease::Hangs;

use crate::plan::Plan;
use crate::ports::line::Line;
use crate::promise::Promise;
use crate::stage::Stage;

/// What a checker found: nothing, or which promise is broken and how.
pub(crate) type Found = Result<(), (Promise, String)>;

/// What the checkers know.
pub(crate) struct Ledger {
    pub(crate) streams: streams::Streams,
    pub(crate) alerts: alerts::Alerts,
    pub(crate) views: views::Screens,
    pub(crate) lease: lease::LeaseWatch,
    pub(crate) cycles: Vec<cycles::Cycles>,
    /// Processes that asked for a baseline's document in vain.
    pub(crate) in_vain: BTreeSet<(usize, u64)>,
}

impl Ledger {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            streams: streams::Streams::default(),
            alerts: alerts::Alerts::default(),
            views: views::Screens::default(),
            lease: lease::LeaseWatch::new(plan),
            cycles: (0..plan.watches).map(|watch| cycles::Cycles::new(plan, watch)).collect(),
            in_vain: BTreeSet::new(),
        }
    }

    /// The store has taken a record, for the first time or again.
    pub(crate) fn appended(
        &mut self,
        stage: &Stage,
        by: Line,
        (stream, seq): (&StreamName, Seq),
        bytes: &[u8],
    ) -> Found {
        let Some(sealed) = self.streams.appended(by, stream, seq, bytes)? else { return Ok(()) };
        stage.reached(sealed.record.body.kind());
        stage.say(|| {
            let (what, epoch) = (words::of(&sealed.record.body), sealed.record.epoch);
            format!("record {seq} of {stream}: {what} by n{} in epoch {epoch}", by.machine)
        });
        self.alerts.recorded(&sealed)?;
        self.with_its_baseline(stage, by, &sealed)?;
        for (watch, cycles) in self.cycles.iter_mut().enumerate() {
            if cycles.stream == *stream
                && let Some(tape) = stage.tapes.get(watch)
            {
                cycles.recorded(&sealed, tape, &stage.documents.borrow())?;
            }
        }
        Ok(())
    }
    /// Only who could not read a baseline's document decides without it.
    fn with_its_baseline(&self, stage: &Stage, by: Line, sealed: &Sealed) -> Found {
        let Body::CycleDecided(decided) = &sealed.record.body else { return Ok(()) };
        if !decided.without_its_baseline() {
            return Ok(());
        }
        stage.reached("decided without its baseline");
        if self.in_vain.contains(&(by.machine, by.life)) {
            return Ok(());
        }
        let cycle = decided.decision.cycle;
        Err((Promise::W2, format!("n{} decided {cycle} without its baseline, which it could have read", by.machine)))
    }
}
