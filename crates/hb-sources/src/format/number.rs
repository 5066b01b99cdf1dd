//! Decimal numbers, exactly rounded.

/// Powers of ten that a double holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Whether a double holds this whole number exactly.
const EXACT: u64 = 1 << 53;

/// Powers of ten by which eight characters of digits can shift a number.
const SHIFTS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Reads the digits from `at` on: their value (wrapping, so more than 19 of them mean nothing) and where they end.
#[inline]
pub(crate) fn digits(bytes: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let (number, count) = leading(*chunk);
        let shift = SHIFTS.get(count).copied().unwrap_or(1);
        value = value.wrapping_mul(shift).wrapping_add(number);
        at += count;
        if count < 8 {
            return (value, at);
        }
    }
    while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// The digits at the front of eight characters: their value and how many they are, all eight at once in one word instead of one by
/// one, because where a number ends is nothing that a processor can foresee.
#[inline]
fn leading(chunk: [u8; 8]) -> (u64, usize) {
    const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    const TEN_TO_HIGH: u64 = u64::from_le_bytes([0x80 - 10; 8]);
    let word = u64::from_le_bytes(chunk) ^ ZEROS;
    // The high bit of each byte that is ten or more. What a sum carries over only spoils bytes behind the first such one.
    let others = (word.wrapping_add(TEN_TO_HIGH) | word) & HIGH;
    let count = others.trailing_zeros() / 8;
    // The digits to the end of the word, zeros before them; a shift by all 64 bits would be none.
    let word = if count == 0 { 0 } else { word << (64 - 8 * count) };
    // Pairs, fours, eight: each step adds neighbours, the left one shifted up by its decimals.
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xFFFF_FFFF;
    (eight, usize::try_from(count).unwrap_or(0))
}

/// A plain decimal of JSON (`-12.34`) at the front, and its length. `None` for everything that needs more care: exponents,
/// many digits, anything that is not a number. Exact by Clinger's fast path: both operands and so the quotient are exactly
/// representable or correctly rounded.
#[inline]
pub(crate) fn plain(bytes: &[u8]) -> Option<(f64, usize)> {
    // A branch of its own: where the digits begin does not wait for the sign.
    if let [b'-', rest @ ..] = bytes {
        return negative(rest);
    }
    magnitude(bytes)
}

#[inline(never)]
fn negative(rest: &[u8]) -> Option<(f64, usize)> {
    magnitude(rest).map(|(value, length)| (-value, length + 1))
}

#[inline]
fn magnitude(bytes: &[u8]) -> Option<(f64, usize)> {
    let (whole, point) = digits(bytes, 0, 0);
    let mut mantissa = whole;
    let mut end = point;
    let mut fraction = 0;
    if bytes.get(point) == Some(&b'.') {
        (mantissa, end) = digits(bytes, point + 1, whole);
        fraction = end - point - 1;
        if fraction == 0 {
            return None;
        }
    }
    let count = point + fraction;
    let leading_zero = bytes.first() == Some(&b'0') && point > 1;
    if point == 0 || count > 19 || mantissa >= EXACT || leading_zero || matches!(bytes.get(end), Some(b'e' | b'E')) {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^53, so exact")]
    let value = mantissa as f64 / TENS.get(fraction)?;
    Some((value, end))
}

/// Any decimal number, `nan`, `inf` and `infinity` in any case; blanks around it are nothing.
#[inline]
pub(crate) fn any(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    match plain(text) {
        Some((value, length)) if length == text.len() => Some(value),
        Some(_) | None => fast_float2::parse(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn numbers_of_csv_and_strings() {
        for (text, value) in [("1", 1.0), (" -0.5 ", -0.5), ("1e3", 1000.0), ("007", 7.0), ("+2", 2.0), (".5", 0.5)] {
            assert_eq!(any(text.as_bytes()), Some(value), "{text}");
        }
        assert!(any(b"NaN").unwrap().is_nan());
        assert_eq!(any(b"-Infinity"), Some(f64::NEG_INFINITY));
        for text in ["", "x", "1x", "1,5", "--1", "1.2.3"] {
            assert_eq!(any(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_plain_path_leaves_to_others_what_json_forbids() {
        for text in ["01", "1.", ".5", "-", "+1", "1e5", "", "NaN", "12345678901234567890"] {
            assert_eq!(plain(text.as_bytes()), None, "{text}");
        }
        assert_eq!(plain(b"-0.0,").map(|(v, n)| (v.to_bits(), n)), Some(((-0.0_f64).to_bits(), 4)));
        assert_eq!(plain(b"0}"), Some((0.0, 1)));
    }

    proptest! {
        #[test]
        fn plain_numbers_round_as_the_standard_library_does(text in "-?(0|[1-9][0-9]{0,11})(\\.[0-9]{1,10})?") {
            if let Some((value, length)) = plain(text.as_bytes()) {
                prop_assert_eq!(length, text.len());
                prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }
    }
}
