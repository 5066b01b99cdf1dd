//! Is a policy sound? Everything that can be known before it is ever evaluated, all faults at once.
//!
//! What passes here evaluates without surprises: every field exists, every comparison compares what can be compared, every variable is
//! there, every target can be found. The evaluation itself is total all the same.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::bounds::{ACTIONS_MAX, CONDITION_DEPTH_MAX, CONDITION_LIST_MAX, CONDITION_NODES_MAX, VARIABLES_MAX};
use super::super::desk::names::is_id;
use super::expression::Located;
use super::fault::{Fault, Place, nearest};
use super::fields::{Field, Kind, METRICS, Unit, nearest_field};
use super::lexer::shortened;
use super::template::{Named, names, references, variable_of};
use super::wording::Written;
use super::{ActionKind, ActionSpec, Comparison, Condition, Definition, Junction, Variable};

/// Whether it acts on everything at once, so that a second person has to agree.
#[must_use]
pub fn is_dangerous(definition: &Definition) -> bool {
    definition.actions.iter().any(|action| action.kind.is_dangerous())
}

/// Everything that is wrong with a definition and its variables; paths begin at `condition`, `actions` and `variables`.
#[must_use]
pub fn definition(definition: &Definition, variables: &BTreeMap<String, Variable>) -> Vec<Fault> {
    let mut faults = self::variables(variables);
    faults.extend(condition(&definition.condition, None, "condition", variables));
    faults.extend(actions(&definition.actions, "actions", variables));
    faults
}

/// Everything that is wrong with a condition. `located` says where its parts stand in an expression; without it paths do.
#[must_use]
pub fn condition(
    condition: &Condition,
    located: Option<&Located>,
    path: &str,
    variables: &BTreeMap<String, Variable>,
) -> Vec<Fault> {
    let mut checker = Checker { variables, nodes: 0, faults: Vec::new() };
    let spot = Spot { path: path.to_owned(), located };
    checker.condition(condition, &spot, 1);
    if checker.nodes > CONDITION_NODES_MAX {
        let fault = Fault::new(path, format!("the condition has {} parts", checker.nodes));
        checker.faults.push(fault.expected(format!("at most {CONDITION_NODES_MAX} comparisons and junctions")));
    }
    checker.faults
}

/// Where a condition stands: in a document, or in an expression.
struct Spot<'a> {
    path: String,
    located: Option<&'a Located>,
}

impl<'a> Spot<'a> {
    fn fault(&self, part: &str, place: impl Fn(&Located) -> Place, message: impl Into<String>) -> Fault {
        match self.located {
            Some(located) => Fault::new(self.path.clone(), message).at(Some(place(located))),
            None => Fault::new(format!("{}{part}", self.path), message),
        }
    }

    fn part(&self, at: usize) -> Spot<'a> {
        match self.located {
            Some(located) => Spot { path: self.path.clone(), located: located.parts.get(at) },
            None => Spot { path: format!("{}.conditions[{at}]", self.path), located: None },
        }
    }
}

