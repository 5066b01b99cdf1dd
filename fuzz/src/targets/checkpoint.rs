//! Views that are read back: the checkpoint and its history, the note of a copy, a board's card.

use hb_store::fuzzing;
use hb_store::sync::Note;
use hb_store::views::checkpoint::Checkpoint;

use crate::input::Input;

/// One byte chooses what it is.
///
/// # Panics
/// When what was read is not what is written.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 3 {
        0 => match Checkpoint::parse(input.0) {
            Ok(checkpoint) => {
                let again = Checkpoint::parse(checkpoint.to_line().as_bytes()).expect("what is written is read");
                assert!(again.says_the_same(&checkpoint) && again == checkpoint);
            }
            Err(why) => assert!(!why.is_empty()),
        },
        1 => match Note::parse(input.0) {
            Ok(note) => assert_eq!(Note::parse(&note.to_bytes()), Ok(note)),
            Err(why) => assert!(!why.is_empty()),
        },
        _ => {
            if let Some((card, written)) = fuzzing::card(input.0) {
                let (again, _) = fuzzing::card(&written).expect("what is written is read");
                assert_eq!(again, card);
            }
        }
    }
}
