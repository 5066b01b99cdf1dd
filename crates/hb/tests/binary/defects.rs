//! Is the predecessor's every proven defect absent? One test each, or the test elsewhere that shows it.
//!
//! | defect | shown by |
//! |---|---|
//! | a stop by SIGTERM dies in the middle of a cycle | `contract::sigterm_closes_the_epoch_and_ends_with_0` |
//! | the first event is swallowed as a header | `the_first_event_is_no_header` |
//! | `ts,metric,value` is read as metric, value, unit | `three_columns_are_time_metric_value` |
//! | bad lines vanish | `bad_input::every_bad_line_is_counted_by_its_cause_and_told` |
//! | `event_time` is not carried through | `every_name_of_the_time_is_read` |
//! | a `null` erases the good value before it | `a_null_erases_nothing` |
//! | the last in order of arrival wins, whatever its time | `the_newest_reading_is_the_newest_by_time` |
//! | units converted twice, or not at all without a word | `units_are_converted_once_or_told` |
//! | a schema's factor leaves the old unit's label, so that the registry converts again | `a_factor_is_applied_once` |
//! | no baseline, silent critical series, NaN: PASS | `w5_what_is_not_known_is_no_pass`, `decision_defects` in hb-core |
//! | drift on unchanged discrete data, doubled failures, persistence that is only shown | `decision_defects` in hb-core |
//! | baselines promoted without gate or approval | the tests of `hb baseline` |
//! | a file is read again and again, 1000 lines of it, at a full core | `two_thousand_lines_are_seen_once_each_and_then_it_rests` |
//! | cycles less than a second apart overwrite one another | `cycles_in_one_second_keep_apart` |
//! | one event of the far future makes all others late | `one_future_event_poisons_nothing` |
//! | a window holds a tenth of its events, boundary events are stored nowhere | `every_event_on_a_boundary_is_counted` |
//! | silence alerts nobody | `silence_alerts` |
//! | telemetry's text runs as script in the report | `text_of_the_telemetry_is_only_text` |
//! | nothing resumes: a restart decides the file again | `w1_a_restart_decides_nothing_again`, `kill` |
//! | checkpoint and history torn, lost, damage swallowed | `kill`, `bad_input::damaged_documents_are_rebuilt_at_the_next_start` |
//! | two daemons decide in parallel | `pair`, `contract::h3_the_same_file_with_two_names_is_a_pair` |
//! | a FAIL whose alert or rows are lost | `kill` |
//! | readiness and liveness that know nothing, one slow client blocks all | `ready` |
//! | a full disk loses what is decided | `ready::ready_falls_for_a_full_output_dir_and_the_watch_goes_on_with_space` |
//! | a configuration that runs on half its settings | `contract::a_wrong_configuration_starts_nothing_and_tells_all_faults` |
//! | MQTT loses 8.8 % at 20 messages a second, 78 % at 500, and all that is published while away | `network`, and tests of the source against a broker |
//! | syslog keeps the pid in the name, knows no RFC 5424, can never receive at `/dev/log` | `network`, and tests of the source |
//! | Kafka cannot be reached from the daemon, and commits what was not decided | `network` |
//!
//! Evidence packs, actions, RBAC and the launcher do not exist in `hb`, and so neither do their defects.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hb_core::node::fact::CycleDecided;
use hb_core::watch::decision::Status;
use hb_core::watch::sample::FaultCause;
use hb_core::watch::summary::SeriesSummary;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::journal;
use crate::support::node::Node;
use crate::support::project::{Project, told};
use crate::support::until;

/// Decides a complete file of this name; gives its cycles.
fn decide(name: &str, content: &str, settings: &str) -> Vec<Arc<CycleDecided>> {
    let project = Project::reading(name, &format!("interval_sec: 10\nalert_sinks: [file]\n{settings}"));
    project.feed(content);
    project.once("a");
    let records = journal::read(&project.output);
    journal::assert_whole(&records);
    journal::cycles(&records)
}

fn series<'a>(cycle: &'a CycleDecided, name: &str) -> &'a SeriesSummary {
    let all = &cycle.decision.series;
    all.get(name).unwrap_or_else(|| panic!("no series {name} in {all:?}"))
}

fn json(at: f64, name: &str, value: f64) -> String {
    format!("{{\"timestamp\":{at},\"metric\":\"{name}\",\"value\":{value}}}\n")
}

// ---------------------------------------------------------------------- reading

