//! Cuts an expression into its parts, each with its place. Total: any text gives parts or one fault.

use serde_json::Number;

use super::super::bounds::EXPRESSION_BYTES_MAX;
use super::Comparison;
use super::fault::{Fault, Place};

/// One part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// A field or a word of the language.
    Word(String),
    /// A number, with what stands right behind it: `30s`, `50%`.
    Number(Number, Option<String>),
    /// A text in quotes.
    Text(String),
    /// `${…}`, without the signs around it.
    Reference(String),
    /// A comparison.
    Compare(Comparison),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    ListOpen,
    /// `]`
    ListClose,
    /// `,`
    Comma,
    /// Nothing more.
    End,
}

impl Part {
    /// As a fault names it.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Word(word) => format!("`{}`", shortened(word)),
            Self::Number(number, unit) => format!("`{number}{}`", shortened(unit.as_deref().unwrap_or(""))),
            Self::Text(text) => format!("the text \"{}\"", shortened(text)),
            Self::Reference(name) => format!("`${{{}}}`", shortened(name)),
            Self::Compare(comparison) => format!("`{}`", comparison.as_str()),
            Self::Open => "`(`".into(),
            Self::Close => "`)`".into(),
            Self::ListOpen => "`[`".into(),
            Self::ListClose => "`]`".into(),
            Self::Comma => "`,`".into(),
            Self::End => "the end".into(),
        }
    }
}

/// The first 60 characters, for messages.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Cuts a text; the last part is [`Part::End`].
pub(super) fn cut(text: &str) -> Result<Vec<(Part, Place)>, Fault> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let message = format!("the expression has {} bytes", text.len());
        return Err(Fault::new("when", message).expected(format!("at most {EXPRESSION_BYTES_MAX} bytes")));
    }
    let mut lexer = Lexer { text, at: 0, line: 1, line_start: 0 };
    let mut parts = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let place = lexer.place(start);
        let part = lexer.part(place)?;
        let end = part == Part::End;
        parts.push((part, Place { length: lexer.at.saturating_sub(start), ..place }));
        if end {
            return Ok(parts);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    /// Byte of the next character.
    at: usize,
    line: usize,
    line_start: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at = self.at.saturating_add(next.len_utf8());
        if next == '\n' {
            self.line = self.line.saturating_add(1);
            self.line_start = self.at;
        }
        Some(next)
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let there = self.rest().starts_with(wanted);
        if there {
            self.at = self.at.saturating_add(wanted.len());
        }
        there
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&fits) {
            self.bump();
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn skip_blank(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn place(&self, byte: usize) -> Place {
        let column = self.text.get(self.line_start..byte).map_or(0, |before| before.chars().count()).saturating_add(1);
        Place { byte, length: 0, line: self.line, column }
    }

    fn fault(&self, from: Place, message: impl Into<String>) -> Fault {
        let length = self.at.saturating_sub(from.byte).max(1);
        Fault::new("when", message).at(Some(Place { length, ..from }))
    }

    fn part(&mut self, from: Place) -> Result<Part, Fault> {
        let Some(next) = self.peek() else { return Ok(Part::End) };
        match next {
            '"' | '\'' => self.quoted(from),
            '$' => self.reference(from),
            '-' => self.number(from),
            digit if digit.is_ascii_digit() => self.number(from),
            letter if letter.is_alphabetic() || letter == '_' => {
                Ok(Part::Word(self.take_while(word_letter).to_owned()))
            }
            _ => self.sign(from),
        }
    }

    fn sign(&mut self, from: Place) -> Result<Part, Fault> {
        const SIGNS: [(&str, Part); 11] = [
            ("==", Part::Compare(Comparison::Equal)),
            ("!=", Part::Compare(Comparison::NotEqual)),
            (">=", Part::Compare(Comparison::GreaterOrEqual)),
            ("<=", Part::Compare(Comparison::LessOrEqual)),
            (">", Part::Compare(Comparison::Greater)),
            ("<", Part::Compare(Comparison::Less)),
            ("(", Part::Open),
            (")", Part::Close),
            ("[", Part::ListOpen),
            ("]", Part::ListClose),
            (",", Part::Comma),
        ];
        const OTHERS: [(&str, &str); 5] = [("&&", "and"), ("||", "or"), ("=", "=="), ("!", "not"), ("&", "and")];
        for (sign, part) in SIGNS {
            if self.eat(sign) {
                return Ok(part);
            }
        }
        for (sign, meant) in OTHERS {
            if self.eat(sign) {
                let fault = self.fault(from, format!("`{sign}` is not part of the language"));
                return Err(fault.help(Some(format!("write `{meant}`"))));
            }
        }
        let odd = self.bump().map_or_else(String::new, |odd| odd.escape_debug().to_string());
        let known = "a field, a value, `and`, `or`, `not`, a comparison or a parenthesis";
        Err(self.fault(from, format!("`{odd}` is not part of the language")).expected(known))
    }

    fn reference(&mut self, from: Place) -> Result<Part, Fault> {
        if !self.eat("${") {
            self.bump();
            return Err(self.fault(from, "`$` stands alone").expected("`${variables.NAME}`"));
        }
        let name = self.take_while(|letter| letter != '}' && letter != '\n').trim().to_owned();
        if self.eat("}") {
            Ok(Part::Reference(name))
        } else {
            Err(self.fault(from, "`${` is not closed").expected("`${variables.NAME}`"))
        }
    }

    fn number(&mut self, from: Place) -> Result<Part, Fault> {
        let start = self.at;
        self.eat("-");
        self.take_while(|letter| letter.is_ascii_digit());
        if self.eat(".") {
            self.take_while(|letter| letter.is_ascii_digit());
        }
        self.exponent();
        let digits = self.text.get(start..self.at).unwrap_or_default();
        let number = serde_json::from_str::<Number>(digits);
        let unit = self.take_while(|letter| word_letter(letter) || letter == '%');
        match number {
            Ok(number) => Ok(Part::Number(number, (!unit.is_empty()).then(|| unit.to_owned()))),
            Err(_) => Err(self
                .fault(from, format!("`{}` is not a number", shortened(digits)))
                .expected("a decimal number such as `3`, `0.8`, `-1.5`, `1e6`")),
        }
    }

    /// Takes `e6`, `E-3`; leaves an `e` that begins a unit.
    fn exponent(&mut self) {
        let mut ahead = self.rest().chars();
        let begins = matches!(ahead.next(), Some('e' | 'E'));
        let second = ahead.next();
        let signed = matches!(second, Some('+' | '-'));
        let digit = if signed { ahead.next() } else { second };
        if begins && digit.is_some_and(|digit| digit.is_ascii_digit()) {
            self.bump();
            if signed {
                self.bump();
            }
            self.take_while(|letter| letter.is_ascii_digit());
        }
    }

    fn quoted(&mut self, from: Place) -> Result<Part, Fault> {
        let quote = self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                None => return Err(self.fault(from, "the text has no closing quote")),
                end if end == quote => return Ok(Part::Text(text)),
                Some('\\') => {
                    let letter = self.escaped();
                    text.push(letter.ok_or_else(|| {
                        self.fault(from, "the text has an escape that is none")
                            .expected("`\\\\`, `\\\"`, `\\'`, `\\/`, `\\n`, `\\t`, `\\r`, `\\b`, `\\f` or `\\uXXXX`")
                    })?);
                }
                Some(letter) => text.push(letter),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.bump()? {
            same @ ('\\' | '"' | '\'' | '/') => same,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let first = self.four_hex()?;
                match char::from_u32(first) {
                    Some(letter) => letter,
                    // The first half of a pair: the second has to follow.
                    None => {
                        let second = self.eat("\\u").then(|| self.four_hex()).flatten()?;
                        let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
                        char::decode_utf16(pair).next()?.ok()?
                    }
                }
            }
            _ => return None,
        })
    }

    fn four_hex(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4).filter(|digits| digits.chars().all(|digit| digit.is_ascii_hexdigit()))?;
        self.at = self.at.saturating_add(4);
        u32::from_str_radix(digits, 16).ok()
    }
}

