//! How a version of a cell looks as a file, and how cells and versions are called.
//!
//! ```text
//! hb-cell 1 live 5f0c… 9a21…      format, live or gone, a name that nobody else gives, BLAKE3 of what follows
//! the bytes
//! ```

use hb_core::journal::Hash;

use crate::register::CellVersion;

/// End of a version's file name.
const SUFFIX: &str = ".cell";
const MAGIC: &str = "hb-cell 1";
/// A header is never longer.
const HEADER_MAX: usize = 160;

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// The bytes; none when the cell was removed by this version.
    pub(super) bytes: Option<Vec<u8>>,
    /// What tells it from every other version of that number.
    pub(super) mark: String,
}

/// The file of a version.
pub(super) fn write(bytes: Option<&[u8]>, mark: &str) -> Vec<u8> {
    let (state, bytes) = bytes.map_or(("gone", &b""[..]), |bytes| ("live", bytes));
    let mut file = format!("{MAGIC} {state} {mark} {}\n", Hash::of(bytes)).into_bytes();
    file.extend_from_slice(bytes);
    file
}

/// Reads a file. One that is damaged is a cell with just those bytes: whoever reads the cell sees that they are none of its
/// documents, and can replace it.
pub(super) fn read(file: Vec<u8>) -> Form {
    match sound(&file) {
        Some((state, mark, body)) => Form { bytes: (state == "live").then(|| body.to_vec()), mark: mark.to_owned() },
        None => Form { mark: format!("damaged-{}", Hash::of(&file)), bytes: Some(file) },
    }
}

fn sound(file: &[u8]) -> Option<(&str, &str, &[u8])> {
    let end = file.iter().take(HEADER_MAX).position(|byte| *byte == b'\n')?;
    let (header, rest) = file.split_at_checked(end)?;
    let body = rest.get(1..)?;
    let mut words = std::str::from_utf8(header).ok()?.strip_prefix(MAGIC)?.strip_prefix(' ')?.split(' ');
    let (state, mark, hash) = (words.next()?, words.next()?, words.next()?);
    let sound = matches!(state, "live" | "gone") && hash == Hash::of(body).to_string() && words.next().is_none();
    sound.then_some((state, mark, body))
}

/// The version that is handed out.
pub(super) fn version(number: u64, mark: &str) -> CellVersion {
    CellVersion(format!("{number}.{mark}"))
}

/// File name of a version.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// The number in a file name.
pub(super) fn number(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Folder of a cell: its name with `+` for `/`, which no name has.
pub(super) fn folder(name: &str) -> String {
    name.replace('/', "+")
}

/// The name of the cell in a folder.
pub(super) fn cell_name(folder: &str) -> String {
    folder.replace('+', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_back_and_every_flipped_bit_is_seen() {
        let file = write(Some(b"bytes\nand more"), "m1");
        assert_eq!(read(file.clone()), Form { bytes: Some(b"bytes\nand more".to_vec()), mark: "m1".into() });
        for at in 0..file.len() {
            let mut bent = file.clone();
            bent[at] ^= 1;
            let read = read(bent.clone());
            assert!(read.mark.starts_with("damaged-") || read.mark != "m1", "byte {at}: {read:?}");
        }
        for cut in 0..file.len() {
            assert_eq!(read(file[..cut].to_vec()).bytes.as_deref(), Some(&file[..cut]), "cut at {cut}");
        }
        assert_eq!(read(write(None, "m2")), Form { bytes: None, mark: "m2".into() });
    }

    #[test]
    fn names_come_back() {
        assert_eq!(number(&file_name(42)), Some(42));
        assert_eq!(number(&file_name(u64::MAX)), Some(u64::MAX));
        for foreign in ["42.cell", ".hb-1.tmp", "000000000000000000xx.cell", "99999999999999999999.cell"] {
            assert_eq!(number(foreign), None, "{foreign}");
        }
        assert_eq!(cell_name(&folder("node/a/b-c_d.e")), "node/a/b-c_d.e");
    }
}
