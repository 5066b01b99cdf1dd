//! `hb demo`: a pair on real telemetry, in under a minute.

use crate::cli::{Failure, demo as args};
use crate::exit::Exit;

/// `hb demo`.
///
/// # Errors
/// What did not go as it should.
pub fn demo(args: &args::Args) -> Result<Exit, Failure> {
    let _unused = args;
    Err(Failure::new(Exit::Error, "the demo is not wired yet"))
}
