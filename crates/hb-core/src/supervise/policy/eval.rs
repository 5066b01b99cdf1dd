//! Does a condition hold, and how did it come to that?
//!
//! **Invariants.** Pure: the same condition, figures and context give the same outcome, in every field. Total: what was never checked
//! (an unknown field, a comparison that makes no sense) does not hold, and nothing panics.
//!
//! Null: a comparison with a field that is null does not hold, also not `!=`, `not in`; only `== null` does. `not` turns that round as
//! anything else. With a field that is a list, `in` asks whether one of its texts is in the list, `not in` whether none is.

use std::collections::BTreeMap;

use serde_json::Value;

use super::context::{Figure, Lookup};
use super::fields::{Field, Pace};
use super::template::variable_of;
use super::{Comparison, Condition, Junction, TraceStep, Variable};

/// A condition made ready: fields found, variables put in, words written. Worth keeping for a sweep over many agents.
#[derive(Debug, Clone)]
pub struct Compiled {
    root: Node,
    nodes: usize,
}

#[derive(Debug, Clone)]
enum Node {
    Test { field: Option<Field>, path: String, operator: Comparison, wanted: Wanted, words: String },
    Join { junction: Junction, parts: Vec<Node> },
}

/// What a field is compared with.
#[derive(Debug, Clone)]
enum Wanted {
    Null,
    Truth(bool),
    Number(f64),
    Text(String),
    List(Vec<Wanted>),
    /// Nothing is equal to it, smaller or greater.
    Nonsense,
}

/// What an evaluation came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether the condition held.
    pub decision: bool,
    /// Each part that was looked at, in order, and the first level of what was not.
    pub path: Vec<TraceStep>,
    /// The fields that were looked at, with their values.
    pub looked_at: BTreeMap<String, Value>,
}

impl Compiled {
    /// Makes a condition ready with these figures of its policy.
    #[must_use]
    pub fn new(condition: &Condition, variables: &BTreeMap<String, Variable>) -> Self {
        let mut nodes = 0;
        let root = node(condition, variables, &mut nodes);
        Self { root, nodes }
    }

    /// Whether it holds; nothing is noted.
    #[must_use]
    pub fn holds(&self, context: &dyn Lookup) -> bool {
        holds(&self.root, context)
    }

    /// Whether it holds, and how it came to that.
    #[must_use]
    pub fn evaluate(&self, context: &dyn Lookup) -> Outcome {
        let mut outcome = Outcome { decision: false, path: Vec::with_capacity(self.nodes), looked_at: BTreeMap::new() };
        outcome.decision = trace(&self.root, context, 0, &mut outcome);
        outcome
    }

    /// Whether it looks at a field of this pace.
    #[must_use]
    pub fn looks_at(&self, pace: Pace) -> bool {
        looks_at(&self.root, pace)
    }
}

fn node(condition: &Condition, variables: &BTreeMap<String, Variable>, nodes: &mut usize) -> Node {
    *nodes = nodes.saturating_add(1);
    match condition {
        Condition::FieldComparison { field, operator, value } => {
            let wanted = wanted(value, variables);
            let mut words = condition.to_string();
            if let (Wanted::Number(number), Value::String(_)) = (&wanted, value) {
                // The figure of a variable is part of how a decision came about.
                words = format!("{words} ({})", Figure::Number(*number).to_value());
            }
            Node::Test { field: Field::find(field), path: field.clone(), operator: *operator, wanted, words }
        }
        Condition::Composite { operator, conditions } => Node::Join {
            junction: *operator,
            parts: conditions.iter().map(|part| node(part, variables, nodes)).collect(),
        },
    }
}

fn wanted(value: &Value, variables: &BTreeMap<String, Variable>) -> Wanted {
    match value {
        Value::Null => Wanted::Null,
        Value::Bool(truth) => Wanted::Truth(*truth),
        Value::Number(number) => number.as_f64().map_or(Wanted::Nonsense, Wanted::Number),
        Value::String(text) => match variable_of(text) {
            Some(name) => variables.get(name).map_or(Wanted::Nonsense, |variable| Wanted::Number(variable.value)),
            None => Wanted::Text(text.clone()),
        },
        Value::Array(items) => Wanted::List(items.iter().map(|item| wanted(item, &BTreeMap::new())).collect()),
        Value::Object(_) => Wanted::Nonsense,
    }
}