struct Checker<'a> {
    variables: &'a BTreeMap<String, Variable>,
    nodes: usize,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    fn condition(&mut self, condition: &Condition, spot: &Spot<'_>, depth: usize) {
        self.nodes = self.nodes.saturating_add(1);
        if depth > CONDITION_DEPTH_MAX {
            let fault = spot.fault("", |located| located.whole, "the condition is nested too deeply");
            self.faults.push(fault.expected(format!("at most {CONDITION_DEPTH_MAX} levels")));
            return;
        }
        match condition {
            Condition::FieldComparison { field, operator, value } => self.comparison(field, *operator, value, spot),
            Condition::Composite { operator, conditions } => {
                let wrong = match (operator, conditions.len()) {
                    (Junction::Not, 1) => None,
                    (Junction::Not, _) => Some("exactly one condition"),
                    (Junction::And | Junction::Or, 0) => Some("at least one condition"),
                    (Junction::And | Junction::Or, _) => None,
                };
                if let Some(expected) = wrong {
                    let message = format!("{} has {} conditions", operator.as_str(), conditions.len());
                    self.faults.push(spot.fault(".conditions", |located| located.whole, message).expected(expected));
                }
                for (at, part) in conditions.iter().enumerate() {
                    self.condition(part, &spot.part(at), depth.saturating_add(1));
                }
            }
        }
    }

    fn comparison(&mut self, name: &str, operator: Comparison, value: &Value, spot: &Spot<'_>) {
        let Some(field) = Field::find(name) else {
            let fault =
                spot.fault(".field", |located| located.field, format!("there is no field `{}`", shortened(name)));
            let help = match nearest_field(name) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("figures of an agent's own are `{METRICS}NAME`"),
            };
            self.faults.push(fault.help(Some(help)));
            return;
        };
        let ordering = is_ordering(operator);
        if ordering && field.kind() != Kind::Number {
            let message =
                format!("`{}` compares numbers, and `{name}` is a {}", operator.as_str(), field.kind().as_str());
            let fault = spot.fault(".operator", |located| located.operator, message);
            self.faults.push(fault.expected("`==`, `!=`, `in` or `not in`"));
            return;
        }
        for fault in self.value(&field, operator, value) {
            let message = fault.message.clone();
            let placed = spot.fault(".value", |located| located.value, message);
            self.faults.push(Fault { expected: fault.expected, help: fault.help, ..placed });
        }
    }

    fn value(&self, field: &Field, operator: Comparison, value: &Value) -> Vec<Fault> {
        if let Value::String(text) = value
            && text.contains("${")
        {
            return self.variable(field, operator, text).into_iter().collect();
        }
        match operator {
            Comparison::In | Comparison::NotIn => list(field, value),
            Comparison::Equal | Comparison::NotEqual if value.is_null() => Vec::new(),
            Comparison::Equal | Comparison::NotEqual if field.kind() == Kind::List => match value {
                Value::Array(items) if items.len() <= CONDITION_LIST_MAX && items.iter().all(Value::is_string) => {
                    Vec::new()
                }
                Value::Array(_)
                | Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_) => {
                    let help = "whether one of them is there is asked with `in`";
                    vec![bad(value, "a list of texts or null").help(Some(help.into()))]
                }
            },
            Comparison::Equal
            | Comparison::NotEqual
            | Comparison::Greater
            | Comparison::GreaterOrEqual
            | Comparison::Less
            | Comparison::LessOrEqual => scalar(field, value).into_iter().collect(),
        }
    }

    fn variable(&self, field: &Field, operator: Comparison, text: &str) -> Option<Fault> {
        let Some(name) = variable_of(text) else {
            let fault = Fault::new("", format!("`{}` is no value", shortened(text)));
            return Some(
                fault.expected("`${variables.NAME}`: a field is compared with a value, not with another field"),
            );
        };
        let Some(variable) = self.variables.get(name) else {
            return Some(unknown_variable(name, self.variables));
        };
        if field.kind() != Kind::Number || matches!(operator, Comparison::In | Comparison::NotIn) {
            let message = format!("the variable `{}` is a number", shortened(name));
            return Some(Fault::new("", message).expected(wanted(field, operator)));
        }
        let share = |figure: f64| (0.0..=1.0).contains(&figure);
        if field.unit() == Unit::Share && !(share(variable.min) && share(variable.max)) {
            let message = format!("the variable `{}` may leave 0 to 1, and the field does not", shortened(name));
            return Some(Fault::new("", message).expected("`min` and `max` of it within 0 to 1"));
        }
        None
    }
}

fn is_ordering(operator: Comparison) -> bool {
    match operator {
        Comparison::Greater | Comparison::GreaterOrEqual | Comparison::Less | Comparison::LessOrEqual => true,
        Comparison::Equal | Comparison::NotEqual | Comparison::In | Comparison::NotIn => false,
    }
}

