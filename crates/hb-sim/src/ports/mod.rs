//! What stands in the place of everything that a node reaches: stores, leases, sources, sinks, views.

pub(crate) mod cells;
pub(crate) mod documents;
pub(crate) mod journal;
pub(crate) mod lease;
pub(crate) mod line;
pub(crate) mod register;
pub(crate) mod sink;
pub(crate) mod tape;
pub(crate) mod views;
