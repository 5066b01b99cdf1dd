//! Streams of a folder as wholes: which there are, and one moved out of the way.

use std::path::{Path, PathBuf};

use hb_core::ids::StreamName;

use super::{FORMAT_PREFIX, LAYOUT, unavailable};
use crate::atomic::{Disk, Publish, is_temp};
use crate::journal::names::{self, FORMAT_FILE};
use crate::port::JournalError;

/// Every stream of the journal below `root`, sorted; names that no stream has are left out.
///
/// # Errors
/// The folder cannot be read.
pub fn streams(disk: &Disk, root: &Path) -> Result<Vec<StreamName>, JournalError> {
    let mut found = Vec::new();
    for kind in disk.names(root).map_err(unavailable)? {
        if kind == FORMAT_FILE || is_temp(&kind) {
            continue;
        }
        if !disk.stat(&root.join(&kind)).map_err(unavailable)?.is_some_and(|found| found.folder) {
            continue;
        }
        let names = disk.names(&root.join(&kind)).map_err(unavailable)?;
        found.extend(names.iter().filter_map(|name| names::stream_of(&kind, name)));
    }
    found.sort();
    Ok(found)
}

/// Moves a stream with all its records to another journal's folder on the same file system, at once or not at all. Gives where
/// it stands then.
///
/// # Errors
/// It could not be moved, or one of that name stands there already.
pub fn move_stream(disk: &Disk, (from, to): (&Path, &Path), stream: &StreamName) -> Result<PathBuf, JournalError> {
    let dir = names::stream_dir(stream);
    let (source, target) = (from.join(&dir), to.join(&dir));
    if disk.stands(&target).map_err(unavailable)? {
        return Err(JournalError::Unavailable(format!("{} stands already: nothing was moved", target.display())));
    }
    let (above_source, above_target) = (source.parent().unwrap_or(from), target.parent().unwrap_or(to));
    disk.create_dirs(above_target).map_err(unavailable)?;
    match disk.publish_new(to, FORMAT_FILE, format!("{FORMAT_PREFIX}{LAYOUT}\n").as_bytes()) {
        Publish::Done | Publish::Taken(_) => {}
        Publish::NotDone(fault) | Publish::Perhaps(fault) => return Err(unavailable(fault)),
    }
    disk.move_dir(&source, &target).map_err(unavailable)?;
    disk.sync_dir(above_target).and_then(|()| disk.sync_dir(above_source)).map_err(unavailable)?;
    Ok(target)
}
