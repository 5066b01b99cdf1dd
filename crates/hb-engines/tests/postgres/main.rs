//! The PostgreSQL engine against a real server, which the tests start for themselves. Where there is no PostgreSQL they say `NOT RUN`.
#![cfg(feature = "postgres")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers as well; it says what it could not run, and what it measured"
)]

mod cuts;
mod deaths;
mod laws;
mod proxy;
mod refusals;
mod register;
mod server;
mod speed;
mod tls;
