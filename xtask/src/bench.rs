//! `cargo xtask bench`: builds release and measures what SPECIFICATION.md promises.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::cargo;

/// Builds and runs `hb-bench` with what was asked for.
///
/// # Errors
/// Something does not build, or a measurement could not be taken.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    cargo(&["build", "--release", "--locked", "-p", "hb", "-p", "hb-benches"])?;
    cargo(&["build", "--release", "--locked", "-p", "hb-core", "-p", "hb-daemon", "--examples"])?;
    let release = root.join("target").join("release");
    let status = Command::new(release.join("hb-bench"))
        .arg("--hb")
        .arg(release.join("hb"))
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("hb-bench: {error}"))?;
    if status.success() { Ok(()) } else { Err("a measurement failed: see above".into()) }
}
