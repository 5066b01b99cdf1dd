//! The only place that names backends: makes a running node out of a configuration.

use crate::cli::{Failure, demo, health};
use crate::config::{Given, Loaded};
use crate::exit::Exit;

/// How long a daemon runs, and what it ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonMode {
    /// Until it is told to stop.
    Follow,
    /// Until every source has come to its end.
    Once(Gate),
}

/// Whether `--once` ends with the worst status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It ends with 0 whatever was decided.
    Open,
    /// It ends with the number of the worst status.
    ByStatus,
}

/// Runs a node. `given` is what a reload (SIGHUP) reads again.
///
/// # Errors
/// Why it could not start, or ended otherwise than it was told.
pub fn run_daemon(given: &Given, loaded: Loaded, mode: DaemonMode) -> Result<Exit, Failure> {
    let _unused = (given, loaded, mode);
    Err(Failure::new(Exit::Error, "the daemon is not wired yet"))
}

/// `hb health serve`.
///
/// # Errors
/// Why it could not start.
pub fn serve_health(given: &Given, args: &health::Serve) -> Result<Exit, Failure> {
    let _unused = (given, args);
    Err(Failure::new(Exit::Error, "health is not wired yet"))
}

/// `hb demo`.
///
/// # Errors
/// What did not go as it should.
pub fn demo(args: &demo::Args) -> Result<Exit, Failure> {
    let _unused = args;
    Err(Failure::new(Exit::Error, "the demo is not wired yet"))
}
