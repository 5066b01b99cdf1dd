//! What stands in leases: documents in a register, stamps beside a lock, orders of operators, files and objects of cells.

use hb_store::fuzzing;

use crate::input::Input;

/// One byte chooses what it is.
///
/// # Panics
/// When what was read is not what is written.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 5 {
        0 => {
            if let Some(written) = fuzzing::lease(input.0) {
                assert_eq!(fuzzing::lease(&written).as_ref(), Some(&written), "a lease");
            }
        }
        1 => {
            if let Some((said, written)) = fuzzing::stamp(input.0) {
                assert_eq!(fuzzing::stamp(&written), Some((said, written.clone())), "a stamp");
            }
        }
        2 => match fuzzing::orders(input.0) {
            Ok((orders, written)) => assert_eq!(fuzzing::orders(&written), Ok((orders, written.clone())), "orders"),
            Err(why) => assert!(!why.is_empty()),
        },
        3 => {
            let (bytes, mark, written) = fuzzing::cell(input.0);
            if mark.starts_with("damaged-") {
                assert_eq!(bytes.as_deref(), Some(input.0), "what is damaged is a cell with just those bytes");
            } else {
                assert_eq!(written, input.0, "the file of a cell");
            }
        }
        _ => {
            let (ours, bytes, written) = hb_engines::fuzzing::cell(input.0);
            if ours {
                // A number may have been written with zeros before it; what it says stays.
                assert_eq!(hb_engines::fuzzing::cell(&written), (true, bytes, written.clone()), "an object");
            }
        }
    }
}
