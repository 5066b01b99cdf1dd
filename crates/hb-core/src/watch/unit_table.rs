//! The units that are generally known, as data: symbols, words, what they measure, and their factor to the SI unit.
//!
//! Factors are those of the SI brochure (9th edition) and, for inch-pound units, of NIST SP 811.

/// Number of base dimensions.
pub(super) const DIMENSIONS: usize = 11;

/// Powers of: length, mass, time, current, temperature, angle, information, count, ratio, decibel, decibel-milliwatt.
pub(super) type Dimension = [i8; DIMENSIONS];

/// Things counted.
pub(super) const COUNT: Dimension = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
const COUNT_RATE: Dimension = [0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0];
const LENGTH: Dimension = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const VOLUME: Dimension = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const SPEED: Dimension = [1, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0];
const MASS: Dimension = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const TIME: Dimension = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
const CURRENT: Dimension = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
const CHARGE: Dimension = [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const TEMPERATURE: Dimension = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const ANGLE: Dimension = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
const DATA: Dimension = [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
const DATA_RATE: Dimension = [0, 0, -1, 0, 0, 0, 1, 0, 0, 0, 0];
const RATIO: Dimension = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
const DECIBEL: Dimension = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const DECIBEL_MILLIWATT: Dimension = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const FORCE: Dimension = [1, 1, -2, 0, 0, 0, 0, 0, 0, 0, 0];
const PRESSURE: Dimension = [-1, 1, -2, 0, 0, 0, 0, 0, 0, 0, 0];
const ENERGY: Dimension = [2, 1, -2, 0, 0, 0, 0, 0, 0, 0, 0];
const POWER: Dimension = [2, 1, -3, 0, 0, 0, 0, 0, 0, 0, 0];
const VOLTAGE: Dimension = [2, 1, -3, -1, 0, 0, 0, 0, 0, 0, 0];
const RESISTANCE: Dimension = [2, 1, -3, -2, 0, 0, 0, 0, 0, 0, 0];
const FLUX_DENSITY: Dimension = [0, 1, -2, -1, 0, 0, 0, 0, 0, 0, 0];

/// Sort of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrefixKind {
    /// Below one: n, u, m, c, d.
    Small,
    /// `h`, above one, used with few units.
    Hecto,
    /// k, M, G, T, P, E.
    Large,
    /// Ki, Mi, Gi, Ti, Pi, Ei, and `K` for a thousand.
    Binary,
}

/// Which prefixes a unit takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefixes {
    /// None.
    None,
    /// Only small ones: seconds.
    Small,
    /// Large and binary ones: bits and bytes.
    Data,
    /// Small, hecto and large ones.
    Metric,
}

impl Prefixes {
    /// Whether prefixes of that kind are taken.
    pub(super) fn takes(self, kind: PrefixKind) -> bool {
        match self {
            Self::None => false,
            Self::Small => kind == PrefixKind::Small,
            Self::Data => matches!(kind, PrefixKind::Large | PrefixKind::Binary),
            Self::Metric => matches!(kind, PrefixKind::Small | PrefixKind::Hecto | PrefixKind::Large),
        }
    }
}

/// One unit.
#[derive(Debug)]
pub(super) struct Atom {
    /// Symbols, case as written.
    pub(super) symbols: &'static [&'static str],
    /// Words, lower case, singular; case and a plural `s` are forgiven.
    pub(super) words: &'static [&'static str],
    /// What it measures.
    pub(super) dimension: Dimension,
    /// 1 of it in the coherent SI unit (bits for data, hertz for counts per second).
    pub(super) scale: f64,
    /// What is added after the factor.
    pub(super) offset: f64,
    /// Prefixes that it takes.
    pub(super) prefixes: Prefixes,
}

