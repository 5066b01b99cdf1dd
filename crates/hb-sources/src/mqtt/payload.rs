//! What one message says: a JSON object, `name=value`, or a bare number.
//!
//! A JSON object that names no metric is called after the last level of its topic; a bare number is called after the whole
//! topic, `/` as `_`.

use std::borrow::Cow;

use hb_core::watch::sample::FaultCause;

use crate::format::{Event, TimeUnit, json, number};

/// Reads a message.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn event<'a>(topic: &'a str, payload: &'a [u8], unit: TimeUnit) -> Result<Event<'a>, FaultCause> {
    if payload.contains(&0) {
        return Err(FaultCause::NulByte);
    }
    let text = std::str::from_utf8(payload).map_err(|_| FaultCause::NotUtf8)?.trim();
    if text.is_empty() {
        return Err(FaultCause::NoValue);
    }
    if text.starts_with('{') {
        let last = topic.rsplit('/').next().filter(|level| !level.is_empty());
        return json::named(text, unit, last);
    }
    let bare = |name: Cow<'a, str>, value: &str| {
        let value = number::any(value.as_bytes()).ok_or(FaultCause::NotANumber)?;
        if name.is_empty() { Err(FaultCause::NoName) } else { Ok(Event { name, unit: None, value, at: None }) }
    };
    match text.split_once('=') {
        Some((name, value)) => bare(Cow::Borrowed(name.trim()), value),
        None if text.starts_with('[') => Err(FaultCause::Malformed),
        None => bare(Cow::Owned(topic.replace('/', "_")), text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn read(topic: &str, payload: &str) -> Result<String, FaultCause> {
        event(topic, payload.as_bytes(), TimeUnit::Seconds).map(|event| {
            let at = event.at.map_or_else(String::new, |at| format!(" at {}", at.0 / 1_000_000_000));
            let unit = event.unit.map_or_else(String::new, |unit| format!(" {unit}"));
            format!("{}={}{unit}{at}", event.name, event.value)
        })
    }

    #[test]
    fn the_three_forms() {
        for (payload, wanted) in [
            (r#"{"metric":"m","value":1.5,"unit":"ms","timestamp":7}"#, "m=1.5 ms at 7"),
            (r#"{"name":"m","value":"2","ts":"1970-01-01T00:00:09Z"}"#, "m=2 at 9"),
            ("{\n \"value\": 3\n}", "temp=3"),
            ("load = 0.5", "load=0.5"),
            (" 21.5\n", "hb_metrics_temp=21.5"),
            ("-1e3", "hb_metrics_temp=-1000"),
        ] {
            assert_eq!(read("hb/metrics/temp", payload).as_deref(), Ok(wanted), "{payload}");
        }
    }

    #[test]
    fn what_cannot_be_read_has_a_cause() {
        for (payload, wanted) in [
            ("", FaultCause::NoValue),
            (r#"{"metric":"m"}"#, FaultCause::NoValue),
            (r#"{"metric":"m","value":null}"#, FaultCause::NoValue),
            (r#"{"metric":"m","value":"high"}"#, FaultCause::NotANumber),
            (r#"{"metric":"m","value":1,"ts":"noon"}"#, FaultCause::BadTime),
            (r#"{"metric":"m","value":1"#, FaultCause::Malformed),
            ("[1,2]", FaultCause::Malformed),
            ("high", FaultCause::NotANumber),
            ("=1", FaultCause::NoName),
            ("a\0", FaultCause::NulByte),
        ] {
            assert_eq!(read("t", payload), Err(wanted), "{payload}");
        }
        assert_eq!(event("t", b"\xff", TimeUnit::Seconds), Err(FaultCause::NotUtf8));
        assert_eq!(read("t/", r#"{"value":1}"#), Err(FaultCause::NoName));
    }

    proptest! {
        #[test]
        fn no_message_panics(topic in "\\PC{0,20}", payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop(event(&topic, &payload, TimeUnit::Seconds));
        }
    }
}
