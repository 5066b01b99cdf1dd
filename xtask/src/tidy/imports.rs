//! Who may know whom: between crates by their manifests, inside hb-core by what each folder names.

use super::{File, Findings};

/// Our own crates that each may depend on. Tests and examples obey the same.
const CRATES: [(&str, &[&str]); 17] = [
    ("hb-sys", &[]),
    ("hb-core", &[]),
    ("hb-tls", &[]),
    ("hb-runtime", &["hb-core"]),
    ("hb-sources", &["hb-core", "hb-runtime", "hb-tls"]),
    ("hb-actuators", &["hb-core", "hb-sys", "hb-tls"]),
    ("hb-store", &["hb-core", "hb-runtime"]),
    ("hb-engines", &["hb-core", "hb-runtime", "hb-store", "hb-tls"]),
    ("hb-daemon", &["hb-core", "hb-sys", "hb-runtime", "hb-sources", "hb-actuators", "hb-store"]),
    ("hb-sim", &["hb-core", "hb-runtime", "hb-sources", "hb-actuators", "hb-store", "hb-daemon"]),
    ("hb-api", &["hb-core"]),
    (
        "hb",
        &[
            "hb-core",
            "hb-sys",
            "hb-runtime",
            "hb-tls",
            "hb-sources",
            "hb-actuators",
            "hb-store",
            "hb-engines",
            "hb-daemon",
            "hb-api",
        ],
    ),
    ("hb-benches", &[]),
    ("hb-fuzz", &["hb", "hb-core", "hb-sources", "hb-store", "hb-actuators", "hb-engines", "hb-api"]),
    ("libfuzzer", &["hb-fuzz"]),
    ("mutation", &[]),
    ("xtask", &[]),
];

/// Modules of hb-core that each may name; `node` may name all.
const CORE: [(&str, &[&str]); 8] = [
    ("time", &["time"]),
    ("ids", &["ids"]),
    ("mark", &["mark"]),
    ("journal", &["time", "ids", "mark", "journal"]),
    ("watch", &["time", "ids", "mark", "journal", "watch"]),
    ("cycle", &["time", "ids", "mark", "journal", "cycle"]),
    ("lease", &["time", "ids", "mark", "journal", "lease"]),
    ("supervise", &["time", "ids", "mark", "journal", "supervise"]),
];

pub(super) fn check(files: &[File], findings: &mut Findings) {
    for file in files {
        if file.path.ends_with("Cargo.toml") {
            crates(file, findings);
        }
        if let Some(inside) = file.path.strip_prefix("crates/hb-core/src/") {
            core(file, inside, findings);
        }
    }
}

fn crates(file: &File, findings: &mut Findings) {
    let folder = file.path.trim_end_matches("/Cargo.toml").rsplit('/').next().unwrap_or_default();
    let package = match folder {
        "benches" => "hb-benches",
        "fuzz" => "hb-fuzz",
        other => other,
    };
    let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == package) else {
        if file.path != "Cargo.toml" {
            findings.push(format!("{}: a crate that xtask/src/tidy/imports.rs does not know", file.path));
        }
        return;
    };
    for (at, line) in file.lines() {
        let Some((name, _)) = line.split_once(".workspace") else { continue };
        if CRATES.iter().any(|(known, _)| *known == name) && !allowed.contains(&name) {
            findings.push(format!("{}:{at}: {package} must not know {name}", file.path));
        }
    }
}

fn core(file: &File, inside: &str, findings: &mut Findings) {
    let module = inside.split(['/', '.']).next().unwrap_or_default();
    for (at, line) in file.lines().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for word in ["async ", ".await;", ".await?", ".await.", ".await)"] {
            if line.contains(word) {
                findings.push(format!("{}:{at}: `{}` in hb-core, which only decides", file.path, word.trim()));
            }
        }
        let Some((_, allowed)) = CORE.iter().find(|(name, _)| *name == module) else { continue };
        for named in line.split("crate::").skip(1) {
            let named: String = named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let is_module = CORE.iter().any(|(name, _)| *name == named) || named == "node";
            if is_module && !allowed.contains(&named.as_str()) {
                findings.push(format!("{}:{at}: `{module}` must not know `{named}`", file.path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_direction_is_found() {
        let told = |path: &str, text: &str| {
            let mut findings = Findings::new();
            check(&[File { path: path.into(), text: text.into() }], &mut findings);
            findings.len()
        };
        assert_eq!(told("crates/hb-core/src/watch/a.rs", "use crate::cycle::Resume;\n"), 1);
        assert_eq!(told("crates/hb-core/src/watch/a.rs", "use crate::time::Stamp;\n"), 0);
        assert_eq!(told("crates/hb-core/src/node/a.rs", "use crate::cycle::Resume;\n"), 0);
        assert_eq!(told("crates/hb-core/src/node/a.rs", "async fn a() {}\n"), 1);
        assert_eq!(told("crates/hb-api/Cargo.toml", "hb-store.workspace = true\n"), 1);
        assert_eq!(told("crates/hb/Cargo.toml", "hb-store.workspace = true\n"), 0);
    }
}