fn word_letter(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.' | '-' | '/' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<Part> {
        cut(text).unwrap().into_iter().map(|(part, _)| part).collect()
    }

    #[test]
    fn every_part_is_told_from_the_others() {
        let number = |text: &str| serde_json::from_str::<Number>(text).unwrap();
        assert_eq!(
            parts("agent.x>=0.8 ( 'a\\'b' )[-1e3,30s,50%]${variables.y}"),
            vec![
                Part::Word("agent.x".into()),
                Part::Compare(Comparison::GreaterOrEqual),
                Part::Number(number("0.8"), None),
                Part::Open,
                Part::Text("a'b".into()),
                Part::Close,
                Part::ListOpen,
                Part::Number(number("-1e3"), None),
                Part::Comma,
                Part::Number(number("30"), Some("s".into())),
                Part::Comma,
                Part::Number(number("50"), Some("%".into())),
                Part::ListClose,
                Part::Reference("variables.y".into()),
                Part::End,
            ]
        );
        assert_eq!(parts(r#""\u00e4\ud83d\ude00\n""#), vec![Part::Text("ä😀\n".into()), Part::End]);
    }

    #[test]
    fn what_is_no_part_is_placed_and_helped() {
        let wrong = |text: &str| cut(text).unwrap_err().to_string();
        assert_eq!(wrong("a && b"), "when, column 3: `&&` is not part of the language; write `and`");
        assert_eq!(wrong("a\n = b"), "when, line 2, column 2: `=` is not part of the language; write `==`");
        assert!(wrong("a == 'b").contains("no closing quote"));
        assert!(wrong("a == ${b").contains("not closed"));
        assert!(wrong("a == 1.").contains("not a number"));
        assert!(wrong("a == 1e999").contains("not a number"));
        assert!(wrong("a == '\\ud83d'").contains("escape"));
        assert!(wrong("ä == €").starts_with("when, column 6"));
        assert!(wrong(&"x".repeat(EXPRESSION_BYTES_MAX + 1)).contains("at most"));
    }
}
