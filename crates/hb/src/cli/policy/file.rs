//! Policies in files: a document by itself, or `policies` as in `hb.yaml`; all faults at once, each with its place.

use std::path::Path;

use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::policy::fault::Fault as PolicyFault;
use serde_json::Value;

use super::super::document::{faulty, tree};
use super::super::{Failure, Out};
use crate::config::fault::{Fault, Findings, SourceFile};
use crate::config::raw::{Entry, Node, at};
use crate::config::supervise::{inside, json, walk};

/// A policy as it was read, and as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Written {
    /// Checked.
    pub(super) document: PolicyDocument,
    /// For the API.
    pub(super) json: Value,
}

/// What a file has.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Sound policies.
    pub(super) policies: Vec<Written>,
    /// What is wrong with the others.
    pub(super) findings: Findings,
}

/// Reads the policies of a file.
///
/// # Errors
/// The file cannot be read, or is no YAML.
pub(super) fn read(path: &Path) -> Result<Found, Failure> {
    let (file, root) = tree(path)?;
    let mut found = Found::default();
    match root.get("policies") {
        Some(group) => match group.value.entries() {
            Some(entries) => entries.iter().for_each(|entry| one(&file, entry, Some(&entry.key), &mut found)),
            None => {
                let what = format!("`policies` is {}", group.value.describe());
                let help = "it takes a mapping of names to documents";
                found.findings.fault(at(&file, group.value.place, "policies", &what, help));
            }
        },
        None => {
            let entry = Entry { key: String::new(), place: root.place, value: Node { ..root } };
            one(&file, &entry, None, &mut found);
        }
    }
    found.findings.sort();
    Ok(found)
}

/// The same where a fault ends it.
///
/// # Errors
/// As above, and every fault of every policy.
pub(super) fn sound(path: &Path) -> Result<Vec<Written>, Failure> {
    let found = read(path)?;
    if found.findings.faults.is_empty() { Ok(found.policies) } else { Err(faulty(&found.findings)) }
}

/// One policy of a file that may have several.
///
/// # Errors
/// As above; there is none, there are several and none is named, or none has that name.
pub(super) fn chosen(path: &Path, name: Option<&str>) -> Result<Written, Failure> {
    let mut policies = sound(path)?;
    let names: Vec<String> = policies.iter().map(|policy| policy.document.name.to_string()).collect();
    if let Some(name) = name {
        policies.retain(|policy| policy.document.name.as_str() == name);
    }
    match (policies.pop(), policies.is_empty()) {
        (Some(policy), true) => Ok(policy),
        _ => {
            let what = format!("{} has {} policies: {}", path.display(), names.len(), names.join(", "));
            Err(Failure::new(crate::exit::Exit::Usage, what).help("say which: FILE:NAME"))
        }
    }
}

fn one(file: &SourceFile, entry: &Entry, name: Option<&str>, found: &mut Found) {
    let mut document = json(&entry.value, "");
    if document.is_null() {
        document = Value::Object(serde_json::Map::new());
    }
    if let (Some(map), Some(name)) = (document.as_object_mut(), name) {
        map.insert("name".to_owned(), name.into());
    }
    match PolicyDocument::read(&document) {
        Ok(read) => found.policies.push(Written { document: read, json: document }),
        Err(faults) => {
            for fault in faults {
                found.findings.fault(placed(file, entry, name, fault));
            }
        }
    }
}

/// A fault with its place in the file.
fn placed(file: &SourceFile, entry: &Entry, name: Option<&str>, fault: PolicyFault) -> Fault {
    let (node, place) = walk(entry, &fault.path);
    let place = inside(node, unknown_key(entry, &fault).unwrap_or(place), fault.place);
    let help = [fault.expected.map(|what| format!("expected {what}")), fault.help.map(String::from)];
    let help = help.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let key = match name {
        Some(name) => format!("policies.{name}.{}", fault.path),
        None => fault.path,
    };
    at(file, place, &key, &fault.message, &help)
}

/// Where the key stands that nobody knows.
fn unknown_key(entry: &Entry, fault: &PolicyFault) -> Option<crate::config::fault::Place> {
    let (above, last) = fault.path.rsplit_once('.').unwrap_or(("", &fault.path));
    let there = fault.message.starts_with("there is no such key");
    walk(entry, above).0.get(last).filter(|_| there).map(|entry| entry.place)
}

/// What a policy comes to, on one line.
pub(super) fn line(policy: &PolicyDocument, out: &mut Out) -> Result<(), Failure> {
    let actions: Vec<&str> = policy.definition.actions.iter().map(|action| action.kind.as_str()).collect();
    let danger = if hb_core::supervise::policy::check::is_dangerous(&policy.definition) {
        "; dangerous: somebody else has to agree before it can be put in force"
    } else {
        ""
    };
    out.line(format_args!("  {}: when {}: {}{danger}", policy.name, policy.definition.condition, actions.join(", ")))
}
