//! Kubernetes: cells are Lease objects of `coordination.k8s.io/v1`, a swap is an update that names the resource version, waiting is a
//! watch. Leases are small and few by design of Kubernetes: no journal is kept there.
//!
//! **Invariants.** Reads ask the API server for the newest, never for what its cache has. A version is the object's uid and resource
//! version: neither comes again, also after a removal. Every write differs from the one before, so every write gets a version.
//!
//! Bounds (B1): at most [`OBJECTS_MAX`] objects of a deployment are listed.

mod document;
mod fault;
pub(crate) mod fuzzing;
mod names;
mod server;
mod target;

pub use target::{KubernetesTarget, Surroundings};

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hb_store::register::{Cell, CellVersion, Register, RegisterError, Swapped, Woken, check, check_name};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::follow::Follower;
use crate::line::Loop;
use crate::target::{Manner, TargetError};
use document::{Draft, Object, parts};
use fault::{Fault, Verb};
use server::{Listed, Question, Server};

/// Most objects of a deployment.
pub const OBJECTS_MAX: usize = 10_000;
/// Most objects in one answer to a list.
const PAGE: usize = 64;
/// How often a list begins anew because it took the server too long.
const LISTS: u32 = 3;
/// Most objects that a handle remembers, for what `kubectl` shows.
const REMEMBERED: usize = 64;

/// A register in Lease objects.
#[derive(Debug)]
pub struct KubernetesRegister {
    follower: Option<Follower>,
    server: Arc<Server>,
    thread: Arc<Loop>,
    /// Tells this handle's writes from those of every other.
    handle: u64,
    writes: u64,
    /// What was last seen, by cell.
    known: HashMap<String, Object>,
}

impl KubernetesRegister {
    /// Makes ready to use an API server. Nothing is asked yet: a server that is away now may be there later.
    ///
    /// # Errors
    /// [`TargetError`] when a file of TLS cannot be used.
    pub fn open(target: &KubernetesTarget, manner: Manner) -> Result<Self, TargetError> {
        let server = Arc::new(Server::new(target.clone(), manner)?);
        Ok(Self::with(server, Arc::new(Loop::start("hb-kubernetes")?)))
    }

    /// Another handle on the same cells, over the same connections.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::with(Arc::clone(&self.server), Arc::clone(&self.thread))
    }

    fn with(server: Arc<Server>, thread: Arc<Loop>) -> Self {
        // Keys of hash maps are random: another number for every handle of every process.
        let handle = RandomState::new().hash_one(std::process::id());
        Self { follower: None, server, thread, handle, writes: 0, known: HashMap::new() }
    }

    fn ask<T: DeserializeOwned + Send + 'static>(&self, question: Question) -> Result<T, Fault> {
        let server = Arc::clone(&self.server);
        let asking = async move { server.ask(question).await };
        self.thread
            .run(asking)
            .unwrap_or_else(|| Err(Fault::Unknown("the thread that asks the API server died".into())))
    }

    fn remember(&mut self, name: &str, object: Object) {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(name) {
            self.known.clear();
        }
        self.known.insert(name.to_owned(), object);
    }

    /// The cell of an object that was asked for under a name.
    fn cell(&mut self, name: &str, object: Object) -> Result<Cell, RegisterError> {
        let cell = object.cell_of(&self.server.target.name, name).map_err(RegisterError)?;
        self.remember(name, object);
        Ok(cell)
    }

    /// What became of a change.
    fn end(&mut self, name: &str, end: Result<CellVersion, Fault>) -> Swapped {
        match end {
            Ok(version) => Swapped::Done(version),
            Err(Fault::Absent) => Swapped::Lost(None),
            Err(Fault::Conflict) => match self.read(name) {
                Ok(standing) => Swapped::Lost(standing),
                Err(fault) => {
                    Swapped::Failed(format!("it was changed meanwhile, and what stands there is not known: {fault}"))
                }
            },
            Err(Fault::Unknown(what)) => Swapped::Unknown(what),
            Err(fault) => Swapped::Failed(fault.into_text()),
        }
    }

    /// Creates or updates the object.
    fn write(&mut self, name: &str, seen: Option<(&str, &str)>, bytes: &[u8]) -> Result<CellVersion, Fault> {
        self.writes = self.writes.wrapping_add(1);
        let object = self.server.object(name);
        let before = self.known.get(name).filter(|known| seen.is_some_and(|seen| parts(&known.version()) == Ok(seen)));
        let draft = Draft {
            deployment: &self.server.target.name,
            object: &object,
            cell: name,
            bytes,
            write: &format!("{:016x}-{}", self.handle, self.writes),
            before,
            only_if: seen,
        };
        let verb = if seen.is_some() { Verb::Update } else { Verb::Create };
        let written: Object = self.ask(Question::about(verb, &object, Some(draft.to_json(SystemTime::now()))))?;
        let version = written.version();
        self.remember(name, written);
        Ok(version)
    }

    /// One attempt at a list: none when it took the server too long.
    fn pages(&mut self, prefix: &str) -> Result<Option<Vec<(String, Cell)>>, RegisterError> {
        let (mut next, mut out, mut objects) = (String::new(), Vec::new(), 0_usize);
        loop {
            let listed: Listed = match self.ask(Question::page(&self.server.target.name, PAGE, &next)) {
                Ok(listed) => listed,
                Err(Fault::Gone(_)) => return Ok(None),
                Err(fault) => return Err(RegisterError(fault.into_text())),
            };
            objects = objects.saturating_add(listed.items.len());
            if objects > OBJECTS_MAX {
                return Err(RegisterError(format!(
                    "there are more than {OBJECTS_MAX} Lease objects of this deployment"
                )));
            }
            for object in listed.items {
                match object.cell() {
                    Ok((name, cell)) if name.starts_with(prefix) => out.push((name, cell)),
                    Ok(_) => {}
                    Err(fault) => tracing::warn!(fault, "an object with the label of this deployment is left out"),
                }
            }
            next = listed.metadata.next;
            if next.is_empty() {
                return Ok(Some(out));
            }
        }
    }
}

