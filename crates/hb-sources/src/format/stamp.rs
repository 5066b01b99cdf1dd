//! Timestamps: numbers since 1970 and civil times, exact to the nanosecond by integer arithmetic.
//!
//! Digits beyond the nanosecond are cut off. A civil time without offset is UTC.

use hb_core::time::{SECOND_NS, Stamp};

use super::number::digits;

/// What a number stands for as a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeUnit {
    /// Seconds since 1970.
    #[default]
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970.
    Nanos,
}

impl TimeUnit {
    /// How many decimal digits below it a nanosecond lies.
    pub(crate) fn places(self) -> usize {
        match self {
            Self::Seconds => 9,
            Self::Millis => 6,
            Self::Micros => 3,
            Self::Nanos => 0,
        }
    }
}

const TENS: [i64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

fn ten(power: usize) -> Option<i64> {
    TENS.get(power).copied()
}

/// A plain decimal (`1700000000.123`) at the front as nanoseconds, and its length. `None` for everything that needs more
/// care, be it right or wrong.
#[inline]
pub(crate) fn plain(bytes: &[u8], unit: TimeUnit) -> Option<(Stamp, usize)> {
    let (whole, point) = digits(bytes, 0, 0);
    if point == 0 || point > 18 || (point > 1 && bytes.first() == Some(&b'0')) {
        return None;
    }
    let places = unit.places();
    let mut ns = i64::try_from(whole).ok()?.checked_mul(ten(places)?)?;
    let mut end = point;
    if bytes.get(point) == Some(&b'.') {
        let (fraction, after) = digits(bytes, point + 1, 0);
        let count = after - point - 1;
        if count == 0 || count > places {
            return None;
        }
        ns = ns.checked_add(i64::try_from(fraction).ok()?.checked_mul(ten(places - count)?)?)?;
        end = after;
    }
    (!matches!(bytes.get(end), Some(b'e' | b'E'))).then_some((Stamp(ns), end))
}

/// Longest text of a time that is remembered.
const TEXT_MAX: usize = 48;

/// The time of the line before, as it stood there. Who writes many series at once gives them one time: then it is compared, not read.
#[derive(Debug)]
pub(crate) struct Before {
    text: [u8; TEXT_MAX],
    length: usize,
    at: Stamp,
}

impl Default for Before {
    fn default() -> Self {
        Self { text: [0; TEXT_MAX], length: 0, at: Stamp(0) }
    }
}

impl Before {
    /// The time at the front and what follows it, when it is that of the line before, up to the comma behind it.
    #[inline]
    pub(crate) fn again<'a>(&self, rest: &'a [u8]) -> Option<(Stamp, &'a [u8])> {
        let text = self.text.get(..self.length).filter(|text| !text.is_empty())?;
        let (front, after) = rest.split_at_checked(text.len())?;
        (after.first() == Some(&b',') && same(front, text)).then_some((self.at, after))
    }

    /// Remembers the time at the front of `rest`, behind which `after` follows.
    #[inline]
    pub(crate) fn note(&mut self, rest: &[u8], after: &[u8], at: Stamp) {
        let length = rest.len().saturating_sub(after.len());
        if let Some((text, place)) = rest.get(..length).zip(self.text.get_mut(..length)) {
            place.copy_from_slice(text);
            (self.length, self.at) = (length, at);
        }
    }
}

/// Whether two texts of one length are equal: eight bytes at a time, the last eight overlapping. A call of `memcmp` costs more
/// than names and times are long.
#[inline]
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    let (Some(one_end), Some(other_end)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) else {
        return one == other;
    };
    let (one, _) = one.as_chunks::<8>();
    let (other, _) = other.as_chunks::<8>();
    one_end == other_end && one.iter().zip(other).all(|(one, other)| one == other)
}

/// A time of a usual kind at the front, number or civil, and its length.
#[inline]
pub(crate) fn front(bytes: &[u8], unit: TimeUnit) -> Option<(Stamp, usize)> {
    plain(bytes, unit).filter(|(_, length)| bytes.get(*length) != Some(&b'-')).or_else(|| rfc3339(bytes))
}

/// A time as it stands in a cell or a string: a number, or a civil time.
pub(crate) fn any(text: &[u8], unit: TimeUnit) -> Option<Stamp> {
    let text = text.trim_ascii();
    match plain(text, unit) {
        Some((stamp, length)) if length == text.len() => return Some(stamp),
        Some(_) | None => {}
    }
    if let Some((stamp, length)) = rfc3339(text)
        && length == text.len()
    {
        return Some(stamp);
    }
    let text = std::str::from_utf8(text).ok()?;
    decimal(text, unit).or_else(|| civil(text))
}

/// A decimal with sign, any number of digits, and exponent.
fn decimal(text: &str, unit: TimeUnit) -> Option<Stamp> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || !all().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits kept: those at or above the nanosecond.
    let places = i64::try_from(unit.places()).ok()?;
    let keep = i64::try_from(whole.len()).ok()? + i64::from(exponent) + places;
    let mut ns: i64 = 0;
    let mut taken: i64 = 0;
    for digit in all().map(|b| b - b'0').chain(std::iter::repeat(0)) {
        if taken >= keep {
            break;
        }
        taken += 1;
        ns = ns.checked_mul(10)?.checked_add(i64::from(digit))?;
        // Nothing but zeros can make this loop long: a number that has not overflowed after all its digits is zero.
        if ns == 0 && taken > i64::try_from(whole.len() + fraction.len()).ok()? {
            break;
        }
    }
    Some(Stamp(if negative { -ns } else { ns }))
}

