//! A condition as the expression that reads back as it.

use std::fmt;

use serde_json::Value;

use super::{Comparison, Condition, Junction};

impl Comparison {
    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::In => "in",
            Self::NotIn => "not_in",
        }
    }

    /// As it stands in expressions.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::NotIn => "not in",
            Self::Equal
            | Self::NotEqual
            | Self::Greater
            | Self::GreaterOrEqual
            | Self::Less
            | Self::LessOrEqual
            | Self::In => self.as_str(),
        }
    }

    /// Every one of them.
    pub const ALL: [Self; 8] = [
        Self::Equal,
        Self::NotEqual,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::In,
        Self::NotIn,
    ];
}

impl Junction {
    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::And => "AND",
            Self::Or => "OR",
            Self::Not => "NOT",
        }
    }

    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::And, Self::Or, Self::Not];
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FieldComparison { field, operator, value } => {
                write!(f, "{field} {} {}", operator.in_words(), Written(value))
            }
            Self::Composite { operator: Junction::Not, conditions } => {
                f.write_str("not ")?;
                match conditions.as_slice() {
                    [inner] => match inner.bare() {
                        inner @ Self::Composite { operator: Junction::Not, .. } => write!(f, "{inner}"),
                        inner @ (Self::FieldComparison { .. } | Self::Composite { .. }) => write!(f, "({inner})"),
                    },
                    // Not sound, and nothing that could be read back: only messages show it.
                    several => write!(f, "({})", Joined(several, ", ")),
                }
            }
            Self::Composite { operator: Junction::And, conditions } => Joined(conditions, " and ").fmt(f),
            Self::Composite { operator: Junction::Or, conditions } => Joined(conditions, " or ").fmt(f),
        }
    }
}

/// Parts of a composite with the word between them; parts that are composites themselves stand in parentheses.
struct Joined<'a>(&'a [Condition], &'static str);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(self.1)?;
            }
            let part = part.bare();
            let parentheses =
                self.0.len() > 1 && matches!(part, Condition::Composite { operator: Junction::And | Junction::Or, .. });
            if parentheses { write!(f, "({part})") } else { write!(f, "{part}") }?;
        }
        Ok(())
    }
}

/// A value as an expression writes it.
pub(super) struct Written<'a>(pub(super) &'a Value);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) if super::template::variable_of(text).is_some() => f.write_str(text),
            Value::Array(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{}", Written(item))?;
                }
                f.write_str("]")
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                write!(f, "{}", self.0)
            }
        }
    }
}

impl Condition {
    /// What is inside junctions of a single part, which mean what their part means.
    fn bare(&self) -> &Self {
        let mut inner = self;
        while let Self::Composite { operator: Junction::And | Junction::Or, conditions } = inner
            && let [only] = conditions.as_slice()
        {
            inner = only;
        }
        inner
    }

    /// The same condition without junctions of a single part, which mean what their part means: what its expression reads back as.
    #[must_use]
    pub fn plain(self) -> Self {
        match self {
            Self::Composite { operator, conditions } => {
                let mut conditions: Vec<Self> = conditions.into_iter().map(Self::plain).collect();
                match (operator, conditions.len()) {
                    (Junction::And | Junction::Or, 1) => conditions.remove(0),
                    _ => Self::Composite { operator, conditions },
                }
            }
            comparison @ Self::FieldComparison { .. } => comparison,
        }
    }
}
