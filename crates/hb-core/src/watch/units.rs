//! Units of measure: what can be converted into what, and by how much.
//!
//! A unit is an expression of atoms (`km/h`, `MiB/s`, `W*h`, `m^3/min`); an atom is a symbol with an optional prefix, or
//! a word. Case counts where it must (`mW` and `MW`, `Mb` and `MB`) and is forgiven where only one reading exists. What
//! is not understood is a told fault, never a factor of one.

use std::collections::BTreeMap;
use std::fmt;

use super::unit_table::{Atom, DIMENSIONS, Dimension, PREFIX_WORDS, PREFIXES, UNITS};

/// An affine conversion: `value * scale + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    /// Factor.
    pub scale: f64,
    /// What is added after the factor.
    pub offset: f64,
}

impl Conversion {
    /// Leaves values as they are.
    pub const IDENTITY: Self = Self { scale: 1.0, offset: 0.0 };

    /// The value in the target unit.
    #[inline]
    #[must_use]
    pub fn apply(self, value: f64) -> f64 {
        // Not fused: without hardware support that is a call for every sample.
        value * self.scale + self.offset
    }
}

/// Why a reading's unit cannot be converted into its series' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitFault {
    /// Nothing is known by that name.
    Unknown {
        /// The unit as it was given.
        unit: String,
        /// The known one that looks most like it.
        nearest: Option<String>,
    },
    /// Several units are known by that name when case is ignored.
    Ambiguous {
        /// The unit as it was given.
        unit: String,
        /// What it could mean.
        readings: Vec<String>,
    },
    /// Both are known, but they measure different things.
    Incompatible {
        /// The reading's unit.
        from: String,
        /// The series' own unit.
        to: String,
    },
    /// The `unit_map` has a factor that is no factor.
    Factor {
        /// The unit as it stands there.
        unit: String,
    },
}

impl fmt::Display for UnitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { unit, nearest: Some(nearest) } => {
                write!(f, "unknown unit `{unit}`; did you mean `{nearest}`?")
            }
            Self::Unknown { unit, nearest: None } => write!(f, "unknown unit `{unit}`; give its factor in unit_map"),
            Self::Ambiguous { unit, readings } => write!(f, "unit `{unit}` can mean {}", readings.join(" or ")),
            Self::Incompatible { from, to } => {
                write!(f, "`{from}` cannot be converted to `{to}`: they measure different things")
            }
            Self::Factor { unit } => write!(f, "the unit_map's factor of `{unit}` must be finite and not zero"),
        }
    }
}

impl std::error::Error for UnitFault {}

/// A unit understood: what it measures, and how to come to the coherent SI unit of that.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measure {
    dimension: Dimension,
    scale: f64,
    offset: f64,
}

/// How readings in `from` become readings in `to`. `extra` has factors of the metric's own `unit_map`: 1 of that unit =
/// factor of `to`; they come before what is generally known.
///
/// # Errors
/// [`UnitFault`], naming the unit at fault.
pub fn conversion(from: &str, to: &str, extra: &BTreeMap<String, f64>) -> Result<Conversion, UnitFault> {
    let (plain_from, plain_to) = (plain(from), plain(to));
    if plain_from == plain_to {
        return Ok(Conversion::IDENTITY);
    }
    if let Some((unit, factor)) = mapped(&plain_from, extra) {
        return if factor.is_finite() && factor != 0.0 {
            Ok(Conversion { scale: factor, offset: 0.0 })
        } else {
            Err(UnitFault::Factor { unit: unit.to_owned() })
        };
    }
    let target = measure(to, &plain_to, extra)?;
    let source = measure(from, &plain_from, extra)?;
    if source.dimension != target.dimension {
        return Err(UnitFault::Incompatible { from: from.trim().to_owned(), to: to.trim().to_owned() });
    }
    let scale = source.scale / target.scale;
    Ok(Conversion { scale, offset: (source.offset - target.offset) / target.scale })
}

/// Whether a unit is understood without any `unit_map`.
///
/// # Errors
/// [`UnitFault::Unknown`] or [`UnitFault::Ambiguous`].
pub fn known(unit: &str) -> Result<(), UnitFault> {
    measure(unit, &plain(unit), &BTreeMap::new()).map(|_| ())
}

