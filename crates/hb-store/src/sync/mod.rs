//! Copying what has been decided to where nothing is shared: one journal is read, another appended to, by the same port.
//!
//! A copy is a journal with all its laws: it holds the source's records under their own numbers, with their own bytes. So it
//! can be interrupted anywhere (its head says how far it came), it is incremental, and a node that starts on it finds what it
//! finds at any start (docs/adr/0011-copies-are-journals.md).
//!
//! **Invariants.** Nothing is appended that has not been checked: its hash, its place, its link to the record before, its
//! epoch (J1, J4). A document stands before the records that name it. Two histories are never merged: where both sides have
//! a record of one number with different hashes, nothing is changed and both are told apart ([`Divergence`]).
//!
//! | question | file |
//! |---|---|
//! | How do two streams stand to one another? | `compare.rs` |
//! | What is copied, in which order? | `copy.rs` |
//! | A journal at hand | `local.rs` |
//! | What a copy says of itself | `note.rs` |
//! | Records in the body of a request | `frames.rs` |

mod compare;
mod copy;
pub mod frames;
mod local;
mod note;
#[cfg(test)]
mod tests;

use hb_core::ids::{Epoch, NodeName, Seq, StreamName};
use hb_core::journal::{Hash, Head};
use hb_core::time::Stamp;
use serde::{Deserialize, Serialize};

pub use compare::{Ahead, Divergence, Relation, Tail, relate};
pub use copy::{Copied, Progress, copy, copy_beside, of_watch};
pub use local::Local;
pub use note::{NOTE_FILE, NOTE_FORMAT, Note};

/// Most records of one page (B1).
pub const PAGE_RECORDS: usize = 256;
/// Bytes after which a page is full; one record may be larger (B1).
pub const PAGE_BYTES: usize = 1 << 20;
/// Most streams that one side lists (B1).
pub const STREAMS_MAX: usize = 10_000;

/// A record as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Its number.
    pub seq: Seq,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Which record it is, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its number.
    pub seq: Seq,
    /// Its hash.
    pub hash: Hash,
    /// Reign of its writer.
    pub epoch: Epoch,
    /// Its writer.
    pub node: NodeName,
    /// Wall clock of the writer; information only.
    pub at: Stamp,
}

impl Written {
    /// The same as the head of a stream.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash, epoch: self.epoch }
    }
}

/// How a stream stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The smallest number that may still stand.
    pub floor: Seq,
    /// The newest record, if there is one.
    pub head: Option<Written>,
}

/// Why a copy could not be brought up to date. Nothing but whole, checked records has been appended then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
    /// The copy could not be written.
    #[error("{0}")]
    Unwritable(String),
    /// Something is damaged; names side, stream and record.
    #[error("{0}")]
    Corrupt(String),
    /// It is not to be done; says why.
    #[error("{0}")]
    Refused(String),
    /// The copy has gone on by itself, and the source has nothing that it lacks.
    #[error("{0}")]
    Ahead(Box<Ahead>),
    /// The two tell different histories.
    #[error("{0}")]
    Diverged(Box<Divergence>),
}

/// One end of a copy. Sides check what they are given, and name themselves in what they say.
pub trait Side: Send {
    /// What people call it.
    fn name(&self) -> &str;

    /// Every stream that it has; none where it cannot tell.
    ///
    /// # Errors
    /// [`SyncError`].
    fn streams(&mut self) -> Result<Option<Vec<StreamName>>, SyncError>;

    /// How a stream stands; its newest record is checked.
    ///
    /// # Errors
    /// [`SyncError`].
    fn standing(&mut self, stream: &StreamName) -> Result<Standing, SyncError>;

    /// Records from `from` on, or from the floor where that is above; at most `most`, [`PAGE_RECORDS`] and about [`PAGE_BYTES`].
    ///
    /// # Errors
    /// [`SyncError`].
    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<Raw>, SyncError>;

    /// Appends records that follow its newest one.
    ///
    /// # Errors
    /// [`SyncError`]; what comes before the record at fault is kept.
    fn append(&mut self, stream: &StreamName, page: Vec<Raw>) -> Result<(), SyncError>;

    /// Puts a page in the place of all that stands, where its newest record still is the one that was seen. See
    /// [`crate::port::Journal::begin`].
    ///
    /// # Errors
    /// [`SyncError::Refused`] where another one stands by now; nothing has been changed then.
    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, page: Vec<Raw>) -> Result<(), SyncError>;

    /// Lets everything below `floor` go; gives how many records went.
    ///
    /// # Errors
    /// [`SyncError`].
    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, SyncError>;

    /// The document of that hash, checked.
    ///
    /// # Errors
    /// [`SyncError`].
    fn document(&mut self, hash: Hash) -> Result<Option<Vec<u8>>, SyncError>;

    /// Whether it has the document of that hash, undamaged.
    ///
    /// # Errors
    /// [`SyncError`].
    fn has_document(&mut self, hash: Hash) -> Result<bool, SyncError>;

    /// Keeps a document, durable.
    ///
    /// # Errors
    /// [`SyncError`].
    fn keep(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), SyncError>;

    /// What the newest copying left here, if anything.
    ///
    /// # Errors
    /// [`SyncError`].
    fn note(&mut self) -> Result<Option<Note>, SyncError>;

    /// Leaves a note of what was copied. A side without a place for it does nothing.
    ///
    /// # Errors
    /// [`SyncError`].
    fn leave(&mut self, note: &Note) -> Result<(), SyncError>;

    /// A side beside this one, to which another history of a stream is copied before it takes the place of this one's. What an earlier
    /// try has brought there is there.
    ///
    /// # Errors
    /// [`SyncError`]; a side that cannot do it says what can be done.
    fn beside(&mut self, stream: &StreamName) -> Result<Box<dyn Side>, SyncError>;

    /// Forgets what was brought beside.
    ///
    /// # Errors
    /// [`SyncError`].
    fn forget_beside(&mut self, stream: &StreamName) -> Result<(), SyncError>;

    /// Puts what stands beside in the place of a stream, which is set aside whole, everything kept; gives where it stands then. Until
    /// that is done, the stream stands as it was.
    ///
    /// # Errors
    /// [`SyncError`].
    fn swap(&mut self, stream: &StreamName) -> Result<String, SyncError>;
}
