//! See [`crate::fuzzing`].

use super::Card;

/// Reads a card, and writes it again.
#[must_use]
pub fn card(bytes: &[u8]) -> Option<(Card, Vec<u8>)> {
    let card = Card::read(bytes)?;
    let written = card.to_bytes();
    // What is judged of any card on the board.
    drop(card.could_take_over());
    Some((card, written))
}