impl Register for KubernetesRegister {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        let question = Question::about(Verb::Get, &self.server.object(name), None);
        match self.ask::<Object>(question) {
            Ok(object) => self.cell(name, object).map(Some),
            Err(Fault::Absent) => Ok(None),
            Err(fault) => Err(RegisterError(fault.into_text())),
        }
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        if let Err(what) = check(name, bytes) {
            return Swapped::Failed(what);
        }
        let end = match seen.map(parts).transpose() {
            Ok(seen) => self.write(name, seen, bytes),
            Err(what) => return Swapped::Failed(what),
        };
        self.end(name, end)
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        if let Err(what) = check_name(name) {
            return Swapped::Failed(what);
        }
        let (uid, number) = match parts(seen) {
            Ok(parts) => parts,
            Err(what) => return Swapped::Failed(what),
        };
        let only_if = json!({"uid": uid, "resourceVersion": number});
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": only_if});
        let question = Question::about(Verb::Delete, &self.server.object(name), Some(body));
        let end = self.ask::<Value>(question).map(|_| seen.clone());
        self.end(name, end)
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        for _ in 0..LISTS {
            if let Some(mut cells) = self.pages(prefix)? {
                cells.sort_by(|(one, _), (other, _)| one.cmp(other));
                cells.truncate(most);
                return Ok(cells);
            }
        }
        Err(RegisterError("the API server forgets lists faster than they can be read".into()))
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        if patience.is_zero() {
            let now = self.read(name)?.map(|cell| cell.version);
            return Ok(if now.as_ref() == seen { Woken::Patience } else { Woken::Changed });
        }
        check_name(name).map_err(RegisterError)?;
        if !self.follower.as_ref().is_some_and(|follower| follower.follows(name)) {
            self.follower = Some(Follower::start(self.thread.handle(), &self.server, name));
        }
        match &self.follower {
            Some(follower) => follower.wait(seen, patience),
            None => Ok(Woken::Patience),
        }
    }

    fn told(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        let Some(told) = self.follower.as_ref().and_then(|follower| follower.told(name)) else {
            return self.read(name);
        };
        let Some(cell) = told else { return Ok(None) };
        // The whole object as well, for what `kubectl` shows of the next write.
        match self.server.news(&cell.version) {
            Some(object) => self.remember(name, object),
            None => return self.read(name),
        }
        Ok(Some(cell))
    }
}
