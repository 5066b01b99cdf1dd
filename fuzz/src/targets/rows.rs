//! Rows of a supervisor's database.

use hb_store::fuzzing::rows;
use serde_json::Value;

use crate::input::Input;

/// One byte chooses the table; then an array of what stands in the columns.
///
/// # Panics
/// When a fault says nothing.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let Ok(Value::Array(values)) = serde_json::from_slice(input.0) else { return };
    match rows(kind, &values) {
        Ok(document) => assert!(document.is_object()),
        Err(why) => assert!(!why.is_empty()),
    }
}
