//! The command line as people meet it: help, exit codes, closed pipes, machine-readable output.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod import;
mod policies;
mod reading;
mod site;
mod supervision;

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn hb(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hb"))
        .args(args)
        .current_dir(dir)
        .env_remove("HB_LOG")
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with a configuration and a recording of 70 s, one sample each of three series every 0.1 s.
fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config =
        "source: file\npath: t.jsonl\ninterval_sec: 1\noutput_dir: out\ndb_path: runs.db\nlearn: {samples_min: 5}\n";
    std::fs::write(dir.path().join("hb.yaml"), config).unwrap();
    let mut lines = String::new();
    for n in 0..700_u32 {
        let noise = f64::from((n * 7_919) % 101) / 101.0;
        let time = 1_700_000_000.0 + f64::from(n) * 0.1;
        for series in ["a", "b", "c"] {
            lines.push_str(&format!("{{\"timestamp\":{time:.1},\"metric\":\"{series}\",\"value\":{noise}}}\n"));
        }
    }
    std::fs::write(dir.path().join("t.jsonl"), lines).unwrap();
    dir
}

fn decided() -> tempfile::TempDir {
    let dir = project();
    let ran = hb(dir.path(), &["daemon", "--config", "hb.yaml", "--once", "--node", "a", "--listen", "none"]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    dir
}

#[test]
fn help_of_every_command_is_what_it_was() {
    let commands: &[&[&str]] = &[
        &[],
        &["run"],
        &["daemon"],
        &["supervisor"],
        &["supervisor", "run"],
        &["supervisor", "create"],
        &["supervisor", "shutdown"],
        &["agent"],
        &["agent", "list"],
        &["agent", "why"],
        &["agent", "restart"],
        &["agent", "logs"],
        &["agent", "beat"],
        &["team"],
        &["policy"],
        &["policy", "check"],
        &["policy", "simulate"],
        &["policy", "diff"],
        &["intervention"],
        &["intervention", "request"],
        &["intervention", "settle"],
        &["alerts", "list"],
        &["events"],
        &["import"],
        &["import", "supervisord"],
        &["health", "serve"],
        &["status"],
        &["top"],
        &["checkpoint", "list"],
        &["checkpoint", "show"],
        &["checkpoint", "verify"],
        &["journal", "show"],
        &["journal", "verify"],
        &["verify"],
        &["replay"],
        &["baseline", "learn"],
        &["baseline", "list"],
        &["baseline", "show"],
        &["baseline", "diff"],
        &["baseline", "request"],
        &["baseline", "approve"],
        &["baseline", "promote"],
        &["compare"],
        &["inject"],
        &["config", "check"],
        &["config", "reference"],
        &["config", "exit-codes"],
        &["demo"],
        &["completions"],
        &["man"],
    ];
    let mut all = String::new();
    for command in commands {
        let mut args = command.to_vec();
        args.push("-h");
        let ran = hb(Path::new("."), &args);
        assert_eq!(ran.status.code(), Some(0), "{command:?}: {}", text(&ran.stderr));
        all.push_str(&format!("$ hb {}\n{}\n", args.join(" "), text(&ran.stdout)));
    }
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&expected, &all).unwrap();
    }
    assert_eq!(all, std::fs::read_to_string(expected).unwrap_or_default(), "UPDATE=1 rewrites it");
}

#[test]
fn usage_configuration_and_registry_have_exit_codes_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let code = |args: &[&str]| hb(dir.path(), args).status.code();
    assert_eq!(code(&["nonsense"]), Some(2));
    assert_eq!(code(&["daemon"]), Some(2), "there is no hb.yaml");
    std::fs::write(dir.path().join("bad.yaml"), "source: filee\n").unwrap();
    assert_eq!(code(&["daemon", "--config", "bad.yaml"]), Some(3));
    assert_eq!(code(&["config", "check", "bad.yaml"]), Some(3));
    assert_eq!(code(&["config", "check", "absent.yaml"]), Some(3));
    std::fs::write(dir.path().join("registry.yaml"), "metrics: {a: {unti: ms}}\n").unwrap();
    std::fs::write(dir.path().join("hb.yaml"), "source: host\nmetric_registry: registry.yaml\n").unwrap();
    assert_eq!(code(&["config", "check", "hb.yaml"]), Some(4));
    std::fs::write(dir.path().join("hb.yaml"), "source: host\n").unwrap();
    assert_eq!(code(&["checkpoint", "list"]), Some(69), "there is no journal");
    assert_eq!(code(&["config", "check", "hb.yaml"]), Some(0));
}

