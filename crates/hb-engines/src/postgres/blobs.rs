//! Documents under the hash of their bytes, in a table.

use hb_core::journal::Hash;
use hb_store::port::{Blobs, JournalError};
use tokio_postgres::types::Type;

use super::journal::{RECORD_MAX, unavailable};
use super::link::Link;
use super::target::PostgresTarget;
use crate::target::TargetError;

/// The documents of a schema.
#[derive(Debug)]
pub struct PostgresBlobs {
    link: Link,
}

impl PostgresBlobs {
    /// Opens them, making the tables when they are missing. A server that cannot be reached at the moment is no error.
    ///
    /// # Errors
    /// What has to be changed first, as with [`super::PostgresJournal::open`].
    pub fn open(target: &PostgresTarget) -> Result<Self, TargetError> {
        Ok(Self { link: Link::open(target)? })
    }

    fn sql(&self, text: &str) -> String {
        text.replace("@.", &format!("{}.", self.link.target.quoted_schema()))
    }
}

impl Blobs for PostgresBlobs {
    fn put(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), JournalError> {
        if Hash::of(bytes) != hash {
            return Err(JournalError::Unavailable(format!("a document with another hash than {hash} was to be kept")));
        }
        if bytes.len() > RECORD_MAX {
            let what = format!("document {hash} has {} bytes, at most {RECORD_MAX} are taken", bytes.len());
            return Err(JournalError::Unavailable(what));
        }
        // Only damage can stand under this name with other bytes.
        let sql = self.sql(
            "INSERT INTO @.blobs AS b (hash, bytes) VALUES ($1, $2)
             ON CONFLICT (hash) DO UPDATE SET bytes = excluded.bytes WHERE b.bytes <> excluded.bytes",
        );
        let name = hash.to_string();
        let put = self.link.ask_again(async |client| {
            client.query_typed(&sql, &[(&name, Type::TEXT), (&bytes, Type::BYTEA)]).await.map(drop)
        });
        put.map_err(unavailable)
    }

    fn get(&mut self, hash: Hash) -> Result<Option<Vec<u8>>, JournalError> {
        let (sql, name) = (self.sql("SELECT bytes FROM @.blobs WHERE hash = $1"), hash.to_string());
        let found: Option<Vec<u8>> = self
            .link
            .ask_again(async |client| {
                let row = client.query_typed_opt(&sql, &[(&name, Type::TEXT)]).await?;
                row.map(|row| row.try_get(0)).transpose()
            })
            .map_err(unavailable)?;
        match found {
            Some(bytes) if Hash::of(&bytes) != hash => Err(JournalError::Corrupt(format!(
                "{}: document {hash} is damaged, it has another hash; restore it from a backup",
                self.link.target
            ))),
            found => Ok(found),
        }
    }
}
