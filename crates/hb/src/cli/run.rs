//! `hb run`.

use super::setup::{Fallback, load_or_tell, log_notices};
use super::{ConfigArgs, Failure, Out};
use crate::exit::Exit;
use crate::wire::{DaemonMode, Halves, run_node};

/// `hb run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    node: super::daemon::NodeArgs,
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// Why it could not start, or ended otherwise than it was told.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let given = args.node.over(args.config.given(Fallback::BuiltIn)?);
    let loaded = load_or_tell(&given)?;
    log_notices(&loaded);
    out.finish()?;
    run_node(&given, loaded, Halves::Both, DaemonMode::Follow)
}
