//! Expressions of policies: read or refused with a place, written as they were read.

use std::collections::BTreeMap;

use hb_core::supervise::policy::Variable;
use hb_core::supervise::policy::check;
use hb_core::supervise::policy::context::Given;
use hb_core::supervise::policy::eval::Compiled;
use hb_core::supervise::policy::expression::parse;
use hb_core::supervise::policy::template;

use crate::input::{Input, placed};

/// Text.
///
/// # Panics
/// When a fault has no place in the text, when what is written reads as something else, or an evaluation depends on when it is done.
#[expect(clippy::panic, reason = "what does not hold ends the run, and says of what")]
pub fn run(data: &[u8]) {
    let text = Input(data).text();
    drop(template::references(text));
    let variables = BTreeMap::from([("limit".to_owned(), Variable { value: 0.5, min: 0.0, max: 1.0, adaptive: true })]);
    match parse(text) {
        Ok(parsed) => {
            let faults = check::condition(&parsed.condition, Some(&parsed.located), "when", &variables);
            let written = parsed.condition.to_string();
            let again = parse(&written).unwrap_or_else(|fault| panic!("{written}: {fault}"));
            assert_eq!(again.condition, parsed.condition, "{written}");
            assert_eq!(again.condition.to_string(), written);
            if faults.is_empty() {
                let nothing = Given::default();
                let outcome = Compiled::new(&parsed.condition, &variables).evaluate(&nothing);
                assert_eq!(outcome.decision, Compiled::new(&again.condition, &variables).holds(&nothing));
            }
        }
        Err(fault) => {
            if let Some(place) = fault.place {
                placed(text, place.byte, place.length, (place.line, place.column));
            }
            assert!(!fault.to_string().is_empty() && fault.excerpt(text).len() <= 3 * text.len() + 10);
        }
    }
}
