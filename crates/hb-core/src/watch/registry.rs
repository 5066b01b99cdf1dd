//! The metric registry: what is known of a series beforehand. Aliases, units, limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::settings::WatchSettings;
use super::units::{self, Conversion, UnitFault};
use super::window::Keep;

/// Which figure of a cycle the limits of a metric look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Mean of the cycle's samples.
    #[default]
    Mean,
    /// Newest by event time.
    Last,
    /// Smallest.
    Min,
    /// Largest.
    Max,
}

/// Which way a change counts as drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftDirection {
    /// Up and down.
    #[default]
    Both,
    /// Only above the baseline.
    Up,
    /// Only below the baseline.
    Down,
}

/// How a series' readings are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    /// Learned with the baseline.
    #[default]
    Auto,
    /// A level.
    Gauge,
    /// Only rises, starts again at zero: judged by its rate per second.
    Counter,
}

/// What is known of one metric. All limits are in the metric's own unit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Metric {
    /// Other names for it.
    pub aliases: Vec<String>,
    /// Its own unit; readings in other units are converted.
    pub unit: Option<String>,
    /// Factors for units that are not generally known: 1 of that unit = factor of `unit`.
    pub unit_map: BTreeMap<String, f64>,
    /// How to understand its readings.
    pub kind: SeriesKind,
    /// Which figure the limits look at.
    pub aggregate: Aggregate,
    /// Drift when further than this from the baseline.
    pub drift_threshold: Option<f64>,
    /// Drift when further than this many per cent from the baseline.
    pub drift_percent: Option<f64>,
    /// No drift of any kind below this distance.
    pub min_effect: Option<f64>,
    /// Which way counts.
    pub drift_direction: DriftDirection,
    /// Cycles in a row before `drift_threshold` and `drift_percent` raise; the watch's m of n where not given.
    pub drift_persistence: Option<u32>,
    /// FAIL above this.
    pub fail_threshold: Option<f64>,
    /// Must be heard in every cycle; without `fail_threshold`, above zero is FAIL (as the original has it) when no invariant is given.
    pub critical: bool,
    /// FAIL when any reading is below.
    pub invariant_min: Option<f64>,
    /// FAIL when any reading is above.
    pub invariant_max: Option<f64>,
    /// FAIL when any reading differs.
    pub invariant_eq: Option<f64>,
    /// Compare distributions too, with at least this two-sample KS distance.
    pub ks_threshold: Option<f64>,
}

impl Metric {
    /// Whether anything but silence can make it FAIL.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.fail_threshold.is_some() || self.has_invariants()
    }

    /// Whether it has an invariant.
    #[must_use]
    pub fn has_invariants(&self) -> bool {
        self.invariant_min.is_some() || self.invariant_max.is_some() || self.invariant_eq.is_some()
    }

    /// The value above which a cycle is FAIL: `fail_threshold`, or zero for a critical metric without any other limit.
    #[must_use]
    pub fn fail_above(&self) -> Option<f64> {
        self.fail_threshold.or_else(|| (self.critical && !self.has_invariants()).then_some(0.0))
    }
}

/// Everything known beforehand, by the metrics' own names, for one operating mode.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Registry {
    /// By name.
    pub metrics: BTreeMap<String, Metric>,
}

/// What a name and unit of a source come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The series' own name; the source's name where the registry does not know it.
    pub name: Arc<str>,
    /// How its readings become readings in the series' own unit; a fault means that they must be dropped and counted.
    pub conversion: Result<Conversion, UnitFault>,
    /// Whether its samples are kept for a distribution test.
    pub keep: Keep,
    /// The unit that readings have after conversion, where one is known.
    pub unit: Option<Arc<str>>,
}

/// Something in the registry that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryFault {
    /// The metric.
    pub metric: String,
    /// Its key, as it stands in the configuration.
    pub key: &'static str,
    /// What is wrong and what to do, in one sentence.
    pub what: String,
}

