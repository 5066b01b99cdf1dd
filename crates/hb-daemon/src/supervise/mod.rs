//! Turns the crank of a supervisor: one thread that owns the state machine, its database and its lease.
//!
//! It has a lease of its own, apart from that of the watches: a hung watch never takes supervision with it, and `hb daemon` and
//! `hb supervisor` may be two processes over one `output_dir`. A turn takes in what has come, lets the core decide, makes the one record of it durable,
//! and only then acts and answers (S1). What comes while a record is being written shares the next one.
//!
//! | question | file |
//! |---|---|
//! | What is it built from? | `parts.rs` |
//! | How do others talk to it? | `office.rs`, their messages wait in `tray.rs` |
//! | What does the loop do? | `crank.rs` |
//! | When is a record durable, and what is trimmed? | `keeping.rs` |
//! | What do onlookers see? | `picture.rs` |
//! | How do decisions of watches get in? | `decisions.rs` |

mod crank;
mod decisions;
mod keeping;
mod office;
mod parts;
mod picture;
mod tray;

pub use crank::{Running, start};
pub use office::{Busy, MESSAGES_MAX, Office};
pub use parts::{Bounds, Follow, Hand, Keeper, MakeHand, SupervisorParts};
pub use picture::{AgentCounts, Picture, Pictured};
