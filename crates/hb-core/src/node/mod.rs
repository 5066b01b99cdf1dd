//! The whole node as one value: the only place where watch, cycle, lease and journal meet.
//!
//! **Invariants.** Records leave only under the lease, in order, each under the epoch that this node opened (H1). An effect
//! that a record explains leaves only after the record is durable (W6). An event that cannot happen raises an alarm; it
//! never panics and never passes in silence.

pub mod alarms;
pub mod cycle_line;
pub mod fact;
pub mod fold;
pub mod latency;
mod series;
pub mod step;
mod stream;
pub mod view;
pub mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use alarms::Alarms;
use fact::{AlertDelivered, Body, Sealed};
use step::{Effect, Input, Leave, Step};
use stream::{Author, Held, Stream};
use view::{Role, SourceView, Takeover, View};
use watcher::Watcher;

use crate::ids::{Epoch, NodeName, Seq, WatchName};
use crate::journal::Hash;
use crate::lease::{Lease, LeaseEvent};
use crate::time::{Moment, Now};
use crate::watch::baseline::Baseline;
use crate::watch::decision::BaselineRef;
use crate::watch::settings::WatchSettings;

/// The state of one `hb` process.
#[derive(Debug)]
pub struct Node {
    name: NodeName,
    lease: Lease,
    streams: BTreeMap<WatchName, Stream>,
    documents: BTreeMap<Hash, Arc<Baseline>>,
    under_way: BTreeMap<(WatchName, Seq), Arc<Sealed>>,
    alarms: Alarms,
    /// When the lease was granted, until the first append under it stands.
    granted: Option<Moment>,
    /// How many nanoseconds that took, for the newest grant.
    took: Option<u64>,
}

impl Node {
    /// A node that stands by.
    #[must_use]
    pub fn new(name: NodeName, watches: Vec<Arc<WatchSettings>>) -> Self {
        let streams = watches.into_iter().map(|settings| (settings.name.clone(), Stream::new(settings))).collect();
        Self {
            name,
            lease: Lease::Standby,
            streams,
            documents: BTreeMap::new(),
            under_way: BTreeMap::new(),
            alarms: Alarms::default(),
            granted: None,
            took: None,
        }
    }

    /// Takes one event into account. Total: every input is answered in every state.
    pub fn handle(&mut self, input: Input<'_>, now: Now) -> Step {
        let mut step = Step::default();
        if self.lease == Lease::Fenced {
            return step;
        }
        match input {
            Input::Record(watch, sealed) => self.followed(watch, sealed, now),
            Input::Document(hash, document) => self.document(hash, document, now),
            Input::Granted { how, why, since, until } => {
                self.turn(LeaseEvent::Granted { until }, now);
                (self.granted, self.took) = (Some(since), None);
                self.open(how, &why, now, &mut step);
            }
            Input::Renewed { until } => self.turn(LeaseEvent::Renewed { until }, now),
            Input::Superseded { by } => self.superseded(by, now, &mut step),
            Input::Lapsed => self.lapsed(now, &mut step),
            Input::HandOver { reason } => self.hand_over(reason, now, &mut step),
            Input::Committed(watch, seq) => self.committed(watch, seq, now, &mut step),
            Input::Refused(watch, seq) => self.refused(watch, seq, now, &mut step),
            Input::Batch(watch, batch) => self.collect(watch, now, &mut step, |w| w.batch(batch, now)),
            Input::Idle(watch, at) => self.collect(watch, now, &mut step, |w| w.idle(at, now)),
            Input::Ended(watch) => self.ended(watch, now, &mut step),
            Input::SourceFailed(watch, at, why) => {
                self.collect(watch, now, &mut step, |w| w.idle(at, now));
                self.source(watch, SourceView::Failed { reason: why.into() });
            }
            Input::Delivered { watch, cycle, sink, tries, given_up } => {
                let delivered = AlertDelivered { cycle, sink: sink.into(), tries, given_up };
                self.with(watch, now, |stream, author| stream.delivered(delivered, author, &mut step));
            }
            Input::Promoted { watch, reference, document, reason } => {
                let baseline = (document, reference);
                self.with(watch, now, |stream, author| stream.promoted(baseline, reason, author, &mut step));
            }
            Input::Versions(watch, newest) => {
                if let Some(stream) = self.streams.get_mut(watch) {
                    stream.versions(newest);
                }
            }
            Input::Reload(settings) => {
                if let Some(stream) = self.streams.get_mut(&settings.name) {
                    stream.reload(settings, now, &mut step);
                }
            }
            Input::Drain { reason } => self.drain(reason, now, &mut step),
        }
        if !step.blobs.is_empty() {
            self.keep_learned();
        }
        self.under_way.extend(step.records.iter().map(|(w, s)| ((w.clone(), s.record.seq), Arc::clone(s))));
        step
    }

