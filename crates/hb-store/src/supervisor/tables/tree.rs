//! Supervisors, their policies on duty, teams and members.

use std::collections::BTreeMap;

use hb_core::ids::{SupervisorId, TeamId};
use hb_core::supervise::tree::{Membership, Supervisor, SupervisorStatus, Team};
use rusqlite::{Connection, Result, params};
use serde::Serialize;

use super::{Tables, json, word};
use crate::sqlite::{count, int, utc};

/// The document in `supervisors.health_metrics`.
#[derive(Serialize)]
struct HealthMetrics<'a> {
    status: &'a str,
    running: bool,
    active_interventions: i64,
    last_policy_evaluation: Option<String>,
    pending_interventions: i64,
    open_alert_groups: i64,
    interventions_last_hour: i64,
}

struct Counts {
    active: i64,
    pending: i64,
    groups: i64,
}

fn counts(tx: &Connection, supervisor: &SupervisorId) -> Result<Counts> {
    let (active, pending) = tx
        .prepare_cached(
            "SELECT coalesce(sum(status <> 'PENDING'), 0), coalesce(sum(status = 'PENDING'), 0)
             FROM supervisor_interventions
             WHERE supervisor_id = ?1 AND status IN ('PENDING', 'APPROVED', 'EXECUTING', 'IN_DOUBT')",
        )?
        .query_row([supervisor.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let groups = tx
        .prepare_cached(
            "SELECT count(*) FROM supervisor_alert_groups WHERE supervisor_id = ?1 AND resolved_at IS NULL",
        )?
        .query_row([supervisor.as_str()], |row| row.get(0))?;
    Ok(Counts { active, pending, groups })
}

/// Writes the counts of a supervisor that did not change itself.
pub(super) fn set_counts(tx: &Connection, supervisor: &SupervisorId) -> Result<()> {
    let Counts { active, pending, groups } = counts(tx, supervisor)?;
    tx.prepare_cached(
        "UPDATE supervisors SET health_metrics = json_set(health_metrics, '$.active_interventions', ?2,
         '$.pending_interventions', ?3, '$.open_alert_groups', ?4) WHERE id = ?1",
    )?
    .execute(params![supervisor.as_str(), active, pending, groups])
    .map(|_| ())
}

/// A reign begins: those that are active are run by somebody.
pub(super) fn set_running(tx: &Connection) -> Result<()> {
    tx.execute(
        "UPDATE supervisors SET health_metrics = json_set(health_metrics, '$.running',
         json(CASE status WHEN 'ACTIVE' THEN 'true' ELSE 'false' END))",
        [],
    )
    .map(|_| ())
}

/// A reign ended in good order: nobody runs them.
pub(super) fn unset_running(tx: &Connection) -> Result<()> {
    tx.execute("UPDATE supervisors SET health_metrics = json_set(health_metrics, '$.running', json('false'))", [])
        .map(|_| ())
}

impl Tables {
    /// Supervisors, after interventions and groups: their counts are written with them.
    pub(super) fn write_supervisors(
        &mut self,
        tx: &Connection,
        changed: &BTreeMap<SupervisorId, Option<Supervisor>>,
    ) -> Result<()> {
        // Names are unique, and two may have changed places: what moves goes first.
        for (id, supervisor) in changed {
            let stands = supervisor.as_ref().is_some_and(|new| {
                self.names.get(id).is_some_and(|(parent, name)| *parent == new.parent && *name == new.name)
            });
            if !stands {
                tx.prepare_cached("DELETE FROM supervisors WHERE id = ?1")?.execute([id.as_str()])?;
            }
        }
        for (id, supervisor) in changed {
            match supervisor {
                Some(supervisor) => {
                    upsert(tx, supervisor)?;
                    self.names.insert(id.clone(), (supervisor.parent.clone(), supervisor.name.clone()));
                    self.assign(tx, supervisor)?;
                }
                None => {
                    tx.prepare_cached("DELETE FROM supervisor_policy_assignments WHERE supervisor_id = ?1")?
                        .execute([id.as_str()])?;
                    self.names.remove(id);
                    self.assignments.remove(id);
                }
            }
        }
        Ok(())
    }

