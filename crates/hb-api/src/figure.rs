//! Numbers for people: five significant digits, and no more digits than they need.

use std::fmt::Write as _;

use hb_core::time::Stamp;
use hb_core::watch::decision::Decision;
use maud::{Markup, html};

/// Appends `value` with five significant digits, thousands below 10^7 written out, trailing zeros left off.
pub(crate) fn push(out: &mut String, value: f64) {
    let size = value.abs();
    if value == 0.0 {
        out.push('0');
    } else if !size.is_finite() {
        out.push_str(if value.is_nan() { "not a number" } else { "infinite" });
    } else if (1e-4..1e7).contains(&size) {
        fixed(out, value);
    } else {
        write!(out, "{value:.4e}").expect("writing to a string does not fail");
    }
}

/// `value` as [`push`] writes it.
pub(crate) fn text(value: f64) -> String {
    let mut out = String::new();
    push(&mut out, value);
    out
}

/// Decimals that make five significant digits of a size in 1e-4..1e7, and ten to that power.
fn scale(size: f64) -> (usize, f64) {
    const BY_DECIMALS: [(f64, usize, f64); 9] = [
        (1e4, 0, 1.0),
        (1e3, 1, 1e1),
        (1e2, 2, 1e2),
        (1e1, 3, 1e3),
        (1e0, 4, 1e4),
        (1e-1, 5, 1e5),
        (1e-2, 6, 1e6),
        (1e-3, 7, 1e7),
        (1e-4, 8, 1e8),
    ];
    BY_DECIMALS.iter().find(|(from, ..)| size >= *from).map_or((8, 1e8), |(_, decimals, power)| (*decimals, *power))
}

/// By whole numbers: a report of a thousand series writes some ten thousand figures, and this is several times faster than
/// formatting floats.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 1e7 * 1e1, and not negative")]
fn fixed(out: &mut String, value: f64) {
    let size = value.abs();
    let (mut decimals, power) = scale(size);
    let mut whole = (size * power).round() as u64;
    while decimals > 0 && whole.is_multiple_of(10) {
        whole /= 10;
        decimals -= 1;
    }
    let mut digits = [0u8; 24];
    let mut at = digits.len();
    let mut written = 0;
    while whole > 0 || written <= decimals {
        if written == decimals && decimals > 0 {
            at -= 1;
            put(&mut digits, at, b'.');
        }
        at -= 1;
        put(&mut digits, at, b'0' + (whole % 10) as u8);
        whole /= 10;
        written += 1;
    }
    if value < 0.0 {
        out.push('\u{2212}');
    }
    out.push_str(std::str::from_utf8(digits.get(at..).unwrap_or_default()).unwrap_or_default());
}

fn put(digits: &mut [u8; 24], at: usize, digit: u8) {
    if let Some(place) = digits.get_mut(at) {
        *place = digit;
    }
}

/// A count with thin spaces between groups of three.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A duration in seconds for people: `0.4 s`, `12 s`, `3 min`, `5.2 h`, `8 d`.
pub(crate) fn duration(seconds: f64) -> String {
    const STEPS: [(f64, f64, &str); 3] = [(172_800.0, 86_400.0, "d"), (7_200.0, 3_600.0, "h"), (120.0, 60.0, "min")];
    let size = seconds.abs();
    if !size.is_finite() {
        return "unknown".to_owned();
    }
    let step = STEPS.iter().find(|(from, ..)| size >= *from);
    let (_, unit, name) = step.copied().unwrap_or((0.0, 1.0, "s"));
    let shown = seconds / unit;
    if shown.abs() < 10.0 { format!("{shown:.1} {name}") } else { format!("{shown:.0} {name}") }
}

/// Below this a probability says no more than that it is small.
const PROBABILITY_MIN: f64 = 1e-15;

/// A probability as `p = …`: two digits, however small, down to where they mean nothing.
pub(crate) fn probability(value: f64) -> String {
    if value < PROBABILITY_MIN {
        "p below 1e-15".to_owned()
    } else if value < 1e-3 {
        format!("p = {value:.1e}")
    } else {
        format!("p = {value:.2}")
    }
}

/// The sentence of a decision without its status in front, for where that stands beside it.
pub(crate) fn sentence(decision: &Decision) -> &str {
    let rest = decision.headline.strip_prefix(decision.status.as_str());
    rest.and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&decision.headline)
}

/// A time as people read it, with its exact form for programs.
pub(crate) fn moment(stamp: Stamp) -> Markup {
    let exact = stamp.to_string();
    html! { time datetime=(exact) { (exact.replace('T', " ").replace('Z', "\u{a0}UTC")) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_significant_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-12.5, "\u{2212}12.5"),
            (123_456.78, "123457"),
            (9_999_999.0, "9999999"),
            (0.1, "0.1"),
            (0.000_123_456, "0.00012346"),
            (0.999_999_9, "1"),
            (7.654_321_9, "7.6543"),
            (100.05, "100.05"),
            (1e-5, "1.0000e-5"),
            (2.5e12, "2.5000e12"),
            (f64::MAX, "1.7977e308"),
            (f64::NAN, "not a number"),
            (f64::NEG_INFINITY, "infinite"),
        ] {
            assert_eq!(text(value), expected, "{value}");
        }
    }

    #[test]
    fn counts_and_durations_read_well() {
        assert_eq!([0.25, 3.12e-9, 1e-52].map(probability), ["p = 0.25", "p = 3.1e-9", "p below 1e-15"]);
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(999), "999");
        assert_eq!(duration(0.42), "0.4 s");
        assert_eq!(duration(3600.0), "60 min");
        assert_eq!(duration(-300_000.0), "-3.5 d");
        assert_eq!(duration(f64::NAN), "unknown");
    }
}
