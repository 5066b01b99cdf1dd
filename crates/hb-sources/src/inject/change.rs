//! Changing one part of a line.

use hb_core::time::Stamp;

use crate::format::TimeUnit;
use crate::format::locate::{Row, Style};
use crate::format::{number, stamp};

/// The value that stands in a cell or JSON value.
pub(super) fn value(raw: &[u8]) -> Option<f64> {
    number::any(unquoted(raw))
}

/// A value as it is written into JSON or CSV.
pub(super) fn written(value: f64) -> String {
    if value.is_finite() {
        format!("{value}")
    } else if value.is_nan() {
        "NaN".to_owned()
    } else if value > 0.0 {
        "Infinity".to_owned()
    } else {
        "-Infinity".to_owned()
    }
}

fn unquoted(raw: &[u8]) -> &[u8] {
    raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")).unwrap_or(raw)
}

/// The row with its value under another key, or with one more cell.
pub(super) fn schema(text: &[u8], row: &Row) -> Option<Vec<u8>> {
    match row.style {
        Style::Csv => Some([text, b",0"].concat()),
        Style::Json => {
            let (_, value) = row.values.first()?;
            const KEY: &[u8] = b"\"value\"";
            let before = text.get(..value.start)?;
            let key = before.windows(KEY.len()).rposition(|window| window == KEY)?;
            Some([text.get(..key)?, b"\"reading\"", text.get(key + KEY.len()..)?].concat())
        }
    }
}

/// The row with its time moved, written as it was: a number stays a number with as many places, a text a text.
pub(super) fn time(text: &[u8], row: &Row, seconds: f64, unit: TimeUnit) -> Option<Vec<u8>> {
    let range = row.time.clone()?;
    let raw = text.get(range.clone())?;
    let bare = unquoted(raw);
    let old = stamp::any(bare, unit)?;
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and then overflows below")]
    let new = Stamp(old.0.checked_add((seconds * 1e9).round() as i64)?);
    let numeric = bare.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let written = if numeric && !bare.contains(&b'-') || bare.first() == Some(&b'-') {
        let places = bare.iter().position(|b| *b == b'.').map_or(0, |point| bare.len() - point - 1);
        decimal(new, unit, places)
    } else {
        new.to_string()
    };
    let written = if raw.len() == bare.len() { written } else { format!("\"{written}\"") };
    let mut out = text.to_vec();
    out.splice(range, written.into_bytes());
    Some(out)
}

/// A time as a number with at least so many places.
fn decimal(at: Stamp, unit: TimeUnit, places: usize) -> String {
    let digits = unit.places();
    let scale = 10_u64.pow(u32::try_from(digits).unwrap_or(0));
    let (whole, fraction) = (at.0.unsigned_abs() / scale, at.0.unsigned_abs() % scale);
    let sign = if at.0 < 0 { "-" } else { "" };
    if digits == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{fraction:0digits$}");
    let needed = fraction.trim_end_matches('0').len().max(places.min(digits));
    match fraction.get(..needed) {
        Some(fraction) if !fraction.is_empty() => format!("{sign}{whole}.{fraction}"),
        Some(_) | None => format!("{sign}{whole}"),
    }
}
