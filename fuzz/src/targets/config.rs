//! `hb.yaml`, and the registry of metrics that it names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hb::config::fault::{Findings, Heading, render};
use hb::config::{Environment, Files, Given, check, registry};

/// A configuration; behind a line `%%%` the file that it names, whatever its name.
///
/// # Panics
/// When a fault has no place in the file, or a file that has no fault has no configuration.
pub fn run(data: &[u8]) {
    let (main, other) = split(data);
    let files = || Files::given(BTreeMap::from([(PathBuf::from("registry.yaml"), other.to_vec())]));
    let given = Given { environment: Environment::default().with("HB_PROGRAM", "p"), ..Given::default() };
    let mut findings = Findings::default();
    let config = check::config("hb.yaml", main, &given, &mut files(), &mut findings);
    findings.sort();
    assert!(config.is_some() || !findings.faults.is_empty(), "a file that is none has a fault");
    told(&findings);
    if !other.is_empty() {
        let mut findings = Findings::default();
        let path = PathBuf::from("registry.yaml");
        drop(registry::of_file(&path, &given.environment, &mut files(), &mut findings));
        told(&findings);
    }
}

fn told(findings: &Findings) {
    for fault in findings.faults.iter().chain(&findings.notices) {
        let text = render(fault, Heading::Error);
        assert!(!text.is_empty() && text.len() <= 40_000, "{} bytes", text.len());
    }
}

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    const MARK: &[u8] = b"\n%%%\n";
    match data.windows(MARK.len()).position(|window| window == MARK) {
        Some(at) => (data.get(..at + 1).unwrap_or_default(), data.get(at + MARK.len()..).unwrap_or_default()),
        None => (data, &[]),
    }
}
