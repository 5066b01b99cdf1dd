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

/// Smallest piece that a disk writes as a whole, and a frame of the log: its head and a page.
const SECTOR: usize = 512;
const FRAME: usize = 24 + 4096;

/// Choices that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// `old`, with those pieces of `new` that the disk had got round to write; the length is whatever it takes.
fn partly(old: &[u8], new: &[u8], piece: usize, mut written: impl FnMut(usize) -> bool) -> Vec<u8> {
    let mut out = old.to_vec();
    for (number, at) in (0..new.len()).step_by(piece).enumerate() {
        let end = (at + piece).min(new.len());
        if old.get(at..end) == Some(&new[at..end]) || !written(number) {
            continue;
        }
        // A length that was written before the bytes below it leaves zeros.
        out.resize(out.len().max(end), 0);
        out[at..end].copy_from_slice(&new[at..end]);
    }
    out
}

/// A database with its log after each commit: what an fsync of the log had covered by then.
struct Commits {
    place: Place,
    database: Vec<u8>,
    logs: Vec<Vec<u8>>,
    folds: Vec<Fold>,
    records: Vec<Arc<Sealed>>,
    chain: Chain,
    db: SupervisorDb,
}

impl Commits {
    fn make(count: usize) -> Self {
        let place = Place::new();
        drop(place.open());
        let database = fs::read(place.path()).unwrap();
        let (db, chain) = (place.open(), Chain::new());
        let (logs, folds) = (vec![Vec::new()], vec![Fold::default()]);
        let mut made = Self { place, database, logs, folds, records: Vec::new(), chain, db };
        for number in 0..count {
            made.one_more(number);
        }
        made
    }

    fn one_more(&mut self, number: usize) {
        let record = match number {
            0 => self.chain.open(),
            _ => self.chain.change_with(agents((0..number).map(|n| agent(&format!("agent-{n}")))), 3, 2),
        };
        commit(&mut self.db, &[Arc::clone(&record)]);
        self.records.push(record);
        self.logs.push(self.log());
        self.folds.push(self.chain.fold.clone());
    }

    fn log(&self) -> Vec<u8> {
        fs::read(self.place.dir.path().join("supervisor.db-wal")).unwrap()
    }

    /// Whatever stands is all that was acknowledged, or that and the commit after it; and it goes on.
    fn check(&self, (database, log): (&[u8], &[u8]), acknowledged: usize, what: &str) {
        let (fold, mut db, _place) = after_power_loss(database, log);
        let either = self.folds.iter().skip(acknowledged).take(2).position(|stands| *stands == fold);
        let Some(further) = either else { panic!("J3: {what}: neither what was acknowledged nor the commit after it") };
        if let Some(next) = self.records.get(acknowledged + further) {
            commit(&mut db, std::slice::from_ref(next));
        }
    }
}

#[test]
fn j3_any_of_the_log_s_unsynced_pieces_in_any_order_leave_each_commit_wholly_there_or_wholly_absent() {
    let made = Commits::make(4);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for (acknowledged, pair) in made.logs.windows(2).enumerate() {
        let (old, new) = (&pair[0], &pair[1]);
        let frames = (new.len() - old.len()).div_ceil(FRAME);
        assert!(frames > 0);
        // Frames as wholes: every subset where there are few, else a sample. The log's head goes with the first.
        let first = old.len() / FRAME;
        let subsets = 1_u64 << frames.min(5);
        for subset in 0..subsets {
            let subset = if frames <= 5 { subset } else { dice.roll() };
            let log = partly(old, new, FRAME, |number| subset >> (number.saturating_sub(first) % 64) & 1 == 1);
            made.check(
                (&made.database, &log),
                acknowledged,
                &format!("frames {subset:b} of {frames} after {acknowledged}"),
            );
        }
        for sample in 0..24 {
            let log = partly(old, new, SECTOR, |_| !dice.roll().is_multiple_of(8));
            made.check(
                (&made.database, &log),
                acknowledged,
                &format!("sample {sample} of sectors after {acknowledged}"),
            );
        }
    }
}

#[test]
fn j3_a_move_of_the_log_into_the_file_that_is_cut_anywhere_loses_nothing() {
    let mut made = Commits::make(5);
    let log = made.log();
    let mover = rusqlite::Connection::open(made.place.path()).unwrap();
    let moved: i64 = mover.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0)).unwrap();
    assert_eq!(moved, 0, "nobody was in the way");
    let file = fs::read(made.place.path()).unwrap();
    let mut dice = Dice(0xD1B5_4A32_D192_ED03);
    let acknowledged = made.folds.len() - 1;
    // Before the file is fsynced: any of its pages, while the log stands whole.
    for sample in 0..40 {
        let share = 1 + sample % 7;
        let database = partly(&made.database, &file, SECTOR, |_| dice.roll() % 8 < share);
        made.check((&database, &log), acknowledged, &format!("sample {sample} of the file's sectors"));
    }
    // Afterwards the log begins anew over the old one. SQLite fsyncs its new head by itself; then any of its pieces may be there, with what
    // stood there before in between.
    made.one_more(5);
    let (anew, records) = (made.log(), made.records.len());
    assert!(anew.len() <= log.len() && anew[..32] != log[..32] && records == acknowledged + 1);
    let begun = [&anew[..32], &log[32..]].concat();
    made.check((&file, &begun), acknowledged, "a log of which the head is new");
    for sample in 0..40 {
        let share = 1 + sample % 7;
        let mixed = partly(&begun, &anew, SECTOR, |_| dice.roll() % 8 < share);
        made.check((&file, &mixed), acknowledged, &format!("sample {sample} of a log that begins anew"));
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