/// The names of a watch's registry, ready for look-ups: own names first, then names that differ in case and punctuation
/// only, then aliases.
#[derive(Debug, Clone, Default)]
pub struct Names {
    registry: Registry,
    by_key: BTreeMap<String, Arc<str>>,
    keep: Keep,
}

/// What is compared of a name: lower case, without ASCII punctuation and blanks. Letters beyond ASCII stay, so that names
/// written in them do not all come to the same.
fn key(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Names {
    /// The names that a watch knows.
    #[must_use]
    pub fn new(settings: &WatchSettings) -> Self {
        let keep = if settings.drift.distribution { Keep::Samples } else { Keep::Moments };
        Self::of(settings.registry.clone(), keep)
    }

    /// The names of `registry`; `keep` is what holds for series without a rule of their own.
    fn of(registry: Registry, keep: Keep) -> Self {
        let mut by_key: BTreeMap<String, Arc<str>> = BTreeMap::new();
        let own = registry.metrics.keys().map(|name| (name, name));
        let aliases =
            registry.metrics.iter().flat_map(|(name, metric)| metric.aliases.iter().map(move |alias| (alias, name)));
        // Own names come first and are never displaced; of two metrics with one alias the first by name has it, and
        // `Registry::faults` tells.
        for (text, name) in own.chain(aliases) {
            let key = key(text);
            if !key.is_empty() {
                by_key.entry(key).or_insert_with(|| Arc::from(name.as_str()));
            }
        }
        Self { registry, by_key, keep }
    }

    /// Why readings of that name and unit are dropped, in one sentence.
    #[must_use]
    pub fn unit_fault(&self, raw_name: &str, raw_unit: Option<&str>) -> String {
        match self.resolve(raw_name, raw_unit).conversion {
            Err(fault) => format!("readings of `{raw_name}` dropped: {fault}"),
            Ok(_) => format!("readings of `{raw_name}` dropped for their unit"),
        }
    }

    /// What a source's name and unit come to.
    #[must_use]
    pub fn resolve(&self, raw_name: &str, raw_unit: Option<&str>) -> Resolved {
        let metrics = &self.registry.metrics;
        let raw_unit = raw_unit.map(str::trim).filter(|unit| !unit.is_empty());
        let exact = metrics.get_key_value(raw_name).map(|(name, metric)| (Arc::from(name.as_str()), metric));
        let found = exact.or_else(|| {
            let name = self.by_key.get(&key(raw_name))?;
            metrics.get(&**name).map(|metric| (Arc::clone(name), metric))
        });
        let Some((name, metric)) = found else {
            let unit = raw_unit.map(Arc::from);
            return Resolved { name: raw_name.into(), conversion: Ok(Conversion::IDENTITY), keep: self.keep, unit };
        };
        let conversion = match (raw_unit, metric.unit.as_deref()) {
            (Some(from), Some(to)) => units::conversion(from, to, &metric.unit_map),
            _ => Ok(Conversion::IDENTITY),
        };
        let keep = if metric.ks_threshold.is_some() { Keep::Samples } else { self.keep };
        Resolved { name, conversion, keep, unit: metric.unit.as_deref().or(raw_unit).map(Arc::from) }
    }
}

impl Registry {
    /// What a source's name and unit come to. For many names, make [`Names`] once.
    #[must_use]
    pub fn resolve(&self, raw_name: &str, raw_unit: Option<&str>) -> Resolved {
        Names::of(self.clone(), Keep::Moments).resolve(raw_name, raw_unit)
    }

    /// Everything in it that contradicts itself, in order of metrics.
    #[must_use]
    pub fn faults(&self) -> Vec<RegistryFault> {
        let mut faults = Vec::new();
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for name in self.metrics.keys() {
            if let Some(other) = owners.insert(key(name), name).filter(|_| !key(name).is_empty()) {
                faults.push(RegistryFault {
                    metric: name.clone(),
                    key: "metrics",
                    what: format!("differs from `{other}` in case and punctuation only: rename one of them"),
                });
            }
        }
        for (name, metric) in &self.metrics {
            alias_faults(name, metric, &mut owners, &mut faults);
            limit_faults(name, metric, &mut faults);
            unit_faults(name, metric, &mut faults);
        }
        faults
    }
}

fn alias_faults<'a>(
    name: &'a str,
    metric: &'a Metric,
    owners: &mut BTreeMap<String, &'a str>,
    faults: &mut Vec<RegistryFault>,
) {
    for alias in &metric.aliases {
        let key = key(alias);
        let what = match owners.get(&key) {
            _ if key.is_empty() => format!("alias `{alias}` has no letter or digit"),
            Some(other) if *other != name => {
                format!("alias `{alias}` also means `{other}`: a name can have one metric only")
            }
            Some(_) => continue,
            None => {
                owners.insert(key, name);
                continue;
            }
        };
        faults.push(RegistryFault { metric: name.to_owned(), key: "aliases", what });
    }
}

