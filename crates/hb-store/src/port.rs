//! What the daemon needs of a store, and the laws that every backend obeys (checked by `conformance`).

use std::time::Duration;

use hb_core::ids::{Epoch, NodeName, Seq, StreamName};

/// What became of an append. There is no fourth end (J5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Committed,
    /// The number is taken by other bytes, or lies below the floor: nothing was changed (J2).
    Refused(Standing),
    /// It may or may not be there. Read the number back before anything else.
    Unknown(String),
    /// It was certainly not done, and may be tried again: no space, read-only, no permission.
    Failed(String),
    /// It was not acknowledged, and this handle will never append again: an fsync failed, and what such a disk says later is
    /// not believed. The node has to end, so that another one goes on.
    Stopped(String),
}

/// What stands in the way of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Other bytes stand at that number.
    Taken(Vec<u8>),
    /// The number has been trimmed away (J6).
    BelowFloor(Seq),
}

/// Why a journal could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
    /// What is stored is damaged; names the file and record.
    #[error("{0}")]
    Corrupt(String),
    /// This handle has stopped for good ([`Appended::Stopped`]).
    #[error("{0}")]
    Stopped(String),
}

/// A stream of numbered records, appended by compare-and-set.
///
/// The journal moves bytes; that they are a sound record is checked by its callers (`hb_core::journal`).
pub trait Journal: Send {
    /// Number of the newest record, if there is one.
    ///
    /// # Errors
    /// [`JournalError`].
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError>;

    /// Puts `bytes` at number `seq` if nobody has (J1, J2, J3). `seq` is the caller's head plus one.
    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended;

    /// Up to `most` records from `from` on, in order, without gaps; empty when there is nothing from there on.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when a record between `from` and the head is missing.
    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError>;

    /// Removes everything below `floor`, which is durable before anything goes (J6). Returns how many records went.
    ///
    /// # Errors
    /// [`JournalError`].
    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError>;

    /// The floor: the smallest number that may still stand.
    ///
    /// # Errors
    /// [`JournalError`].
    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError>;
}

/// What waiting for a lease came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// It is ours.
    Granted {
        /// What gave it: `file`, `file-ttl`, `external`.
        how: &'static str,
        /// Why it was free, in words: `first start`, `the holder ended`, `no progress for 3.0 s`.
        why: String,
    },
    /// Somebody else has it.
    Held,
}

/// Who holds a lease, by their own account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Holder {
    /// The node.
    pub node: NodeName,
    /// Its process.
    pub pid: u32,
    /// Largest epoch that it has opened.
    pub epoch: Epoch,
    /// Grows with every turn of its work loop.
    pub progress: u64,
}

/// Why a lease could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LeaseError(pub String);

/// The right to try. It picks who works now and may be wrong; safety rests on the journal alone (H1).
pub trait Lease: Send {
    /// Waits at most `patience` for the lease.
    ///
    /// # Errors
    /// [`LeaseError`] when it cannot be told; counts as held.
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError>;

    /// Shows progress; called from the work loop only, at least three times per TTL (H2).
    ///
    /// # Errors
    /// [`LeaseError`] when it could not be shown, or when somebody else shows a larger epoch.
    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError>;

    /// Gives it back.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn release(&mut self) -> Result<(), LeaseError>;

    /// Who shows progress at the moment.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn holder(&mut self) -> Result<Option<Holder>, LeaseError>;
}
