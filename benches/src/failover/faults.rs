//! What is done to nodes, and how long it takes until another one goes on.

use super::Spread;
use super::engines::Engine;
use super::host::Host;
use super::site::{Manner, Node, Site, unix};
use super::witness::{Seen, Whole};
use crate::supervise::quantile;
use crate::supervise::stage::{end, now};
use crate::{Bench, Size};

/// So short that waiting for the end of a cycle does not hide how soon a node goes on.
const SHORT: f64 = 0.05;
/// A second: room to hand over without a cycle being late.
const LONG: f64 = 1.0;
/// What is called late, in seconds more than the middle one.
const LATE: f64 = 0.1;
/// Rounds go through their phases of cycle and renewal by the golden ratio, which meets them evenly.
const GOLDEN: f64 = 0.618_033_988_75;

/// From a fault until the other node has appended.
#[derive(Debug, Default)]
pub(crate) struct Takeovers {
    /// Its first record, which opens its epoch.
    pub(crate) record: Spread,
    /// Its first cycle.
    pub(crate) cycle: Spread,
    pub(crate) whole: Whole,
}

/// What switchovers cost.
#[derive(Debug, Default)]
pub(crate) struct Handovers {
    /// From the last record of the one to the first of the other.
    pub(crate) gap: Spread,
    /// From the end of each cycle until it stood.
    pub(crate) delay: Spread,
    /// How many were late.
    pub(crate) late: usize,
    pub(crate) whole: Whole,
}

/// `kill -9` of the active node, again and again.
///
/// # Errors
/// Nobody took over, or the journal is not whole.
pub(crate) fn kills(bench: &Bench, engine: &dyn Engine, ttl: f64) -> Result<Takeovers, String> {
    let mut site = Site::new(bench, engine, Manner { ttl, interval: SHORT }, None)?;
    let mut nodes = site.pair()?;
    let mut found = Takeovers::default();
    for round in 0..bench.rounds(2, 50) {
        let active = site.ready(&mut nodes)?;
        pause(&mut site, round, ttl)?;
        let [victim, other] = both(&mut nodes, active);
        let (pid, heir) = (victim.process.0.id(), other.name);
        let from = site.witness.seen.len();
        let begun = now();
        end(pid);
        site.took(heir, from, begun, &mut found)?;
        victim.process.kill();
        *victim = site.start(victim.name)?;
    }
    found.whole = site.close(nodes)?;
    Ok(found)
}

/// The machine of the active node is gone: its link is cut, then it is killed, so nobody hears of it.
///
/// # Errors
/// Nobody took over, or the journal is not whole.
pub(crate) fn gone(bench: &Bench, engine: &dyn Engine, host: &Host, ttl: f64) -> Result<Takeovers, String> {
    let mut site = Site::new(bench, engine, Manner { ttl, interval: SHORT }, Some(host))?;
    let mut nodes = site.pair()?;
    let mut found = Takeovers::default();
    for round in 0..bench.rounds(1, 10) {
        while site.ready(&mut nodes)? != 0 {
            hand_over(&mut site, "a")?;
        }
        pause(&mut site, round, ttl)?;
        let [victim, other] = both(&mut nodes, 0);
        let heir = other.name;
        let from = site.witness.seen.len();
        let begun = now();
        host.cut()?;
        end(victim.process.0.id());
        let told = site.took(heir, from, begun, &mut found);
        host.mend()?;
        told?;
        victim.process.kill();
        *victim = site.start(victim.name)?;
    }
    found.whole = site.close(nodes)?;
    Ok(found)
}

/// One node hands over to the other, again and again.
///
/// # Errors
/// It was not done, or the journal is not whole.
pub(crate) fn planned(bench: &Bench, engine: &dyn Engine) -> Result<Handovers, String> {
    let mut site = Site::new(bench, engine, Manner { ttl: super::TTLS[0], interval: LONG }, None)?;
    let mut nodes = site.pair()?;
    let mut found = Handovers::default();
    site.ready(&mut nodes)?;
    let begun = site.witness.seen.len();
    for _ in 0..bench.rounds(2, 20) {
        let active = site.ready(&mut nodes)?;
        let [from, to] = both(&mut nodes, active);
        let (from, to) = (from.name, to.name);
        hand_over(&mut site, to)?;
        let seen = &site.witness.seen;
        let first = seen.iter().rposition(|one| one.node == from).and_then(|last| seen.get(last..=last + 1));
        let Some([last, first]) = first else { return Err(format!("{to} appended nothing")) };
        found.gap.0.push((first.at - last.at) * 1e3);
        let cycles = site.witness.cycles();
        site.until("two cycles more", |site| (site.witness.cycles() > cycles + 1).then_some(()))?;
    }
    let ahead = unix() - now();
    let delays =
        site.witness.seen.iter().skip(begun).filter_map(|seen| Some(seen.at + ahead - seen.cycle.as_ref()?.end));
    let delays: Vec<f64> = delays.collect();
    let limit = quantile(&delays, 0.5) + LATE;
    found.late = delays.iter().filter(|delay| **delay > limit).count();
    found.delay = Spread(delays.iter().map(|delay| delay * 1e3).collect());
    found.whole = site.close(nodes)?;
    Ok(found)
}

/// Asks for it, and waits until the other one has appended a cycle and the one who asked knows.
fn hand_over(site: &mut Site<'_>, to: &str) -> Result<(), String> {
    let from = site.witness.seen.len();
    let mut asking = site.switchover(to)?;
    let decides = |seen: &Seen| seen.node == to && seen.cycle.is_some();
    let told = site.until(&format!("{to} to be handed over to"), |site| {
        let ended = asking.0.try_wait().ok()??;
        if !ended.success() {
            return Some(Err(format!("hb switchover: {ended}\n{}", site.log("switchover"))));
        }
        site.witness.seen.iter().skip(from).any(decides).then_some(Ok(()))
    });
    told?
}

fn pause(site: &mut Site<'_>, round: u32, ttl: f64) -> Result<(), String> {
    let part = (f64::from(round) * GOLDEN).fract();
    site.pass(0.2 + part * (ttl / 3.0).max(SHORT * 4.0))
}

fn both(nodes: &mut [Node; 2], first: usize) -> [&mut Node; 2] {
    let [one, other] = nodes;
    if first == 0 { [one, other] } else { [other, one] }
}

impl Site<'_> {
    /// Waits for the first record and the first cycle of a node.
    fn took(&mut self, heir: &str, from: usize, begun: f64, found: &mut Takeovers) -> Result<(), String> {
        let first = |site: &Self, cycle: Option<()>| {
            let mut of = site.witness.seen.iter().skip(from).filter(|seen| seen.node == heir);
            of.find(|seen| cycle.is_none() || seen.cycle.is_some()).map(|seen| seen.at)
        };
        let record = self.until("another node to take over", |site| first(site, None))?;
        let cycle = self.until("another node to go on", |site| first(site, Some(())))?;
        found.record.0.push((record - begun) * 1e3);
        found.cycle.0.push((cycle - begun) * 1e3);
        Ok(())
    }
}

/// Whether this is only to be tried.
pub(crate) fn tried(bench: &Bench) -> bool {
    bench.size == Size::Small
}
