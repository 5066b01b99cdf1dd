//! Object stores: S3 and what speaks its language, GCS, Azure. No server of ours; agreement comes from conditional writes.
//!
//! A store is put through [`probe`] before it is trusted: some that speak S3 ignore the conditions, or check first and act later.

mod blobs;
mod bucket;
mod cell;
mod fault;
pub(crate) mod fuzzing;
mod http;
mod journal;
mod names;
pub mod probe;
mod register;
mod target;

pub use blobs::ObjectBlobs;
pub use bucket::{Bucket, Keys, PARALLEL, Requests};
pub use journal::{FLOOR_FRESH, LAYOUT, ObjectJournal, TRIM_STEP};
pub use register::{ASK_EVERY, ObjectRegister};
pub use target::{ObjectTarget, Service, Style};
