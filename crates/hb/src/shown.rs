//! Texts that others have said, such as names, messages and reasons, made fit for a terminal: whoever names an agent or writes a message must not be
//! able to move a cursor, set a title or turn letters round on the screen of whoever looks.

use std::fmt;

use serde::Serialize;

/// Longest text that is shown, in characters (B1).
const TEXT_MAX: usize = 1_000;

/// A text of others without anything in it that a terminal would act upon. There is no other way to make one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Shown(String);

impl Shown {
    /// Made fit, and cut at 1,000 characters.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut chars = text.chars();
        let mut shown: String = chars.by_ref().take(TEXT_MAX).map(fit).collect();
        if chars.next().is_some() {
            shown.push('…');
        }
        Self(shown)
    }

    /// As it is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self::of(text)
    }
}

/// A text of others of any length, made fit for a terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(fit).collect()
}

/// Ends of lines and tabs become spaces; other control characters, and what is not seen but changes what is, become U+FFFD.
fn fit(c: char) -> char {
    match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        // Marks of direction, characters of no width, separators of lines, and tags.
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_upon_is_left() {
        for evil in [
            "\u{1b}[2J\u{1b}[H",
            "\u{1b}]0;title\u{7}",
            "\u{1b}P+q\u{1b}\\",
            "\u{9b}31m",
            "\u{9d}0;x\u{9c}",
            "a\rb",
            "a\u{8}b",
            "\u{7f}",
            "\u{202e}evil",
            "zero\u{200b}width",
            "\u{2028}",
        ] {
            for shown in [clean(evil), Shown::of(evil).to_string()] {
                assert!(shown.chars().all(|c| !c.is_control() && fit(c) == c), "{evil:?} became {shown:?}");
            }
        }
        assert_eq!(clean("two\nlines\tπ ✓"), "two lines π ✓");
    }

    #[test]
    fn b1_a_text_without_end_is_cut() {
        let shown = Shown::of(&"x".repeat(5_000));
        assert_eq!(shown.as_str().chars().count(), TEXT_MAX + 1);
        assert!(shown.as_str().ends_with('…'));
    }
}
