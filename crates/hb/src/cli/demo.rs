//! `hb demo`: its arguments.

use std::path::PathBuf;

/// `hb demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to keep what it makes; a temporary one, removed at the end, where not given.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// What happened, as one JSON object a line.
    #[arg(long)]
    pub json: bool,
}
