//! `sync.json`: what a copy says of itself, for people, for `hb status`, and for the next copying.
//!
//! **Invariants.** It is information: what has been copied is what stands in the journal. It is used for one judgement, whether a
//! stream that fell below its source's floor has written anything of its own, and there its absence counts as yes.

use std::collections::BTreeMap;
use std::path::Path;

use hb_core::ids::{NodeName, StreamName};
use hb_core::time::Stamp;
use serde::{Deserialize, Serialize};

use super::{SyncError, Written};
use crate::atomic::{Disk, Durability};

/// Its name, in `output_dir`.
pub const NOTE_FILE: &str = "sync.json";
/// Version of the document.
pub const NOTE_FORMAT: u32 = 1;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Version of the document.
    pub format: u32,
    /// Where it was copied from, without secrets.
    pub source: String,
    /// Who copied it.
    pub by: NodeName,
    /// When, by the wall clock of whoever copied.
    pub at: Stamp,
    /// Newest record of each stream.
    pub heads: BTreeMap<StreamName, Written>,
}

impl Note {
    /// Reads the note of a folder; one that cannot be read counts as none and is told.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn load(disk: &Disk, dir: &Path) -> Result<Option<Self>, SyncError> {
        let path = dir.join(NOTE_FILE);
        let bytes = disk.read(&path).map_err(|fault| SyncError::Unavailable(fault.to_string()))?;
        let Some(bytes) = bytes else { return Ok(None) };
        match Self::parse(&bytes) {
            Ok(note) => Ok(Some(note)),
            Err(what) => {
                tracing::warn!("{}: {what}; the next `hb checkpoint sync` writes it anew", path.display());
                Ok(None)
            }
        }
    }

    /// Reads a note.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let note: Self = serde_json::from_slice(bytes).map_err(|error| format!("no note of a copy: {error}"))?;
        if note.format > NOTE_FORMAT {
            return Err(format!("it has format {}, this program reads up to {NOTE_FORMAT}", note.format));
        }
        Ok(note)
    }

    /// As bytes.
    ///
    /// # Panics
    /// Never: it is plain data.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a note is plain data with string keys");
        bytes.push(b'\n');
        bytes
    }

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn store(&self, disk: &Disk, dir: &Path) -> Result<(), SyncError> {
        let unwritable = |fault: crate::atomic::Fault| SyncError::Unwritable(fault.to_string());
        disk.create_dirs(dir).map_err(unwritable)?;
        disk.replace(dir, NOTE_FILE, &self.to_bytes(), Durability::Durable).map_err(unwritable)
    }
}
