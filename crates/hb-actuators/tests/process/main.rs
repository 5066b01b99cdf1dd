//! The hands with real programs: what they start, see, signal, find again and bound.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests, and figures for people"
)]

mod adopt;
mod ask;
mod many;
mod notify;
mod output;
mod signals;
mod stage;
mod stand_in;
mod start;
