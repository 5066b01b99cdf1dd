//! Doors for the fuzz targets: what reads bytes from outside and is private otherwise. No part of the crate's interface.
//!
//! Nothing here is used by hb itself.

#[cfg(feature = "etcd")]
pub use crate::etcd::fuzzing::{etcd_answer, etcd_watch};
#[cfg(any(feature = "etcd", feature = "kubernetes"))]
pub use crate::follow::fuzzing::stream;
#[cfg(feature = "kubernetes")]
pub use crate::kubernetes::fuzzing::kubernetes_object;
#[cfg(feature = "object")]
pub use crate::object::fuzzing::{cell, record_number};
