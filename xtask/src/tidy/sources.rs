//! Rules for one source file at a time: a module doc, a length, a name, no leftovers, nothing of one person's machine.

use super::{File, Findings};

/// Most lines of a file without its tests: what a person can hold in mind.
const LINES_MAX: usize = 600;

/// Files that are longer, with the bound that they may not pass and the reason. Lower the bound when one shrinks; add none.
const LONGER: [(&str, usize, &str); 0] = [];

/// Names that say nothing about what a file answers.
const BANNED_NAMES: [&str; 8] = ["util", "utils", "misc", "helper", "helpers", "manager", "common", "types"];

pub(super) fn check(files: &[File], findings: &mut Findings) {
    for file in files {
        leftovers(file, findings);
        machine_paths(file, findings);
        if file.is_rust() {
            module_doc(file, findings);
            length(file, findings);
            name(file, findings);
        }
    }
}

fn module_doc(file: &File, findings: &mut Findings) {
    if !file.text.starts_with("//!") {
        findings.push(format!("{}:1: no module doc: say in `//!` which question the file answers", file.path));
    }
}

/// Lines before the tests at the bottom.
pub(super) fn production_lines(file: &File) -> usize {
    file.lines().find(|(_, line)| *line == "#[cfg(test)]").map_or_else(|| file.text.lines().count(), |(at, _)| at - 1)
}

fn length(file: &File, findings: &mut Findings) {
    let bound = LONGER.iter().find(|(path, ..)| *path == file.path).map_or(LINES_MAX, |(_, bound, _)| *bound);
    let lines = production_lines(file);
    if lines > bound {
        findings.push(format!("{}: {lines} lines without tests, at most {bound}: split it by question", file.path));
    }
}

fn name(file: &File, findings: &mut Findings) {
    // Cargo's own idiom for what several test binaries share.
    if file.path.ends_with("tests/common/mod.rs") {
        return;
    }
    let mut parts = file.path.trim_end_matches(".rs").split('/');
    if let Some(banned) = parts.find(|part| BANNED_NAMES.contains(part)) {
        findings.push(format!("{}: `{banned}` says nothing: name the file by what it answers", file.path));
    }
}

fn leftovers(file: &File, findings: &mut Findings) {
    for (at, line) in file.lines() {
        for mark in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
            if let Some(after) = word_after(line, mark)
                && !after.trim_start_matches(['(', ' ', ':']).starts_with('#')
            {
                findings.push(format!("{}:{at}: {mark} without the number of an issue is forgotten", file.path));
            }
        }
    }
}

/// What follows `word` where it stands alone.
fn word_after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let at = line.find(word)?;
    let (before, after) = (line.get(..at)?, line.get(at + word.len()..)?);
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let alone = !before.chars().next_back().is_some_and(inside) && !after.chars().next().is_some_and(inside);
    alone.then_some(after)
}

fn machine_paths(file: &File, findings: &mut Findings) {
    for (at, line) in file.lines() {
        for path in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Use", "rs/")] {
            if line.contains(path) {
                findings.push(format!("{}:{at}: {path} is a place on one machine", file.path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    fn findings(path: &str, text: &str) -> Findings {
        let mut findings = Findings::new();
        check(&[file(path, text)], &mut findings);
        findings
    }

    #[test]
    fn each_rule_finds_its_fault() {
        let left = concat!("//! Doc.\n// TO", "DO later\n");
        for (path, text, told) in [
            ("a.rs", "fn a() {}\n", "no module doc"),
            ("a/util.rs", "//! Doc.\n", "says nothing"),
            ("a.rs", left, "forgotten"),
            ("a.rs", concat!("//! See /ho", "me/x.\n"), "one machine"),
        ] {
            assert!(findings(path, text).iter().any(|finding| finding.contains(told)), "{path}: {told}");
        }
        let long = format!("//! Doc.\n{}", "fn a() {}\n".repeat(LINES_MAX));
        assert!(findings("a.rs", &long).iter().any(|finding| finding.contains("601 lines")));
        let tested = format!("//! Doc.\n#[cfg(test)]\n{}", "fn a() {}\n".repeat(LINES_MAX));
        assert_eq!(findings("a.rs", &tested), Findings::new());
        assert_eq!(findings("a.rs", concat!("//! Doc.\n// TO", "DO #12: later\n")), Findings::new());
    }
}
