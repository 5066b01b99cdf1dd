//! How streams and records are called in a folder.
//!
//! `watch/NAME` stands in `watch/NAME/`; bytes that are not letters, digits, `_`, `-` or inner dots are written `%XX`, so
//! that every stream has one folder and every folder one stream. Record 7 is `00000000000000000007.rec`.

use std::path::PathBuf;

use hb_core::ids::{Seq, StreamName};

/// Ending of a record's file.
pub(crate) const RECORD_SUFFIX: &str = ".rec";
/// Ending of a floor's file.
pub(crate) const FLOOR_SUFFIX: &str = ".floor";
/// Folder of the floors within a stream's folder.
pub(crate) const FLOORS: &str = "floors";
/// File that names the version of a journal folder.
pub(crate) const FORMAT_FILE: &str = "format";
/// Folder of streams without a kind.
const NO_KIND: &str = "%";

/// Folder of a stream, below the journal's root.
pub(crate) fn stream_dir(stream: &StreamName) -> PathBuf {
    match stream.as_str().split_once('/') {
        Some((kind, name)) if !kind.is_empty() => PathBuf::from(encode(kind)).join(encode(name)),
        Some(_) | None => PathBuf::from(NO_KIND).join(encode(stream.as_str())),
    }
}

/// The stream of a folder; nothing for a folder that no stream has.
pub(crate) fn stream_of(kind: &str, name: &str) -> Option<StreamName> {
    let text = if kind == NO_KIND { decode(name)? } else { format!("{}/{}", decode(kind)?, decode(name)?) };
    let stream = StreamName::from(text);
    (stream_dir(&stream) == PathBuf::from(kind).join(name)).then_some(stream)
}

/// A name as one part of a path.
pub(crate) fn encode(text: &str) -> String {
    if text.is_empty() {
        return NO_KIND.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && at > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decode(text: &str) -> Option<String> {
    if text == NO_KIND {
        return Some(String::new());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// File name of a record.
pub(crate) fn record_file(seq: Seq) -> String {
    format!("{:020}{RECORD_SUFFIX}", seq.0)
}

/// File name of a floor.
pub(crate) fn floor_file(floor: Seq) -> String {
    format!("{:020}{FLOOR_SUFFIX}", floor.0)
}

/// Number of a file with that ending; nothing for any other name.
pub(crate) fn number(name: &str, suffix: &str) -> Option<Seq> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok().map(Seq) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_has_a_folder_of_its_own_and_comes_back_from_it() {
        let names = [
            "watch/bench",
            "watch/a/b",
            "watch/a%2Fb",
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
            let stream = StreamName::from(name);
            let dir = stream_dir(&stream);
            assert_eq!(dir.components().count(), 2, "{dir:?}");
            assert!(dir.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{dir:?}");
            let parts: Vec<_> = dir.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            assert_eq!(stream_of(&parts[0], &parts[1]).unwrap(), stream);
            assert!(folders.insert(dir));
        }
    }

    #[test]
    fn numbers_are_read_from_exact_names_only() {
        assert_eq!(number(&record_file(Seq(7)), RECORD_SUFFIX), Some(Seq(7)));
        for name in ["7.rec", "00000000000000000007.rec.bak", "0000000000000000000+.rec", ".hb-1-1-1.tmp"] {
            assert_eq!(number(name, RECORD_SUFFIX), None, "{name}");
        }
    }
}
