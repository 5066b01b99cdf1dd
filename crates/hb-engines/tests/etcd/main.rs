//! The register in a real etcd: its laws, and what becomes of swaps and waits when etcd is killed, stopped, full, without a leader,
//! behind a login, or when its answers get lost on the way.
#![cfg(feature = "etcd")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests"
)]

mod faults;
mod laws;
mod server;
mod tls;
#[path = "../wire/mod.rs"]
mod wire;
