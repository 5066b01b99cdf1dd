//! Documents in a folder: `baselines/HASH.json`, each under the hash of its bytes.
//!
//! **Invariants.** A document appears whole or not at all, and durable. What is read has the hash that it is called by, and is durable:
//! whoever put it may have died before its name was.

use std::path::{Path, PathBuf};

use hb_core::journal::Hash;

use crate::atomic::{Disk, Durability, Fault, Publish};
use crate::port::{Blobs, JournalError};

/// Folder, below `output_dir`.
pub const DIR: &str = "baselines";

/// Documents of one folder.
#[derive(Debug, Clone)]
pub struct DirBlobs {
    disk: Disk,
    dir: PathBuf,
    /// What stood there when this handle first read is durable.
    confirmed: bool,
}

impl DirBlobs {
    /// The documents below `output_dir`; nothing is created before the first is put.
    #[must_use]
    pub fn open(output_dir: &Path) -> Self {
        Self::open_on(Disk::new(), output_dir)
    }

    /// The same on a file system whose steps may be made to fail.
    #[must_use]
    pub fn open_on(disk: Disk, output_dir: &Path) -> Self {
        Self { disk, dir: output_dir.join(DIR), confirmed: false }
    }

    /// Where the document of that hash stands, or would.
    #[must_use]
    pub fn path(&self, hash: Hash) -> PathBuf {
        self.dir.join(file_name(hash))
    }

    /// Every document that stands there, by its name's hash, and names that are no hash.
    pub(crate) fn list(&self) -> Result<(Vec<Hash>, Vec<String>), JournalError> {
        let names = self.disk.names(&self.dir).map_err(unavailable)?;
        let (mut hashes, mut foreign) = (Vec::new(), Vec::new());
        for name in names {
            match name.strip_suffix(".json").and_then(Hash::parse) {
                Some(hash) if file_name(hash) == name => hashes.push(hash),
                Some(_) | None => foreign.push(name),
            }
        }
        hashes.sort();
        Ok((hashes, foreign))
    }
}

impl DirBlobs {
    fn confirm(&mut self) -> Result<(), JournalError> {
        if self.confirmed {
            return Ok(());
        }
        match self.disk.sync_dir(&self.dir) {
            Ok(()) => self.confirmed = true,
            // Who may not write there reads all the same.
            Err(fault) if fault.not_permitted() || fault.read_only() => {}
            Err(fault) => return Err(unavailable(fault)),
        }
        Ok(())
    }
}

impl Blobs for DirBlobs {
    fn put(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), JournalError> {
        self.disk.create_dirs(&self.dir).map_err(unavailable)?;
        self.disk.sweep(&self.dir).map_err(unavailable)?;
        match self.disk.publish_new(&self.dir, &file_name(hash), bytes) {
            Publish::Done => Ok(()),
            // Only damage can stand under this name with other bytes.
            Publish::Taken(_) => {
                self.disk.replace(&self.dir, &file_name(hash), bytes, Durability::Durable).map_err(unavailable)
            }
            Publish::NotDone(fault) | Publish::Perhaps(fault) => Err(unavailable(fault)),
        }
    }

    fn get(&mut self, hash: Hash) -> Result<Option<Vec<u8>>, JournalError> {
        let path = self.path(hash);
        let Some(bytes) = self.disk.read(&path).map_err(unavailable)? else { return Ok(None) };
        if Hash::of(&bytes) == hash {
            self.confirm()?;
            return Ok(Some(bytes));
        }
        Err(JournalError::Corrupt(format!("{}: it is damaged: its bytes have another hash", path.display())))
    }
}

fn unavailable(fault: Fault) -> JournalError {
    JournalError::Unavailable(fault.to_string())
}

fn file_name(hash: Hash) -> String {
    format!("{hash}.json")
}
