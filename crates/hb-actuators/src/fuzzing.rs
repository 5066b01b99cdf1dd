//! Doors for the fuzz targets: what reads bytes from outside and is private otherwise. No part of the crate's interface.
//!
//! Nothing here is used by hb itself.

pub use crate::alert_sink::fuzzing::retry_after;
pub use crate::process::fuzzing::{notified, stat};
