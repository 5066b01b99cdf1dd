//! The tables of `supervisor.db`. What the columns mean stands in `docs/formats/supervisor-db.md`.

use crate::journal::sqlite::JOURNAL_TABLES;
use crate::sqlite::Schema;

/// `hbsv` in ASCII stands in the file's head.
pub(crate) const SCHEMA: Schema =
    Schema { application: 0x6862_7376, name: "a supervisor's", migrations: &[JOURNAL_TABLES, TABLES, ACKNOWLEDGED] };

/// Tables whose rows the records since the newest snapshot determine wholly, with the order in which they are compared.
pub(crate) const STATE_TABLES: [(&str, &str); 9] = [
    ("supervisors", "id"),
    ("supervisor_teams", "id"),
    ("supervisor_team_members", "team_id, agent_id, joined_at"),
    ("supervisor_policy_versions", "name, version"),
    ("supervisor_policy_figures", "name"),
    ("supervisor_policy_assignments", "supervisor_id, policy_id"),
    ("agents", "id"),
    ("supervisor_notifications", "key"),
    ("supervisor_cursors", "watch"),
];

/// Tables that also keep what has left the state, with the column that names a row.
pub(crate) const HISTORY_TABLES: [(&str, &str); 4] = [
    ("supervisor_interventions", "id"),
    ("supervisor_alert_groups", "id"),
    ("supervisor_policy_evaluations", "id"),
    ("supervisor_events", "id"),
];

/// Who has taken note of an event, and when.
const ACKNOWLEDGED: &str = "
ALTER TABLE supervisor_events ADD COLUMN acknowledged_by TEXT;
ALTER TABLE supervisor_events ADD COLUMN acknowledged_at TEXT;
";

const TABLES: &str = "
CREATE TABLE supervisors (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, status TEXT NOT NULL, wanted TEXT NOT NULL,
  config TEXT NOT NULL, config_version INTEGER NOT NULL, parent_id TEXT, hierarchy_level INTEGER NOT NULL,
  policy_version INTEGER, origin TEXT NOT NULL, failure_reason TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
  last_heartbeat TEXT, health_metrics TEXT NOT NULL);
CREATE UNIQUE INDEX supervisors_name ON supervisors (coalesce(parent_id, ''), name);
CREATE INDEX supervisors_status ON supervisors (status);
CREATE INDEX supervisors_parent ON supervisors (parent_id);
CREATE INDEX supervisors_level ON supervisors (hierarchy_level);

CREATE TABLE supervisor_teams (
  id TEXT PRIMARY KEY, supervisor_id TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
  objective TEXT NOT NULL, config TEXT NOT NULL DEFAULT '{}', origin TEXT NOT NULL, UNIQUE (supervisor_id, name));
CREATE TABLE supervisor_team_members (
  team_id TEXT NOT NULL, agent_id TEXT NOT NULL, role TEXT NOT NULL, joined_at TEXT NOT NULL, left_at TEXT,
  metadata TEXT NOT NULL, PRIMARY KEY (team_id, agent_id, joined_at)) WITHOUT ROWID;
CREATE UNIQUE INDEX supervisor_team_members_open ON supervisor_team_members (agent_id) WHERE left_at IS NULL;

CREATE TABLE supervisor_policy_versions (
  name TEXT NOT NULL, version INTEGER NOT NULL, description TEXT NOT NULL, policy_type TEXT NOT NULL,
  definition TEXT NOT NULL, variables TEXT NOT NULL, created_by TEXT NOT NULL, created_at TEXT NOT NULL,
  dangerous INTEGER NOT NULL, approved_by TEXT, UNIQUE (name, version));
CREATE TABLE supervisor_policy_figures (
  name TEXT PRIMARY KEY, origin TEXT NOT NULL, active INTEGER, variables TEXT NOT NULL,
  effectiveness_score REAL NOT NULL, total_evaluations INTEGER NOT NULL, matches INTEGER NOT NULL,
  successful_evaluations INTEGER NOT NULL, held TEXT) WITHOUT ROWID;
