//! `supervisor.db`: every record decoded and chained, and the tables against what the records say.
//!
//! The tables are made again in memory, from the newest snapshot and what follows it, and compared row by row. What history tells
//! of before the oldest record that stands has nothing to be compared with: there it is only looked at for gaps.

use std::collections::BTreeMap;
use std::path::Path;

use hb_core::ids::Seq;
use hb_core::journal::ChainCheck;
use hb_core::supervise::state::Sealed;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{Finding, Findings, StreamReport, ViewReport};
use crate::journal::sqlite::{IsSnapshot, Rows};
use crate::sqlite::{self, OpenError, natural};
use crate::supervisor::restore::{decode, snapshot_of, start};
use crate::supervisor::schema::{HISTORY_TABLES, SCHEMA, STATE_TABLES};
use crate::supervisor::tables::Tables;
use crate::supervisor::{applied, stream_of};

const COPY: &str = "restore the file from a copy, or see docs/ops/repair.md";
const TABLES: &str = "the records are sound: hb makes the tables again from them (docs/ops/repair.md)";

/// What was found in the file.
pub(super) struct Found {
    pub(super) stream: Option<StreamReport>,
    pub(super) view: ViewReport,
}

/// Looks at the whole file. A writer may be at work: all is read as of one moment.
pub(super) fn verify(path: &Path) -> Found {
    let view = ViewReport { view: "supervisor", file: path.to_path_buf(), checked: 0, findings: Findings::default() };
    let mut looking = Looking { path, stream: None, view, broken: false };
    let connection = match sqlite::open_to_read(path, &SCHEMA) {
        Ok(connection) => connection,
        Err(error) => {
            looking.fault(&told(&error));
            return looking.found();
        }
    };
    if let Err(error) = looking.run(&connection) {
        looking.fault(&told(&OpenError::of(path, &error)));
    }
    looking.found()
}

/// Without the file's name, which the finding has.
fn told(error: &OpenError) -> String {
    let text = error.to_string();
    let name = format!("{} ", error.path.display());
    text.strip_prefix(&name).map_or(text.clone(), str::to_owned)
}

struct Looking<'a> {
    path: &'a Path,
    stream: Option<StreamReport>,
    view: ViewReport,
    /// A record is damaged or missing from the newest snapshot on: there is nothing to compare tables with.
    broken: bool,
}

