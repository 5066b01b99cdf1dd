//! `hb health serve`.

use std::net::IpAddr;

use super::setup::Fallback;
use super::{ConfigArgs, Failure, Out};
use crate::exit::Exit;

/// `hb health …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve /live, /ready, /active, /standby and /metrics for a daemon that runs elsewhere on this host.
    Serve(Serve),
}

/// `hb health serve`.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Port.
    #[arg(long, default_value_t = 9091, value_name = "PORT")]
    pub port: u16,
    /// Address.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub bind: IpAddr,
}

/// Serves until it is told to stop.
///
/// # Errors
/// Why it could not start.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    let Command::Serve(args) = command;
    // A configuration that is missing or wrong is what /ready has to tell, so it is not read here.
    let given = args.config.given(Fallback::None)?;
    out.finish()?;
    crate::wire::serve_health(&given, args)
}