CREATE VIEW supervisor_policies AS
  SELECT v.name || '@' || v.version AS id, v.name, v.version, v.description, v.policy_type, v.definition,
    CASE WHEN f.active = v.version THEN f.variables ELSE v.variables END AS variables,
    f.effectiveness_score, f.total_evaluations, f.matches, f.successful_evaluations, v.created_by, v.created_at,
    coalesce(f.active = v.version, 0) AS is_active, v.dangerous, v.approved_by, f.origin, f.held
  FROM supervisor_policy_versions v JOIN supervisor_policy_figures f ON f.name = v.name;
CREATE TABLE supervisor_policy_assignments (
  supervisor_id TEXT NOT NULL, policy_id TEXT NOT NULL, priority INTEGER NOT NULL, enabled_at TEXT NOT NULL,
  disabled_at TEXT, PRIMARY KEY (supervisor_id, policy_id)) WITHOUT ROWID;
CREATE TABLE supervisor_policy_evaluations (
  id INTEGER PRIMARY KEY, supervisor_id TEXT NOT NULL, policy_id TEXT NOT NULL, policy_version INTEGER NOT NULL,
  agent_id TEXT, trigger_event TEXT NOT NULL, context TEXT NOT NULL, decision INTEGER NOT NULL,
  action_taken TEXT NOT NULL, interventions TEXT NOT NULL, evaluation_duration_ms REAL, decision_path TEXT NOT NULL,
  created_at TEXT NOT NULL);
CREATE INDEX supervisor_policy_evaluations_supervisor ON supervisor_policy_evaluations (supervisor_id, created_at DESC);
CREATE INDEX supervisor_policy_evaluations_agent ON supervisor_policy_evaluations (agent_id, id) WHERE agent_id IS NOT NULL;

CREATE TABLE supervisor_interventions (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, supervisor_id TEXT NOT NULL, intervention_type TEXT NOT NULL,
  target_type TEXT NOT NULL, target_id TEXT NOT NULL, reason TEXT NOT NULL, action_details TEXT NOT NULL,
  status TEXT NOT NULL, approval_required INTEGER NOT NULL, approved_by TEXT, approved_at TEXT, executed_at TEXT,
  completed_at TEXT, error_message TEXT, outcome TEXT, created_at TEXT NOT NULL, requested_by TEXT NOT NULL,
  policy_id TEXT, doc TEXT NOT NULL);
CREATE INDEX supervisor_interventions_number ON supervisor_interventions (number);
CREATE INDEX supervisor_interventions_supervisor ON supervisor_interventions (supervisor_id, number);
CREATE INDEX supervisor_interventions_target ON supervisor_interventions (target_id, number);
CREATE INDEX supervisor_interventions_open ON supervisor_interventions (supervisor_id, status)
  WHERE status IN ('PENDING', 'APPROVED', 'EXECUTING', 'IN_DOUBT');

CREATE TABLE supervisor_alert_groups (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, supervisor_id TEXT NOT NULL, group_key TEXT NOT NULL,
  concern TEXT NOT NULL, severity TEXT NOT NULL, alert_count INTEGER NOT NULL, alert_ids TEXT NOT NULL,
  affected_agents TEXT NOT NULL, correlation_summary TEXT NOT NULL, first_alert_at TEXT NOT NULL,
  last_alert_at TEXT NOT NULL, resolved_at TEXT, evaluated INTEGER NOT NULL);
CREATE INDEX supervisor_alert_groups_number ON supervisor_alert_groups (number);
CREATE INDEX supervisor_alert_groups_open ON supervisor_alert_groups (supervisor_id, number) WHERE resolved_at IS NULL;

