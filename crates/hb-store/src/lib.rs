//! Keeps: journals, leases and views.
//!
//! The journal is the truth, everything else here is rebuilt from it. What every journal must obey is written down once,
//! in `conformance`, and every backend is held to it.

pub mod atomic;
pub mod baselines;
pub mod blobs;
pub mod board;
pub mod conformance;
#[doc(hidden)]
pub mod fuzzing;
pub mod journal;
pub mod lease;
pub mod port;
pub mod probe;
pub mod reader;
pub mod register;
pub mod sqlite;
pub mod supervisor;
pub mod sync;
pub mod verify;
pub mod views;
