//! The laws of journals, and what becomes of them when the store fails or lies.

use std::cell::Cell;
use std::time::Duration;

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use hb_engines::object::{ObjectJournal, TRIM_STEP};
use hb_store::conformance::{self, fill, sample};
use hb_store::port::{Appended, Journal, JournalError, Standing};
use hb_store::reader::{newest, read_sound};

use super::server::{Fault, Lie, Server};
use super::{bucket, bucket_for, journal};

fn name() -> StreamName {
    "watch/a".into()
}

const FOLDER: &str = "p/journal/watch/a";

/// Puts every law to the places that `target` names by number.
pub(crate) fn every_law(target: impl Fn(u32) -> String) {
    let count = Cell::new(0);
    conformance::all(|| {
        count.set(count.get() + 1);
        let target = target(count.get());
        move || journal(&target)
    });
}

#[test]
fn j6_copies_go_on_above_their_newest_record() {
    let count = Cell::new(0);
    conformance::of_copies(|| {
        count.set(count.get() + 1);
        let target = format!("memory:copies-{}", count.get());
        move || journal(&target)
    });
}

#[test]
fn memory_obeys_every_law() {
    every_law(|place| format!("memory:laws-{place}"));
}

#[test]
fn a_server_obeys_every_law() {
    let server = Server::start(Lie::None);
    server.pages_of(3);
    every_law(|place| server.target(&format!("laws/{place}")));
}

#[test]
fn j5_every_law_holds_while_answers_are_lost_late_double_and_wrong() {
    let server = Server::start(Lie::None);
    server.pages_of(3);
    server.one_in(12, 0x9E37_79B9_7F4A_7C15);
    every_law(|place| server.target(&format!("laws/{place}")));
    assert!(server.hurt() > 100, "only {} requests went wrong", server.hurt());
}

#[test]
fn negative_control_lying_servers_break_the_laws() {
    for lie in [Lie::CreatesAnyway, Lie::ChecksThenActs] {
        let server = Server::start(lie);
        let suite = || every_law(|place| server.target(&format!("laws/{place}")));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(suite)).is_err();
        assert!(caught, "{lie:?} passes the suite");
    }
}

#[test]
fn j5_each_fault_of_a_put_ends_in_the_truth() {
    let faults = [
        Fault::LostAnswer,
        Fault::Cut,
        Fault::DoneLate(Duration::from_millis(50)),
        Fault::AnsweredLate(Duration::from_millis(50)),
        Fault::NotDone(500),
        Fault::NotDone(503),
        Fault::NotDone(409),
        Fault::DoneBut(500),
        Fault::DoneBut(409),
        Fault::Twice,
    ];
    for fault in faults {
        let server = Server::start(Lie::None);
        let mut journal = journal(&server.target("p"));
        let records = fill(&mut *journal, &name(), 2);
        let next = sample(&name(), Seq(2), "a", records[1].hash);
        server.plan("PUT", [fault]);
        assert_eq!(journal.append(&name(), Seq(2), &next.bytes), Appended::Committed, "{fault:?}");
        assert_eq!(server.hurt(), 1);
        let foreign = sample(&name(), Seq(2), "b", records[1].hash);
        server.plan("PUT", [fault]);
        let refused = journal.append(&name(), Seq(2), &foreign.bytes);
        assert_eq!(refused, Appended::Refused(Standing::Taken(next.bytes)), "{fault:?}");
    }
}

#[test]
fn j5_what_cannot_be_read_back_is_unknown_and_what_was_not_sent_has_failed() {
    let server = Server::start(Lie::None);
    let patience = Duration::from_secs(4);
    let mut journal = ObjectJournal::new(bucket_for(&server.target("p"), patience));
    let records = fill(&mut journal, &name(), 1);
    let next = sample(&name(), Seq(1), "a", records[0].hash);
    server.plan("PUT", [Fault::LostAnswer]);
    server.plan("GET", [Fault::Cut; 6]);
    let appended = journal.append(&name(), Seq(1), &next.bytes);
    assert!(matches!(&appended, Appended::Unknown(what) if what.contains("could not be read back")), "{appended:?}");
    assert_eq!(journal.read(&name(), Seq(1), 1).unwrap(), [(Seq(1), next.bytes)]);
    let target = server.target("p");
    drop(server);
    let other = sample(&name(), Seq(2), "a", next.hash);
    let appended = journal.append(&name(), Seq(2), &other.bytes);
    assert!(!matches!(appended, Appended::Committed | Appended::Refused(_)), "{appended:?}");
    let mut fresh = ObjectJournal::new(bucket_for(&target, patience));
    let appended = fresh.append(&name(), Seq(2), &other.bytes);
    assert!(matches!(&appended, Appended::Failed(what) if what.contains("is the store up")), "{appended:?}");
}

