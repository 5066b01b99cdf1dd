//! Documents that people hand in, as YAML or JSON.

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::Failure;
use crate::config::fault::{Findings, Heading, SourceFile, render};
use crate::config::raw::{self, Node};
use crate::config::supervise::json;
use crate::exit::Exit;

/// Most bytes of a document (B1).
const BYTES_MAX: u64 = 8 << 20;

/// Reads a document into its tree; `-` is standard input.
///
/// # Errors
/// It cannot be read, or is no YAML: every fault with its place.
pub(super) fn tree(path: &Path) -> Result<(SourceFile, Node), Failure> {
    let unread = |error: std::io::Error| Failure::new(Exit::Usage, format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    match path.to_str() {
        Some("-") => std::io::stdin().lock().take(BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes),
        _ => std::fs::File::open(path).map_err(unread)?.take(BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes),
    }
    .map_err(unread)?;
    let name = if path.to_str() == Some("-") { "(standard input)".to_owned() } else { path.display().to_string() };
    let mut findings = Findings::default();
    let read = raw::parse(&name, &bytes, &mut findings);
    match read {
        Some(read) if findings.faults.is_empty() => Ok(read),
        Some(_) | None => Err(faulty(&findings)),
    }
}

/// The same as JSON.
///
/// # Errors
/// As above.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    Ok(json(&tree(path)?.1, ""))
}

/// All faults of a file as one failure.
pub(super) fn faulty(findings: &Findings) -> Failure {
    let text: String = findings.faults.iter().map(|fault| render(fault, Heading::Error)).collect();
    let count = findings.faults.len();
    Failure::new(Exit::Config, format!("{count} fault{}\n{}", if count == 1 { "" } else { "s" }, text.trim_end()))
}
