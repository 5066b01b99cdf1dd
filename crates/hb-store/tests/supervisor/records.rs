//! Records: given once, chained, read back, followed, trimmed.

use std::sync::Arc;

use hb_core::ids::Seq;
use hb_core::supervise::state::{Changes, Fold};
use hb_store::port::{Appended, JournalError, Standing};
use hb_store::supervisor::{RECORDS_KEPT, SupervisorDb, TablesWere};

use super::support::{Chain, Place, agent, agents, commit, folded};

#[test]
fn s1_a_restart_restores_exactly_what_was_acknowledged() {
    let place = Place::new();
    let mut chain = place.filled();
    assert_eq!(folded(&place.path()), chain.fold);
    let mut db = place.open();
    db.restore(&mut drop).unwrap();
    commit(&mut db, &[chain.snapshot(), chain.change(agents([agent("after")]))]);
    let mut fold = Fold::default();
    let restored = place.open().restore(&mut |sealed| fold.push(sealed)).unwrap();
    assert_eq!(fold, chain.fold);
    assert_eq!((restored.snapshot, restored.records, restored.head), (Some(Seq(7)), 2, chain.head));
    assert_eq!(restored.tables, TablesWere::InStep);
    assert_eq!(db.since_snapshot().records, 1);
    let empty = Place::new();
    assert_eq!(empty.open().restore(&mut drop).unwrap().head, None);
}

#[test]
fn j2_h1_a_taken_number_is_refused_and_nothing_of_the_batch_is_done() {
    let place = Place::new();
    let mut ours = place.filled();
    let mut db = place.open();
    let mut other_db = place.open();
    let mut other = Chain::taking_over(&mut other_db, "b");
    let opened = other.open();
    commit(&mut other_db, &[Arc::clone(&opened)]);
    let batch = [ours.change(agents([agent("x")])), ours.change(agents([agent("y")]))];
    let refused = Appended::Refused(Standing::Taken(opened.bytes.clone()));
    assert_eq!(db.commit(&batch), refused);
    assert_eq!(db.commit(&batch[1..]), refused, "H1: the newest record has a larger epoch");
    assert_eq!(folded(&place.path()), other.fold);
    assert_eq!(super::support::ask::<i64>(&place.path(), "SELECT count(*) FROM agents WHERE id IN ('x', 'y')"), 0);
}

#[test]
fn j5_the_same_records_again_are_the_same_success() {
    let place = Place::new();
    let mut db = place.open();
    let mut chain = Chain::new();
    let (one, two, three) = (chain.open(), chain.change(agents([agent("x")])), chain.change(agents([agent("y")])));
    commit(&mut db, &[Arc::clone(&one), Arc::clone(&two)]);
    commit(&mut db, &[Arc::clone(&one), Arc::clone(&two)]);
    commit(&mut place.open(), &[one, two, three]);
    assert_eq!(folded(&place.path()), chain.fold);
    assert_eq!(super::support::ask::<i64>(&place.path(), "SELECT count(*) FROM supervisor_events"), 2);
}

#[test]
fn j1_gaps_and_foreign_streams_are_not_written() {
    let place = Place::new();
    let mut db = place.open();
    let mut chain = Chain::new();
    let (opened, lost, late) = (chain.open(), chain.change(Changes::default()), chain.change(Changes::default()));
    commit(&mut db, &[Arc::clone(&opened)]);
    assert!(matches!(db.commit(&[Arc::clone(&late)]), Appended::Failed(why) if why.contains("gap")));
    assert!(matches!(db.commit(&[opened, late]), Appended::Failed(why) if why.contains("follow")));
    commit(&mut db, &[lost]);
    let mut foreign = chain.change(Changes::default()).record.clone();
    foreign.stream = "supervisor/other".into();
    let foreign = Arc::new(hb_core::journal::seal(foreign));
    assert!(matches!(db.commit(&[foreign]), Appended::Failed(why) if why.contains("supervisor/main")));
}

#[test]
fn h4_a_standby_is_told_every_record_once_also_past_trimmed_ones() {
    let place = Place::new();
    let mut standby = place.open();
    let mut fold = Fold::default();
    assert_eq!(standby.follow(None, &mut |_| panic!("there is none")).unwrap().records, 0);
    let mut chain = place.filled();
    let mut db = place.open();
    db.restore(&mut drop).unwrap();
    let followed = standby.follow(fold.head, &mut |sealed| fold.push(sealed)).unwrap();
    assert_eq!((followed.records, followed.head, followed.more), (7, chain.head, false));
    assert_eq!(standby.follow(fold.head, &mut |_| panic!("nothing is new")).unwrap().head, chain.head);
    for _ in 0..600 {
        commit(&mut db, &[chain.change(Changes::default())]);
    }
    let mut told = 0;
    loop {
        let followed = standby.follow(fold.head, &mut |sealed| fold.push(sealed)).unwrap();
        told += followed.records;
        if !followed.more {
            break;
        }
    }
    assert_eq!(told, 600);
    assert_eq!(fold, chain.fold);
    commit(
        &mut db,
        &[chain.change(agents([agent("unseen")])), chain.snapshot(), chain.change(agents([agent("seen")]))],
    );
    assert!(
        !db.trim_keeping(chain.head.unwrap().seq, 1).unwrap().more
            || db.trim_keeping(chain.head.unwrap().seq, 1).is_ok()
    );
    let followed = standby.follow(fold.head, &mut |sealed| fold.push(sealed)).unwrap();
    assert_eq!((followed.records, followed.skipped), (2, 1));
    assert_eq!(fold, chain.fold);
}

