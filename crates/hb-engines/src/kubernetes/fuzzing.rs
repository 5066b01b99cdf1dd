//! See [`crate::fuzzing`].

use super::document::{Draft, Object};

/// Reads a Lease object as the cell `a`, and writes one over it; gives the bytes of the cell, and whether the object that is written reads back
/// to the bytes that were put into it.
///
/// # Errors
/// What is wrong with it, in words.
pub fn kubernetes_object(body: &[u8], bytes: &[u8]) -> Result<(Vec<u8>, bool), String> {
    let object: Object = serde_json::from_slice(body).map_err(|fault| fault.to_string())?;
    let draft = Draft {
        deployment: "d",
        object: "d.a",
        cell: "a",
        bytes,
        write: "w",
        before: Some(&object),
        only_if: Some(("u", "7")),
    };
    let json = draft.to_json(std::time::UNIX_EPOCH);
    let back: Object = serde_json::from_value(json).map_err(|fault| fault.to_string())?;
    let same = back.cell().is_ok_and(|(name, cell)| name == "a" && cell.bytes == bytes);
    Ok((object.cell_of("d", "a")?.bytes, same))
}
