//! Supervisors, their policies on duty, teams and members.

use std::collections::{BTreeMap, BTreeSet};

use hb_core::ids::{GroupId, InterventionId, SupervisorId, TeamId};
use hb_core::supervise::alert::AlertGroup;
use hb_core::supervise::intervention::{Intervention, InterventionStatus};
use hb_core::supervise::state::Changes;
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

/// What is open of a supervisor, as the tables have it.
#[derive(Debug, Default)]
pub(super) struct Open {
    pending: BTreeSet<InterventionId>,
    active: BTreeSet<InterventionId>,
    groups: BTreeSet<GroupId>,
}

impl Open {
    fn read(tx: &Connection, supervisor: &SupervisorId) -> Result<Self> {
        let mut open = Self::default();
        let mut interventions = tx.prepare_cached(
            "SELECT id, status = 'PENDING' FROM supervisor_interventions
             WHERE supervisor_id = ?1 AND status IN ('PENDING', 'APPROVED', 'EXECUTING', 'IN_DOUBT')",
        )?;
        let mut rows = interventions.query([supervisor.as_str()])?;
        while let Some(row) = rows.next()? {
            let of = if row.get(1)? { &mut open.pending } else { &mut open.active };
            of.insert(row.get::<_, String>(0)?.into());
        }
        let mut groups = tx.prepare_cached(
            "SELECT id FROM supervisor_alert_groups WHERE supervisor_id = ?1 AND resolved_at IS NULL",
        )?;
        let mut rows = groups.query([supervisor.as_str()])?;
        while let Some(row) = rows.next()? {
            open.groups.insert(row.get::<_, String>(0)?.into());
        }
        Ok(open)
    }

    /// Whether a group stands there as open.
    pub(super) fn holds(&self, group: &GroupId) -> bool {
        self.groups.contains(group)
    }

    fn note_intervention(&mut self, one: &Intervention) {
        self.pending.remove(&one.id);
        self.active.remove(&one.id);
        if one.status == InterventionStatus::Pending {
            self.pending.insert(one.id.clone());
        } else if !one.status.is_over() {
            self.active.insert(one.id.clone());
        }
    }

    fn note_group(&mut self, one: &AlertGroup) {
        match one.resolved_at {
            None => self.groups.insert(one.id.clone()),
            Some(_) => self.groups.remove(&one.id),
        };
    }

    fn counts(&self) -> Counts {
        Counts {
            active: count(self.active.len()),
            pending: count(self.pending.len()),
            groups: count(self.groups.len()),
        }
    }
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
    /// Keeps up with interventions and groups that were written. What has only left the state stays in its table as it was.
    pub(super) fn note_open(&mut self, changes: &Changes) {
        for one in changes.interventions.values().flatten() {
            if let Some(open) = self.open.get_mut(&one.supervisor) {
                open.note_intervention(one);
            }
        }
        for one in changes.groups.values().flatten() {
            if let Some(open) = self.open.get_mut(&one.supervisor) {
                open.note_group(one);
            }
        }
    }

    /// How much is open of a supervisor. Read from the tables once: there may be thousands of each, and they are written with nearly every record.
    fn counts(&mut self, tx: &Connection, supervisor: &SupervisorId) -> Result<Counts> {
        if let Some(open) = self.open.get(supervisor) {
            return Ok(open.counts());
        }
        let open = Open::read(tx, supervisor)?;
        let counts = open.counts();
        self.open.insert(supervisor.clone(), open);
        Ok(counts)
    }

