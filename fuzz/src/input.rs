//! What targets make of bytes: choices, pieces, text.

/// Bytes that are taken off the front, for choices.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte; 0 when there is none left.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// One of these; the first when there is no byte left.
    ///
    /// # Panics
    /// When there are none.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = usize::from(self.byte()) % choices.len().max(1);
        *choices.get(at).expect("there are choices")
    }

    /// What is left, as text up to where it is none.
    #[must_use]
    pub fn text(self) -> &'a str {
        match std::str::from_utf8(self.0) {
            Ok(text) => text,
            Err(fault) => {
                self.0.get(..fault.valid_up_to()).map_or("", |sound| std::str::from_utf8(sound).unwrap_or(""))
            }
        }
    }
}

/// Cuts bytes into pieces, none of them empty; the same seed cuts the same way.
pub fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut state) = (bytes, u32::from(seed) | 1);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Short pieces mostly, now and then a long one.
        let length = if state >> 30 == 0 { 4_096 } else { 1 + (state >> 24) as usize % 17 };
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Asserts that a place in a text is within it, and that line and column name it.
///
/// # Panics
/// When it does not.
pub fn placed(text: &str, byte: usize, length: usize, (line, column): (usize, usize)) {
    let before = text.get(..byte).expect("a place begins at a letter of the text");
    assert!(byte + length <= text.len() + 1, "a place ends within the text");
    assert_eq!(line, before.matches('\n').count() + 1, "line");
    let first = before.rsplit('\n').next().unwrap_or_default();
    assert_eq!(column, first.chars().count() + 1, "column");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_of_it_in_order() {
        let bytes: Vec<u8> = (0..=255).cycle().take(20_000).collect();
        for seed in 0..=255 {
            assert!(pieces(&bytes, seed).eq(pieces(&bytes, seed)));
            assert_eq!(pieces(&bytes, seed).flatten().copied().collect::<Vec<_>>(), bytes);
        }
        assert_eq!(pieces(&[], 3).count(), 0);
    }
}
