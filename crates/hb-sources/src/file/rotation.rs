//! Which files belong to one stream: the file itself and those that it was renamed to.
//!
//! `FILE.2`, `FILE.1`, `FILE` (numbers behind a dot count back) and `FILE-20261121`, `FILE-20261122`, `FILE` are both oldest
//! first. Compressed ones are left out: they cannot be read. A suffix before the file's own extension is not recognised.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::place::{PRINT_BYTES_MAX, Token, head};

/// Most rotated files looked at; of more, the newest by name.
const SIBLINGS_MAX: usize = 1_000;

/// How often a folder is looked at again when files are renamed meanwhile.
const ROUNDS: usize = 4;

/// Opens a file for reading. Never waits for the other end of a pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// Oldest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// By any other suffix, in its order: dates and times.
    Dated(Vec<u8>),
    /// By number: the higher, the older.
    Numbered(std::cmp::Reverse<u32>),
}

fn age(suffix: &[u8]) -> Option<Age> {
    const COMPRESSED: [&[u8]; 6] = [b".gz", b".xz", b".zst", b".bz2", b".lz4", b".zip"];
    let text = suffix.strip_prefix(b".").or_else(|| suffix.strip_prefix(b"-")).or_else(|| suffix.strip_prefix(b"_"))?;
    // A file in the making, a lock, an editor's copy: not rotated, its suffix holds no digit.
    if COMPRESSED.iter().any(|end| suffix.ends_with(end)) || !text.iter().any(u8::is_ascii_digit) {
        return None;
    }
    // `.1`, `.2` … count backwards; `-00001`, `-20261122` and `.2026-11-22` forwards.
    let counts_back = suffix.starts_with(b".") && text.len() <= 5 && !text.starts_with(b"0");
    let number = std::str::from_utf8(text).ok().filter(|_| counts_back).and_then(|text| text.parse().ok());
    Some(number.map_or_else(|| Age::Dated(text.to_vec()), |number| Age::Numbered(std::cmp::Reverse(number))))
}

/// The files that `path` was rotated to, oldest first, without `path` itself.
fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name();
        if let Some(age) = file_name.as_bytes().strip_prefix(name).and_then(age) {
            found.push((age, entry.path()));
        }
    }
    found.sort();
    let surplus = found.len().saturating_sub(SIBLINGS_MAX);
    Ok(found.drain(surplus..).map(|(_, path)| path).collect())
}

/// The file that a token means, if it is still there with at least `offset` bytes: at `path` or where it was rotated to.
pub(crate) fn find(path: &Path, token: &Token, offset: u64) -> io::Result<Option<(PathBuf, File)>> {
    for _ in 1..ROUNDS {
        if let Some(found) = look_for(&[path.to_owned()], token, offset)? {
            return Ok(Some(found));
        }
        // Listed after the path was opened: it may have been renamed in between. Again, because numbered files move on.
        let mut candidates = rotated(path)?;
        candidates.reverse();
        if let Some(found) = look_for(&candidates, token, offset)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn look_for(candidates: &[PathBuf], token: &Token, offset: u64) -> io::Result<Option<(PathBuf, File)>> {
    let mut same_content = None;
    for candidate in candidates {
        let file = match open(candidate) {
            Ok(file) => file,
            // It is there and cannot be read: that is no loss yet.
            Err(error) if fs::metadata(candidate).is_ok_and(|meta| meta.ino() == token.ino) => return Err(error),
            Err(_) => continue,
        };
        let meta = file.metadata()?;
        let fits = meta.is_file() && meta.len() >= offset && token.print.fits(&head(&file)?);
        if !fits || !at_line_start(&file, offset, meta.len())? {
            continue;
        }
        if meta.ino() == token.ino {
            return Ok(Some((candidate.clone(), file)));
        }
        // A first line alone proves nothing: it may be the header that all of them have.
        if same_content.is_none() && usize::from(token.print.length) == PRINT_BYTES_MAX {
            same_content = Some((candidate.clone(), file));
        }
    }
    Ok(same_content)
}

/// Whether a line starts at `offset`, or the file ends there.
fn at_line_start(file: &File, offset: u64, size: u64) -> io::Result<bool> {
    let Some(before) = offset.checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    Ok(offset == size || (file.read_at(&mut byte, before)? == 1 && byte == *b"\n"))
}

/// The file that follows this one, opened: the next younger, or `path`. `None` when there is none yet, or when files are
/// being renamed too fast to say.
pub(crate) fn follower(path: &Path, file: &File) -> io::Result<Option<(PathBuf, File)>> {
    for _ in 0..ROUNDS {
        let Some(next) = name_of_follower(path, file)? else { return Ok(None) };
        let opened = match open(&next) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // Between the look at the folder and the opening, the name may have passed on to a younger file still.
        let Some(again) = name_of_follower(path, file)? else { continue };
        let unchanged = fs::metadata(again).ok().map(|meta| meta.ino()) == Some(opened.metadata()?.ino());
        if unchanged {
            return Ok(Some((next, opened)));
        }
    }
    Ok(None)
}

/// The name of the file that follows this one. `None` when `path` is this file or is not there.
fn name_of_follower(path: &Path, file: &File) -> io::Result<Option<PathBuf>> {
    let look = |path: &Path| match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let this = file.metadata()?;
    match look(path)? {
        None => return Ok(None),
        Some(current) if current.ino() == this.ino() => return Ok(None),
        Some(_) => {}
    }
    let files = rotated(path)?;
    let metas: Vec<_> = files.iter().map(|file| look(file).ok().flatten()).collect();
    let here = metas.iter().position(|meta| meta.as_ref().is_some_and(|meta| meta.ino() == this.ino()));
    let next = match here {
        Some(here) => files.get(here + 1),
        // This one has been deleted or compressed: younger is what was written later.
        None => {
            let written = (this.mtime(), this.mtime_nsec());
            let younger = metas
                .iter()
                .position(|meta| meta.as_ref().is_some_and(|meta| (meta.mtime(), meta.mtime_nsec()) > written));
            younger.and_then(|younger| files.get(younger))
        }
    };
    Ok(Some(next.cloned().unwrap_or_else(|| path.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_ordered_by_age() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["m.log", "m.log.1", "m.log.2", "m.log.10", "m.log.3.gz", "m.log.tmp", "other.1", "m.log2"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let names = |path: &Path| {
            rotated(path)
                .unwrap()
                .iter()
                .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&folder.path().join("m.log")), ["m.log.10", "m.log.2", "m.log.1"]);
        for name in ["d-2026-11-21", "d-2026-11-20", "d-2026-11-22T10"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(names(&folder.path().join("d")), ["d-2026-11-20", "d-2026-11-21", "d-2026-11-22T10"]);
    }
}