/// `2026-11-22T10:11:12.123Z` and with offsets, at the front, and its length.
#[inline]
pub(crate) fn rfc3339(bytes: &[u8]) -> Option<(Stamp, usize)> {
    let two = |at: usize| -> Option<i64> {
        let tens = bytes.get(at)?.wrapping_sub(b'0');
        let ones = bytes.get(at + 1)?.wrapping_sub(b'0');
        (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
    };
    let is = |at: usize, wanted: u8| bytes.get(at) == Some(&wanted);
    let shape = is(4, b'-') && is(7, b'-') && (is(10, b'T') || is(10, b' ')) && is(13, b':') && is(16, b':');
    if !shape {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1678..=2261).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (mut fraction, mut end) = (0, 19);
    if is(19, b'.') {
        let (value, after) = digits(bytes, 20, 0);
        let count = after - 20;
        if count == 0 || count > 9 {
            return None;
        }
        fraction = i64::try_from(value).ok()? * ten(9 - count)?;
        end = after;
    }
    let offset = match bytes.get(end)? {
        b'Z' => {
            end += 1;
            0
        }
        sign @ (b'+' | b'-') => {
            let (hours, minutes) = (two(end + 1)?, two(end + 4)?);
            if !is(end + 3, b':') || hours > 23 || minutes > 59 {
                return None;
            }
            end += 6;
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some((Stamp(seconds * SECOND_NS + fraction), end))
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a Gregorian date: whole 400-year eras with years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Everything else that is a time: other RFC 3339 spellings, and civil times without offset, which are UTC.
fn civil(text: &str) -> Option<Stamp> {
    Stamp::parse(text).ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        let stamp = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        i64::try_from(stamp.as_nanosecond()).ok().map(Stamp)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    fn read(text: &str) -> Option<i64> {
        any(text.as_bytes(), TimeUnit::Seconds).map(|stamp| stamp.0)
    }

    #[test]
    fn numbers_are_exact() {
        assert_eq!(read("1700000000"), Some(1_700_000_000_000_000_000));
        assert_eq!(read("1700000000.1"), Some(1_700_000_000_100_000_000));
        assert_eq!(read("1700000000.123456789"), Some(1_700_000_000_123_456_789));
        assert_eq!(read("1700000000.1234567899"), Some(1_700_000_000_123_456_789));
        assert_eq!(read("1.7e9"), Some(1_700_000_000_000_000_000));
        assert_eq!(read("1e-9"), Some(1));
        assert_eq!(read("-1.5"), Some(-1_500_000_000));
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("0e2000000000"), Some(0));
    }

    #[test]
    fn absurd_times_are_refused() {
        for text in
            ["1700000000000", "99999999999999999999", "1e400", "-1e30", "", ".", "e5", "1e", "x", "1 2", "12:00"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(any(b"1700000000123", TimeUnit::Millis), Some(Stamp(1_700_000_000_123_000_000)));
        assert_eq!(any(b"1700000000123.5", TimeUnit::Millis), Some(Stamp(1_700_000_000_123_500_000)));
        assert_eq!(any(b"1700000000123456789", TimeUnit::Nanos), Some(Stamp(1_700_000_000_123_456_789)));
    }

    #[test]
    fn civil_times() {
        let wanted = Some(1_700_000_000_500_000_000);
        for text in [
            "2023-11-14T22:13:20.5Z",
            "2023-11-14T23:13:20.5+01:00",
            "2023-11-14 22:13:20.5Z",
            "2023-11-14t22:13:20.5z",
            "2023-11-14T22:13:20.500",
            "2023-11-14 22:13:20.5",
            "20231114T221320.5Z",
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
        for text in ["2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z", "3000-01-01T00:00:00Z", "2023-01-01T25:00:00Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_civil_reader_agrees_with_the_library(
            year in 1600_i32..2400, month in 0_u8..14, day in 0_u8..33, second in 0_u32..100_000, fraction in "(\\.[0-9]{1,9})?",
            offset in "(Z|[+-][0-2][0-9]:[0-5][0-9])"
        ) {
            let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
            let text = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}{fraction}{offset}");
            if let Some((stamp, length)) = rfc3339(text.as_bytes()) {
                prop_assert_eq!(length, text.len());
                prop_assert_eq!(Ok(stamp), Stamp::parse(&text));
            }
        }

        #[test]
        fn the_fast_number_reader_agrees_with_the_careful_one(text in "(0|[1-9][0-9]{0,10})(\\.[0-9]{1,9})?") {
            if let Some((stamp, length)) = plain(text.as_bytes(), TimeUnit::Seconds) {
                prop_assert_eq!(length, text.len());
                prop_assert_eq!(Some(stamp), decimal(&text, TimeUnit::Seconds));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", unit in 0_usize..4) {
            let unit = [TimeUnit::Seconds, TimeUnit::Millis, TimeUnit::Micros, TimeUnit::Nanos][unit];
            any(text.as_bytes(), unit);
        }
    }
}
