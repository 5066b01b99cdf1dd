//! The laws of a register for many at once.

use std::collections::BTreeMap;
use std::sync::{Barrier, Mutex};

use super::{Open, TRIES, pause, read};
use crate::register::{Register, Swapped};

const SWAPPERS: usize = 4;
const ROUNDS: usize = 25;

/// What one of them was told of a line that it wanted to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Unknown,
    NotDone,
}

/// Many add lines to one cell: each line that was acknowledged is there once, each that was refused is not, and the order of
/// lines never changes.
pub fn one_swapper_wins(open: Open<'_>) {
    let told = Mutex::new(BTreeMap::new());
    let start = Barrier::new(SWAPPERS);
    std::thread::scope(|scope| {
        for swapper in 0..SWAPPERS {
            let (told, start) = (&told, &start);
            scope.spawn(move || {
                let mut register = open();
                start.wait();
                for round in 0..ROUNDS {
                    add(&mut *register, &format!("{swapper}-{round}"), told);
                }
            });
        }
    });
    let cell = read(&mut *open(), "log").expect("lines were added");
    let text = String::from_utf8(cell.bytes).expect("lines are text");
    for (line, told) in told.into_inner().expect("nobody panicked") {
        let times = text.lines().filter(|there| *there == line).count();
        let fits = match told {
            Told::Done => times == 1,
            Told::NotDone => times == 0,
            Told::Unknown => times <= 1,
        };
        assert!(fits, "line {line} was told as {told:?} and is there {times} times");
    }
}

/// Adds a line, under ever new names until one try is acknowledged.
fn add(register: &mut dyn Register, line: &str, told: &Mutex<BTreeMap<String, Told>>) {
    // Every round that is lost was won by somebody else, so these are enough for all.
    for attempt in 0..TRIES.saturating_mul(SWAPPERS) {
        let line = format!("{line}-{attempt}");
        let there = read(register, "log");
        let before = there.as_ref().map_or(Vec::new(), |cell| cell.bytes.clone());
        let after = [before.as_slice(), line.as_bytes(), b"\n"].concat();
        let what = match register.swap("log", there.as_ref().map(|cell| &cell.version), &after) {
            Swapped::Done(_) => Told::Done,
            Swapped::Unknown(_) => Told::Unknown,
            Swapped::Lost(now) => {
                let begins = now.is_some_and(|now| now.bytes.starts_with(&before) && now.bytes != before);
                assert!(begins, "a lost swap shows what stands there, with every line that was there before");
                Told::NotDone
            }
            Swapped::Failed(_) => Told::NotDone,
        };
        told.lock().expect("nobody panicked").insert(line, what);
        match what {
            Told::Done => return,
            Told::NotDone => {}
            Told::Unknown => pause(),
        }
    }
    panic!("line {line} was never acknowledged");
}

/// Some make a cell, others remove it: whoever is told that its cell is made finds that exact one, or that it was removed; two are
/// never told that both made it.
pub fn removal_races_with_writing(open: Open<'_>) {
    let (made, removed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for maker in 0..2_u8 {
            let (made, removed) = (&made, &removed);
            scope.spawn(move || make_and_remove(&mut *open(), maker, (made, removed)));
        }
    });
    let left = read(&mut *open(), "flicker").map(|cell| cell.bytes);
    let removed = removed.into_inner().expect("nobody panicked");
    let mut made = made.into_inner().expect("nobody panicked");
    let known: Vec<_> = made.iter().filter(|(told, _)| *told == Told::Done).cloned().collect();
    for (_, bytes) in &known {
        let ends = removed.iter().filter(|(told, gone)| *told == Told::Done && gone == bytes).count();
        assert!(ends <= 1, "a cell was removed twice");
        let perhaps = removed.iter().any(|(told, gone)| *told == Told::Unknown && gone == bytes);
        assert!(ends == 1 || perhaps || left.as_ref() == Some(bytes), "a cell that was made and not removed is gone");
    }
    made.retain(|(told, _)| *told != Told::NotDone);
    for (_, gone) in removed.iter().filter(|(told, _)| *told == Told::Done) {
        assert!(made.iter().any(|(_, bytes)| bytes == gone), "a cell was removed that nobody made");
    }
}

type Ends = Mutex<Vec<(Told, Vec<u8>)>>;

fn make_and_remove(register: &mut dyn Register, maker: u8, (made, removed): (&Ends, &Ends)) {
    for round in 0..u8::try_from(ROUNDS).unwrap_or(u8::MAX) {
        let bytes = vec![maker, round];
        let told = end(&register.swap("flicker", None, &bytes));
        made.lock().expect("nobody panicked").push((told, bytes));
        if let Some(cell) = read(register, "flicker") {
            let told = end(&register.remove("flicker", &cell.version));
            removed.lock().expect("nobody panicked").push((told, cell.bytes));
        }
    }
}

fn end(swapped: &Swapped) -> Told {
    match swapped {
        Swapped::Done(_) => Told::Done,
        Swapped::Unknown(_) => Told::Unknown,
        Swapped::Lost(_) | Swapped::Failed(_) => Told::NotDone,
    }
}
