//! Every measurement still works, with little data. Nothing is said of time here: a busy machine is no fault.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The binaries of this build, beside each other.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_hb-bench")).with_file_name(name)
}

/// Cargo builds the binary of another package only with the whole workspace.
fn hb() -> PathBuf {
    let hb = built("hb");
    let arguments = ["build", "--quiet", "--locked", "-p", "hb", "--bin", "hb"];
    let status = Command::new(env!("CARGO")).args(arguments).status().expect("cargo is there, it runs this test");
    assert!(status.success() && hb.is_file(), "{} is not built", hb.display());
    hb
}

fn small(names: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_hb-bench"))
        .args(["--small", "--hb"])
        .arg(hb())
        .args(names)
        .output()
        .expect("the bench was built for this test");
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{told}");
    for name in names {
        assert!(said.contains(&format!("\"bench\":\"{name}\"")), "{name} said nothing: {said}");
    }
}

#[test]
fn files_are_measured() {
    small(&["ingest", "compare", "commit"]);
}

#[test]
fn daemons_are_measured() {
    small(&["startup", "series", "idle"]);
}

#[test]
fn supervisors_are_measured() {
    small(&["restart", "mass", "adopt", "crowd", "fleet"]);
}

#[test]
fn takeovers_are_measured_and_lose_nothing() {
    // Each of them fails by itself when a cycle is lost or decided twice.
    small(&[
        "takeover-file",
        "takeover-postgres",
        "takeover-etcd",
        "takeover-object",
        "takeover-kubernetes",
        "takeover-address",
    ]);
}

#[test]
fn many_watches_on_three_nodes_are_measured_and_lose_nothing() {
    small(&["takeover-fleet"]);
}
