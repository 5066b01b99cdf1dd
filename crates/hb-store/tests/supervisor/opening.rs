//! Files that cannot be used: told apart, with advice, and left alone.

use std::fs;
use std::path::Path;

use hb_store::supervisor::read::SupervisorReader;
use hb_store::supervisor::{SupervisorDb, Trouble};
use rusqlite::Connection;

use super::support::Place;

fn refused(path: &Path, trouble: Trouble, told: &str) {
    let error = SupervisorDb::open(path).unwrap_err();
    assert_eq!(error.trouble, trouble, "{error}");
    let text = error.to_string();
    assert!(text.contains(told) && text.contains("; ") && text.contains(&*path.to_string_lossy()), "{told}: {text}");
}

#[test]
fn a10_every_unusable_file_is_told_apart_with_advice_and_left_as_it_is() {
    let place = Place::new();
    place.filled();
    let good = fs::read(place.path()).unwrap();
    let changed = |sql: &str| {
        let place = Place::new();
        fs::write(place.path(), &good).unwrap();
        Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
        fs::read(place.path()).unwrap()
    };
    let foreign = {
        let place = Place::new();
        Connection::open(place.path()).unwrap().execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").unwrap();
        fs::read(place.path()).unwrap()
    };
    let mut garbled = good.clone();
    garbled[100..1000].fill(0xA5);
    let garbage = b"this is no database, but long enough to be taken for one: ".repeat(99);
    let cases: [(&[u8], Trouble, &str); 7] = [
        (&garbage, Trouble::NotADatabase, "not an SQLite database"),
        (b"short", Trouble::NotADatabase, "not an SQLite database"),
        (&good[..good.len() / 2], Trouble::Corrupt, "hb verify"),
        (&garbled, Trouble::Corrupt, "damaged"),
        (&foreign, Trouble::Foreign, "another program"),
        (&changed("INSERT INTO migrations (version, checksum) VALUES (99, 'x')"), Trouble::Newer, "newer hb"),
        (&changed("UPDATE migrations SET checksum = 'x' WHERE version = 2"), Trouble::Newer, "another build"),
    ];
    for (content, trouble, told) in cases {
        let place = Place::new();
        fs::write(place.path(), content).unwrap();
        refused(&place.path(), trouble, told);
        assert!(SupervisorReader::open(&place.path()).is_err(), "{told}");
        assert_eq!(fs::read(place.path()).unwrap(), content, "{told}: it is left alone");
    }
}

#[test]
fn missing_folders_and_files_are_told() {
    let place = Place::new();
    refused(&place.dir.path().join("none/supervisor.db"), Trouble::MissingFolder, "no folder");
    fs::write(place.dir.path().join("file"), b"x").unwrap();
    refused(&place.dir.path().join("file/supervisor.db"), Trouble::MissingFolder, "not a folder");
    let error = SupervisorReader::open(&place.path()).unwrap_err();
    assert_eq!(error.trouble, Trouble::MissingFile, "{error}");
    fs::write(place.path(), b"").unwrap();
    assert_eq!(SupervisorReader::open(&place.path()).unwrap_err().trouble, Trouble::MissingFile);
    place.open();
    SupervisorReader::open(&place.path()).unwrap();
    fs::create_dir(place.dir.path().join("folder")).unwrap();
    refused(&place.dir.path().join("folder"), Trouble::Unreadable, "cannot be opened");
}

#[test]
fn a_locked_database_is_waited_for_and_then_told() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    let locker = Connection::open(place.path()).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let record = chain.change(Default::default());
    let hb_store::port::Appended::Failed(why) = db.commit(std::slice::from_ref(&record)) else {
        panic!("it is locked")
    };
    assert!(why.contains("locked by another process") && why.contains("fuser"), "{why}");
    locker.execute_batch("COMMIT").unwrap();
    super::support::commit(&mut db, &[record]);
    drop((db, locker));
    let locker = Connection::open(place.path()).unwrap();
    locker
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; INSERT INTO floors VALUES ('x', 1)")
        .unwrap();
    refused(&place.path(), Trouble::Locked, "locked");
}

#[test]
fn a_file_that_is_removed_while_open_takes_nothing_more() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    fs::remove_file(place.path()).unwrap();
    let record = chain.change(Default::default());
    let hb_store::port::Appended::Stopped(why) = db.commit(&[record]) else { panic!("it is gone") };
    assert!(why.contains("removed or replaced"), "{why}");
    assert_eq!(db.stopped(), Some(why.as_str()));
    assert!(db.restore(&mut drop).is_err());
}

#[test]
fn several_may_make_the_file_at_once() {
    let place = Place::new();
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..4).map(|_| scope.spawn(|| SupervisorDb::open(&place.path()).map(drop))).collect();
        for opened in opening {
            opened.join().unwrap().unwrap();
        }
    });
    place.filled();
}
