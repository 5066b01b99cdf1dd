//! What a record becomes in the tables.

use hb_core::ids::Seq;
use hb_core::node::fact::{AlertDelivered, BaselineEvent, Body, CycleDecided, Sealed};
use hb_core::watch::decision::Driver;
use hb_core::watch::summary::SeriesSummary;
use rusqlite::{Result, Statement, Transaction, params};

/// A number as SQLite holds it; positions and counts stay far below 2^63.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number out of a row.
pub(super) fn natural(row: &rusqlite::Row<'_>, at: usize) -> Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, number))
}

/// A word of an enumeration as it stands in documents.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Writes the rows of a record. Gives back how many rows of `metrics` it made.
pub(super) fn insert(tx: &Transaction<'_>, sealed: &Sealed) -> Result<u64> {
    let made = match &sealed.record.body {
        Body::CycleDecided(cycle) => insert_run(tx, sealed, cycle)?,
        Body::AlertDelivered(delivered) => insert_delivery(tx, sealed, delivered).map(|()| 0)?,
        Body::BaselineEvent(event) => insert_baseline(tx, sealed, event).map(|()| 0)?,
        Body::EpochOpened { .. } | Body::BaselineAdopted(_) | Body::EpochClosed { .. } => 0,
    };
    let record = &sealed.record;
    set_applied(tx, record.stream.as_str(), record.seq, &sealed.hash.to_string())?;
    Ok(made)
}

fn set_applied(tx: &Transaction<'_>, stream: &str, seq: Seq, hash: &str) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO applied (stream, seq, hash) VALUES (?1, ?2, ?3)")?
        .execute(params![stream, int(seq.0), hash])
        .map(|_| ())
}

fn insert_run(tx: &Transaction<'_>, sealed: &Sealed, cycle: &CycleDecided) -> Result<u64> {
    let (record, decision) = (&sealed.record, &cycle.decision);
    let baseline = decision.baseline.as_ref();
    tx.prepare_cached(
        "INSERT INTO runs (run_id, correlation_id, watch, cycle, status, headline, start_utc, end_utc, decided_utc,
         closed_by, samples, late, dropped, baseline_tag, baseline_version, baseline_hash, settings_hash, alert_key,
         seq, epoch, node, hash)
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22)",
    )?
    .execute(params![
        format!("{}/{}", cycle.watch, decision.cycle),
        cycle.digest.to_string(),
        cycle.watch.as_str(),
        int(decision.cycle.0),
        decision.status.as_str(),
        decision.headline,
        decision.span.start.to_string(),
        decision.span.end.to_string(),
        record.at.to_string(),
        word(&cycle.closed_by),
        int(decision.counts.window.samples),
        int(decision.counts.late),
        int(decision.counts.dropped()),
        baseline.map(|baseline| baseline.tag.as_str()),
        baseline.map(|baseline| baseline.version),
        baseline.map(|baseline| baseline.hash.to_string()),
        decision.settings.to_string(),
        cycle.alert.as_ref().map(|alert| alert.key.as_str()),
        int(record.seq.0),
        int(record.epoch.0),
        record.node.as_str(),
        sealed.hash.to_string(),
    ])?;
    let run = tx.last_insert_rowid();
    for (place, driver) in (0_i64..).zip(&decision.drivers) {
        insert_driver(tx, run, place, driver)?;
    }
    insert_metrics(tx, run, &decision.series.rows)?;
    Ok(u64::try_from(decision.series.rows.len()).unwrap_or(u64::MAX))
}

/// Rows of `metrics` written by one statement: it costs about as much to begin one as to write a row.
const AT_ONCE: usize = 20;
const COLUMNS: usize = 12;

fn insert_metrics(tx: &Transaction<'_>, run: i64, rows: &[SeriesSummary]) -> Result<()> {
    let (many, rest) = rows.as_chunks::<AT_ONCE>();
    if !many.is_empty() {
        let mut statement = tx.prepare_cached(&metrics_sql(AT_ONCE))?;
        for rows in many {
            bind_metrics(&mut statement, run, rows)?;
        }
    }
    if !rest.is_empty() {
        let mut statement = tx.prepare_cached(&metrics_sql(1))?;
        for row in rest {
            bind_metrics(&mut statement, run, std::slice::from_ref(row))?;
        }
    }
    Ok(())
}

fn metrics_sql(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS].join(","));
    format!(
        "INSERT INTO metrics (run, metric, n, mean, sd, min, max, first, last, increase, not_finite, unit_faults)
         VALUES {}",
        vec![row; rows].join(",")
    )
}

