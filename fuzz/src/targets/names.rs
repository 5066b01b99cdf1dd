//! Names of files and keys: each stream has one folder, each number one name.

use std::path::Path;

use hb_store::fuzzing;

use crate::input::Input;

/// Text; a slash divides folder and name.
///
/// # Panics
/// When two names mean the same.
pub fn run(data: &[u8]) {
    let text = Input(data).text();
    let (kind, name) = text.split_once('/').unwrap_or((text, ""));
    if let Some((stream, folder)) = fuzzing::stream_of(kind, name) {
        assert_eq!(folder, Path::new(kind).join(name), "{stream}");
        assert!(folder.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{folder:?}");
    }
    if let Some((_, file)) = fuzzing::record_number(text) {
        assert_eq!(file, text);
    }
    if let Some((_, key)) = hb_engines::fuzzing::record_number(text) {
        assert_eq!(key, format!("d/{text}"));
    }
    drop(hb_store::register::check_name(text));
}
