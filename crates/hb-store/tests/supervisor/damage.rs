//! What is damaged is found by `hb verify`, and named.

use std::fs;
use std::path::PathBuf;

use hb_core::ids::Seq;
use hb_store::supervisor::Extent;
use hb_store::verify::{Finding, Places, VerifyReport, verify};
use rusqlite::Connection;

use super::support::{Chain, Place, agent, agents, commit, folded};

fn places(path: PathBuf) -> Places {
    Places {
        journal: path.with_file_name("none"),
        output_dirs: Vec::new(),
        documents: None,
        db: None,
        supervisor: Some(path),
    }
}

fn look(place: &Place) -> VerifyReport {
    verify(&places(place.path())).unwrap()
}

fn spoiled(sql: &str) -> (Place, VerifyReport) {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    db.restore(&mut drop).unwrap();
    commit(&mut db, &[chain.snapshot(), chain.change_with(agents([agent("after")]), 2, 2)]);
    drop(db);
    Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
    let report = look(&place);
    (place, report)
}

fn named(report: &VerifyReport, says: &str) -> Finding {
    let found = report.findings().find(|finding| finding.what.contains(says));
    let found = found.unwrap_or_else(|| panic!("{says}: {:#?}", report.findings().collect::<Vec<_>>()));
    assert!(found.file.ends_with("supervisor.db") && !found.advice.is_empty() && !report.sound(), "{found:?}");
    found.clone()
}

#[test]
fn what_is_sound_is_called_sound() {
    let (_place, report) = spoiled("");
    assert!(report.sound() && report.findings().count() == 0, "{report:#?}");
    assert_eq!((report.streams[0].records, report.streams[0].head), (9, Some(Seq(8))));
    assert!(report.views[0].checked > 60, "{report:#?}");
    let empty = Place::new();
    empty.open();
    assert!(look(&empty).sound());
}

#[test]
fn j4_records_that_are_changed_missing_or_moved_are_named() {
    let flip =
        "UPDATE journal SET bytes = CAST(replace(CAST(bytes AS TEXT), 'agent-3', 'agent-4') AS BLOB) WHERE seq = ";
    for seq in [2, 7] {
        let (_place, report) = spoiled(&format!("{flip}{seq}"));
        assert_eq!(named(&report, "do not match their hash").seq, Some(Seq(seq)));
        assert_eq!(report.streams[0].records, 8, "it is not read as data");
    }
    let (_place, report) = spoiled("DELETE FROM journal WHERE seq IN (3, 4)");
    assert_eq!(named(&report, "is missing").seq, Some(Seq(3)));
    let (_place, report) = spoiled("DELETE FROM journal WHERE seq = 8");
    assert_eq!(named(&report, "tables were written from it").seq, Some(Seq(8)));
    let (_place, report) = spoiled(
        "UPDATE journal SET seq = 99 WHERE seq = 5; UPDATE journal SET seq = 5 WHERE seq = 6; UPDATE journal SET seq = 6 WHERE seq = 99",
    );
    assert_eq!(named(&report, "stands in its place").seq, Some(Seq(5)));
    let (_place, report) = spoiled("UPDATE journal SET snapshot = 0 WHERE seq = 7");
    assert_eq!(named(&report, "mark as a snapshot").seq, Some(Seq(7)));
}

#[test]
fn s1_tables_that_say_something_else_are_named_and_made_again() {
    for (sql, says) in [
        (
            "UPDATE agents SET status = 'IDLE' WHERE id = 'agent-5'",
            "agents, row agent-5 is not what the records say (status)",
        ),
        ("DELETE FROM agents WHERE id = 'after'", "agents, row after is missing"),
        ("INSERT INTO supervisor_cursors VALUES ('ghost', 1, 1)", "row ghost: no record tells"),
        ("UPDATE supervisors SET health_metrics = '{}' WHERE id = 'root'", "(health_metrics)"),
        ("UPDATE supervisor_team_members SET left_at = 'x' WHERE left_at IS NULL", "agent-1"),
        ("UPDATE supervisor_events SET message = 'nothing' WHERE id = 2", "supervisor_events, row 2"),
        ("UPDATE supervisor_interventions SET status = 'FAILED' WHERE id = 'i-1'", "row i-1"),
        ("DELETE FROM supervisor_alert_groups WHERE id = 'g-1'", "row g-1 is missing"),
        ("DELETE FROM supervisor_policy_evaluations WHERE id = 5", "row 5 is missing"),
        ("UPDATE applied SET counters = '{}'", "applied"),
    ] {
        let (place, report) = spoiled(sql);
        named(&report, says);
        let mut db = place.open();
        db.restore(&mut drop).unwrap();
        assert_eq!(db.rebuild_tables().unwrap().records, 9);
        drop(db);
        let report = look(&place);
        assert!(report.sound(), "{sql}: {:#?}", report.findings().collect::<Vec<_>>());
    }
}

