//! How much a store can hold: small file systems that are filled to the last byte, and given room again.
//!
//! What cannot wait for the end of a test that fails is kept: see [`keep`].

use std::fs::{File, remove_file};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::support::mount::Mount;

/// How much the stores of a site can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// More than any test needs; nothing is mounted.
    Ample,
    /// So little that a test can fill it.
    Small,
}

/// Size of a folder of records and views, in MB.
const FOLDER: u32 = 48;
/// Folders that are mounted.
static MOUNTED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file system of its own over a folder.
pub(crate) struct Small {
    folder: PathBuf,
    /// None where it could not be mounted, which was told: then it never is full.
    mount: Option<Mount>,
}

impl Small {
    /// Over a folder for records.
    pub(crate) fn at(folder: &Path) -> Self {
        Self::of(folder, FOLDER)
    }

    /// The same of another size.
    pub(crate) fn of(folder: &Path, megabytes: u32) -> Self {
        let mount = Mount::small(folder, megabytes).map_err(|why| println!("NOT RUN full stores: {why}")).ok();
        if mount.is_some() {
            MOUNTED.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
        }
        Self { folder: folder.to_owned(), mount }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Takes all the room there is; false where there is no bound.
    pub(crate) fn fill(&self) -> bool {
        if self.mount.is_none() {
            return false;
        }
        let mut file = File::create(self.ballast()).unwrap();
        let mut block = 1 << 20;
        while block > 0 {
            let bytes = vec![1; block];
            while file.write_all(&bytes).is_ok() {}
            block /= 2;
        }
        true
    }

    /// Gives it back.
    pub(crate) fn empty(&self) {
        // It is not there where nothing could be filled.
        drop(remove_file(self.ballast()));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        MOUNTED.lock().unwrap_or_else(PoisonError::into_inner).retain(|folder| *folder != self.folder);
    }
}

/// Copies what is mounted into a folder, for whoever has to understand a failure: mounts go with the process.
pub(crate) fn keep(into: &Path) {
    for (number, folder) in MOUNTED.lock().unwrap_or_else(PoisonError::into_inner).iter().enumerate() {
        let there = into.join(format!("mounted-{number}"));
        // As much as can be had.
        drop(std::process::Command::new("cp").arg("-a").arg(folder).arg(there).status());
    }
}
