//! `${…}` in targets, reasons and values: which names they may have, and what they become.

use std::collections::BTreeMap;

use super::Variable;
use super::context::{Figure, Lookup};
use super::fields::{FIELDS, Field};

/// What a reference names.
#[derive(Debug, Clone, PartialEq)]
pub enum Named {
    /// `${variables.NAME}`
    Variable(String),
    /// `${agent.id}` and every other field.
    Field(Field),
    /// Nothing that is known.
    Unknown(String),
}

impl Named {
    fn of(name: &str) -> Self {
        match (name.strip_prefix("variables."), Field::find(name)) {
            (Some(variable), _) => Self::Variable(variable.to_owned()),
            (None, Some(field)) => Self::Field(field),
            (None, None) => Self::Unknown(name.to_owned()),
        }
    }
}

/// The variable that a value is, when it is `${variables.NAME}` and nothing else.
#[must_use]
pub fn variable_of(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${variables.")?.strip_suffix('}')?;
    (!name.is_empty() && !name.contains(['}', '{', '\n']) && name.trim() == name).then_some(name)
}

/// A piece of a text with references in it.
#[derive(Debug, Clone, PartialEq)]
enum Piece<'a> {
    Plain(&'a str),
    Reference(&'a str),
    /// A `${` that nothing closes.
    Open(&'a str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        pieces.push(Piece::Plain(before));
        match behind.split_once('}') {
            Some((name, after)) => {
                pieces.push(Piece::Reference(name.trim()));
                rest = after;
            }
            None => {
                pieces.push(Piece::Open(behind));
                return pieces;
            }
        }
    }
    pieces.push(Piece::Plain(rest));
    pieces
}

/// Everything that a text refers to, in order; `Err` with what follows a `${` that is not closed.
///
/// # Errors
/// A `${` without its `}`.
pub fn references(text: &str) -> Result<Vec<Named>, String> {
    let mut named = Vec::new();
    for piece in pieces(text) {
        match piece {
            Piece::Plain(_) => {}
            Piece::Reference(name) => named.push(Named::of(name)),
            Piece::Open(behind) => return Err(super::lexer::shortened(behind)),
        }
    }
    Ok(named)
}

/// A text with its references replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// The text; what has no value reads `unknown`.
    pub text: String,
    /// Names of those that have none.
    pub missing: Vec<String>,
}

/// Replaces every reference by its value.
#[must_use]
pub fn fill(text: &str, context: &dyn Lookup, variables: &BTreeMap<String, Variable>) -> Filled {
    let mut filled = Filled { text: String::with_capacity(text.len()), missing: Vec::new() };
    for piece in pieces(text) {
        match piece {
            Piece::Plain(plain) => filled.text.push_str(plain),
            Piece::Open(behind) => {
                filled.text.push_str("${");
                filled.text.push_str(behind);
            }
            Piece::Reference(name) => {
                let value = match Named::of(name) {
                    Named::Variable(variable) => {
                        variables.get(&variable).map_or(Figure::Null, |variable| Figure::Number(variable.value))
                    }
                    Named::Field(field) => context.value(&field),
                    Named::Unknown(_) => Figure::Null,
                };
                match value.in_words() {
                    Some(words) => filled.text.push_str(&words),
                    None => {
                        filled.text.push_str("unknown");
                        filled.missing.push(name.to_owned());
                    }
                }
            }
        }
    }
    filled
}

/// Names that a reference may have, for help.
pub(super) fn names(variables: &[String]) -> impl Iterator<Item = &str> {
    variables.iter().map(String::as_str).chain(FIELDS.iter().map(|info| info.path))
}

#[cfg(test)]
mod tests {
    use super::super::context::Given;
    use super::*;

    #[test]
    fn references_are_told_and_filled() {
        let context = Given::of([("agent.id", "bench-1".into()), ("agent.anomaly_score", 0.9.into())]);
        let variables = BTreeMap::from([("limit".into(), Variable { value: 0.8, min: 0.0, max: 1.0, adaptive: true })]);
        let text =
            "${agent.id} scores ${ agent.anomaly_score }, over ${variables.limit}; team ${agent.team}, ${agent.x}";
        let filled = fill(text, &context, &variables);
        assert_eq!(filled.text, "bench-1 scores 0.9, over 0.8; team unknown, unknown");
        assert_eq!(filled.missing, ["agent.team", "agent.x"]);
        assert_eq!(fill("a ${b", &context, &variables).text, "a ${b");
        assert_eq!(references("a ${b"), Err("b".into()));
        assert_eq!(references("${variables.x}").unwrap(), vec![Named::Variable("x".into())]);
        assert_eq!(variable_of("${variables.x}"), Some("x"));
        assert_eq!(
            (variable_of("${variables.}"), variable_of("${agent.id}"), variable_of("a${variables.x}")),
            (None, None, None)
        );
    }
}
