//! What a record becomes in the tables.
//!
//! **Invariants.** Rows depend on records alone: tables that are made again from the newest snapshot and what follows it are the same. A row is
//! removed when the record says that its entity is gone; interventions and groups of alerts that have only left the state stay.

mod acts;
mod agents;
mod log;
mod policies;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use hb_core::ids::{Actor, PolicyName, SupervisorId};
use hb_core::journal::Hash;
use hb_core::supervise::state::{Body, Changes, Record};
use hb_core::supervise::tree::Supervisor;
use rusqlite::{Connection, Result, params};
use serde::Serialize;

use crate::sqlite::{int, utc};

pub(crate) use acts::number_of;

/// Writes records into the tables. Remembers what it wrote of things that change in part only, so that the rest is not written again.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Versions of a policy that stand, with who agreed to each.
    versions: BTreeMap<PolicyName, Vec<(u32, Option<Actor>)>>,
    /// Supervisors that stand, with their policies on duty.
    supervisors: BTreeMap<SupervisorId, Supervisor>,
    /// What is open of a supervisor.
    open: BTreeMap<SupervisorId, tree::Open>,
}

impl Tables {
    /// Forgets what was written: a transaction was rolled back, or somebody else has written.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Writes the next record. A snapshot says what the tables say already.
    pub(crate) fn apply(&mut self, tx: &Connection, record: &Record, hash: Hash) -> Result<()> {
        match &record.body {
            Body::Snapshot { .. } => {}
            Body::Changed { changes, .. } => self.changes(tx, changes)?,
            Body::EpochOpened { changes, .. } => {
                self.changes(tx, changes)?;
                tree::set_running(tx)?;
            }
            Body::EpochClosed { changes, .. } => {
                self.changes(tx, changes)?;
                tree::unset_running(tx)?;
            }
        }
        log::events(tx, record.body.events())?;
        log::evaluations(tx, record.body.evaluations())?;
        set_applied(tx, record, hash)
    }

    /// Writes a record as the first one: a snapshot with all that is in it. The tables of state are empty.
    pub(crate) fn apply_first(&mut self, tx: &Connection, record: &Record, hash: Hash) -> Result<()> {
        if let Body::Snapshot { changes } = &record.body {
            self.changes(tx, changes)?;
        }
        self.apply(tx, record, hash)
    }

    /// Writes only what a record adds to history: what became of its entities is told by later records.
    pub(crate) fn apply_history(&mut self, tx: &Connection, record: &Record) -> Result<()> {
        let changes = record.body.changes();
        acts::interventions(tx, &changes.interventions)?;
        self.write_groups(tx, &changes.groups)?;
        self.note_open(changes);
        log::events(tx, record.body.events())?;
        log::evaluations(tx, record.body.evaluations())
    }

    fn changes(&mut self, tx: &Connection, changes: &Changes) -> Result<()> {
        agents::write(tx, &changes.agents)?;
        self.write_policies(tx, &changes.policies)?;
        tree::teams(tx, &changes.teams)?;
        acts::interventions(tx, &changes.interventions)?;
        self.write_groups(tx, &changes.groups)?;
        self.note_open(changes);
        acts::notifications(tx, &changes.notifications)?;
        acts::cursors(tx, &changes.cursors)?;
        self.write_supervisors(tx, &changes.supervisors)?;
        let owners: BTreeSet<&SupervisorId> = changes
            .interventions
            .values()
            .flatten()
            .map(|one| &one.supervisor)
            .chain(changes.groups.values().flatten().map(|one| &one.supervisor))
            .filter(|owner| !changes.supervisors.contains_key(owner))
            .collect();
        owners.into_iter().try_for_each(|owner| self.set_counts(tx, owner))
    }
}

fn set_applied(tx: &Connection, record: &Record, hash: Hash) -> Result<()> {
    let ended = match &record.body {
        Body::EpochClosed { ended, .. } => Some(word(ended)),
        Body::EpochOpened { .. } | Body::Changed { .. } | Body::Snapshot { .. } => None,
    };
    tx.prepare_cached(
        "INSERT OR REPLACE INTO applied (stream, seq, hash, epoch, node, ended, counters, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        record.stream.as_str(),
        int(record.seq.0),
        hash.to_string(),
        int(record.epoch.0),
        record.node.as_str(),
        ended,
        json(&record.body.changes().counters),
        utc(record.at),
    ])
    .map(|_| ())
}

/// A document as text.
fn json<T: Serialize>(document: &T) -> String {
    serde_json::to_string(document).expect("documents are plain data with string keys")
}

/// A word of an enumeration as it stands in documents.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}
