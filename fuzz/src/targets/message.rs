//! Messages of brokers: MQTT payloads under their topics.

use hb_core::watch::sample::FaultCause;
use hb_sources::fuzzing;

use crate::input::Input;

/// A byte says how long the topic is; then the topic, then the payload.
///
/// # Panics
/// When a message comes to something that no message can.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let length = usize::from(input.byte()).min(input.0.len());
    let (topic, payload) = input.0.split_at(length);
    let topic = Input(topic).text();
    match fuzzing::message(topic, payload) {
        Ok(said) => {
            let most = topic.len().max(payload.len());
            assert!(!said.name.is_empty() && said.name.len() <= most);
            assert!(said.unit.is_none_or(|unit| unit.len() <= most));
        }
        Err(cause) => assert!(FaultCause::ALL.iter().any(|known| known.as_str() == cause), "{cause}"),
    }
}