#[test]
fn j6_a_late_put_below_the_floor_is_never_acknowledged_nor_read() {
    let server = Server::start(Lie::None);
    let mut zombie = journal(&server.target("p"));
    let records = fill(&mut *zombie, &name(), 4);
    let mut other = journal(&server.target("p"));
    let mut prev = records[3].hash;
    for number in 4..10 {
        let next = sample(&name(), Seq(number), "b", prev);
        prev = next.hash;
        assert_eq!(other.append(&name(), Seq(number), &next.bytes), Appended::Committed);
    }
    assert_eq!(other.trim(&name(), Seq(8)), Ok(8));
    // The zombie knows of no floor, and the object that would have refused it is gone.
    let late = sample(&name(), Seq(4), "a", records[3].hash);
    let refused = Appended::Refused(Standing::BelowFloor(Seq(8)));
    server.plan("PUT", [Fault::LostAnswer]);
    assert_eq!(zombie.append(&name(), Seq(4), &late.bytes), refused);
    assert_eq!(server.keys(&format!("{FOLDER}/0")).len(), 2, "it was taken back");
    // One that died before it could take its record back.
    server.plant(&format!("{FOLDER}/00000000000000000005.rec"), &late.bytes);
    for handle in [&mut *zombie, &mut *other, &mut *journal(&server.target("p"))] {
        assert_eq!(handle.head(&name()), Ok(Some(Seq(9))));
        let seqs: Vec<Seq> = handle.read(&name(), Seq(0), 99).unwrap().into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(seqs, [Seq(8), Seq(9)]);
        assert_eq!(handle.read(&name(), Seq(5), 1).unwrap()[0].0, Seq(8));
    }
    let mut fresh = journal(&server.target("p"));
    assert_eq!(fresh.append(&name(), Seq(5), b"third"), refused, "not `taken` by what does not count");
    fresh.trim(&name(), Seq(9)).unwrap();
    assert_eq!(server.keys(&format!("{FOLDER}/0")).len(), 1, "what was left below the floor goes with the next trim");
}

#[test]
fn j6_a_floor_never_falls_and_whoever_saw_it_higher_stops() {
    let server = Server::start(Lie::None);
    let mut journal = journal(&server.target("p"));
    fill(&mut *journal, &name(), 6);
    assert_eq!(journal.trim(&name(), Seq(4)), Ok(4));
    server.plant(&format!("{FOLDER}/floor"), b"hb-floor 2\n");
    let error = journal.floor(&name()).unwrap_err();
    assert!(matches!(&error, JournalError::Corrupt(what) if what.contains("never falls")), "{error}");
    let appended = journal.append(&name(), Seq(6), b"x");
    assert!(matches!(&appended, Appended::Unknown(what) if what.contains("never falls")), "{appended:?}");
    server.plant(&format!("{FOLDER}/floor"), b"rubbish");
    assert!(matches!(journal.head(&name()), Err(JournalError::Corrupt(_))));
}

#[test]
fn j4_a_missing_record_is_named_and_nothing_after_it_is_read_as_data() {
    let server = Server::start(Lie::None);
    let mut old = journal(&server.target("p"));
    fill(&mut *old, &name(), 6);
    server.lose(&format!("{FOLDER}/00000000000000000003.rec"));
    for handle in [&mut *old, &mut *journal(&server.target("p"))] {
        let before = handle.read(&name(), Seq(1), 10).unwrap();
        assert_eq!(before.len(), 2);
        let error = handle.read(&name(), Seq(3), 10).unwrap_err();
        let JournalError::Corrupt(what) = error else { panic!("{error:?}") };
        assert!(what.contains("00000000000000000003.rec"), "{what}");
        assert!(matches!(handle.read(&name(), Seq(3), 1), Err(JournalError::Corrupt(_))));
        assert_eq!(handle.read(&name(), Seq(4), 10).unwrap().len(), 2);
    }
}

#[test]
fn newer_and_foreign_places_are_refused_with_advice() {
    let server = Server::start(Lie::None);
    for (text, advice) in [("hb-journal 99\n", "newer hb"), ("something else", "no journal of hb")] {
        server.plant("p/journal/format", text.as_bytes());
        let error = journal(&server.target("p")).head(&name()).unwrap_err().to_string();
        assert!(error.contains("format") && error.contains(advice), "{error}");
    }
}

