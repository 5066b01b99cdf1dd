//! Who may try: progress is shown by the work loop, and a larger epoch ends a node.

use std::time::Duration;

use hb_core::ids::Epoch;
use hb_daemon::Ended;
use hb_store::port::Holder;

use super::stage::{Pass, Stage, settings, until};

fn brief_lease() -> Stage {
    let mut stage = Stage::new(settings("w"));
    stage.bounds.lease_ttl = Duration::from_millis(400);
    stage
}

#[test]
fn h2_progress_is_shown_by_the_keeper_alone_and_grows() {
    let stage = brief_lease();
    let node = stage.start_active("a");
    until("it is renewed many times", || stage.desk.renewals_of("a") >= 8);
    assert_eq!(node.stop(), Ended::Drained);
    let renewals = stage.desk.look(|book| book.renewals.clone());
    assert!(renewals.iter().all(|(thread, _)| thread == "lease"), "{renewals:?}");
    assert!(renewals.windows(2).all(|pair| pair[0].1.progress <= pair[1].1.progress));
    assert!(renewals.last().unwrap().1.progress > renewals[0].1.progress);
    assert_eq!(renewals.last().unwrap().1.epoch, Epoch(1));
}

#[test]
fn h2_a_loop_that_hangs_shows_no_progress_and_is_told_dead() {
    let stage = brief_lease();
    let node = stage.start_active("a");
    node.gate.set(Pass::Hang);
    stage.tape().cycles(0..3);
    until("the append hangs", || node.gate.waiting() == 1);
    let renewals = stage.desk.renewals_of("a");
    let hung = || {
        let pulse = node.shared().pulse();
        pulse.since > pulse.bound
    };
    until("the pulse has stopped", hung);
    assert!(node.shared().pulse().bound >= stage.bounds.lease_ttl);
    // What the loop had done before it hung is shown once; nothing after that.
    let shown = stage.desk.renewals_of("a");
    assert!(shown <= renewals + 1, "nobody else shows progress");
    node.gate.set(Pass::Go);
    until("the pulse is back", || !hung());
    until("progress is shown again", || stage.desk.renewals_of("a") > shown);
    assert_eq!(node.stop(), Ended::Drained);
}

#[test]
fn h1_a_larger_epoch_on_the_lease_fences_and_nothing_is_appended_after() {
    let stage = brief_lease();
    let node = stage.start_active("a");
    stage.tape().cycles(0..3);
    stage.decided(2);
    let before = stage.records().len();
    let other = Holder { node: "b".into(), pid: 1, epoch: Epoch(2), progress: 1 };
    stage.desk.change(|book| {
        book.other = Some(other);
        book.broken = Some("another node shows progress".into());
    });
    let ended = node.end();
    stage.tape().cycles(3..6);
    assert!(matches!(&ended, Ended::Fenced(by) if by.contains("node b opened epoch 2")), "{ended:?}");
    assert_eq!(stage.records().len(), before);
}

#[test]
fn h1_losing_sight_of_the_lease_does_not_demote() {
    let stage = brief_lease();
    let node = stage.start_active("a");
    stage.desk.change(|book| book.broken = Some("the lease cannot be read".into()));
    until("readiness says so", || node.check("lease") == Some(false));
    let renewals = stage.desk.renewals_of("a");
    until("it was tried for longer than a TTL", || stage.desk.renewals_of("a") > renewals + 5);
    stage.tape().cycles(0..3);
    stage.decided(2);
    stage.desk.change(|book| book.broken = None);
    until("readiness holds again", || node.check("lease") == Some(true));
    assert_eq!(node.stop(), Ended::Drained);
}

#[test]
fn b1_a_lease_that_answers_with_errors_is_not_asked_without_pause() {
    let mut stage = Stage::new(settings("w"));
    stage.bounds.follow_every = Duration::from_millis(50);
    stage.desk.change(|book| book.broken = Some("no such folder".into()));
    let since = std::time::Instant::now();
    let node = stage.start("a");
    until("it was asked some times", || stage.desk.look(|book| book.asked) >= 8);
    assert!(since.elapsed() >= Duration::from_millis(50) * 7, "asked 8 times in {:?}", since.elapsed());
    assert_eq!(node.check("lease"), Some(false));
    assert_eq!(node.stop(), Ended::Drained);
    assert!(stage.records().is_empty());
}

#[test]
fn h1_a_journal_that_cannot_be_read_gives_the_lease_back_until_it_can() {
    let stage = Stage::new(settings("w"));
    stage.journal.unreadable(Some("the mount is gone".into()));
    let node = stage.start("a");
    stage.desk.grant("a");
    until("the lease is given back", || stage.desk.look(|book| !book.released.is_empty()));
    until("readiness says so", || node.check("journal") == Some(false));
    stage.journal.unreadable(None);
    stage.activate("a", &node);
    assert_eq!(node.check("journal"), Some(true));
    assert_eq!(node.stop(), Ended::Drained);
}

#[test]
fn j4_a_damaged_journal_ends_the_node_that_gets_the_lease() {
    let stage = Stage::new(settings("w"));
    let node = stage.start_active("a");
    stage.tape().cycles(0..4);
    stage.decided(3);
    assert_eq!(node.stop(), Ended::Drained);
    stage.journal.damage(&"watch/w".into(), hb_core::ids::Seq(3), Some(b"garbage".to_vec()));
    let next = stage.start("b");
    stage.desk.grant("b");
    let ended = next.end();
    assert!(matches!(&ended, Ended::Corrupt(what) if what.contains("record 3")), "{ended:?}");
}
