//! Rehearses: nodes, stores, leases, disks and sources in a simulated world, with every fault that they may have. One thread; one
//! seed decides everything; the same seed gives the same trace, byte for byte.

pub mod chance;
mod check;
mod director;
pub mod disk;
pub mod explore;
pub mod fault;
mod fiber;
mod kernel;
pub mod model;
mod node;
pub mod plan;
pub mod planted;
mod ports;
pub mod promise;
pub mod run;
mod stage;