#[test]
fn the_first_event_is_no_header() {
    let cycles = decide("t.jsonl", &json(1_700_000_000.0, "value of metric", 7.0), "");
    assert_eq!(series(&cycles[0], "value of metric").last, 7.0);
    // And a header is no event.
    let cycles = decide("t.csv", "timestamp,metric,value,unit\n1700000000,m,3,ms\n", "");
    assert_eq!(cycles[0].decision.counts.delivered_total, 1);
    assert_eq!((series(&cycles[0], "m").last, &*series(&cycles[0], "m").unit), (3.0, "ms"));
}

#[test]
fn three_columns_are_time_metric_value() {
    let cycles = decide("t.csv", "1700000000,m,5\n1700000001,m,6\n", "");
    let row = series(&cycles[0], "m");
    assert_eq!((row.n, row.first, row.last, &*row.unit), (2, 5.0, 6.0, ""));
}

#[test]
fn every_name_of_the_time_is_read() {
    let text: String = ["timestamp", "ts", "event_time", "time"]
        .iter()
        .zip(0..)
        .map(|(key, number)| {
            let at = 1_700_000_000 + number * 10;
            format!("{{\"{key}\":{at},\"metric\":\"m\",\"value\":{number}}}\n")
        })
        .chain(["{\"ts\":\"2023-11-14T22:14:00Z\",\"name\":\"m\",\"value\":4}\n".to_owned()])
        .collect();
    let cycles = decide("t.jsonl", &text, "");
    let values: Vec<f64> = cycles.iter().map(|cycle| series(cycle, "m").last).collect();
    assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0], "each in its own cycle");
}

#[test]
fn a_null_erases_nothing() {
    let text = json(1_700_000_000.0, "m", 5.0) + "{\"timestamp\":1700000001,\"metric\":\"m\",\"value\":null}\n";
    let cycles = decide("t.jsonl", &text, "");
    assert_eq!((series(&cycles[0], "m").n, series(&cycles[0], "m").last), (1, 5.0));
    assert_eq!(cycles[0].decision.counts.faults[&FaultCause::NoValue], 1);
}

#[test]
fn the_newest_reading_is_the_newest_by_time() {
    let text = json(1_700_000_005.0, "m", 5.0) + &json(1_700_000_002.0, "m", 2.0);
    let cycles = decide("t.jsonl", &text, "");
    assert_eq!(series(&cycles[0], "m").last, 5.0);
    assert_eq!(cycles[0].decision.counts.window.out_of_order, 1, "and it is told that they came out of order");
}

#[test]
fn units_are_converted_once_or_told() {
    let units = [("µs", 5.0), ("s", 0.25), ("min", 0.5), ("ms", 7.0), ("furlong", 1.0)];
    let text: String = units
        .iter()
        .zip(0..)
        .map(|((unit, value), number)| {
            let at = 1_700_000_000 + number * 10;
            format!("{{\"ts\":{at},\"metric\":\"latency\",\"value\":{value},\"unit\":\"{unit}\"}}\n")
        })
        .collect();
    let cycles = decide("t.jsonl", &text, "metrics: {latency: {unit: ms, fail_threshold: 100000}}\n");
    let values: Vec<f64> = cycles[..4].iter().map(|cycle| series(cycle, "latency").last).collect();
    assert_eq!(values, [0.005, 250.0, 30_000.0, 7.0], "in milliseconds, each once");
    let last = &cycles[4].decision;
    assert_eq!((last.counts.window.samples, last.counts.window.unit), (0, 1));
    assert!(last.faults.iter().any(|fault| fault.what.contains("furlong")), "{:?}", last.faults);
}

#[test]
fn a_factor_is_applied_once() {
    let project = Project::new("");
    let schema = project.dir().join("schema.yaml");
    fs::write(&schema, "field_mapping:\n  pwr: {canonical: power, unit: W, factor: 1000}\n").unwrap();
    project.configure(&format!(
        "interval_sec: 10\ntelemetry_schema: {}\nmetrics: {{power: {{unit: W, unit_map: {{kW: 1000}}}}}}\n",
        schema.display()
    ));
    project.feed("{\"ts\":1700000000,\"metric\":\"PWR\",\"value\":2,\"unit\":\"kW\"}\n");
    project.once("a");
    let cycles = journal::cycles(&journal::read(&project.output));
    let row = series(&cycles[0], "power");
    assert_eq!((row.last, &*row.unit), (2_000.0, "W"));
}