/// What a value of this comparison has to be.
fn wanted(field: &Field, operator: Comparison) -> String {
    match (operator, field.kind()) {
        (Comparison::In | Comparison::NotIn, Kind::Number) => "a list of numbers".into(),
        (Comparison::In | Comparison::NotIn, Kind::Text | Kind::List) => "a list of texts".into(),
        (Comparison::In | Comparison::NotIn, Kind::Truth) => "`true` or `false`, with `==`".into(),
        (_, Kind::Number) if is_ordering(operator) => "a number or `${variables.NAME}`".into(),
        (_, kind) => format!("a {} or null", kind.as_str()),
    }
}

fn bad(value: &Value, expected: impl Into<String>) -> Fault {
    Fault::new("", format!("the value is {}", shortened(&Written(value).to_string()))).expected(expected)
}

fn list(field: &Field, value: &Value) -> Vec<Fault> {
    let wanted = wanted(field, Comparison::In);
    let Value::Array(items) = value else { return vec![bad(value, wanted)] };
    if items.is_empty() || items.len() > CONDITION_LIST_MAX {
        let message = format!("the list has {} values", items.len());
        return vec![Fault::new("", message).expected(format!("1 to {CONDITION_LIST_MAX}"))];
    }
    if field.kind() == Kind::Truth {
        return vec![bad(value, wanted)];
    }
    let one = |item: &Value| match item {
        Value::Null => {
            let help = "null is never one of a list: write `or … == null`";
            Some(bad(item, wanted.clone()).help(Some(help.into())))
        }
        Value::String(text) if text.contains("${") => Some(bad(item, "no variables within a list")),
        Value::String(_) if field.kind() == Kind::List => None,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            scalar(field, item)
        }
    };
    items.iter().filter_map(one).collect()
}

/// A single value that is not null against its field.
fn scalar(field: &Field, value: &Value) -> Option<Fault> {
    match (field.kind(), value) {
        (Kind::Number, Value::Number(number)) => {
            let figure = number.as_f64().filter(|figure| figure.is_finite());
            let share = field.unit() != Unit::Share || figure.is_some_and(|figure| (0.0..=1.0).contains(&figure));
            let range = || bad(value, "a number from 0 to 1, as the field is").help(Some("`80%` is 0.8".into()));
            if figure.is_none() { Some(bad(value, "a finite number")) } else { (!share).then(range) }
        }
        (Kind::Text, Value::String(text)) => {
            let words = field.info().map_or(&[][..], |info| info.words);
            let known = words.is_empty() || words.contains(&text.as_str());
            let fault = || bad(value, format!("one of {}", words.join(", "))).meant(text, words.iter().copied());
            (!known).then(fault)
        }
        (Kind::Truth, Value::Bool(_)) => None,
        (kind @ (Kind::Number | Kind::Text | Kind::Truth | Kind::List), _) => {
            Some(bad(value, format!("a {}", kind.as_str())))
        }
    }
}

fn unknown_variable(name: &str, variables: &BTreeMap<String, Variable>) -> Fault {
    let fault = Fault::new("", format!("there is no variable `{}`", shortened(name)));
    let fault = fault.expected("one of `variables`");
    match nearest(name, variables.keys().map(String::as_str)) {
        Some(known) => fault.help(Some(format!("did you mean `${{variables.{known}}}`?"))),
        None => fault.help(Some("add it under `variables`, with `value`, `min` and `max`".into())),
    }
}

