//! The metric registry: a file, parts of it for one program and one operating mode, and what the watch says in place.
//!
//! Of one metric, a later layer wins key by key: base, `programs.<p>.metrics`, `mode_overrides.<mode>.metrics`, `metrics:`
//! of the watch. Layers that are not asked for are checked all the same.

use std::collections::BTreeMap;

use hb_core::watch::registry::{Aggregate, DriftDirection, Metric, Registry, SeriesKind};

use super::fault::{Findings, SourceFile, nearest};
use super::raw::{self, Entry, Node, Value, at, cut};
use super::reader::{Reader, environment_fault, finite, plain, scalar};
use super::{Environment, Files};

/// One key of a metric.
#[derive(Debug, Clone, Copy)]
pub struct MetricKey {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

const fn key(name: &'static str, takes: &'static str, meaning: &'static str) -> MetricKey {
    MetricKey { name, takes, meaning }
}

/// Every key of a metric.
pub const METRIC_KEYS: &[MetricKey] = &[
    key("aliases", "a list of names", "Other names of the metric."),
    key("source_columns", "a list of names", "Columns that hold it: other names, too."),
    key("unit", "a text", "The metric's own unit; readings in others are converted."),
    key("unit_map", "a mapping of units to numbers", "Factors of units: 1 of that unit = factor of `unit`."),
    key("kind", "one of auto, gauge, counter", "How its readings are to be understood."),
    key("aggregate", "one of mean, last, min, max", "Which figure of a cycle the limits look at."),
    key("drift_threshold", "a number, 0 or more", "Drift when further than this from the baseline."),
    key("drift_percent", "a number, 0 or more", "Drift when further than this many per cent from the baseline."),
    key("min_effect", "a number, 0 or more", "No drift of any kind below this distance."),
    key("drift_direction", "one of both, up, down", "Which way counts as drift."),
    key("drift_persistence", "a whole number from 1 to 1000", "Cycles in a row before the two thresholds raise drift."),
    key("fail_threshold", "a number", "FAIL above this."),
    key("critical", "true or false", "Silence is FAIL, and so is a value above 0 where no limit is given."),
    key("invariant_min", "a number", "FAIL when any reading is below."),
    key("invariant_max", "a number", "FAIL when any reading is above."),
    key("invariant_eq", "a number", "FAIL when any reading differs."),
    key("distribution_drift", "a mapping with `ks_threshold`, a number from 0 to 1", "Compare distributions, too."),
    key("description", "a text", "For people."),
];

/// Keys at the top of a registry file.
const TOP_KEYS: &[&str] = &["metrics", "programs", "mode_overrides", "version", "description"];

/// Entries of metrics, each with the file that it stands in, in order of layers.
type Layers<'n> = BTreeMap<String, Vec<(&'n SourceFile, &'n Entry)>>;

/// The registry of a watch.
pub fn of_watch(reader: &mut Reader<'_>, environment: &Environment, files: &mut Files) -> Registry {
    let program = environment.get("HB_PROGRAM").map(str::to_owned).or(reader.text("program"));
    let mode = environment.get("HB_OPERATING_MODE").map(str::to_owned).or(reader.text("operating_mode"));
    let from_file = reader.path("metric_registry");
    let path = environment.get("HB_METRIC_REGISTRY").map(Into::into).or(from_file);
    let said = path.is_some();
    let read = path.and_then(|path: std::path::PathBuf| {
        let bytes = files.read(&path).map_err(|fault| reader.findings.fault(*fault)).ok()?;
        raw::parse(&path.display().to_string(), &bytes, reader.findings)
    });
    let mut layers = Layers::new();
    if let Some((file, root)) = &read {
        file_layers(file, root, (program.as_deref(), mode.as_deref()), &mut layers, reader.findings);
    }
    if let Some(asked) = program.or(mode).filter(|_| !said) {
        let what = format!("`{}` is asked for, but no registry is named", cut(&asked));
        let help = "`program` and `operating_mode` choose parts of `metric_registry`: name it, or leave them out";
        match reader.entry("program").or_else(|| reader.entry("operating_mode")) {
            Some(entry) => reader.fault(entry, "program", &what, help),
            None => reader.findings.fault(environment_fault("HB_PROGRAM or HB_OPERATING_MODE", &what, help)),
        }
    }
    let place = reader.file;
    if let Some(entry) = reader.entry("metrics") {
        add_layer(place, entry, Some(&mut layers), reader.findings);
    }
    build(&layers, reader.findings)
}

/// Reads a registry on its own: for `hb compare --registry`.
pub fn of_file(
    path: &std::path::Path,
    environment: &Environment,
    files: &mut Files,
    findings: &mut Findings,
) -> Registry {
    let read = files.read(path).map_err(|fault| findings.fault(*fault)).ok();
    let read = read.and_then(|bytes| raw::parse(&path.display().to_string(), &bytes, findings));
    let mut layers = Layers::new();
    if let Some((file, root)) = &read {
        let chosen = (environment.get("HB_PROGRAM"), environment.get("HB_OPERATING_MODE"));
        file_layers(file, root, chosen, &mut layers, findings);
    }
    build(&layers, findings)
}

fn file_layers<'n>(
    file: &'n SourceFile,
    root: &'n Node,
    (program, mode): (Option<&str>, Option<&str>),
    layers: &mut Layers<'n>,
    findings: &mut Findings,
) {
    let Some(entries) = root.entries() else {
        let what = format!("a registry is a mapping with `metrics`, this is {}", root.describe());
        findings.fault(at(file, root.place, "", &what, ""));
        return;
    };
    for entry in entries.iter().filter(|entry| !TOP_KEYS.contains(&entry.key.as_str())) {
        let help = nearest(&entry.key, TOP_KEYS.iter().copied()).map(|word| format!("did you mean `{word}`?"));
        let help = help.unwrap_or_else(|| format!("a registry has {}", TOP_KEYS.join(", ")));
        findings.fault(at(file, entry.place, &entry.key, &format!("unknown key `{}`", cut(&entry.key)), &help));
    }
    match root.get("metrics") {
        Some(entry) => add_layer(file, entry, Some(layers), findings),
        None => findings.fault(at(file, root.place, "metrics", "the registry has no `metrics`", "add at least one")),
    }
    overlay((file, root), ("programs", program), layers, findings);
    overlay((file, root), ("mode_overrides", mode), layers, findings);
}

