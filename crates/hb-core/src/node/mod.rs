//! The whole node as one value: the only place where watch, cycle, lease and journal meet.

pub mod fact;
mod series;
pub mod view;
pub mod watcher;
