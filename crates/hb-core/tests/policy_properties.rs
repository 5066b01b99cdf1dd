//! Whatever is written as a policy is read or refused with its place, reads back as it was, and evaluates the same twice.

use std::collections::BTreeMap;

use hb_core::supervise::policy::adapt::{Lesson, Verdict, learn, settle};
use hb_core::supervise::policy::check;
use hb_core::supervise::policy::context::Given;
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::policy::eval::Compiled;
use hb_core::supervise::policy::expression::parse;
use hb_core::supervise::policy::fields::{FIELDS, FieldInfo, Kind, Unit};
use hb_core::supervise::policy::simulate::simulate;
use hb_core::supervise::policy::{Comparison, Condition, Junction, Policy, Variable};
use hb_core::time::Stamp;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A number as JSON has them, within the bounds of its field.
fn number(info: FieldInfo) -> BoxedStrategy<Value> {
    let share = info.unit == Unit::Share;
    prop_oneof![
        (0_u64..=1).prop_map(|whole| json!(whole)),
        (0.0..=1.0).prop_map(|part: f64| json!(part)),
        any::<i64>().prop_map(move |whole| if share { json!(1) } else { json!(whole) }),
        any::<f64>().prop_map(move |figure| if share || !figure.is_finite() { json!(0.5) } else { json!(figure) }),
    ]
    .boxed()
}

fn word(info: FieldInfo) -> BoxedStrategy<Value> {
    if info.words.is_empty() {
        // Quotes, escapes, line ends and letters beyond the basic plane have to survive; references are another thing.
        any::<String>().prop_map(|text| json!(text.replace('$', "¤"))).boxed()
    } else {
        prop::sample::select(info.words).prop_map(|word| json!(word)).boxed()
    }
}

fn value(info: FieldInfo, operator: Comparison) -> BoxedStrategy<Value> {
    let one = match info.kind {
        Kind::Number => number(info),
        Kind::Text | Kind::List => word(info),
        Kind::Truth => any::<bool>().prop_map(|truth| json!(truth)).boxed(),
    };
    let several = prop::collection::vec(one.clone(), 1..4).prop_map(Value::Array).boxed();
    match (operator, info.kind) {
        (Comparison::In | Comparison::NotIn, _) => several,
        (Comparison::Equal | Comparison::NotEqual, Kind::List) => prop_oneof![several, Just(Value::Null)].boxed(),
        (Comparison::Equal | Comparison::NotEqual, _) => prop_oneof![4 => one, 1 => Just(Value::Null)].boxed(),
        (_, Kind::Number) => prop_oneof![3 => one, 1 => Just(json!("${variables.limit}"))].boxed(),
        (_, _) => one,
    }
}

fn fits(operator: Comparison, kind: Kind) -> bool {
    match (operator, kind) {
        (Comparison::Equal | Comparison::NotEqual, _) => true,
        (Comparison::In | Comparison::NotIn, kind) => kind != Kind::Truth,
        (_, kind) => kind == Kind::Number,
    }
}

/// A sound comparison.
fn comparison() -> impl Strategy<Value = Condition> {
    (prop::sample::select(FIELDS), prop::sample::select(&Comparison::ALL[..]))
        .prop_filter("types that go together", |(info, operator)| fits(*operator, info.kind))
        .prop_flat_map(|(info, operator)| {
            let field = info.path.to_owned();
            value(info, operator).prop_map(move |value| Condition::FieldComparison {
                field: field.clone(),
                operator,
                value,
            })
        })
}

/// A sound condition.
fn condition() -> impl Strategy<Value = Condition> {
    comparison().prop_recursive(6, 40, 4, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (prop::sample::select(&[Junction::And, Junction::Or][..]), several)
                .prop_map(|(operator, conditions)| Condition::Composite { operator, conditions }),
            inner.prop_map(|one| Condition::Composite { operator: Junction::Not, conditions: vec![one] }),
        ]
    })
}

fn limit(value: f64) -> BTreeMap<String, Variable> {
    BTreeMap::from([("limit".to_owned(), Variable { value, min: 0.0, max: 1.0, adaptive: true })])
}