#[test]
fn j6_trimming_keeps_the_newest_snapshot_and_never_reopens_a_number() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    db.restore(&mut drop).unwrap();
    assert_eq!(db.trim_keeping(Seq(5), 1).unwrap().floor, Seq(0), "without a snapshot nothing goes");
    let old = chain.change(agents([agent("old")]));
    commit(&mut db, &[Arc::clone(&old), chain.snapshot()]);
    for _ in 0..700 {
        commit(&mut db, &[chain.change(Changes::default())]);
    }
    commit(&mut db, &[chain.snapshot(), chain.change(agents([agent("new")]))]);
    let head = chain.head.unwrap().seq;
    assert_eq!(db.trim(head).unwrap().removed, 0, "fewer than {RECORDS_KEPT} stand");
    let mut removed = 0;
    loop {
        let trimmed = db.trim_keeping(head, 1).unwrap();
        removed += trimmed.removed;
        assert!(trimmed.removed <= 256);
        if !trimmed.more {
            assert_eq!(trimmed.floor, Seq(head.0 - 1), "the newest snapshot stays");
            break;
        }
    }
    assert_eq!(removed, head.0 - 1);
    assert_eq!(db.commit(&[old]), Appended::Refused(Standing::BelowFloor(Seq(head.0 - 1))));
    assert_eq!(folded(&place.path()), chain.fold);
    let sizes = db.sizes().unwrap();
    assert_eq!((sizes.records, sizes.head, sizes.snapshot), (2, Some(head), Some(Seq(head.0 - 1))));
    assert!(sizes.free_bytes > 0 && sizes.file_bytes > sizes.free_bytes);
    commit(&mut db, &[chain.change(agents([agent("newer")]))]);
    assert_eq!(folded(&place.path()), chain.fold);
}

#[test]
fn j4_a_damaged_missing_or_replaced_record_is_named_and_not_read_as_data() {
    let spoil = |sql: &str| {
        let place = Place::new();
        place.filled();
        rusqlite::Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
        let mut told = Vec::new();
        let error = place.open().restore(&mut |sealed| told.push(sealed.record.seq)).unwrap_err();
        let JournalError::Corrupt(what) = error else { panic!("{error}") };
        assert!(what.contains("supervisor.db") && what.contains("supervisor/main"), "{what}");
        (what, told.len())
    };
    let (what, told) = spoil(
        "UPDATE journal SET bytes = CAST(replace(CAST(bytes AS TEXT), 'agent-3', 'agent-4') AS BLOB) WHERE seq = 2",
    );
    assert!(what.contains("record 2") && told == 2, "{what}");
    let (what, _) = spoil("DELETE FROM journal WHERE seq = 3");
    assert!(what.contains("record 3 is missing"), "{what}");
    let (what, _) = spoil("DELETE FROM journal WHERE seq = 6");
    assert!(what.contains("records 6 to 6 are missing"), "{what}");
    let (what, _) = spoil("DELETE FROM journal WHERE seq = 0");
    assert!(what.contains("record 0 is missing"), "{what}");
    let (what, _) = spoil("UPDATE journal SET snapshot = 1 WHERE seq = 4");
    assert!(what.contains("record 4") && what.contains("snapshot"), "{what}");
    let (what, _) = spoil("UPDATE applied SET hash = 'x'");
    assert!(what.contains("record 6"), "{what}");
}

#[test]
fn tables_that_are_behind_their_records_are_brought_up_to_them() {
    let place = Place::new();
    let chain = place.filled();
    let rows = || super::support::ask::<i64>(&place.path(), "SELECT count(*) FROM agents");
    let connection = rusqlite::Connection::open(place.path()).unwrap();
    let hash: String = {
        let bytes: Vec<u8> =
            connection.query_row("SELECT bytes FROM journal WHERE seq = 1", [], |row| row.get(0)).unwrap();
        hb_core::journal::sound_hash(&bytes).unwrap().to_string()
    };
    connection
        .execute_batch("DELETE FROM agents; DELETE FROM supervisor_teams; DELETE FROM supervisor_team_members")
        .unwrap();
    connection.execute("UPDATE applied SET seq = 1, hash = ?1", [hash]).unwrap();
    let mut db = place.open();
    assert_eq!(db.restore(&mut drop).unwrap().tables, TablesWere::Behind(5));
    assert_eq!(rows(), 10);
    connection.execute_batch("DELETE FROM agents; DELETE FROM applied").unwrap();
    assert_eq!(db.restore(&mut drop).unwrap().tables, TablesWere::Rebuilt);
    assert_eq!(rows(), 10);
    // A commit does the same when nobody restored before.
    connection.execute_batch("DELETE FROM agents; DELETE FROM applied").unwrap();
    let mut chain = chain;
    commit(&mut SupervisorDb::open(&place.path()).unwrap(), &[chain.change(agents([agent("one more")]))]);
    assert_eq!(rows(), 11);
}
