//! What many commands are told alike: which one, and which part of a list.

use crate::reach::ReachArgs;

/// One of them.
#[derive(Debug, clap::Args)]
pub struct One {
    #[command(flatten)]
    pub(super) reach: ReachArgs,
    /// Which one, by its id.
    pub(super) id: String,
    /// One JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// A part of what there was.
#[derive(Debug, clap::Args)]
pub(super) struct Part {
    #[command(flatten)]
    pub(super) reach: ReachArgs,
    /// Only those of this supervisor.
    #[arg(long, value_name = "ID")]
    pub(super) supervisor: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(super) limit: usize,
    /// One JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
}
