//! Agents. `supervised_processes` and `heartbeat_state` are views of them.

use std::collections::BTreeMap;

use hb_core::ids::{AgentId, TeamId};
use hb_core::supervise::agent::Agent;
use rusqlite::{Connection, Result, params};

use super::{json, word};
use crate::sqlite::{int, utc};

pub(super) fn write(tx: &Connection, changed: &BTreeMap<AgentId, Option<Agent>>) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO agents (id, agent_name, agent_type, kind, phase_id, status, wanted, capabilities, capacity,
         health_status, tags, last_heartbeat, sequence_number, last_expected_sequence, consecutive_missed_heartbeats,
         anomaly_score, consecutive_anomalous_readings, metadata, registered_by, team_id, incarnation, restart_count, doc)
         VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
         ON CONFLICT (id) DO UPDATE SET agent_type = excluded.agent_type, kind = excluded.kind,
         phase_id = excluded.phase_id, status = excluded.status, wanted = excluded.wanted,
         capabilities = excluded.capabilities, capacity = excluded.capacity, health_status = excluded.health_status,
         tags = excluded.tags, last_heartbeat = excluded.last_heartbeat, sequence_number = excluded.sequence_number,
         last_expected_sequence = excluded.last_expected_sequence,
         consecutive_missed_heartbeats = excluded.consecutive_missed_heartbeats, anomaly_score = excluded.anomaly_score,
         consecutive_anomalous_readings = excluded.consecutive_anomalous_readings, metadata = excluded.metadata,
         registered_by = excluded.registered_by, team_id = excluded.team_id, incarnation = excluded.incarnation,
         restart_count = excluded.restart_count, doc = excluded.doc",
    )?;
    for (id, agent) in changed {
        let Some(agent) = agent else {
            tx.prepare_cached("DELETE FROM agents WHERE id = ?1")?.execute([id.as_str()])?;
            continue;
        };
        let spec = &agent.spec;
        insert.execute(params![
            id.as_str(),
            word(&spec.role),
            spec.kind().as_str(),
            spec.phase,
            agent.lifecycle.as_str(),
            word(&agent.wanted),
            json(&spec.capabilities),
            spec.capacity,
            agent.health().as_str(),
            json(&spec.tags),
            agent.beats.last.map(utc),
            agent.beats.sequence.map(int),
            agent.beats.sequence.map(|sequence| int(sequence.saturating_add(1))),
            agent.beats.missed,
            agent.anomaly.score,
            agent.anomaly.consecutive,
            json(&spec.metadata),
            word(&agent.origin),
            agent.team.as_ref().map(TeamId::as_str),
            int(agent.incarnation),
            int(agent.restarts.total),
            json(agent),
        ])?;
    }
    Ok(())
}
