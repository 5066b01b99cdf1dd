//! Looks into a file beside the reading of it: line numbers, layouts, line ends. Never moves its cursor.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::format::Decoder;

/// Lines are numbered in quotes up to this place in a file, because finding the number means reading up to there.
const NUMBERED_BYTES_MAX: u64 = 4 << 30;

/// `PATH:LINE` of a place in a file. Counts lines from the last place asked for.
pub(crate) fn numbered(path: &Path, file: &File, offset: u64, counted: &mut (u64, u64)) -> String {
    let by_byte = || format!("{}:byte {offset}", path.display());
    if offset > NUMBERED_BYTES_MAX {
        return by_byte();
    }
    if offset < counted.0 {
        *counted = (0, 0);
    }
    let mut bytes = vec![0; 64 * 1024];
    while counted.0 < offset {
        let wanted = usize::try_from(offset - counted.0).map_or(bytes.len(), |left| left.min(bytes.len()));
        match file.read_at(bytes.get_mut(..wanted).unwrap_or_default(), counted.0) {
            Ok(0) => return by_byte(),
            Ok(count) => {
                let lines = memchr::memchr_iter(b'\n', bytes.get(..count).unwrap_or_default()).count();
                *counted = (counted.0 + count as u64, counted.1 + lines as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return by_byte(),
        }
    }
    format!("{}:{}", path.display(), counted.1 + 1)
}

/// Lets the lines before `offset` decide the layout, as they did when they were read.
pub(crate) fn prime(decoder: &mut Decoder, file: &File, offset: u64, line_max: usize) -> io::Result<()> {
    let mut at = 0;
    let mut bytes = vec![0; line_max.saturating_add(1)];
    while !decoder.settled() && at < offset {
        let length = read_at_most(file, &mut bytes, at)?;
        let read = bytes.get(..length).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', read) else {
            if length <= line_max {
                return Ok(());
            }
            // A line that is too long decides nothing.
            at = next_line(file, at, offset)?;
            continue;
        };
        let line = read.get(..end).unwrap_or_default();
        decoder.prime(line.strip_suffix(b"\r").unwrap_or(line));
        at += end as u64 + 1;
    }
    Ok(())
}

/// Start of the line after the one at `at`; at least `limit` when there is none before it.
fn next_line(file: &File, mut at: u64, limit: u64) -> io::Result<u64> {
    let mut bytes = vec![0; 64 * 1024];
    while at < limit {
        let length = read_at_most(file, &mut bytes, at)?;
        let read = bytes.get(..length).unwrap_or_default();
        match memchr::memchr(b'\n', read) {
            Some(end) => return Ok(at + end as u64 + 1),
            None if length == 0 => return Ok(limit),
            None => at += length as u64,
        }
    }
    Ok(at)
}

fn read_at_most(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut length = 0;
    while let Some(room) = bytes.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read_at(room, at + length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Where the last whole line of a file ends.
pub(crate) fn last_line_end(file: &File) -> io::Result<u64> {
    let mut bytes = vec![0; 64 * 1024];
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(bytes.len() as u64);
        let length = read_at_most(file, &mut bytes, start)?;
        if let Some(found) = memchr::memrchr(b'\n', bytes.get(..length).unwrap_or_default()) {
            return Ok(start + found as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