impl Looking<'_> {
    fn found(self) -> Found {
        Found { stream: self.stream, view: self.view }
    }

    fn fault(&mut self, text: &str) {
        self.view.findings.push(Finding::fault(self.path, text));
    }

    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let tx = connection.unchecked_transaction()?;
        let mut check = tx.prepare("PRAGMA integrity_check(20)")?;
        let said = check.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        for line in said.into_iter().filter(|line| line != "ok") {
            self.fault(&format!("SQLite finds it damaged: {line}; {COPY}"));
        }
        let Some(stream) = stream_of(&tx)? else { return Ok(()) };
        let rows = Rows(&tx, &stream);
        let from = start(rows)?.seq;
        let memory = Connection::open_in_memory()?;
        SCHEMA.migrations.iter().try_for_each(|sql| memory.execute_batch(sql))?;
        let building = memory.unchecked_transaction()?;
        self.records(rows, (from, &building))?;
        self.reaches(rows)?;
        if !self.broken {
            self.compare(&tx, &building)?;
        }
        self.gaps(&tx)
    }

    /// Every record, each told to the tables in memory.
    fn records(&mut self, rows: Rows<'_>, (from, memory): (Seq, &Connection)) -> rusqlite::Result<()> {
        let floor = rows.floor()?;
        let findings = Findings::default();
        let mut report = StreamReport { stream: rows.1.clone(), records: 0, floor, first: None, head: None, findings };
        let mut query = rows.0.prepare("SELECT stream, seq, snapshot, bytes FROM journal ORDER BY stream, seq")?;
        let mut found = query.query([])?;
        let (mut check, mut expected) = (None, floor);
        let mut tables = Tables::default();
        while let Some(row) = found.next()? {
            let (stream, seq): (String, _) = (row.get(0)?, Seq(natural(row, 1)?));
            if stream != rows.1.as_str() {
                let text = format!("record {seq} belongs to another stream ({stream}); {COPY}");
                report.findings.push(Finding::fault(self.path, &text).at(seq));
                continue;
            }
            if seq < floor {
                let text = "a record below the floor; the next trim removes it";
                report.findings.push(Finding::notice(self.path, text).at(seq));
                continue;
            }
            self.missing(&mut report, (expected, seq), from);
            if expected != seq {
                check = None;
            }
            expected = seq.next();
            report.first = report.first.or(Some(seq));
            report.head = Some(seq);
            let one = self.record(&mut report, row, (&mut check, from))?;
            if let Some(one) = one.filter(|_| !self.broken) {
                tell(&mut tables, memory, &one, from)?;
            }
        }
        self.stream = Some(report);
        Ok(())
    }

    fn missing(&mut self, report: &mut StreamReport, (mut expected, seq): (Seq, Seq), from: Seq) {
        while expected < seq {
            let text = format!("stream {}: the record is missing although later ones stand; {COPY}", report.stream);
            report.findings.push(Finding::fault(self.path, &text).at(expected));
            self.broken = self.broken || expected >= from;
            expected = expected.next();
        }
    }

    /// One record, if it is sound.
    fn record(
        &mut self,
        report: &mut StreamReport,
        row: &Row<'_>,
        (check, from): (&mut Option<ChainCheck>, Seq),
    ) -> rusqlite::Result<Option<Sealed>> {
        let seq = Seq(natural(row, 1)?);
        let marked = if row.get(2)? { IsSnapshot::Yes } else { IsSnapshot::No };
        let one = match decode(&report.stream, seq, row.get(3)?) {
            Ok(one) => one,
            Err(damage) => {
                report.findings.push(Finding::fault(self.path, &damage).at(seq));
                self.broken = self.broken || seq >= from;
                *check = None;
                return Ok(None);
            }
        };
        let mut link = check.unwrap_or_else(|| ChainCheck::from(seq));
        if let Err(broken) = link.push(&one) {
            let text = format!("stream {}: {broken}; one of the two was replaced: {COPY}", report.stream);
            report.findings.push(Finding::fault(self.path, &text).at(seq));
            self.broken = self.broken || seq > from;
            link = ChainCheck::after(one.head());
        }
        *check = Some(link);
        if marked != snapshot_of(&one) {
            let text = format!("stream {}: its mark as a snapshot is wrong; {COPY}", report.stream);
            report.findings.push(Finding::fault(self.path, &text).at(seq));
        }
        report.records = report.records.saturating_add(1);
        Ok(Some(one))
    }

    /// The tables name the record that they stand at.
    fn reaches(&mut self, rows: Rows<'_>) -> rusqlite::Result<()> {
        let Some(at) = applied(rows.0, rows.1)? else { return Ok(()) };
        let head = self.stream.as_ref().and_then(|report| report.head);
        let Some(report) = &mut self.stream else { return Ok(()) };
        let mut lost = head.map_or(report.floor, Seq::next);
        while lost <= at.seq {
            let text =
                format!("stream {}: the record is missing, the tables were written from it; {COPY}", report.stream);
            report.findings.push(Finding::fault(self.path, &text).at(lost));
            self.broken = true;
            lost = lost.next();
        }
        Ok(())
    }

    /// Row by row. What the records say stands in `memory`.
    fn compare(&mut self, file: &Connection, memory: &Connection) -> rusqlite::Result<()> {
        for (table, key) in STATE_TABLES.into_iter().chain([("applied", "stream")]) {
            let sql = format!("SELECT * FROM {table}");
            self.state_table(table, (all(memory, &sql, key)?, all(file, &sql, key)?));
        }
        for (table, key) in HISTORY_TABLES {
            self.history_table(file, memory, (table, key))?;
        }
        Ok(())
    }

    fn state_table(&mut self, table: &str, (said, stands): (Keyed, Keyed)) {
        self.view.checked = self.view.checked.saturating_add(u64::try_from(stands.len()).unwrap_or(u64::MAX));
        for (key, line) in &said {
            match stands.get(key) {
                Some(other) if other == line => {}
                Some(other) => {
                    let what = differs(other, line);
                    self.fault(&format!("table {table}, row {key} {what}; {TABLES}"));
                }
                None => self.fault(&format!("table {table}, row {key} is missing; {TABLES}")),
            }
        }
        for key in stands.keys().filter(|key| !said.contains_key(*key)) {
            self.fault(&format!("table {table}, row {key}: no record tells of it; {TABLES}"));
        }
    }

    fn history_table(
        &mut self,
        file: &Connection,
        memory: &Connection,
        (table, key): (&str, &str),
    ) -> rusqlite::Result<()> {
        // What was removed for room: of events and evaluations what lies before the first that stands, of the others what is over.
        let trimmed = was_trimmed(file, table)?;
        let numbered = table == "supervisor_events" || table == "supervisor_policy_evaluations";
        let first: i64 = if trimmed && numbered {
            file.query_row(&format!("SELECT coalesce(min(id), 0) FROM {table}"), [], |row| row.get(0))?
        } else {
            0
        };
        let number = if numbered { "id" } else { "number" };
        let sql = format!("SELECT * FROM {table} WHERE {number} >= ?1");
        let one = format!("SELECT * FROM {table} WHERE {key} = ?1");
        let mut query = memory.prepare(&sql)?;
        let mut found = query.query([first])?;
        while let Some(row) = found.next()? {
            self.view.checked = self.view.checked.saturating_add(1);
            let said = line(row)?;
            let id: Value = row.get(key)?;
            let stands = file.prepare_cached(&one)?.query_row([&id], line).optional()?;
            match stands {
                Some(stands) if stands == said => {}
                Some(stands) => {
                    self.fault(&format!("table {table}, row {} {}; {TABLES}", shown(&id), differs(&stands, &said)));
                }
                None if trimmed && !numbered && is_over(&said) => {}
                None => self.fault(&format!("table {table}, row {} is missing; {TABLES}", shown(&id))),
            }
        }
        Ok(())
    }

    /// Events and evaluations are numbered without gaps.
    fn gaps(&mut self, file: &Connection) -> rusqlite::Result<()> {
        for table in ["supervisor_events", "supervisor_policy_evaluations"] {
            let sql = format!("SELECT count(*), coalesce(max(id) - min(id) + 1, 0) FROM {table}");
            let (rows, span): (i64, i64) = file.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if rows != span {
                let missing = span.saturating_sub(rows);
                self.fault(&format!("table {table} lacks {missing} rows between its first and its last; {COPY}"));
            }
        }
        Ok(())
    }
}

