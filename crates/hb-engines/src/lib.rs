//! Journals and registers on servers that users already run. Each engine is a folder and a cargo feature; a feature chooses what
//! is there and never changes how anything behaves.
//!
//! What each of them must obey is written down in `hb_store::conformance`; agreement comes from the server, never from here.

#[cfg(any(feature = "etcd", feature = "kubernetes"))]
mod address;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(any(feature = "etcd", feature = "kubernetes"))]
mod follow;
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(any(feature = "etcd", feature = "kubernetes"))]
mod line;
#[cfg(feature = "object")]
pub mod object;
pub mod open;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod target;
