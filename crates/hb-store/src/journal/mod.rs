//! Journals: one file per backend, one law for all of them (`conformance`).

pub mod dir;
pub mod memory;
pub(crate) mod names;
pub mod sqlite;
