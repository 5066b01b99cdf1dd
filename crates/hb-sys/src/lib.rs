//! The few system calls that no safe library offers: starting a program with shared memory, and what a pidfd can tell.
//!
//! All `unsafe` of hb is here. Nothing here decides, keeps anything, or knows what an agent is.

mod launch;
pub mod memory;
pub mod pidfd;

pub use launch::{Fault, Ids, Launch, Launched, Note, Resource, Rlimit, Stack, Stage, WatchdogPid};