/// Values for some fields, of the right kind.
fn context() -> impl Strategy<Value = Given<'static>> {
    let one = prop::sample::select(FIELDS).prop_flat_map(|info| {
        let held = match info.kind {
            Kind::Number => number(info),
            Kind::Text => word(info),
            Kind::Truth => any::<bool>().prop_map(|truth| json!(truth)).boxed(),
            Kind::List => prop::collection::vec(word(info), 0..3).prop_map(Value::Array).boxed(),
        };
        held.prop_map(move |value| (info.path, value))
    });
    prop::collection::vec(one, 0..20).prop_map(Given::of)
}

/// Pieces from which expressions are made, so that more of them get past the first word.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "agent.anomaly_score",
        "agent.id",
        "agent.tags",
        "agent.given_up",
        "agent.metrics.x",
        "nonsense",
        "and",
        "or",
        "not",
        "in",
        "not in",
        "(",
        ")",
        "[",
        "]",
        ",",
        "==",
        "!=",
        ">",
        ">=",
        "<",
        "<=",
        "=",
        "null",
        "true",
        "0.8",
        "-1",
        "1e999",
        "30s",
        "50%",
        "'x'",
        "\"",
        "'",
        "\\",
        "${variables.limit}",
        "${",
        "$",
        "\n",
        "ä",
        "\u{1f600}",
        ".",
        "-",
    ];
    prop_oneof![4 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Any JSON, with the keys of policies where keys stand.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        piece().prop_map(Value::from),
        prop::sample::select(vec![
            "composite",
            "field_comparison",
            "AND",
            "NOT",
            ">=",
            "in",
            "restart_agent",
            "notify",
            "p"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let key = prop::sample::select(vec![
            "name",
            "when",
            "condition",
            "definition",
            "actions",
            "variables",
            "priority",
            "supervisors",
            "type",
            "operator",
            "field",
            "value",
            "conditions",
            "target",
            "reason",
            "min",
            "max",
            "limit",
            "sinks",
            "parameters",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key.prop_map(str::to_owned), inner), 0..7)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sound_condition_reads_back_from_its_expression(condition in condition()) {
        let variables = limit(0.5);
        let faults = check::condition(&condition, None, "condition", &variables);
        prop_assert!(faults.is_empty(), "{condition}: {faults:?}");
        let text = condition.to_string();
        let read = parse(&text).map_err(|fault| TestCaseError::fail(format!("{text}: {fault}")))?;
        prop_assert_eq!(&read.condition, &condition.clone().plain(), "{}", text);
        prop_assert_eq!(read.condition.to_string(), text);
        let document = serde_json::to_value(&condition).unwrap();
        prop_assert_eq!(serde_json::from_value::<Condition>(document).unwrap(), condition);
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_place_within_it(text in any::<String>()) {
        placed(&text)?;
    }

    #[test]
    fn any_pieces_are_read_or_refused_with_a_place_within_them(pieces in prop::collection::vec(piece(), 0..30)) {
        placed(&pieces.join(" "))?;
        placed(&pieces.concat())?;
    }

    #[test]
    fn any_document_is_read_or_refused_with_a_path(document in document()) {
        match PolicyDocument::read(&document) {
            Ok(policy) => {
                // What was read is sound, and its own document says the same.
                prop_assert!(check::definition(&policy.definition, &policy.variables).is_empty());
                let again = PolicyDocument::read(&serde_json::to_value(&policy).unwrap()).unwrap();
                let mut plain = policy;
                plain.definition.condition = plain.definition.condition.plain();
                prop_assert_eq!(again, plain);
            }
            Err(faults) => prop_assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.message.is_empty())),
        }
    }

    #[test]
    fn evaluation_is_the_same_twice_with_notes_and_without(condition in condition(), context in context()) {
        let compiled = Compiled::new(&condition, &limit(0.5));
        let outcome = compiled.evaluate(&context);
        prop_assert_eq!(&outcome, &compiled.evaluate(&context));
        prop_assert_eq!(outcome.decision, compiled.holds(&context));
        prop_assert_eq!(outcome.path.first().and_then(|step| step.held), Some(outcome.decision));
        let plain = Compiled::new(&condition.clone().plain(), &limit(0.5));
        prop_assert_eq!(plain.holds(&context), outcome.decision, "a junction of one means what its part means");
        let opposite = Condition::Composite { operator: Junction::Not, conditions: vec![condition] };
        prop_assert_eq!(Compiled::new(&opposite, &limit(0.5)).holds(&context), !outcome.decision);
        // Nothing but the fields that are told went into it.
        let told = Given::of(outcome.looked_at.iter().map(|(path, value)| (path.as_str(), value.clone())));
        prop_assert_eq!(compiled.evaluate(&told), outcome);
    }

    #[test]
    fn a_simulation_matches_as_the_evaluation_does(condition in condition(), context in context()) {
        let actions = json!([{"type": "notify", "reason": "${agent.id} ${variables.limit}"}, {"type": "restart_team"}]);
        let document = json!({"name": "p", "when": condition.to_string(), "actions": actions, "variables": {"limit": 0.5}});
        let policy = PolicyDocument::read(&document).unwrap();
        let again = PolicyDocument::read(&serde_json::to_value(&policy).unwrap()).unwrap();
        prop_assert_eq!(&again, &policy, "what is written reads back");
        let found = simulate(&policy.definition, &policy.variables, &context);
        prop_assert_eq!(found.would_match, Compiled::new(&condition.plain(), &policy.variables).holds(&context));
        prop_assert_eq!(found.would_execute.len(), if found.would_match { 2 } else { 0 });
    }

    #[test]
    fn learning_stays_within_its_bounds(
        start in 0.0..=1.0,
        lessons in prop::collection::vec((0..3_u8, any::<f64>(), any::<bool>(), any::<bool>()), 0..200),
    ) {
        let mut policy = Policy::empty("p".into(), Default::default());
        policy.effectiveness = start;
        policy.variables = limit(start);
        for (lesson, rate, asks, takes_over) in lessons {
            let lesson = [Lesson::Success, Lesson::Partial, Lesson::Failure][usize::from(lesson)];
            let before = (policy.effectiveness, policy.variables.clone());
            let learned = learn(&mut policy, lesson, rate, Stamp(0));
            if policy.held.is_some() {
                prop_assert_eq!(&(policy.effectiveness, policy.variables.clone()), &before, "{}", learned.justification);
            } else {
                prop_assert!((policy.effectiveness - before.0).abs() <= 0.2 * before.0 + 1e-6, "{}", learned.justification);
            }
            if asks {
                let verdict = if takes_over { Verdict::TakeOver } else { Verdict::Drop };
                prop_assert_eq!(settle(&mut policy, verdict).is_ok(), learned.size == hb_core::supervise::policy::adapt::Size::Large);
            }
            prop_assert!((0.0..=1.0).contains(&policy.effectiveness));
            prop_assert!(policy.variables.values().all(|one| (one.min..=one.max).contains(&one.value)));
        }
    }
}

fn placed(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(parsed) => {
            // What could be read can be checked, written and read again, sound or not.
            drop(check::condition(&parsed.condition, Some(&parsed.located), "when", &limit(0.5)));
            let written = parsed.condition.to_string();
            prop_assert_eq!(parse(&written).map(|again| again.condition), Ok(parsed.condition), "{}", written);
        }
        Err(fault) => {
            if let Some(place) = fault.place {
                prop_assert!(text.is_char_boundary(place.byte), "{fault} in {text:?}");
                prop_assert!(place.byte + place.length <= text.len() + 1 && place.line >= 1 && place.column >= 1);
                let before = &text[..place.byte];
                prop_assert_eq!(place.line, before.matches('\n').count() + 1);
                let line = before.rsplit('\n').next().unwrap_or_default();
                prop_assert_eq!(place.column, line.chars().count() + 1);
            }
            prop_assert!(!fault.to_string().is_empty() && fault.excerpt(text).len() <= 3 * text.len() + 10);
        }
    }
    Ok(())
}
