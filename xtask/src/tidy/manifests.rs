//! Dependencies: few, each with its reason, and a fixed list for the crate that decides.

use super::{File, Findings};

/// Most direct dependencies of the workspace.
const DIRECT_MAX: usize = 44;
/// All that hb-core may use: data and hashing, nothing that touches the world.
const CORE: [&str; 5] = ["blake3", "jiff", "serde", "serde_json", "thiserror"];
/// Longest `main.rs` of a program: parse, run, exit.
const MAIN_MAX: usize = 40;

pub(super) fn check(files: &[File], findings: &mut Findings) {
    for file in files {
        match file.path.as_str() {
            "Cargo.toml" => workspace(file, findings),
            "crates/hb-core/Cargo.toml" => core(file, findings),
            "crates/hb/src/main.rs" if file.text.lines().count() > MAIN_MAX => {
                findings.push(format!("{}: longer than {MAIN_MAX} lines", file.path));
            }
            _ => {}
        }
    }
}

/// Lines of a section, up to the next.
fn section<'a>(file: &'a File, head: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    file.lines()
        .skip_while(move |(_, line)| *line != head)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn workspace(file: &File, findings: &mut Findings) {
    let mut direct = 0;
    for (at, line) in section(file, "[workspace.dependencies]").filter(|(_, line)| !line.contains("path = ")) {
        direct += 1;
        if !line.contains("# ") {
            findings.push(format!("{}:{at}: a dependency without its reason", file.path));
        }
    }
    if direct > DIRECT_MAX {
        findings.push(format!("{}: {direct} direct dependencies, at most {DIRECT_MAX}", file.path));
    }
}

fn core(file: &File, findings: &mut Findings) {
    for (at, line) in section(file, "[dependencies]") {
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if !CORE.contains(&name) {
            findings.push(format!("{}:{at}: hb-core only decides: {name} is not on its list", file.path));
        }
    }
}
