//! The laws of waiting for a cell to change.

use std::time::Duration;

use super::{Open, put, read, take};
use crate::register::{CellVersion, Register, Woken};

/// Longer than any engine takes to tell, or to be asked again.
const LONG: Duration = Duration::from_secs(60);
/// How long nothing happens where nothing shall.
const SHORT: Duration = Duration::from_millis(300);
/// Before something happens, so that the other is probably waiting already; the law holds where it is not.
const HEAD_START: Duration = Duration::from_millis(50);
const ROUNDS: u64 = 8;

fn version(register: &mut dyn Register, name: &str) -> Option<CellVersion> {
    read(register, name).map(|cell| cell.version)
}

fn wait(register: &mut dyn Register, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Woken {
    register.wait(name, seen, patience).unwrap_or_else(|error| panic!("waiting for {name} failed: {error}"))
}

/// Waiting ends with patience when nothing changes, and with the change when the cell is made, changed, removed, or was changed
/// before waiting began. A change of another cell is none of this one.
pub fn waiting_ends_by_change_or_patience(open: Open<'_>) {
    let (mut waiter, mut writer) = (open(), open());
    assert_eq!(wait(&mut *waiter, "a", None, SHORT), Woken::Patience, "nothing happened");
    assert_eq!(wait(&mut *waiter, "a", None, Duration::ZERO), Woken::Patience, "nothing happened");
    let first = put(&mut *writer, "a", None, b"1");
    assert_eq!(wait(&mut *waiter, "a", None, LONG), Woken::Changed, "made before waiting began");
    assert_eq!(wait(&mut *waiter, "a", Some(&first), SHORT), Woken::Patience, "nothing happened");
    put(&mut *writer, "b", None, b"1");
    put(&mut *writer, "a/b", None, b"1");
    assert_eq!(wait(&mut *waiter, "a", Some(&first), SHORT), Woken::Patience, "other cells changed");
    let second = put(&mut *writer, "a", Some(&first), b"2");
    assert_eq!(wait(&mut *waiter, "a", Some(&first), Duration::ZERO), Woken::Changed, "changed before waiting began");
    while_waiting(&mut *waiter, Some(&second), || drop(put(&mut *writer, "a", Some(&second), b"3")));
    let third = version(&mut *writer, "a").expect("it was put");
    while_waiting(&mut *waiter, Some(&third), || take(&mut *writer, "a", &third));
    while_waiting(&mut *waiter, None, || drop(put(&mut *writer, "a", None, b"3")));
    assert!(waiter.wait("a//b", None, SHORT).is_err(), "no name of a cell");
}

/// Something happens while another one waits, which must then see it.
fn while_waiting(waiter: &mut dyn Register, seen: Option<&CellVersion>, happens: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let woken = wait(waiter, "a", seen, LONG);
            let told = waiter.told("a").unwrap_or_else(|error| panic!("what woke it cannot be told: {error}"));
            (woken, told, read(waiter, "a"))
        });
        std::thread::sleep(HEAD_START);
        happens();
        let (woken, told, now) = waiting.join().expect("the waiter does not panic");
        assert_eq!(woken, Woken::Changed);
        assert_ne!(now.as_ref().map(|cell| &cell.version), seen, "whoever is woken reads what woke it");
        assert_eq!(told, now, "what is told of a change is what it made of the cell");
    });
}

/// Two play ball with a cell as fast as they can: whatever the moment of a change, the one that waits for it is woken.
pub fn no_wake_is_lost(open: Open<'_>) {
    put(&mut *open(), "ball", None, b"0");
    std::thread::scope(|scope| {
        for player in 0..2 {
            scope.spawn(move || play(&mut *open(), player));
        }
    });
    let end = read(&mut *open(), "ball").expect("nobody removes it");
    assert_eq!(end.bytes, (ROUNDS * 2).to_string().as_bytes());
}

fn play(register: &mut dyn Register, player: u64) {
    loop {
        let cell = read(register, "ball").expect("nobody removes it");
        let text = String::from_utf8(cell.bytes).expect("it is a number");
        let number: u64 = text.parse().expect("it is a number");
        if number >= ROUNDS * 2 {
            return;
        }
        if number % 2 == player {
            put(register, "ball", Some(&cell.version), (number + 1).to_string().as_bytes());
        } else {
            let woken = wait(register, "ball", Some(&cell.version), LONG);
            assert_eq!(woken, Woken::Changed, "the change of {number} was missed");
            let told = register.told("ball").unwrap_or_else(|error| panic!("the change cannot be told: {error}"));
            assert_ne!(told.map(|told| told.version), Some(cell.version), "what is told is newer than what was seen");
        }
    }
}
