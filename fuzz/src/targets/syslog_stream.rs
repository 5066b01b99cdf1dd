//! What a TCP peer sends as syslog: cut into messages the same way whatever its pieces are.

use hb_sources::fuzzing;

use crate::input::{Input, pieces};

/// One byte chooses the pieces.
///
/// # Panics
/// When pieces change what is read, or more is read than came.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let seed = input.byte();
    let whole = fuzzing::syslog_stream([input.0]);
    let parts = fuzzing::syslog_stream(pieces(input.0, seed));
    assert_eq!(whole, parts, "messages in pieces");
    let bytes: usize = whole.iter().flatten().map(Vec::len).sum();
    assert!(bytes <= input.0.len() && whole.len() <= input.0.len() + 1, "no more than came");
}
