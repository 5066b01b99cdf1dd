//! The watches of a node for its API and page: what was decided, who wrote when, the versions of baselines, and the orders of operators.
//!
//! All of it is read from the journal when somebody asks, by a handle of its own: the work loop hears of nothing but orders. A cycle is found by halving,
//! for cycles only grow along a stream. Bounds (B1): [`TRENDS_MAX`] pasts are remembered; one answer reads at most the records that it shows, and some
//! between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hb_api::CycleLine;
use hb_api::report::Trend;
use hb_api::v1::watching::{
    BaselineStep, BaselineVersionDoc, BaselinesDoc, Gates, Order, OrdersDoc, Refusal, ReignDoc, Watching, Who,
};
use hb_core::ids::{CycleNo, Epoch, NodeName, Seq, StreamName, WatchName};
use hb_core::journal::{self, Hash};
use hb_core::node::fact::Sealed;
use hb_core::time::{Span, Stamp};
use hb_core::watch::baseline::Baseline;
use hb_core::watch::decision::{Counts, Status};
use hb_daemon::fleet::Ask;
use hb_daemon::{Remote, clock};
use hb_store::baselines::Baselines;
use hb_store::port::{Journal, JournalError, Orders, Switchover, SwitchoverEnd};
use hb_store::reader::decode;
use serde::Deserialize;

use super::{fleet, stores};
use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::{Approval, WatchConfig};
use crate::exit::Exit;
use crate::ledger::{Force, Ledger, Wish};
use crate::stored;

/// Pasts that are remembered.
const TRENDS_MAX: usize = 4;
/// Cycles of a past.
const PAST: u64 = 60;
/// How long the node may take to pass an order on.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Desk {
    config: Config,
    remote: Remote,
    journal: Mutex<Option<Box<dyn Journal>>>,
    baselines: Mutex<Option<Baselines>>,
    trends: Mutex<VecDeque<(WatchName, CycleNo, Arc<Trend>)>>,
}

/// As much of a record as a list needs.
#[derive(Debug, Deserialize)]
struct Glance {
    #[serde(default)]
    decision: Option<Decided>,
    #[serde(default)]
    lease: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Decided {
    cycle: CycleNo,
    span: Span,
    status: Status,
    headline: String,
    counts: Counts,
}

type Glanced = journal::Sealed<Glance>;

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let said =
            if failure.help.is_empty() { failure.what.clone() } else { format!("{}; {}", failure.what, failure.help) };
        match failure.exit {
            Exit::Usage => Self::NotFound(said),
            Exit::Refused => Self::Conflict(said),
            Exit::Corrupt => Self::Corrupt(said),
            Exit::Ok
            | Exit::Error
            | Exit::Config
            | Exit::Registry
            | Exit::GateDrift
            | Exit::GateFail
            | Exit::GateNoData
            | Exit::GateNoBaseline
            | Exit::Differs
            | Exit::Unavailable
            | Exit::CannotWrite
            | Exit::Fenced
            | Exit::Interrupted => Self::Unavailable(said),
        }
    }
}

fn unreadable(error: JournalError) -> Refusal {
    match error {
        JournalError::Corrupt(what) => {
            Refusal::Corrupt(format!("{what}; `hb verify` lists everything that is damaged"))
        }
        JournalError::Unavailable(what) | JournalError::Stopped(what) => Refusal::Unavailable(what),
    }
}

/// One stream of an open journal.
struct Reading<'a> {
    journal: &'a mut dyn Journal,
    stream: StreamName,
    floor: Seq,
    head: Seq,
}