#[test]
fn two_thousand_lines_are_seen_once_each_and_then_it_rests() {
    let project = Project::new("interval_sec: 1000000\nsilence_grace_sec: 3600\n");
    let line = |number: u32| format!("{{\"ts\":{},\"metric\":\"seq\",\"value\":{number}}}\n", 1_700_000_000 + number);
    project.feed((1..=2_000).map(line).collect::<String>());
    // One more, of the next cycle, closes theirs.
    project.feed(json(1_701_000_001.0, "seq", 0.0));
    let mut node = project.start("a");
    let read = |node: &mut Node| node.get("/v1/status").json()["watches"][0]["totals"]["samples_since_start"].as_u64();
    until("all lines are read", || (read(&mut node)? >= 2_000).then_some(()));
    // What a core does meanwhile, by the kernel's own account.
    let before = node.cpu_ticks();
    std::thread::sleep(Duration::from_secs(2));
    let ticks = node.cpu_ticks() - before;
    assert_eq!(read(&mut node), Some(2_000), "nothing is read again");
    assert!(ticks < 40, "{ticks} hundredths of a second of work in 2 s of rest");
    let memory = node.memory_kb("VmRSS").unwrap();
    assert_eq!(node.stop(), 0);
    project.once("a");
    let cycles = journal::cycles(&journal::read(&project.output));
    assert_eq!((cycles.len(), cycles[1].decision.counts.delivered_total), (2, 2_001));
    let row = series(&cycles[0], "seq");
    assert_eq!((row.n, row.min, row.max, row.first, row.last, row.mean), (2_000, 1.0, 2_000.0, 1.0, 2_000.0, 1_000.5));
    println!("rest: {ticks} hundredths of a second of work in 2 s, {memory} kB");
}

// ---------------------------------------------------------------------- windows

#[test]
fn every_event_on_a_boundary_is_counted() {
    for (per_second, total) in [(1_u32, 10_000_u32), (2, 4_000), (10, 5_000)] {
        let text: String = (0..total)
            .map(|number| {
                json(1_700_000_000.0 + f64::from(number) / f64::from(per_second), "m", f64::from(number % 10))
            })
            .collect();
        let cycles = decide("t.jsonl", &text, "learn: {auto: false}\nreports: none\n");
        assert_eq!(cycles.len() as u32, total / per_second / 10);
        for cycle in &cycles {
            assert_eq!(cycle.decision.counts.window.samples, u64::from(per_second) * 10, "every one, in its own cycle");
            assert_eq!(series(cycle, "m").mean, 4.5, "a window is what fell into it");
        }
    }
}

#[test]
fn one_future_event_poisons_nothing() {
    let mut text = json(1_700_000_000.0, "m", 1.0) + &json(4_000_000_000.0, "m", 1.0);
    text.extend((1..100).map(|number| json(1_700_000_000.0 + f64::from(number), "m", f64::from(number))));
    let cycles = decide("t.jsonl", &text, "");
    assert_eq!(cycles.len(), 10);
    let sum = |count: fn(&CycleDecided) -> u64| cycles.iter().map(|cycle| count(cycle)).sum::<u64>();
    assert_eq!(sum(|cycle| cycle.decision.counts.late), 0);
    assert_eq!(sum(|cycle| cycle.decision.counts.future), 1);
    assert_eq!(sum(|cycle| cycle.decision.counts.window.samples), 100);
}

#[test]
fn cycles_in_one_second_keep_apart() {
    let project = Project::new("interval_sec: 0.05\nreports: every\nalert_on: every\nalert_sinks: [file]\n");
    project.feed((0..20).map(|number| json(1_700_000_000.0 + f64::from(number) * 0.05, "m", 1.0)).collect::<String>());
    project.once("a");
    let reports = fs::read_dir(project.output.join("reports").join("default")).unwrap().count();
    assert_eq!(reports, 20);
    let alerts = fs::read_to_string(project.output.join("alerts.jsonl")).unwrap();
    let ids: BTreeSet<String> =
        alerts.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["run_id"].to_string()).collect();
    assert_eq!(ids.len(), 20);
    let rows: i64 = Connection::open(project.db())
        .unwrap()
        .query_row("SELECT count(DISTINCT run_id) FROM runs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 20);
}

// ---------------------------------------------------------------------- deciding and telling

#[test]
fn w5_what_is_not_known_is_no_pass() {
    let many = |silent: bool| -> String {
        (0..150)
            .filter(|number| !silent || number % 2 == 0 || *number < 120)
            .map(|number| {
                let name = if number % 2 == 0 { "a" } else { "vital" };
                json(1_700_000_000.0 + f64::from(number), name, 0.0)
            })
            .collect()
    };
    // Without a baseline for ever.
    for cycle in decide("t.jsonl", &many(false), "learn: {auto: false}\n") {
        assert_eq!(cycle.decision.status, Status::NoBaseline);
    }
    // A critical series that falls silent.
    let settings = "learn: {cycles: 8}\nmetrics: {vital: {critical: true, invariant_min: 0}}\n";
    let cycles = decide("t.jsonl", &many(true), settings);
    assert!(cycles[8..12].iter().all(|cycle| cycle.decision.status == Status::Pass), "well until it falls silent");
    assert!(cycles[12..].iter().all(|cycle| cycle.decision.status == Status::Fail), "silent from then on");
    // NaN is told, and is no reading.
    let text = many(false).replace(",\"value\":0}\n", ",\"value\":NaN}\n");
    for cycle in decide("t.jsonl", &text, settings) {
        assert_ne!(cycle.decision.status, Status::Pass);
        assert!(cycle.decision.faults.iter().any(|fault| fault.what.contains("NaN")), "{:?}", cycle.decision.faults);
    }
}

