//! A register: small named cells, each changed by compare-and-set. It is what PostgreSQL, etcd, Kubernetes, buckets and folders
//! have in common, and all that a lease over several hosts and the board of nodes need.
//!
//! **Laws** (checked by `conformance::registers`). A swap that expected another version changes nothing and says what stands there.
//! Versions of one cell never come again, also after it was removed. What a swap acknowledged is what every later read shows, by
//! whatever handle. A swap whose end is not known says so.
//!
//! Bounds (B1): a cell has at most [`CELL_MAX`] bytes, its name at most [`NAME_MAX`].

pub mod dir;
pub mod memory;
pub mod nonce;

use std::time::Duration;

pub use crate::atomic::Reach;

/// Most bytes of a cell.
pub const CELL_MAX: usize = 64 << 10;
/// Most bytes of a name.
pub const NAME_MAX: usize = 200;

/// What is wrong with a name of a cell, if anything: segments of ASCII letters, digits, `.`, `_` and `-` with `/` between them, no
/// segment that is empty or made of dots alone, at most [`NAME_MAX`] bytes.
///
/// # Errors
/// What is wrong, in words.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.len() > NAME_MAX {
        return Err(format!(
            "the name of a cell has {} bytes, at most {NAME_MAX} are allowed: {name:.40}…",
            name.len()
        ));
    }
    let sound = |segment: &str| {
        segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
            && segment.bytes().any(|byte| byte != b'.')
    };
    if name.split('/').all(sound) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name of a cell: segments of letters, digits, '.', '_' and '-' are, with '/' between them"
    ))
}

/// What is wrong with a swap of such a cell for such bytes, if anything.
///
/// # Errors
/// What is wrong, in words.
pub fn check(name: &str, bytes: &[u8]) -> Result<(), String> {
    check_name(name)?;
    if bytes.len() > CELL_MAX {
        return Err(format!("{} bytes are more than the {CELL_MAX} that cell {name} can take", bytes.len()));
    }
    Ok(())
}

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

/// How a register learns that a cell has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hears {
    /// The engine tells.
    Told,
    /// It has to be asked: each look is a request. A lease then chooses the moments itself.
    Asks,
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
    /// again; the others are, at a rate of their own. It is called many times a second with the same version: what is open
    /// (a watch, a subscription) stays open from call to call, so that waiting on costs no requests.
    ///
    /// # Errors
    /// [`RegisterError`] when it cannot be told.
    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError>;

    /// What stands in the cell, at least as new as the change that ended the last [`Register::wait`] for it by
    /// [`Woken::Changed`]. Engines that told of the change with what it made of the cell are not asked again; the others are.
    ///
    /// # Errors
    /// [`RegisterError`] when it cannot be told.
    fn told(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        self.read(name)
    }

    /// Whether the engine tells of changes, or is asked.
    fn hears(&self) -> Hears {
        Hears::Told
    }

    /// Who may have a handle on it.
    fn reach(&self) -> Reach {
        Reach::Shared
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_have_bounds() {
        let longest = "n".repeat(NAME_MAX);
        for sound in ["lease", "lease/unreadable", "node/bench-7.lab_2", "a/b/c", "..a", longest.as_str()] {
            assert_eq!(check_name(sound), Ok(()), "{sound}");
        }
        let too_long = "n".repeat(NAME_MAX + 1);
        for bad in ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".", "a b", "ä", "a\n", too_long.as_str()] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert_eq!(check("a", &vec![0; CELL_MAX]), Ok(()));
        assert!(check("a", &vec![0; CELL_MAX + 1]).unwrap_err().contains("65537"));
    }
}
