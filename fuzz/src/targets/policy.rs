//! Policies as documents, and what they would do in a context.

use hb_core::supervise::policy::check;
use hb_core::supervise::policy::context::Given;
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::policy::eval::Compiled;
use hb_core::supervise::policy::simulate::simulate;
use serde_json::Value;

/// Two documents of JSON, a line feed between them: the policy, and the context that it is tried in.
///
/// # Panics
/// When a policy that was read is not sound, or not what is written, or a simulation finds something else than an evaluation.
#[expect(clippy::panic, reason = "what does not hold ends the run, and says of what")]
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let Some(Ok(document)) = parts.next().map(serde_json::from_slice::<Value>) else { return };
    let context = parts.next().and_then(|part| serde_json::from_slice::<Value>(part).ok()).unwrap_or(Value::Null);
    let given = match Given::read(&context) {
        Ok(given) => given,
        Err(faults) => {
            assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.message.is_empty()));
            Given::default()
        }
    };
    match PolicyDocument::read(&document) {
        Ok(policy) => {
            assert!(check::definition(&policy.definition, &policy.variables).is_empty(), "what was read is sound");
            let found = simulate(&policy.definition, &policy.variables, &given);
            let holds = Compiled::new(&policy.definition.condition, &policy.variables).holds(&given);
            assert_eq!(found.would_match, holds);
            assert_eq!(found.would_execute.len(), if holds { policy.definition.actions.len() } else { 0 });
            let written = serde_json::to_value(&policy).expect("a policy is plain data");
            let again = PolicyDocument::read(&written).unwrap_or_else(|faults| panic!("{written}: {faults:?}"));
            let mut plain = policy;
            plain.definition.condition = plain.definition.condition.plain();
            assert_eq!(again, plain, "what is written is what was read");
        }
        Err(faults) => assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.message.is_empty())),
    }
}
