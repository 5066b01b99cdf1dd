//! H2: the lease changes hands when its holder's time has run out by durations alone, and shows the progress of the work alone.

use std::collections::{BTreeMap, VecDeque};

use hb_store::port::Holder;
use hb_store::register::{Cell, CellVersion};
use serde_json::Value;

use super::Found;
use crate::plan::{Engine, Plan};
use crate::ports::line::Line;
use crate::promise::Promise;
use crate::stage::Stage;

/// By how much clocks may run apart, in parts of ten thousand of a TTL.
const APART: u64 = 5;

/// How often a process may show new progress once its work hangs: what was on its way, and what had been handed over since.
const SHOWN_MAX: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    session: String,
    epoch: u64,
    progress: u64,
    released: bool,
}

/// What really stood in the lease, and since when.
#[derive(Debug)]
pub(crate) struct LeaseWatch {
    ttl: u64,
    engine: Engine,
    version: Option<Vec<u8>>,
    shown: Option<Shown>,
    /// When progress was shown last, and by whom.
    since: u64,
    by: Option<(usize, u64)>,
    /// The largest progress that each process has shown.
    progress: BTreeMap<(usize, u64), u64>,
    /// Processes whose work hangs, with the progress that they have shown since.
    hung: BTreeMap<(usize, u64), VecDeque<u64>>,
    /// How often it changed hands.
    pub(crate) grants: u64,
}

fn read(bytes: &[u8]) -> Option<Shown> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    let holder = document.get("holder").filter(|holder| !holder.is_null())?;
    let number = |name: &str| holder.get(name).and_then(Value::as_u64).unwrap_or(0);
    Some(Shown {
        session: holder.get("session").and_then(Value::as_str).unwrap_or_default().to_owned(),
        epoch: number("epoch"),
        progress: number("progress"),
        released: document.get("released").and_then(Value::as_bool).unwrap_or(false),
    })
}

impl LeaseWatch {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            ttl: u64::try_from(plan.bounds.lease_ttl.as_nanos()).unwrap_or(u64::MAX),
            engine: plan.engine,
            version: None,
            shown: None,
            since: 0,
            by: None,
            progress: BTreeMap::new(),
            hung: BTreeMap::new(),
            grants: 0,
        }
    }

    /// The store changed the cell of the lease.
    pub(crate) fn swapped(
        &mut self,
        stage: &Stage,
        by: Line,
        (there, seen): (Option<&Cell>, Option<&CellVersion>),
        bytes: Option<&[u8]>,
    ) -> Found {
        if there.map(|cell| &cell.version) != seen || there.map(|cell| &cell.bytes) != self.version.as_ref() {
            return Err((Promise::J2, format!("n{} replaced what it had not seen in the lease", by.machine)));
        }
        self.version = bytes.map(<[u8]>::to_vec);
        let (now, me) = (stage.kernel.now(), (by.machine, by.life));
        let shown = bytes.and_then(read);
        let (Some(shown), before) = (shown.clone(), std::mem::replace(&mut self.shown, shown)) else { return Ok(()) };
        let same = before.as_ref().is_some_and(|before| before.session == shown.session);
        if same && before.as_ref() == Some(&shown) {
            return Ok(());
        }
        let (since, holder) = (self.since, self.by);
        (self.since, self.by) = (now, Some(me));
        if shown.released {
            stage.reached("lease released");
            stage.say(|| format!("the lease is given back by n{}", by.machine));
        } else if !same {
            stage.say(|| format!("the lease is n{}'s now", by.machine));
        }
        if !same {
            self.grants += 1;
            if let (Some(before), Some(holder)) = (before, holder) {
                self.granted(stage, &before, (since, holder), by)?;
            }
        }
        let newest = self.progress.entry(me).or_insert(0);
        *newest = shown.progress.max(*newest);
        if shown.released { Ok(()) } else { self.progressed(me, shown.progress) }
    }

    /// Whether it may change hands now.
    fn granted(&self, stage: &Stage, before: &Shown, (since, holder): (u64, (usize, u64)), by: Line) -> Found {
        let gone = self.engine.notices && !stage.kernel.lives(holder.0, holder.1);
        let passed = stage.kernel.now().saturating_sub(since);
        let due = self.ttl - self.ttl / 10_000 * APART;
        if before.released || gone || passed >= due {
            return Ok(());
        }
        let (passed, ttl) = (passed / 1_000_000, self.ttl / 1_000_000);
        let what = format!(
            "n{} got the lease {passed} ms after n{}'s newest renewal, its ttl is {ttl} ms",
            by.machine, holder.0
        );
        Err((Promise::H2, what))
    }

    /// Whether a process whose work hangs shows progress nevertheless.
    fn progressed(&mut self, me: (usize, u64), progress: u64) -> Found {
        let Some(shown) = self.hung.get_mut(&me) else { return Ok(()) };
        if progress > shown.back().copied().unwrap_or(0) {
            shown.push_back(progress);
        }
        if shown.len() > SHOWN_MAX {
            return Err((Promise::H2, format!("n{} shows progress {shown:?} while its work hangs", me.0)));
        }
        Ok(())
    }

    /// A process was told that its progress is shown.
    pub(crate) fn renewed(&self, by: Line, me: &Holder) -> Found {
        let shown = self.progress.get(&(by.machine, by.life)).copied().unwrap_or(0);
        if shown >= me.progress {
            return Ok(());
        }
        let what = format!("n{} was told that progress {} is shown, {shown} is", by.machine, me.progress);
        Err((Promise::H2, what))
    }

    /// A process has ended in order: it has given its lease back.
    pub(crate) fn drained(&self, machine: usize, life: u64) -> Found {
        match &self.shown {
            Some(shown) if !shown.released && self.by == Some((machine, life)) => {
                Err((Promise::H3, format!("n{machine} has ended in order and has not given its lease back")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The work of a process hangs from now on, or goes on.
    pub(crate) fn hangs(&mut self, machine: usize, life: u64, hangs: Hangs) {
        match hangs {
            Hangs::Yes => drop(self.hung.insert((machine, life), VecDeque::new())),
            Hangs::No => drop(self.hung.remove(&(machine, life))),
        }
    }
}

/// Whether the work of a process hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangs {
    /// It does.
    Yes,
    /// It goes on.
    No,
}
