//! Baselines behind a tag: promotions are adopted, what is learned is noted, and nothing passes for want of a document.

use std::sync::Arc;

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{FORMAT, Hash, seal};
use hb_core::node::fact::{BaselineEvent, Body, Record, Sealed};
use hb_core::time::{Span, Stamp};
use hb_core::watch::baseline::{BASELINE_FORMAT, Baseline, Provenance};
use hb_core::watch::decision::{BaselineRef, Status};
use hb_daemon::{Control, Ended, Mode};
use hb_store::port::{Appended, Journal as _};

use super::stage::{Stage, settings, until};

fn stream() -> StreamName {
    StreamName::baseline(&"w".into(), "golden")
}

fn silver() -> StreamName {
    StreamName::baseline(&"w".into(), "silver")
}

/// A document of that version, which knows no series.
fn document(version: u32) -> (BaselineRef, Vec<u8>) {
    let provenance = Provenance {
        from: format!("version {version}"),
        span: Span { start: Stamp(0), end: Stamp(1) },
        windows: 1,
        window_ns: 1,
        samples: 1,
        by: "somebody".into(),
    };
    let bytes = Baseline { format: BASELINE_FORMAT, provenance, series: Default::default() }.to_bytes();
    (BaselineRef { tag: "golden".into(), version, hash: Hash::of(&bytes) }, bytes)
}

/// Promotes a version, as a person at another terminal does.
fn promote(stage: &Stage, baseline: &BaselineRef) {
    let (by, reason) = ("somebody".into(), "it is better".into());
    note(stage, BaselineEvent::Promoted { baseline: baseline.clone(), by, reason, forced: Vec::new() });
}

fn note(stage: &Stage, event: BaselineEvent) {
    note_in(stage, stream(), event);
}

fn note_in(stage: &Stage, stream: StreamName, event: BaselineEvent) {
    let all = stage.stream(&stream);
    let record = Record {
        format: FORMAT,
        stream: stream.clone(),
        seq: all.last().map_or(Seq(0), |last| last.record.seq.next()),
        epoch: Epoch(0),
        at: Stamp(0),
        node: "terminal".into(),
        prev: all.last().map_or(Hash::ZERO, |last| last.hash),
        body: Body::BaselineEvent(event),
    };
    let sealed = seal(record);
    assert_eq!(stage.journal.clone().append(&stream, sealed.record.seq, &sealed.bytes), Appended::Committed);
}

fn against(stage: &Stage) -> Vec<Option<u32>> {
    let version = |reference: &BaselineRef| reference.version;
    stage.cycles().iter().map(|cycle| cycle.decision.baseline.as_ref().map(version)).collect()
}

fn adoptions(stage: &Stage) -> usize {
    super::stage::kinds(&stage.records()).get("baseline_adopted").copied().unwrap_or(0)
}

#[test]
fn w5_a_promotion_while_the_node_works_holds_from_the_next_cycle_on() {
    let stage = Stage::new(settings("w"));
    let node = stage.start_active("a");
    stage.tape().cycles(0..3);
    stage.decided(2);
    let (reference, bytes) = document(4);
    stage.archive.add(&bytes);
    promote(&stage, &reference);
    until("it is adopted", || adoptions(&stage) == 1);
    stage.tape().cycles(3..6);
    stage.decided(5);
    assert_eq!(node.stop(), Ended::Drained);
    assert_eq!(against(&stage), [None, None, Some(4), Some(4), Some(4)]);
}

#[test]
fn w5_after_a_reload_with_another_tag_its_promotion_holds() {
    let stage = Stage::new(settings("w"));
    let (mut reference, bytes) = document(3);
    reference.tag = "silver".into();
    stage.archive.add(&bytes);
    let (by, reason) = ("somebody".into(), "it shines".into());
    let baseline = reference.clone();
    note_in(&stage, silver(), BaselineEvent::Promoted { baseline, by, reason, forced: Vec::new() });
    let node = stage.start_active("a");
    stage.tape().cycles(0..3);
    stage.decided(2);
    let mut other = settings("w");
    other.baseline_tag = "silver".into();
    node.control(Control::Reload(vec![Arc::new(other)]));
    until("it is adopted", || adoptions(&stage) == 1);
    stage.tape().cycles(3..5);
    stage.decided(4);
    assert_eq!(node.stop(), Ended::Drained);
    assert_eq!(against(&stage), [None, None, Some(3), Some(3)]);
    assert_eq!(stage.cycles()[3].decision.baseline, Some(reference));
}

#[test]
fn w5_a_promotion_while_no_node_worked_holds_for_the_first_cycle() {
    let mut stage = Stage::new(settings("w"));
    stage.mode = Mode::Once;
    let (reference, bytes) = document(2);
    stage.archive.add(&bytes);
    promote(&stage, &reference);
    stage.tape().cycles(0..3);
    stage.tape().change(|reel| reel.complete = true);
    let node = stage.start("a");
    stage.desk.grant("a");
    assert_eq!(node.end(), Ended::Drained);
    assert_eq!(against(&stage), [Some(2), Some(2), Some(2)]);
}