CREATE TABLE agents (
  id TEXT PRIMARY KEY, agent_name TEXT NOT NULL, agent_type TEXT NOT NULL, kind TEXT NOT NULL, phase_id TEXT,
  status TEXT NOT NULL, wanted TEXT NOT NULL, capabilities TEXT NOT NULL, capacity INTEGER NOT NULL,
  health_status TEXT NOT NULL, tags TEXT NOT NULL, last_heartbeat TEXT, sequence_number INTEGER,
  last_expected_sequence INTEGER, consecutive_missed_heartbeats INTEGER NOT NULL, anomaly_score REAL NOT NULL,
  consecutive_anomalous_readings INTEGER NOT NULL, metadata TEXT NOT NULL, registered_by TEXT NOT NULL,
  team_id TEXT, incarnation INTEGER NOT NULL, restart_count INTEGER NOT NULL, doc TEXT NOT NULL);
CREATE INDEX agents_status ON agents (status);
CREATE VIEW supervised_processes AS
  SELECT id,
    CASE agent_type WHEN 'worker' THEN 'worker' WHEN 'guardian' THEN 'supervisor' ELSE 'monitoring_loop' END AS process_type,
    coalesce(doc ->> '$.process.alive.identity.pid', doc ->> '$.process.stopping.identity.pid') AS pid,
    doc ->> '$.spec.process.command[0]' AS command, doc -> '$.spec.process.command' AS args,
    CASE
      WHEN doc -> '$.process.stopping' IS NOT NULL THEN 'stopping'
      WHEN status = 'SPAWNING' THEN 'starting'
      WHEN status IN ('IDLE', 'RUNNING', 'DEGRADED') THEN 'running'
      WHEN status = 'FAILED' AND doc -> '$.exit' IS NOT NULL THEN 'crashed'
      WHEN status = 'FAILED' THEN 'failed'
      ELSE 'stopped' END AS status,
    coalesce(doc ->> '$.process.alive.since', doc ->> '$.since') AS start_time,
    last_heartbeat, restart_count, doc ->> '$.restarts.recent[#-1]' AS last_restart_time,
    CASE health_status WHEN 'healthy' THEN 'healthy' WHEN 'stale' THEN 'degraded' WHEN 'degraded' THEN 'degraded'
      ELSE 'unhealthy' END AS health_status,
    '{}' AS resource_metrics, doc -> '$.spec' AS config
  FROM agents WHERE kind = 'process';
CREATE VIEW heartbeat_state AS
  SELECT id AS agent_id, last_heartbeat, sequence_number, last_expected_sequence, consecutive_missed_heartbeats,
    doc ->> '$.beats.received' AS received, doc ->> '$.beats.duplicates' AS duplicates, doc ->> '$.beats.gaps' AS gaps
  FROM agents WHERE last_heartbeat IS NOT NULL OR sequence_number IS NOT NULL;

CREATE TABLE supervisor_events (
  id INTEGER PRIMARY KEY, event_type TEXT NOT NULL, severity TEXT NOT NULL, process_id TEXT, supervisor_id TEXT,
  team_id TEXT, policy_id TEXT, intervention_id TEXT, group_id TEXT, caused_by TEXT NOT NULL, message TEXT NOT NULL,
  details TEXT NOT NULL, timestamp TEXT NOT NULL);
CREATE INDEX supervisor_events_process ON supervisor_events (process_id, id) WHERE process_id IS NOT NULL;
CREATE INDEX supervisor_events_supervisor ON supervisor_events (supervisor_id, id) WHERE supervisor_id IS NOT NULL;
CREATE INDEX supervisor_events_intervention ON supervisor_events (intervention_id, id) WHERE intervention_id IS NOT NULL;
CREATE INDEX supervisor_events_severe ON supervisor_events (id) WHERE severity IN ('ERROR', 'CRITICAL');

CREATE TABLE supervisor_notifications (key TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE supervisor_cursors (watch TEXT PRIMARY KEY, seq INTEGER NOT NULL, cycle INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE applied (
  stream TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL, epoch INTEGER NOT NULL, node TEXT NOT NULL,
  ended TEXT, counters TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE set_aside (stream TEXT NOT NULL, seq INTEGER NOT NULL, bytes BLOB NOT NULL, at_utc TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')));
CREATE TABLE history_trimmed (name TEXT PRIMARY KEY, rows INTEGER NOT NULL) WITHOUT ROWID;
";
