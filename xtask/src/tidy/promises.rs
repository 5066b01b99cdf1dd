//! Promises are defined once, in SEMANTICS.md, cited by the code, and shown by tests that stand there by name.

use std::collections::BTreeSet;

use super::{File, Findings};

/// Promises about supervisors, which are work to come: not to be defined or cited yet.
const LATER: [&str; 8] = ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8"];

/// Families of ids.
const FAMILIES: [char; 5] = ['J', 'W', 'H', 'S', 'B'];

pub(super) fn check(files: &[File], findings: &mut Findings) {
    let Some(semantics) = files.iter().find(|file| file.path == "SEMANTICS.md") else {
        findings.push("SEMANTICS.md is missing".into());
        return;
    };
    let defined: BTreeSet<String> = semantics.lines().filter_map(|(_, line)| defines(line)).collect();
    let (mut cited, mut tests) = (BTreeSet::new(), BTreeSet::new());
    let code = files.iter().filter(|file| file.is_rust() && !file.path.starts_with("xtask/"));
    for file in code {
        for (at, line) in file.lines() {
            if let Some(name) = function(line) {
                cited.extend(name.split('_').map(str::to_uppercase).take_while(|part| is_id(part)));
                tests.insert(name.to_owned());
            }
            let Some((_, comment)) = line.split_once("//") else { continue };
            for id in ids(comment) {
                if !defined.contains(&id) && !LATER.contains(&id.as_str()) {
                    findings.push(format!("{}:{at}: {id} is not defined in SEMANTICS.md", file.path));
                }
                cited.insert(id);
            }
        }
    }
    for id in defined.difference(&cited) {
        findings.push(format!("SEMANTICS.md: {id} is cited by no test and no comment"));
    }
    for (at, line) in semantics.lines() {
        for word in line.split('`').skip(1).step_by(2).filter(|word| names_a_test(word)) {
            if !tests.contains(word) {
                findings.push(format!("SEMANTICS.md:{at}: there is no function `{word}`"));
            }
        }
    }
}

/// The id that a heading like `### J1. …` defines.
fn defines(line: &str) -> Option<String> {
    let id: String = line.strip_prefix("### ")?.chars().take(2).collect();
    is_id(&id).then_some(id)
}

fn is_id(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| FAMILIES.contains(&c))
        && chars.as_str().len() == 1
        && chars.all(|c| c.is_ascii_digit())
}

/// Ids that stand alone in a comment.
fn ids(comment: &str) -> impl Iterator<Item = String> {
    comment.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').filter(|word| is_id(word)).map(str::to_owned)
}

/// The name of a function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let rest = rest.strip_prefix("pub ").unwrap_or(rest);
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

/// Names in backticks that are test names: at least four underscores, lower case.
fn names_a_test(word: &str) -> bool {
    word.matches('_').count() >= 4 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncited_undefined_and_unknown_are_found() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let semantics = "### J1. One\n### J2. Two\nShown by `j1_is_one_and_so_on` and `j1_is_not_there_at_all`.\n";
        let code = "//! Holds W9 and S3.\nfn j1_is_one_and_so_on() {}\n";
        let mut findings = Findings::new();
        check(&[file("SEMANTICS.md", semantics), file("crates/a.rs", code)], &mut findings);
        assert_eq!(
            findings,
            [
                "crates/a.rs:1: W9 is not defined in SEMANTICS.md",
                "SEMANTICS.md: J2 is cited by no test and no comment",
                "SEMANTICS.md:3: there is no function `j1_is_not_there_at_all`",
            ]
        );
    }
}
