//! See [`crate::fuzzing`].

use super::Lines;

/// The lines of a stream that comes in these parts.
///
/// # Errors
/// A line is too long.
pub fn stream<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, String> {
    let (mut lines, mut out) = (Lines::default(), Vec::new());
    for part in parts {
        lines.take(part, |line| {
            out.push(line.to_vec());
            Ok(())
        })?;
    }
    Ok(out)
}
