//! Pages of records as they come from another node.

use hb_store::sync::frames::{decode, encode};

/// A body.
///
/// # Panics
/// When what was read is not what is written, or more was read than came.
pub fn run(data: &[u8]) {
    match decode(data) {
        Ok(page) => {
            assert_eq!(encode(&page), data, "a page is what it was read from");
            assert!(page.iter().map(|raw| raw.bytes.len()).sum::<usize>() <= data.len());
        }
        Err(why) => assert!(!why.is_empty()),
    }
}
