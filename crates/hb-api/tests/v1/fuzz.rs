//! A property-based run against the API's own document, by a tool that knows nothing of hb. `cargo xtask test` installs it where it can.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{OWNER, Served};

/// Seconds that the run may take.
const SECONDS: &str = "25";

/// The tool, where `cargo xtask test` has put it or wherever the path leads.
fn tool() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let near = target.join("schemathesis").join("bin").join("schemathesis");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let far = std::env::split_paths(&path).map(|folder| folder.join("schemathesis"));
    std::iter::once(near).chain(far).find(|program| program.is_file())
}

#[test]
fn a_property_based_run_finds_no_server_error() {
    let Some(tool) = tool() else {
        assert!(std::env::var_os("CI").is_none(), "schemathesis is missing: pip install schemathesis");
        eprintln!("NOT RUN: schemathesis is missing (pip install schemathesis, or run `cargo xtask test`)");
        return;
    };
    let served = Served::owned().main();
    // Names that generated requests may hit.
    for id in ["0", "a", "w"] {
        served.agent(id);
    }
    served.post("/policies", json!({"name": "0", "when": "agent.anomaly_score > 0.5", "actions": [{"type": "notify"}], "supervisors": ["main"]})).must(201);
    served.post("/supervisors", json!({"name": "0", "id": "0"})).must(201);
    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("api-run");
    std::fs::create_dir_all(&report).unwrap();
    let base = format!("http://{}", served.addr());
    let output = Command::new(tool)
        .current_dir(&report)
        .args(["run", &format!("{base}/api/v1/openapi.json"), "--url", &base])
        .args(["--header", &format!("Authorization: Bearer {OWNER}")])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--phases", "coverage,fuzzing", "--max-time", SECONDS, "--max-examples", "20", "--continue-on-failure"])
        // A stream ends after a while only; it has tests of its own.
        .args(["--exclude-path", "/api/v1/events/stream", "--warnings", "off", "--no-color"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("passed"), "{said}");
    assert_eq!(served.get("/status")["presence"]["state"], "active", "it still works");
}
