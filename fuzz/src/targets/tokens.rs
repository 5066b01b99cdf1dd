//! Files of tokens.

use hb_api::Access;

use crate::input::Input;

/// Text.
///
/// # Panics
/// When a fault names no line where it could, or repeats a token.
pub fn run(data: &[u8]) {
    let text = Input(data).text();
    match Access::read(text) {
        Ok(access) => assert!(!format!("{access:?}").contains("0123456789abcdef")),
        Err(why) => assert!(!why.is_empty() && !why.contains("0123456789abcdef"), "{why}"),
    }
}
