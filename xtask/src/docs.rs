//! `cargo xtask docs`: documents that the program writes about itself, and configurations that must run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Documents that are generated, by name.
const GENERATED: [&str; 5] = ["api.md", "cli.md", "configuration.md", "metrics.md", "ops/exit-codes.md"];

/// Writes them into `docs/`.
///
/// # Errors
/// The program does not build, or a file cannot be written.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    generate(&root.join("docs"))?;
    println!("written: {}", GENERATED.map(|name| format!("docs/{name}")).join(", "));
    Ok(())
}

/// Compares them with what stands in `docs/`.
///
/// # Errors
/// Which are stale.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let fresh = root.join("target").join("fresh-docs");
    generate(&fresh)?;
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap_or_default();
    let stale: Vec<&str> =
        GENERATED.into_iter().filter(|name| read(&fresh, name) != read(&root.join("docs"), name)).collect();
    if stale.is_empty() {
        println!("generated documents are fresh");
        Ok(())
    } else {
        Err(format!("stale documents: {}; run `cargo xtask docs` and commit them", stale.join(", ")))
    }
}

fn generate(into: &Path) -> Result<(), String> {
    let into = into.to_str().ok_or("the folder's name is not UTF-8")?;
    run_hb(&["run", "--quiet", "--locked", "-p", "hb", "--example", "reference", "--", into])
}

/// Every configuration in `examples/` and `packaging/` must be sound.
///
/// # Errors
/// Which is not.
pub(crate) fn examples(root: &Path) -> Result<(), String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["examples", "packaging"] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    if files.is_empty() {
        return Err("no example configuration was found under examples/".into());
    }
    for file in &files {
        let file = file.strip_prefix(root).unwrap_or(file).to_str().ok_or("a file's name is not UTF-8")?;
        run_hb(&["run", "--quiet", "--locked", "-p", "hb", "--", "config", "check", file])?;
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("hb.yaml")) {
            files.push(path);
        }
    }
}

fn run_hb(arguments: &[&str]) -> Result<(), String> {
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(crate::root())
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cargo {}: {error}", arguments.join(" ")))?;
    if status.success() { Ok(()) } else { Err(format!("failed: cargo {}", arguments.join(" "))) }
}
