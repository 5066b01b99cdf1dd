//! Where time passes: the clocks, threads, channels and waiting of everything that runs in a node.
//!
//! Ordinarily these are the machine's own. A simulation puts a [`World`] in their place, on the one thread on which it runs everything:
//! then a "thread" is a task of that world, a wait gives way to the other tasks, and the clocks say what the world says. The code
//! above is the same in both; nothing in it can tell.
//!
//! **Invariants.** Nobody holds a lock while waiting here, but the one that is waited with ([`Monitor`]). Where no world was put,
//! each call costs one look at a thread-local more than what it stands for.

pub mod channel;
pub mod clock;
pub mod monitor;
pub mod thread;
pub mod world;

pub use monitor::Monitor;
pub use world::World;
