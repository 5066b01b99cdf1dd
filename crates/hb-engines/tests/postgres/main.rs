//! The PostgreSQL engine against a real server, which the tests start for themselves. Where there is no PostgreSQL they say `NOT RUN`.
#![cfg(feature = "postgres")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, in its helpers as well; it says what it could not run"
)]

mod cuts;
mod deaths;
mod laws;
mod proxy;
mod refusals;
mod register;
mod server;
mod tls;
