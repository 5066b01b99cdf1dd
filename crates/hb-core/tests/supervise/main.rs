//! Supervision on a stage: readable transcripts, and random walks through a simulated world.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the harness reads scenario files and SEED, and fails by panicking"
)]

mod groups;
mod house;
mod interventions;
#[path = "../recorded/ledger.rs"]
mod ledger;
mod plans;
mod random_walk;
mod recorded;
mod requests;
mod scenarios;
mod sketches;
mod stage;
mod tree;
mod world;