fn limit_faults(name: &str, metric: &Metric, faults: &mut Vec<RegistryFault>) {
    let mut tell = |key, what| faults.push(RegistryFault { metric: name.to_owned(), key, what });
    let distances = [
        ("drift_threshold", metric.drift_threshold),
        ("drift_percent", metric.drift_percent),
        ("min_effect", metric.min_effect),
    ];
    for (key, value) in distances.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        if !value.is_finite() || value < 0.0 {
            tell(key, format!("{value} is no distance: it must be finite and not negative"));
        }
    }
    let levels = [
        ("fail_threshold", metric.fail_threshold),
        ("invariant_min", metric.invariant_min),
        ("invariant_max", metric.invariant_max),
        ("invariant_eq", metric.invariant_eq),
    ];
    for (key, value) in levels.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        if !value.is_finite() {
            tell(key, format!("{value} is no limit: it must be finite"));
        }
    }
    if let (Some(min), Some(max)) = (metric.invariant_min, metric.invariant_max)
        && min > max
    {
        tell("invariant_min", format!("{min} is above invariant_max {max}: every reading would fail"));
    }
    if let Some(eq) = metric.invariant_eq
        && (metric.invariant_min.is_some_and(|min| eq < min) || metric.invariant_max.is_some_and(|max| eq > max))
    {
        tell("invariant_eq", format!("{eq} is outside invariant_min and invariant_max: every reading would fail"));
    }
    if let (Some(fail), Some(max)) = (metric.fail_threshold, metric.invariant_max)
        && fail >= max
    {
        tell("fail_threshold", format!("{fail} can never be reached: invariant_max {max} fails first"));
    }
    if metric.ks_threshold.is_some_and(|ks| !(ks > 0.0 && ks < 1.0)) {
        tell("ks_threshold", "a distance of distributions lies between 0 and 1, both excluded".to_owned());
    }
    if metric.drift_persistence.is_some_and(|n| n == 0 || n > 32) {
        tell("drift_persistence", "must be 1 to 32 cycles".to_owned());
    }
}