#[test]
fn faults_as_json_have_file_line_column_key() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.yaml"), "source: host\nintervall_sec: 3\n").unwrap();
    let ran = hb(dir.path(), &["config", "check", "bad.yaml", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let fault = &found["faults"][0];
    assert_eq!((&fault["file"], &fault["line"], &fault["column"]), (&"bad.yaml".into(), &2.into(), &1.into()));
    assert_eq!((&fault["key"], &fault["help"]), (&"intervall_sec".into(), &"did you mean `interval_sec`?".into()));
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    for args in [&["config", "reference"][..], &["completions", "bash"], &["config", "exit-codes", "--json"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hb"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn what_was_decided_is_listed_verified_and_replayed() {
    let dir = decided();
    let listed = hb(dir.path(), &["checkpoint", "list", "--config", "hb.yaml", "--json"]);
    let lines: Vec<serde_json::Value> =
        text(&listed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 70);
    for (cycle, line) in lines.iter().enumerate() {
        assert_eq!(line["cycle"], cycle);
        for key in [
            "watch",
            "cycle",
            "seq",
            "epoch",
            "node",
            "status",
            "start_utc",
            "end_utc",
            "samples",
            "late",
            "dropped",
            "hash",
            "digest",
            "delivered_total",
            "pending",
            "drivers",
            "alert",
        ] {
            assert!(line.get(key).is_some(), "{key} in {line}");
        }
    }
    let samples: u64 = lines.iter().map(|line| line["samples"].as_u64().unwrap()).sum();
    assert_eq!(samples, 2_100, "w4: every sample once");
    let code = |args: &[&str]| hb(dir.path(), args).status.code();
    assert_eq!(code(&["verify", "--config", "hb.yaml"]), Some(0));
    assert_eq!(code(&["checkpoint", "verify"]), Some(0));
    assert_eq!(code(&["replay"]), Some(0), "w2: the same bytes");
    let status: serde_json::Value = serde_json::from_slice(&hb(dir.path(), &["status", "--json"]).stdout).unwrap();
    assert_eq!((&status["role"], &status["node"]), (&"down".into(), &"a".into()));
    assert_eq!(status["watches"][0]["cycle"], 69);
}

#[test]
fn j4_a_flipped_bit_is_named_by_file_and_record() {
    let dir = decided();
    let record = dir.path().join("out/journal/watch/default/00000000000000000020.rec");
    let mut bytes = std::fs::read(&record).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&record, bytes).unwrap();
    let ran = hb(dir.path(), &["verify"]);
    let told = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(65), "{told}");
    assert!(told.contains("00000000000000000020.rec") && told.contains("record 20"), "{told}");
    assert_eq!(hb(dir.path(), &["checkpoint", "list"]).status.code(), Some(65));
}

#[test]
fn w2_another_source_is_told_by_replay() {
    let dir = decided();
    let file = dir.path().join("t.jsonl");
    let recorded = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, recorded.replacen("\"value\":0.4", "\"value\":9.4", 1)).unwrap();
    let ran = hb(dir.path(), &["replay"]);
    assert_eq!(ran.status.code(), Some(15), "{}", text(&ran.stdout));
    assert!(text(&ran.stdout).contains("differs"), "{}", text(&ran.stdout));
}

#[test]
fn baselines_are_learned_requested_approved_and_promoted() {
    let dir = decided();
    let run = |args: &[&str]| {
        let ran = hb(dir.path(), args);
        (ran.status.code(), format!("{}{}", text(&ran.stdout), text(&ran.stderr)))
    };
    let (code, told) = run(&["baseline", "learn", "--cycles", "30..60", "--by", "ann"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = run(&["baseline", "learn", "--from-file", "t.jsonl", "--window-sec", "2", "--by", "ann"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = run(&["baseline", "learn", "--cycles", "60..90"]);
    assert!(code == Some(14) && told.contains("CLOSED windows"), "ten cycles are too few: {told}");
    assert_eq!(run(&["baseline", "approve", "2", "--by", "bob"]).0, Some(14), "nobody asked");
    assert_eq!(run(&["baseline", "request", "2", "--by", "ann", "--reason", "new firmware"]).0, Some(0));
    assert_eq!(run(&["baseline", "approve", "2", "--by", "ann"]).0, Some(14), "one's own");
    assert_eq!(run(&["baseline", "approve", "2", "--by", "bob"]).0, Some(0));
    assert_eq!(run(&["baseline", "promote", "2", "--by", "ann"]).0, Some(0));
    assert_eq!(run(&["baseline", "promote", "99"]).0, Some(2));
    let (_, shown) = run(&["baseline", "show", "--json"]);
    assert!(shown.contains("\"version\":2") && shown.contains("\"in_force\":true"), "{shown}");
    assert!(run(&["baseline", "diff", "1", "2"]).1.contains("series"));
    assert_eq!(run(&["verify"]).0, Some(0));
}

#[test]
fn recordings_are_compared_and_gated() {
    let dir = project();
    let run = |args: &[&str]| hb(dir.path(), args);
    assert_eq!(run(&["compare", "t.jsonl", "t.jsonl", "--gate"]).status.code(), Some(0));
    let spoiled =
        ["inject", "--fault", "sensor_drift", "--input", "t.jsonl", "--output", "drift.jsonl", "--metric", "b"];
    assert_eq!(run(&spoiled).status.code(), Some(0));
    assert_eq!(run(&spoiled).status.code(), Some(73), "an existing file is not overwritten");
    let ran = run(&["compare", "t.jsonl", "drift.jsonl", "--gate", "--json", "--html", "page.html"]);
    assert_eq!(ran.status.code(), Some(10), "{}", text(&ran.stdout));
    let found: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(found["findings"][0]["series"], "b");
    assert!(std::fs::read_to_string(dir.path().join("page.html")).unwrap().contains("PASS_WITH_DRIFT"));
    std::fs::write(dir.path().join("empty.jsonl"), "").unwrap();
    assert_eq!(run(&["compare", "t.jsonl", "empty.jsonl", "--gate"]).status.code(), Some(12), "nothing to judge");
    assert_eq!(run(&["compare", "empty.jsonl", "t.jsonl", "--gate"]).status.code(), Some(13));
}

#[test]
fn completions_and_man_pages_are_made() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(hb(dir.path(), &["man", "pages"]).status.code(), Some(0));
    assert!(dir.path().join("pages/hb-daemon.1").is_file());
    for shell in ["bash", "zsh", "fish"] {
        assert!(!hb(dir.path(), &["completions", shell]).stdout.is_empty());
    }
}
