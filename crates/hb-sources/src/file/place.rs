//! What a place in a file is remembered by.
//!
//! The token says which file it is, not where in it: it depends on nothing but the file's own first bytes, so it is the same
//! whoever reads the file, whenever and in whatever steps.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Most bytes of a file's beginning that tell it from others.
pub(crate) const PRINT_BYTES_MAX: usize = 1024;

/// Which file a position lies in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Always `file`.
    pub(crate) kind: Kind,
    /// The file's inode number. Its device is left out: device numbers change over restarts of the machine.
    pub(crate) ino: u64,
    /// Position of the file's first byte in the stream.
    pub(crate) base: u64,
    /// Fingerprint of its beginning.
    #[serde(flatten)]
    pub(crate) print: Print,
}

/// Tells this token from other sources' tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A place in a file.
    File,
}

/// Fingerprint of a file's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Print {
    /// How many bytes it covers; 0 while the first line is not complete.
    pub(crate) length: u16,
    /// FNV-1a, 64 bits (Fowler, Noll, Vo).
    pub(crate) hash: u64,
}

impl Token {
    pub(crate) fn text(&self) -> Arc<str> {
        serde_json::to_string(self).expect("numbers and a name are always JSON").into()
    }
}

impl Print {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self { length: u16::try_from(bytes.len()).unwrap_or(u16::MAX), hash }
    }

    /// The fingerprint for places in a file of which `head` is the beginning: of its first line for places within the first
    /// [`PRINT_BYTES_MAX`] bytes, of these bytes for those behind.
    pub(crate) fn at(head: &[u8], offset: u64) -> Self {
        if offset >= PRINT_BYTES_MAX as u64 || head.len() >= PRINT_BYTES_MAX && memchr::memchr(b'\n', head).is_none() {
            return Self::of(head);
        }
        memchr::memchr(b'\n', head).map_or_else(Self::default, |end| Self::of(head.get(..=end).unwrap_or_default()))
    }

    /// Whether `head`, the beginning of a file, is that of the file meant.
    pub(crate) fn fits(self, head: &[u8]) -> bool {
        head.get(..usize::from(self.length)).is_some_and(|bytes| Self::of(bytes) == self || self.length == 0)
    }
}

/// The first [`PRINT_BYTES_MAX`] bytes of a file, or all that it has.
pub(crate) fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PRINT_BYTES_MAX];
    let mut length = 0;
    while let Some(room) = bytes.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read_at(room, length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_does_not_depend_on_how_much_of_the_file_was_there() {
        let whole: Vec<u8> = (0..200).flat_map(|n| format!("line {n}\n").into_bytes()).take(PRINT_BYTES_MAX).collect();
        let early = Print::at(&whole[..7], 0);
        assert_eq!(early, Print::at(&whole, 7));
        assert_ne!(early, Print::at(&whole, 1024));
        assert!(early.fits(&whole) && early.fits(&whole[..7]) && !early.fits(b"line"));
        assert_eq!(Print::at(b"line", 0), Print::default());
        assert!(Print::default().fits(b"anything"));
    }

    #[test]
    fn tokens_read_back() {
        let token = Token { kind: Kind::File, ino: 7, base: 9, print: Print::of(b"a\n") };
        let text = token.text();
        assert_eq!(serde_json::from_str::<Token>(&text).unwrap(), token, "{text}");
    }
}