    /// Whether records may leave at `now`: asked before work is taken from the inbox, so that none is lost to a lapsed lease.
    #[must_use]
    pub fn may_work(&self, now: Moment) -> bool {
        matches!(self.lease, Lease::Held { .. }) && self.lease.permit(now).is_some()
    }

    /// What this node is at the moment.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.lease {
            Lease::Standby => Role::Standby,
            Lease::Opening { .. } => Role::TakingOver,
            Lease::Held { .. } => Role::Active,
            Lease::Draining { .. } | Lease::HandingOver { .. } => Role::Draining,
            Lease::Fenced => Role::Fenced,
        }
    }

    /// The largest epoch that this node has opened or read.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.streams.values().map(|stream| stream.fold.epoch).max().unwrap_or_default()
    }

    /// Baselines in force whose documents this node does not have.
    #[must_use]
    pub fn wanted(&self) -> Vec<(WatchName, BaselineRef)> {
        let wanted = |stream: &Stream| {
            let reference = stream.fold.baseline.clone()?;
            (!self.documents.contains_key(&reference.hash)).then(|| (stream.watch().clone(), reference))
        };
        self.streams.values().filter_map(wanted).collect()
    }

    /// Where the fold of a watch's stream stands, for whoever reads on from there.
    #[must_use]
    pub fn fold(&self, watch: &WatchName) -> Option<&fold::Fold> {
        self.streams.get(watch).map(|stream| &stream.fold)
    }

    /// The baseline that a watch decides against, with its document.
    #[must_use]
    pub fn baseline(&self, watch: &WatchName) -> Option<(Arc<Baseline>, BaselineRef)> {
        let stream = self.streams.get(watch)?;
        if let Some(watcher) = &stream.watcher {
            return watcher.baseline().cloned();
        }
        let reference = stream.fold.baseline.clone()?;
        self.documents.get(&reference.hash).map(|document| (Arc::clone(document), reference))
    }

    /// The document of the baseline that the cycle of a record was decided against. To be asked while the record is under way.
    #[must_use]
    pub fn decided_against(&self, sealed: &Sealed) -> Option<Arc<Baseline>> {
        self.documents.get(&against(sealed)?.hash).map(Arc::clone)
    }

    /// A picture for onlookers.
    #[must_use]
    pub fn view(&self, now: Now) -> View {
        View {
            node: Some(self.name.clone()),
            role: self.role(),
            epoch: self.epoch(),
            watches: self.streams.values().map(|stream| stream.view(now)).collect(),
            alarms: self.alarms.list().cloned().collect(),
            takeover: self.takeover(),
            paused: None,
            holders: None,
        }
    }

    /// The newest takeover that the streams tell of.
    #[must_use]
    pub fn takeover(&self) -> Option<Takeover> {
        let newest = self.streams.values().filter_map(|stream| stream.fold.takeover.as_ref());
        let mut newest = newest.max_by_key(|takeover| (takeover.at, takeover.epoch))?.clone();
        if newest.node == self.name {
            newest.took_seconds = self.took.map(|took| Duration::from_nanos(took).as_secs_f64());
        }
        Some(newest)
    }

    fn turn(&mut self, event: LeaseEvent, now: Now) {
        if let Some(next) = self.lease.on(event) {
            self.lease = next;
        } else {
            let what = format!("the lease met {event:?} in {:?}; this is a fault of hb, please report it", self.lease);
            self.alarms.raise("impossible", what, now.wall);
        }
    }

    fn with(&mut self, watch: &WatchName, now: Now, act: impl FnOnce(&mut Stream, &Author<'_>)) {
        if !matches!(self.lease, Lease::Held { .. }) {
            return;
        }
        if let Some(stream) = self.streams.get_mut(watch) {
            act(stream, &Author { node: &self.name, now });
        }
    }

    fn collect(
        &mut self,
        watch: &WatchName,
        now: Now,
        step: &mut Step,
        act: impl FnOnce(&mut Watcher) -> Vec<watcher::Outcome>,
    ) {
        self.with(watch, now, |stream, author| {
            let Some(watcher) = &mut stream.watcher else { return };
            let outcomes = act(watcher);
            stream.outcomes(outcomes, author, step);
        });
        self.source(watch, SourceView::Open);
    }

    fn ended(&mut self, watch: &WatchName, now: Now, step: &mut Step) {
        self.collect(watch, now, step, |watcher| watcher.finish(now));
        self.source(watch, SourceView::Ended);
    }

    fn source(&mut self, watch: &WatchName, state: SourceView) {
        if let Some(stream) = self.streams.get_mut(watch).filter(|stream| stream.watcher.is_some()) {
            stream.source = state;
        }
    }

    fn followed(&mut self, watch: &WatchName, sealed: &Sealed, now: Now) {
        match self.lease {
            Lease::Standby => {
                if let Some(stream) = self.streams.get_mut(watch) {
                    stream.follow(sealed);
                }
            }
            Lease::Opening { .. }
            | Lease::Held { .. }
            | Lease::Draining { .. }
            | Lease::HandingOver { .. }
            | Lease::Fenced => {
                let what = format!("record {} of {watch} was read along while writing", sealed.record.seq);
                self.alarms.raise("impossible", what, now.wall);
            }
        }
    }

    fn document(&mut self, hash: Hash, document: Result<Arc<Baseline>, String>, now: Now) {
        let name = format!("baseline.{}", hash.short());
        match document {
            Ok(document) => {
                self.alarms.clear(&name);
                let watchers = self.streams.values_mut().filter_map(|stream| stream.watcher.as_mut());
                watchers.for_each(|watcher| watcher.found(hash, &document));
                self.documents.insert(hash, document);
                self.forget_documents(hash);
            }
            Err(why) => {
                self.alarms.raise(&name, why, now.wall);
            }
        }
    }

    /// Keeps what was just learned: cycles decided against it are shown with it, whatever is in force by then.
    fn keep_learned(&mut self) {
        let watchers = self.streams.values().filter_map(|stream| stream.watcher.as_ref());
        let learned: Vec<_> = watchers.filter_map(Watcher::baseline).cloned().collect();
        for (document, reference) in learned {
            self.documents.entry(reference.hash).or_insert(document);
        }
    }

    /// Forgets documents that nothing names any more, but not the one that has just come (B1).
    fn forget_documents(&mut self, newest: Hash) {
        let under_way = self.under_way.values().filter_map(|sealed| against(sealed));
        let in_force = self.streams.values().flat_map(Stream::baselines);
        let named: BTreeSet<Hash> = under_way.chain(in_force).map(|reference| reference.hash).collect();
        self.documents.retain(|hash, _| *hash == newest || named.contains(hash));
    }

    fn open(&mut self, how: &'static str, why: &str, now: Now, step: &mut Step) {
        let author = Author { node: &self.name, now };
        for stream in self.streams.values_mut().filter(|_| matches!(self.lease, Lease::Opening { .. })) {
            stream.open(&author, how, why, step);
        }
    }

    fn committed(&mut self, watch: &WatchName, seq: Seq, now: Now, step: &mut Step) {
        let sealed = self.under_way.remove(&(watch.clone(), seq));
        let Some((stream, sealed)) = self.streams.get_mut(watch).zip(sealed) else {
            self.alarms.raise("impossible", format!("record {seq} of {watch} was never under way"), now.wall);
            return;
        };
        stream.durable(&sealed);
        if let Some(since) = self.granted.take() {
            self.took = Some(now.moment.since_ns(since));
        }
        for held in stream.committed(seq) {
            match held {
                Held::Effect(effect) => step.effects.push(effect),
                Held::Opened => stream.opened = true,
                Held::Closed => stream.opened = false,
            }
        }
        self.settle(now, step);
    }

    /// Once every epoch is open the work begins; once every one is closed it is over.
    fn settle(&mut self, now: Now, step: &mut Step) {
        match self.lease {
            Lease::Opening { .. } if self.streams.values().all(|stream| stream.opened) => {
                self.turn(LeaseEvent::Opened, now);
                let (documents, author) = (&self.documents, Author { node: &self.name, now });
                self.streams.values_mut().for_each(|stream| stream.start(documents, &author, step));
            }
            Lease::Draining { .. } if self.streams.values().all(|stream| !stream.opened) => {
                self.turn(LeaseEvent::Released, now);
                step.effects.push(Effect::Leave(Leave::Drained));
            }
            Lease::HandingOver { .. } if self.streams.values().all(|stream| !stream.opened) => {
                self.turn(LeaseEvent::Released, now);
                self.stand_by(step);
            }
            Lease::Opening { .. }
            | Lease::Draining { .. }
            | Lease::HandingOver { .. }
            | Lease::Held { .. }
            | Lease::Standby
            | Lease::Fenced => {}
        }
    }

    fn refused(&mut self, watch: &WatchName, seq: Seq, now: Now, step: &mut Step) {
        if matches!(self.lease, Lease::Opening { .. } | Lease::HandingOver { .. }) {
            self.turn(LeaseEvent::Overtaken, now);
            self.stand_by(step);
        } else {
            self.fence(format!("record {seq} of {watch} was written by another node"), step);
        }
    }

    /// Whoever is handing over has got what it wanted.
    fn superseded(&mut self, by: String, now: Now, step: &mut Step) {
        match self.lease {
            Lease::HandingOver { .. } => {
                self.turn(LeaseEvent::Overtaken, now);
                self.stand_by(step);
            }
            Lease::Standby => {}
            Lease::Opening { .. } | Lease::Held { .. } | Lease::Draining { .. } | Lease::Fenced => self.fence(by, step),
        }
    }

    fn lapsed(&mut self, now: Now, step: &mut Step) {
        if matches!(self.lease, Lease::Standby) {
            return;
        }
        let draining = matches!(self.lease, Lease::Draining { .. });
        self.turn(LeaseEvent::Lapsed, now);
        if draining {
            // It was to end anyway: what could not be closed is opened over by whoever comes next.
            self.give_way();
            step.effects.push(Effect::Leave(Leave::Drained));
        } else {
            self.stand_by(step);
        }
    }

    fn hand_over(&mut self, reason: &str, now: Now, step: &mut Step) {
        let working = matches!(self.lease, Lease::Held { .. });
        self.turn(LeaseEvent::HandOver, now);
        let author = Author { node: &self.name, now };
        for stream in self.streams.values_mut().filter(|_| working) {
            stream.drain(&author, reason, step);
        }
        if working && self.streams.is_empty() {
            self.settle(now, step);
        }
    }

    fn stand_by(&mut self, step: &mut Step) {
        self.give_way();
        step.effects.push(Effect::StandBy);
    }

    fn give_way(&mut self) {
        self.granted = None;
        self.under_way.clear();
        self.streams.values_mut().for_each(Stream::give_way);
    }

    fn fence(&mut self, what: String, step: &mut Step) {
        self.lease = Lease::Fenced;
        self.give_way();
        step.effects.push(Effect::Leave(Leave::Fenced { what }));
    }

    fn drain(&mut self, reason: &str, now: Now, step: &mut Step) {
        let working = matches!(self.lease, Lease::Held { .. });
        // The epochs are being closed already: it ends once they are.
        let closing = matches!(self.lease, Lease::HandingOver { .. } | Lease::Draining { .. });
        self.turn(LeaseEvent::Drain, now);
        let author = Author { node: &self.name, now };
        for stream in self.streams.values_mut().filter(|_| working) {
            stream.drain(&author, reason, step);
        }
        if !(working || closing) || self.streams.is_empty() {
            step.effects.push(Effect::Leave(Leave::Drained));
        }
    }
}
/// The baseline that a record's cycle was decided against, if it is one.
fn against(sealed: &Sealed) -> Option<&BaselineRef> {
    match &sealed.record.body {
        Body::CycleDecided(decided) => decided.decision.baseline.as_ref(),
        Body::EpochOpened { .. }
        | Body::AlertDelivered(_)
        | Body::BaselineAdopted(_)
        | Body::BaselineEvent(_)
        | Body::EpochClosed { .. } => None,
    }
}
