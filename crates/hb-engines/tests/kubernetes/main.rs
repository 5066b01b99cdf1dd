//! The register in Lease objects, against an API server of our own (no real one was to be had): its laws, and what becomes of swaps and
//! waits when the server refuses, is busy, forgets, restarts, or its answers get lost on the way.
#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod api;
mod faults;
mod laws;
mod store;
#[path = "../wire/mod.rs"]
mod wire;
