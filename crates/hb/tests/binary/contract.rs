//! Do scripts and operators find what was promised? Documents, fields, exit codes, signals.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hb_core::node::fact::Body;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::hung::Hung;
use crate::support::journal;
use crate::support::mount::not_run;
use crate::support::project::{Project, told};
use crate::support::random::Random;
use crate::support::steady::Steady;
use crate::support::{telemetry, until};

/// A recording, decided to its end by node `a`.
fn decided(cycles: u64, more: &str) -> Project {
    let project = Project::new(&format!("{}alert_sinks: [file]\n{more}", telemetry::SETTINGS));
    project.feed(telemetry::recording(cycles, 60, 11).concat());
    project.once("a");
    project
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", told(output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn history(project: &Project) -> Vec<Value> {
    let text = fs::read_to_string(project.output.join("checkpoint_history").join("checkpoints.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

// ---------------------------------------------------------------------- documents

#[test]
fn the_checkpoint_is_as_documented_and_its_history_keeps_its_bound() {
    let project = decided(40, "max_checkpoint_history: 7\n");
    let text = fs::read_to_string(project.output.join("daemon_checkpoint.json")).unwrap();
    let checkpoint: Value = serde_json::from_str(&text).unwrap();
    let history = history(&project);
    assert_eq!(history.len(), 7, "max_checkpoint_history");
    let cycles: Vec<u64> = history.iter().map(|line| line["cycle"].as_u64().unwrap()).collect();
    assert_eq!(cycles, [33, 34, 35, 36, 37, 38, 39], "oldest first");
    assert_eq!(*history.last().unwrap(), checkpoint, "the newest line is the checkpoint");

    let records = journal::read(&project.output);
    for line in &history {
        let seq = usize::try_from(line["seq"].as_u64().unwrap()).unwrap();
        let sealed = &records[seq];
        let cycle = journal::decided(sealed).unwrap();
        assert_eq!(line["cycle"], cycle.decision.cycle.0);
        assert_eq!(line["last_status"], cycle.decision.status.as_str());
        assert_eq!(line["hash"], sealed.hash.to_string());
        assert_eq!(line["epoch"], sealed.record.epoch.0);
        assert_eq!((&line["watch"], &line["node"]), (&"default".into(), &"a".into()));
        assert!(line["last_cycle_utc"].as_str().unwrap().ends_with("+00:00"), "{line}");
        assert_eq!(line["marks"].as_array().unwrap().len(), 1);
        assert!(line["format"].is_u64());
        let report = Path::new(line["last_report_dir"].as_str().unwrap());
        assert!(report.is_absolute() && report.join("report.json").is_file() && report.join("report.html").is_file());
    }
}

#[test]
fn checkpoint_list_has_one_object_a_line_oldest_first() {
    let project = decided(25, "");
    let listed = lines(&project.hb(&["checkpoint", "list", "--json"]));
    let records = journal::read(&project.output);
    let decided: Vec<_> = records.iter().filter(|sealed| journal::decided(sealed).is_some()).collect();
    assert_eq!(listed.len(), decided.len());
    for (line, sealed) in listed.iter().zip(decided) {
        let decision = &journal::decided(sealed).unwrap().decision;
        let counts = &decision.counts;
        for (key, wanted) in [
            ("watch", Value::from("default")),
            ("cycle", decision.cycle.0.into()),
            ("seq", sealed.record.seq.0.into()),
            ("epoch", sealed.record.epoch.0.into()),
            ("node", "a".into()),
            ("status", decision.status.as_str().into()),
            ("start_utc", decision.span.start.to_string().into()),
            ("end_utc", decision.span.end.to_string().into()),
            ("samples", counts.window.samples.into()),
            ("late", counts.late.into()),
            ("dropped", counts.dropped().into()),
            ("hash", sealed.hash.to_string().into()),
        ] {
            assert_eq!(line[key], wanted, "{key} of {line}");
        }
    }
}

fn assert_status(status: &Value, role: &str, cycle: u64) {
    for (key, fits) in
        [("node", status["node"] == "a"), ("role", status["role"] == role), ("epoch", status["epoch"].is_u64())]
    {
        assert!(fits, "{key} of {status}");
    }
    let watches = status["watches"].as_array().unwrap();
    assert_eq!(watches.len(), 1);
    assert_eq!(watches[0]["name"], "default");
    assert!(watches[0]["cycle"].as_u64().unwrap() >= cycle, "{status}");
    assert!(watches[0]["status"].is_string() && watches[0]["lag_seconds"].is_number(), "{status}");
}

#[test]
fn status_answers_for_a_running_node_and_for_a_stopped_one() {
    let mut steady = Steady::start("");
    let up = lines(&steady.project.hb(&["status", "--json"]));
    assert_eq!(up.len(), 1);
    assert_status(&up[0], "active", 2);
    assert_eq!(steady.node.stop(), 0);
    let down = lines(&steady.project.hb(&["status", "--json"]));
    assert_eq!(down.len(), 1);
    assert_status(&down[0], "down", up[0]["watches"][0]["cycle"].as_u64().unwrap());
}

#[test]
fn w2_replay_agrees_with_what_was_decided() {
    let project = decided(40, "");
    let output = project.hb(&["replay"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    // A source whose bytes have changed since is told, not believed.
    let mut bytes = fs::read(&project.telemetry).unwrap();
    let middle = bytes.len() / 2;
    let place = middle + bytes[middle..].windows(8).position(|text| text == b"\"value\":").unwrap() + 8;
    assert!(bytes[place].is_ascii_digit(), "the first digit of a value");
    bytes[place] = if bytes[place] == b'9' { b'8' } else { bytes[place] + 1 };
    fs::write(&project.telemetry, bytes).unwrap();
    let output = project.hb(&["replay"]);
    assert_eq!(output.status.code(), Some(15), "{}", told(&output));
}

// ---------------------------------------------------------------------- verify

/// Asks `hb verify`, which must find this record's file at fault.
fn assert_named(project: &Project, seq: u64, what: &str) {
    let output = project.hb(&["verify"]);
    assert_eq!(output.status.code(), Some(65), "{what}: {}", told(&output));
    let said = told(&output);
    let file = project.record(seq).display().to_string();
    assert!(said.contains(&file) && said.contains(&format!("record {seq}")), "{what} of record {seq}: {said}");
    let json = project.hb(&["verify", "--json"]);
    assert_eq!(json.status.code(), Some(65));
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(report.to_string().contains(&file), "{report}");
}

#[test]
fn j4_verify_names_every_damaged_record() {
    let project = decided(25, "");
    let sound = project.hb(&["verify"]);
    assert_eq!(sound.status.code(), Some(0), "{}", told(&sound));
    let mut random = Random::told("verify");
    let head = journal::read(&project.output).len() as u64 - 1;
    for seq in [0, random.between(1, head), head] {
        let path = project.record(seq);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let place = random.between(0, whole.len() as u64) as usize;
        flipped[place] ^= 1 << random.between(0, 8);
        let cut = &whole[..random.between(0, whole.len() as u64) as usize];
        for (what, bytes) in [("a flipped bit", &flipped[..]), ("a cut", cut), ("nothing", b"")] {
            fs::write(&path, bytes).unwrap();
            assert_named(&project, seq, what);
        }
        fs::write(&path, &whole).unwrap();
    }
    // A record in the middle that is gone, and one that stands in another's place.
    let seq = random.between(1, head - 1);
    let (path, next) = (project.record(seq), project.record(seq + 1));
    let (whole, after) = (fs::read(&path).unwrap(), fs::read(next).unwrap());
    fs::remove_file(&path).unwrap();
    assert_named(&project, seq, "a removed record");
    fs::write(&path, after).unwrap();
    assert_named(&project, seq, "another's bytes");
    fs::write(&path, whole).unwrap();
    // The newest ones gone: nothing in the chain misses them, but what was made of them does.
    let whole = fs::read(project.record(head)).unwrap();
    let newest_cycle = journal::read(&project.output).iter().rposition(|sealed| journal::decided(sealed).is_some());
    let kept: Vec<(u64, Vec<u8>)> =
        (newest_cycle.unwrap() as u64..=head).map(|seq| (seq, fs::read(project.record(seq)).unwrap())).collect();
    for (seq, _) in &kept {
        fs::remove_file(project.record(*seq)).unwrap();
    }
    let output = project.hb(&["verify"]);
    assert_eq!(output.status.code(), Some(65), "a cut tail: {}", told(&output));
    assert!(told(&output).contains("daemon_checkpoint.json"), "{}", told(&output));
    for (seq, bytes) in kept {
        fs::write(project.record(seq), bytes).unwrap();
    }
    assert_eq!(fs::read(project.record(head)).unwrap(), whole);
    assert_eq!(project.hb(&["verify"]).status.code(), Some(0), "whole again");
}

// ---------------------------------------------------------------------- nodes and signals

#[test]
fn h3_the_same_file_with_two_names_is_a_pair() {
    let mut steady = Steady::start("");
    let mut other = steady.project.start("b");
    other.wait_role("standby");
    assert!(other.log().contains("node b"), "{}", other.log());
    for (path, active, standby) in [("/active", 200, 503), ("/standby", 503, 200)] {
        assert_eq!((steady.node.get(path).status, other.get(path).status), (active, standby), "{path}");
    }
    let status = lines(&steady.project.hb(&["status", "--json"]));
    let nodes: Vec<_> = status[0]["nodes"].as_array().unwrap().iter().map(|node| node["role"].clone()).collect();
    assert_eq!(nodes, ["active", "standby"]);
    steady.node.kill();
    other.wait_role("active");
    steady.node = other;
    steady.cycles(3);
    steady.finish();
}

#[test]
fn h3_a_stopped_active_hands_over_at_once() {
    let mut steady = Steady::start("lease: {ttl_sec: 60}\n");
    let mut other = steady.project.start("b");
    other.wait_role("standby");
    let since = Instant::now();
    assert_eq!(steady.node.stop(), 0);
    other.wait_role("active");
    println!("hand-over by SIGTERM: {:.1?}, the TTL is 60 s", since.elapsed());
    steady.node = other;
    steady.cycles(3);
    steady.finish();
}

#[test]
fn sigterm_closes_the_epoch_and_ends_with_0() {
    let mut steady = Steady::start("");
    assert_eq!(steady.node.stop(), 0, "{}", steady.node.log());
    steady.reader.poll();
    let last = &steady.reader.records.last().unwrap().record;
    assert!(matches!(&last.body, Body::EpochClosed { reason } if reason.contains("SIGTERM")), "{:?}", last.body);
    assert!(steady.node.card().is_none(), "it takes its card with it");
    let (epoch, cycles) = (last.epoch, steady.reader.cycles());
    steady.node = steady.project.start("a");
    steady.cycles(3);
    assert!(steady.reader.records.last().unwrap().record.epoch > epoch, "a new reign has a new epoch");
    assert!(steady.reader.cycles() >= cycles + 3);
    steady.finish();
}

#[test]
fn a_second_sigterm_forces_a_stop_that_cannot_finish() {
    let mut steady = Steady::start("");
    let hung = match Hung::seize(steady.node.thread("work")) {
        Ok(hung) => hung,
        Err(why) => return not_run("a_second_sigterm_forces", &format!("no tracing here: {why}")),
    };
    let since = Instant::now();
    // What comes within half a second is the same request told twice: until then it is asked again.
    let status = until("it is forced", || {
        steady.node.signal(Signal::SIGTERM);
        sleep(Duration::from_millis(100));
        hung.bury();
        steady.node.has_ended()
    });
    assert_eq!(status.code(), Some(130));
    assert!(since.elapsed() > Duration::from_millis(400), "the first one alone does not force");
    drop(hung);
    steady.node = steady.project.start("a");
    steady.cycles(3);
    steady.finish();
}

#[test]
fn once_with_a_gate_ends_with_the_worst_status() {
    let calm = "{\"ts\":1700000000,\"metric\":\"m\",\"value\":1}\n{\"ts\":1700000030,\"metric\":\"m\",\"value\":1}\n";
    let gate = |project: &Project| {
        let output = project.hb(&["daemon", "--once", "--gate", "--listen", "none"]);
        output.status.code().unwrap_or_else(|| panic!("{}", told(&output)))
    };
    let silent = Project::new("interval_sec: 10\n");
    silent.feed(calm);
    assert_eq!(gate(&silent), 12, "two of the four cycles are silent");
    let failing = Project::new("interval_sec: 10\nmetrics: {m: {invariant_max: 0.5}}\n");
    failing.feed(calm);
    assert_eq!(gate(&failing), 11);
    let unknown = Project::new("interval_sec: 10\n");
    unknown.feed(calm.lines().next().unwrap());
    assert_eq!(gate(&unknown), 13, "nothing to compare with");
    // Without a gate it has done what it was asked.
    failing.once("a");
}

#[test]
fn a_wrong_configuration_starts_nothing_and_tells_all_faults() {
    let project = Project::new("intervall_sec: 5\nlateness_sec: never\nalert_sinks: [pager]\n");
    let output = project.hb(&["daemon", "--once", "--listen", "none"]);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    let said = told(&output);
    for wanted in ["hb.yaml:5:1", "interval_sec", "hb.yaml:6:15", "lateness_sec", "hb.yaml:7", "pager"] {
        assert!(said.contains(wanted), "{wanted} is not in: {said}");
    }
    assert!(!project.output.try_exists().unwrap() && !project.db().try_exists().unwrap(), "nothing was made");
}
