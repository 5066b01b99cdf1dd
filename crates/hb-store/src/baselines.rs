//! Baseline documents: `baselines/HASH.json`, each under the hash of its bytes.
//!
//! **Invariants.** A document never changes; what is read has the hash that it is called by. As long as somebody holds a
//! document, whoever asks for it gets that one: of many series it is large.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hb_core::journal::Hash;
use hb_core::watch::baseline::Baseline;

use crate::atomic::{Disk, Durability, Fault, Publish};

/// Folder, below `output_dir`.
pub const DIR: &str = "baselines";

/// Why a baseline document could not be kept or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BaselineError(pub String);

/// The baseline documents of one folder. Clones know of the documents that others of them hold.
#[derive(Debug, Clone)]
pub struct Baselines {
    disk: Disk,
    dir: PathBuf,
    /// What somebody holds; what nobody holds any more goes with the next one that comes.
    held: Arc<Mutex<BTreeMap<Hash, Weak<Baseline>>>>,
}

impl Baselines {
    /// The documents below `output_dir`; nothing is created before the first is put.
    #[must_use]
    pub fn open(output_dir: &Path) -> Self {
        Self { disk: Disk::new(), dir: output_dir.join(DIR), held: Arc::default() }
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
        self.put_bytes(hash, &bytes).map(|()| hash)
    }

    /// The same for a document's bytes.
    ///
    /// # Errors
    /// When they do not have that hash, or cannot be written.
    pub fn put_bytes(&self, hash: Hash, bytes: &[u8]) -> Result<(), BaselineError> {
        if Hash::of(bytes) != hash {
            return Err(BaselineError(format!("a baseline document with another hash than {hash} was to be kept")));
        }
        let refused = |fault: Fault| BaselineError(fault.to_string());
        self.disk.create_dirs(&self.dir).map_err(refused)?;
        self.disk.sweep(&self.dir).map_err(refused)?;
        match self.disk.publish_new(&self.dir, &file_name(hash), bytes) {
            Publish::Done => Ok(()),
            // Only damage can stand under this name with other bytes.
            Publish::Taken(_) => {
                self.disk.replace(&self.dir, &file_name(hash), bytes, Durability::Durable).map_err(refused)
            }
            Publish::NotDone(fault) | Publish::Perhaps(fault) => Err(refused(fault)),
        }
    }

    /// The document of that hash: the one that somebody holds, or else read and checked.
    ///
    /// # Errors
    /// When it is missing, damaged or newer; names the file and says what to do.
    pub fn get(&self, hash: Hash) -> Result<Arc<Baseline>, BaselineError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = held.get(&hash).and_then(Weak::upgrade) {
            return Ok(document);
        }
        // Read under the lock: two that ask at the same time would read it twice.
        let document = Arc::new(self.read(hash)?);
        note(&mut held, hash, &document);
        Ok(document)
    }

    /// Reads the document from its file, whoever holds it.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn read(&self, hash: Hash) -> Result<Baseline, BaselineError> {
        let bytes = self.disk.read(&self.path(hash)).map_err(|fault| BaselineError(fault.to_string()))?;
        let bytes = bytes.ok_or_else(|| self.told(hash, "the baseline document is missing"))?;
        Baseline::from_bytes(&bytes, hash).map_err(|what| self.told(hash, &what))
    }

    /// Told of a document that is held already: whoever asks for it gets this one.
    pub fn lend(&self, hash: Hash, document: &Arc<Baseline>) {
        note(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner), hash, document);
    }

    fn told(&self, hash: Hash, what: &str) -> BaselineError {
        let path = self.path(hash);
        BaselineError(format!("{}: {what}; restore it from a copy, or learn a new baseline", path.display()))
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

fn note(held: &mut BTreeMap<Hash, Weak<Baseline>>, hash: Hash, document: &Arc<Baseline>) {
    held.retain(|_, document| document.strong_count() > 0);
    held.insert(hash, Arc::downgrade(document));
}

fn file_name(hash: Hash) -> String {
    format!("{hash}.json")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hb_core::time::{Span, Stamp};
    use hb_core::watch::baseline::{BASELINE_FORMAT, Provenance};

    use super::*;

    fn baseline() -> Baseline {
        let span = Span { start: Stamp(0), end: Stamp(1_000) };
        let from = "auto".to_owned();
        let provenance = Provenance { from, span, windows: 3, window_ns: 10, samples: 30, by: "a".to_owned() };
        Baseline { format: BASELINE_FORMAT, provenance, series: BTreeMap::new() }
    }

    #[test]
    fn a_document_is_read_back_by_its_hash_and_damage_is_told_and_mended() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Baselines::open(dir.path());
        let hash = kept.put(&baseline()).unwrap();
        assert_eq!(*kept.get(hash).unwrap(), baseline());
        let sound = fs::read(kept.path(hash)).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(kept.path(hash), flipped).unwrap();
            let told = kept.get(hash).unwrap_err().to_string();
            assert!(told.contains(&hash.to_string()) && told.contains("restore"), "{told}");
        }
        assert_eq!(kept.put(&baseline()).unwrap(), hash);
        assert_eq!(fs::read(kept.path(hash)).unwrap(), sound);
        assert!(kept.put_bytes(hash, b"other").is_err());
        assert!(kept.get(Hash::of(b"nothing")).unwrap_err().to_string().contains("is missing"));
    }

    #[test]
    fn a_document_is_in_memory_once_for_all_who_hold_it() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Baselines::open(dir.path());
        let hash = kept.put(&baseline()).unwrap();
        let first = kept.get(hash).unwrap();
        assert!(Arc::ptr_eq(&first, &kept.clone().get(hash).unwrap()));
        drop(first);
        fs::remove_file(kept.path(hash)).unwrap();
        assert!(kept.get(hash).is_err(), "nobody holds it any more, and the file is gone");
        let mine = Arc::new(baseline());
        kept.lend(hash, &mine);
        assert!(Arc::ptr_eq(&mine, &kept.get(hash).unwrap()));
    }
}
