//! `supervisor.db`: what it keeps through crashes, races, faults of the disk and damage.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers as well, and a skipped one says so"
)]

mod damage;
mod faults;
mod kill;
mod opening;
mod race;
mod reading;
mod records;
mod support;
mod tables;
