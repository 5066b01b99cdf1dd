//! What is wrong with a file, where exactly, and what to do about it.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;

/// A place in a file, for people: lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
    /// How many characters of the line are meant; at least 1.
    #[serde(skip)]
    pub width: usize,
}

/// A file as it was read, so that faults can quote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name as it was given.
    pub name: Arc<str>,
    lines: Arc<[String]>,
}

/// Longest part of a line that a fault quotes, in characters.
const QUOTE_MAX: usize = 160;

impl SourceFile {
    /// A file of that name and text.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), lines: text.lines().map(printable).collect() }
    }

    /// A line, counted from 1; empty where there is none.
    #[must_use]
    pub fn line(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|index| self.lines.get(index)).map_or("", String::as_str)
    }
}

/// A line as it can be shown on a terminal: no control characters, tabs as one space, so that columns stay true.
fn printable(line: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    line.chars().take(QUOTE_MAX).map(shown).collect()
}

/// One thing that is wrong (or, as a notice, one thing that `hb` does in its own way).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// File.
    pub file: Arc<str>,
    /// Where in it; none where the file as a whole is meant.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// Path of the key, like `watches.bench.drift.fdr_q`; empty where none is meant.
    pub key: String,
    /// What is wrong, in one sentence.
    pub what: String,
    /// What was expected, or what to do; empty where `what` says it all.
    pub help: String,
    /// The line that it stands in.
    #[serde(skip)]
    pub quote: String,
}

impl Fault {
    /// A fault of a whole file.
    #[must_use]
    pub fn of_file(file: &str, what: &str, help: &str) -> Self {
        Self {
            file: file.into(),
            place: None,
            key: String::new(),
            what: what.to_owned(),
            help: help.to_owned(),
            quote: String::new(),
        }
    }
}

/// Everything found in one reading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// What is wrong: with one of these, nothing is started.
    pub faults: Vec<Fault>,
    /// What `hb` does in its own way.
    pub notices: Vec<Fault>,
}

impl Findings {
    /// Adds a fault; the same one is kept once, also when several watches share the line.
    pub fn fault(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Adds a notice, once.
    pub fn notice(&mut self, notice: Fault) {
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// In order of file and place.
    pub fn sort(&mut self) {
        for list in [&mut self.faults, &mut self.notices] {
            list.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
        }
    }
}

/// How a finding is headed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heading {
    /// `error`.
    Error,
    /// `notice`.
    Notice,
}

impl Heading {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Notice => "notice",
        }
    }
}

/// A finding with the line that it stands in.
#[must_use]
pub fn render(fault: &Fault, heading: Heading) -> String {
    let mut text = String::new();
    let head = heading.as_str();
    let Some(place) = fault.place else {
        push(&mut text, format_args!("{head}: {}: {}", fault.file, fault.what));
        push_help(&mut text, "", &fault.help);
        return text;
    };
    push(&mut text, format_args!("{head}: {}:{}:{}: {}", fault.file, place.line, place.column, fault.what));
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    if !fault.quote.trim().is_empty() {
        let indent = " ".repeat(place.column.saturating_sub(1).min(QUOTE_MAX));
        let quote = without_secrets(&fault.quote);
        let room = quote.chars().count().saturating_sub(indent.len()).max(1);
        push(&mut text, format_args!("{number} | {}", quote.trim_end()));
        push(&mut text, format_args!("{margin} | {indent}{}", "^".repeat(place.width.clamp(1, room))));
    }
    push_help(&mut text, &margin, &fault.help);
    text
}

/// A line with what may be a password in an address left out: faults are printed into logs.
pub(super) fn without_secrets(line: &str) -> String {
    let Some(at) = line.find("://") else { return line.to_owned() };
    let (before, rest) = line.split_at(at.saturating_add(3));
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '}' | ']')).unwrap_or(rest.len());
    let (address, after) = rest.split_at(end);
    let (login, place) = address.rsplit_once('@').map_or((None, address), |(login, place)| (Some(login), place));
    let login = login.map(|login| match login.split_once(':') {
        Some((user, _)) => format!("{user}:…@"),
        None => format!("{login}@"),
    });
    let place = match place.split_once('?') {
        Some((place, parameters)) => {
            let shown: Vec<String> = parameters.split('&').map(parameter_without_secret).collect();
            format!("{place}?{}", shown.join("&"))
        }
        None => place.to_owned(),
    };
    format!("{before}{}{place}{}", login.unwrap_or_default(), without_secrets(after))
}

fn parameter_without_secret(parameter: &str) -> String {
    let Some((key, value)) = parameter.split_once('=') else { return parameter.to_owned() };
    let named = key.to_lowercase();
    let secret = ["password", "secret", "token", "key"].iter().any(|word| named.contains(word));
    let value = if secret && !named.ends_with("_file") { "…" } else { value };
    format!("{key}={value}")
}

fn push_help(text: &mut String, margin: &str, help: &str) {
    if !help.is_empty() {
        push(text, format_args!("{margin} = help: {help}"));
    }
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).and_then(|()| text.write_char('\n')).expect("writing into a String cannot fail");
}

/// The known word nearest to what was typed, when it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let reach = (typed.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|word| (distance(&typed, word), word))
        .filter(|(steps, word)| *steps <= reach || (typed.len() > 3 && word.contains(typed.as_str())))
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, word)| word)
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i.saturating_add(1)];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX / 2);
            let mut best = at(&row, j).saturating_add(usize::from(x != y));
            best = best.min(at(&row, j.saturating_add(1)).saturating_add(1)).min(at(&next, j).saturating_add(1));
            let swapped = i > 0 && j > 0 && a.get(i.wrapping_sub(1)) == Some(y) && b.get(j.wrapping_sub(1)) == Some(x);
            if swapped {
                best = best.min(at(&before, j.wrapping_sub(1)).saturating_add(1));
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_and_a_far_one_is_not() {
        let known = ["interval_sec", "path", "output_dir"];
        assert_eq!(nearest("intervall_sec", known), Some("interval_sec"));
        assert_eq!(nearest("pahT", known), Some("path"));
        assert_eq!(nearest("interval", known), Some("interval_sec"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn a_quoted_line_shows_no_password() {
        for (line, shown) in [
            ("url: \"postgres://hb:geheim@db:x/hb\" # a", "url: \"postgres://hb:…@db:x/hb\" # a"),
            ("url: postgres://hb:ge/hei@m@db/hb", "url: postgres://hb:…@db/hb"),
            ("{to: 's3://b/p?secret=geheim', every_sec: 1}", "{to: 's3://b/p?secret=…', every_sec: 1}"),
            ("to: http://b:1?token_file=/etc/t&token=geheim", "to: http://b:1?token_file=/etc/t&token=…"),
            ("sinks: [https://a:b@c, https://d:e@f]", "sinks: [https://a:…@c, https://d:…@f]"),
            ("output_dir: out", "output_dir: out"),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }

    #[test]
    fn a_fault_shows_its_line_and_points_at_it() {
        let file = SourceFile::new("hb.yaml", "a: 1\n  b: x\ty\n");
        let fault = Fault {
            file: file.name.clone(),
            place: Some(Place { line: 2, column: 6, width: 3 }),
            key: "b".into(),
            what: "wrong".into(),
            help: "do better".into(),
            quote: file.line(2).into(),
        };
        let text = "error: hb.yaml:2:6: wrong\n2 |   b: x y\n  |      ^^^\n  = help: do better\n";
        assert_eq!(render(&fault, Heading::Error), text);
    }
}
