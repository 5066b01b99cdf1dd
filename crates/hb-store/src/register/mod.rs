//! A register: small named cells, each changed by compare-and-set. It is what PostgreSQL, etcd, Kubernetes, buckets and folders
//! have in common, and all that a lease over several hosts and the board of nodes need.
//!
//! **Laws** (checked by `conformance::registers`). A swap that expected another version changes nothing and says what stands there.
//! Versions of one cell never come again, also after it was removed. What a swap acknowledged is what every later read shows, by
//! whatever handle. A swap whose end is not known says so.
//!
//! Bounds (B1): a cell has at most [`CELL_MAX`] bytes, its name at most [`NAME_MAX`].

use std::time::Duration;

/// Most bytes of a cell.
pub const CELL_MAX: usize = 64 << 10;
/// Most bytes of a name.
pub const NAME_MAX: usize = 200;

/// Which content of a cell: opaque, compared for equality alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CellVersion(pub String);

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their version.
    pub version: CellVersion,
}

/// What became of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    /// It is done; this is the version now. After a removal, the version that was removed.
    Done(CellVersion),
    /// The cell had another version: nothing was changed. What stands there, if anything.
    Lost(Option<Cell>),
    /// It may or may not be done: read before anything else.
    Unknown(String),
    /// It was certainly not done, and may be tried again.
    Failed(String),
}

/// Why a register could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegisterError(pub String);

/// Why waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Woken {
    /// The cell is not as it was seen.
    Changed,
    /// Whoever attended to the cell is gone: the engine says so (its connection broke). In words.
    Abandoned(String),
    /// Nothing happened for as long as was asked.
    Patience,
}

/// Named cells with compare-and-set. Names are made of segments of letters, digits, `.`, `_` and `-`, with `/` between them.
pub trait Register: Send {
    /// What stands in a cell.
    ///
    /// # Errors
    /// [`RegisterError`] when it cannot be told.
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError>;

    /// Puts `bytes` in if the cell still has the version that was `seen`; none: if there is no such cell.
    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped;

    /// Removes the cell if it still has that version.
    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped;

    /// Every cell whose name begins with `prefix`, by name; at most `most` of them.
    ///
    /// # Errors
    /// [`RegisterError`] when it cannot be told.
    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError>;

    /// Waits until the cell has another version than `seen`, for at most `patience`. Engines that can tell are not asked again and
    /// again; the others are, at a rate of their own.
    ///
    /// # Errors
    /// [`RegisterError`] when it cannot be told.
    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError>;

    /// From now on, while this handle lives, the engine can tell those who wait for the cell when this process has gone. Engines
    /// that cannot, do nothing: then only the age of what stands there tells.
    ///
    /// # Errors
    /// [`RegisterError`] when somebody else attends to it, or it cannot be told.
    fn attend(&mut self, _name: &str) -> Result<(), RegisterError> {
        Ok(())
    }

    /// Attends no longer.
    fn leave(&mut self, _name: &str) {}
}