#[test]
fn silence_alerts() {
    let project = Project::new("interval_sec: 10\nalert_sinks: [file]\n");
    project.feed(json(1_700_000_000.0, "m", 1.0) + &json(1_700_000_045.0, "m", 1.0));
    project.once("a");
    let alerts = fs::read_to_string(project.output.join("alerts.jsonl")).unwrap();
    let told: Vec<Value> = alerts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let silent: Vec<_> = told.iter().filter(|alert| alert["status"] == "NO_DATA").collect();
    assert_eq!(silent.len(), 1, "once per episode: {alerts}");
    assert_eq!((&silent[0]["severity"], &silent[0]["primary_issue"]), (&"FAIL".into(), &"no_data".into()));
}

#[test]
fn text_of_the_telemetry_is_only_text() {
    let project = Project::new("interval_sec: 10\nreports: every\n");
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";
    project.feed(format!("{{\"ts\":1700000000,\"metric\":\"{evil}\",\"value\":1,\"unit\":\"{evil}\"}}\n"));
    project.once("a");
    let dir = project.output.join("reports").join("default").join("cycle-0000000000");
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("alert(1)"), "the name is shown");
    assert!(!page.contains("<script>alert(1)") && !page.contains("<img src=x"), "and is no more than text");
    let mut node = project.start("a");
    node.wait_role("active");
    let page = node.get("/").body;
    assert!(!page.contains("<script>alert(1)") && !page.contains("<img src=x"));
}

// ---------------------------------------------------------------------- going on

#[test]
fn w1_a_restart_decides_nothing_again() {
    let project = Project::new("interval_sec: 10\nalert_on: every\nalert_sinks: [file]\n");
    let text =
        |from: u32, to: u32| (from..to).map(|s| json(1_700_000_000.0 + f64::from(s), "m", 1.0)).collect::<String>();
    project.feed(text(0, 50));
    project.once("a");
    let first = journal::digests(&journal::read(&project.output));
    assert_eq!(first.len(), 5);
    for _ in 0..3 {
        project.once("a");
        assert_eq!(journal::digests(&journal::read(&project.output)), first, "the same file again: nothing new");
    }
    project.feed(text(50, 80));
    project.once("a");
    let records = journal::read(&project.output);
    journal::assert_whole(&records);
    let later = journal::digests(&records);
    assert_eq!((&later[..5], later.len()), (&first[..], 8));
    assert_eq!(fs::read_to_string(project.output.join("alerts.jsonl")).unwrap().lines().count(), 8);
}

#[test]
fn a_configuration_of_the_predecessor_runs_as_it_is() {
    let project = Project::new("");
    let text = fs::read_to_string(project.config()).unwrap().replace("source: file", "source: file_replay");
    let legacy = "interval_sec: 300\nwindow_sec: 300\nbaseline_tag: golden\nmax_report_dir_mb: 500\nmax_audit_log_mb: 50\n\
        circuit_breaker: {failure_threshold: 5, window_sec: 60, open_sec: 30}\n\
        backpressure: {max_events: 10000, mode: drop, max_metrics: 50}\nalert_sinks: [stdout, file]\nwebhook_url: \"\"\n\
        evidence_pack_on_fail: true\nevidence_pack_always: false\nmax_checkpoint_history: 50\n";
    fs::write(project.config(), text + legacy).unwrap();
    project.feed((0..900).map(|s| json(1_700_000_100.0 + f64::from(s), "m", 1.0)).collect::<String>());
    let output = project.once("a");
    assert_eq!(journal::read(&project.output).iter().filter_map(journal::decided).count(), 3);
    let said = told(&output);
    for key in ["window_sec", "backpressure", "circuit_breaker", "evidence_pack_on_fail", "max_audit_log_mb"] {
        assert!(said.contains(key), "what {key} does now is told: {said}");
    }
    assert!(said.contains("HB_ALERT "), "the prefix on standard output: {said}");
}
