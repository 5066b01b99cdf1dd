//! etcd: cells are keys, a swap is a transaction that compares the key's revision, waiting is a watch.
//!
//! etcd's own leases are not used: as everywhere in hb the age of what stands in a cell is judged by whoever looks at it, and safety
//! rests on the journal. etcd keeps no journal: a value has at most 1.5 MB and the whole store 2 GB unless its operator says
//! otherwise. It is for leases and the board of nodes.
//!
//! **Invariants.** Reads are linearizable. A version is the revision of the store that changed the key last; revisions of a cluster
//! only grow, so none comes again, also after a removal.

mod fault;
pub(crate) mod fuzzing;
mod link;
mod target;
mod wire;

pub use target::EtcdTarget;

use std::sync::Arc;
use std::time::Duration;

use hb_store::register::{Cell, CellVersion, Register, RegisterError, Swapped, Woken, check, check_name};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::follow::Follower;
use crate::line::Loop;
use crate::target::{Manner, TargetError};
use fault::Fault;
use link::{Effect, Link};
use wire::{If, Pair, Ranged, Then, Transacted};

/// Most cells in one answer to a list.
const PAGE: usize = 64;
/// How often a list begins anew because etcd compacted meanwhile what it was reading.
const LISTS: u32 = 3;

/// A register in an etcd cluster.
#[derive(Debug)]
pub struct EtcdRegister {
    follower: Option<Follower>,
    link: Arc<Link>,
    thread: Arc<Loop>,
}

impl EtcdRegister {
    /// Makes ready to use a cluster. Nothing is asked yet: a cluster that is away now may be there later.
    ///
    /// # Errors
    /// [`TargetError`] when a file of TLS cannot be used.
    pub fn open(target: &EtcdTarget, manner: Manner) -> Result<Self, TargetError> {
        let link = Arc::new(Link::new(target.clone(), manner)?);
        Ok(Self { follower: None, link, thread: Arc::new(Loop::start("hb-etcd")?) })
    }

    /// Another handle on the same cells, over the same connections and login.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { follower: None, link: Arc::clone(&self.link), thread: Arc::clone(&self.thread) }
    }

    fn ask<T>(&self, effect: Effect, path: &'static str, body: Value) -> Result<T, Fault>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let link = Arc::clone(&self.link);
        let question = async move { link.ask(effect, path, &body).await };
        self.thread.run(question).unwrap_or_else(|| Err(Fault::Unknown("the thread that speaks with etcd died".into())))
    }

    fn change(&self, name: &str, only_if: If, then: Then<'_>) -> Result<Transacted, Swapped> {
        let body = wire::transaction(&self.link.key(name), only_if, then);
        self.ask(Effect::Changes, "kv/txn", body).map_err(|fault| match fault {
            Fault::Unknown(what) => Swapped::Unknown(what),
            Fault::NotDone(what) | Fault::Refused(what) | Fault::Login(what) => Swapped::Failed(what),
        })
    }

    /// One attempt at a list: none when what it was reading was compacted meanwhile.
    fn pages(&self, prefix: &str, most: usize) -> Result<Option<Vec<(String, Cell)>>, RegisterError> {
        let from = self.link.key(prefix);
        let mut next = from.clone().into_bytes();
        let mut at = None;
        let mut out = Vec::new();
        while out.len() < most {
            let body = wire::page(&next, &from, PAGE.min(most - out.len()), at);
            let page: Ranged = match self.ask(Effect::Reads, "kv/range", body) {
                Ok(page) => page,
                Err(fault) => {
                    let what = fault.into_text();
                    return if what.contains("compacted") { Ok(None) } else { Err(RegisterError(what)) };
                }
            };
            at = at.or(Some(page.header.revision));
            let Some(last) = page.kvs.last() else { break };
            next.clone_from(&last.key);
            next.push(0);
            out.extend(page.kvs.into_iter().filter_map(|pair| self.named(pair)));
            if !page.more {
                break;
            }
        }
        Ok(Some(out))
    }

    /// A cell with its name; none where the key is not one of ours.
    fn named(&self, pair: Pair) -> Option<(String, Cell)> {
        let key = String::from_utf8(pair.key.clone()).ok()?;
        let name = key.strip_prefix(&self.link.target.prefix)?.to_owned();
        check_name(&name).ok()?;
        Some((name, pair.into_cell()))
    }
}

impl Register for EtcdRegister {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        let found: Ranged = self
            .ask(Effect::Reads, "kv/range", wire::range(&self.link.key(name)))
            .map_err(|fault| RegisterError(fault.into_text()))?;
        Ok(found.kvs.into_iter().next().map(Pair::into_cell))
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        if let Err(what) = check(name, bytes) {
            return Swapped::Failed(what);
        }
        let only_if = match seen.map(revision).transpose() {
            Ok(revision) => revision.map_or(If::Absent, If::Unchanged),
            Err(what) => return Swapped::Failed(what),
        };
        match self.change(name, only_if, Then::Put(bytes)) {
            Ok(end) if end.succeeded => Swapped::Done(CellVersion(end.header.revision.to_string())),
            Ok(end) => Swapped::Lost(end.standing().map(Pair::into_cell)),
            Err(end) => end,
        }
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        if let Err(what) = check_name(name) {
            return Swapped::Failed(what);
        }
        let only_if = match revision(seen) {
            Ok(revision) => If::Unchanged(revision),
            Err(what) => return Swapped::Failed(what),
        };
        match self.change(name, only_if, Then::Delete) {
            Ok(end) if end.succeeded => Swapped::Done(seen.clone()),
            Ok(end) => Swapped::Lost(end.standing().map(Pair::into_cell)),
            Err(end) => end,
        }
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        for _ in 0..LISTS {
            if let Some(cells) = self.pages(prefix, most)? {
                return Ok(cells);
            }
        }
        Err(RegisterError("etcd compacts faster than its cells can be listed".into()))
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        if patience.is_zero() {
            let now = self.read(name)?.map(|cell| cell.version);
            return Ok(if now.as_ref() == seen { Woken::Patience } else { Woken::Changed });
        }
        check_name(name).map_err(RegisterError)?;
        if !self.follower.as_ref().is_some_and(|follower| follower.follows(name)) {
            self.follower = Some(Follower::start(self.thread.handle(), &self.link, name));
        }
        match &self.follower {
            Some(follower) => follower.wait(seen, patience),
            None => Ok(Woken::Patience),
        }
    }

    fn told(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        match self.follower.as_ref().and_then(|follower| follower.told(name)) {
            Some(cell) => Ok(cell),
            None => self.read(name),
        }
    }
}

/// The revision that a version stands for. 0 would mean "absent" to etcd.
fn revision(version: &CellVersion) -> Result<i64, String> {
    version
        .0
        .parse()
        .ok()
        .filter(|revision| *revision > 0)
        .ok_or_else(|| format!("{:?} is no version of a cell in etcd", version.0))
}