    fn assign(&mut self, tx: &Connection, supervisor: &Supervisor) -> Result<()> {
        if self.assignments.get(&supervisor.id) == Some(&supervisor.policies) {
            return Ok(());
        }
        let id = supervisor.id.as_str();
        tx.prepare_cached("DELETE FROM supervisor_policy_assignments WHERE supervisor_id = ?1")?.execute([id])?;
        // Of two about one policy the newer one counts.
        let mut insert = tx.prepare_cached(
            "INSERT OR REPLACE INTO supervisor_policy_assignments
             (supervisor_id, policy_id, priority, enabled_at, disabled_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for one in &supervisor.policies {
            let (enabled, disabled) = (utc(one.enabled_at), one.disabled_at.map(utc));
            insert.execute(params![id, one.policy.as_str(), one.priority, enabled, disabled])?;
        }
        self.assignments.insert(supervisor.id.clone(), supervisor.policies.clone());
        Ok(())
    }
}

fn upsert(tx: &Connection, supervisor: &Supervisor) -> Result<()> {
    let Counts { active, pending, groups } = counts(tx, &supervisor.id)?;
    let metrics = HealthMetrics {
        status: supervisor.status.as_str(),
        running: supervisor.status == SupervisorStatus::Active,
        active_interventions: active,
        last_policy_evaluation: supervisor.last_policy_evaluation.map(utc),
        pending_interventions: pending,
        open_alert_groups: groups,
        interventions_last_hour: count(supervisor.begun.len()),
    };
    tx.prepare_cached(
        "INSERT INTO supervisors (id, name, description, status, wanted, config, config_version, parent_id,
         hierarchy_level, origin, failure_reason, created_at, updated_at, last_heartbeat, health_metrics)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,
         status = excluded.status, wanted = excluded.wanted, config = excluded.config,
         config_version = excluded.config_version, parent_id = excluded.parent_id,
         hierarchy_level = excluded.hierarchy_level, origin = excluded.origin,
         failure_reason = excluded.failure_reason, created_at = excluded.created_at,
         updated_at = excluded.updated_at, last_heartbeat = excluded.last_heartbeat,
         health_metrics = excluded.health_metrics",
    )?
    .execute(params![
        supervisor.id.as_str(),
        supervisor.name,
        supervisor.description,
        supervisor.status.as_str(),
        word(&supervisor.wanted),
        json(&supervisor.config),
        int(supervisor.config_version),
        supervisor.parent.as_ref().map(SupervisorId::as_str),
        supervisor.level,
        word(&supervisor.origin),
        supervisor.failure_reason,
        utc(supervisor.created_at),
        utc(supervisor.updated_at),
        supervisor.last_heartbeat.map(utc),
        json(&metrics),
    ])
    .map(|_| ())
}

/// Teams with their members.
pub(super) fn teams(tx: &Connection, changed: &BTreeMap<TeamId, Option<Team>>) -> Result<()> {
    // Names and open memberships are unique, and may move from one team to another within a record: all go first.
    for id in changed.keys() {
        tx.prepare_cached("DELETE FROM supervisor_team_members WHERE team_id = ?1")?.execute([id.as_str()])?;
        tx.prepare_cached("DELETE FROM supervisor_teams WHERE id = ?1")?.execute([id.as_str()])?;
    }
    for team in changed.values().flatten() {
        tx.prepare_cached(
            "INSERT INTO supervisor_teams (id, supervisor_id, name, description, objective, origin)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            team.id.as_str(),
            team.supervisor.as_str(),
            team.name,
            team.description,
            team.objective,
            word(&team.origin)
        ])?;
        team.members.iter().try_for_each(|one| member(tx, &team.id, one))?;
    }
    Ok(())
}

fn member(tx: &Connection, team: &TeamId, member: &Membership) -> Result<()> {
    // Two of one agent from the same instant on: the newer one counts.
    tx.prepare_cached(
        "INSERT INTO supervisor_team_members (team_id, agent_id, role, joined_at, left_at, metadata)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (team_id, agent_id, joined_at) DO UPDATE SET
         role = excluded.role, left_at = excluded.left_at, metadata = excluded.metadata",
    )?
    .execute(params![
        team.as_str(),
        member.agent.as_str(),
        word(&member.role),
        utc(member.joined_at),
        member.left_at.map(utc),
        json(&member.metadata),
    ])
    .map(|_| ())
}
