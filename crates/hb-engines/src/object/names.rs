//! Keys of objects, below the prefix of the target.
//!
//! ```text
//! journal/format                                   hb-journal 1
//! journal/watch/bench/00000000000000000007.rec     record 7 of stream watch/bench
//! journal/watch/bench/floor                        nothing below that number stands any more
//! cells/lease/bench                                a cell of the register, with its version around it
//! baselines/HASH.json                              a document
//! probe/…                                          what the probe puts, and removes again
//! ```
//!
//! Bytes of a stream's name that are not letters, digits, `_`, `-` or inner dots are written `!XX`, so that every stream has one
//! folder of its own; `!` needs no care in any store.

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;

const RECORD_SUFFIX: &str = ".rec";
/// Folder of streams without a kind.
const NO_KIND: &str = "!";
/// Key of the layout's version.
pub(super) const FORMAT: &str = "journal/format";
/// Folder of the cells.
pub(super) const CELLS: &str = "cells";

/// Folder of a stream.
pub(super) fn stream_dir(stream: &StreamName) -> String {
    match stream.as_str().split_once('/') {
        Some((kind, name)) if !kind.is_empty() => format!("journal/{}/{}", encode(kind), encode(name)),
        Some(_) | None => format!("journal/{NO_KIND}/{}", encode(stream.as_str())),
    }
}

fn encode(text: &str) -> String {
    if text.is_empty() {
        return NO_KIND.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && at > 0) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("!{byte:02X}"));
        }
    }
    out
}

/// Key of a record in a stream's folder.
pub(super) fn record(dir: &str, seq: Seq) -> String {
    format!("{dir}/{:020}{RECORD_SUFFIX}", seq.0)
}

/// Key of a stream's floor.
pub(super) fn floor(dir: &str) -> String {
    format!("{dir}/floor")
}

/// Number of the record with that last segment; nothing for any other name.
pub(super) fn number(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(RECORD_SUFFIX)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok().map(Seq) } else { None }
}

/// Key of a cell.
pub(super) fn cell(name: &str) -> String {
    format!("{CELLS}/{name}")
}

/// Key of a document.
pub(super) fn document(hash: Hash) -> String {
    format!("baselines/{hash}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_has_a_folder_of_its_own() {
        let names = [
            "watch/bench",
            "watch/a/b",
            "watch/a!2Fb",
            "watch/..",
            "watch/.",
            "watch/",
            "watch/größe",
            "plain",
            "/plain",
            "a b/c\0",
        ];
        let mut folders = std::collections::BTreeSet::new();
        for name in names {
            let dir = stream_dir(&StreamName::from(name));
            assert_eq!(dir.split('/').count(), 3, "{dir}");
            assert!(object_store::path::Path::parse(&dir).is_ok(), "{dir}");
            assert!(folders.insert(dir.clone()), "{dir}");
            assert_eq!(number(record(&dir, Seq(7)).rsplit('/').next().unwrap()), Some(Seq(7)));
        }
        assert_eq!(number("7.rec"), None);
        assert_eq!(number("floor"), None);
    }
}
