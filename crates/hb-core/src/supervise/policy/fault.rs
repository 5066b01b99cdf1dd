//! What is wrong with a policy, where, and what was meant: one form for documents and for expressions.

use std::fmt;

use serde::Serialize;

use super::super::step::{Refusal, Why};

/// A place in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Place {
    /// First byte of it, from 0.
    pub byte: usize,
    /// Bytes of it; 0 at the end of the text.
    pub length: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// From the beginning of this place to the end of the other.
    #[must_use]
    pub fn to(self, end: Self) -> Self {
        Self { length: end.byte.saturating_add(end.length).saturating_sub(self.byte), ..self }
    }
}

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where in the document: `condition.conditions[1].field`, `when`.
    pub path: String,
    /// Where in the expression, when it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What it had to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Box<str>>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<Box<str>>,
}

impl Fault {
    /// At this path of a document.
    #[must_use]
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), place: None, message: message.into(), expected: None, help: None }
    }

    /// At this place of an expression, when there is one.
    #[must_use]
    pub fn at(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }

    /// It had to be this.
    #[must_use]
    pub fn expected(self, expected: impl Into<String>) -> Self {
        Self { expected: Some(expected.into().into_boxed_str()), ..self }
    }

    /// This may help.
    #[must_use]
    pub fn help(self, help: Option<String>) -> Self {
        Self { help: help.map(String::into_boxed_str), ..self }
    }

    /// It may have been one of these.
    #[must_use]
    pub fn meant<'a>(self, typed: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let help = nearest(typed, known).map(|word| format!("did you mean `{word}`?").into_boxed_str());
        Self { help: help.or(self.help), ..self }
    }

    /// The line of the expression with the place marked below it, for terminals; empty when it has no place in this text.
    #[must_use]
    pub fn excerpt(&self, text: &str) -> String {
        let Some(place) = self.place else { return String::new() };
        let Some(line) = text.lines().nth(place.line.saturating_sub(1)) else { return String::new() };
        let before = place.column.saturating_sub(1);
        let marked: usize = text
            .get(place.byte..place.byte.saturating_add(place.length))
            .map_or(1, |marked| marked.lines().next().map_or(1, |line| line.chars().count()));
        format!("{line}\n{}{}", " ".repeat(before), "^".repeat(marked.max(1)))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) if place.line > 1 => {
                write!(f, "{}, line {}, column {}: ", self.path, place.line, place.column)?
            }
            Some(place) => write!(f, "{}, column {}: ", self.path, place.column)?,
            None if self.path.is_empty() => {}
            None => write!(f, "{}: ", self.path)?,
        }
        f.write_str(&self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// All faults of a document as one refusal; the field and its constraint are those of the first.
#[must_use]
pub fn refusal(faults: &[Fault]) -> Refusal {
    let message = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let refusal = Refusal::new(Why::Invalid, message);
    match faults.first() {
        Some(first) => {
            let constraint = first.expected.as_deref().unwrap_or(&first.message);
            refusal.field(first.path.clone(), constraint)
        }
        None => refusal,
    }
}

/// The known word that was probably meant: few edits away, or its last part is what was typed.
#[must_use]
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What nobody could have meant is not compared: its cost would be the product of both lengths.
    if typed.is_empty() || typed.len() > 100 {
        return None;
    }
    let typed = typed.to_lowercase();
    let reach = (typed.chars().count() / 3).clamp(1, 4);
    let away = |word: &str| {
        let word = word.to_lowercase();
        let last = word.rsplit('.').next().unwrap_or(&word);
        edits(&typed, &word).min(edits(&typed, last).saturating_add(usize::from(last.len() < word.len())))
    };
    let scored = known.into_iter().map(|word| (away(word), word));
    scored.filter(|(steps, _)| *steps <= reach).min_by_key(|(steps, _)| *steps).map(|(_, word)| word)
}

/// Edits between two words; two neighbours that changed places are one edit (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX / 2);
    let mut older: Vec<usize> = Vec::new();
    let mut newer: Vec<usize> = (0..=b.len()).collect();
    let mut last: Option<char> = None;
    for (row, x) in a.chars().enumerate() {
        let mut next = vec![row.saturating_add(1)];
        for (column, y) in b.iter().enumerate() {
            let replaced = at(&newer, column).saturating_add(usize::from(x != *y));
            let gone = at(&newer, column.saturating_add(1)).saturating_add(1);
            let added = at(&next, column).saturating_add(1);
            let mut best = replaced.min(gone).min(added);
            let left = column.checked_sub(1);
            if let Some(left) = left.filter(|left| last == Some(*y) && b.get(*left) == Some(&x)) {
                best = best.min(at(&older, left).saturating_add(1));
            }
            next.push(best);
        }
        older = std::mem::replace(&mut newer, next);
        last = Some(x);
    }
    newer.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["agent.anomaly_score", "agent.status", "agent.restart_count"];
        assert_eq!(nearest("agent.anomaly_scor", known), Some("agent.anomaly_score"));
        assert_eq!(nearest("anomaly_score", known), Some("agent.anomaly_score"));
        assert_eq!(nearest("agent.sattus", known), Some("agent.status"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn a_fault_says_where_what_and_what_to_do() {
        let place = Place { byte: 4, length: 3, line: 1, column: 5 };
        let fault = Fault::new("when", "no").at(Some(place)).expected("yes").help(Some("try".into()));
        assert_eq!(fault.to_string(), "when, column 5: no; expected yes; try");
        assert_eq!(fault.excerpt("abc def ghi"), "abc def ghi\n    ^^^");
        assert_eq!(Fault::new("a.b[1]", "no").to_string(), "a.b[1]: no");
    }
}