/// Everything that is wrong with variables; paths begin at `variables`.
#[must_use]
pub fn variables(variables: &BTreeMap<String, Variable>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if variables.len() > VARIABLES_MAX {
        let fault = Fault::new("variables", format!("there are {} variables", variables.len()));
        faults.push(fault.expected(format!("at most {VARIABLES_MAX}")));
    }
    for (name, variable) in variables {
        let path = format!("variables.{}", shortened(name));
        let fine = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(fine) {
            let fault = Fault::new(path.clone(), "this is no name of a variable");
            faults.push(fault.expected("letters, digits, `_` and `-`, at most 64"));
        }
        let Variable { value, min, max, .. } = *variable;
        if ![value, min, max].into_iter().all(f64::is_finite) {
            faults.push(Fault::new(path, "a figure of it is not finite").expected("finite numbers"));
        } else if min > max {
            faults.push(
                Fault::new(format!("{path}.min"), format!("{min} is above the maximum {max}")).expected("min <= max"),
            );
        } else if !(min..=max).contains(&value) {
            faults.push(
                Fault::new(format!("{path}.value"), format!("{value} is out of bounds"))
                    .expected(format!("{min} to {max}")),
            );
        }
    }
    faults
}

/// Everything that is wrong with actions.
#[must_use]
pub fn actions(actions: &[ActionSpec], path: &str, variables: &BTreeMap<String, Variable>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if actions.is_empty() || actions.len() > ACTIONS_MAX {
        let fault = Fault::new(path, format!("there are {} actions", actions.len()));
        faults.push(fault.expected(format!("1 to {ACTIONS_MAX} actions")));
    }
    for (at, action) in actions.iter().enumerate() {
        self::action(action, &format!("{path}[{at}]"), variables, &mut faults);
    }
    faults
}

fn action(action: &ActionSpec, path: &str, variables: &BTreeMap<String, Variable>, faults: &mut Vec<Fault>) {
    let name = action.kind.as_str();
    faults.extend(target(action).map(|fault| Fault { path: format!("{path}.target"), ..fault }));
    faults.extend(reason(&action.reason, variables).map(|fault| Fault { path: format!("{path}.reason"), ..fault }));
    if let Some(stagger) = action.stagger_seconds {
        let path = format!("{path}.stagger_seconds");
        if !action.kind.is_of_several() {
            let fault = Fault::new(path, format!("`{name}` acts on one, and nothing can be staggered"));
            faults.push(fault.expected("an action on a team or on all"));
        } else if !(0.0..=3600.0).contains(&stagger) {
            faults.push(Fault::new(path, format!("{stagger} is out of bounds")).expected("0 to 3600 seconds"));
        }
    }
    if !action.sinks.is_empty() && action.kind != ActionKind::Notify {
        let fault = Fault::new(format!("{path}.sinks"), format!("`{name}` tells nobody"));
        faults.push(fault.expected("sinks only with `notify`"));
    }
    let takes = action.kind.parameters();
    for key in action.parameters.keys().filter(|key| !takes.contains(&key.as_str())) {
        let message = format!("`{name}` takes no parameter `{}`", shortened(key));
        let expected = if takes.is_empty() { "no parameters".into() } else { format!("of {}", takes.join(", ")) };
        let fault = Fault::new(format!("{path}.parameters"), message).expected(expected);
        faults.push(fault.meant(key, takes.iter().copied()));
    }
    if action.kind == ActionKind::OverridePriority && !action.parameters.get("priority").is_some_and(Value::is_number) {
        let fault = Fault::new(format!("{path}.parameters.priority"), "the new priority is missing, or is no number");
        faults.push(fault.expected("a number"));
    }
}

/// What is wrong with the target of an action.
fn target(action: &ActionSpec) -> Option<Fault> {
    let text = action.target.as_str();
    let (references, what): (&[&str], _) = match action.kind {
        ActionKind::RestartAgent
        | ActionKind::QuarantineAgent
        | ActionKind::StartAgent
        | ActionKind::StopAgent
        | ActionKind::ReassignTask
        | ActionKind::OverridePriority => (&["${agent.id}"], "agent"),
        ActionKind::RestartTeam | ActionKind::QuarantineTeam => (&["${agent.team}", "${team.id}"], "team"),
        ActionKind::RestartAll | ActionKind::QuarantineAll => (&["${supervisor.id}"], "supervisor"),
        // Who is told stands in `sinks`, and what is handed up goes to the one above: a target only says what it is about.
        ActionKind::Notify | ActionKind::Escalate => {
            (&["${agent.id}", "${agent.team}", "${team.id}", "${supervisor.id}"], "agent, team or supervisor")
        }
    };
    if references.contains(&text) || is_id(text) {
        return None;
    }
    let fault = Fault::new("", format!("`{}` is no target of `{}`", shortened(text), action.kind.as_str()));
    let list = references.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    Some(fault.expected(format!("{list} or the name of a {what}")).meant(text, references.iter().copied()))
}

