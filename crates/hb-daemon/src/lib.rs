//! Turns the crank: every thread, clock and channel of a running node.
//!
//! One thread works ([`turn`]): it owns the node and the journal. The lease is kept on a second ([`keeper`]), the node's card on a third
//! ([`poster`]). Each source has a thread that feeds it
//! ([`feeder`]), each alert sink one that delivers ([`doer`]), and one thread keeps the views ([`viewer`]). They talk over
//! bounded channels ([`inbox`]); a supervisor has a loop of its own ([`supervise`]); onlookers read a picture ([`shared`]) and are never waited for.

mod committer;
mod doer;
mod feeder;
pub mod fleet;
pub mod inbox;
mod keeper;
pub mod parts;
pub mod poster;
pub mod shared;
mod standby;
pub mod supervise;
mod tags;
pub mod turn;
mod viewer;
mod warm;

pub use hb_runtime::clock;
pub use inbox::{Answer, Control, Remote};
pub use parts::{Bounds, Mode, OnLost, Parts, SinkParts, ViewFault, Views, WatchParts};
pub use poster::Poster;
pub use turn::{Ended, start};
