//! Interventions, groups of alerts, notifications, and how far watches were taken in.

use std::collections::BTreeMap;

use hb_core::ids::{GroupId, InterventionId, WatchName};
use hb_core::supervise::alert::{AlertGroup, Notification};
use hb_core::supervise::intervention::{Intervention, InterventionStatus};
use hb_core::supervise::state::Cursor;
use rusqlite::{Connection, Result, params};
use serde_json::json as document;

use super::{Tables, json, word};
use crate::sqlite::{int, utc};

/// The number in `i-12` and `g-12`, by which they are in order.
pub(crate) fn number_of(id: &str) -> i64 {
    id.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0)
}

/// One that has left the state stays in the table. What never changes of one is not written again where an index stands on it.
pub(super) fn interventions(tx: &Connection, changed: &BTreeMap<InterventionId, Option<Intervention>>) -> Result<()> {
    changed.values().flatten().try_for_each(|one| intervention(tx, one))
}

fn intervention(tx: &Connection, one: &Intervention) -> Result<()> {
    let agreed = one.decided.as_ref().filter(|_| one.status != InterventionStatus::Rejected);
    let outcome = one.outcome.as_ref().map(|outcome| {
        let steps: Vec<_> = one
            .plan
            .iter()
            .map(|step| document!({"agent": step.act.agent(), "state": step.state, "said": step.said}))
            .collect();
        document!({"outcome": outcome, "steps": steps}).to_string()
    });
    tx.prepare_cached(
        "INSERT INTO supervisor_interventions (id, number, supervisor_id, intervention_type, target_type, target_id,
         reason, action_details, status, approval_required, approved_by, approved_at, executed_at, completed_at,
         error_message, outcome, created_at, requested_by, policy_id, doc)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
         ON CONFLICT (id) DO UPDATE SET intervention_type = excluded.intervention_type,
         target_type = excluded.target_type, reason = excluded.reason, action_details = excluded.action_details,
         status = excluded.status, approval_required = excluded.approval_required, approved_by = excluded.approved_by,
         approved_at = excluded.approved_at, executed_at = excluded.executed_at, completed_at = excluded.completed_at,
         error_message = excluded.error_message, outcome = excluded.outcome, created_at = excluded.created_at,
         requested_by = excluded.requested_by, policy_id = excluded.policy_id, doc = excluded.doc",
    )?
    .execute(params![
        one.id.as_str(),
        number_of(one.id.as_str()),
        one.supervisor.as_str(),
        one.intervention_type.as_str(),
        word(&one.target_type),
        one.target_id,
        one.reason,
        json(&one.action_details),
        one.status.as_str(),
        !one.approval_reasons.is_empty(),
        agreed.map(|decided| decided.by.as_str()),
        agreed.map(|decided| utc(decided.at)),
        one.executed_at.map(utc),
        one.completed_at.map(utc),
        one.error_message,
        outcome,
        utc(one.created_at),
        one.requested_by.as_str(),
        one.policy.as_ref().map(|(policy, _)| policy.as_str()),
        json(one),
    ])
    .map(|_| ())
}

impl Tables {
    /// One that has left the state stays in the table.
    pub(super) fn write_groups(&self, tx: &Connection, changed: &BTreeMap<GroupId, Option<AlertGroup>>) -> Result<()> {
        for one in changed.values().flatten() {
            let stands_open = self.open.get(&one.supervisor).is_some_and(|open| open.holds(&one.id));
            if !(stands_open && one.resolved_at.is_none() && grown(tx, one)?) {
                group(tx, one)?;
            }
        }
        Ok(())
    }
}

/// One that was open and still is: its indices stay as they are. Gives whether it was there.
fn grown(tx: &Connection, one: &AlertGroup) -> Result<bool> {
    tx.prepare_cached(
        "UPDATE supervisor_alert_groups SET severity = ?2, alert_count = ?3, alert_ids = ?4, affected_agents = ?5,
         correlation_summary = ?6, last_alert_at = ?7, evaluated = ?8 WHERE id = ?1",
    )?
    .execute(params![
        one.id.as_str(),
        one.severity.as_str(),
        int(one.alert_count),
        json(&one.alert_ids),
        json(&one.affected_agents),
        one.correlation_summary,
        utc(one.last_alert_at),
        one.evaluated,
    ])
    .map(|rows| rows > 0)
}

fn group(tx: &Connection, one: &AlertGroup) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO supervisor_alert_groups (id, number, supervisor_id, group_key, concern, severity, alert_count,
         alert_ids, affected_agents, correlation_summary, first_alert_at, last_alert_at, resolved_at, evaluated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (id) DO UPDATE SET group_key = excluded.group_key, concern = excluded.concern, severity = excluded.severity,
         alert_count = excluded.alert_count, alert_ids = excluded.alert_ids, affected_agents = excluded.affected_agents,
         correlation_summary = excluded.correlation_summary, first_alert_at = excluded.first_alert_at,
         last_alert_at = excluded.last_alert_at, resolved_at = excluded.resolved_at, evaluated = excluded.evaluated",
    )?
    .execute(params![
        one.id.as_str(),
        number_of(one.id.as_str()),
        one.supervisor.as_str(),
        one.group_key,
        one.concern.as_str(),
        one.severity.as_str(),
        int(one.alert_count),
        json(&one.alert_ids),
        json(&one.affected_agents),
        one.correlation_summary,
        utc(one.first_alert_at),
        utc(one.last_alert_at),
        one.resolved_at.map(utc),
        one.evaluated,
    ])
    .map(|_| ())
}

pub(super) fn notifications(tx: &Connection, changed: &BTreeMap<String, Option<Notification>>) -> Result<()> {
    for (key, one) in changed {
        match one {
            Some(one) => tx
                .prepare_cached("INSERT OR REPLACE INTO supervisor_notifications (key, doc) VALUES (?1, ?2)")?
                .execute(params![key, json(one)])?,
            None => tx.prepare_cached("DELETE FROM supervisor_notifications WHERE key = ?1")?.execute([key])?,
        };
    }
    Ok(())
}

pub(super) fn cursors(tx: &Connection, changed: &BTreeMap<WatchName, Option<Cursor>>) -> Result<()> {
    for (watch, one) in changed {
        match one {
            Some(one) => tx
                .prepare_cached("INSERT OR REPLACE INTO supervisor_cursors (watch, seq, cycle) VALUES (?1, ?2, ?3)")?
                .execute(params![watch.as_str(), int(one.seq.0), int(one.cycle.0)])?,
            None => tx.prepare_cached("DELETE FROM supervisor_cursors WHERE watch = ?1")?.execute([watch.as_str()])?,
        };
    }
    Ok(())
}
