//! Every unit that is known, into the unit of its kind; spellings; and what is said of those that are not understood.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hb_core::watch::registry::{Metric, Names};
use hb_core::watch::settings::WatchSettings;
use hb_core::watch::units::conversion;

use super::ledger::assert_recorded;

/// A unit of each kind.
const KINDS: [&str; 22] = [
    "m", "m^3", "m/s", "kg", "s", "A", "C", "K", "rad", "B", "bit/s", "%", "dB", "dBm", "N", "Pa", "J", "W", "V",
    "ohm", "T", "1/s",
];

const GIVEN: &str = "m km cm mm um nm in inch ft foot feet yd mi mile l L litre liter ml gal g kg mg t tonne lb oz s sec second seconds ms us ns \
    min minute h hr hour d day week A mA uA amp C degC celsius F degF °F K kelvin ℃ ℉ rad deg ° turn rev B b bit byte KB MB MiB GiB kB Kibit \
    Mbit Mb MBps Mbps kbps B/s bit/s MiB/s % percent ratio ppm ppb dB dBm N kN Pa kPa MPa hPa bar mbar psi atm J kJ kWh Wh W*h W kW MW mW hp V mV kV \
    ohm kohm Ω T mT G Hz kHz MHz GHz rpm 1/s 1/min count counts {req} {req}/s req/s ops/s km/h m/s mph kn knot m/s2 m/s^2 m³/min l/min kg/m^3 g/cm3 \
    Ah mAh A*h C/min km^2 m2 m-1 s-1 m5 m0 m-5 m/0 / * m/ /m m* 1/ m//s M H S mM Mm ΜM sek furlong parsec kilometer kilometers millisecond \
    microseconds megabyte gibibytes kilowatt KILOWATT Meters SECONDS mhz MHZ mw MW mb db DB per m_per_s metersss milis celsus farenheit m^3/min \
    kg*m/s^2 N*m W/m^2 1/m^3 J/K °C/min bit/s/s m/s/s {x}*{y} a b c x Q qq";

#[test]
fn units_are_understood_as_they_were() {
    let mut text = String::new();
    let none = BTreeMap::new();
    for given in GIVEN.split_whitespace() {
        let fits: Vec<String> = KINDS
            .iter()
            .filter_map(|kind| {
                let found = conversion(given, kind, &none).ok()?;
                Some(format!("{kind} * {:.9e} + {:.9e}", found.scale, found.offset))
            })
            .collect();
        let fault = conversion(given, "m", &none).err().map_or(String::new(), |fault| fault.to_string());
        writeln!(text, "{given}: {fits:?} {fault}").unwrap();
    }
    for given in [" m per s ", "m_per_s", "  ", "", "µs", "\u{3bc}s", "s⁻¹", "m·s⁻²", "kW h", "kg × m"] {
        let found: Vec<String> =
            KINDS.iter().map(|kind| format!("{:?}", conversion(given, kind, &none).ok())).collect();
        let found: Vec<_> = found.iter().filter(|one| *one != "None").collect();
        writeln!(text, "{given:?}: {found:?} {:?}", conversion(given, "m", &none).map_err(|fault| fault.to_string()))
            .unwrap();
    }
    assert_recorded("units", include_str!("units.txt"), &text);
}

#[test]
fn factors_of_the_metric_itself_come_first_as_they_did() {
    let mut text = String::new();
    let map: BTreeMap<String, f64> = [
        ("box", 12.0),
        ("Crate", 144.0),
        ("crate", 100.0),
        ("Pallet", 1e4),
        ("zero", 0.0),
        ("inf", f64::INFINITY),
        ("km", 7.0),
    ]
    .map(|(unit, factor)| (unit.to_owned(), factor))
    .into();
    for given in
        ["box", "BOX", "boxes", "crate", "CRATE", "pallet", "zero", "inf", "km", "KM", "m", "bax", "palet", "piece"]
    {
        let found = conversion(given, "m", &map).map_err(|fault| fault.to_string());
        writeln!(text, "{given}: {found:?}").unwrap();
    }
    assert_recorded("unit_maps", include_str!("unit_maps.txt"), &text);
}

#[test]
fn names_and_contradictions_of_a_registry_are_told_as_they_were() {
    let mut settings = WatchSettings::named("w", 1);
    let number = [None, Some(0.0), Some(-1.0), Some(1.0), Some(f64::NAN), Some(5.0)];
    let mut text = String::new();
    for (place, low) in number.iter().enumerate() {
        for (other, high) in number.iter().enumerate() {
            let metric = Metric {
                invariant_min: *low,
                invariant_max: *high,
                invariant_eq: number[(place + other) % 6],
                fail_threshold: number[(place + 2 * other) % 6],
                drift_threshold: *high,
                drift_percent: *low,
                min_effect: number[(2 * place + other) % 6],
                ks_threshold: *low,
                drift_persistence: [None, Some(0), Some(1), Some(32), Some(33), Some(1_000)][place],
                unit: [None, Some("m"), Some("nonsense"), Some("MB")][other % 4].map(str::to_owned),
                unit_map: if place == 3 {
                    [("x".to_owned(), 0.0), ("y".to_owned(), 2.0)].into()
                } else {
                    BTreeMap::new()
                },
                aliases: if other == 2 {
                    vec!["m.0.0".into(), "M-2.2".into(), "shared".into(), "...".into()]
                } else {
                    Vec::new()
                },
                critical: place == other,
                ..Metric::default()
            };
            writeln!(
                text,
                "{place}.{other}: {} {} {:?}",
                metric.has_limits(),
                metric.has_invariants(),
                metric.fail_above()
            )
            .unwrap();
            settings.registry.metrics.insert(format!("m.{place}.{other}"), metric);
        }
    }
    for fault in settings.registry.faults() {
        writeln!(text, "{} {}: {}", fault.metric, fault.key, fault.what).unwrap();
    }
    let names = Names::new(&settings);
    for name in ["m.0.0", "M_0_0", "m00", "m22", "M-2.2", "shared", "...", "", "new", "m.1.5", "M.1.5"] {
        for unit in [None, Some(""), Some(" km "), Some("MB"), Some("nonsense"), Some("x"), Some("y")] {
            let found = names.resolve(name, unit);
            let (conversion, keep) = (found.conversion.map_err(|fault| fault.to_string()), found.keep);
            writeln!(
                text,
                "{name} {unit:?}: {} {conversion:?} {keep:?} {:?} {}",
                found.name,
                found.unit,
                names.unit_fault(name, unit)
            )
            .unwrap();
        }
    }
    assert_recorded("registry", include_str!("registry.txt"), &text);
}
