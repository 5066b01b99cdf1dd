//! Baseline documents, each under the hash of its bytes, wherever they are kept.
//!
//! **Invariants.** A document never changes; what is read has the hash that it is called by. As long as somebody holds a
//! document, whoever asks for it gets that one: of many series it is large.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hb_core::journal::Hash;
use hb_core::watch::baseline::Baseline;

use crate::blobs::DirBlobs;
use crate::port::Blobs;

/// Why a baseline document could not be kept or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BaselineError(pub String);

/// The baseline documents of one place. Clones know of the documents that others of them hold.
#[derive(Clone)]
pub struct Baselines(Arc<Mutex<Known>>);

struct Known {
    kept: Box<dyn Blobs>,
    /// What somebody holds; what nobody holds any more goes with the next one that comes.
    held: BTreeMap<Hash, Weak<Baseline>>,
}

impl fmt::Debug for Baselines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Baselines")
    }
}

impl Baselines {
    /// The documents below `output_dir`; nothing is created before the first is put.
    #[must_use]
    pub fn open(output_dir: &Path) -> Self {
        Self::over(Box::new(DirBlobs::open(output_dir)))
    }

    /// The documents that are kept there.
    #[must_use]
    pub fn over(kept: Box<dyn Blobs>) -> Self {
        Self(Arc::new(Mutex::new(Known { kept, held: BTreeMap::new() })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
        self.with(|known| known.kept.put(hash, bytes)).map_err(|error| BaselineError(error.to_string()))
    }

    /// The document of that hash: the one that somebody holds, or else read and checked.
    ///
    /// # Errors
    /// When it is missing, damaged or newer; names it and says what to do.
    pub fn get(&self, hash: Hash) -> Result<Arc<Baseline>, BaselineError> {
        // Read under the lock: two that ask at the same time would read it twice.
        self.with(|known| {
            if let Some(document) = known.held.get(&hash).and_then(Weak::upgrade) {
                return Ok(document);
            }
            let document = Arc::new(known.read(hash)?);
            note(&mut known.held, hash, &document);
            Ok(document)
        })
    }

    /// Reads the document from where it is kept, whoever holds it.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn read(&self, hash: Hash) -> Result<Baseline, BaselineError> {
        self.with(|known| known.read(hash))
    }

    /// Told of a document that is held already: whoever asks for it gets this one.
    pub fn lend(&self, hash: Hash, document: &Arc<Baseline>) {
        self.with(|known| note(&mut known.held, hash, document));
    }
}

impl Known {
    fn read(&mut self, hash: Hash) -> Result<Baseline, BaselineError> {
        let advice = "restore it from a copy, or learn a new baseline";
        let bytes = self.kept.get(hash).map_err(|error| BaselineError(format!("{error}; {advice}")))?;
        let bytes = bytes.ok_or_else(|| BaselineError(format!("the baseline document {hash} is missing; {advice}")))?;
        Baseline::from_bytes(&bytes, hash)
            .map_err(|what| BaselineError(format!("the baseline document {hash}: {what}; {advice}")))
    }
}

fn note(held: &mut BTreeMap<Hash, Weak<Baseline>>, hash: Hash, document: &Arc<Baseline>) {
    held.retain(|_, document| document.strong_count() > 0);
    held.insert(hash, Arc::downgrade(document));
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
        let path = |hash| DirBlobs::open(dir.path()).path(hash);
        let hash = kept.put(&baseline()).unwrap();
        assert_eq!(*kept.get(hash).unwrap(), baseline());
        let sound = fs::read(path(hash)).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(path(hash), flipped).unwrap();
            let told = kept.get(hash).unwrap_err().to_string();
            assert!(told.contains(&hash.to_string()) && told.contains("restore"), "{told}");
        }
        assert_eq!(kept.put(&baseline()).unwrap(), hash);
        assert_eq!(fs::read(path(hash)).unwrap(), sound);
        assert!(kept.put_bytes(hash, b"other").is_err());
        assert!(kept.get(Hash::of(b"nothing")).unwrap_err().to_string().contains("is missing"));
    }

    #[test]
    fn a_document_is_in_memory_once_for_all_who_hold_it() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Baselines::open(dir.path());
        let path = |hash| DirBlobs::open(dir.path()).path(hash);
        let hash = kept.put(&baseline()).unwrap();
        let first = kept.get(hash).unwrap();
        assert!(Arc::ptr_eq(&first, &kept.clone().get(hash).unwrap()));
        drop(first);
        fs::remove_file(path(hash)).unwrap();
        assert!(kept.get(hash).is_err(), "nobody holds it any more, and the file is gone");
        let mine = Arc::new(baseline());
        kept.lend(hash, &mine);
        assert!(Arc::ptr_eq(&mine, &kept.get(hash).unwrap()));
    }
}
