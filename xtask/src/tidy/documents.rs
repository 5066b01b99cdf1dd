//! Documents: what they point at exists, and every figure of SPECIFICATION.md names the command that gives it.

use std::collections::BTreeSet;

use super::{File, Findings};

/// Beginnings of paths of the project, as documents quote them.
const PLACES: [&str; 6] = ["crates/", "docs/", "benches/", "packaging/", "examples/", "xtask/"];
/// Documents that must be there.
const REQUIRED: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "SEMANTICS.md",
    "SPECIFICATION.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/ops/exit-codes.md",
];

pub(super) fn check(files: &[File], findings: &mut Findings) {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for file in files {
        known.insert(&file.path);
        known.extend(file.path.match_indices('/').filter_map(|(at, _)| file.path.get(..at)));
    }
    for required in REQUIRED.into_iter().filter(|required| !known.contains(required)) {
        findings.push(format!("{required} is missing"));
    }
    for file in files.iter().filter(|file| file.is_document()) {
        for (at, line) in file.lines() {
            for target in links(line).chain(quoted(line)) {
                let target = target.split('#').next().unwrap_or_default().trim_end_matches('/');
                if !target.is_empty() && !resolves(&known, &file.path, target) {
                    findings.push(format!("{}:{at}: {target} does not exist", file.path));
                }
            }
        }
        if file.path == "SPECIFICATION.md" {
            figures(file, findings);
        }
    }
}

/// Targets of links into the project.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains("://"))
}

/// Paths in backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    let plain =
        |word: &&str| !word.contains(['*', '<', '{', ' ', '…']) && PLACES.iter().any(|place| word.starts_with(place));
    line.split('`').skip(1).step_by(2).filter(plain)
}

fn resolves(known: &BTreeSet<&str>, from: &str, target: &str) -> bool {
    if known.contains(target) || target.starts_with("LICENSE") {
        return true;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            part => parts.push(part),
        }
    }
    known.contains(parts.join("/").as_str())
}

/// Rows like `| N3 | promise | measured | … | command |` end in a command.
fn figures(file: &File, findings: &mut Findings) {
    for (at, line) in file.lines().filter(|(_, line)| line.starts_with("| N")) {
        let last = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        if !last.contains('`') {
            findings.push(format!("{}:{at}: a figure without the command or test that gives it", file.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_and_figures_without_a_command_are_found() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let mut findings = Findings::new();
        let text = "See [a](../README.md), [b](gone.md), `crates/gone.rs` and `docs/a.md`.\n";
        let table = "| N1 | fast | 3 | `cargo xtask bench ingest` |\n| N2 | small | 3 | yes |\n";
        check(&[file("README.md", ""), file("docs/a.md", text), file("SPECIFICATION.md", table)], &mut findings);
        let told: Vec<&String> = findings.iter().filter(|finding| !finding.ends_with("is missing")).collect();
        assert_eq!(
            told,
            [
                "docs/a.md:1: gone.md does not exist",
                "docs/a.md:1: crates/gone.rs does not exist",
                "SPECIFICATION.md:2: a figure without the command or test that gives it",
            ]
        );
    }
}
