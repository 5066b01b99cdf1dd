//! How commands tell what supervisors are made of: fields of documents, states in their colours, times in words.

use hb_core::time::Stamp;
use serde_json::Value;

use super::out::{Cell, Paint};
use super::status::now;
use super::{Failure, Out};

/// Fields of a document; what is absent is empty.
pub(crate) trait Doc {
    /// A text, or what else there is as text.
    fn text(&self, key: &str) -> String;
    /// A whole number.
    fn count(&self, key: &str) -> u64;
    /// True or false.
    fn truth(&self, key: &str) -> bool;
    /// A list.
    fn items(&self, key: &str) -> &[Value];
    /// A time.
    fn stamp(&self, key: &str) -> Option<Stamp>;
    /// What stands below a key; null when nothing does.
    fn sub(&self, key: &str) -> &Value;
}

/// How an answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Words,
    /// For programs.
    Json,
}

/// What `--json` says.
impl From<bool> for Form {
    fn from(json: bool) -> Self {
        if json { Self::Json } else { Self::Words }
    }
}

impl Doc for Value {
    fn text(&self, key: &str) -> String {
        self.get(key).map(plain).unwrap_or_default()
    }

    fn count(&self, key: &str) -> u64 {
        self.get(key).and_then(Value::as_u64).unwrap_or(0)
    }

    fn truth(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn items(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn stamp(&self, key: &str) -> Option<Stamp> {
        Stamp::parse(self.get(key)?.as_str()?).ok()
    }

    fn sub(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&Value::Null)
    }
}

/// A value for people: texts without quotes, null as nothing.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A text that other programs have said, fit for a terminal.
pub(crate) fn clean(text: &str) -> String {
    crate::shown::clean(text)
}

/// A time to the millisecond, in UTC.
pub(crate) fn moment(at: Stamp) -> String {
    let text = at.to_string();
    let Some((whole, rest)) = text.split_once('.') else { return text };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).take(3).collect();
    format!("{whole}.{digits}Z")
}

/// How long ago something was, or in how long it will be.
pub(crate) fn ago(at: Option<Stamp>) -> String {
    let Some(at) = at else { return "-".to_owned() };
    let seconds = now().as_seconds() - at.as_seconds();
    if seconds >= 0.0 { format!("{} ago", span(seconds)) } else { format!("in {}", span(-seconds)) }
}

/// A span in the unit that suits it.
pub(crate) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

/// The colour of a state, of a severity, or of the health of something.
pub(crate) fn paint(word: &str) -> Paint {
    match word {
        "IDLE" | "RUNNING" | "ACTIVE" | "COMPLETED" | "healthy" | "active" => Paint::Good,
        "DEGRADED" | "SPAWNING" | "PAUSED" | "PENDING" | "APPROVED" | "EXECUTING" | "ROLLED_BACK" | "WARNING"
        | "stale" | "degraded" | "paused" | "recovering" | "starting" | "standby" | "unknown" => Paint::Warn,
        "FAILED" | "QUARANTINED" | "IN_DOUBT" | "ERROR" | "CRITICAL" | "unresponsive" | "quarantined" | "down" => {
            Paint::Bad
        }
        "TERMINATED" | "REJECTED" | "INFO" => Paint::Faint,
        _ => Paint::Plain,
    }
}

/// A state as a cell in its colour.
pub(crate) fn state(word: &str) -> Cell {
    Cell::text(word).painted(paint(word))
}

/// Documents, one a line.
pub(crate) fn json_lines(items: &[Value], out: &mut Out) -> Result<(), Failure> {
    items.iter().try_for_each(|item| out.json(item))
}

/// Headings of a table.
pub(crate) fn heads(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| Cell::head(name)).collect()
}

/// What a list does not show.
pub(crate) fn more(shown: usize, total: usize, out: &mut Out) -> Result<(), Failure> {
    match total.checked_sub(shown) {
        Some(left) if left > 0 => out.line(format_args!("… and {left} more: --limit shows them")),
        _ => Ok(()),
    }
}

/// Notes of an answer: what is not as one might think.
pub(crate) fn notes(answer: &Value, out: &mut Out) -> Result<(), Failure> {
    answer.items("notes").iter().try_for_each(|note| out.line(format_args!("note: {}", plain(note))))
}

/// A name and its value, aligned.
pub(crate) fn field(name: &str, value: &str, out: &mut Out) -> Result<(), Failure> {
    if value.is_empty() { Ok(()) } else { out.line(format_args!("  {name:<16}{value}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_unit_that_suits_them() {
        let told: Vec<String> = [0.25, 59.0, 600.0, 10_000.0, 1e6].into_iter().map(span).collect();
        assert_eq!(told, ["0.2 s", "59 s", "10 min", "3 h", "12 days"]);
        assert_eq!(moment(Stamp(1_700_000_000_123_456_789)), "2023-11-14T22:13:20.123Z");
        assert_eq!(moment(Stamp(1_700_000_000_000_000_000)), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn fields_that_are_absent_are_empty() {
        let document = serde_json::json!({"a": "x\u{1b}y", "n": 3, "no": null});
        assert_eq!(
            (document.text("a"), document.text("n"), document.text("no")),
            ("x\u{fffd}y".into(), "3".into(), String::new())
        );
        assert_eq!((document.count("z"), document.truth("z"), document.items("z").len()), (0, false, 0));
    }
}
