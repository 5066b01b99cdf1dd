//! What hb-core decides and says over many kinds of input, held against what it decided and said before: no change of it goes unseen.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::too_many_lines,
    clippy::excessive_nesting,
    reason = "the harness records on demand, makes figures up, has long tables, and fails by panicking"
)]

mod baselines;
mod decisions;
mod ledger;
mod limits;
mod mathematics;
#[path = "../support/nulls.rs"]
mod nulls;
mod policies;
mod specs;
mod units;
#[path = "../support/world.rs"]
mod world;
