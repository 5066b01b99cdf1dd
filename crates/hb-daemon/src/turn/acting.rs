//! Carries out what is due once a record is durable: sources opened, alerts handed over, cycles counted, journals trimmed.

use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::{Seq, WatchName};
use hb_core::node::cycle_line::CycleLine;
use hb_core::node::step::{Effect, Input, Leave};
use hb_core::time::Moment;

use super::orders::Decided;
use super::{Ended, Loop, VIEWS_MAX};
use crate::clock;
use crate::committer::stream_of;
use crate::doer::Doer;
use crate::feeder::Order;
use crate::shared::RECENT_MAX;

/// How many cycles may pass between two trims of the journal.
const TRIM_EVERY: u64 = 64;
/// Fewest records of a stream that stay, whatever their size: more than a learner or an outbox can need.
const RECORDS_MIN: u64 = 500;

impl Loop {
    pub(super) fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::OpenSource(watch, mark) => {
                if let Some(work) = self.watches.get_mut(&watch) {
                    work.generation = work.generation.saturating_add(1);
                    work.open = true;
                    work.complete = false;
                    work.heard = clock::moment();
                    work.feeder.order(Order::Open { mark, generation: work.generation });
                }
                self.note_takeover();
                self.viewer.catch_up(&watch);
            }
            Effect::Decided(watch, sealed) => {
                self.asked.decided = Decided::Just;
                self.note_cycle(&watch, &sealed);
                self.release(&watch, &sealed);
                self.trim(&watch, sealed.bytes.len());
            }
            Effect::Deliver(watch, under_way) => {
                self.hand_over(&watch);
                self.give_up_missing(&watch, &under_way);
            }
            Effect::Learned(learned) => {
                if let Some((document, reference)) = self.node.baseline(&learned.watch) {
                    self.documents.lend(reference.hash, &document);
                }
                if let Some(work) = self.watches.get_mut(&learned.watch) {
                    work.tag.unnoted = Some(learned);
                    self.tags_at = Moment(0);
                }
            }
            Effect::StandBy => {
                tracing::info!("node {} stands by again", self.name);
                // Before the lease goes, and with it the right to write where everybody looks: no view of this node may land after one
                // of the next.
                let good = self.lease_is_good();
                let patience = if good { VIEWS_MAX.min(self.bounds.lease_ttl / 2) } else { Duration::ZERO };
                self.viewer.rest(Arc::new(self.node.view(clock::now())), patience);
                self.keeper.release();
                self.committer.clear();
                self.held = None;
                self.reading.forget();
                self.follow_at = None;
                self.watches.values_mut().for_each(|work| {
                    work.open = false;
                    work.feeder.order(Order::Close);
                    work.doers.iter_mut().for_each(Doer::forget);
                });
            }
            Effect::Leave(Leave::Drained) => self.ended = Some(Ended::Drained),
            Effect::Leave(Leave::Fenced { what }) => {
                self.committer.clear();
                self.ended = Some(Ended::Fenced(what));
            }
        }
    }

    /// Hands durable alerts to their sinks, as far as there is room; the others stay in the journal's list until there is.
    pub(super) fn hand_over(&mut self, watch: &WatchName) {
        let Some((work, fold)) = self.watches.get_mut(watch).zip(self.node.fold(watch)) else { return };
        for doer in &mut work.doers {
            if let Some(left) = doer.top_up(&fold.undelivered) {
                let what = format!("too many alerts wait: {} and later ones stay in the journal", left.key);
                self.shared.check(&format!("sink.{}", doer.name()), Err(what));
            }
        }
    }

    /// An alert for a sink that is not configured any more would be under way for ever.
    fn give_up_missing(&mut self, watch: &WatchName, under_way: &hb_core::node::fact::Undelivered) {
        let Some(work) = self.watches.get(watch) else { return };
        let known = |sink: &String| work.doers.iter().any(|doer| doer.name() == sink);
        let missing: Vec<String> = under_way.sinks.iter().filter(|sink| !known(sink)).cloned().collect();
        for sink in missing {
            let input = Input::Delivered {
                watch,
                cycle: under_way.alert.cycle,
                sink: &sink,
                tries: 0,
                given_up: Some("no sink of that name is configured any more".into()),
            };
            let step = self.node.handle(input, clock::now());
            self.carry_out_later(step);
        }
    }

    fn note_takeover(&mut self) {
        if let Some(at) = self.leasing.granted_at.take() {
            let took = Duration::from_nanos(clock::moment().since_ns(at)).as_secs_f64();
            let append = self.node.takeover().and_then(|takeover| takeover.took_seconds);
            self.shared.count(|stats| {
                stats.takeovers += 1;
                stats.takeover_seconds = took;
                stats.takeover_append_seconds = append.unwrap_or(took);
            });
        }
    }

    fn note_cycle(&self, watch: &WatchName, sealed: &hb_core::node::fact::Sealed) {
        let hb_core::node::fact::Body::CycleDecided(decided) = &sealed.record.body else { return };
        let decision = &decided.decision;
        let Some(line) = CycleLine::of(sealed) else { return };
        self.shared.count(|stats| {
            *stats.cycles.entry((watch.clone(), decision.status.as_str())).or_insert(0) += 1;
            let window = &decision.counts.window;
            let reasons = [
                ("not_finite", window.not_finite),
                ("repeated", window.repeated),
                ("unit", window.unit),
                ("too_many_series", window.too_many_series),
                ("future", decision.counts.future),
            ];
            let faults = decision.counts.faults.iter().map(|(cause, count)| (cause.as_str(), *count));
            for (reason, count) in reasons.into_iter().chain(faults).filter(|(_, count)| *count > 0) {
                *stats.dropped.entry((watch.clone(), reason)).or_insert(0) += count;
            }
            let all = stats.recent.entry(watch.clone()).or_default();
            all.push_back(line);
            let excess = all.len().saturating_sub(RECENT_MAX);
            all.drain(..excess);
        });
    }

    /// Lets the source's other end forget what is in a durable record now.
    fn release(&self, watch: &WatchName, sealed: &hb_core::node::fact::Sealed) {
        let hb_core::node::fact::Body::CycleDecided(decided) = &sealed.record.body else { return };
        if let Some(work) = self.watches.get(watch).filter(|work| work.open) {
            work.feeder.order(Order::Trim { mark: decided.resume.mark.clone() });
        }
    }

    /// Keeps the newest records of a watch in the journal. Every decided cycle is a snapshot, so nothing older is needed.
    fn trim(&mut self, watch: &WatchName, record_bytes: usize) {
        let Some(work) = self.watches.get_mut(watch) else { return };
        work.since_trim = work.since_trim.saturating_add(1);
        if work.since_trim < TRIM_EVERY {
            return;
        }
        work.since_trim = 0;
        let Some(fold) = self.node.fold(watch) else { return };
        let Some(head) = fold.head else { return };
        // A restart learns again from the cycles that the learner has seen: they stay, with what stands between them.
        let learning = fold.last.as_ref().and_then(|last| last.learning).map_or(0, u64::from);
        let least = RECORDS_MIN.max(learning.saturating_mul(2));
        let fit = self.bounds.journal_bytes / (record_bytes as u64).max(1);
        let keep = fit.clamp(least, self.bounds.journal_records.max(least));
        let floor = Seq(head.seq.0.saturating_sub(keep));
        if floor == Seq(0) {
            return;
        }
        match self.journal.trim(&stream_of(watch), floor) {
            Ok(gone) => self.shared.count(|stats| stats.trimmed = stats.trimmed.saturating_add(gone)),
            Err(error) => self.shared.check("journal", Err(format!("the journal could not be trimmed: {error}"))),
        }
    }
}
