//! How much of history the tables keep (B1): the oldest goes first, a batch with each commit that adds to it.

use std::sync::Arc;

use hb_core::supervise::state::Sealed;
use rusqlite::{Connection, Result};

use super::tables::number_of;
use crate::sqlite::int;

/// Events that are kept.
pub const EVENTS_KEPT: u64 = 500_000;
/// Evaluations that are kept.
pub const EVALUATIONS_KEPT: u64 = 500_000;
/// Interventions that are kept; those that are not over always are.
pub const INTERVENTIONS_KEPT: u64 = 100_000;
/// Groups of alerts that are kept; open ones always are.
pub const GROUPS_KEPT: u64 = 100_000;
/// Rows beyond the bound at which they are removed, and at least how many a commit may remove at once.
pub const HISTORY_STEP: u64 = 1_000;

/// Rows of history that are kept. Rows are numbered without gaps, so the bound is on their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Of `supervisor_events`.
    pub events: u64,
    /// Of `supervisor_policy_evaluations`.
    pub evaluations: u64,
    /// Of `supervisor_interventions`.
    pub interventions: u64,
    /// Of `supervisor_alert_groups`.
    pub groups: u64,
    /// Rows beyond them at which a batch is removed.
    pub step: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            events: EVENTS_KEPT,
            evaluations: EVALUATIONS_KEPT,
            interventions: INTERVENTIONS_KEPT,
            groups: GROUPS_KEPT,
            step: HISTORY_STEP,
        }
    }
}

/// Removes what these records push out. Removes faster than they add, so that a lowered bound is reached in time.
pub(super) fn trim(tx: &Connection, kept: &Kept, sealed: &[Arc<Sealed>]) -> Result<()> {
    let newest = |pick: fn(&Sealed) -> Option<u64>| sealed.iter().rev().find_map(|one| pick(one));
    if let Some(newest) = newest(|one| one.record.body.events().last().map(|event| event.id)) {
        trim_table(tx, kept, ("supervisor_events", "id", "1"), (newest, kept.events))?;
    }
    if let Some(newest) = newest(|one| one.record.body.evaluations().last().map(|one| one.id)) {
        trim_table(tx, kept, ("supervisor_policy_evaluations", "id", "1"), (newest, kept.evaluations))?;
    }
    let over = "status NOT IN ('PENDING', 'APPROVED', 'EXECUTING', 'IN_DOUBT')";
    if let Some(newest) = newest(|one| highest(one.record.body.changes().interventions.keys().map(|id| id.as_str()))) {
        trim_table(tx, kept, ("supervisor_interventions", "number", over), (newest, kept.interventions))?;
    }
    if let Some(newest) = newest(|one| highest(one.record.body.changes().groups.keys().map(|id| id.as_str()))) {
        trim_table(tx, kept, ("supervisor_alert_groups", "number", "resolved_at IS NOT NULL"), (newest, kept.groups))?;
    }
    Ok(())
}

fn highest<'a>(ids: impl Iterator<Item = &'a str>) -> Option<u64> {
    ids.filter_map(|id| u64::try_from(number_of(id)).ok()).max()
}

fn trim_table(
    tx: &Connection,
    kept: &Kept,
    (table, column, may_go): (&str, &str, &str),
    (newest, most): (u64, u64),
) -> Result<()> {
    let below = newest.saturating_add(1).saturating_sub(most);
    if below == 0 {
        return Ok(());
    }
    let smallest = format!("SELECT coalesce(min({column}), 0) FROM {table}");
    let smallest: i64 = tx.prepare_cached(&smallest)?.query_row([], |row| row.get(0))?;
    let beyond = below.saturating_sub(u64::try_from(smallest).unwrap_or(0));
    if beyond < kept.step.max(1) {
        return Ok(());
    }
    let batch = beyond.div_ceil(2).max(kept.step).max(1);
    let sql = format!(
        "DELETE FROM {table} WHERE rowid IN
         (SELECT rowid FROM {table} WHERE {column} < ?1 AND {may_go} ORDER BY {column} LIMIT ?2)"
    );
    let gone = tx.prepare_cached(&sql)?.execute((int(below), int(batch)))?;
    if gone > 0 {
        tx.prepare_cached(
            "INSERT INTO history_trimmed (name, rows) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET rows = rows + excluded.rows",
        )?
        .execute((table, crate::sqlite::count(gone)))?;
    }
    Ok(())
}
