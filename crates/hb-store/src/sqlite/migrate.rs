//! Tables as ordered migrations, each with the checksum of its text.
//!
//! **Invariants.** A migration, once released, never changes; a new one is added at the end. Each runs in one transaction together with
//! the note that it has run, behind a lock that lets one process at a time do so. A file with a migration that this program
//! does not know, or knows differently, is refused.

use std::path::Path;

use hb_core::journal::Hash;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::{OpenError, Trouble};

/// What a kind of database is made of.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Stands in the file's head (`PRAGMA application_id`).
    pub(crate) application: i32,
    /// What it is, for messages.
    pub(crate) name: &'static str,
    /// Every migration, in order; version n is the n-th.
    pub(crate) migrations: &'static [&'static str],
}

/// What stands in a file before it is used.
#[derive(Debug, PartialEq)]
enum Found {
    /// Nothing: a new file.
    Empty,
    /// Ours, with these migrations: version and checksum.
    Ours(Vec<(i64, String)>),
    /// Tables, but not ours.
    Foreign,
}

impl Schema {
    /// In one transaction: others may be making the file at this moment.
    fn find(&self, connection: &Connection) -> rusqlite::Result<Found> {
        if connection.is_autocommit() {
            self.find_in(&*connection.unchecked_transaction()?)
        } else {
            self.find_in(connection)
        }
    }

    fn find_in(&self, connection: &Connection) -> rusqlite::Result<Found> {
        let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            return Ok(Found::Empty);
        }
        if id != self.application {
            return Ok(Found::Foreign);
        }
        let noted = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'";
        if connection.query_row(noted, [], |_| Ok(())).optional()?.is_none() {
            return Ok(Found::Foreign);
        }
        let mut query = connection.prepare("SELECT version, checksum FROM migrations ORDER BY version")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Found::Ours(rows.collect::<rusqlite::Result<_>>()?))
    }

    /// Refuses what is not ours, is newer, or was made differently. A new file is fine.
    pub(crate) fn accept(&self, path: &Path, connection: &Connection) -> Result<(), OpenError> {
        match self.find(connection).map_err(|error| OpenError::of(path, &error))? {
            Found::Empty => Ok(()),
            Found::Foreign => {
                let what = format!("is a database of another program, not {}", self.name);
                Err(OpenError::new(Trouble::Foreign, path, what))
            }
            Found::Ours(done) => self.check(path, &done),
        }
    }

    /// The same for a reader, who cannot make or change tables: it has to be complete.
    pub(crate) fn accept_whole(&self, path: &Path, connection: &Connection) -> Result<(), OpenError> {
        self.accept(path, connection)?;
        let done = match self.find(connection).map_err(|error| OpenError::of(path, &error))? {
            Found::Ours(done) => done.len(),
            Found::Empty | Found::Foreign => 0,
        };
        if done == self.migrations.len() {
            return Ok(());
        }
        let what = format!("has schema version {done}, this program reads {}: start hb once", self.migrations.len());
        Err(OpenError::new(Trouble::MissingFile, path, what))
    }

    fn check(&self, path: &Path, done: &[(i64, String)]) -> Result<(), OpenError> {
        let known = i64::try_from(self.migrations.len()).unwrap_or(i64::MAX);
        if let Some((found, _)) = done.last().filter(|(version, _)| *version > known) {
            let what = format!("has schema version {found}, this program knows up to {known}");
            return Err(OpenError::new(Trouble::Newer, path, what));
        }
        for ((version, checksum), (expected, sql)) in done.iter().zip((1_i64..).zip(self.migrations)) {
            if *version != expected || *checksum != checksum_of(sql) {
                let what = format!("was made by another build of hb: migration {version} is not the one known here");
                return Err(OpenError::new(Trouble::Newer, path, what));
            }
        }
        Ok(())
    }

    /// Runs what has not been run yet.
    pub(crate) fn migrate(&self, path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
        let done = match self.find(connection).map_err(|error| OpenError::of(path, &error))? {
            Found::Ours(done) => done,
            Found::Empty | Found::Foreign => Vec::new(),
        };
        if done.len() == self.migrations.len() {
            return Ok(());
        }
        self.run(connection).map_err(|error| OpenError::of(path, &error))?;
        // Of two processes on a new file one has made it; whether it is of the same build is seen now.
        self.accept_whole(path, connection)
    }

    fn run(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        // Immediate: of two processes on a new file the second waits, then finds nothing left to do.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if self.find(&transaction)? == Found::Foreign {
            return transaction.rollback();
        }
        transaction.execute_batch(&format!("PRAGMA application_id = {}", self.application))?;
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, checksum TEXT NOT NULL,
             at_utc TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')))",
        )?;
        let done: i64 =
            transaction.query_row("SELECT coalesce(max(version), 0) FROM migrations", [], |row| row.get(0))?;
        for (version, sql) in (1_i64..).zip(self.migrations) {
            if version > done {
                transaction.execute_batch(sql)?;
                let noted = "INSERT INTO migrations (version, checksum) VALUES (?1, ?2)";
                transaction.execute(noted, (version, checksum_of(sql)))?;
            }
        }
        transaction.commit()
    }
}

fn checksum_of(sql: &str) -> String {
    Hash::of(sql.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Schema = Schema { application: 7, name: "a test", migrations: &["CREATE TABLE a (b)"] };
    const TWO: Schema =
        Schema { application: 7, name: "a test", migrations: &["CREATE TABLE a (b)", "CREATE TABLE c (d)"] };
    const OTHER: Schema = Schema { application: 7, name: "a test", migrations: &["CREATE TABLE a (c)"] };

    #[test]
    fn older_files_are_brought_up_to_date_newer_and_different_ones_are_refused() {
        let path = Path::new("x.db");
        let mut connection = Connection::open_in_memory().unwrap();
        ONE.migrate(path, &mut connection).unwrap();
        assert_eq!(TWO.accept_whole(path, &connection).unwrap_err().trouble, Trouble::MissingFile);
        TWO.migrate(path, &mut connection).unwrap();
        TWO.migrate(path, &mut connection).unwrap();
        TWO.accept_whole(path, &connection).unwrap();
        let newer = ONE.accept(path, &connection).unwrap_err();
        assert_eq!(newer.trouble, Trouble::Newer);
        assert!(newer.to_string().contains("version 2") && newer.to_string().contains("newer hb"), "{newer}");
        assert_eq!(OTHER.accept(path, &connection).unwrap_err().trouble, Trouble::Newer);
        let foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE t (a)").unwrap();
        assert_eq!(ONE.accept(path, &foreign).unwrap_err().trouble, Trouble::Foreign);
    }
}
