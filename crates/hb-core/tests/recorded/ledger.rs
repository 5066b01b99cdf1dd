//! What came of a run, line by line, held against what came of it when somebody last looked at it and found it right.
//!
//! A difference is no proof of a fault: it is a change of what hb decides or says, which somebody has to want. Who wants it records it anew
//! with `HB_RECORD=1 cargo test -p hb-core`, and shows the difference with the change.

use std::fmt::Write as _;

use hb_core::journal::Hash;
use serde_json::{Number, Value};

/// Digits that are compared of a figure: fewer than a library of mathematics may change.
const DIGITS: usize = 8;

/// Compares the run with the recorded one, which stands in `tests/recorded/NAME.txt`.
pub(crate) fn assert_recorded(name: &str, recorded: &str, run: &str) {
    if std::env::var_os("HB_RECORD").is_some() {
        let path = format!("{}/tests/recorded/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, run).expect("the folder of the tests can be written");
        return;
    }
    let mut lines = (1..).zip(recorded.lines().zip(run.lines()));
    if let Some((number, (was, is))) = lines.find(|(_, (was, is))| was != is) {
        panic!("{name}.txt:{number}:\nrecorded: {was}\n     now: {is}\nif that is wanted: HB_RECORD=1");
    }
    assert_eq!(
        recorded.lines().count(),
        run.lines().count(),
        "{name}.txt: the shorter one is the beginning of the other"
    );
}

/// A document in one line: figures to so many digits, hashes of other documents as what they are.
pub(crate) fn plain(document: &Value) -> String {
    let mut text = String::new();
    write(&mut text, document);
    text
}

/// The beginning of the hash of the same.
pub(crate) fn digest(document: &Value) -> String {
    Hash::of(plain(document).as_bytes()).to_string().chars().take(12).collect()
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::Number(number) => figure(text, number),
        Value::String(word) if word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit()) => text.push_str("HASH"),
        Value::Array(all) => {
            text.push('[');
            for one in all {
                write(text, one);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(all) => {
            text.push('{');
            for (key, one) in all {
                text.push_str(key);
                text.push(':');
                write(text, one);
                text.push(',');
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

fn figure(text: &mut String, number: &Number) {
    let written = match number.as_f64().filter(|_| number.is_f64()) {
        Some(figure) => write!(text, "{figure:.DIGITS$e}"),
        None => write!(text, "{number}"),
    };
    written.expect("a text can be written to");
}
