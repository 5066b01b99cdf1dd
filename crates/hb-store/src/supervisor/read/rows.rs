//! Rows as what they were written from.

use std::collections::BTreeMap;

use hb_core::ids::{GroupId, SupervisorId};
use hb_core::supervise::alert::AlertGroup;
use hb_core::supervise::event::{About, Acknowledged, Event};
use hb_core::supervise::policy::Evaluation;
use hb_core::time::Stamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Result, Row};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sqlite::natural;

/// A row of `supervisors`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SupervisorRow {
    /// Its name in the stream.
    pub id: SupervisorId,
    /// Its name for people.
    pub name: String,
    /// `SPAWNING`, `ACTIVE`, `PAUSED`, `FAILED`, `TERMINATED`.
    pub status: String,
    /// The one above.
    pub parent_id: Option<SupervisorId>,
    /// Levels above it.
    pub hierarchy_level: u32,
    /// Why it failed.
    pub failure_reason: Option<String>,
    /// Its newest beat.
    pub last_heartbeat: Option<Stamp>,
    /// `status`, `running`, `active_interventions`, `last_policy_evaluation` and what hb adds.
    pub health_metrics: Value,
}

/// How many rows there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Supervisors.
    pub supervisors: u64,
    /// Teams.
    pub teams: u64,
    /// Agents, by status.
    pub agents: BTreeMap<String, u64>,
    /// Interventions that are kept, by status.
    pub interventions: BTreeMap<String, u64>,
    /// Open groups of alerts.
    pub open_groups: u64,
    /// The newest event.
    pub newest_event: Option<u64>,
    /// The newest evaluation.
    pub newest_evaluation: Option<u64>,
}

fn unfit(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}

/// A JSON document in a column.
pub(super) fn document<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(unfit)
}

/// A word of an enumeration in a column.
fn word<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    serde_json::from_value(Value::String(row.get(column)?)).map_err(unfit)
}

fn number(row: &Row<'_>, column: &str) -> Result<u64> {
    natural(row, row.as_ref().column_index(column)?)
}

fn name<T: From<String>>(row: &Row<'_>, column: &str) -> Result<T> {
    row.get::<_, String>(column).map(T::from)
}

fn maybe<T: From<String>>(row: &Row<'_>, column: &str) -> Result<Option<T>> {
    row.get::<_, Option<String>>(column).map(|found| found.map(T::from))
}

fn stamp(row: &Row<'_>, column: &str) -> Result<Stamp> {
    word(row, column)
}

fn maybe_stamp(row: &Row<'_>, column: &str) -> Result<Option<Stamp>> {
    let found: Option<String> = row.get(column)?;
    found.map(|text| serde_json::from_value(Value::String(text)).map_err(unfit)).transpose()
}

fn acknowledged(row: &Row<'_>) -> Result<Option<Acknowledged>> {
    let by: Option<String> = row.get("acknowledged_by")?;
    let at = maybe_stamp(row, "acknowledged_at")?;
    Ok(by.zip(at).map(|(by, at)| Acknowledged { by: by.into(), at }))
}

pub(super) fn event(row: &Row<'_>) -> Result<Event> {
    Ok(Event {
        id: number(row, "id")?,
        kind: row.get("event_type")?,
        severity: word(row, "severity")?,
        about: About {
            supervisor: maybe(row, "supervisor_id")?,
            agent: maybe(row, "process_id")?,
            team: maybe(row, "team_id")?,
            policy: maybe(row, "policy_id")?,
            intervention: maybe(row, "intervention_id")?,
            group: maybe(row, "group_id")?,
        },
        by: name(row, "caused_by")?,
        message: row.get("message")?,
        details: document(row, "details")?,
        at: stamp(row, "timestamp")?,
        acknowledged: acknowledged(row)?,
    })
}

pub(super) fn evaluation(row: &Row<'_>) -> Result<Evaluation> {
    #[derive(Deserialize)]
    struct Trigger {
        trigger: String,
        group: Option<GroupId>,
    }
    let trigger: Trigger = document(row, "trigger_event")?;
    Ok(Evaluation {
        id: number(row, "id")?,
        supervisor: name(row, "supervisor_id")?,
        policy: name(row, "policy_id")?,
        version: row.get("policy_version")?,
        agent: maybe(row, "agent_id")?,
        trigger: trigger.trigger,
        group: trigger.group,
        context: document(row, "context")?,
        decision: row.get("decision")?,
        decision_path: document(row, "decision_path")?,
        action_taken: document(row, "action_taken")?,
        interventions: document(row, "interventions")?,
        at: stamp(row, "created_at")?,
    })
}

pub(super) fn group(row: &Row<'_>) -> Result<AlertGroup> {
    Ok(AlertGroup {
        id: name(row, "id")?,
        supervisor: name(row, "supervisor_id")?,
        group_key: row.get("group_key")?,
        concern: word(row, "concern")?,
        severity: word(row, "severity")?,
        alert_count: number(row, "alert_count")?,
        alert_ids: document(row, "alert_ids")?,
        affected_agents: document(row, "affected_agents")?,
        correlation_summary: row.get("correlation_summary")?,
        first_alert_at: stamp(row, "first_alert_at")?,
        last_alert_at: stamp(row, "last_alert_at")?,
        resolved_at: maybe_stamp(row, "resolved_at")?,
        evaluated: row.get("evaluated")?,
        // Of use to the running supervisor alone, which has it from its records.
        unlooked: false,
    })
}

pub(super) fn supervisor(row: &Row<'_>) -> Result<SupervisorRow> {
    Ok(SupervisorRow {
        id: name(row, "id")?,
        name: row.get("name")?,
        status: row.get("status")?,
        parent_id: maybe(row, "parent_id")?,
        hierarchy_level: row.get("hierarchy_level")?,
        failure_reason: row.get("failure_reason")?,
        last_heartbeat: maybe_stamp(row, "last_heartbeat")?,
        health_metrics: document(row, "health_metrics")?,
    })
}

pub(super) fn counts(connection: &Connection) -> Result<Counts> {
    let tx = connection.unchecked_transaction()?;
    let one = |sql: &str| tx.query_row(sql, [], |row| natural(row, 0));
    let newest = |sql: &str| {
        tx.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).map(|id| id.and_then(|id| u64::try_from(id).ok()))
    };
    let by = |sql: &str| -> Result<BTreeMap<String, u64>> {
        tx.prepare_cached(sql)?.query_map([], |row| Ok((row.get(0)?, natural(row, 1)?)))?.collect()
    };
    Ok(Counts {
        supervisors: one("SELECT count(*) FROM supervisors")?,
        teams: one("SELECT count(*) FROM supervisor_teams")?,
        agents: by("SELECT status, count(*) FROM agents GROUP BY status")?,
        interventions: by("SELECT status, count(*) FROM supervisor_interventions GROUP BY status")?,
        open_groups: one("SELECT count(*) FROM supervisor_alert_groups WHERE resolved_at IS NULL")?,
        newest_event: newest("SELECT max(id) FROM supervisor_events")?,
        newest_evaluation: newest("SELECT max(id) FROM supervisor_policy_evaluations")?,
    })
}
