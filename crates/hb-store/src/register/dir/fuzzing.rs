//! See [`crate::fuzzing`].

use super::form::{read, write};

/// Reads the file of a cell's version: its bytes, its mark, and the file as it is written of both.
#[must_use]
pub fn cell(file: &[u8]) -> (Option<Vec<u8>>, String, Vec<u8>) {
    let form = read(file.to_vec());
    let written = write(form.bytes.as_deref(), &form.mark);
    (form.bytes, form.mark, written)
}