/// One family of overlays: all are checked, the chosen one is laid over.
fn overlay<'n>(
    (file, root): (&'n SourceFile, &'n Node),
    (family, chosen): (&str, Option<&str>),
    layers: &mut Layers<'n>,
    findings: &mut Findings,
) {
    let members = root.get(family).map(|entry| &entry.value).and_then(Node::entries).unwrap_or_default();
    for member in members {
        let is_chosen = chosen == Some(member.key.as_str());
        for entry in member.value.entries().unwrap_or_default() {
            match entry.key.as_str() {
                "metrics" => add_layer(file, entry, is_chosen.then_some(&mut *layers), findings),
                "description" => {}
                other => {
                    let what = format!("unknown key `{}`", cut(other));
                    let key = format!("{family}.{}.{other}", member.key);
                    findings.fault(at(file, entry.place, &key, &what, "an overlay has `metrics`"));
                }
            }
        }
    }
    if let Some(chosen) = chosen.filter(|chosen| !members.iter().any(|member| member.key == **chosen)) {
        let place = root.get(family).map_or(root.place, |entry| entry.place);
        let what = format!("`{family}` has no `{}`", cut(chosen));
        let known: Vec<&str> = members.iter().map(|member| member.key.as_str()).collect();
        let help = nearest(chosen, known.iter().copied()).map(|word| format!("did you mean `{word}`?"));
        let help = help
            .unwrap_or_else(|| format!("known: {}", if known.is_empty() { "none".into() } else { known.join(", ") }));
        findings.fault(at(file, place, family, &what, &help));
    }
}

/// Checks the metrics of one layer; with `layers`, lays them over.
fn add_layer<'n>(file: &'n SourceFile, entry: &'n Entry, layers: Option<&mut Layers<'n>>, findings: &mut Findings) {
    let Some(metrics) = entry.value.entries() else {
        let what = format!("`metrics` is {}", entry.value.describe());
        findings.fault(at(
            file,
            entry.value.place,
            "metrics",
            &what,
            "it takes a mapping of metric names to their settings",
        ));
        return;
    };
    if metrics.is_empty() {
        findings.fault(at(
            file,
            entry.place,
            "metrics",
            "`metrics` is empty",
            "add at least one metric, or leave it out",
        ));
    }
    let mut alone = Layers::new();
    for metric in metrics {
        if metric.key.trim().is_empty() {
            findings.fault(at(file, metric.place, "metrics", "a metric without a name", ""));
        }
        alone.insert(metric.key.clone(), vec![(file, metric)]);
        let _checked: Metric = one(&metric.key, &[(file, metric)], findings);
    }
    if let Some(layers) = layers {
        for (name, mut entries) in alone {
            layers.entry(name).or_default().append(&mut entries);
        }
    }
}