fn bind_metrics(statement: &mut Statement<'_>, run: i64, rows: &[SeriesSummary]) -> Result<()> {
    for (row, first) in rows.iter().zip((1..).step_by(COLUMNS)) {
        statement.raw_bind_parameter(first, run)?;
        statement.raw_bind_parameter(first + 1, &*row.name)?;
        statement.raw_bind_parameter(first + 2, row.n)?;
        let figures = [row.mean, row.sd, row.min, row.max, row.first, row.last, row.increase];
        for (figure, place) in figures.into_iter().zip(first + 3..) {
            statement.raw_bind_parameter(place, figure)?;
        }
        statement.raw_bind_parameter(first + 10, row.not_finite)?;
        statement.raw_bind_parameter(first + 11, row.unit_faults)?;
    }
    statement.raw_execute().map(|_| ())
}

fn insert_driver(tx: &Transaction<'_>, run: i64, place: i64, driver: &Driver) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO drivers (run, place, metric, rule, severity, direction, unit, current, baseline, delta, percent,
         sigmas, p, bound, onset_cycle, onset_utc, persistence, score, reason, next)
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20)",
    )?
    .execute(params![
        run,
        place,
        driver.series,
        driver.rule.as_str(),
        word(&driver.severity),
        word(&driver.direction),
        driver.unit,
        driver.current,
        driver.baseline,
        driver.delta,
        driver.percent,
        driver.sigmas,
        driver.p,
        driver.limit,
        int(driver.onset.0),
        driver.onset_utc.to_string(),
        driver.persistence,
        driver.score,
        driver.reason,
        driver.next,
    ])
    .map(|_| ())
}

fn insert_delivery(tx: &Transaction<'_>, sealed: &Sealed, delivered: &AlertDelivered) -> Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO deliveries (stream, cycle, sink, tries, given_up, at_utc) VALUES (?1,?2,?3,?4,?5,?6)",
    )?
    .execute(params![
        sealed.record.stream.as_str(),
        int(delivered.cycle.0),
        delivered.sink,
        delivered.tries,
        delivered.given_up,
        sealed.record.at.to_string(),
    ])
    .map(|_| ())
}

/// One step on a baseline's way into force.
struct Step<'a> {
    version: u32,
    event: &'static str,
    person: &'a str,
    reason: &'a str,
    forced: String,
}

fn insert_baseline(tx: &Transaction<'_>, sealed: &Sealed, event: &BaselineEvent) -> Result<()> {
    let at = sealed.record.at.to_string();
    let stream = sealed.record.stream.as_str();
    let plain = |version, event, person, reason| Step { version, event, person, reason, forced: String::new() };
    match event {
        BaselineEvent::Learned { baseline, provenance, series, gates } => tx
            .prepare_cached(
                "INSERT OR REPLACE INTO baselines (stream, tag, version, hash, origin, learned_by, start_utc, end_utc,
                 windows, samples, series, gates, learned_utc) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
            )?
            .execute(params![
                stream,
                baseline.tag,
                baseline.version,
                baseline.hash.to_string(),
                provenance.from,
                provenance.by,
                provenance.span.start.to_string(),
                provenance.span.end.to_string(),
                provenance.windows,
                int(provenance.samples),
                int(*series),
                serde_json::to_string(gates).unwrap_or_default(),
                at,
            ])
            .map(|_| ()),
        BaselineEvent::Requested { version, by, reason } => {
            insert_step(tx, sealed, &plain(*version, "requested", by, reason))
        }
        BaselineEvent::Approved { version, by, reason } => {
            insert_step(tx, sealed, &plain(*version, "approved", by, reason))
        }
        BaselineEvent::Promoted { baseline, by, reason, forced } => {
            let mut step = plain(baseline.version, "promoted", by, reason);
            step.forced = forced.join(", ");
            tx.execute(
                "UPDATE baselines SET promoted_utc = ?3 WHERE stream = ?1 AND version = ?2",
                params![stream, baseline.version, at],
            )?;
            insert_step(tx, sealed, &step)
        }
    }
}

fn insert_step(tx: &Transaction<'_>, sealed: &Sealed, step: &Step<'_>) -> Result<()> {
    let record = &sealed.record;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO approvals (stream, seq, version, event, person, reason, forced, at_utc)
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8)",
    )?
    .execute(params![
        record.stream.as_str(),
        int(record.seq.0),
        step.version,
        step.event,
        step.person,
        step.reason,
        step.forced,
        record.at.to_string(),
    ])
    .map(|_| ())
}
