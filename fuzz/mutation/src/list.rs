//! The mutants, as cargo-mutants lists them.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// A place in a file, from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Span {
    pub start: Place,
    pub end: Place,
}

/// One mutant.
#[derive(Debug, Clone, Deserialize)]
pub struct Mutant {
    /// `FILE:LINE:COLUMN: what`
    pub name: String,
    pub file: String,
    pub genre: String,
    pub replacement: String,
    pub span: Span,
}

/// Lists them.
///
/// # Errors
/// cargo-mutants is missing, or cannot read the sources.
pub fn list(root: &Path) -> Result<Vec<Mutant>, String> {
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "--package", "hb-core"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo mutants: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo mutants --list failed (cargo install cargo-mutants): {said}"));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo mutants --list --json: {error}"))
}
