//! Rehearses: nodes, stores, leases, disks and sources in a simulated world, with every fault that they may have. One thread; one
//! seed decides everything; the same seed gives the same trace, byte for byte.

pub mod chance;
mod fiber;
mod kernel;

pub mod disk;
