//! Many worlds: one for each seed, on every processor; and the smallest world in which a promise is still broken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::fault::Fault;
use crate::plan::Plan;
use crate::planted::Planted;
use crate::promise::{Breach, Promise};
use crate::run::{Verdict, Words, run};

/// What is to be explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expedition {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// How many threads.
    pub jobs: usize,
    /// A fault of hb to be put into each world.
    pub planted: Option<Planted>,
    /// What the first broken promise leads to.
    pub at_breach: AtBreach,
}

/// What a broken promise leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtBreach {
    /// No further world is begun.
    Stop,
    /// The other worlds are run all the same.
    GoOn,
}

/// Most broken worlds that are named (B1); the others are counted.
pub const BROKEN_MAX: usize = 100;

/// What many worlds came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Worlds that were run.
    pub worlds: u64,
    /// Steps taken by all tasks.
    pub steps: u64,
    /// How long they were together, in nanoseconds of their own time.
    pub lasted: u64,
    /// How often each fault struck, and in how many worlds.
    pub struck: BTreeMap<Fault, (u64, u64)>,
    /// States and transitions reached, and in how many worlds.
    pub reached: BTreeMap<&'static str, (u64, u64)>,
    /// Worlds in which a promise was broken.
    pub broken_worlds: u64,
    /// The smallest seeds of them, each with its first breach; at most [`BROKEN_MAX`].
    pub broken: BTreeMap<u64, Breach>,
}

impl Findings {
    fn add(&mut self, seed: u64, verdict: &Verdict) {
        self.worlds += 1;
        self.steps += verdict.steps;
        self.lasted += verdict.lasted;
        for (fault, times) in Fault::ALL.iter().zip(&verdict.struck).filter(|(_, times)| **times > 0) {
            let (all, worlds) = self.struck.entry(*fault).or_default();
            (*all, *worlds) = (*all + times, *worlds + 1);
        }
        for (what, times) in verdict.reached.iter().filter(|(_, times)| **times > 0) {
            let (all, worlds) = self.reached.entry(what).or_default();
            (*all, *worlds) = (*all + times, *worlds + 1);
        }
        if let Some(breach) = verdict.breaches.first() {
            self.broken_worlds += 1;
            self.broken.insert(seed, breach.clone());
            if self.broken.len() > BROKEN_MAX {
                self.broken.pop_last();
            }
        }
    }

    /// The smallest seed in which a promise was broken, with the first breach.
    #[must_use]
    pub fn first_broken(&self) -> Option<(u64, &Breach)> {
        self.broken.first_key_value().map(|(seed, breach)| (*seed, breach))
    }

    /// Fault points that have struck in no world.
    #[must_use]
    pub fn holes(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|fault| !self.struck.contains_key(fault)).collect()
    }

    /// How long the worlds were, in hours of their own time.
    #[must_use]
    pub fn hours(&self) -> f64 {
        std::time::Duration::from_nanos(self.lasted).as_secs_f64() / 3_600.0
    }
}

/// The world of a seed on an expedition.
#[must_use]
pub fn plan(seed: u64, planted: Option<Planted>) -> Plan {
    Plan { planted, ..Plan::of(seed) }
}

/// Runs the world of each seed; tells after each how many are done.
pub fn explore(expedition: Expedition, progress: &(dyn Fn(u64) + Sync)) -> Findings {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let findings = Mutex::new(Findings::default());
    let work = || {
        while !stop.load(Ordering::Acquire) {
            let turn = next.fetch_add(1, Ordering::AcqRel);
            if turn >= expedition.seeds {
                return;
            }
            let seed = expedition.from.wrapping_add(turn);
            let verdict = run(&plan(seed, expedition.planted), Words::Left);
            let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
            findings.add(seed, &verdict);
            let worlds = findings.worlds;
            drop(findings);
            if !verdict.is_sound() && expedition.at_breach == AtBreach::Stop {
                stop.store(true, Ordering::Release);
            }
            progress(worlds);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..expedition.jobs {
            scope.spawn(work);
        }
        work();
    });
    findings.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Most worlds that are run to make one smaller (B1).
const TRIES_MAX: usize = 200;

/// A smaller world in which the same promise is broken: fewer faults, nodes and watches, and shorter.
#[must_use]
pub fn shrink(plan: &Plan, promise: Promise, progress: &dyn Fn(&Plan)) -> Plan {
    let breaks = |plan: &Plan| run(plan, Words::Left).breaches.first().is_some_and(|breach| breach.promise == promise);
    let mut best = plan.clone();
    let mut tries = 0;
    loop {
        let before = best.clone();
        for smaller in smaller(&best) {
            tries += 1;
            if tries > TRIES_MAX {
                return best;
            }
            if breaks(&smaller) {
                progress(&smaller);
                best = smaller;
                break;
            }
        }
        if best == before {
            return best;
        }
    }
}

fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let on: Vec<Fault> = plan.mix.on().collect();
    for half in on.chunks(on.len().div_ceil(2).max(1)).filter(|half| half.len() > 1) {
        let mix = half.iter().fold(plan.mix.clone(), |mix, fault| mix.with(*fault, 0));
        all.push(Plan { mix, ..plan.clone() });
    }
    all.extend(on.iter().map(|fault| Plan { mix: plan.mix.clone().with(*fault, 0), ..plan.clone() }));
    if plan.watches > 1 {
        all.push(Plan { watches: plan.watches - 1, ..plan.clone() });
    }
    if plan.nodes > 1 {
        all.push(Plan { nodes: plan.nodes - 1, ..plan.clone() });
    }
    if plan.rough > crate::kernel::SECOND * 20 {
        all.push(Plan { rough: plan.rough / 4 * 3, ..plan.clone() });
    }
    all
}

#[cfg(test)]
mod tests;
