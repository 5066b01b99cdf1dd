//! The API as its clients meet it: over real sockets on loopback, with a real state machine behind it, and no database and no processes.
#![expect(clippy::unwrap_used, clippy::unwrap_in_result, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod access;
mod agents;
mod documents;
mod events;
mod fuzz;
mod interventions;
mod policies;
mod refusals;
mod requests;
mod standby;
mod supervisors;
mod support;