/// Prefix symbols.
pub(super) const PREFIXES: &[(&str, f64, PrefixKind)] = &[
    ("n", 1e-9, PrefixKind::Small),
    ("u", 1e-6, PrefixKind::Small),
    ("m", 1e-3, PrefixKind::Small),
    ("c", 1e-2, PrefixKind::Small),
    ("d", 1e-1, PrefixKind::Small),
    ("h", 1e2, PrefixKind::Hecto),
    ("k", 1e3, PrefixKind::Large),
    ("M", 1e6, PrefixKind::Large),
    ("G", 1e9, PrefixKind::Large),
    ("T", 1e12, PrefixKind::Large),
    ("P", 1e15, PrefixKind::Large),
    ("E", 1e18, PrefixKind::Large),
    ("K", 1e3, PrefixKind::Binary),
    ("Ki", 1024.0, PrefixKind::Binary),
    ("Mi", 1_048_576.0, PrefixKind::Binary),
    ("Gi", 1_073_741_824.0, PrefixKind::Binary),
    ("Ti", 1_099_511_627_776.0, PrefixKind::Binary),
    ("Pi", 1_125_899_906_842_624.0, PrefixKind::Binary),
    ("Ei", 1_152_921_504_606_846_976.0, PrefixKind::Binary),
];

/// Prefix words.
pub(super) const PREFIX_WORDS: &[(&str, f64, PrefixKind)] = &[
    ("nano", 1e-9, PrefixKind::Small),
    ("micro", 1e-6, PrefixKind::Small),
    ("milli", 1e-3, PrefixKind::Small),
    ("centi", 1e-2, PrefixKind::Small),
    ("kilo", 1e3, PrefixKind::Large),
    ("mega", 1e6, PrefixKind::Large),
    ("giga", 1e9, PrefixKind::Large),
    ("tera", 1e12, PrefixKind::Large),
    ("peta", 1e15, PrefixKind::Large),
    ("kibi", 1024.0, PrefixKind::Binary),
    ("mebi", 1_048_576.0, PrefixKind::Binary),
    ("gibi", 1_073_741_824.0, PrefixKind::Binary),
    ("tebi", 1_099_511_627_776.0, PrefixKind::Binary),
];

const fn unit(
    symbols: &'static [&'static str],
    words: &'static [&'static str],
    dimension: Dimension,
    scale: f64,
) -> Atom {
    Atom { symbols, words, dimension, scale, offset: 0.0, prefixes: Prefixes::None }
}

const fn metric(
    symbols: &'static [&'static str],
    words: &'static [&'static str],
    dimension: Dimension,
    scale: f64,
) -> Atom {
    Atom { symbols, words, dimension, scale, offset: 0.0, prefixes: Prefixes::Metric }
}

const fn data(
    symbols: &'static [&'static str],
    words: &'static [&'static str],
    dimension: Dimension,
    scale: f64,
) -> Atom {
    Atom { symbols, words, dimension, scale, offset: 0.0, prefixes: Prefixes::Data }
}

