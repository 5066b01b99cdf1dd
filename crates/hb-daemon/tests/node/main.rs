//! What a whole node promises, on a stage where everything around it can fail.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the harness fails by panicking, and looks for one kind of thing at a time"
)]

mod alerts;
mod appends;
mod fleet;
mod lease;
mod once;
mod reload;
mod sources;
mod stage;
mod standby;
mod switchover;
mod tags;
mod views;
