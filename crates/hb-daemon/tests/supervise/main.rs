//! The loop of a supervisor over a disk, a lease and hands in memory: takeover, fencing, a full disk, and what is done in which order.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the harness fails by panicking, and answers only the effects that it knows"
)]

mod end;
mod order;
mod reign;
mod stage;
