//! The tables of `runs.db`, as ordered migrations.
//!
//! **Invariants.** A migration, once released, never changes; a new one is added at the end. Each runs in one transaction
//! together with the note that it has run, behind a lock that lets one process at a time do so.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// Marks the file as one of `hb`: `hbdb` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x6862_6462;

/// Every migration, in order; version n is the n-th.
pub(super) const MIGRATIONS: &[&str] = &["
CREATE TABLE applied (stream TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, correlation_id TEXT NOT NULL,
  watch TEXT NOT NULL, cycle INTEGER NOT NULL, status TEXT NOT NULL, headline TEXT NOT NULL,
  start_utc TEXT NOT NULL, end_utc TEXT NOT NULL, decided_utc TEXT NOT NULL, closed_by TEXT NOT NULL,
  samples INTEGER NOT NULL, late INTEGER NOT NULL, dropped INTEGER NOT NULL,
  baseline_tag TEXT, baseline_version INTEGER, baseline_hash TEXT, settings_hash TEXT NOT NULL,
  alert_key TEXT, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, node TEXT NOT NULL, hash TEXT NOT NULL,
  UNIQUE (watch, cycle));
CREATE TABLE metrics (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, metric TEXT NOT NULL, n INTEGER NOT NULL,
  mean REAL, sd REAL, min REAL, max REAL, first REAL, last REAL, increase REAL,
  not_finite INTEGER NOT NULL, unit_faults INTEGER NOT NULL, PRIMARY KEY (run, metric)) WITHOUT ROWID;
CREATE TABLE drivers (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, place INTEGER NOT NULL, metric TEXT NOT NULL,
  rule TEXT NOT NULL, severity TEXT NOT NULL, direction TEXT NOT NULL, unit TEXT NOT NULL,
  current REAL, baseline REAL, delta REAL, percent REAL, sigmas REAL, p REAL, bound REAL,
  onset_cycle INTEGER NOT NULL, onset_utc TEXT NOT NULL, persistence INTEGER NOT NULL, score REAL NOT NULL,
  reason TEXT NOT NULL, next TEXT NOT NULL, PRIMARY KEY (run, place)) WITHOUT ROWID;
CREATE TABLE baselines (
  stream TEXT NOT NULL, tag TEXT NOT NULL, version INTEGER NOT NULL, hash TEXT NOT NULL, origin TEXT NOT NULL, learned_by TEXT NOT NULL,
  start_utc TEXT NOT NULL, end_utc TEXT NOT NULL, windows INTEGER NOT NULL, samples INTEGER NOT NULL,
  series INTEGER NOT NULL, gates TEXT NOT NULL, learned_utc TEXT NOT NULL, promoted_utc TEXT,
  PRIMARY KEY (stream, version)) WITHOUT ROWID;
CREATE TABLE approvals (
  stream TEXT NOT NULL, seq INTEGER NOT NULL, version INTEGER NOT NULL, event TEXT NOT NULL,
  person TEXT NOT NULL, reason TEXT NOT NULL, forced TEXT NOT NULL, at_utc TEXT NOT NULL,
  PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE deliveries (
  stream TEXT NOT NULL, cycle INTEGER NOT NULL, sink TEXT NOT NULL, tries INTEGER NOT NULL, given_up TEXT,
  at_utc TEXT NOT NULL, PRIMARY KEY (stream, cycle, sink)) WITHOUT ROWID;
"];

/// What stands in a file before it is used.
pub(super) enum Version {
    /// Nothing: a new file.
    Empty,
    /// Ours, of that version.
    Ours(i64),
    /// Tables, but not ours.
    Foreign,
}

/// Reads which version stands there.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<Version> {
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Version::Empty);
    }
    if id != APPLICATION_ID {
        return Ok(Version::Foreign);
    }
    let newest = connection.query_row("SELECT max(version) FROM migrations", [], |row| row.get::<_, Option<i64>>(0));
    Ok(Version::Ours(newest.optional()?.flatten().unwrap_or(0)))
}

/// Runs what has not been run yet.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    // Immediate: of two processes on a new file the second waits, then finds nothing left to do.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}"))?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, at_utc TEXT NOT NULL DEFAULT (datetime('now')))",
    )?;
    let done: i64 = transaction.query_row("SELECT coalesce(max(version), 0) FROM migrations", [], |row| row.get(0))?;
    for (version, sql) in (1_i64..).zip(MIGRATIONS) {
        if version > done {
            transaction.execute_batch(sql)?;
            transaction.execute("INSERT INTO migrations (version) VALUES (?1)", [version])?;
        }
    }
    transaction.commit()
}

/// Version that this program knows.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}
