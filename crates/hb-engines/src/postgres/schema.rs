//! The tables, as ordered migrations, each with the checksum of its text.
//!
//! **Invariants.** A migration, once released, never changes; a new one is added at the end. Each runs in one transaction together with
//! the note that it has run, behind a lock of the database that lets one node at a time do so. A schema with a migration that this
//! program does not know, or knows differently, is refused, and so is one of another program.

use hb_core::journal::Hash;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::fault::Fault;

/// Every migration, in order; version n is the n-th. `@` stands for the schema.
const MIGRATIONS: &[&str] = &[include_str!("schema/1_journal_and_register.sql")];
/// Newest version of the tables that this program knows.
pub const VERSION: usize = MIGRATIONS.len();

/// What stands in a schema before it is used.
enum Found {
    /// There is no such schema.
    Missing,
    /// Nothing.
    Empty,
    /// Ours, with these migrations: version and checksum.
    Ours(Vec<(i32, String)>),
    /// Tables, but not ours.
    Foreign,
}

/// Makes the tables where they are missing or older, refuses what is not ours, and gives the mark that this schema alone has.
pub(super) async fn settle(client: &mut Client, schema: &str) -> Result<String, Fault> {
    let found = find(client, schema).await.map_err(|error| unusable(schema, &error))?;
    if !complete(schema, &found)? {
        make(client, schema).await?;
        let made = find(client, schema).await.map_err(|error| unusable(schema, &error))?;
        if !complete(schema, &made)? {
            return Err(Fault::Away(format!("schema {schema} was changed while it was being made")));
        }
    }
    let row = client
        .query_typed_one(&format!("SELECT value FROM \"{schema}\".about WHERE name = 'id'"), &[])
        .await
        .and_then(|row| row.try_get(0));
    row.map_err(|error| unusable(schema, &error))
}

fn unusable(schema: &str, error: &Error) -> Fault {
    match Fault::of_question(error) {
        Fault::Refused(_, what) => Fault::Unusable(format!("schema {schema}: {what}")),
        other @ (Fault::Unusable(_) | Fault::Away(_) | Fault::Broken(_)) => Fault::Away(other.to_string()),
    }
}

async fn find(client: &Client, schema: &str) -> Result<Found, Error> {
    let about = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1),
        (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1),
        (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname IN ('migrations', 'about', 'records'))";
    let row = client.query_typed_one(about, &[(&schema, Type::TEXT)]).await?;
    let (there, relations, marks): (bool, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    match (there, relations, marks) {
        (false, _, _) => return Ok(Found::Missing),
        (true, 0, _) => return Ok(Found::Empty),
        (true, _, 3) => {}
        (true, _, _) => return Ok(Found::Foreign),
    }
    let done = format!("SELECT version, checksum FROM \"{schema}\".migrations ORDER BY version");
    let rows = client.query_typed(&done, &[]).await?;
    let done = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?;
    Ok(Found::Ours(done))
}

/// Whether nothing is left to do; refuses what must not be touched.
fn complete(schema: &str, found: &Found) -> Result<bool, Fault> {
    let done = match found {
        Found::Missing | Found::Empty => return Ok(false),
        Found::Foreign => {
            return Err(Fault::Unusable(format!(
                "schema {schema} holds something else than a journal of hb: name another one by schema="
            )));
        }
        Found::Ours(done) => done,
    };
    if let Some((version, _)) = done.last().filter(|(version, _)| usize::try_from(*version).is_ok_and(|v| v > VERSION))
    {
        return Err(Fault::Unusable(format!(
            "schema {schema} has version {version}, this hb knows up to {VERSION}: start the newer hb that made it"
        )));
    }
    for ((version, checksum), (expected, sql)) in done.iter().zip((1_i32..).zip(MIGRATIONS)) {
        if *version != expected || *checksum != checksum_of(sql) {
            return Err(Fault::Unusable(format!(
                "schema {schema} was made by another build of hb: migration {version} is not the one known here"
            )));
        }
    }
    Ok(done.len() == VERSION)
}

async fn make(client: &mut Client, schema: &str) -> Result<(), Fault> {
    let fault = |error: Error| match Fault::of_question(&error) {
        // Another node has just made it, or is doing so: the next look tells.
        Fault::Refused(code, what) if code.code().starts_with("42P0") || code.code() == "23505" => {
            Fault::Away(format!("schema {schema}: {what}"))
        }
        Fault::Refused(code, what) if code.code() == "42501" => Fault::Unusable(format!(
            "schema {schema} cannot be made: {what}; let an administrator say: CREATE SCHEMA {schema} AUTHORIZATION \
             (the user of hb)"
        )),
        Fault::Refused(code, what) if ["57", "53", "55"].iter().any(|class| code.code().starts_with(class)) => {
            Fault::Away(format!("schema {schema}: {what}"))
        }
        Fault::Refused(..) | Fault::Unusable(_) | Fault::Away(_) | Fault::Broken(_) => unusable(schema, &error),
    };
    let transaction = client.transaction().await.map_err(fault)?;
    // Of several nodes the others wait here, then find nothing left to do.
    let key = lock_key("migrate", schema);
    let lock = "SELECT pg_advisory_xact_lock($1)";
    transaction.query_typed(lock, &[(&key, Type::INT8)]).await.map_err(fault)?;
    let done = match find(transaction.client(), schema).await.map_err(fault)? {
        Found::Missing => {
            transaction.batch_execute(&format!("CREATE SCHEMA \"{schema}\"")).await.map_err(fault)?;
            0
        }
        Found::Empty => 0,
        Found::Ours(done) => done.len(),
        Found::Foreign => return Ok(()),
    };
    let migrations = format!(
        "CREATE TABLE IF NOT EXISTS \"{schema}\".migrations (version integer PRIMARY KEY, checksum text NOT NULL,
         at timestamptz NOT NULL DEFAULT clock_timestamp())"
    );
    transaction.batch_execute(&migrations).await.map_err(fault)?;
    for (version, sql) in (1_i32..).zip(MIGRATIONS).skip(done) {
        transaction.batch_execute(&sql.replace("@.", &format!("\"{schema}\"."))).await.map_err(fault)?;
        let noted = format!("INSERT INTO \"{schema}\".migrations (version, checksum) VALUES ($1, $2)");
        let checksum = checksum_of(sql);
        let values = [(&version as _, Type::INT4), (&checksum as _, Type::TEXT)];
        transaction.query_typed(&noted, &values).await.map_err(fault)?;
    }
    transaction.commit().await.map_err(fault)
}

fn checksum_of(sql: &str) -> String {
    Hash::of(sql.as_bytes()).to_string()
}

/// The number of a lock of the database that stands for a name.
pub(super) fn lock_key(kind: &str, name: &str) -> i64 {
    let digits: String = Hash::of(format!("hb {kind}\0{name}").as_bytes()).to_string().chars().take(16).collect();
    u64::from_str_radix(&digits, 16).map_or(0, u64::cast_signed)
}
