//! Reads `agent.anomaly_score >= 0.8 and not agent.given_up` as a [`Condition`].
//!
//! A parser by binding powers: `or` binds weakest, then `and`, then `not`, then the comparison. Parts joined by the same word are one
//! composite (`a and b and c` has three); parentheses keep their own. Total: any text gives a condition or one fault with its place.
//! Whether fields, types and values are sound is asked by [`super::check`], which uses the places kept here.

use serde_json::{Number, Value};

use super::super::bounds::{CONDITION_DEPTH_MAX, CONDITION_NODES_MAX};
use super::fault::{Fault, Place, nearest};
use super::fields::{FIELDS, Field, Kind, Unit, nearest_field};
use super::lexer::{Part, cut};
use super::{Comparison, Condition, Junction};

/// Parentheses and `not` within one another; twice what a sound condition of full depth is written with.
const NESTING_MAX: usize = 2 * CONDITION_DEPTH_MAX + 2;

/// Where each part of a condition stands in its expression; as deep and as wide as the condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Located {
    /// All of it.
    pub whole: Place,
    /// The field of a comparison.
    pub field: Place,
    /// Its operator.
    pub operator: Place,
    /// Its value.
    pub value: Place,
    /// The parts of a composite.
    pub parts: Vec<Located>,
}

/// A condition with the places of its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The condition.
    pub condition: Condition,
    /// Where its parts stand.
    pub located: Located,
}

/// Reads an expression.
///
/// # Errors
/// The first thing that cannot be read: place, what was expected there, and what was probably meant.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else stands there is one fault that names it")]
pub fn parse(text: &str) -> Result<Parsed, Fault> {
    let parts = cut(text)?;
    let mut parser = Parser { parts: &parts, at: 0, nodes: 0 };
    if parser.peek() == &Part::End {
        return Err(parser
            .fault("the expression is empty")
            .expected("a condition, such as `agent.anomaly_score >= 0.8`"));
    }
    let parsed = parser.joined(0, 0)?;
    match parser.peek() {
        Part::End => Ok(parsed),
        Part::Close => Err(parser.fault("`)` closes nothing")),
        Part::Compare(_) => Err(parser
            .fault(format!("{} compares a comparison", parser.peek().in_words()))
            .help(Some("write both comparisons and join them with `and`".into()))),
        part => Err(parser.fault(format!("{} cannot follow here", part.in_words())).expected("`and`, `or` or the end")),
    }
}

struct Parser<'a> {
    parts: &'a [(Part, Place)],
    at: usize,
    nodes: usize,
}

/// Binding power of what joins two conditions.
fn power(junction: Junction) -> u8 {
    match junction {
        Junction::Or => 1,
        Junction::And => 2,
        Junction::Not => 3,
    }
}

/// The word of the language that this is, however its letters are written.
fn keyword(part: &Part) -> Option<&'static str> {
    let Part::Word(word) = part else { return None };
    ["and", "or", "not", "in", "null", "true", "false"].into_iter().find(|known| word.eq_ignore_ascii_case(known))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else stands there is one fault that names it")]
