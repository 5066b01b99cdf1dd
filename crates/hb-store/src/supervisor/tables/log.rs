//! Events and evaluations: what happened, and what policies made of it.

use hb_core::ids::{AgentId, GroupId, InterventionId, PolicyName, SupervisorId, TeamId};
use hb_core::supervise::event::{ACKNOWLEDGED, Event};
use hb_core::supervise::policy::Evaluation;
use rusqlite::{Connection, Result, params};
use serde_json::json as document;

use super::json;
use crate::sqlite::{int, utc};

pub(super) fn events(tx: &Connection, events: &[Event]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut insert = tx.prepare_cached(
        // Not `OR REPLACE`: for that SQLite copies every page that it touches, row by row.
        "INSERT INTO supervisor_events (id, event_type, severity, process_id, supervisor_id, team_id,
         policy_id, intervention_id, group_id, caused_by, message, details, timestamp)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET event_type = excluded.event_type, severity = excluded.severity,
         process_id = excluded.process_id, supervisor_id = excluded.supervisor_id, team_id = excluded.team_id,
         policy_id = excluded.policy_id, intervention_id = excluded.intervention_id, group_id = excluded.group_id,
         caused_by = excluded.caused_by, message = excluded.message, details = excluded.details,
         timestamp = excluded.timestamp, acknowledged_by = NULL, acknowledged_at = NULL",
    )?;
    for event in events {
        let about = &event.about;
        insert.execute(params![
            int(event.id),
            event.kind,
            event.severity.as_str(),
            about.agent.as_ref().map(AgentId::as_str),
            about.supervisor.as_ref().map(SupervisorId::as_str),
            about.team.as_ref().map(TeamId::as_str),
            about.policy.as_ref().map(PolicyName::as_str),
            about.intervention.as_ref().map(InterventionId::as_str),
            about.group.as_ref().map(GroupId::as_str),
            event.by.as_str(),
            event.message,
            json(&event.details),
            utc(event.at),
        ])?;
    }
    events.iter().filter(|event| event.kind == ACKNOWLEDGED.0).try_for_each(|event| acknowledge(tx, event))
}

/// An event that says that another one was taken note of. The first one counts.
fn acknowledge(tx: &Connection, event: &Event) -> Result<()> {
    let Some(id) = event.details.get(ACKNOWLEDGED.1).and_then(serde_json::Value::as_u64) else { return Ok(()) };
    let sql = "UPDATE supervisor_events SET acknowledged_by = ?2, acknowledged_at = ?3 WHERE id = ?1 AND acknowledged_at IS NULL";
    tx.prepare_cached(sql)?.execute(params![int(id), event.by.as_str(), utc(event.at)]).map(drop)
}

pub(super) fn evaluations(tx: &Connection, evaluations: &[Evaluation]) -> Result<()> {
    if evaluations.is_empty() {
        return Ok(());
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO supervisor_policy_evaluations (id, supervisor_id, policy_id, policy_version, agent_id,
         trigger_event, context, decision, action_taken, interventions, decision_path, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET supervisor_id = excluded.supervisor_id, policy_id = excluded.policy_id,
         policy_version = excluded.policy_version, agent_id = excluded.agent_id, trigger_event = excluded.trigger_event,
         context = excluded.context, decision = excluded.decision, action_taken = excluded.action_taken,
         interventions = excluded.interventions, decision_path = excluded.decision_path,
         created_at = excluded.created_at",
    )?;
    for one in evaluations {
        let trigger = match &one.group {
            Some(group) => document!({"trigger": one.trigger, "group": group}),
            None => document!({"trigger": one.trigger}),
        };
        insert.execute(params![
            int(one.id),
            one.supervisor.as_str(),
            one.policy.as_str(),
            one.version,
            one.agent.as_ref().map(AgentId::as_str),
            trigger.to_string(),
            json(&one.context),
            one.decision,
            json(&one.action_taken),
            json(&one.interventions),
            json(&one.decision_path),
            utc(one.at),
        ])?;
    }
    Ok(())
}
