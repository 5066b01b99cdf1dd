//! Tests of a series against its limits and its baseline, one file each.

pub mod discovery;
pub mod distribution;
pub mod figure;
pub mod finding;
pub mod hard;
pub mod hysteresis;
pub mod recent;
pub mod season;
pub mod solve;
pub mod student;
pub mod thresholds;
pub mod trend;