fn build(layers: &Layers<'_>, findings: &mut Findings) -> Registry {
    // The values were checked layer by layer: only what does not fit together is new here.
    let mut known = Findings::default();
    let metrics = layers.iter().map(|(name, entries)| (name.clone(), one(name, entries, &mut known))).collect();
    let registry = Registry { metrics };
    for fault in registry.faults() {
        let Some(entries) = layers.get(&fault.metric) else { continue };
        let found = entries.iter().rev().find_map(|(file, entry)| Some((*file, entry.value.get(fault.key)?.place)));
        let (file, place) = match (found, entries.last()) {
            (Some(found), _) => found,
            (None, Some((file, entry))) => (*file, entry.place),
            (None, None) => continue,
        };
        findings.fault(at(file, place, &format!("metrics.{}.{}", fault.metric, fault.key), &fault.what, ""));
    }
    registry
}

/// Reads one metric out of its layers.
fn one(name: &str, entries: &[(&SourceFile, &Entry)], findings: &mut Findings) -> Metric {
    for (file, entry) in entries {
        keys_known(file, name, entry, findings);
    }
    let mut fields = Fields { name, entries, findings };
    let mut aliases = fields.names("aliases");
    aliases.extend(fields.names("source_columns"));
    aliases.dedup();
    Metric {
        aliases,
        unit: fields.text("unit"),
        unit_map: fields.factors(),
        kind: fields.word(
            "kind",
            &[("auto", SeriesKind::Auto), ("gauge", SeriesKind::Gauge), ("counter", SeriesKind::Counter)],
        ),
        aggregate: fields.word(
            "aggregate",
            &[("mean", Aggregate::Mean), ("last", Aggregate::Last), ("min", Aggregate::Min), ("max", Aggregate::Max)],
        ),
        drift_threshold: fields.number("drift_threshold", 0.0, f64::MAX),
        drift_percent: fields.number("drift_percent", 0.0, f64::MAX),
        min_effect: fields.number("min_effect", 0.0, f64::MAX),
        drift_direction: fields.word(
            "drift_direction",
            &[("both", DriftDirection::Both), ("up", DriftDirection::Up), ("down", DriftDirection::Down)],
        ),
        drift_persistence: fields.cycles("drift_persistence"),
        fail_threshold: fields.number("fail_threshold", f64::MIN, f64::MAX),
        critical: fields.flag("critical"),
        invariant_min: fields.number("invariant_min", f64::MIN, f64::MAX),
        invariant_max: fields.number("invariant_max", f64::MIN, f64::MAX),
        invariant_eq: fields.number("invariant_eq", f64::MIN, f64::MAX),
        ks_threshold: fields.ks(),
    }
}

fn keys_known(file: &SourceFile, name: &str, entry: &Entry, findings: &mut Findings) {
    let Some(keys) = entry.value.entries() else {
        if entry.value.null().is_none() {
            let what = format!("the metric `{}` is {}", cut(name), entry.value.describe());
            findings.fault(at(file, entry.value.place, &format!("metrics.{name}"), &what, "it takes a mapping"));
        }
        return;
    };
    for key in keys.iter().filter(|key| !METRIC_KEYS.iter().any(|known| known.name == key.key)) {
        let help = nearest(&key.key, METRIC_KEYS.iter().map(|known| known.name));
        let help = help
            .map_or_else(|| "`hb config reference` lists every key".into(), |word| format!("did you mean `{word}`?"));
        let what = format!("unknown key `{}` of a metric", cut(&key.key));
        findings.fault(at(file, key.place, &format!("metrics.{name}.{}", key.key), &what, &help));
    }
}

/// The fields of one metric, the newest layer first.
struct Fields<'a, 'n> {
    name: &'a str,
    entries: &'a [(&'n SourceFile, &'n Entry)],
    findings: &'a mut Findings,
}

