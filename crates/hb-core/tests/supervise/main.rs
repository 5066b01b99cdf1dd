//! Supervision on a stage: readable transcripts, and random walks through a simulated world.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the harness reads scenario files and SEED, and fails by panicking"
)]

mod interventions;
mod random_walk;
mod scenarios;
mod stage;
mod world;
