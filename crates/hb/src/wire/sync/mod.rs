//! Copies of what a node decided, where nothing is shared: `hb checkpoint sync`, and the same every so often.
//!
//! | question | file |
//! |---|---|
//! | What does a target's address mean? | `target.rs` |
//! | A node over its API | `peer.rs` |
//! | What is copied, in which order, and who may not be active meanwhile? | `run.rs` |
//! | Two histories: which is set aside? | `rebase.rs` |
//! | What other nodes may ask of this one | `serve.rs` |
//! | Every so often | `periodic.rs` |
//! | What a start from a copy tells; the original that comes back | `start.rs` |

mod peer;
pub(super) mod periodic;
mod rebase;
mod run;
pub(super) mod serve;
pub(super) mod start;
mod target;

use hb_store::sync::{Ahead, Divergence, SyncError};

use crate::cli::Failure;
use crate::exit::Exit;

pub use run::{Direction, Job, Rebase, Synced, sync};
pub use target::Target;

/// A failure with its number and advice.
pub(crate) fn failure(error: SyncError) -> Failure {
    let what = error.to_string();
    match error {
        SyncError::Unavailable(_) => {
            Failure::new(Exit::Unavailable, what).help("what was copied stands; run it again, it goes on from there")
        }
        SyncError::Unwritable(_) => Failure::new(Exit::CannotWrite, what)
            .help("what was copied stands; make room or give permission, then run it again"),
        SyncError::Corrupt(_) => Failure::new(Exit::Corrupt, what).help(
            "nothing from there on was copied; `hb verify` on that side lists what is damaged, docs/ops/repair.md",
        ),
        SyncError::Refused(_) => Failure::new(Exit::Refused, what).help("docs/ops/copy.md"),
        SyncError::Ahead(ahead) => Failure::new(Exit::Refused, what).help(of_ahead(&ahead)),
        SyncError::Diverged(divergence) => Failure::new(Exit::Refused, what).help(of_divergence(&divergence)),
    }
}

fn of_ahead(ahead: &Ahead) -> String {
    format!(
        "nothing was changed; copy the other way: on {}, stop hb, `hb checkpoint sync --from {}`, start it again",
        ahead.source_side, ahead.target.side
    )
}

fn of_divergence(divergence: &Divergence) -> String {
    let (source, target) = (&divergence.source, &divergence.target);
    match divergence.newer().map(|tail| &tail.side) {
        Some(newer) if *newer == source.side => format!(
            "{newer} has the higher epoch: stop hb at {}, and run the same with --rebase: what it has of its own is kept aside",
            target.side
        ),
        Some(newer) => format!(
            "{newer} has the higher epoch: stop hb at {}, and there `hb checkpoint sync --from {newer} --rebase`: what it has of \
             its own is kept aside",
            source.side
        ),
        None => format!(
            "neither epoch is higher: decide which side goes on, stop hb at the other, and there `hb checkpoint sync --from` the \
             first `--rebase`: what it has of its own is kept aside ({} or {})",
            source.side, target.side
        ),
    }
}