impl<'a> Parser<'a> {
    fn peek(&self) -> &'a Part {
        self.parts.get(self.at).map_or(&Part::End, |(part, _)| part)
    }

    fn place(&self) -> Place {
        self.parts.get(self.at).or(self.parts.last()).map_or_else(Place::default, |(_, place)| *place)
    }

    fn next(&mut self) -> (&'a Part, Place) {
        let now = (self.peek(), self.place());
        self.at = self.at.saturating_add(1).min(self.parts.len().saturating_sub(1));
        now
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new("when", message).at(Some(self.place()))
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > CONDITION_NODES_MAX {
            return Err(self
                .fault("the condition has too many parts")
                .expected(format!("at most {CONDITION_NODES_MAX} comparisons and junctions")));
        }
        Ok(())
    }

    fn joins(&self) -> Option<Junction> {
        match keyword(self.peek()) {
            Some("and") => Some(Junction::And),
            Some("or") => Some(Junction::Or),
            _ => None,
        }
    }

    /// Conditions joined by words that bind at least as strongly as `least`.
    fn joined(&mut self, least: u8, nesting: usize) -> Result<Parsed, Fault> {
        let mut left = self.single(nesting)?;
        // The word that made `left` here, so that what it joins further goes into the same composite.
        let mut made_by = None;
        while let Some(junction) = self.joins().filter(|junction| power(*junction) > least) {
            self.next();
            let right = self.joined(power(junction), nesting)?;
            if made_by == Some(junction) {
                left = appended(left, right);
            } else {
                self.count()?;
                left = composite(junction, vec![left, right]);
                made_by = Some(junction);
            }
        }
        Ok(left)
    }

    /// `not …`, `( … )` or a comparison.
    fn single(&mut self, nesting: usize) -> Result<Parsed, Fault> {
        if nesting > NESTING_MAX {
            let bound = format!("at most {NESTING_MAX} parentheses and `not` within one another");
            return Err(self.fault("the condition is nested too deeply").expected(bound));
        }
        let deeper = nesting.saturating_add(1);
        let from = self.place();
        if self.peek() == &Part::Open {
            self.next();
            let mut inner = self.joined(0, deeper)?;
            if self.peek() != &Part::Close {
                let found =
                    format!("{} stands where the parenthesis of column {} closes", self.peek().in_words(), from.column);
                return Err(self.fault(found).expected("`)`, `and` or `or`"));
            }
            let (_, end) = self.next();
            inner.located.whole = from.to(end);
            return Ok(inner);
        }
        if keyword(self.peek()) == Some("not") {
            self.next();
            self.count()?;
            let inner = self.single(deeper)?;
            let mut parsed = composite(Junction::Not, vec![inner]);
            parsed.located.whole = from.to(parsed.located.whole);
            return Ok(parsed);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Parsed, Fault> {
        self.count()?;
        let (name, place) = self.field()?;
        let field = Field::find(name);
        let mut located = Located { whole: place, field: place, operator: self.place(), ..Located::default() };
        let (operator, value) = match (self.peek(), keyword(self.peek())) {
            (Part::Compare(comparison), _) => {
                self.next();
                located.value = self.place();
                (*comparison, self.value(field.as_ref())?)
            }
            (_, Some("in")) => {
                self.next();
                located.value = self.place();
                (Comparison::In, self.list(field.as_ref())?)
            }
            (_, Some("not")) => {
                self.next();
                if keyword(self.peek()) != Some("in") {
                    let found = format!("{} stands behind `not`", self.peek().in_words());
                    return Err(self.fault(found).expected("`in`"));
                }
                located.operator = located.operator.to(self.next().1);
                located.value = self.place();
                (Comparison::NotIn, self.list(field.as_ref())?)
            }
            _ if field.as_ref().is_some_and(|field| field.kind() == Kind::Truth) => {
                located.value = place;
                (Comparison::Equal, Value::Bool(true))
            }
            _ => return Err(self.no_operator(name, place, field.as_ref())),
        };
        if located.value != place {
            let last = self.at.checked_sub(1).and_then(|at| self.parts.get(at));
            located.value = last.map_or(located.value, |(_, end)| located.value.to(*end));
            located.whole = place.to(located.value);
        }
        Ok(Parsed { condition: Condition::FieldComparison { field: name.to_owned(), operator, value }, located })
    }

    fn no_operator(&self, name: &str, place: Place, field: Option<&Field>) -> Fault {
        if field.is_none() {
            let fault = Fault::new("when", format!("there is no field `{}`", super::lexer::shortened(name)));
            let help = nearest(name, ["and", "or", "not", "in"]).or_else(|| nearest_field(name));
            return fault.at(Some(place)).help(help.map(|word| format!("did you mean `{word}`?")));
        }
        let found = format!("{} stands behind the field", self.peek().in_words());
        self.fault(found).expected("`==`, `!=`, `>`, `>=`, `<`, `<=`, `in [..]` or `not in [..]`")
    }

    fn field(&mut self) -> Result<(&'a str, Place), Fault> {
        match (self.peek(), keyword(self.peek())) {
            (Part::Word(name), None) => Ok((name, self.next().1)),
            (part @ (Part::Number(..) | Part::Text(_) | Part::Reference(_)), _)
            | (part, Some("null" | "true" | "false")) => {
                let fault = self.fault(format!("{} stands where a field belongs", part.in_words()));
                let swap = "the field stands on the left: `agent.anomaly_score >= 0.8`";
                Err(fault.expected("a field").help(Some(swap.into())))
            }
            (part, _) => {
                let some = FIELDS.get(6).map_or("", |info| info.path);
                let fault = self.fault(format!("{} stands where a condition belongs", part.in_words()));
                Err(fault.expected(format!("a field such as `{some}`, `not` or `(`")))
            }
        }
    }

    fn list(&mut self, field: Option<&Field>) -> Result<Value, Fault> {
        if let Part::Reference(_) = self.peek() {
            return self.value(field);
        }
        if self.peek() != &Part::ListOpen {
            let found = format!("{} stands behind `in`", self.peek().in_words());
            return Err(self.fault(found).expected("a list, such as `[\"ERROR\", \"CRITICAL\"]`"));
        }
        self.next();
        let mut items = Vec::new();
        loop {
            if self.peek() == &Part::ListClose {
                self.next();
                return Ok(Value::Array(items));
            }
            if !items.is_empty() {
                if self.peek() != &Part::Comma {
                    let found = format!("{} stands in the list", self.peek().in_words());
                    return Err(self.fault(found).expected("`,` or `]`"));
                }
                self.next();
                if self.peek() == &Part::ListClose {
                    continue;
                }
            }
            items.push(self.scalar(field)?);
        }
    }

    fn value(&mut self, field: Option<&Field>) -> Result<Value, Fault> {
        match self.peek() {
            Part::ListOpen => self.list(field),
            _ => self.scalar(field),
        }
    }

    fn scalar(&mut self, field: Option<&Field>) -> Result<Value, Fault> {
        let value = match (self.peek(), keyword(self.peek())) {
            (Part::Number(number, None), _) => Value::Number(number.clone()),
            (Part::Number(number, Some(unit)), _) => {
                let counted = field.map_or(Unit::Plain, Field::unit);
                with_unit(number, unit, counted).map_err(|fault| fault.at(Some(self.place())))?
            }
            (Part::Text(text), _) => Value::String(text.clone()),
            (Part::Reference(name), _) => Value::String(format!("${{{name}}}")),
            (_, Some("null")) => Value::Null,
            (_, Some("true")) => Value::Bool(true),
            (_, Some("false")) => Value::Bool(false),
            (Part::Word(word), None) => {
                let fault = self.fault(format!("`{}` stands where a value belongs", super::lexer::shortened(word)));
                return Err(fault.expected("a value").help(Some(format!(
                    "texts stand in quotes: \"{}\"; figures of the policy are `${{variables.NAME}}`",
                    super::lexer::shortened(word)
                ))));
            }
            (part, _) => {
                let fault = self.fault(format!("{} stands where a value belongs", part.in_words()));
                return Err(
                    fault.expected("a number, a text in quotes, `true`, `false`, `null` or `${variables.NAME}`")
                );
            }
        };
        self.next();
        Ok(value)
    }
}

fn composite(operator: Junction, parts: Vec<Parsed>) -> Parsed {
    let whole = match (parts.first(), parts.last()) {
        (Some(first), Some(last)) => first.located.whole.to(last.located.whole),
        _ => Place::default(),
    };
    let (conditions, located) = parts.into_iter().map(|part| (part.condition, part.located)).unzip();
    Parsed {
        condition: Condition::Composite { operator, conditions },
        located: Located { whole, parts: located, ..Located::default() },
    }
}

fn appended(mut left: Parsed, right: Parsed) -> Parsed {
    if let Condition::Composite { conditions, .. } = &mut left.condition {
        conditions.push(right.condition);
        left.located.whole = left.located.whole.to(right.located.whole);
        left.located.parts.push(right.located);
    }
    left
}

/// A number with a unit, as its field counts: durations in seconds, `%` as a share of one unless the field is in per cent.
fn with_unit(number: &Number, unit: &str, counted: Unit) -> Result<Value, Fault> {
    let value = number.as_f64().unwrap_or(f64::NAN);
    let refused = |what: &str, expected: String| {
        let message = format!("`{number}{}` is {what}", super::lexer::shortened(unit));
        Err(Fault::new("when", message).expected(expected))
    };
    let seconds = match unit {
        "ms" => Some(value / 1000.0),
        "s" => Some(value),
        "m" | "min" => Some(value * 60.0),
        "h" => Some(value * 3600.0),
        "d" => Some(value * 86400.0),
        _ => None,
    };
    let figure = match (unit, seconds, counted) {
        ("%", _, Unit::Percent) => value,
        ("%", _, Unit::Plain | Unit::Share) => value / 100.0,
        (_, Some(seconds), Unit::Plain | Unit::Seconds) => seconds,
        ("%", _, Unit::Count | Unit::Seconds | Unit::Megabytes) => {
            return refused("a share", format!("a number ({})", counted.as_str()));
        }
        (_, Some(_), Unit::Count | Unit::Share | Unit::Percent | Unit::Megabytes) => {
            return refused("a duration", format!("a number ({})", counted.as_str()));
        }
        (_, None, Unit::Plain | Unit::Count | Unit::Share | Unit::Percent | Unit::Seconds | Unit::Megabytes) => {
            return refused("in no known unit", "`ms`, `s`, `m`, `h`, `d` or `%`".into());
        }
    };
    match whole(figure).or_else(|| Number::from_f64(figure)) {
        Some(number) => Ok(Value::Number(number)),
        None => refused("too large", "a number that a 64-bit float can hold".into()),
    }
}

/// The figure as a whole number, when it is one.
#[expect(clippy::cast_possible_truncation, reason = "checked: whole, and far within the range")]
pub(super) fn whole(figure: f64) -> Option<Number> {
    // Up to here every whole number is a float of its own. A negative zero is no whole number: it reads back as it was.
    let exact = figure.abs() <= 9_007_199_254_740_992.0 && (figure != 0.0 || figure.is_sign_positive());
    (exact && figure.trunc().to_bits() == figure.to_bits()).then(|| Number::from(figure as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        serde_json::to_value(parse(text).unwrap().condition).unwrap()
    }

    fn wrong(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_of_the_documents_is_their_tree() {
        assert_eq!(
            read("agent.anomaly_score >= 0.8 and agent.consecutive_anomalous_readings >= 3"),
            json!({"type": "composite", "operator": "AND", "conditions": [
                {"type": "field_comparison", "field": "agent.anomaly_score", "operator": ">=", "value": 0.8},
                {"type": "field_comparison", "field": "agent.consecutive_anomalous_readings", "operator": ">=", "value": 3},
            ]})
        );
    }

    #[test]
    fn and_binds_stronger_than_or_and_not_strongest() {
        let tree = |text: &str| parse(text).unwrap().condition.to_string();
        assert_eq!(tree("a == 1 or b == 2 and not c == 3 or d == 4"), "a == 1 or (b == 2 and not (c == 3)) or d == 4");
        assert_eq!(tree("(a == 1 or b == 2) and c == 3 and d == 4"), "(a == 1 or b == 2) and c == 3 and d == 4");
        assert_eq!(tree("(a == 1 and b == 2) and c == 3"), "(a == 1 and b == 2) and c == 3");
        assert_eq!(
            tree("NOT agent.given_up AND a IN [1, 'x', NULL]"),
            "not (agent.given_up == true) and a in [1, \"x\", null]"
        );
        assert_eq!(tree("a not in ['b',] "), "a not in [\"b\"]");
    }

    #[test]
    fn units_follow_the_field() {
        let value = |text: &str| read(text).get("value").cloned().unwrap();
        assert_eq!(value("agent.uptime_seconds < 5m"), json!(300));
        assert_eq!(value("agent.uptime_seconds < 1.5h"), json!(5400));
        assert_eq!(value("agent.uptime_seconds < 1500ms"), json!(1.5));
        assert_eq!(value("agent.anomaly_score > 50%"), json!(0.5));
        assert_eq!(value("agent.cpu_percent > 80%"), json!(80));
        assert_eq!(value("agent.metrics.lag == 2d"), json!(172_800));
        assert!(wrong("agent.restart_count > 5m").contains("`5m` is a duration; expected a number (count)"));
        assert!(wrong("agent.uptime_seconds > 5parsec").contains("no known unit"));
        assert!(wrong("agent.uptime_seconds > 1e308d").contains("too large"));
    }

    #[test]
    fn each_part_knows_its_place() {
        let text = "agent.id == 'x' and (\n not agent.tags not in [1, 2] )";
        let parsed = parse(text).unwrap();
        let part = |place: Place| text.get(place.byte..place.byte + place.length).unwrap();
        assert_eq!(part(parsed.located.whole), text);
        assert_eq!(part(parsed.located.parts[0].operator), "==");
        assert_eq!(part(parsed.located.parts[0].value), "'x'");
        let not = &parsed.located.parts[1];
        let inner = &not.parts[0];
        assert_eq!((part(inner.operator), part(inner.value)), ("not in", "[1, 2]"));
        assert_eq!((inner.field.line, inner.field.column), (2, 6));
    }

    #[test]
    fn faults_say_what_was_expected_and_where() {
        assert_eq!(wrong("agent.id = 'x'"), "when, column 10: `=` is not part of the language; write `==`");
        assert_eq!(
            wrong("agent.anomaly_scor"),
            "when, column 1: there is no field `agent.anomaly_scor`; did you mean `agent.anomaly_score`?"
        );
        assert!(wrong("").contains("empty") && wrong("  ").contains("empty"));
        assert!(wrong("agent.id").contains("the end stands behind the field; expected `==`"));
        assert!(wrong("0.8 <= agent.anomaly_score").contains("the field stands on the left"));
        assert!(wrong("agent.id == worker").contains("texts stand in quotes"));
        assert!(wrong("(agent.id == 1").contains("the end stands where the parenthesis of column 1 closes"));
        assert!(wrong("agent.id == 1)").contains("closes nothing"));
        assert!(wrong("agent.id == 1 agent.id == 2").contains("cannot follow here"));
        assert!(wrong("1 < agent.id < 2").contains("left"));
        assert!(wrong("agent.id < 1 < 2").contains("join them with `and`"));
        assert!(wrong("agent.id in 'x'").contains("expected a list"));
        assert!(wrong("agent.id in ['x' 'y']").contains("`,` or `]`"));
        assert!(wrong("agent.id not 'x'").contains("expected `in`"));
        assert!(wrong("agent.id == 1 and").contains("the end stands where a condition belongs"));
        assert!(wrong("agent.id == 1 nad agent.id == 2").contains("cannot follow"));
    }

    #[test]
    fn b1_depth_and_size_are_bounded() {
        assert!(wrong(&"(".repeat(5000)).contains("nested too deeply"));
        assert!(wrong(&"not ".repeat(5000)).contains("nested too deeply"));
        let many = vec!["agent.id == 'x'"; CONDITION_NODES_MAX + 1].join(" or ");
        assert!(wrong(&many).contains("at most 200"));
    }
}
