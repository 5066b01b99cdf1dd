//! The whole node as one value: the only place where watch, cycle, lease and journal meet.

pub mod fact;
pub mod view;
