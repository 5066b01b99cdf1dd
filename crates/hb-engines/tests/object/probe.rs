//! What the probe finds, of a store that keeps its word and of those that do not.

use std::time::Duration;

use hb_engines::object::probe::{Depth, Report, Untrusted, Verdict, probe, trust};

use super::server::{Fault, Lie, Server};
use super::{bucket, bucket_for};

/// Names of the checks with that verdict.
fn named(report: &Report, verdict: Verdict) -> Vec<&str> {
    report.checks.iter().filter(|check| check.verdict == verdict).map(|check| check.name.as_str()).collect()
}

#[test]
fn a_store_that_keeps_its_word_is_trusted_and_left_clean() {
    let server = Server::start(Lie::None);
    let report = probe(&bucket(&server.target("p")), Depth::Full);
    assert_eq!(report.verdict(), Verdict::Sound, "{report:#?}");
    assert!(report.put_ms.is_some() && report.get_ms.is_some());
    assert_eq!(server.keys(""), Vec::<String>::new());
    println!("a full probe: {:?}, put {:?} ms, get {:?} ms", report.requests, report.put_ms, report.get_ms);
    let memory = probe(&bucket("memory:probe"), Depth::Full);
    assert_eq!(memory.verdict(), Verdict::Sound, "{memory:#?}");
    assert_eq!(serde_json::from_str::<Report>(&serde_json::to_string(&report).unwrap()).unwrap(), report);
}

#[test]
fn every_liar_is_found_and_not_trusted() {
    for (lie, finds) in [
        (Lie::CreatesAnyway, "create-once"),
        (Lie::UpdatesAnyway, "update-known-version"),
        (Lie::ChecksThenActs, "racing-creators"),
        (Lie::ChecksThenActs, "racing-updates"),
        (Lie::ReadsOldStates, "read-after-write"),
        (Lie::ListsOldStates, "list-after-write"),
        (Lie::KnowsNoConditions, "create-once"),
    ] {
        let server = Server::start(lie);
        let bucket = bucket(&server.target("p"));
        for depth in [Depth::Short, Depth::Full] {
            let report = probe(&bucket, depth);
            assert!(named(&report, Verdict::Unsound).contains(&finds), "{lie:?}: {report:#?}");
        }
        let refused = trust(&bucket).unwrap_err();
        assert!(matches!(&refused, Untrusted::Unsound(what) if what.contains(finds) && what.contains("another store")));
    }
}

#[test]
fn a_store_that_fails_is_not_called_a_liar() {
    let server = Server::start(Lie::None);
    let bucket = bucket_for(&server.target("p"), Duration::from_millis(500));
    server.plan("PUT", [Fault::NotDone(403); 200]);
    let report = probe(&bucket, Depth::Short);
    assert_eq!(report.verdict(), Verdict::NotKnown, "{report:#?}");
    assert!(matches!(trust(&bucket), Err(Untrusted::NotKnown(what)) if what.contains("policy")));
    drop(server);
    assert_eq!(probe(&bucket, Depth::Short).verdict(), Verdict::NotKnown);
}

#[test]
fn what_was_found_sound_is_not_asked_again_and_a_short_probe_is_cheap() {
    let server = Server::start(Lie::None);
    let bucket = bucket(&server.target("p"));
    trust(&bucket).unwrap();
    let seen = server.seen();
    println!("a short probe: {seen:?}");
    let sent: u64 = seen.values().sum();
    assert!((60..160).contains(&sent), "{sent} requests");
    trust(&super::bucket(&server.target("another/prefix"))).unwrap();
    assert_eq!(server.seen().len(), 0);
}