/// Whether a field of this value passes.
fn test(found: &Figure<'_>, operator: Comparison, wanted: &Wanted) -> bool {
    match (found, wanted) {
        (_, Wanted::Nonsense) => false,
        (Figure::Null, Wanted::Null) => operator == Comparison::Equal,
        (Figure::Null, _) => false,
        (_, Wanted::Null) => operator == Comparison::NotEqual,
        (Figure::Number(found), Wanted::Number(wanted)) => match operator {
            Comparison::Greater => found > wanted,
            Comparison::GreaterOrEqual => found >= wanted,
            Comparison::Less => found < wanted,
            Comparison::LessOrEqual => found <= wanted,
            Comparison::Equal => same_number(*found, *wanted),
            Comparison::NotEqual => !same_number(*found, *wanted),
            Comparison::In | Comparison::NotIn => false,
        },
        (_, _) => match operator {
            Comparison::Equal => same(found, wanted),
            Comparison::NotEqual => !same(found, wanted),
            Comparison::In => matches!(wanted, Wanted::List(_)) && one_of(found, wanted),
            Comparison::NotIn => matches!(wanted, Wanted::List(_)) && !one_of(found, wanted),
            Comparison::Greater | Comparison::GreaterOrEqual | Comparison::Less | Comparison::LessOrEqual => false,
        },
    }
}

/// Figures are compared as the floats that they are: who wants a tolerance writes two comparisons.
fn same_number(a: f64, b: f64) -> bool {
    a.partial_cmp(&b).is_some_and(std::cmp::Ordering::is_eq)
}

fn same(found: &Figure<'_>, wanted: &Wanted) -> bool {
    match (found, wanted) {
        (Figure::Truth(found), Wanted::Truth(wanted)) => found == wanted,
        (Figure::Number(found), Wanted::Number(wanted)) => same_number(*found, *wanted),
        (Figure::Text(found), Wanted::Text(wanted)) => found.as_ref() == wanted,
        (Figure::List(found), Wanted::List(wanted)) => {
            let text = |one: &Wanted, other: &str| matches!(one, Wanted::Text(one) if one == other);
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| text(wanted, found))
        }
        (Figure::Null | Figure::Truth(_) | Figure::Number(_) | Figure::Text(_) | Figure::List(_), _) => false,
    }
}

fn one_of(found: &Figure<'_>, wanted: &Wanted) -> bool {
    let Wanted::List(wanted) = wanted else { return false };
    let text = |one: &Wanted, other: &str| matches!(one, Wanted::Text(one) if one == other);
    match found {
        Figure::List(found) => found.iter().any(|found| wanted.iter().any(|wanted| text(wanted, found))),
        Figure::Null | Figure::Truth(_) | Figure::Number(_) | Figure::Text(_) => {
            wanted.iter().any(|wanted| same(found, wanted))
        }
    }
}

fn holds(node: &Node, context: &dyn Lookup) -> bool {
    match node {
        Node::Test { field, operator, wanted, .. } => {
            let found = field.as_ref().map_or(Figure::Null, |field| context.value(field));
            field.is_some() && test(&found, *operator, wanted)
        }
        Node::Join { junction: Junction::And, parts } => {
            !parts.is_empty() && parts.iter().all(|part| holds(part, context))
        }
        Node::Join { junction: Junction::Or, parts } => parts.iter().any(|part| holds(part, context)),
        Node::Join { junction: Junction::Not, parts } => match parts.as_slice() {
            [part] => !holds(part, context),
            _ => false,
        },
    }
}

/// The same as [`holds`], with notes. Kept apart so that a look without notes allocates nothing; a property test holds them together.
fn trace(node: &Node, context: &dyn Lookup, depth: u32, outcome: &mut Outcome) -> bool {
    match node {
        Node::Test { field, path, operator, wanted, words } => {
            let found = field.as_ref().map_or(Figure::Null, |field| context.value(field));
            let held = field.is_some() && test(&found, *operator, wanted);
            let value = found.to_value();
            if !outcome.looked_at.contains_key(path) {
                outcome.looked_at.insert(path.clone(), value.clone());
            }
            let step = TraceStep { condition: words.clone(), depth, found: Some(value), held: Some(held) };
            outcome.path.push(step);
            held
        }
        Node::Join { junction, parts } => {
            let at = outcome.path.len();
            outcome.path.push(skipped(node, depth));
            let below = depth.saturating_add(1);
            let mut known = None;
            for part in parts {
                if known.is_some() {
                    outcome.path.push(skipped(part, below));
                    continue;
                }
                let held = trace(part, context, below, outcome);
                known = match junction {
                    Junction::And => (!held).then_some(false),
                    Junction::Or => held.then_some(true),
                    Junction::Not => Some(parts.len() == 1 && !held),
                };
            }
            let held = known.unwrap_or(*junction == Junction::And && !parts.is_empty());
            if let Some(step) = outcome.path.get_mut(at) {
                step.held = Some(held);
            }
            held
        }
    }
}

fn skipped(node: &Node, depth: u32) -> TraceStep {
    let condition = match node {
        Node::Test { words, .. } => words.clone(),
        Node::Join { junction, .. } => junction.as_str().to_owned(),
    };
    TraceStep { condition, depth, found: None, held: None }
}

