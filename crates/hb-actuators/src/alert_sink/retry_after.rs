//! How long the other side asks us to stay away: the `Retry-After` header of RFC 9110, section 10.2.3.

use std::time::Duration;

use hb_core::time::Stamp;

/// Longest wait that we let ourselves be asked for.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// The wait of a header's value: seconds, or a date compared with `now`. None where it is neither.
pub(super) fn parse(value: &str, now: Stamp) -> Option<Duration> {
    let value = value.trim();
    let asked = if value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_second();
        let now = now.0.div_euclid(hb_core::time::SECOND_NS);
        Duration::from_secs(u64::try_from(date.saturating_sub(now)).unwrap_or(0))
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_bounded() {
        let now = Stamp::parse("2026-11-22T10:00:00Z").unwrap();
        for (value, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999999", Some(3_600)),
            ("Sun, 22 Nov 2026 10:01:30 GMT", Some(90)),
            ("Sun, 22 Nov 2026 09:00:00 GMT", Some(0)),
            ("Sun, 22 Nov 2037 09:00:00 GMT", Some(3_600)),
            ("soon", None),
            ("", None),
            ("-5", None),
        ] {
            assert_eq!(parse(value, now).map(|wait| wait.as_secs()), expected, "{value:?}");
        }
    }
}