#[test]
fn w5_a_promotion_whose_document_is_missing_is_told_and_owed() {
    let stage = Stage::new(settings("w"));
    let (reference, bytes) = document(1);
    promote(&stage, &reference);
    let node = stage.start_active("a");
    until("readiness says so", || node.check("baseline.w") == Some(false));
    stage.tape().cycles(0..3);
    stage.decided(2);
    assert!(stage.cycles().iter().all(|cycle| cycle.decision.status == Status::NoBaseline));
    let renewals = stage.desk.renewals_of("a");
    until("the tag is read some more", || stage.desk.renewals_of("a") > renewals + 2);
    assert_eq!(node.check("baseline.w"), Some(false), "it stays told");
    stage.archive.add(&bytes);
    until("it is adopted", || adoptions(&stage) == 1);
    until("readiness holds", || node.check("baseline.w") == Some(true));
    stage.tape().cycles(3..5);
    stage.decided(4);
    assert_eq!(node.stop(), Ended::Drained);
    assert_eq!(against(&stage), [None, None, Some(1), Some(1)]);
}

#[test]
fn w5_a_baseline_in_force_whose_document_is_lost_is_an_alarm_and_no_baseline() {
    let stage = Stage::new(settings("w"));
    let (reference, bytes) = document(1);
    stage.archive.add(&bytes);
    promote(&stage, &reference);
    let node = stage.start_active("a");
    until("it is adopted", || adoptions(&stage) == 1);
    assert_eq!(node.stop(), Ended::Drained);
    stage.archive.remove(reference.hash);
    let next = stage.start_active("b");
    let alarms = || next.shared().view().alarms.clone();
    until("an alarm stands", || alarms().iter().any(|alarm| alarm.what.contains("is not in the archive")));
    stage.tape().cycles(0..3);
    stage.decided(2);
    assert!(stage.cycles().iter().all(|cycle| cycle.decision.status == Status::NoBaseline));
    // It is found again: the alarm is over, and the next cycle is decided against it. It was in force all the time.
    stage.archive.add(&bytes);
    until("the alarm is over", || alarms().is_empty());
    assert_eq!(adoptions(&stage), 1);
    stage.tape().cycles(3..5);
    stage.decided(4);
    assert_eq!(next.stop(), Ended::Drained);
    assert_eq!(against(&stage), [None, None, Some(1), Some(1)]);
}

fn learning() -> Stage {
    let mut learning = settings("w");
    learning.learn.auto = true;
    learning.learn.cycles = 4;
    learning.learn.samples_min = 1;
    learning.learn.unstable_share_max = 1.0;
    Stage::new(learning)
}

#[test]
fn w5_what_was_learned_and_not_noted_is_noted_by_the_next_node() {
    let stage = learning();
    let node = stage.start_active("a");
    stage.tape().cycles(0..6);
    until("it is noted and promoted", || stage.stream(&stream()).len() == 2);
    assert_eq!(node.stop(), Ended::Drained);
    // As if that node had ended between the adoption and the note: all that it wrote, but for the tag's stream.
    let mut next = learning();
    next.archive = stage.archive.clone();
    for sealed in stage.records() {
        let appended = next.journal.append(&sealed.record.stream, sealed.record.seq, &sealed.bytes);
        assert_eq!(appended, Appended::Committed);
    }
    let node = next.start_active("b");
    until("it is noted and promoted", || next.stream(&stream()).len() == 2);
    assert_eq!(node.stop(), Ended::Drained);
    assert_eq!(adoptions(&next), 1, "it is in force already");
    let versions = |stage: &Stage| -> Vec<u32> {
        let version = |sealed: &Sealed| match &sealed.record.body {
            Body::BaselineEvent(BaselineEvent::Learned { baseline, .. } | BaselineEvent::Promoted { baseline, .. }) => {
                Some(baseline.version)
            }
            _ => None,
        };
        stage.stream(&stream()).iter().filter_map(version).collect()
    };
    assert_eq!(versions(&next), versions(&stage));
}

#[test]
fn w5_what_a_watch_learns_is_noted_in_its_tag_under_a_number_of_its_own() {
    let stage = learning();
    // Somebody has made a version before, which was never promoted.
    let (reference, bytes) = document(7);
    let provenance = Baseline::from_bytes(&bytes, reference.hash).unwrap().provenance;
    note(&stage, BaselineEvent::Learned { baseline: reference, provenance, series: 0, gates: Vec::new() });
    let node = stage.start_active("a");
    stage.tape().cycles(0..6);
    until("it is noted and promoted", || stage.stream(&stream()).len() == 3);
    stage.decided(5);
    assert_eq!(node.stop(), Ended::Drained);
    let events: Vec<BaselineEvent> = stage
        .stream(&stream())
        .into_iter()
        .filter_map(|sealed| match sealed.record.body {
            Body::BaselineEvent(event) => Some(event),
            _ => None,
        })
        .collect();
    let [_, BaselineEvent::Learned { baseline: made, .. }, BaselineEvent::Promoted { baseline: put, by, .. }] =
        &events[..]
    else {
        unreachable!("other events: {events:?}")
    };
    assert_eq!((made, &**by), (put, "auto"));
    assert_eq!(made.version, 8);
    assert_eq!(stage.cycles()[4].decision.baseline.as_ref(), Some(made));
    assert_eq!(adoptions(&stage), 1, "its own promotion is not adopted again");
}
