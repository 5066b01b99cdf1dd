//! Documents under the hash of their bytes: `baselines/HASH.json`.
//!
//! **Invariants.** An object appears whole or not at all, and durable. What is read has the hash that it is called by.

use hb_core::journal::Hash;
use hb_store::port::{Blobs, JournalError};
use object_store::PutMode;

use super::bucket::{Bucket, Put};
use super::fault::Fault;
use super::names;

/// Documents in a bucket.
#[derive(Debug, Clone)]
pub struct ObjectBlobs {
    bucket: Bucket,
}

impl ObjectBlobs {
    /// The documents of that place.
    #[must_use]
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    fn unavailable(&self, key: &str, what: &str) -> JournalError {
        JournalError::Unavailable(format!("{} of {}: {what}", self.bucket.shown(key), self.bucket.target()))
    }
}

impl Blobs for ObjectBlobs {
    fn put(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), JournalError> {
        let key = names::document(hash);
        if Hash::of(bytes) != hash {
            return Err(self.unavailable(&key, "the bytes to put have another hash"));
        }
        let mut ended = self.bucket.put(&key, bytes, PutMode::Create);
        if let Put::Refused(_) | Put::Unknown(_) = ended {
            let there = self.bucket.get(&key).map_err(|fault| self.unavailable(&key, &fault.what))?;
            ended = match there {
                Some(there) if there.bytes == bytes => return Ok(()),
                // Only damage can stand under this name with other bytes; whoever mends it writes the same.
                Some(there) => self.bucket.put(&key, bytes, PutMode::Update(there.version)),
                None => self.bucket.put(&key, bytes, PutMode::Create),
            };
        }
        match ended {
            Put::Done(_) => Ok(()),
            Put::Refused(what) | Put::NotDone(what) | Put::Unknown(what) => Err(self.unavailable(&key, &what)),
        }
    }

    fn get(&mut self, hash: Hash) -> Result<Option<Vec<u8>>, JournalError> {
        let key = names::document(hash);
        let found = self.bucket.get(&key).map_err(|Fault { what, .. }| self.unavailable(&key, &what))?;
        match found {
            None => Ok(None),
            Some(found) if Hash::of(&found.bytes) == hash => Ok(Some(found.bytes)),
            Some(_) => Err(JournalError::Corrupt(format!(
                "{} of {}: it is damaged: its bytes have another hash",
                self.bucket.shown(&key),
                self.bucket.target()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Manner;

    #[test]
    fn a_document_is_kept_found_mended_and_never_read_damaged() {
        let bucket = Bucket::open(&"memory:blobs".parse().unwrap(), &Manner::default()).unwrap();
        let mut blobs = ObjectBlobs::new(bucket.clone());
        let hash = Hash::of(b"{}");
        assert_eq!(blobs.get(hash), Ok(None));
        assert_eq!(blobs.put(hash, b"{}"), Ok(()));
        assert_eq!(blobs.put(hash, b"{}"), Ok(()));
        assert_eq!(blobs.get(hash), Ok(Some(b"{}".to_vec())));
        assert!(matches!(bucket.put(&names::document(hash), b"{]", PutMode::Overwrite), Put::Done(_)));
        assert!(matches!(blobs.get(hash), Err(JournalError::Corrupt(_))));
        assert_eq!(blobs.put(hash, b"{}"), Ok(()));
        assert_eq!(blobs.get(hash), Ok(Some(b"{}".to_vec())));
        assert!(matches!(blobs.put(hash, b"other"), Err(JournalError::Unavailable(_))));
    }
}