#[test]
fn trimming_goes_in_bounded_steps() {
    let server = Server::start(Lie::None);
    for number in 0..TRIM_STEP + 10 {
        server.plant(&format!("{FOLDER}/{number:020}.rec"), b"x");
    }
    let mut journal = journal(&server.target("p"));
    assert_eq!(journal.head(&name()), Ok(Some(Seq(TRIM_STEP + 9))), "several pages of names");
    let floor = Seq(TRIM_STEP + 5);
    assert_eq!(journal.trim(&name(), floor), Ok(1000));
    assert_eq!(journal.read(&name(), Seq(0), 99).unwrap().len(), 5, "what is left below the floor is not read");
    assert_eq!(journal.trim(&name(), floor), Ok(5));
    assert_eq!(journal.trim(&name(), floor), Ok(0));
}

/// Requests of each kind since the last look: puts, gets, lists, deletions.
fn cost(server: &Server) -> [u64; 4] {
    let seen = server.seen();
    ["PUT", "GET", "LIST", "DELETE"].map(|kind| seen.get(kind).copied().unwrap_or(0))
}

#[test]
fn requests_are_few_and_known() {
    let server = Server::start(Lie::None);
    let mut writer = journal(&server.target("p"));
    let records = fill(&mut *writer, &name(), 200);
    cost(&server);
    let next = sample(&name(), Seq(200), "a", records[199].hash);
    assert_eq!(writer.append(&name(), Seq(200), &next.bytes), Appended::Committed);
    assert_eq!(cost(&server), [1, 1, 0, 0], "an append");
    assert_eq!(writer.head(&name()), Ok(Some(Seq(200))));
    assert_eq!(cost(&server), [0, 2, 0, 0], "a head that did not move");
    assert_eq!(writer.read(&name(), Seq(201), 1), Ok(Vec::new()));
    assert_eq!(cost(&server), [0, 2, 0, 0], "no news");
    let mut reader = journal(&server.target("p"));
    assert_eq!(reader.head(&name()), Ok(Some(Seq(200))));
    assert_eq!(cost(&server), [0, 2, 1, 0], "opening");
    assert_eq!(read_sound(&mut *reader, &name(), Seq(0), 1000).unwrap().len(), 201);
    let [puts, gets, lists, _] = cost(&server);
    assert!(puts == 0 && lists == 0 && gets < 201 + 20, "{gets} gets for 201 records one after the other");
    assert_eq!(newest(&mut *journal(&server.target("p")), &name(), 3).unwrap().len(), 3);
    let [_, gets, lists, _] = cost(&server);
    assert!(lists == 1 && gets <= 14, "{gets} gets for the newest three");
    assert_eq!(reader.trim(&name(), Seq(100)), Ok(100));
    let [puts, gets, lists, deletes] = cost(&server);
    assert!(puts == 1 && gets <= 3 && lists == 0 && deletes == 100, "{puts} {gets} {lists} {deletes}");
}

#[test]
fn requests_are_counted_by_the_bucket_too() {
    let server = Server::start(Lie::None);
    let bucket = bucket(&server.target("p"));
    let mut journal = ObjectJournal::new(bucket.clone());
    fill(&mut journal, &name(), 3);
    let sent = bucket.requests();
    assert_eq!([sent.puts, sent.gets, sent.lists, sent.deletes], cost(&server));
}

#[test]
fn looking_back_one_by_one_fetches_pages() {
    let server = Server::start(Lie::None);
    let mut writer = journal(&server.target("p"));
    fill(&mut *writer, &name(), 100);
    let mut reader = journal(&server.target("p"));
    reader.head(&name()).unwrap();
    cost(&server);
    for number in (0..100).rev() {
        let found = reader.read(&name(), Seq(number), 1).unwrap();
        assert_eq!(found, [(Seq(number), sample_at(&mut *writer, number))]);
    }
    let asked_twice = cost(&server)[1];
    assert!(asked_twice < 2 * (100 + 20), "{asked_twice} gets by both");
}

fn sample_at(journal: &mut dyn Journal, number: u64) -> Vec<u8> {
    journal.read(&name(), Seq(number), 1).unwrap().remove(0).1
}

#[test]
fn equal_streams_of_other_places_do_not_mix() {
    let server = Server::start(Lie::None);
    let (mut one, mut other) = (journal(&server.target("p")), journal(&server.target("p/q")));
    fill(&mut *one, &name(), 3);
    assert_eq!(other.head(&name()), Ok(None));
    let record = sample(&name(), Seq(0), "b", Hash::ZERO);
    assert_eq!(other.append(&name(), Seq(0), &record.bytes), Appended::Committed);
    assert_eq!(one.head(&name()), Ok(Some(Seq(2))));
}