fn reason(text: &str, variables: &BTreeMap<String, Variable>) -> Option<Fault> {
    let named = match references(text) {
        Ok(named) => named,
        Err(behind) => return Some(Fault::new("", format!("`${{{behind}` is not closed")).expected("`${NAME}`")),
    };
    named.into_iter().find_map(|one| match one {
        Named::Field(_) => None,
        Named::Variable(name) if variables.contains_key(&name) => None,
        Named::Variable(name) => Some(unknown_variable(&name, variables)),
        Named::Unknown(name) => {
            let fault = Fault::new("", format!("`${{{}}}` names nothing", shortened(&name)));
            let known: Vec<String> = variables.keys().map(|name| format!("variables.{name}")).collect();
            Some(fault.expected("a field or `${variables.NAME}`").meant(&name, names(&known)))
        }
    })
}

impl ActionKind {
    /// Every one of them.
    pub const ALL: [Self; 12] = [
        Self::RestartAgent,
        Self::QuarantineAgent,
        Self::StartAgent,
        Self::StopAgent,
        Self::RestartTeam,
        Self::QuarantineTeam,
        Self::RestartAll,
        Self::QuarantineAll,
        Self::ReassignTask,
        Self::OverridePriority,
        Self::Notify,
        Self::Escalate,
    ];

    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RestartAgent => "restart_agent",
            Self::QuarantineAgent => "quarantine_agent",
            Self::StartAgent => "start_agent",
            Self::StopAgent => "stop_agent",
            Self::RestartTeam => "restart_team",
            Self::QuarantineTeam => "quarantine_team",
            Self::RestartAll => "restart_all",
            Self::QuarantineAll => "quarantine_all",
            Self::ReassignTask => "reassign_task",
            Self::OverridePriority => "override_priority",
            Self::Notify => "notify",
            Self::Escalate => "escalate",
        }
    }

    /// Whether it acts on everything that a supervisor has.
    #[must_use]
    pub fn is_dangerous(self) -> bool {
        matches!(self, Self::RestartAll | Self::QuarantineAll)
    }

    /// Whether it acts on several agents, so that it can be staggered.
    #[must_use]
    pub fn is_of_several(self) -> bool {
        matches!(self, Self::RestartTeam | Self::QuarantineTeam) || self.is_dangerous()
    }

    /// Whether it only tells, and changes nothing.
    #[must_use]
    pub fn only_tells(self) -> bool {
        matches!(self, Self::Notify | Self::Escalate)
    }

    /// Its target when none is named.
    #[must_use]
    pub fn default_target(self) -> &'static str {
        match self {
            Self::RestartTeam | Self::QuarantineTeam => "${agent.team}",
            Self::RestartAll | Self::QuarantineAll => "${supervisor.id}",
            Self::RestartAgent
            | Self::QuarantineAgent
            | Self::StartAgent
            | Self::StopAgent
            | Self::ReassignTask
            | Self::OverridePriority
            | Self::Notify
            | Self::Escalate => "${agent.id}",
        }
    }

    /// Parameters that it takes beside what every action has.
    #[must_use]
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::ReassignTask => &["task", "to"],
            Self::OverridePriority => &["task", "priority"],
            Self::RestartAgent
            | Self::QuarantineAgent
            | Self::StartAgent
            | Self::StopAgent
            | Self::RestartTeam
            | Self::QuarantineTeam
            | Self::RestartAll
            | Self::QuarantineAll
            | Self::Notify
            | Self::Escalate => &[],
        }
    }
}
