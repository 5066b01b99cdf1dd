//! Metrics that the packaged dashboard and alert rules name: each stands in docs/metrics.md, which is made from what `/metrics` says.

use std::collections::BTreeSet;

use super::{File, Findings};

/// The reference.
const REFERENCE: &str = "docs/metrics.md";
/// Where metrics are named that have to exist.
const PACKAGED: &str = "packaging/grafana/";
/// How names of metrics of ours begin.
const OURS: [&str; 2] = ["hb_", "process_"];
/// What Prometheus adds to the name of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

pub(super) fn check(files: &[File], findings: &mut Findings) {
    let Some(reference) = files.iter().find(|file| file.path == REFERENCE) else {
        findings.push(format!("{REFERENCE} is missing: `cargo xtask docs` writes it"));
        return;
    };
    let known: BTreeSet<&str> = reference.text.split('`').skip(1).step_by(2).collect();
    for file in files.iter().filter(|file| file.path.starts_with(PACKAGED)) {
        for (at, line) in file.lines() {
            for name in names(line).filter(|name| !is_known(&known, name)) {
                findings.push(format!("{}:{at}: {name} stands not in {REFERENCE}", file.path));
            }
        }
    }
}

fn names(line: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.split(move |c: char| !part(c)).filter(|word| OURS.iter().any(|ours| word.starts_with(ours)))
}

fn is_known(known: &BTreeSet<&str>, name: &str) -> bool {
    known.contains(name) || PARTS.iter().any(|part| name.strip_suffix(part).is_some_and(|bare| known.contains(bare)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_nobody_exposes_is_found() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let reference = file(REFERENCE, "| `hb_role` | gauge |\n| `hb_commit_latency_seconds` | histogram |\n");
        let rules =
            "expr: hb_role{role=\"active\"} + rate(hb_commit_latency_seconds_bucket[5m])\nexpr: hb_roles == 0\n";
        let mut findings = Findings::new();
        check(&[reference, file("packaging/grafana/hb-rules.yaml", rules)], &mut findings);
        assert_eq!(findings, ["packaging/grafana/hb-rules.yaml:2: hb_roles stands not in docs/metrics.md"]);
    }
}
