//! Two holders at once: one wins, the other learns it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use hb_core::ids::Seq;
use hb_store::journal::sqlite::SqliteJournal;
use hb_store::port::{Appended, Journal};

use super::kill::{Writer, all_stands};
use super::support::{Chain, Place, agent, agents, commit};

#[test]
fn a9_h1_two_writers_on_one_file_never_have_the_same_number_and_both_are_killed() {
    let place = Place::new();
    let mut winners: BTreeMap<u64, String> = BTreeMap::new();
    for round in 0..6_u64 {
        let writers = ["a", "b"].map(|name| Writer::start(&place.path(), &format!("{name}{round}")));
        std::thread::sleep(Duration::from_millis(150 + 17 * round));
        for writer in writers {
            for (seq, hash) in writer.kill() {
                assert_eq!(winners.insert(seq, hash), None, "J1: record {seq} was acknowledged twice");
            }
        }
    }
    assert!(winners.len() > 20, "only {} records", winners.len());
    all_stands(&place.path(), &winners.into_iter().collect::<Vec<_>>());
}

#[test]
fn a9_a_holder_that_was_replaced_cannot_commit_any_more() {
    let place = Place::new();
    let mut old = place.filled();
    let (mut old_db, mut new_db) = (place.open(), place.open());
    old_db.restore(&mut drop).unwrap();
    let mut new = Chain::taking_over(&mut new_db, "b");
    commit(&mut new_db, &[new.open(), new.change(agents([agent("b's")]))]);
    // It sleeps through all of that, and goes on as if nothing had happened.
    for _ in 0..3 {
        assert!(matches!(old_db.commit(&[old.change(agents([agent("a's")]))]), Appended::Refused(_)));
    }
    let rows = |id: &str| {
        super::support::ask::<i64>(&place.path(), &format!("SELECT count(*) FROM agents WHERE id = \"{id}\""))
    };
    assert_eq!((rows("a's"), rows("b's")), (0, 1));
}

/// SQLite answers "locked" at once, without waiting, while another process makes or recovers the file.
#[test]
fn many_may_make_and_leave_a_journal_at_once() {
    for _ in 0..40 {
        let place = Place::new();
        let path = place.dir.path().join("journal.db");
        std::thread::scope(|scope| {
            let opening: Vec<_> = (0..4).map(|_| scope.spawn(|| SqliteJournal::open(&path).map(drop))).collect();
            for opened in opening {
                opened.join().unwrap().unwrap();
            }
        });
    }
}

/// Whatever is put through the bare journal obeys its laws between processes too.
#[test]
fn j1_the_bare_journal_gives_each_number_once() {
    let place = Place::new();
    let path = place.dir.path().join("journal.db");
    let wins = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (path, wins) = (&path, &wins);
            scope.spawn(move || append_forty(path, writer, wins));
        }
    });
    assert!(wins.into_inner().unwrap().len() > 20);
}

fn append_forty(path: &Path, writer: u32, wins: &Mutex<BTreeMap<Seq, u32>>) {
    let mut journal = SqliteJournal::open(path).unwrap();
    let name = "watch/race".into();
    for _ in 0..40 {
        let seq = journal.head(&name).unwrap().map_or(Seq(0), Seq::next);
        match journal.append(&name, seq, format!("{writer} {seq}").as_bytes()) {
            Appended::Committed => assert_eq!(wins.lock().unwrap().insert(seq, writer), None, "J1: {seq}"),
            Appended::Refused(_) | Appended::Failed(_) => {}
            other @ (Appended::Unknown(_) | Appended::Stopped(_)) => panic!("{other:?}"),
        }
    }
}
