//! Points in time, as values. Nothing in this crate can ask what time it is.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;

/// Nanoseconds on one node's own clock that runs through suspend (`CLOCK_BOOTTIME`). Never compared between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `ns` nanoseconds later; stays at the end of time rather than wrapping.
    #[must_use]
    pub fn plus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since_ns(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z: the time of an event, or of a wall clock. From 1677 to 2262.
///
/// In documents it is an RFC 3339 string in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Stamp(pub i64);

impl Stamp {
    /// The stamp `ns` nanoseconds later (or earlier, when negative); saturates.
    #[must_use]
    pub fn plus_ns(self, ns: i64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to here; negative when `earlier` is later; saturates.
    #[must_use]
    pub fn since_ns(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads an RFC 3339 time with offset or `Z`.
    ///
    /// # Errors
    /// What the text has wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let stamp: jiff::Timestamp = text.parse().map_err(|e: jiff::Error| e.to_string())?;
        i64::try_from(stamp.as_nanosecond()).map(Self).map_err(|_| format!("{text} is outside 1677 to 2262"))
    }

    /// Seconds since 1970 as a float, for figures and plots only.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for figures only")]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// A half-open span of event time: `start` belongs to it, `end` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First instant.
    pub start: Stamp,
    /// First instant that is no longer in it.
    pub end: Stamp,
}

impl Span {
    /// Whether `at` lies inside.
    #[must_use]
    pub fn holds(self, at: Stamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Its length in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for figures only")]
    pub fn seconds(self) -> f64 {
        self.end.since_ns(self.start) as f64 / 1e9
    }
}

/// What the caller's clocks show when it hands an input in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// The node's own clock; for durations.
    pub moment: Moment,
    /// The wall clock; for documents, and for judging whether a source has fallen silent. Safety never rests on it.
    pub wall: Stamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_read_back_what_they_write() {
        for text in ["1970-01-01T00:00:00Z", "2026-11-22T10:11:12.000000001Z", "1969-12-31T23:59:59.5Z"] {
            assert_eq!(Stamp::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Stamp::parse("2023-11-14T23:13:20+01:00").unwrap(), Stamp(1_700_000_000 * SECOND_NS));
        assert!(Stamp::parse("yesterday").is_err());
        assert!(Stamp::parse("3000-01-01T00:00:00Z").unwrap_err().contains("2262"));
    }
}