    /// Writes the counts of a supervisor that did not change itself.
    pub(super) fn set_counts(&mut self, tx: &Connection, supervisor: &SupervisorId) -> Result<()> {
        let Counts { active, pending, groups } = self.counts(tx, supervisor)?;
        tx.prepare_cached(
            "UPDATE supervisors SET health_metrics = json_set(health_metrics, '$.active_interventions', ?2,
             '$.pending_interventions', ?3, '$.open_alert_groups', ?4) WHERE id = ?1",
        )?
        .execute(params![supervisor.as_str(), active, pending, groups])
        .map(|_| ())
    }

    /// Supervisors, after interventions and groups: their counts are written with them.
    pub(super) fn write_supervisors(
        &mut self,
        tx: &Connection,
        changed: &BTreeMap<SupervisorId, Option<Supervisor>>,
    ) -> Result<()> {
        // Names are unique, and two may have changed places: what moves goes first.
        for (id, supervisor) in changed {
            let stands = supervisor.as_ref().is_some_and(|new| {
                self.supervisors.get(id).is_some_and(|old| old.parent == new.parent && old.name == new.name)
            });
            if !stands {
                tx.prepare_cached("DELETE FROM supervisors WHERE id = ?1")?.execute([id.as_str()])?;
            }
        }
        for (id, supervisor) in changed {
            match supervisor {
                Some(supervisor) => {
                    let counts = self.counts(tx, id)?;
                    let stands = self.supervisors.get(id);
                    let only_figures = stands.is_some_and(|stands| differs_in_figures(stands, supervisor));
                    if !(only_figures && write_figures(tx, supervisor, &counts)?) {
                        upsert(tx, supervisor, &counts)?;
                    }
                    if stands.is_none_or(|stands| stands.policies != supervisor.policies) {
                        assign(tx, supervisor)?;
                    }
                    self.supervisors.insert(id.clone(), supervisor.clone());
                }
                None => {
                    tx.prepare_cached("DELETE FROM supervisor_policy_assignments WHERE supervisor_id = ?1")?
                        .execute([id.as_str()])?;
                    self.open.remove(id);
                    self.supervisors.remove(id);
                }
            }
        }
        Ok(())
    }
}

fn assign(tx: &Connection, supervisor: &Supervisor) -> Result<()> {
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
    Ok(())
}

/// Whether nothing has changed but what every beat and every evaluation changes.
fn differs_in_figures(stands: &Supervisor, new: &Supervisor) -> bool {
    let Supervisor {
        id,
        name,
        description,
        origin,
        parent,
        level,
        wanted,
        status,
        config,
        config_version,
        policies: _,
        failure_reason,
        created_at,
        updated_at,
        last_heartbeat: _,
        last_policy_evaluation: _,
        begun: _,
    } = stands;
    *id == new.id
        && *name == new.name
        && *description == new.description
        && *origin == new.origin
        && *parent == new.parent
        && *level == new.level
        && *wanted == new.wanted
        && *status == new.status
        && *config == new.config
        && *config_version == new.config_version
        && *failure_reason == new.failure_reason
        && *created_at == new.created_at
        && *updated_at == new.updated_at
}

/// Writes these: no index stands on them. Gives whether the supervisor was there.
fn write_figures(tx: &Connection, supervisor: &Supervisor, counts: &Counts) -> Result<bool> {
    tx.prepare_cached("UPDATE supervisors SET last_heartbeat = ?2, health_metrics = ?3 WHERE id = ?1")?
        .execute(params![
            supervisor.id.as_str(),
            supervisor.last_heartbeat.map(utc),
            json(&metrics(supervisor, counts)),
        ])
        .map(|rows| rows > 0)
}

fn metrics<'a>(supervisor: &'a Supervisor, counts: &Counts) -> HealthMetrics<'a> {
    HealthMetrics {
        status: supervisor.status.as_str(),
        running: supervisor.status == SupervisorStatus::Active,
        active_interventions: counts.active,
        last_policy_evaluation: supervisor.last_policy_evaluation.map(utc),
        pending_interventions: counts.pending,
        open_alert_groups: counts.groups,
        interventions_last_hour: count(supervisor.begun.len()),
    }
}

fn upsert(tx: &Connection, supervisor: &Supervisor, counts: &Counts) -> Result<()> {
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
        json(&metrics(supervisor, counts)),
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
