//! The picture at a glance, elsewhere than on the page: `hb top` in a real terminal, and the packaged rules and dashboard on a real Prometheus.
//!
//! Tests wait for what is to be seen, never for a fixed time. Where Prometheus is not installed its tests say `NOT RUN`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::unwrap_in_result,
    reason = "a test that cannot go on says so by panicking; what the program writes is known"
)]

mod prometheus;
#[expect(dead_code, reason = "the other tests of the binary use the rest of it")]
#[path = "../binary/support/mod.rs"]
mod support;
mod terminal;
mod top;
