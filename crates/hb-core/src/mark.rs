//! Places in a source.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A place in a source from which it can be read on.
///
/// `position` grows along the source and never falls, also across rotated files; what it counts is the source's own
/// affair (bytes for files, ticks for the host). `token` is what the source needs beside it to find the place again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Mark {
    /// Place along the source.
    pub position: u64,
    /// What the source needs to find it: opaque to everybody else.
    pub token: Arc<str>,
}
