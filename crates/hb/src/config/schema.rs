//! The telemetry schema: raw names of fields to canonical names, units and factors.

use std::path::PathBuf;

use super::checked::FieldMapping;
use super::fault::{Findings, SourceFile, nearest};
use super::raw::{self, Entry, Node, Value, at, cut};
use super::reader::{Reader, finite, plain, scalar};
use super::{Environment, Files};

const FIELD_KEYS: &[&str] = &["canonical", "unit", "factor", "description"];

/// The mapping of a watch.
pub fn of_watch(reader: &mut Reader<'_>, environment: &Environment, files: &mut Files) -> Vec<FieldMapping> {
    let from_file = reader.path("telemetry_schema");
    let path = environment.get("HB_TELEMETRY_SCHEMA").map(PathBuf::from).or(from_file);
    let Some(path) = path else { return Vec::new() };
    let bytes = match files.read(&path) {
        Ok(bytes) => bytes,
        Err(fault) => {
            reader.findings.fault(*fault);
            return Vec::new();
        }
    };
    match raw::parse(&path.display().to_string(), &bytes, reader.findings) {
        Some((file, root)) => mapping(&file, &root, reader.findings),
        None => Vec::new(),
    }
}

fn mapping(file: &SourceFile, root: &Node, findings: &mut Findings) -> Vec<FieldMapping> {
    for entry in root.entries().unwrap_or_default() {
        if !["field_mapping", "version", "description"].contains(&entry.key.as_str()) {
            let what = format!("unknown key `{}`", cut(&entry.key));
            findings.fault(at(file, entry.place, &entry.key, &what, "a telemetry schema has `field_mapping`"));
        }
    }
    let Some(fields) = root.get("field_mapping").and_then(|entry| entry.value.entries()) else {
        let what = "the schema has no mapping `field_mapping`";
        findings.fault(at(file, root.place, "field_mapping", what, "write `field_mapping:` and under it raw names"));
        return Vec::new();
    };
    fields.iter().filter_map(|entry| field(file, entry, findings)).collect()
}

fn field(file: &SourceFile, entry: &Entry, findings: &mut Findings) -> Option<FieldMapping> {
    let key = format!("field_mapping.{}", entry.key);
    let raw = entry.key.clone();
    match &entry.value.value {
        Value::Scalar { text, .. } if !text.trim().is_empty() => {
            return Some(FieldMapping { raw, canonical: text.clone(), unit: None, factor: 1.0 });
        }
        Value::Map(_) => {}
        Value::Scalar { .. } | Value::List(_) => {
            let what = format!("the field `{}` is {}", cut(&raw), entry.value.describe());
            let help = "it takes a canonical name, or a mapping with canonical, unit, factor";
            findings.fault(at(file, entry.value.place, &key, &what, help));
            return None;
        }
    }
    for known in entry.value.entries().unwrap_or_default() {
        if !FIELD_KEYS.contains(&known.key.as_str()) {
            let help = nearest(&known.key, FIELD_KEYS.iter().copied()).map(|word| format!("did you mean `{word}`?"));
            let what = format!("unknown key `{}` of a field", cut(&known.key));
            findings.fault(at(file, known.place, &format!("{key}.{}", known.key), &what, &help.unwrap_or_default()));
        }
    }
    let text = |name: &str| {
        entry.value.get(name).and_then(|found| scalar(&found.value)).filter(|text| !text.trim().is_empty())
    };
    let canonical = text("canonical").map_or_else(|| raw.clone(), str::to_owned);
    let factor = match entry.value.get("factor") {
        None => Some(1.0),
        Some(found) => {
            let factor = plain(&found.value).and_then(finite).filter(|factor| *factor != 0.0);
            if factor.is_none() {
                let what = format!("`factor` is {}", found.value.describe());
                let help = "a factor is a finite number other than 0";
                findings.fault(at(file, found.value.place, &format!("{key}.factor"), &what, help));
            }
            factor
        }
    };
    Some(FieldMapping { raw, canonical, unit: text("unit").map(str::to_owned), factor: factor.unwrap_or(1.0) })
}
