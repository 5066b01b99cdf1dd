//! Baseline documents: `baselines/HASH.json`, each under the hash of its bytes.
//!
//! **Invariants.** A document never changes; what is read has the hash that it is called by.

use std::path::{Path, PathBuf};

use hb_core::journal::Hash;
use hb_core::watch::baseline::Baseline;

use crate::atomic::{Disk, Publish};

/// Folder, below `output_dir`.
pub const DIR: &str = "baselines";

/// Why a baseline document could not be kept or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BaselineError(pub String);

/// The baseline documents of one folder.
#[derive(Debug, Clone)]
pub struct Baselines {
    disk: Disk,
    dir: PathBuf,
}

impl Baselines {
    /// The documents below `output_dir`; nothing is created before the first is put.
    #[must_use]
    pub fn open(output_dir: &Path) -> Self {
        Self { disk: Disk::new(), dir: output_dir.join(DIR) }
    }

    /// Where the document of that hash stands, or would.
    #[must_use]
    pub fn path(&self, hash: Hash) -> PathBuf {
        self.dir.join(file_name(hash))
    }

    /// Keeps a document, durable, and gives back its hash. Putting it again changes nothing, but for mending a damaged copy.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, baseline: &Baseline) -> Result<Hash, BaselineError> {
        let bytes = baseline.to_bytes();
        let hash = Hash::of(&bytes);
        let refused = |fault: crate::atomic::Fault| BaselineError(fault.to_string());
        self.disk.create_dirs(&self.dir).map_err(refused)?;
        match self.disk.publish_new(&self.dir, &file_name(hash), &bytes) {
            Publish::Done => Ok(hash),
            // Only damage can stand under this name with other bytes.
            Publish::Taken(_) => {
                let mended = self.disk.replace(&self.dir, &file_name(hash), &bytes, crate::atomic::Durability::Durable);
                mended.map(|()| hash).map_err(refused)
            }
            Publish::NotDone(fault) | Publish::Perhaps(fault) => Err(refused(fault)),
        }
    }

    /// Reads the document of that hash.
    ///
    /// # Errors
    /// When it is missing, damaged or newer; names the file and says what to do.
    pub fn get(&self, hash: Hash) -> Result<Baseline, BaselineError> {
        let path = self.path(hash);
        let bytes = self.disk.read(&path).map_err(|fault| BaselineError(fault.to_string()))?;
        let told = |what: String| {
            BaselineError(format!("{}: {what}; restore it from a copy, or learn a new baseline", path.display()))
        };
        let bytes = bytes.ok_or_else(|| told("the baseline document is missing".to_owned()))?;
        Baseline::from_bytes(&bytes, hash).map_err(told)
    }

    /// Every document that stands there, by its name's hash, and names that are no hash.
    pub(crate) fn list(&self) -> Result<(Vec<Hash>, Vec<String>), BaselineError> {
        let names = self.disk.names(&self.dir).map_err(|fault| BaselineError(fault.to_string()))?;
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

fn file_name(hash: Hash) -> String {
    format!("{hash}.json")
}
