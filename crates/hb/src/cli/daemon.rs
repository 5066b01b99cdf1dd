//! `hb daemon`.

use super::setup::{Fallback, load_or_tell, log_notices};
use super::{ConfigArgs, Failure, Out};
use crate::config::Given;
use crate::exit::Exit;
use crate::wire::{DaemonMode, Gate, Halves, run_node};

/// What a node may be told on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NodeArgs {
    /// Name of this node [default: `node` of the file, else the host's name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Where to serve health, metrics and the page, or `none` [default: `listen` of the file, else 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
}

impl NodeArgs {
    /// Lays the flags over what was given.
    #[must_use]
    pub fn over(&self, given: Given) -> Given {
        Given { node: self.node.clone(), listen: self.listen.clone(), ..given }
    }
}

/// `hb daemon`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    node: NodeArgs,
    /// Read complete sources to their ends, decide every cycle, and exit.
    #[arg(long)]
    once: bool,
    /// With --once: exit with 10 for drift, 11 for failure, 12 for no data, 13 for no baseline.
    #[arg(long, requires = "once")]
    gate: bool,
}

/// Runs the watches.
///
/// # Errors
/// Why it could not start, or ended otherwise than it was told.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let given = args.node.over(args.config.given(Fallback::None)?);
    let loaded = load_or_tell(&given)?;
    log_notices(&loaded);
    out.finish()?;
    let mode = match (args.once, args.gate) {
        (false, _) => DaemonMode::Follow,
        (true, false) => DaemonMode::Once(Gate::Open),
        (true, true) => DaemonMode::Once(Gate::ByStatus),
    };
    run_node(&given, loaded, Halves::Watches, mode)
}