impl Reading<'_> {
    fn raw(&mut self, seq: Seq) -> Result<Option<Vec<u8>>, Refusal> {
        let found = self.journal.read(&self.stream, seq, 1).map_err(unreadable)?.pop();
        Ok(found.filter(|(at, _)| *at == seq).map(|(_, bytes)| bytes))
    }

    fn glance(&mut self, seq: Seq) -> Result<Option<Glanced>, Refusal> {
        let Some(bytes) = self.raw(seq)? else { return Ok(None) };
        decode(&self.stream, seq, bytes).map(Some).map_err(unreadable)
    }

    fn whole(&mut self, seq: Seq) -> Result<Option<Sealed>, Refusal> {
        let Some(bytes) = self.raw(seq)? else { return Ok(None) };
        decode(&self.stream, seq, bytes).map(Some).map_err(unreadable)
    }

    /// The record there, as long as the head is not passed.
    fn whole_to(&mut self, seq: Seq) -> Result<Option<Sealed>, Refusal> {
        if seq > self.head { Ok(None) } else { self.whole(seq) }
    }

    /// The first record of this and later ones that decides a cycle, below `end`.
    fn cycle_from(&mut self, from: Seq, end: Seq) -> Result<Option<(Seq, CycleNo)>, Refusal> {
        let mut seq = from;
        while seq < end {
            if let Some(decided) = self.glance(seq)?.and_then(|glance| glance.record.body.decision) {
                return Ok(Some((seq, decided.cycle)));
            }
            seq = seq.next();
        }
        Ok(None)
    }

    /// The first record that decides this cycle or a later one; the end of the stream where there is none.
    fn place_of(&mut self, cycle: CycleNo) -> Result<Seq, Refusal> {
        let (mut low, mut high) = (self.floor, self.head.next());
        while low < high {
            let middle = Seq(low.0.midpoint(high.0));
            match self.cycle_from(middle, high)? {
                Some((seq, found)) if found < cycle => low = seq.next(),
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// The first record of that epoch or a later one, which there is.
    fn begin_of(&mut self, epoch: Epoch) -> Result<Seq, Refusal> {
        let (mut low, mut high) = (self.floor, self.head);
        while low < high {
            let middle = Seq(low.0.midpoint(high.0));
            match self.glance(middle)? {
                Some(glance) if glance.record.epoch >= epoch => high = middle,
                Some(_) | None => low = middle.next(),
            }
        }
        Ok(low)
    }
}

fn line(watch: &WatchName, glanced: Glanced) -> Option<CycleLine> {
    let (hash, record) = (glanced.hash, glanced.record);
    let decided = record.body.decision?;
    Some(CycleLine {
        watch: watch.clone(),
        cycle: decided.cycle,
        seq: record.seq,
        epoch: record.epoch,
        node: record.node,
        status: decided.status,
        start_utc: decided.span.start,
        end_utc: decided.span.end,
        samples: decided.counts.window.samples,
        late: decided.counts.late,
        dropped: decided.counts.dropped(),
        hash,
        headline: decided.headline,
    })
}

impl Desk {
    pub(super) fn new(config: &Config, remote: Remote) -> Self {
        Self {
            config: config.clone(),
            remote,
            journal: Mutex::new(None),
            baselines: Mutex::new(None),
            trends: Mutex::new(VecDeque::new()),
        }
    }

    fn watch(&self, name: &WatchName) -> Result<&WatchConfig, Refusal> {
        let found = self.config.watches.iter().find(|watch| watch.settings.name == *name);
        found.ok_or_else(|| Refusal::NotFound(format!("no watch is named {name}; /v1/status lists them")))
    }

    /// Works with the journal, opened anew after a fault: it may have been mounted anew.
    fn with<T>(&self, work: impl FnOnce(&mut dyn Journal) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut held = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = match &mut *held {
            Some(journal) => journal,
            None => held.insert(stored::journal(&self.config)?),
        };
        let done = work(&mut **journal);
        if matches!(done, Err(Refusal::Unavailable(_))) {
            *held = None;
        }
        done
    }

    /// Reads a watch's stream; nothing where nothing has been written yet.
    fn read<T>(
        &self,
        watch: &WatchName,
        read: impl FnOnce(&mut Reading<'_>) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        self.watch(watch)?;
        let stream = StreamName::watch(watch);
        self.with(|journal| {
            let floor = journal.floor(&stream).map_err(unreadable)?;
            let Some(head) = journal.head(&stream).map_err(unreadable)? else { return Ok(None) };
            read(&mut Reading { journal, stream, floor, head }).map(Some)
        })
    }

    fn ledger(&self, journal: &mut dyn Journal, watch: &WatchConfig) -> Result<Ledger, Refusal> {
        Ok(Ledger::read(journal, &watch.settings.name, &watch.settings.baseline_tag)?)
    }

    fn told(&self, watch: &WatchConfig, ledger: &Ledger) -> BaselinesDoc {
        let version = |version: &crate::ledger::Version| BaselineVersionDoc {
            version: version.baseline.version,
            hash: version.baseline.hash,
            made_utc: version.made_utc,
            provenance: version.provenance.clone(),
            series: version.series,
            gates: version.gates.clone(),
            requested: version.requested.clone(),
            approved: version.approved.clone(),
            promotions: version.promotions,
        };
        BaselinesDoc {
            watch: watch.settings.name.clone(),
            tag: watch.settings.baseline_tag.clone(),
            in_force: ledger.in_force().map(|baseline| baseline.version),
            approval_required: self.config.approval == Approval::Required,
            versions: ledger.versions().map(version).collect(),
        }
    }

    fn remembered(&self, watch: &WatchName, to: CycleNo) -> Option<(CycleNo, Arc<Trend>)> {
        let held = self.trends.lock().unwrap_or_else(PoisonError::into_inner);
        let near = |at: CycleNo| at <= to && at.0.saturating_add(PAST) > to.0;
        let found = held.iter().filter(|(name, at, _)| name == watch && near(*at)).max_by_key(|(_, at, _)| *at);
        found.map(|(_, at, trend)| (*at, Arc::clone(trend)))
    }

    fn remember(&self, watch: &WatchName, to: CycleNo, trend: &Arc<Trend>) {
        let mut held = self.trends.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(name, at, _)| name != watch || *at != to);
        held.push_back((watch.clone(), to, Arc::clone(trend)));
        while held.len() > TRENDS_MAX {
            held.pop_front();
        }
    }
}

impl Watching for Desk {
    fn cycles(&self, watch: &WatchName, before: Option<CycleNo>, most: usize) -> Result<Vec<CycleLine>, Refusal> {
        let found = self.read(watch, |reading| {
            let mut end = match before {
                Some(cycle) => reading.place_of(cycle)?,
                None => reading.head.next(),
            };
            let mut lines = VecDeque::new();
            while lines.len() < most && end > reading.floor {
                end = Seq(end.0.saturating_sub(1));
                if let Some(line) = reading.glance(end)?.and_then(|glanced| line(watch, glanced)) {
                    lines.push_front(line);
                }
            }
            Ok(lines.into())
        });
        found.map(Option::unwrap_or_default)
    }

    fn cycle(&self, watch: &WatchName, cycle: CycleNo) -> Result<Option<Sealed>, Refusal> {
        let found = self.read(watch, |reading| {
            let seq = reading.place_of(cycle)?;
            let record = if seq > reading.head { None } else { reading.whole(seq)? };
            Ok(record.filter(|sealed| stored::decided(sealed).is_some_and(|found| found.decision.cycle == cycle)))
        });
        found.map(Option::flatten)
    }

    fn document(&self, hash: Hash) -> Result<Arc<Baseline>, Refusal> {
        let mut held = self.baselines.lock().unwrap_or_else(PoisonError::into_inner);
        let baselines = match &mut *held {
            Some(baselines) => baselines,
            None => held.insert(stores::baselines(&self.config)?),
        };
        baselines.get(hash).map_err(|error| Refusal::Unavailable(error.to_string()))
    }

    fn trend(&self, watch: &WatchName, to: CycleNo) -> Result<Arc<Trend>, Refusal> {
        let known = self.remembered(watch, to);
        if let Some((_, trend)) = known.as_ref().filter(|(at, _)| *at == to) {
            return Ok(Arc::clone(trend));
        }
        let (from, mut trend) = match known {
            Some((at, trend)) => (at.next(), Trend::clone(&trend)),
            None => (CycleNo(to.0.saturating_sub(PAST - 1)), Trend::default()),
        };
        self.read(watch, |reading| {
            let mut seq = reading.place_of(from)?;
            while let Some(sealed) = reading.whole_to(seq)? {
                match stored::decided(&sealed) {
                    Some(decided) if decided.decision.cycle > to => break,
                    Some(decided) => trend.push(decided),
                    None => {}
                }
                seq = seq.next();
            }
            Ok(())
        })?;
        let trend = Arc::new(trend);
        self.remember(watch, to, &trend);
        Ok(trend)
    }

    fn reigns(&self, watch: &WatchName, most: usize) -> Result<Vec<ReignDoc>, Refusal> {
        let found = self.read(watch, |reading| {
            let mut reigns: VecDeque<ReignDoc> = VecDeque::new();
            let mut end = reading.head;
            while reigns.len() < most {
                let Some(newest) = reading.glance(end)? else { break };
                let begin = reading.begin_of(newest.record.epoch)?;
                let Some(first) = reading.glance(begin)? else { break };
                let before = match begin.0.checked_sub(1).map(Seq).filter(|seq| *seq >= reading.floor) {
                    Some(seq) => reading.glance(seq)?,
                    None => None,
                };
                let gap = before.as_ref().map(|before| seconds(before.record.at, first.record.at));
                let (lease, reason) = (first.record.body.lease, first.record.body.reason);
                reigns.push_front(ReignDoc {
                    node: first.record.node,
                    epoch: first.record.epoch,
                    since: first.record.at,
                    until: reigns.front().map(|next| next.since),
                    reason: reason.filter(|_| lease.is_some()),
                    lease,
                    gap_seconds: gap,
                    from_seq: begin,
                });
                match before {
                    Some(before) => end = before.record.seq,
                    None => break,
                }
            }
            Ok(reigns.into())
        });
        found.map(Option::unwrap_or_default)
    }

    fn baselines(&self, watch: &WatchName) -> Result<BaselinesDoc, Refusal> {
        let watch = self.watch(watch)?;
        self.with(|journal| Ok(self.told(watch, &self.ledger(journal, watch)?)))
    }

    fn rule(&self, watch: &WatchName, version: u32, step: BaselineStep, who: &Who) -> Result<BaselinesDoc, Refusal> {
        let watch = self.watch(watch)?;
        let (node, wish) = (&self.config.node, Wish { by: &who.by, reason: &who.reason });
        self.with(|journal| {
            let mut ledger = self.ledger(journal, watch)?;
            match step {
                BaselineStep::Request => ledger.request(journal, node, version, wish)?,
                BaselineStep::Approve => ledger.approve(journal, node, version, wish)?,
                BaselineStep::Promote(gates) => {
                    // What is put in force must be there to be read.
                    self.document(ledger.version(version)?.baseline.hash)?;
                    let force = if gates == Gates::Override { Force::Yes } else { Force::No };
                    drop(ledger.promote(journal, node, (version, force, self.config.approval), wish)?);
                }
            }
            Ok(self.told(watch, &ledger))
        })
    }

    fn orders(&self) -> Result<OrdersDoc, Refusal> {
        if fleet::is_meant(&self.config) {
            let ledger = fleet::office(&self.config)?.look().map_err(|why| Refusal::from(fleet::unusable(&why)))?;
            return Ok(orders(&ledger.orders));
        }
        let mut lease = stores::lease(&self.config)?;
        // Looks at the lease anew: what is asked stands beside it.
        let asked = lease.holder().and_then(|_| lease.orders());
        asked.map(|asked| orders(&asked)).map_err(|error| Refusal::from(Failure::from(error)))
    }

    fn order(&self, order: Order, who: &Who) -> Result<OrdersDoc, Refusal> {
        let (by, reason) = (who.by.clone(), who.reason.clone());
        let told = match order {
            Order::Switchover { from: Some(from), to } if fleet::is_meant(&self.config) => {
                self.move_all(from, to, who)?
            }
            Order::Switchover { to, .. } => {
                self.remote.switchover(to, by, reason, PATIENCE).map_err(Refusal::Conflict)?
            }
            Order::Pause => self.remote.pause(by, reason, PATIENCE).map_err(Refusal::Unavailable)?,
            Order::Resume => self.remote.resume(by, PATIENCE).map_err(Refusal::Unavailable)?,
        };
        Ok(orders(&told))
    }
}

impl Desk {
    /// All watches of a node of a fleet move.
    fn move_all(&self, from: NodeName, to: Option<NodeName>, who: &Who) -> Result<Orders, Refusal> {
        let mut office = fleet::office(&self.config)?;
        let ledger = office.look().map_err(|why| Refusal::from(fleet::unusable(&why)))?;
        let known = |node: &NodeName| ledger.members.iter().any(|member| member.node == *node);
        if let Some(stranger) = [Some(&from), to.as_ref()].into_iter().flatten().find(|node| !known(node)) {
            return Err(Refusal::Conflict(format!("no node is called {stranger}")));
        }
        if !ledger.members.iter().any(|member| member.node != from && member.priority > 0) {
            return Err(Refusal::Conflict("no other node could take its watches".to_owned()));
        }
        let at = clock::wall();
        let (by, reason) = (who.by.clone(), who.reason.clone());
        let asked = Switchover { id: format!("{from}-{}", at.0), from, to, by, reason, at };
        office.ask(Ask::Leave(asked)).map_err(|why| Refusal::from(fleet::unusable(&why)))
    }
}

fn seconds(from: Stamp, to: Stamp) -> f64 {
    to.since_ns(from) as f64 / 1e9
}

fn orders(orders: &Orders) -> OrdersDoc {
    let told = |facts: Vec<(&str, String)>| -> BTreeMap<String, String> {
        facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect()
    };
    let pause = orders.pause.as_ref().map(|pause| {
        told(vec![("by", pause.by.clone()), ("reason", pause.reason.clone()), ("at", pause.at.to_string())])
    });
    let switchover = orders.switchover.as_ref().map(|asked| {
        let to = asked.to.as_ref().map(ToString::to_string).unwrap_or_default();
        let facts =
            vec![("id", asked.id.clone()), ("from", asked.from.to_string()), ("to", to), ("by", asked.by.clone())];
        told(facts.into_iter().chain([("reason", asked.reason.clone()), ("at", asked.at.to_string())]).collect())
    });
    let settled = orders.settled.as_ref().map(|settled| {
        let end = match settled.end {
            SwitchoverEnd::Done => "done",
            SwitchoverEnd::GivenUp => "given_up",
        };
        let facts = vec![("id", settled.id.clone()), ("end", end.to_owned()), ("what", settled.what.clone())];
        told(facts.into_iter().chain([("by", settled.by.to_string()), ("at", settled.at.to_string())]).collect())
    });
    OrdersDoc { pause, switchover, settled }
}
