//! The node on a stage: readable transcripts, and random walks.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the harness reads scenario files and SEED, and fails by panicking"
)]

mod random_walk;
mod scenarios;
mod stage;