fn was_trimmed(file: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT rows FROM history_trimmed WHERE name = ?1";
    let trimmed: Option<i64> = file.query_row(sql, [table], |row| row.get(0)).optional()?;
    Ok(trimmed.is_some_and(|rows| rows > 0))
}

/// Whether an intervention or a group of alerts is over: only then it may be removed for room.
fn is_over(line: &Line) -> bool {
    line.iter().any(|(name, value)| match (name.as_str(), value) {
        ("status", Value::Text(status)) => !["PENDING", "APPROVED", "EXECUTING", "IN_DOUBT"].contains(&status.as_str()),
        ("resolved_at", Value::Text(_)) => true,
        _ => false,
    })
}

fn tell(tables: &mut Tables, memory: &Connection, one: &Sealed, from: Seq) -> rusqlite::Result<()> {
    let record = &one.record;
    match record.seq.cmp(&from) {
        std::cmp::Ordering::Less => tables.apply_history(memory, record),
        std::cmp::Ordering::Equal => tables.apply_first(memory, record, one.hash),
        std::cmp::Ordering::Greater => tables.apply(memory, record, one.hash),
    }
}

/// A row with the names of its columns.
type Line = Vec<(String, Value)>;

/// Rows by the columns that name them.
type Keyed = BTreeMap<String, Line>;

fn all(connection: &Connection, sql: &str, key: &str) -> rusqlite::Result<Keyed> {
    let key: Vec<&str> = key.split(", ").collect();
    let named = |line: &Line| {
        let parts = key.iter().filter_map(|key| line.iter().find(|(name, _)| name == key));
        parts.map(|(_, value)| shown(value)).collect::<Vec<_>>().join(" / ")
    };
    connection.prepare(sql)?.query_map([], |row| line(row).map(|line| (named(&line), line)))?.collect()
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let names: Vec<String> = row.as_ref().column_names().map(str::to_owned).collect();
    names.into_iter().enumerate().map(|(at, name)| Ok((name, row.get(at)?))).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

fn differs(stands: &Line, said: &Line) -> String {
    let columns: Vec<&str> =
        stands.iter().zip(said).filter(|(stands, said)| stands != said).map(|((name, _), _)| name.as_str()).collect();
    format!("is not what the records say ({})", columns.join(", "))
}
