//! See [`crate::fuzzing`].

use super::document::Seen;
use crate::register::{Cell, CellVersion};

/// Reads the document of a lease as any waiter does, and writes it again; nothing where it is none of ours.
#[must_use]
pub fn lease(bytes: &[u8]) -> Option<Vec<u8>> {
    let seen = Seen::of(Some(Cell { bytes: bytes.to_vec(), version: CellVersion("1".into()) }));
    // What a waiter judges by: looked at whatever was read.
    drop((seen.sight(), seen.last().cloned()));
    seen.document().map(super::document::Document::to_bytes)
}