#[test]
fn a10_a_damaged_end_can_be_set_aside_and_work_goes_on_from_the_last_good_record() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    let good = chain.fold.clone();
    let counters = chain.counters;
    let bad = chain.change_with(agents([agent("lost")]), 3, 3);
    commit(&mut db, &[bad, chain.change(agents([agent("lost too")]))]);
    drop(db);
    let flip = "UPDATE journal SET bytes = CAST(replace(CAST(bytes AS TEXT), 'lost', 'last') AS BLOB) WHERE seq = 7";
    Connection::open(place.path()).unwrap().execute_batch(flip).unwrap();
    let mut db = place.open();
    assert!(db.restore(&mut drop).unwrap_err().to_string().contains("record 7"));
    assert!(db.rebuild_tables().unwrap_err().to_string().contains("record 7"));
    let damaged = db.damaged().unwrap().unwrap();
    assert_eq!((damaged.from, damaged.good.map(|head| head.seq)), (Seq(7), Some(Seq(6))), "{damaged:?}");
    assert!(db.set_aside(Seq(0), Extent::Do).is_err(), "something has to stay");
    let before = fs::read(place.path()).unwrap();
    let rehearsed = db.set_aside(Seq(7), Extent::Rehearse).unwrap();
    assert_eq!(fs::read(place.path()).unwrap(), before, "a rehearsal changes nothing");
    assert!(db.restore(&mut drop).unwrap_err().to_string().contains("record 7"));
    let aside = db.set_aside(Seq(7), Extent::Do).unwrap();
    assert_eq!(aside, rehearsed);
    assert_eq!((aside.records, aside.newest, aside.events, aside.told.len()), (2, Seq(6), 4, 4));
    assert_eq!(db.damaged(), Ok(None));
    drop(db);
    assert_eq!(folded(&place.path()), good);
    assert!(look(&place).sound(), "{:#?}", look(&place));
    let mut db = place.open();
    let mut chain = Chain::taking_over(&mut db, "b");
    assert_eq!(chain.counters, counters);
    commit(&mut db, &[chain.open(), chain.change_with(agents([agent("new")]), 2, 2)]);
    drop(db);
    assert!(look(&place).sound(), "{:#?}", look(&place));
}

#[test]
fn j4_flipped_bytes_of_the_file_are_found_or_change_nothing() {
    let place = Place::new();
    let mut chain = Chain::new();
    let mut db = place.open();
    commit(&mut db, &[chain.open()]);
    for number in 0..20 {
        commit(&mut db, &[chain.change_with(agents([agent(&format!("agent-{number}"))]), 3, 3)]);
    }
    drop(db);
    let sound = fs::read(place.path()).unwrap();
    let stands = folded(&place.path());
    let mut found = 0_u64;
    let mut tried = 0_u64;
    for at in (0..sound.len()).step_by(1499) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        let other = Place::new();
        fs::write(other.path(), &bytes).unwrap();
        tried += 1;
        if !look(&other).sound() {
            found += 1;
            continue;
        }
        // Not found: then nothing that hb reads is another.
        let mut db = hb_store::supervisor::SupervisorDb::open(&other.path()).unwrap();
        let mut fold = hb_core::supervise::state::Fold::default();
        db.restore(&mut |sealed| fold.push(sealed)).unwrap();
        assert_eq!(fold, stands, "byte {at}");
    }
    println!("{found} of {tried} flipped bytes found, the others lie where nothing stands");
    assert!(found * 3 > tried, "only {found} of {tried}");
}

#[test]
fn j4_garbage_and_cut_files_are_named() {
    let place = Place::new();
    place.filled();
    let sound = fs::read(place.path()).unwrap();
    for content in [&b"garbage, and enough of it to look at".repeat(40)[..], &sound[..sound.len() / 3]] {
        let other = Place::new();
        fs::write(other.path(), content).unwrap();
        let report = look(&other);
        assert!(!report.sound() && report.findings().all(|finding| finding.file == other.path()), "{report:#?}");
    }
}