impl<'n> Fields<'_, 'n> {
    fn find(&self, key: &str) -> Option<(&'n SourceFile, &'n Entry)> {
        let found = self.entries.iter().rev().find_map(|(file, entry)| Some((*file, entry.value.get(key)?)))?;
        (found.1.value.null() != Some(raw::Null::Said)).then_some(found)
    }

    fn wrong(&mut self, file: &SourceFile, node: &Node, key: &str) {
        let expects = METRIC_KEYS.iter().find(|known| known.name == key).map_or("", |known| known.takes);
        let what = format!("`{key}` is {}", node.describe());
        let help = if expects.is_empty() { String::new() } else { format!("`{key}` takes {expects}") };
        self.findings.fault(at(file, node.place, &format!("metrics.{}.{key}", self.name), &what, &help));
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let (file, entry) = self.find(key)?;
        match scalar(&entry.value) {
            Some(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Some(_) | None => {
                self.wrong(file, &entry.value, key);
                None
            }
        }
    }

    fn names(&mut self, key: &str) -> Vec<String> {
        let Some((file, entry)) = self.find(key) else { return Vec::new() };
        let items = match &entry.value.value {
            Value::List(items) => items.as_slice(),
            Value::Scalar { text, .. } if !text.is_empty() => std::slice::from_ref(&entry.value),
            Value::Scalar { .. } | Value::Map(_) => {
                self.wrong(file, &entry.value, key);
                return Vec::new();
            }
        };
        let mut names = Vec::new();
        for item in items {
            match scalar(item) {
                Some(text) if !text.trim().is_empty() => names.push(text.to_owned()),
                Some(_) | None => self.wrong(file, item, key),
            }
        }
        names
    }

    fn number(&mut self, key: &str, min: f64, max: f64) -> Option<f64> {
        let (file, entry) = self.find(key)?;
        let number = plain(&entry.value).and_then(finite).filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.wrong(file, &entry.value, key);
        }
        number
    }

    fn cycles(&mut self, key: &str) -> Option<u32> {
        let (file, entry) = self.find(key)?;
        let number =
            plain(&entry.value).and_then(|text| text.parse().ok()).filter(|number| (1..=1_000).contains(number));
        if number.is_none() {
            self.wrong(file, &entry.value, key);
        }
        number
    }

    fn flag(&mut self, key: &str) -> bool {
        let Some((file, entry)) = self.find(key) else { return false };
        match plain(&entry.value) {
            Some("true" | "True" | "TRUE" | "yes" | "Yes" | "on" | "On") => true,
            Some("false" | "False" | "FALSE" | "no" | "No" | "off" | "Off") => false,
            Some(_) | None => {
                self.wrong(file, &entry.value, key);
                false
            }
        }
    }

    fn word<T: Copy + Default>(&mut self, key: &str, words: &[(&str, T)]) -> T {
        let Some((file, entry)) = self.find(key) else { return T::default() };
        let typed = scalar(&entry.value).unwrap_or_default();
        match words.iter().find(|(word, _)| *word == typed) {
            Some((_, meaning)) => *meaning,
            None => {
                self.wrong(file, &entry.value, key);
                T::default()
            }
        }
    }

    fn factors(&mut self) -> BTreeMap<String, f64> {
        let Some((file, entry)) = self.find("unit_map") else { return BTreeMap::new() };
        let Some(units) = entry.value.entries() else {
            self.wrong(file, &entry.value, "unit_map");
            return BTreeMap::new();
        };
        let mut factors = BTreeMap::new();
        for unit in units {
            match plain(&unit.value).and_then(finite).filter(|factor| *factor != 0.0) {
                Some(factor) => drop(factors.insert(unit.key.clone(), factor)),
                None => {
                    let key = format!("metrics.{}.unit_map.{}", self.name, unit.key);
                    let what = format!("the factor of `{}` is {}", cut(&unit.key), unit.value.describe());
                    let help = "a factor is a finite number other than 0: 1 of that unit = factor of `unit`";
                    self.findings.fault(at(file, unit.value.place, &key, &what, help));
                }
            }
        }
        factors
    }

    fn ks(&mut self) -> Option<f64> {
        let (file, entry) = self.find("distribution_drift")?;
        let Some(keys) = entry.value.entries() else {
            self.wrong(file, &entry.value, "distribution_drift");
            return None;
        };
        for key in keys.iter().filter(|key| key.key != "ks_threshold") {
            let what = format!("unknown key `{}` of `distribution_drift`", cut(&key.key));
            let path = format!("metrics.{}.distribution_drift.{}", self.name, key.key);
            self.findings.fault(at(file, key.place, &path, &what, "did you mean `ks_threshold`?"));
        }
        let threshold = entry.value.get("ks_threshold")?;
        let number = plain(&threshold.value).and_then(finite).filter(|number| (0.0..=1.0).contains(number));
        if number.is_none() {
            self.wrong(file, &threshold.value, "distribution_drift");
        }
        number
    }
}