/// One spelling for what people write in several: micro signs, degree signs, superscripts, `per`, blanks.
fn plain(unit: &str) -> String {
    let spaced = unit.trim().replace(" per ", "/").replace("_per_", "/");
    let mut out = String::with_capacity(spaced.len());
    for c in spaced.chars() {
        match c {
            '\u{b5}' | '\u{3bc}' => out.push('u'),
            '°' | 'º' => out.push_str("deg"),
            '℃' => out.push_str("degC"),
            '℉' => out.push_str("degF"),
            '\u{3a9}' | '\u{2126}' => out.push_str("ohm"),
            '·' | '⋅' | '×' => out.push('*'),
            '⁻' => out.push('-'),
            '¹' => out.push('1'),
            '²' => out.push('2'),
            '³' => out.push('3'),
            '_' | '^' => {}
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// The factor of the metric's own map: as written, else ignoring case where that leaves one.
fn mapped<'a>(unit: &str, extra: &'a BTreeMap<String, f64>) -> Option<(&'a str, f64)> {
    let found = |same: &dyn Fn(&str) -> bool| {
        let mut hits = extra.iter().filter(|(key, _)| same(&plain(key)));
        hits.next().filter(|_| hits.next().is_none()).map(|(key, factor)| (key.as_str(), *factor))
    };
    if extra.is_empty() {
        return None;
    }
    found(&|key| key == unit).or_else(|| found(&|key| key.eq_ignore_ascii_case(unit)))
}

fn measure(given: &str, unit: &str, extra: &BTreeMap<String, f64>) -> Result<Measure, UnitFault> {
    if let Some(found) = atom(unit)? {
        return Ok(found);
    }
    let mut all = Measure { dimension: [0; DIMENSIONS], scale: 1.0, offset: 0.0 };
    let mut sign = 1_i8;
    let mut rest = unit;
    let unknown = || UnitFault::Unknown { unit: given.trim().to_owned(), nearest: nearest(unit, extra) };
    // A division of nothing in particular, `1/s`, counts something.
    if let Some(tail) = rest.strip_prefix("1/") {
        (all.dimension, rest, sign) = (super::unit_table::COUNT, tail, -1);
    }
    loop {
        let end = rest.find(['/', '*']).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        let (name, power) = powered(part).ok_or_else(unknown)?;
        let one = atom(name)?.ok_or_else(unknown)?;
        let power = power.checked_mul(sign).ok_or_else(unknown)?;
        for (sum, own) in all.dimension.iter_mut().zip(one.dimension) {
            *sum = own.checked_mul(power).and_then(|add| sum.checked_add(add)).ok_or_else(unknown)?;
        }
        all.scale *= one.scale.powi(i32::from(power));
        let mut rest_chars = tail.chars();
        sign = match rest_chars.next() {
            None => return Ok(all),
            Some('/') => -1,
            Some(_) => 1,
        };
        rest = rest_chars.as_str();
    }
}

/// `m3` is `m` to the third, `s-1` is `s` to the minus first. Powers are small.
fn powered(part: &str) -> Option<(&str, i8)> {
    let digits = part.trim_end_matches(|c: char| c.is_ascii_digit());
    if digits.len() == part.len() {
        return Some((part, 1));
    }
    let (name, minus) = digits.strip_suffix('-').map_or((digits, 1), |name| (name, -1));
    let power: i8 = part.get(digits.len()..)?.parse().ok()?;
    (!name.is_empty() && (1..=4).contains(&power)).then_some((name, power * minus))
}

fn of(unit: &Atom, factor: f64) -> Measure {
    Measure { dimension: unit.dimension, scale: unit.scale * factor, offset: unit.offset }
}

/// One symbol or word, with its prefix.
fn atom(name: &str) -> Result<Option<Measure>, UnitFault> {
    if name.starts_with('{') && name.ends_with('}') {
        return Ok(Some(Measure { dimension: super::unit_table::COUNT, scale: 1.0, offset: 0.0 }));
    }
    if let Some(exact) = symbol(name).or_else(|| word(name)) {
        return Ok(Some(exact));
    }
    let mut found: Vec<(String, Measure)> = Vec::new();
    each_symbol(|prefix, factor, own, unit| {
        let fits = name.len() == prefix.len() + own.len()
            && name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
            && name.get(prefix.len()..).is_some_and(|tail| tail.eq_ignore_ascii_case(own));
        let reading = of(unit, factor);
        // A capital on its own (`M`, `H`, `S`) is more often a prefix or another word than a small letter's mistake.
        let shouted = name.len() == 1 && name.chars().all(|c| c.is_ascii_uppercase());
        if fits && !shouted && !found.iter().any(|(_, known)| *known == reading) {
            found.push((format!("`{prefix}{own}`"), reading));
        }
    });
    match found.as_slice() {
        [] => Ok(None),
        [(_, one)] => Ok(Some(*one)),
        several => Err(UnitFault::Ambiguous {
            unit: name.to_owned(),
            readings: several.iter().map(|(reading, _)| reading.clone()).collect(),
        }),
    }
}

/// Every symbol with every prefix that it takes.
fn each_symbol(mut see: impl FnMut(&str, f64, &str, &Atom)) {
    for unit in UNITS {
        for own in unit.symbols {
            see("", 1.0, own, unit);
            for (prefix, factor, _) in PREFIXES.iter().filter(|(_, _, kind)| unit.prefixes.takes(*kind)) {
                see(prefix, *factor, own, unit);
            }
        }
    }
}

fn symbol(name: &str) -> Option<Measure> {
    let whole = UNITS.iter().find(|unit| unit.symbols.contains(&name));
    whole.map(|unit| of(unit, 1.0)).or_else(|| {
        PREFIXES.iter().find_map(|(prefix, factor, kind)| {
            let own = name.strip_prefix(prefix)?;
            let unit = UNITS.iter().find(|unit| unit.prefixes.takes(*kind) && unit.symbols.contains(&own))?;
            Some(of(unit, *factor))
        })
    })
}

fn word(name: &str) -> Option<Measure> {
    let lower = name.to_lowercase();
    let known = |text: &str| UNITS.iter().find(|unit| unit.words.contains(&text));
    let with_plural = |text: &str| known(text).or_else(|| text.strip_suffix('s').and_then(known));
    with_plural(&lower).map(|unit| of(unit, 1.0)).or_else(|| {
        PREFIX_WORDS.iter().find_map(|(prefix, factor, kind)| {
            let unit = with_plural(lower.strip_prefix(prefix)?).filter(|unit| unit.prefixes.takes(*kind))?;
            Some(of(unit, *factor))
        })
    })
}

/// The known unit with the fewest edits, if those are few for its length.
fn nearest(unit: &str, extra: &BTreeMap<String, f64>) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    let mut offer = |candidate: &str| {
        let edits = edits(&unit.to_lowercase(), &candidate.to_lowercase());
        let enough = 1.max(candidate.chars().count() / 3);
        if edits <= enough && best.as_ref().is_none_or(|(least, _)| edits < *least) {
            best = Some((edits, candidate.to_owned()));
        }
    };
    extra.keys().for_each(|key| offer(key));
    UNITS.iter().flat_map(|unit| unit.words).for_each(|word| offer(word));
    each_symbol(|prefix, _, own, _| offer(&format!("{prefix}{own}")));
    best.map(|(_, name)| name)
}

/// Levenshtein distance; names are short.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, cb) in row.iter_mut().skip(1).zip(&b) {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = *slot;
            left = change.min(diagonal + 1).min(left + 1);
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(value: f64, from: &str, to: &str) -> f64 {
        conversion(from, to, &BTreeMap::new()).unwrap_or_else(|fault| panic!("{from} -> {to}: {fault}")).apply(value)
    }

    #[test]
    fn conversions_are_right() {
        let table: &[(f64, &str, &str, f64)] = &[
            (5.0, "µs", "ms", 0.005),
            (5.0, "μs", "s", 5e-6),
            (5.0, "us", "ms", 0.005),
            (5.0, "usec", "ns", 5000.0),
            (2.0, "minutes", "ms", 120_000.0),
            (2.0, "min", "seconds", 120.0),
            (90.0, "Minutes", "h", 1.5),
            (1.0, "d", "h", 24.0),
            (1.0, "kB", "B", 1000.0),
            (1.0, "KB", "B", 1000.0),
            (1.0, "KiB", "bytes", 1024.0),
            (1.0, "MiB", "kB", 1048.576),
            (1.0, "Mi", "bytes", 1_048_576.0),
            (1.0, "MB", "Mb", 8.0),
            (8.0, "Mbit/s", "MB/s", 1.0),
            (8.0, "Mbps", "MBps", 1.0),
            (1.0, "GiB/h", "B/s", 1_073_741_824.0 / 3600.0),
            (50.0, "%", "ratio", 0.5),
            (0.5, "1", "percent", 50.0),
            (3000.0, "rpm", "Hz", 50.0),
            (3.0, "kHz", "1/s", 3000.0),
            (60.0, "req/min", "rps", 1.0),
            (2.0, "{request}/s", "count/s", 2.0),
            (1.0, "MW", "mW", 1e9),
            (1.0, "kw", "W", 1000.0),
            (1.0, "kWh", "J", 3.6e6),
            (1.0, "kW*h", "kWh", 1.0),
            (5.0, "mA", "A", 0.005),
            (230.0, "volts", "kV", 0.23),
            (25.0, "degC", "K", 298.15),
            (25.0, "°C", "degF", 77.0),
            (212.0, "Fahrenheit", "celsius", 100.0),
            (0.0, "K", "C", -273.15),
            (1.0, "bar", "kPa", 100.0),
            (1.0, "psi", "Pa", 6_894.757_293_168),
            (1013.25, "hPa", "atm", 1.0),
            (1.0, "km", "m", 1000.0),
            (36.0, "km/h", "m/s", 10.0),
            (1.0, "inch", "mm", 25.4),
            (1.0, "t", "kg", 1000.0),
            (1.0, "lb", "g", 453.592_37),
            (180.0, "deg", "rad", std::f64::consts::PI),
            (60.0, "L/min", "l/s", 1.0),
            (1.0, "m^3/h", "L/h", 1000.0),
            (9.81, "m/s²", "m*s-2", 9.81),
            (100.0, "kilobytes per second", "kB/s", 100.0),
            (1.0, "bytes_per_sec", "B/s", 1.0),
            (1.0, "mAh", "A*s", 3.6),
            (2.0, "packets", "count", 2.0),
        ];
        for (value, from, to, expected) in table {
            let got = convert(*value, from, to);
            assert!(
                (got - expected).abs() <= expected.abs().max(1.0) * 1e-12,
                "{value} {from} = {got} {to}, not {expected}"
            );
        }
    }

    #[test]
    fn w5_what_measures_something_else_is_a_fault() {
        let none = BTreeMap::new();
        for (from, to) in
            [("ms", "MB"), ("B", "B/s"), ("%", "count"), ("W", "Wh"), ("degC", "Pa"), ("m", "min"), ("dB", "%")]
        {
            assert!(matches!(conversion(from, to, &none), Err(UnitFault::Incompatible { .. })), "{from} -> {to}");
        }
    }

    #[test]
    fn w5_what_is_unknown_is_a_fault_with_the_nearest_known() {
        let none = BTreeMap::new();
        let nearest = |unit: &str| match conversion(unit, "s", &none) {
            Err(UnitFault::Unknown { nearest, .. }) => nearest,
            other => panic!("{unit}: {other:?}"),
        };
        assert_eq!(nearest("secondz").as_deref(), Some("second"));
        assert_eq!(nearest("percnt").as_deref(), Some("percent"));
        assert_eq!(nearest("flurbles"), None);
        assert!(matches!(conversion("mb", "B", &none), Err(UnitFault::Ambiguous { .. })));
        for junk in ["", "/", "//", "s/", "s^99", "1/", "*", "m-", "kk", "-1", "🦀", "s300"] {
            assert!(conversion(junk, "s", &none).is_err(), "{junk:?} is no time");
        }
    }

    #[test]
    fn the_metrics_own_factors_come_first() {
        let extra = BTreeMap::from([("jiffy".to_owned(), 10.0), ("µs".to_owned(), 7.0), ("nan".to_owned(), f64::NAN)]);
        let scale = |unit: &str| conversion(unit, "ms", &extra).map(|c| c.scale);
        assert_eq!(scale("Jiffy"), Ok(10.0));
        assert_eq!(scale("us"), Ok(7.0));
        assert!(matches!(scale("nan"), Err(UnitFault::Factor { .. })));
        assert_eq!(conversion("widgets", "widgets", &BTreeMap::new()), Ok(Conversion::IDENTITY));
    }

    #[test]
    fn every_unit_of_the_table_converts_to_itself_by_each_of_its_names() {
        let none = BTreeMap::new();
        for unit in UNITS {
            for name in unit.symbols.iter().chain(unit.words) {
                let found = atom(name).unwrap().unwrap();
                assert_eq!((found.dimension, found.scale), (unit.dimension, unit.scale), "{name}");
                assert_eq!(conversion(name, &format!(" {name} "), &none), Ok(Conversion::IDENTITY));
            }
        }
    }
}