/// Every unit that is generally known.
pub(super) const UNITS: &[Atom] = &[
    Atom {
        symbols: &["s"],
        words: &["second", "sec"],
        dimension: TIME,
        scale: 1.0,
        offset: 0.0,
        prefixes: Prefixes::Small,
    },
    unit(&[], &["msec"], TIME, 1e-3),
    unit(&[], &["usec"], TIME, 1e-6),
    unit(&[], &["nsec"], TIME, 1e-9),
    unit(&["min"], &["minute", "min"], TIME, 60.0),
    unit(&["h", "hr"], &["hour", "hr"], TIME, 3600.0),
    unit(&["d"], &["day"], TIME, 86_400.0),
    unit(&[], &["week"], TIME, 604_800.0),
    data(&["B", "byte"], &["byte"], DATA, 8.0),
    data(&["b", "bit"], &["bit"], DATA, 1.0),
    data(&["Bps"], &[], DATA_RATE, 8.0),
    data(&["bps"], &[], DATA_RATE, 1.0),
    unit(&["Ki"], &[], DATA, 8.0 * 1024.0),
    unit(&["Mi"], &[], DATA, 8.0 * 1_048_576.0),
    unit(&["Gi"], &[], DATA, 8.0 * 1_073_741_824.0),
    unit(&["Ti"], &[], DATA, 8.0 * 1_099_511_627_776.0),
    unit(&["1"], &["ratio", "fraction", "unitless"], RATIO, 1.0),
    unit(&["%"], &["percent", "pct", "percentage"], RATIO, 1e-2),
    unit(&["ppm"], &[], RATIO, 1e-6),
    unit(
        &[],
        &["count", "event", "request", "req", "op", "operation", "packet", "pkt", "error", "item", "message", "msg"],
        COUNT,
        1.0,
    ),
    unit(
        &["rev"],
        &["revolution", "cycle", "tick", "frame", "reset", "query", "transaction", "sample", "row", "process"],
        COUNT,
        1.0,
    ),
    metric(&["Hz"], &["hertz"], COUNT_RATE, 1.0),
    unit(&["rpm"], &["rpm"], COUNT_RATE, 1.0 / 60.0),
    unit(&[], &["iop", "iops", "rps", "qps", "tps", "fps", "pps", "cps"], COUNT_RATE, 1.0),
    metric(&["V"], &["volt"], VOLTAGE, 1.0),
    metric(&["A"], &["ampere", "amp"], CURRENT, 1.0),
    metric(&["Ah"], &["ampere-hour", "amp-hour"], CHARGE, 3600.0),
    metric(&["W", "VA"], &["watt"], POWER, 1.0),
    unit(&["hp"], &["horsepower"], POWER, 745.699_871_582_270_2),
    metric(&["J"], &["joule"], ENERGY, 1.0),
    metric(&["Wh"], &["watt-hour", "watthour"], ENERGY, 3600.0),
    metric(&["cal"], &["calorie"], ENERGY, 4.184),
    metric(&["ohm"], &["ohm"], RESISTANCE, 1.0),
    metric(&["T"], &["tesla"], FLUX_DENSITY, 1.0),
    metric(&["N"], &["newton"], FORCE, 1.0),
    metric(&["K"], &["kelvin", "degk"], TEMPERATURE, 1.0),
    Atom {
        symbols: &["C", "degC"],
        words: &["celsius", "degc", "degreesc", "degreec", "degcelsius", "degreescelsius", "centigrade"],
        dimension: TEMPERATURE,
        scale: 1.0,
        offset: 273.15,
        prefixes: Prefixes::None,
    },
    Atom {
        symbols: &["F", "degF"],
        words: &["fahrenheit", "degf", "degreesf", "degreef", "degfahrenheit", "degreesfahrenheit"],
        dimension: TEMPERATURE,
        scale: 5.0 / 9.0,
        offset: 273.15 - 32.0 * 5.0 / 9.0,
        prefixes: Prefixes::None,
    },
    metric(&["Pa"], &["pascal"], PRESSURE, 1.0),
    metric(&["bar"], &["bar"], PRESSURE, 1e5),
    unit(&["psi"], &["psi"], PRESSURE, 6_894.757_293_168),
    unit(&["atm"], &["atmosphere"], PRESSURE, 101_325.0),
    unit(&["mmHg", "torr"], &["torr"], PRESSURE, 133.322_368_421_052_63),
    unit(&["inHg"], &[], PRESSURE, 3_386.389),
    metric(&["m"], &["metre", "meter"], LENGTH, 1.0),
    unit(&["in"], &["inch", "inches"], LENGTH, 0.0254),
    unit(&["ft"], &["foot", "feet"], LENGTH, 0.3048),
    unit(&["yd"], &["yard"], LENGTH, 0.9144),
    unit(&["mi"], &["mile"], LENGTH, 1_609.344),
    unit(&["nmi"], &[], LENGTH, 1852.0),
    unit(&["mph"], &["mph"], SPEED, 0.447_04),
    unit(&["kph", "kmh"], &["kph", "kmh"], SPEED, 1.0 / 3.6),
    unit(&["kn", "kt"], &["knot"], SPEED, 1852.0 / 3600.0),
    metric(&["L", "l"], &["litre", "liter"], VOLUME, 1e-3),
    unit(&["gal"], &["gallon"], VOLUME, 3.785_411_784e-3),
    metric(&["g"], &["gram", "gramme"], MASS, 1e-3),
    unit(&["t"], &["tonne"], MASS, 1000.0),
    unit(&["lb", "lbs"], &["pound"], MASS, 0.453_592_37),
    unit(&["oz"], &["ounce"], MASS, 0.028_349_523_125),
    unit(&["deg"], &["degree", "deg"], ANGLE, std::f64::consts::PI / 180.0),
    metric(&["rad"], &["radian"], ANGLE, 1.0),
    unit(&["dB"], &["decibel"], DECIBEL, 1.0),
    unit(&["dBm"], &[], DECIBEL_MILLIWATT, 1.0),
];
