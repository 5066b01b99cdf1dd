//! Mutants that no test can see, each with the reason: what changes is nothing that anybody could tell.
//!
//! A line of the list is `FILE | WHAT | SOURCE LINE | REASON`, without the file's folder `crates/hb-core/src/`; the source line is as it stands,
//! trimmed, so that an entry goes with its line and not with its number. Empty lines and those that begin with `#` are nothing.

use std::collections::BTreeMap;
use std::path::Path;

use crate::list::Mutant;

/// The list, beside the manifest.
const LIST: &str = include_str!("../equivalent.txt");
/// What all paths begin with.
const FOLDER: &str = "crates/hb-core/src/";

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    file: &'a str,
    what: &'a str,
    line: &'a str,
}

/// The reason for each mutant that is on the list, by its number, and the entries that are about none.
pub fn answered(root: &Path, mutants: &[Mutant]) -> Result<(BTreeMap<usize, &'static str>, Vec<String>), String> {
    let entries = entries(LIST)?;
    let mut texts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for mutant in mutants {
        if !texts.contains_key(mutant.file.as_str()) {
            let text = std::fs::read_to_string(root.join(&mutant.file)).map_err(|e| format!("{}: {e}", mutant.file))?;
            texts.insert(&mutant.file, text.lines().map(|line| line.trim().to_owned()).collect());
        }
    }
    let (mut found, mut used) = (BTreeMap::new(), vec![false; entries.len()]);
    for (number, mutant) in mutants.iter().enumerate() {
        let line = texts.get(mutant.file.as_str()).and_then(|lines| lines.get(mutant.span.start.line - 1));
        let key = Key {
            file: mutant.file.strip_prefix(FOLDER).unwrap_or(&mutant.file),
            what: what(&mutant.name),
            line: line.map_or("", String::as_str),
        };
        if let Some(at) = entries.iter().position(|(entry, _)| *entry == key) {
            found.insert(number, entries[at].1);
            used[at] = true;
        }
    }
    let stale = entries.iter().zip(used).filter(|(_, used)| !used);
    Ok((found, stale.map(|((key, _), _)| format!("{} | {} | {}", key.file, key.what, key.line)).collect()))
}

/// What is done, without the place: `FILE:LINE:COLUMN: what`.
fn what(name: &str) -> &str {
    name.splitn(2, ": ").nth(1).unwrap_or(name)
}

fn entries(list: &'static str) -> Result<Vec<(Key<'static>, &'static str)>, String> {
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(list.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        // The source line may have ` | ` in it: the reason is behind the last one.
        let parts = line.splitn(3, " | ").collect::<Vec<_>>();
        let rest = parts.get(2).and_then(|rest| rest.rsplit_once(" | "));
        let (Some(file), Some(what), Some((source, reason))) = (parts.first(), parts.get(1), rest) else {
            return Err(format!("equivalent.txt:{number}: not FILE | WHAT | SOURCE LINE | REASON: {line}"));
        };
        entries.push((Key { file, what, line: source }, reason));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_four_parts_and_the_source_may_have_bars_in_it() {
        let read = entries("# told\n\na.rs | replace || with && in f | if a || b | c { | it is so\n").unwrap();
        let key = Key { file: "a.rs", what: "replace || with && in f", line: "if a || b | c {" };
        assert_eq!(read, [(key, "it is so")]);
        assert!(entries("a.rs | replace").unwrap_err().contains(":1:"));
    }

    #[test]
    fn the_list_can_be_read() {
        entries(LIST).unwrap();
        assert_eq!(what("a.rs:1:2: replace :: with x"), "replace :: with x");
    }
}
