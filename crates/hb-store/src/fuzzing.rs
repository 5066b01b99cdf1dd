//! Doors for the fuzz targets: what reads bytes from outside and is private otherwise. No part of the crate's interface.
//!
//! Nothing here is used by hb itself. Each door gives what was read and, where there is such a thing, the bytes that it is written as.

use hb_core::ids::{Seq, StreamName};

use crate::journal::names;

pub use crate::board::fuzzing::card;
pub use crate::lease::file::fuzzing::orders;
pub use crate::lease::fuzzing::stamp;
pub use crate::lease::register::fuzzing::lease;
pub use crate::register::dir::fuzzing::cell;
pub use crate::supervisor::read::fuzzing::rows;

/// The stream of a folder, and the folder of that stream.
#[must_use]
pub fn stream_of(kind: &str, name: &str) -> Option<(StreamName, std::path::PathBuf)> {
    let stream = names::stream_of(kind, name)?;
    let folder = names::stream_dir(&stream);
    Some((stream, folder))
}

/// The number in the name of a record's file, and the name of the file of that number.
#[must_use]
pub fn record_number(name: &str) -> Option<(Seq, String)> {
    let seq = names::number(name, names::RECORD_SUFFIX)?;
    Some((seq, names::record_file(seq)))
}
