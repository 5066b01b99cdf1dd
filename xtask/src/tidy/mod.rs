//! `cargo xtask tidy`: house rules that a program can check cheaply. Each finding names file and line, and why the rule is there.

mod documents;
mod imports;
mod manifests;
mod metrics;
mod promises;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// One text file of the project.
#[derive(Debug)]
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

impl File {
    /// Lines with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is a document for people.
    pub(crate) fn is_document(&self) -> bool {
        self.path.ends_with(".md")
    }
}

/// What is wrong, where.
pub(crate) type Findings = Vec<String>;

/// Checks everything.
///
/// # Errors
/// All findings, one a line.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let begun = Instant::now();
    let mut files = Vec::new();
    read(root, root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut findings = Findings::new();
    sources::check(&files, &mut findings);
    imports::check(&files, &mut findings);
    manifests::check(&files, &mut findings);
    metrics::check(&files, &mut findings);
    promises::check(&files, &mut findings);
    documents::check(&files, &mut findings);
    let (count, took) = (files.len(), begun.elapsed().as_secs_f64());
    if findings.is_empty() {
        println!("tidy: {count} files, {took:.2} s, nothing to say");
        Ok(())
    } else {
        let many = findings.len();
        Err(format!("{}\ntidy: {many} finding{}", findings.join("\n"), if many == 1 { "" } else { "s" }))
    }
}

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 5] = ["target", ".git", "hb-data", "demo-data", "daemon_output"];
/// The one document in JSON that is looked into.
const DASHBOARD: &str = "hb-dashboard.json";
/// Endings of texts.
const TEXTS: [&str; 11] = ["rs", "toml", "md", "yaml", "yml", "css", "js", "py", "service", "sh", "run"];

fn read(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<(), String> {
    let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    for entry in fs::read_dir(folder).map_err(|error| told(folder, error))? {
        let path: PathBuf = entry.map_err(|error| told(folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                read(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|ending| TEXTS.iter().any(|text| ending == *text))
            || ["run", "Containerfile", DASHBOARD].contains(&name.as_str())
        {
            let bytes = fs::read(&path).map_err(|error| told(&path, error))?;
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            // Material of tests may be broken on purpose.
            files.push(File { path, text: String::from_utf8_lossy(&bytes).into_owned() });
        }
    }
    Ok(())
}
