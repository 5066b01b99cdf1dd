//! Two histories: that of the side which lost is set aside whole, with the views that were made of it.
//!
//! **Invariants.** Nothing is deleted. A side whose epoch is the higher one is never set aside.

use std::fs;
use std::path::{Path, PathBuf};

use hb_core::ids::StreamName;
use hb_core::time::Stamp;
use hb_store::sync::SyncError;

use crate::config::Config;
use crate::config::checked::WatchConfig;

/// Folder of what is set aside, below `output_dir`.
const ASIDE: &str = "set-aside";

/// Name of the folder for what is set aside at a moment: `2026-11-22T15-22-13Z`.
pub(super) fn folder_name(at: Stamp) -> String {
    let text = at.to_string();
    let seconds = text.split(['.', 'Z']).next().unwrap_or(&text);
    format!("{}Z", seconds.replace(':', "-"))
}

/// Whether the target of a copying may be set aside.
pub(super) fn may_be(error: &SyncError) -> Result<(), SyncError> {
    let (higher, what) = match error {
        SyncError::Diverged(divergence) => {
            (divergence.target.newest.epoch > divergence.source.newest.epoch, divergence.to_string())
        }
        SyncError::Ahead(ahead) => {
            (ahead.source.as_ref().is_none_or(|source| ahead.target.newest.epoch > source.epoch), ahead.to_string())
        }
        SyncError::Unavailable(_) | SyncError::Unwritable(_) | SyncError::Corrupt(_) | SyncError::Refused(_) => {
            return Err(error.clone());
        }
    };
    if higher {
        let why =
            "what was to be set aside has the higher epoch: it is the other side that lost, copy the other way round";
        return Err(SyncError::Refused(format!("{what}; {why}")));
    }
    Ok(())
}

/// Moves the views out of the way that were made of streams that are set aside: the database, which is made anew for all watches,
/// and reports. Gives what went where.
pub(super) fn views_aside(
    config: &Config,
    aside: &str,
    watches: &[&WatchConfig],
    parted: &[StreamName],
) -> Result<Vec<String>, SyncError> {
    let to = config.output_dir.join(ASIDE).join(aside);
    let mut moved = Vec::new();
    let mut take = |from: PathBuf, name: &str| -> Result<(), SyncError> {
        if from.symlink_metadata().is_err() {
            return Ok(());
        }
        let target = to.join(name);
        let failed = |error: std::io::Error| {
            SyncError::Unwritable(format!("{} cannot be moved to {}: {error}", from.display(), target.display()))
        };
        fs::create_dir_all(target.parent().unwrap_or(&to)).map_err(failed)?;
        put(&from, &target).map_err(failed)?;
        moved.push(format!("{}: {}", from.display(), target.display()));
        Ok(())
    };
    for end in ["", "-wal", "-shm"] {
        let mut path = config.db_path.clone().into_os_string();
        path.push(end);
        take(path.into(), &format!("runs.db{end}"))?;
    }
    for watch in watches {
        let name = &watch.settings.name;
        if !parted.contains(&StreamName::watch(name)) {
            continue;
        }
        let there = config.watch(name.as_str()).map_or(&watch.view_dir, |there| &there.view_dir);
        take(there.join("reports").join(name.as_str()), &format!("reports/{name}"))?;
    }
    Ok(moved)
}

/// Renames, or copies where the two are on different file systems.
fn put(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices && from.is_file() => {
            fs::copy(from, to)?;
            fs::remove_file(from)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_called_by_the_second_without_colons() {
        assert_eq!(folder_name(Stamp(1_700_000_000_123_000_000)), "2023-11-14T22-13-20Z");
        assert_eq!(folder_name(Stamp(1_700_000_000_000_000_000)), "2023-11-14T22-13-20Z");
    }
}
