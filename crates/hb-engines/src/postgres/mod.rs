//! PostgreSQL: journal, documents and register in one schema of a database.
//!
//! **Invariants.** A change is one statement, so that a node that stops in the middle holds no lock and leaves nothing half done; the
//! server commits it before it answers. Every question ends within the target's patience, whatever the server or the network do.
//! A question whose answer did not come is never taken for one that was not done.
//!
//! What a session must find at the server stands in `session`, what faults come to in `fault`. None of the types here may be used
//! or dropped on a thread of an asynchronous runtime: each has one of its own.

mod blobs;
mod fault;
mod journal;
mod link;
mod password;
mod register;
mod schema;
mod session;
mod target;
mod url;
mod watcher;

pub use blobs::PostgresBlobs;
pub use journal::{PostgresJournal, RECORD_MAX, TRIM_STEP};
pub use register::PostgresRegister;
pub use schema::VERSION;
pub use session::OLDEST_SERVER;
pub use target::{PostgresTarget, TlsMode};
