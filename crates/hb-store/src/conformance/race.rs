//! The laws for many writers at once: J1, J2, J6, H1.

use std::sync::{Barrier, Mutex};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;

use super::{Open, sample};
use crate::port::{Appended, Journal, Standing};

const WRITERS: usize = 4;
const ROUNDS: u64 = 25;

/// J1, J2: writers race for every number; each number has exactly one winner, and all see the same bytes.
pub fn one_writer_wins(open: Open<'_>) {
    let name: StreamName = "watch/race".into();
    let start = Barrier::new(WRITERS);
    let wins = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (name, start, wins) = (&name, &start, &wins);
            scope.spawn(move || race(&mut *open(), name, writer, (start, wins)));
        }
    });
    let mut wins = wins.into_inner().expect("no writer panics");
    wins.sort();
    assert_eq!(wins.iter().map(|(round, _)| *round).collect::<Vec<_>>(), (0..ROUNDS).collect::<Vec<_>>(), "J1");
    let stored = open().read(&name, Seq(0), wins.len()).expect("J1");
    assert_eq!(stored, wins.into_iter().map(|(round, bytes)| (Seq(round), bytes)).collect::<Vec<_>>(), "J1");
}

type Wins = Mutex<Vec<(u64, Vec<u8>)>>;

fn race(journal: &mut dyn Journal, name: &StreamName, writer: usize, (start, wins): (&Barrier, &Wins)) {
    for round in 0..ROUNDS {
        start.wait();
        let record = sample(name, Seq(round), &format!("w{writer}"), Hash::ZERO);
        if wins_number(journal, name, Seq(round), &record.bytes) {
            wins.lock().expect("no writer panics").push((round, record.bytes));
        }
        start.wait();
    }
}

fn wins_number(journal: &mut dyn Journal, name: &StreamName, seq: Seq, bytes: &[u8]) -> bool {
    match journal.append(name, seq, bytes) {
        Appended::Committed => true,
        Appended::Refused(Standing::Taken(there)) => {
            assert_ne!(there, bytes, "J2");
            false
        }
        other @ (Appended::Refused(_) | Appended::Unknown(_) | Appended::Failed(_) | Appended::Stopped(_)) => {
            panic!("J1: record {seq}: {other:?}")
        }
    }
}

/// J6: late writers append below a rising floor; no number below it is ever committed with other bytes than it had.
pub fn writers_race_with_the_floor(open: Open<'_>) {
    let name: StreamName = "watch/floor-race".into();
    let last = 200_u64;
    std::thread::scope(|scope| {
        let name = &name;
        scope.spawn(move || {
            let mut journal = open();
            for number in 0..=last {
                let record = sample(name, Seq(number), "a", Hash::ZERO);
                assert_eq!(journal.append(name, Seq(number), &record.bytes), Appended::Committed, "J1: {number}");
                if number % 5 == 4 {
                    journal.trim(name, Seq(number)).expect("J6");
                }
            }
        });
        for zombie in ["y", "z"] {
            scope.spawn(move || zombie_writes(&mut *open(), name, zombie, Seq(last)));
        }
    });
    let mut journal = open();
    let floor = journal.floor(&name).expect("J6");
    for (seq, bytes) in journal.read(&name, Seq(0), 1000).expect("J6") {
        assert!(seq >= floor, "J6");
        assert_eq!(bytes, sample(&name, seq, "a", Hash::ZERO).bytes, "J6: record {seq} is the zombie's");
    }
    assert_eq!(journal.head(&name), Ok(Some(Seq(last))));
}

/// Tries again and again to take numbers that were given long ago.
fn zombie_writes(journal: &mut dyn Journal, name: &StreamName, zombie: &str, last: Seq) {
    loop {
        let head = match journal.head(name).expect("J1") {
            None => continue,
            Some(head) => head,
        };
        let back = head.0.saturating_sub(head.0 % 9);
        let record = sample(name, Seq(back), zombie, Hash::ZERO);
        match journal.append(name, Seq(back), &record.bytes) {
            Appended::Refused(_) | Appended::Failed(_) | Appended::Stopped(_) => {}
            other @ (Appended::Committed | Appended::Unknown(_)) => panic!("J6: {zombie} at {back}: {other:?}"),
        }
        if head >= last {
            return;
        }
    }
}
