//! Reading beside the writer, or when none is running: pages of history, rows of the tables, the state as it was last recorded.
//!
//! **Invariants.** Nothing is changed, and nobody is waited for or kept waiting: each answer is of one moment, at most a page long.

mod filter;
pub(crate) mod fuzzing;
mod rows;

use std::path::{Path, PathBuf};

use hb_core::ids::{AgentId, GroupId, InterventionId};
use hb_core::supervise::agent::Agent;
use hb_core::supervise::alert::AlertGroup;
use hb_core::supervise::event::Event;
use hb_core::supervise::history::{EvaluationFilter, EventFilter, GroupFilter, InterventionFilter, PAGE_MAX, Page};
use hb_core::supervise::intervention::Intervention;
use hb_core::supervise::policy::Evaluation;
use hb_core::supervise::state::Fold;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row};

pub use rows::{Counts, SupervisorRow};

use super::schema::SCHEMA;
use super::{restore, stream_of};
use crate::journal::sqlite::Rows;
use crate::port::JournalError;
use crate::sqlite::{self, OpenError, int};
use filter::{Conditions as _, Where};

/// A connection that only reads.
#[derive(Debug)]
pub struct SupervisorReader {
    path: PathBuf,
    connection: Connection,
}

impl SupervisorReader {
    /// Opens the file for reading; a writer may be at work.
    ///
    /// # Errors
    /// As [`super::SupervisorDb::open`]; also when the file is missing, or has to be brought up to date first.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { path: path.to_path_buf(), connection: sqlite::open_to_read(path, &SCHEMA)? })
    }

    /// The state as it was last recorded, from the records, each checked. Empty when there is none yet.
    ///
    /// # Errors
    /// As [`super::SupervisorDb::restore`].
    pub fn state(&self) -> Result<Fold, JournalError> {
        let mut fold = Fold::default();
        let tx = self.connection.unchecked_transaction().map_err(|error| self.unread(&error))?;
        if let Some(stream) = stream_of(&tx).map_err(|error| self.unread(&error))? {
            restore::read_back(&self.path, Rows(&tx, &stream), &mut |sealed| fold.push(sealed))?;
        }
        Ok(fold)
    }

    /// Events, a page of them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn events(&self, filter: &EventFilter, page: Page) -> Result<Vec<Event>, JournalError> {
        self.page("supervisor_events", "id", (filter.conditions(), page), rows::event)
    }

    /// One event.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn event(&self, id: u64) -> Result<Option<Event>, JournalError> {
        self.one("supervisor_events", Value::Integer(int(id)), rows::event)
    }

    /// Evaluations, a page of them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn evaluations(&self, filter: &EvaluationFilter, page: Page) -> Result<Vec<Evaluation>, JournalError> {
        self.page("supervisor_policy_evaluations", "id", (filter.conditions(), page), rows::evaluation)
    }

    /// One evaluation.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn evaluation(&self, id: u64) -> Result<Option<Evaluation>, JournalError> {
        self.one("supervisor_policy_evaluations", Value::Integer(int(id)), rows::evaluation)
    }

    /// Interventions, a page of them; the page counts by the number in `i-NUMBER`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn interventions(&self, filter: &InterventionFilter, page: Page) -> Result<Vec<Intervention>, JournalError> {
        self.page("supervisor_interventions", "number", (filter.conditions(), page), |row| rows::document(row, "doc"))
    }

    /// One intervention.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn intervention(&self, id: &InterventionId) -> Result<Option<Intervention>, JournalError> {
        self.one("supervisor_interventions", Value::Text(id.to_string()), |row| rows::document(row, "doc"))
    }

    /// Groups of alerts, a page of them; the page counts by the number in `g-NUMBER`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn groups(&self, filter: &GroupFilter, page: Page) -> Result<Vec<AlertGroup>, JournalError> {
        self.page("supervisor_alert_groups", "number", (filter.conditions(), page), rows::group)
    }

    /// One group of alerts.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn group(&self, id: &GroupId) -> Result<Option<AlertGroup>, JournalError> {
        self.one("supervisor_alert_groups", Value::Text(id.to_string()), rows::group)
    }

    /// Agents after one, by name, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn agents(&self, after: Option<&AgentId>, limit: usize) -> Result<Vec<Agent>, JournalError> {
        let sql = "SELECT doc FROM agents WHERE ?1 IS NULL OR id > ?1 ORDER BY id LIMIT ?2";
        let values = [
            after.map_or(Value::Null, |id| Value::Text(id.to_string())),
            Value::Integer(sqlite::count(limit.clamp(1, PAGE_MAX))),
        ];
        self.query(sql, values.into(), |row| rows::document(row, "doc"))
    }

    /// One agent.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn agent(&self, id: &AgentId) -> Result<Option<Agent>, JournalError> {
        self.one("agents", Value::Text(id.to_string()), |row| rows::document(row, "doc"))
    }

    /// Supervisors as they stand in their table, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn supervisors(&self) -> Result<Vec<SupervisorRow>, JournalError> {
        self.query("SELECT * FROM supervisors ORDER BY id", Vec::new(), rows::supervisor)
    }

    /// How many there are of everything.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn counts(&self) -> Result<Counts, JournalError> {
        rows::counts(&self.connection).map_err(|error| self.unread(&error))
    }

    fn page<T>(
        &self,
        table: &str,
        number: &str,
        (mut conditions, page): (Where, Page),
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        let order = conditions.page(number, page);
        let sql = format!("SELECT * FROM {table}{} {order}", conditions.sql());
        self.query(&sql, conditions.into_values(), map)
    }

    fn one<T>(
        &self,
        table: &str,
        id: Value,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, JournalError> {
        let query = self.connection.prepare_cached(&format!("SELECT * FROM {table} WHERE id = ?1"));
        let found = query.and_then(|mut query| query.query_row([id], map).optional());
        found.map_err(|error| self.unread(&error))
    }

    fn query<T>(
        &self,
        sql: &str,
        values: Vec<Value>,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        let query = self.connection.prepare_cached(sql);
        let found = query.and_then(|mut query| query.query_map(rusqlite::params_from_iter(values), map)?.collect());
        found.map_err(|error| self.unread(&error))
    }

    fn unread(&self, error: &rusqlite::Error) -> JournalError {
        sqlite::unread(&self.path, error)
    }
}
