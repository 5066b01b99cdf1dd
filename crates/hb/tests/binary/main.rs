//! The real binary from outside: processes that are killed, stopped, starved and lied to. One question per module.
//!
//! Tests wait for conditions with generous deadlines, never for a fixed time; figures are printed, facts are asserted.
//! `HB_TORTURE_KILLS`, `HB_PAIR_KILLS` (100 each), `HB_PAIR_STOPS` (20) and `HB_LONG_LINE_MB` (64) make them shorter or
//! longer, as do `HB_SUPERVISE_KILLS` (150) and `HB_SUPERVISE_AGENTS` (1000) for what is supervised; `HB_TEST_SEED` repeats a run that failed. Some need root (full and read-only file systems) or the right to trace
//! (a hung thread), one needs mosquitto; where that is missing they say `NOT RUN`.
//!
//! Every test has folders and ports of its own, and ends only processes that it started.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "a test that cannot go on says so by panicking, and prints its figures; figures are expected exactly"
)]

mod bad_input;
mod contract;
mod copy;
mod defects;
mod fleet;
#[expect(dead_code, reason = "the tests of the source use the rest of it")]
#[path = "../../../hb-sources/tests/support/kafka.rs"]
mod kafka;
mod kill;
#[path = "../../../hb-sources/tests/support/mosquitto.rs"]
mod mosquitto;
mod network;
mod pair;
#[expect(dead_code, reason = "the tests of the engine use the rest of it")]
#[path = "../../../hb-engines/tests/postgres/server.rs"]
mod postgres;
mod ready;
mod roster;
mod service_manager;
mod steps;
mod supervise;
mod support;