fn unit_faults(name: &str, metric: &Metric, faults: &mut Vec<RegistryFault>) {
    let mut tell = |key, what| faults.push(RegistryFault { metric: name.to_owned(), key, what });
    for (unit, factor) in &metric.unit_map {
        if !factor.is_finite() || *factor == 0.0 {
            tell("unit_map", format!("the factor {factor} of `{unit}` must be finite and not zero"));
        }
    }
    match &metric.unit {
        None if !metric.unit_map.is_empty() => {
            tell("unit_map", "factors need a `unit` that they lead to".to_owned());
        }
        // A unit of one's own (`widgets`) is fine where the map says what leads to it.
        Some(unit) if metric.unit_map.is_empty() => {
            if let Err(fault) = units::known(unit) {
                tell("unit", fault.to_string());
            }
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(metrics: &[(&str, Metric)]) -> Registry {
        Registry { metrics: metrics.iter().map(|(name, metric)| ((*name).to_owned(), metric.clone())).collect() }
    }

    fn aliased(aliases: &[&str]) -> Metric {
        Metric { aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(), ..Metric::default() }
    }

    #[test]
    fn names_are_found_exactly_then_by_spelling_then_by_alias() {
        let registry = registry(&[
            ("latency_ms", aliased(&["Resp-Time", "温度1"])),
            ("CPU", aliased(&[])),
            ("cpu", aliased(&["湿度1"])),
        ]);
        let name = |raw: &str| registry.resolve(raw, None).name.to_string();
        assert_eq!(name("Latency.MS"), "latency_ms");
        assert_eq!(name("resp_time"), "latency_ms");
        assert_eq!((name("CPU").as_str(), name("cpu").as_str()), ("CPU", "cpu"));
        assert_eq!((name("温度1").as_str(), name("湿度1").as_str()), ("latency_ms", "cpu"));
        assert_eq!((name("unheard of").as_str(), name("--").as_str()), ("unheard of", "--"));
    }

    #[test]
    fn w5_units_are_converted_or_told() {
        let registry =
            registry(&[("lat", Metric { unit: Some("ms".into()), ks_threshold: Some(0.2), ..Metric::default() })]);
        let resolved = registry.resolve("LAT", Some("µs"));
        assert!((resolved.conversion.unwrap().apply(5.0) - 0.005).abs() < 1e-15);
        assert_eq!((resolved.keep, resolved.unit.as_deref()), (Keep::Samples, Some("ms")));
        assert_eq!(registry.resolve("lat", None).conversion, Ok(Conversion::IDENTITY));
        assert_eq!(registry.resolve("lat", Some("  ")).conversion, Ok(Conversion::IDENTITY));
        assert!(matches!(registry.resolve("lat", Some("MB")).conversion, Err(UnitFault::Incompatible { .. })));
        assert!(matches!(registry.resolve("lat", Some("blorp")).conversion, Err(UnitFault::Unknown { .. })));
    }

    #[test]
    fn contradictions_are_told_by_metric_and_key() {
        let registry = registry(&[
            ("a", aliased(&["x", "x!", "?"])),
            ("b", aliased(&["X"])),
            ("c", aliased(&["A"])),
            ("d", Metric { invariant_min: Some(2.0), invariant_max: Some(1.0), ..Metric::default() }),
            ("e", Metric { drift_threshold: Some(-1.0), drift_percent: Some(f64::NAN), ..Metric::default() }),
            ("f", Metric { unit: Some("secnds".into()), ..Metric::default() }),
            ("g", Metric { unit_map: BTreeMap::from([("q".into(), 0.0)]), ..Metric::default() }),
            ("h", Metric { critical: true, fail_threshold: Some(5.0), invariant_max: Some(4.0), ..Metric::default() }),
            ("i", Metric { ks_threshold: Some(1.0), drift_persistence: Some(0), ..Metric::default() }),
            (
                "j",
                Metric {
                    invariant_eq: Some(1.0),
                    invariant_min: Some(2.0),
                    fail_threshold: Some(f64::INFINITY),
                    ..Metric::default()
                },
            ),
            ("J", Metric::default()),
        ]);
        let told: Vec<(String, &str)> = registry.faults().into_iter().map(|fault| (fault.metric, fault.key)).collect();
        let expected = [
            ("j", "metrics"),
            ("a", "aliases"),
            ("b", "aliases"),
            ("c", "aliases"),
            ("d", "invariant_min"),
            ("e", "drift_threshold"),
            ("e", "drift_percent"),
            ("f", "unit"),
            ("g", "unit_map"),
            ("g", "unit_map"),
            ("h", "fail_threshold"),
            ("i", "ks_threshold"),
            ("i", "drift_persistence"),
            ("j", "fail_threshold"),
            ("j", "invariant_eq"),
        ];
        assert_eq!(told, expected.map(|(metric, key)| (metric.to_owned(), key)).to_vec());
        assert_eq!(Registry::default().faults(), Vec::new());
    }
}
