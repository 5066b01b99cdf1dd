//! A disk that is really full, and one that is really read-only: a small tmpfs, where the system lets us mount one. And a log that
//! is cut at every place at which power may have been lost.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use hb_core::supervise::state::{Fold, Sealed};
use hb_store::port::Appended;
use hb_store::supervisor::read::SupervisorReader;
use hb_store::supervisor::{SupervisorDb, Trouble};

use super::support::{Chain, Place, agent, agents, commit, folded};

struct Small {
    dir: tempfile::TempDir,
}

impl Small {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { dir }),
            Ok(output) => {
                println!("SKIPPED: mount: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                println!("SKIPPED: mount: {error}");
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("supervisor.db")
    }

    fn remount(&self, how: &str) {
        let output = Command::new("mount").args(["-o", how]).arg(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.dir.path()).status().unwrap();
        assert!(unmounted.success());
    }
}

#[test]
fn a10_a_full_disk_refuses_with_advice_keeps_the_old_whole_and_goes_on_when_there_is_room() {
    let Some(small) = Small::mount() else { return };
    let ballast = small.dir.path().join("ballast");
    fs::write(&ballast, vec![0; 512 << 10]).unwrap();
    let mut db = SupervisorDb::open(&small.path()).unwrap();
    let mut chain = Chain::new();
    commit(&mut db, &[chain.open()]);
    let mut number = 0;
    let (waiting, why) = loop {
        let before = chain.fold.clone();
        let record = chain.change(agents([agent(&format!("agent-{number}"))]));
        number += 1;
        assert!(number < 10_000, "never full");
        match db.commit(&[Arc::clone(&record)]) {
            Appended::Committed => {}
            Appended::Failed(why) => break ((before, record), why),
            other @ (Appended::Refused(_) | Appended::Unknown(_) | Appended::Stopped(_)) => panic!("{other:?}"),
        }
    };
    assert!(number > 10 && why.contains("free space"), "{number}: {why}");
    let (before, record) = waiting;
    let mut stands = Fold::default();
    db.restore(&mut |sealed| stands.push(sealed)).unwrap();
    assert_eq!(stands, before, "J3: it is wholly absent");
    assert!(matches!(db.commit(&[Arc::clone(&record)]), Appended::Failed(_)));
    fs::remove_file(&ballast).unwrap();
    commit(&mut db, &[record]);
    drop(db);
    assert_eq!(folded(&small.path()), chain.fold);
}

#[test]
fn a10_a_read_only_disk_is_told_and_can_still_be_read_when_it_was_closed_in_good_order() {
    let Some(small) = Small::mount() else { return };
    let mut chain = Chain::new();
    commit(&mut SupervisorDb::open(&small.path()).unwrap(), &[chain.open()]);
    small.remount("remount,ro");
    let error = SupervisorDb::open(&small.path()).unwrap_err();
    assert_eq!(error.trouble, Trouble::ReadOnly, "{error}");
    assert!(error.to_string().contains("remount"), "{error}");
    assert_eq!(SupervisorReader::open(&small.path()).unwrap().state().unwrap(), chain.fold);
    small.remount("remount,rw");
    commit(&mut SupervisorDb::open(&small.path()).unwrap(), &[chain.change(agents([agent("x")]))]);
}

/// What stands after a crash that left so much of the log.
fn after_power_loss(database: &[u8], log: &[u8]) -> (Fold, SupervisorDb, Place) {
    let place = Place::new();
    fs::write(place.path(), database).unwrap();
    fs::write(place.dir.path().join("supervisor.db-wal"), log).unwrap();
    let mut db = place.open();
    let mut fold = Fold::default();
    db.restore(&mut |sealed| fold.push(sealed)).unwrap();
    (fold, db, place)
}

#[test]
fn j3_a_log_that_is_cut_anywhere_leaves_each_commit_wholly_there_or_wholly_absent() {
    let place = Place::new();
    drop(place.open());
    let database = fs::read(place.path()).unwrap();
    let log = place.dir.path().join("supervisor.db-wal");
    let mut db = place.open();
    let mut chain = Chain::new();
    // After each commit: how long the log was then, what it added up to.
    let mut acknowledged: Vec<(usize, Fold)> = vec![(0, Fold::default())];
    let mut records: Vec<Arc<Sealed>> = Vec::new();
    for number in 0..6 {
        let record = match number {
            0 => chain.open(),
            3 => chain.snapshot(),
            _ => chain.change_with(agents((0..number).map(|n| agent(&format!("agent-{n}")))), 3, 2),
        };
        commit(&mut db, &[Arc::clone(&record)]);
        records.push(record);
        let length = usize::try_from(fs::metadata(&log).unwrap().len()).unwrap();
        acknowledged.push((length, chain.fold.clone()));
    }
    let whole = fs::read(&log).unwrap();
    let lengths =
        (0..whole.len()).step_by(1009).chain(acknowledged.iter().flat_map(|(at, _)| [at.saturating_sub(1), *at]));
    for cut in lengths {
        let stands = acknowledged.iter().rev().find(|(length, _)| *length <= cut).unwrap();
        // Power loss may also leave old bytes, or anything, where something had not been written yet.
        for tail in [Vec::new(), vec![0; 3000], whole[..3000].to_vec()] {
            let (fold, mut db, _place) = after_power_loss(&database, &[&whole[..cut], &tail[..]].concat());
            assert_eq!(fold, stands.1, "cut at {cut} with {} more", tail.len());
            if let Some(next) = records.get(fold.head.map_or(0, |head| usize::try_from(head.seq.0).unwrap() + 1)) {
                commit(&mut db, std::slice::from_ref(next));
            }
        }
    }
}

#[test]
fn j4_a_log_that_is_damaged_before_acknowledged_commits_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let mut db = place.open();
    let mut chain = Chain::new();
    commit(&mut db, &[chain.open()]);
    for number in 0..5 {
        commit(&mut db, &[chain.change(agents([agent(&format!("agent-{number}"))]))]);
    }
    let (database, mut log) =
        (fs::read(place.path()).unwrap(), fs::read(place.dir.path().join("supervisor.db-wal")).unwrap());
    assert_eq!(after_power_loss(&database, &log).0, chain.fold);
    let at = log.len() / 3;
    log[at] ^= 1;
    let other = Place::new();
    let beside = other.dir.path().join("supervisor.db-wal");
    fs::write(other.path(), &database).unwrap();
    fs::write(&beside, &log).unwrap();
    let error = SupervisorDb::open(&other.path()).unwrap_err();
    assert_eq!(error.trouble, Trouble::Corrupt, "{error}");
    assert!(error.to_string().contains("of its log") && error.to_string().contains("commits"), "{error}");
    assert!(SupervisorReader::open(&other.path()).is_err());
    assert_eq!(fs::read(&beside).unwrap(), log);
}