fn looks_at(node: &Node, pace: Pace) -> bool {
    match node {
        Node::Test { field, .. } => field.as_ref().is_some_and(|field| field.pace() == pace),
        Node::Join { parts, .. } => parts.iter().any(|part| looks_at(part, pace)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::Given;
    use super::super::expression::parse;
    use super::*;
    use serde_json::json;

    fn compiled(text: &str) -> Compiled {
        Compiled::new(&parse(text).unwrap().condition, &BTreeMap::new())
    }

    #[test]
    fn d7_null_compares_with_nothing_but_null() {
        let nothing = Given::default();
        let holds = |text: &str| compiled(text).evaluate(&nothing).decision;
        assert!(holds("agent.team == null") && !holds("agent.team != null"));
        for text in [
            "agent.exit_status == 3",
            "agent.exit_status != 3",
            "agent.exit_status < 3",
            "agent.exit_status in [3]",
            "agent.exit_status not in [3]",
            "agent.given_up",
        ] {
            assert!(!holds(text), "{text}");
            assert!(holds(&format!("not ({text})")), "{text}");
        }
    }

    #[test]
    fn values_compare_by_their_kind() {
        let given = Given::of([
            ("agent.restart_count", json!(3)),
            ("agent.tags", json!(["gpu", "big"])),
            ("agent.id", json!("a")),
            ("agent.given_up", json!(false)),
        ]);
        let holds = |text: &str| compiled(text).evaluate(&given).decision;
        assert!(holds("agent.restart_count == 3.0 and agent.restart_count >= 3 and agent.restart_count in [1, 3]"));
        assert!(!holds("agent.restart_count != 3 or agent.restart_count > 3 or agent.restart_count not in [3]"));
        assert!(holds("agent.tags in ['gpu', 'x'] and agent.tags not in ['y'] and agent.tags == ['gpu', 'big']"));
        assert!(!holds("agent.tags == ['big', 'gpu']"));
        assert!(holds("not agent.given_up and agent.id != 'b' and agent.id in ['a']"));
        assert!(!holds("agent.id > 'A'") && !holds("agent.id == 3"));
    }

    #[test]
    fn the_path_shows_what_was_looked_at_and_what_was_not() {
        let given = Given::of([("agent.anomaly_score", json!(0.5)), ("agent.restart_count", json!(7))]);
        let condition = "agent.anomaly_score >= 0.8 and (agent.id == 'x' or agent.given_up) or agent.restart_count > 5";
        let outcome = compiled(condition).evaluate(&given);
        let path: Vec<(u32, &str, Option<bool>)> =
            outcome.path.iter().map(|step| (step.depth, step.condition.as_str(), step.held)).collect();
        assert_eq!(
            path,
            [
                (0, "OR", Some(true)),
                (1, "AND", Some(false)),
                (2, "agent.anomaly_score >= 0.8", Some(false)),
                (2, "OR", None),
                (1, "agent.restart_count > 5", Some(true)),
            ]
        );
        let looked_at = [("agent.anomaly_score".into(), json!(0.5)), ("agent.restart_count".into(), json!(7))];
        assert_eq!(outcome.looked_at, BTreeMap::from(looked_at));
    }

    #[test]
    fn variables_are_put_in_and_shown() {
        let condition = parse("agent.anomaly_score >= ${variables.limit}").unwrap().condition;
        let variable = Variable { value: 0.75, min: 0.0, max: 1.0, adaptive: true };
        let given = Given::of([("agent.anomaly_score", json!(0.75))]);
        let outcome = Compiled::new(&condition, &BTreeMap::from([("limit".into(), variable)])).evaluate(&given);
        assert!(outcome.decision);
        assert_eq!(outcome.path[0].condition, "agent.anomaly_score >= ${variables.limit} (0.75)");
        assert!(!Compiled::new(&condition, &BTreeMap::new()).holds(&given), "a variable that is gone");
    }

    #[test]
    fn what_was_never_checked_does_not_hold() {
        let given = Given::of([("agent.id", json!("a"))]);
        for condition in [
            json!({"type": "field_comparison", "field": "agent.nonsense", "operator": "==", "value": null}),
            json!({"type": "field_comparison", "field": "agent.id", "operator": "!=", "value": {"a": 1}}),
            json!({"type": "field_comparison", "field": "agent.id", "operator": "not_in", "value": "b"}),
            json!({"type": "composite", "operator": "AND", "conditions": []}),
            json!({"type": "composite", "operator": "NOT", "conditions": []}),
        ] {
            let condition: Condition = serde_json::from_value(condition).unwrap();
            let compiled = Compiled::new(&condition, &BTreeMap::new());
            assert!(!compiled.holds(&given) && !compiled.evaluate(&given).decision, "{condition}");
        }
    }

    #[test]
    fn paces_are_told() {
        assert!(compiled("agent.uptime_seconds > 5").looks_at(Pace::ByItself));
        assert!(!compiled("agent.id == 'x'").looks_at(Pace::ByItself));
        assert!(compiled("not alert.kind == 'mass'").looks_at(Pace::OfOccasion));
    }
}
