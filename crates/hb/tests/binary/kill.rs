//! What does `kill -9` cost? Nothing: every sample counted once, every cycle decided once, the same bytes as undisturbed.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use hb_core::watch::decision::Status;
use serde_json::Value;

use crate::support::project::{Project, told};
use crate::support::random::Random;
use crate::support::readers::Readers;
use crate::support::webhook::Webhook;
use crate::support::{journal, setting, spread, telemetry};

/// Cycles of the recording.
const CYCLES: u64 = 120;

/// Feeds a recording byte by byte, so to speak: a writer is always in the middle of a line.
struct Writer<'a> {
    project: &'a Project,
    bytes: &'a [u8],
    written: usize,
}

impl Writer<'_> {
    /// Writes the next `most` bytes.
    fn write(&mut self, most: usize) {
        let end = (self.written + most).min(self.bytes.len());
        self.project.feed(&self.bytes[self.written..end]);
        self.written = end;
    }
}

#[test]
fn w1_w2_w4_w6_a_hundred_kills_change_nothing() {
    let kills = setting("HB_TORTURE_KILLS", 100);
    let mut random = Random::told("kill");
    let lines = telemetry::recording(CYCLES, 500, 7);
    let bytes: Vec<u8> = lines.concat();
    let webhook = Webhook::start(5);
    let project = Project::new(&settings(&webhook));
    let readers = Readers::start(&project.output);
    let began = Instant::now();

    let mut writer = Writer { project: &project, bytes: &bytes, written: 0 };
    let mut lives = Vec::new();
    for _ in 0..kills {
        let mut node = project.start("a");
        // Some die while they start, most at work.
        let life = if random.one_in(4) { random.between(0, 60) } else { random.between(60, 500) };
        let life = Duration::from_millis(life);
        let share = bytes.len() / kills;
        let until = Instant::now() + life;
        let goal = writer.written + random.between(share as u64 / 2, share as u64 * 3 / 2) as usize;
        while Instant::now() < until {
            writer.write(random.between(1, 4_000) as usize);
            std::thread::sleep(Duration::from_micros(random.between(100, 8_000)).min(life));
        }
        if writer.written < goal {
            writer.write(goal - writer.written);
        }
        node.kill();
        lives.push(life);
    }
    writer.write(bytes.len());
    project.once("a");
    let took = began.elapsed();
    let read = readers.finish();

    let records = journal::read(&project.output);
    journal::assert_whole(&records);
    let other_webhook = Webhook::start(usize::MAX);
    let undisturbed = Project::new(&settings(&other_webhook));
    undisturbed.feed(&bytes);
    undisturbed.once("a");
    journal::assert_same_decisions(&records, &journal::read(&undisturbed.output));

    let cycles = journal::cycles(&records);
    let last = &cycles.last().unwrap().decision.counts;
    assert_eq!((last.delivered_total, last.pending), (lines.len() as u64, 0), "every line counted once (W4)");
    assert_eq!(cycles.len() as u64, CYCLES);
    assert_alerts(&project, &webhook, &records);
    let verified = project.hb(&["verify"]);
    assert!(verified.status.success(), "{}", told(&verified));
    assert_replayed(&project, cycles.len());
    assert!(read.checkpoints > 0 && read.histories > 0 && read.reports > 0, "{read:?}");
    let epochs = records.last().unwrap().record.epoch;
    println!(
        "kill: {kills} kills in {took:.1?} (lives {}), {} lines, {} cycles, {} records, {epochs} epochs, read {read:?}",
        spread(lives),
        lines.len(),
        cycles.len(),
        records.len()
    );
}

fn settings(webhook: &Webhook) -> String {
    let settings = telemetry::SETTINGS;
    format!("{settings}alert_sinks: [file, webhook]\nwebhook_url: http://{}/hook\n", webhook.address)
}

/// `hb replay` decides every cycle again from the source and comes to the same.
fn assert_replayed(project: &Project, cycles: usize) {
    let output = project.hb(&["replay", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let tally: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    assert_eq!((&tally["same"], &tally["differ"]), (&cycles.into(), &0.into()), "{tally}");
}

/// No FAIL without its alert, in the file and at the webhook, under the one key of its cycle (W6).
fn assert_alerts(project: &Project, webhook: &Webhook, records: &[hb_core::node::fact::Sealed]) {
    let cycles = journal::cycles(records);
    let expected = |wanted: fn(Status) -> bool| -> BTreeSet<String> {
        let found = cycles.iter().filter(|cycle| wanted(cycle.decision.status));
        found.map(|cycle| format!("default/{}", cycle.decision.cycle)).collect()
    };
    let failed = expected(|status| status == Status::Fail);
    assert!(failed.len() >= 5, "the recording has bad cycles, {} found", failed.len());

    let text = fs::read_to_string(project.output.join("alerts.jsonl")).unwrap();
    let documents: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys = |documents: &[Value]| -> BTreeSet<String> {
        documents.iter().map(|document| document["key"].as_str().unwrap().to_owned()).collect()
    };
    let in_file = keys(&documents);
    assert!(failed.is_subset(&in_file), "without an alert in the file: {:?}", failed.difference(&in_file));

    let told = webhook.told();
    let bodies: Vec<Value> = told.iter().map(|told| told.body.clone()).collect();
    let at_hook = keys(&bodies);
    assert!(failed.is_subset(&at_hook), "without an alert at the webhook: {:?}", failed.difference(&at_hook));
    for told in &told {
        // The key as a header is percent-encoded where it must be.
        let sent = told.key.replace("%2F", "/");
        assert_eq!(told.body["key"], *sent, "the header names the same key as the body");
        let recorded = records.iter().find(|sealed| {
            journal::decided(sealed).is_some_and(|cycle| cycle.alert.as_ref().is_some_and(|alert| alert.key == sent))
        });
        assert!(recorded.is_some_and(|sealed| sealed.record.at <= told.at), "{sent} was told before it was recorded");
    }
    // Of every cycle that made an alert there is a record, and however often it is told, it says the same.
    let known = expected(|status| status != Status::Pass);
    assert!(in_file.iter().chain(&at_hook).all(|key| {
        known.contains(key) || cycles.iter().any(|cycle| cycle.alert.as_ref().is_some_and(|alert| alert.key == *key))
    }));
    for all in [&documents, &bodies] {
        for document in all {
            let first = all.iter().find(|other| other["key"] == document["key"]).unwrap();
            assert_eq!(without_report(first), without_report(document), "an alert told again says the same");
        }
    }
    println!("kill: {} alerts, {} lines in the file, {} at the webhook", in_file.len(), documents.len(), bodies.len());
}

fn without_report(document: &Value) -> Value {
    let mut document = document.clone();
    document.as_object_mut().unwrap().remove("report_path");
    document
}
